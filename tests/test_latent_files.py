"""Files with latents: any span is that of the whole, layers add up, bytes meet the bitrate, damage stays put."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tools import latent_header, network_installed, random_latents, random_network
from synthesis_tools import DecodedSegments
from test_events_pipeline import planted

import evc
from evc.event_files import event_streams
from evc.format import constants as c
from evc.format.errors import DamagedError, FormatError, InputError, UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.networks import LATENTS_NETWORK
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.writer import ContainerWriter
from evc.models.device import one_thread
from evc.models.encoded import Encoded
from evc.models.latents import rendering
from evc.models.latents.encoder import LatentEncoder, analysed, chosen_way
from evc.models.latents.network import DIMENSIONS, SAMPLES_PER_COLUMN, LatentNetwork
from evc.models.latents.planes import from_planes, to_planes
from evc.models.latents.quantise import LatentQuantiser
from evc.models.latents.rendering import step_size
from evc.models.latents.ways import Score, Way, sampled
from evc.models.noise.encoder import NoiseEncoder
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.synthesis import Selection, Synthesiser

RATE = 32_000
SEGMENT = 12 * c.superframe_length(RATE)  # 0.77 s
FRAMES = 4 * SEGMENT + 3333
UNIT = 7  # columns: in tests, so that there are many


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LatentNetwork]:
    made = random_network()
    with network_installed(tmp_path_factory.mktemp("weights"), made) as reference:
        yield rendering._loaded(reference, "cpu")


@pytest.fixture
def short_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "UNIT_COLUMNS", UNIT)


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the decomposition of any source finds."""

    def decompose(source: Any, header: Header, *_: Any) -> Any:
        return planted(30, header.known_frames), np.ones(30)

    monkeypatch.setattr("evc.models.events.decompose.decompose", decompose)


def streams_of(header: Header) -> dict[int, dict[int, Any]]:
    """Events, noise and latents of every segment."""
    found: dict[int, dict[int, Any]] = {index: {} for index in range(header.segments)}
    for index, stream in event_streams(planted(40, header.known_frames), header).items():
        found[index][c.STREAM_EVENTS] = stream
    encoder, random = NoiseEncoder(header.samplerate, header.channels), np.random.default_rng(2)
    for index, latents in random_latents(header).items():
        frames = header.segment_span(index)[1] + 2 * encoder.margin
        hiss = 0.02 * random.standard_normal((header.channels, frames))
        found[index][c.STREAM_NOISE] = encoder.encode(hiss, np.zeros_like(hiss))
        found[index][c.STREAM_LATENT] = latents
    return found


def file_of(streams: dict[int, dict[int, Any]], header: Header) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        for index in range(header.segments):
            frames = header.segment_span(index)[1]
            context = StreamContext(header.samplerate, header.channels, frames, networks=header.networks)
            coded = [coded_stream(kind, stream, context) for kind, stream in sorted(streams[index].items())]
            writer.add_segment(Segment(index, streams=tuple(coded)))
    return file.getvalue()


@pytest.fixture(scope="module", params=[1, 2])
def segments(request: pytest.FixtureRequest, network: LatentNetwork) -> DecodedSegments:
    header = latent_header(RATE, request.param, FRAMES, segment_frames=SEGMENT)
    return DecodedSegments(header, streams_of(header))


@pytest.fixture(scope="module")
def whole(segments: DecodedSegments) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "UNIT_COLUMNS", UNIT)
        return Synthesiser(segments).render(0, FRAMES)


def music(seconds: float, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Decaying tones over noise: float32 [frames, channels]."""
    random, time = np.random.default_rng(5), np.arange(int(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-6 * ((time - at) % 0.5)) for hertz, at in ((220, 0), (660, 0.2))
    )
    return (0.2 * tones[:, None] + 0.02 * random.standard_normal((len(time), channels))).astype(np.float32)


# Synthesis


def test_the_layer_is_what_the_network_makes_of_the_others(
    segments: DecodedSegments, whole: np.ndarray, network: LatentNetwork
) -> None:
    """Computed for the whole file at once, whatever the units are."""
    header, channels = segments.header, segments.header.channels
    y = Synthesiser(segments, Selection(("events", "noise"))).render(0, FRAMES)
    noise = Synthesiser(segments, Selection(("noise",))).render(0, FRAMES)
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
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    assert np.abs(whole - y).max() > 1e-3


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
    parts = [Synthesiser(segments, Selection((name,))).render(0, FRAMES) for name in segments.header.layers]
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


@pytest.mark.parametrize("channels, rate, superframes", [(3, 44_100, 4), (2, 8_000, 3)])
def test_files_that_cannot_have_latents(network: LatentNetwork, channels: int, rate: int, superframes: int) -> None:
    length = superframes * c.superframe_length(rate)
    header = latent_header(rate, channels, 2 * length, segment_frames=length)
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        for index in range(header.segments):
            writer.add_segment(Segment(index))
    with evc.open(file) as opened, pytest.raises(FormatError, match="cannot have latents"):
        opened.read()


# Encoder


@pytest.mark.parametrize("channels", [1, 2])
def test_planes(channels: int) -> None:
    audio = np.random.default_rng(0).standard_normal((channels, 100)).astype(np.float32)
    planes = to_planes(audio)
    np.testing.assert_allclose(from_planes(planes, channels), audio, atol=1e-6)
    np.testing.assert_allclose(planes[0], audio.mean(axis=0), atol=1e-6)
    assert channels == 2 or not planes[1].any()


def test_latents_do_not_depend_on_units(network: LatentNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
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
        found.append(analysed(source, described, network, "cpu").astype(np.float64))
    assert found[0].shape == (-(-FRAMES // SAMPLES_PER_COLUMN), DIMENSIONS) and np.abs(found[0]).max() > 0.01
    np.testing.assert_allclose(found[0], found[1], atol=2e-3 * np.abs(found[0]).max())


@pytest.mark.parametrize("segments_frames, target", [(FRAMES, 500), (FRAMES, 5000), (SEGMENT, 3000)])
def test_latents_are_as_fine_as_bytes_allow(network: LatentNetwork, segments_frames: int, target: int) -> None:
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
        decoded = opened._decoder.decode(range(header.segments))
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
def test_a_file_of_latents(network: LatentNetwork, few_events: None, channels: int, rate: int, bitrate: float) -> None:
    audio = music(4.0, channels, rate)[:-77]
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
def test_the_shortest_files(network: LatentNetwork, few_events: None, frames: int) -> None:
    data = evc.encode(np.full((frames, 2), 0.3, np.float32), RATE, hints="latent")
    assert evc.decode(data)[0].shape == (frames, 2)


def test_silence_costs_next_to_nothing_and_stays_silent(network: LatentNetwork) -> None:
    data = evc.encode(np.zeros((20 * RATE, 2), np.float32), RATE, hints="latent")
    assert len(data) < 300 and evc.info(io.BytesIO(data)).layers == ()
    assert not evc.decode(data)[0].any()


def test_silence_within_a_file_has_no_latents(network: LatentNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    none = planted(0)
    monkeypatch.setattr("evc.models.events.decompose.decompose", lambda *_: (none, np.ones(0)))
    audio = music(6.0)
    audio[2 * RATE : 5 * RATE] = 0
    data = evc.encode(audio, RATE, bitrate=6, hints="latent")
    with evc.open(io.BytesIO(data)) as file:
        (latents,) = [kinds[c.STREAM_LATENT].latents for kinds in file._decoder.decode([0]).values()]
        decoded = file.read(dtype="int16")
    assert not decoded[round(2.2 * RATE) : round(4.8 * RATE)].any()
    column = RATE / SAMPLES_PER_COLUMN
    assert not latents[round(2.3 * column) : round(4.7 * column)].any() and latents.any()


def test_samples_that_are_not_finite_or_far_too_loud(network: LatentNetwork, few_events: None) -> None:
    for value in (np.nan, np.inf, 1e9):
        audio = music(0.5)
        audio[100] = value
        with pytest.raises(InputError):
            evc.encode(audio, RATE, bitrate=4, hints="latent")


def test_progress_goes_up_to_the_end(network: LatentNetwork, few_events: None) -> None:
    calls: list[tuple[float, float]] = []
    evc.encode(music(2.0), RATE, bitrate=4, hints="latent", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1] == (2.0, 2.0) and len(calls) > 4
    assert {total for _, total in calls} == {2.0}


def test_what_is_beside_latents_is_what_sounds_better(network: LatentNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
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


# Settings


@pytest.mark.parametrize(
    "asked, hints, bitrate, quality",
    [
        ({}, "spectrum", None, 6),
        ({"bitrate": 1.4}, "noise", 1.4, None),
        ({"bitrate": 1.5}, "latent", 1.5, None),
        ({"bitrate": 13.9}, "latent", 13.9, None),
        ({"bitrate": 14}, "spectrum", 14, None),
        ({"bitrate": 6, "hints": "spectrum"}, "spectrum", 6, None),
        ({"bitrate": 12, "hints": "latent"}, "latent", 12, None),
        ({"hints": "latent"}, "latent", 6, None),
        ({"hints": "noise"}, "noise", 1, None),
        ({"hints": "noise", "bitrate": 6}, "noise", 6, None),
        ({"hints": "spectrum"}, "spectrum", None, 6),
    ],
)
def test_what_is_chosen(asked: dict[str, Any], hints: str, bitrate: float | None, quality: float | None) -> None:
    found = EncodeSettings(**asked).settled(44_100, 2)
    assert (found.hints, found.bitrate, found.quality) == (hints, bitrate, quality)


@pytest.mark.parametrize("source", [(44_100, 3), (22_050, 2), (96_000, 1)])
def test_what_is_chosen_where_latents_cannot_be(source: tuple[int, int]) -> None:
    assert EncodeSettings(bitrate=5.9).settled(*source).hints == "noise"
    assert EncodeSettings(bitrate=6).settled(*source).hints == "spectrum"
    with pytest.raises(InputError, match="1 or 2 channels at 32 to 48 kHz"):
        EncodeSettings(hints="latent").settled(*source)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"hints": "latent", "bitrate": 1.1}, "at least 1.2 kbit/s for the hints latent"),
        ({"hints": "latent", "bitrate": 17}, "at most 16 kbit/s for the hints latent"),
        ({"hints": "latent", "quality": 3}, "no quality"),
        ({"hints": "noise", "bitrate": 7}, "at most 6 kbit/s"),
        ({"hints": "spectrum", "bitrate": 5}, "at least 6 kbit/s"),
        ({"hints": "latent", "loop": True}, "hold no loop"),
        ({"hints": "loud"}, "auto, noise, latent, spectrum"),
    ],
)
def test_settings_that_cannot_be(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodeSettings(**asked)


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
