"""Files with latents: any span is that of the whole, layers add up, damage stays put."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tools import (
    FRAMES,
    RATE,
    SEGMENT,
    UNIT,
    file_of,
    latent_header,
    network_installed,
    random_latents,
    random_network,
    streams_of,
)
from synthesis_tools import DecodedSegments

import evc
from evc.format import constants as c
from evc.format.errors import DamagedError, InputError, UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.networks import find, installed_too, reference_of
from evc.format.writer import ContainerWriter
from evc.models.device import one_thread
from evc.models.latents import rendering
from evc.models.latents.layout import SAMPLES_PER_COLUMN
from evc.models.latents.network import LatentNetwork
from evc.models.latents.planes import from_planes, to_planes
from evc.models.latents.rendering import step_size
from evc.models.synthesis import Choice, Synthesiser
from evc.spec.latent_synthesis import latent_signal
from evc.spec.latents import drawn_entropy, write_weights


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LatentNetwork]:
    """As training runs it."""
    made = random_network()
    with network_installed(tmp_path_factory.mktemp("weights"), made) as reference:
        yield LatentNetwork.load(find(reference))


@pytest.fixture
def short_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "UNIT_COLUMNS", UNIT)


@pytest.fixture(scope="module", params=[1, 2])
def segments(request: pytest.FixtureRequest, network: LatentNetwork) -> DecodedSegments:
    header = latent_header(RATE, request.param, FRAMES, segment_frames=SEGMENT)
    return DecodedSegments(header, streams_of(header))


@pytest.fixture(scope="module")
def whole(segments: DecodedSegments) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "UNIT_COLUMNS", UNIT)
        return Synthesiser(segments).render(0, FRAMES)


def test_the_layer_is_what_the_network_makes_of_the_others(
    segments: DecodedSegments, whole: np.ndarray, network: LatentNetwork
) -> None:
    """Computed for the whole file at once, whatever the units are."""
    header, channels = segments.header, segments.header.channels
    y = Synthesiser(segments, Choice(("events", "noise"))).render(0, FRAMES)
    noise = Synthesiser(segments, Choice(("noise",))).render(0, FRAMES)
    columns, margin = -(-FRAMES // SAMPLES_PER_COLUMN), network.config.margin
    known = []
    for part in (y, noise):
        padded = np.pad(part, ((0, 0), (margin * SAMPLES_PER_COLUMN, (columns + margin) * SAMPLES_PER_COLUMN - FRAMES)))
        known.append(torch.from_numpy(to_planes(padded))[None])
    streams = [segments.streams[index][c.STREAM_LATENT] for index in range(header.segments)]
    steps = np.concatenate([np.full(len(one.latents), step_size(one.step), np.float32) for one in streams])
    steps = np.pad(steps, margin, constant_values=step_size(127))[None]
    values = np.pad(np.concatenate([one.latents for one in streams]), ((margin, margin), (0, 0)))[None]
    ends = margin, margin + columns
    with one_thread(), torch.inference_mode():
        heard = network.decode(torch.from_numpy(values).float(), torch.from_numpy(steps), *known, ends=ends)[0].numpy()
    expected = from_planes(heard, channels)[:, margin * SAMPLES_PER_COLUMN :][:, :FRAMES]
    # These weights are drawn at random and enlarge rounding more than trained ones.
    np.testing.assert_allclose(whole, expected, atol=2**-11 * np.abs(expected).max())
    assert np.abs(whole - y).max() > 1e-3


@pytest.mark.parametrize("frames, channels", [(100, 1), (2048, 2), (5000, 1), (SEGMENT + 3 * 2048, 2)])
def test_the_layer_is_that_of_the_specification(network: LatentNetwork, frames: int, channels: int) -> None:
    """Section 10.10 in double precision, for files that end in a first column, with one, and within others."""
    header = latent_header(RATE, channels, frames, segment_frames=SEGMENT)
    segments = DecodedSegments(header, streams_of(header))
    y, hiss = (
        Synthesiser(segments, Choice(layers)).render(0, frames).astype(np.float64)
        for layers in (("events", "noise"), ("noise",))
    )
    latents = {index: streams[c.STREAM_LATENT] for index, streams in segments.streams.items()}
    layer = latent_signal(header, y, hiss, latents, find(header.networks[-1]))
    found = Synthesiser(segments).render(0, frames)
    np.testing.assert_allclose(found, y + layer, atol=2**-11 * np.abs(layer).max())
    assert np.abs(layer).max() > 1e-2


@settings(max_examples=10)
@given(st.integers(0, FRAMES - 1), st.integers(1, 40_000))
def test_any_span_is_the_same_span_of_the_whole(
    segments: DecodedSegments, whole: np.ndarray, start: int, frames: int
) -> None:
    frames = min(frames, FRAMES - start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "UNIT_COLUMNS", UNIT)
        found = Synthesiser(segments).render(start, frames)
    np.testing.assert_array_equal(found, whole[:, start : start + frames])


def test_layers_add_up(segments: DecodedSegments, whole: np.ndarray, short_units: None) -> None:
    """Latents are hints about the other layers, whether these are heard or not."""
    parts = [Synthesiser(segments, Choice((name,))).render(0, FRAMES) for name in segments.header.layers]
    np.testing.assert_allclose(sum(parts), whole, atol=1e-6)


def test_blocks_and_seeking(segments: DecodedSegments, whole: np.ndarray, short_units: None) -> None:
    data = file_of(dict(segments.streams), segments.header)
    with evc.open(io.BytesIO(data)) as file:
        blocks = np.concatenate(list(file.blocks(9999, always_2d=True)))
        np.testing.assert_array_equal(blocks.T, whole)
        file.seek(2 * SEGMENT - 50)
        np.testing.assert_array_equal(file.read(100, always_2d=True).T, whole[:, 2 * SEGMENT - 50 : 2 * SEGMENT + 50])
        file.verify(synthesis=True)


def test_other_layers_are_rendered_about_once(segments: DecodedSegments, short_units: None) -> None:
    segments.asked.clear()
    synthesiser = Synthesiser(segments)
    for start in range(0, FRAMES, 3000):
        synthesiser.render(start, min(3000, FRAMES - start))
    assert max(np.bincount(segments.asked)) <= 2 + -(-FRAMES // (UNIT * SAMPLES_PER_COLUMN))


def test_where_nothing_else_sounds_latents_are_silent(network: LatentNetwork) -> None:
    header = latent_header(RATE, 2, SEGMENT, segment_frames=SEGMENT)
    streams = {0: {c.STREAM_LATENT: random_latents(header)[0]}}
    assert not Synthesiser(DecodedSegments(header, streams)).render(0, SEGMENT).any()


def test_a_lost_segment_is_silent_and_the_rest_has_no_latents_of_it(
    segments: DecodedSegments, whole: np.ndarray, network: LatentNetwork, short_units: None
) -> None:
    damaged = file_of(dict(segments.streams), segments.header)
    damaged = with_flipped_bit(damaged, segment_places(damaged)[1].offset + 60)
    with evc.open(io.BytesIO(damaged), salvage=True) as file:
        found = file.read(always_2d=True).T
        assert [(span.start, span.frames) for span in file.damage] == [(SEGMENT, SEGMENT)]
    assert not found[:, SEGMENT : 2 * SEGMENT].any()
    reach = network.config.margin * SAMPLES_PER_COLUMN + c.superframe_length(RATE)
    before = max(0, SEGMENT - reach)
    np.testing.assert_array_equal(found[:, :before], whole[:, :before])
    streams = {index: {} if index == 1 else kinds for index, kinds in segments.streams.items()}
    expected = Synthesiser(DecodedSegments(segments.header, streams)).render(0, FRAMES)
    np.testing.assert_array_equal(found[:, 2 * SEGMENT :], expected[:, 2 * SEGMENT :])
    with evc.open(io.BytesIO(damaged)) as file, pytest.raises(DamagedError):
        file.read()


def test_a_missing_network_is_an_error_that_names_it(segments: DecodedSegments, network: LatentNetwork) -> None:
    data = file_of(dict(segments.streams), segments.header)
    digest = segments.header.networks[-1].digest
    other = data.replace(digest, bytes(8))
    header = replace(segments.header, networks=(segments.header.networks[0], NetworkReference("drums-1", digest)))
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer, evc.open(io.BytesIO(data)) as original:
        for index in range(header.segments):
            writer.add_segment(original.container.segment(index))
    assert other != data
    with evc.open(io.BytesIO(file.getvalue())) as opened, pytest.raises(UnsupportedError, match="drums-1"):
        opened.read()
    assert evc.info(file).networks[-1] == "drums-1"


def test_weights_with_other_latents_make_no_sound(tmp_path: Path) -> None:
    weights = write_weights(tmp_path, drawn_entropy((2, 2), (1, 2), 0))
    header = Header(RATE, 1, 5000, layers=("latent",), networks=(reference_of(weights),))
    with installed_too(tmp_path), pytest.raises(InputError, match="does not hold the weights of a latent network"):
        Synthesiser(DecodedSegments(header, {}))
