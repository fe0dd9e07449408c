"""Copies in files with latents: they repeat the finished output, wherever one begins to listen (spec 10.14)."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_tools import run
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tools import RATE, SEGMENT, UNIT, latent_header, network_installed, random_network, streams_of
from synthesis_tools import DecodedSegments, occurrence_stream

import evc
from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.segment import Segment
from evc.format.sources import check_repeats
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.writer import ContainerWriter
from evc.models.latents import rendering
from evc.models.patterns import repeats
from evc.models.patterns.repeats import Repeats
from evc.models.synthesis import Choice, Synthesiser
from evc.spec.repeats import repeated_signal

N = c.superframe_length(RATE)
ONE = 1 << c.DEFAULT_PHASE_BITS
FRAMES = 4 * SEGMENT + 777
OCCURRENCES = {
    1: [
        {"times": 0, "lengths": 3 * N, "lags": 6 * N * ONE + 11},
        {"times": 3 * N * ONE, "lengths": 5000, "lags": 9 * N * ONE},
    ],
    2: [{"times": 2 * N * ONE, "lengths": 30 * N, "lags": SEGMENT * ONE + 5}],
    4: [{"times": 0, "lengths": N, "lags": (2 * SEGMENT - 300) * ONE}],
}  # fmt: skip
DEPENDENCIES = {1: (0,), 2: (0, 1), 4: (1, 2, 3)}


@pytest.fixture(scope="module", autouse=True)
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with network_installed(tmp_path_factory.mktemp("weights"), random_network()):
        yield


@pytest.fixture(autouse=True)
def short_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "UNIT_COLUMNS", UNIT)


@pytest.fixture(scope="module")
def segments(network: None) -> DecodedSegments:
    layers = ("patterns", "events", "noise", "latent")
    depth = {"reference_depth": 3, "reference_span": 3}
    header = latent_header(RATE, 2, FRAMES, segment_frames=SEGMENT, layers=layers, **depth)
    streams = streams_of(header)
    for index, rows in OCCURRENCES.items():
        streams[index][c.STREAM_OCCURRENCES] = occurrence_stream(rows, RATE)
    return DecodedSegments(header, streams)


@pytest.fixture(scope="module")
def whole(segments: DecodedSegments) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "UNIT_COLUMNS", UNIT)
        return Synthesiser(segments).render(0, FRAMES)


def file_with(segments: DecodedSegments, occurrences: dict[int, OccurrenceStream] | None = None) -> bytes:
    """The segments as a file, their dependencies included; with other occurrences in some."""
    target, header = io.BytesIO(), segments.header
    with ContainerWriter(target, header) as writer:
        for index in range(header.segments):
            frames = header.segment_span(index)[1]
            context = StreamContext(header.samplerate, header.channels, frames, networks=header.networks)
            streams = dict(segments.streams[index])
            if occurrences and index in occurrences:
                streams[c.STREAM_OCCURRENCES] = occurrences[index]
            coded = tuple(coded_stream(kind, stream, context) for kind, stream in sorted(streams.items()))
            writer.add_segment(Segment(index, DEPENDENCIES.get(index, ()), coded))
    return target.getvalue()


def test_the_output_is_that_of_the_specification(segments: DecodedSegments, whole: np.ndarray) -> None:
    others = Synthesiser(segments, Choice(("events", "noise", "latent"))).render(0, FRAMES).astype(np.float64)
    streams = {index: segments.streams[index][c.STREAM_OCCURRENCES] for index in OCCURRENCES}
    expected = repeated_signal(segments.header, others, streams)
    np.testing.assert_allclose(whole, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(whole - others).max() > 0.01


@settings(max_examples=8, deadline=None)
@given(st.integers(0, FRAMES - 1), st.integers(1, 30_000))
def test_any_span_is_the_same_span_of_the_whole(
    segments: DecodedSegments, whole: np.ndarray, start: int, frames: int
) -> None:
    frames = min(frames, FRAMES - start)
    np.testing.assert_array_equal(Synthesiser(segments).render(start, frames), whole[:, start : start + frames])


def test_layers_and_occurrences_add_up(segments: DecodedSegments, whole: np.ndarray) -> None:
    def heard(*layers: str, occurrences: set[tuple[int, int]] | None = None) -> np.ndarray:
        return Synthesiser(segments, Choice(layers, occurrences)).render(0, FRAMES)

    places = [(index, row) for index, rows in OCCURRENCES.items() for row in range(len(rows))]
    parts = [heard("patterns", occurrences={place}) for place in places]
    np.testing.assert_allclose(sum(parts), heard("patterns"), atol=1e-5)
    np.testing.assert_allclose(sum(heard(name) for name in segments.header.layers), whole, atol=1e-5)


def test_what_is_copied_is_heard_again(segments: DecodedSegments, whole: np.ndarray) -> None:
    first = SEGMENT + 3 * N + N  # in the second copy, behind where it fades in
    np.testing.assert_array_equal(whole[:, first : first + 1000], whole[:, first - 9 * N : first - 9 * N + 1000])


def test_blocks_seeking_and_parts(segments: DecodedSegments, whole: np.ndarray) -> None:
    data = file_with(segments)
    with evc.open(io.BytesIO(data)) as file:
        blocks = np.concatenate(list(file.blocks(9999, always_2d=True)))
        np.testing.assert_array_equal(blocks.T, whole)
        file.seek(2 * SEGMENT - 50)
        np.testing.assert_array_equal(file.read(100, always_2d=True).T, whole[:, 2 * SEGMENT - 50 : 2 * SEGMENT + 50])
        file.verify(synthesis=True)
        assert len(file.occurrences) == 4
        part = io.BytesIO()
        report = evc.cut_file(file, part, SEGMENT + 5000, RATE)
    assert not report.coded_anew
    with evc.open(part) as file:
        np.testing.assert_array_equal(file.read(always_2d=True).T, whole[:, SEGMENT + 5000 : SEGMENT + 5000 + RATE])


def test_a_long_chain_of_copies_is_not_held_as_a_whole(network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each superframe repeats one a little earlier, from the beginning to the end of the file."""
    count, back = 40, 4
    header = latent_header(RATE, 2, count * N, segment_frames=count * N, layers=("patterns", "noise", "latent"))
    row = {"times": back * N * ONE, "lengths": (count - back) * N, "lags": back * N * ONE + 3}
    chain = DecodedSegments(header, {0: {c.STREAM_OCCURRENCES: occurrence_stream([row], RATE)}})
    sound = np.random.default_rng(1).normal(size=(2, count * N)).astype(np.float32)
    held: list[int] = []

    def last_superframe() -> np.ndarray:
        made = Repeats(chain, lambda start, frames: sound[:, start : start + frames], lambda *_: None)
        render = made._render
        monkeypatch.setattr(made, "_render", lambda *at: held.append(len(made._done)) or render(*at))
        return made.fetch((count - 1) * N, N)

    expected = last_superframe()
    assert max(held) > count // 2
    held.clear()
    monkeypatch.setattr(repeats, "KEPT_BYTES", 1)
    np.testing.assert_array_equal(last_superframe(), expected)
    assert len(held) > count // 2 > 2 * back >= max(held)


def test_absurd_gains_are_no_errors(segments: DecodedSegments) -> None:
    rows = [{"lengths": N, "lags": 6 * N * ONE, "gains": np.full((1, 1), level)} for level in (2048, -2048)]
    loud = segments.streams | {1: segments.streams[1] | {
        c.STREAM_OCCURRENCES: occurrence_stream(rows, RATE, gain_resolution=1)
    }}  # fmt: skip
    heard = Synthesiser(DecodedSegments(segments.header, loud)).render(SEGMENT, 3 * N)
    assert heard.shape == (2, 3 * N)


def test_a_lost_segment_is_silent_where_it_is_repeated(segments: DecodedSegments, whole: np.ndarray) -> None:
    data = file_with(segments)
    damaged = with_flipped_bit(data, segment_places(data)[1].offset + 60)
    with evc.open(io.BytesIO(damaged), salvage=True) as file:
        found = file.read(always_2d=True).T
        spans = [(span.start, span.frames) for span in file.damage]
    assert spans[0][0] == 0 or spans[0] == (SEGMENT, SEGMENT)
    assert not found[:, SEGMENT : 2 * SEGMENT].any()
    inside = slice(2 * SEGMENT + 4 * N, 3 * SEGMENT - N)  # copied from the lost segment
    assert np.abs(found[:, inside]).max() < 1e-6 < np.abs(whole[:, inside]).max()


def test_gains_by_band_are_refused(segments: DecodedSegments) -> None:
    data = file_with(segments, {4: occurrence_stream(OCCURRENCES[4], RATE, stride=4)})
    with evc.open(io.BytesIO(data)) as file, pytest.raises(FormatError, match="by plane or band"):
        file.verify()


def test_placements_are_refused() -> None:
    with pytest.raises(FormatError, match="placement"):
        check_repeats(occurrence_stream([{"patterns": 0}], RATE))


def test_the_command_tells_of_copies(segments: DecodedSegments, tmp_path: Path) -> None:
    path = tmp_path / "a.evc"
    path.write_bytes(file_with(segments))
    listed = json.loads(run("patterns", path, "--json").stdout)
    assert sum(len(row["uses"]) for row in listed["patterns"]) == 4
    with evc.open(path) as file:
        bits = {layer.name: layer.bits for layer in file.stats(symbols=False).layers}
    assert bits["patterns"] > 0 and bits["latent"] > 0
