"""Files with latents, as they are encoded: bytes meet the bitrate, whatever the input."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tools import (
    FRAMES,
    RATE,
    SEGMENT,
    UNIT,
    file_of,
    latent_header,
    music,
    network_installed,
    random_network,
    streams_of,
)
from test_events_pipeline import planted

import evc
from evc.format import constants as c
from evc.format.errors import InputError
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.writer import ContainerWriter
from evc.models.encoded import Encoded
from evc.models.latents import rendering
from evc.models.latents.encoder import LatentEncoder, analysed, chosen_way
from evc.models.latents.inference import LatentInference
from evc.models.latents.layout import DIMENSIONS, LATENTS_NETWORK, SAMPLES_PER_COLUMN
from evc.models.latents.planes import from_planes, to_planes
from evc.models.latents.quantise import LatentQuantiser
from evc.models.latents.rendering import step_size
from evc.models.latents.ways import Score, Way, sampled
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LatentInference]:
    made = random_network()
    with network_installed(tmp_path_factory.mktemp("weights"), made) as reference:
        yield rendering._loaded(reference, "cpu")


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the decomposition of any source finds."""

    def decompose(source: Any, header: Header, *_: Any) -> Any:
        return planted(30, header.known_frames), np.ones(30)

    monkeypatch.setattr("evc.models.events.decompose.decompose", decompose)


@pytest.mark.parametrize("channels", [1, 2])
def test_planes(channels: int) -> None:
    audio = np.random.default_rng(0).standard_normal((channels, 100)).astype(np.float32)
    planes = to_planes(audio)
    np.testing.assert_allclose(from_planes(planes, channels), audio, atol=1e-6)
    np.testing.assert_allclose(planes[0], audio.mean(axis=0), atol=1e-6)
    assert channels == 2 or not planes[1].any()


def test_latents_do_not_depend_on_units(network: LatentInference, monkeypatch: pytest.MonkeyPatch) -> None:
    header = latent_header(RATE, 2, FRAMES, segment_frames=SEGMENT)
    streams = {index: kinds | {} for index, kinds in streams_of(header).items()}
    for kinds in streams.values():
        del kinds[c.STREAM_LATENT]
    header = replace(header, layers=("events", "noise"), networks=header.networks[:1])
    with evc.open(io.BytesIO(file_of(streams, header))) as file:
        described = Encoded(header, [file.container.segment(index) for index in range(header.segments)])
    source = ArraySource(music(FRAMES / RATE), RATE)
    found = []
    for unit in (UNIT, 1000):
        monkeypatch.setattr(rendering, "UNIT_COLUMNS", unit)
        found.append(analysed(source, described, network).astype(np.float64))
    assert found[0].shape == (-(-FRAMES // SAMPLES_PER_COLUMN), DIMENSIONS) and np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[0], found[1], atol=2e-3 * np.abs(found[0]).max())


@pytest.mark.parametrize("segments_frames, target", [(FRAMES, 500), (FRAMES, 5000), (SEGMENT, 3000)])
def test_latents_are_as_fine_as_bytes_allow(network: LatentInference, segments_frames: int, target: int) -> None:
    superframe = c.superframe_length(RATE)
    header = latent_header(RATE, 2, FRAMES, segment_frames=-(-segments_frames // superframe) * superframe)
    columns = -(-FRAMES // SAMPLES_PER_COLUMN)
    latents = np.random.default_rng(1).laplace(0, 40, (columns, DIMENSIONS))
    latents[:, 8:] /= 20
    latents[: columns // 3] = 0
    empty = Encoded(header, [Segment(index) for index in range(header.segments)])
    total = target + empty.bytes()
    found = LatentQuantiser(empty, latents.astype(np.float16), total).run()
    segments = list(found.segments)
    assert Encoded(header, segments).bytes() == pytest.approx(total, rel=0.02)
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        for segment in segments:
            writer.add_segment(segment)
    with evc.open(file) as opened:
        decoded = opened._links[0].decoder.decode(range(header.segments))
    streams = [kinds[c.STREAM_LATENT] for kinds in decoded.values() if kinds]
    (step,) = {step_size(stream.step) for stream in streams}
    values = np.zeros_like(latents)
    for index, kinds in decoded.items():
        at = header.segment_span(index)[0] // SAMPLES_PER_COLUMN
        if kinds:
            values[at : at + len(kinds[c.STREAM_LATENT].latents)] = kinds[c.STREAM_LATENT].latents * step
    assert np.abs(values - latents).max() < 2 * step
    assert np.square(values - latents).mean() <= np.square(latents * (np.abs(latents) < step)).mean() + step**2 / 12


@pytest.mark.parametrize("channels, rate, bitrate", [(2, 32_000, 4.0), (1, 48_000, 3.0), (2, 44_100, 5.0)])
def test_a_file_of_latents(
    network: LatentInference, few_events: None, channels: int, rate: int, bitrate: float
) -> None:
    audio = music(2.5, channels, rate)[:-77]
    data = evc.encode(audio, rate, bitrate=bitrate, hints="latent")
    assert 8 * len(data) / (len(audio) / rate) / 1000 <= 1.02 * bitrate
    info = evc.info(io.BytesIO(data))
    assert info.hints == "latent" and info.layers[-1] == "latent" and info.networks[-1] == LATENTS_NETWORK
    with evc.open(io.BytesIO(data)) as file:
        assert f"latent {bitrate:g}" in file.tags["encoder"]
        decoded = file.read(always_2d=True)
        rows = {row["layer"]: row["bits"] for row in file.stats().rows() if row["level"] == "layer"}
        assert file.stats().as_dict()["networks"] == list(info.networks)
        np.testing.assert_allclose(sum(file.render([name]) for name in file.layers), decoded, atol=1e-5)
    assert decoded.shape == audio.shape and rows["latent"] > 0


@pytest.mark.parametrize("frames", [0, 1, 100, 5000])
def test_the_shortest_files(network: LatentInference, few_events: None, frames: int) -> None:
    data = evc.encode(np.full((frames, 2), 0.3, np.float32), RATE, hints="latent")
    assert evc.decode(data)[0].shape == (frames, 2)


def test_silence_costs_next_to_nothing_and_stays_silent(network: LatentInference) -> None:
    data = evc.encode(np.zeros((20 * RATE, 2), np.float32), RATE, hints="latent")
    assert len(data) < 300 and evc.info(io.BytesIO(data)).layers == ()
    assert not evc.decode(data)[0].any()


def test_silence_within_a_file_has_no_latents(network: LatentInference, monkeypatch: pytest.MonkeyPatch) -> None:
    none = planted(0)
    monkeypatch.setattr("evc.models.events.decompose.decompose", lambda *_: (none, np.ones(0)))
    audio = music(6.0)
    audio[2 * RATE : 5 * RATE] = 0
    data = evc.encode(audio, RATE, bitrate=6, hints="latent")
    with evc.open(io.BytesIO(data)) as file:
        (latents,) = [kinds[c.STREAM_LATENT].latents for kinds in file._links[0].decoder.decode([0]).values()]
        decoded = file.read(dtype="int16")
    assert not decoded[round(2.2 * RATE) : round(4.8 * RATE)].any()
    column = RATE / SAMPLES_PER_COLUMN
    assert not latents[round(2.3 * column) : round(4.7 * column)].any() and latents.any()


def test_samples_that_are_not_finite_or_far_too_loud(network: LatentInference, few_events: None) -> None:
    for value in (np.nan, np.inf, 1e9):
        audio = music(0.5)
        audio[100] = value
        with pytest.raises(InputError):
            evc.encode(audio, RATE, bitrate=4, hints="latent")


def test_progress_goes_up_to_the_end(network: LatentInference, few_events: None) -> None:
    calls: list[tuple[float, float]] = []
    evc.encode(music(2.0), RATE, bitrate=4, hints="latent", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1] == (2.0, 2.0) and len(calls) > 4
    assert {total for _, total in calls} == {2.0}


def test_what_is_beside_latents_is_what_sounds_better(
    network: LatentInference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where events are no better by much than noise alone, they are not worth the time to look for them; where noise
    alone leaves the tones in their places, they are not even tried."""
    tried: list[Way] = []

    def encode(self: LatentEncoder, way: Way, *_: Any) -> Encoded:
        tried.append(way)
        return Encoded(Header(RATE, 2, 1), [Segment(0)])

    monkeypatch.setattr(LatentEncoder, "encode", encode)
    source, asked = ArraySource(music(2.0), RATE), EncodeSettings(bitrate=6, hints="latent")
    for noise, event, chosen in ((1.0, 0.9, True), (1.0, 0.98, False), (1.0, 1.2, False)):
        left = [Score(noise, 0.8), Score(event, 0.8)]
        monkeypatch.setattr("evc.models.latents.encoder.heard_as", lambda *_, left=left: left.pop(0))
        assert chosen_way(source, asked).events == chosen
    assert [way.events for way in tried] == [False, True] * 3
    monkeypatch.setattr("evc.models.latents.encoder.heard_as", lambda *_: Score(1.0, 0.9))
    assert not chosen_way(source, asked).events and len(tried) == 7


@settings(max_examples=20)
@given(st.integers(1, 300_000))
def test_samples_are_a_few_seconds_from_all_over(frames: int) -> None:
    ramp = np.arange(frames, dtype=np.float32) / frames
    sample = sampled(ArraySource(ramp, 8_000))
    found = sample.read(0, sample.frames)[0]
    assert 1 <= len(found) <= min(frames, 12 * 8_000)
    assert (np.diff(found) > 0).all() and 1 - found[-1] == pytest.approx(found[0], abs=2 / frames + 1e-6)


# As a user runs it, with the package's own network


def test_from_the_command_line(run_evc: Any, tmp_path: Any) -> None:
    audio = music(1.0, rate=44_100)
    soundfile.write(tmp_path / "in.wav", audio, 44_100)
    coded = run_evc("encode", "--bitrate", "6", "--hints", "latent", "--verify", "in.wav", "-", cwd=tmp_path)
    assert coded.returncode == 0, coded.stderr
    (tmp_path / "a.evc").write_bytes(coded.stdout)
    assert len(coded.stdout) <= 1.02 * 6 * 125
    info = run_evc("info", "a.evc", cwd=tmp_path).stdout.decode()
    assert "latent" in info and LATENTS_NETWORK in info
    stats = run_evc("stats", "a.evc", cwd=tmp_path).stdout.decode()
    assert LATENTS_NETWORK in stats
    report = json.loads(run_evc("stats", "--json", "a.evc", cwd=tmp_path).stdout)
    assert "latent" in {row["layer"] for row in report["rows"]} and report["networks"][-1] == LATENTS_NETWORK
    decoded = run_evc("decode", "-", "-", cwd=tmp_path, stdin=coded.stdout)
    samples, rate = soundfile.read(io.BytesIO(decoded.stdout))
    assert (samples.shape, rate) == (audio.shape, 44_100)


def test_what_the_command_refuses(run_evc: Any, tmp_path: Any) -> None:
    soundfile.write(tmp_path / "in.wav", music(0.2, rate=22_050), 22_050)
    wrong = run_evc("encode", "--hints", "latent", "in.wav", "a.evc", cwd=tmp_path)
    assert wrong.returncode == 1 and b"32 to 48 kHz" in wrong.stderr and not (tmp_path / "a.evc").exists()
    wrong = run_evc("encode", "--hints", "latent", "--bitrate", "20", "in.wav", "a.evc", cwd=tmp_path)
    assert wrong.returncode == 2 and b"at most 16" in wrong.stderr
