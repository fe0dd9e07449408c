"""Files of events and noise: planted events come out as they were planted, from any place; bytes meet the bitrate."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis_tools import DecodedSegments

import evc
from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.errors import InputError, UnsupportedError
from evc.format.events import by_segment
from evc.format.header import Header, NetworkReference
from evc.format.networks import installed_network
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.events import EventStream
from evc.format.writer import ContainerWriter
from evc.models.events.columns import EventColumns
from evc.models.events.layer import LONGEST_EVENT, event_renderer
from evc.models.events.vectors import EVENTS_NETWORK, PART_INDEX, PARTS
from evc.models.noise.encoder import NoiseEncoder
from evc.models.overlay import UNIT_SUPERFRAMES
from evc.models.settings import EncodeSettings
from evc.models.synthesis import Choice, Synthesiser

RATE = 8_000
SUPERFRAME = c.superframe_length(RATE)
PER_SEGMENT = 24  # 3 s: what begins in one sounds in up to two more
FRAMES = 8 * PER_SEGMENT * SUPERFRAME + 3333
UNIT = UNIT_SUPERFRAMES * SUPERFRAME


def planted(count: int, frames: int = FRAMES, seed: int = 0) -> EventStream:
    """Events anywhere in a file: damped tones, some with partials, noise and rooms."""
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(0, part.codes, count) for part in PARTS], axis=1)
    codes[:, 0] = random.integers(64 * 45, 64 * 85, count)
    for name in ("deform", "noise", "room"):
        codes[random.random(count) < 0.8, PART_INDEX[name]] = 0
    times = np.sort(random.integers(0, frames << c.DEFAULT_PHASE_BITS, count))
    levels, pans = random.integers(-24, -12, count), random.integers(-8, 9, count)
    return EventStream(times, levels, pans, codes, pan_steps=8)


def header_of(frames: int = FRAMES, channels: int = 2, **fields: Any) -> Header:
    fields = {"layers": ("events", "noise"), "segment_frames": PER_SEGMENT * SUPERFRAME} | fields
    return Header(RATE, channels, frames, networks=(installed_network(EVENTS_NETWORK),), **fields)


def truth(events: EventStream, frames: int = FRAMES, channels: int = 2) -> np.ndarray:
    """What events sound like: [frames, channels]."""
    header = header_of(frames, channels)
    columns = EventColumns.of(events, RATE, header.phase_bits, header.networks[0])
    return event_renderer(header.networks[0], header).render(*columns, 0, frames).T


def streams_of(events: EventStream, header: Header, hiss: np.ndarray | None = None) -> dict[int, dict[int, Any]]:
    """The streams of every segment; `hiss` [channels, frames] is what the noise is to be like."""
    found: dict[int, dict[int, Any]] = {index: {} for index in range(header.segments)}
    for index, stream in by_segment(events, header).items():
        found[index][c.STREAM_EVENTS] = stream
    encoder = NoiseEncoder(header.samplerate, header.channels)
    padded = None if hiss is None else np.pad(hiss, ((0, 0), (encoder.margin, encoder.margin)))
    for index in range(header.segments if padded is not None else 0):
        start, frames = header.segment_span(index)
        part = padded[:, start : start + frames + 2 * encoder.margin]
        found[index][c.STREAM_NOISE] = encoder.encode(part, np.zeros_like(part))
    return found


def file_of(streams: dict[int, dict[int, Any]], header: Header) -> bytes:
    output = io.BytesIO()
    with ContainerWriter(output, header) as writer:
        for index, kinds in streams.items():
            coded = []
            for kind, stream in sorted(kinds.items()):
                encoder = SymbolEncoder()
                context = StreamContext(header.samplerate, header.channels, header.segment_span(index)[1])
                stream.write(encoder, context)
                done = encoder.finish()
                coded.append(StreamData(kind, done.words, done.symbols, done.checksum))
            writer.add_segment(Segment(index, streams=tuple(coded)))
    return output.getvalue()


@pytest.fixture(scope="module")
def events() -> EventStream:
    return planted(60)


@pytest.fixture(scope="module")
def streams(events: EventStream) -> dict[int, dict[int, Any]]:
    hiss = 0.01 * np.random.default_rng(2).standard_normal((2, FRAMES))
    return streams_of(events, header_of(), hiss)


@pytest.fixture(scope="module")
def data(streams: dict[int, dict[int, Any]]) -> bytes:
    return file_of(streams, header_of())


@pytest.fixture(scope="module")
def decoded(data: bytes) -> np.ndarray:
    return evc.decode(data)[0]


# Synthesis


def test_planted_events_sound_as_they_were_planted(data: bytes, events: EventStream) -> None:
    expected = truth(events)
    with evc.open(io.BytesIO(data)) as file:
        found = file.render(["events"])
        both = file.render()
        noise = file.render(["noise"])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(both, found + noise, atol=1e-6)
    assert 0.005 < np.sqrt(np.square(noise).mean()) < 0.02


@settings(max_examples=15)
@given(st.integers(0, FRAMES - 1), st.integers(1, 3000))
def test_any_span_is_the_same_span_of_the_whole(data: bytes, decoded: np.ndarray, start: int, frames: int) -> None:
    with evc.open(io.BytesIO(data)) as file:
        file.seek(start)
        np.testing.assert_array_equal(file.read(frames), decoded[start : start + frames])


@pytest.mark.parametrize("block", [UNIT, 5000])
def test_blocks_of_any_length_make_the_whole(data: bytes, decoded: np.ndarray, block: int) -> None:
    with evc.open(io.BytesIO(data)) as file:
        np.testing.assert_array_equal(np.concatenate(list(file.blocks(block))), decoded)


def test_an_event_sounds_on_in_segments_that_know_nothing_of_it() -> None:
    """Also in one that is long after it, where it has died away."""
    one = planted(1).chosen([0])
    one.times[:] = (PER_SEGMENT * SUPERFRAME - 100) << c.DEFAULT_PHASE_BITS
    for name, code in (("length", 7), ("decay", 15), ("noise", 0)):
        one.codes[:, PART_INDEX[name]] = code
    data = file_of(streams_of(one, header_of()), header_of())
    found = evc.decode(data)[0]
    np.testing.assert_allclose(found, truth(one), atol=1e-6)
    segment = PER_SEGMENT * SUPERFRAME
    assert np.abs(found[segment : 2 * segment]).max() > 0.01
    assert not found[segment + round(LONGEST_EVENT * RATE) :].any()


def test_every_segment_is_decoded_a_few_times_at_most(streams: dict[int, dict[int, Any]]) -> None:
    segments = DecodedSegments(header_of(), streams)
    synthesiser = Synthesiser(segments)
    for start in range(0, FRAMES, 3000):
        synthesiser.render(start, min(3000, FRAMES - start))
    assert max(np.bincount(segments.asked)) <= 2


def test_other_events_in_place_of_those_of_the_file(data: bytes, events: EventStream) -> None:
    some = events.chosen(slice(10, 20))
    with evc.open(io.BytesIO(data)) as file:
        chosen = file.events[10:20]
        np.testing.assert_allclose(file.render(events=chosen), truth(some), atol=1e-6)
        later = file.render(events=chosen.shifted(0.5))
    np.testing.assert_allclose(later[RATE // 2 :], truth(some)[: -(RATE // 2)], atol=1e-4)


def test_events_beside_a_spectrum_add_to_it(encoded: bytes, whole: np.ndarray) -> None:
    """In a file that has both, as another encoder may write it."""
    with evc.open(io.BytesIO(encoded)) as file:
        spectra = {index: file._links[0].decoder.decode([index])[index] for index in range(len(file.segments))}
        header = file.header
    header = replace(header, layers=("events", "spectrum"), networks=(installed_network(EVENTS_NETWORK),))
    streams = by_segment(planted(20, header.known_frames), header)
    both = {
        index: kinds | {c.STREAM_EVENTS: streams[index]} if index in streams else kinds
        for index, kinds in spectra.items()
    }
    sum_of_parts = [
        Synthesiser(DecodedSegments(header, both), Choice((layer,))).render(0, header.known_frames)
        for layer in header.layers
    ]
    found = Synthesiser(DecodedSegments(header, both)).render(0, header.known_frames)
    np.testing.assert_allclose(found, sum(sum_of_parts), atol=1e-5)
    np.testing.assert_allclose(sum_of_parts[1].T, whole, atol=1e-6)


def test_salvage_loses_a_segment_and_the_tails_of_its_events(data: bytes, decoded: np.ndarray) -> None:
    segment, lost = PER_SEGMENT * SUPERFRAME, 2
    damaged = with_flipped_bit(data, segment_places(data)[lost].offset + 60)
    with evc.open(io.BytesIO(damaged), salvage=True) as file:
        found = file.read()
        assert [(span.start, span.frames) for span in file.damage] == [(lost * segment, segment)]
    margin = c.superframe_length(RATE)  # noise of two segments overlaps
    assert not found[lost * segment : (lost + 1) * segment].any()
    np.testing.assert_array_equal(found[: lost * segment - margin], decoded[: lost * segment - margin])
    after = (lost + 1) * segment + round(LONGEST_EVENT * RATE) + UNIT
    np.testing.assert_array_equal(found[after:], decoded[after:])
    assert np.abs(found[(lost + 1) * segment :]).max() > 0


# Networks


def test_wrong_weights_are_an_error_that_names_the_network(events: EventStream, tmp_path: Any) -> None:
    """Before any audio; what needs no network is there."""
    header = replace(header_of(), networks=(NetworkReference(EVENTS_NETWORK, b"anything"),))
    path = tmp_path / "other.evc"
    path.write_bytes(file_of(streams_of(events, header), header))
    with pytest.raises(UnsupportedError, match=EVENTS_NETWORK):
        evc.decode_file(path, tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()
    assert evc.info(path).networks == (EVENTS_NETWORK,)
    with evc.open(path) as file:
        assert len(file.events.times) == len(events)
        assert file.stats().layers[0].name == "events"
        with pytest.raises(UnsupportedError, match=EVENTS_NETWORK):
            file.verify(synthesis=True)


# Encoding


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """found(events, gains): what the decomposition of any source finds."""

    def install(events: EventStream, gains: np.ndarray | None = None) -> None:
        gains = np.ones(len(events)) if gains is None else gains

        def decompose(*arguments: Any) -> tuple[EventStream, np.ndarray]:
            if progress := arguments[4]:
                progress(1, 2)
            return events, gains

        monkeypatch.setattr("evc.models.events.decompose.decompose", decompose)

    return install


@pytest.mark.parametrize("bitrate, channels, seconds", [(0.6, 2, 40), (2, 1, 12), (4, 2, 10)])
def test_the_bytes_meet_the_bitrate(found: Any, bitrate: float, channels: int, seconds: int) -> None:
    """Also of two segments, and of one."""
    candidates = planted(3000, seconds * RATE)
    random = np.random.default_rng(5)
    audio = truth(candidates.chosen(slice(0, 60)), seconds * RATE, channels)
    audio += 0.05 * random.standard_normal((len(audio), channels)) * (1 + np.sin(np.arange(len(audio)) / RATE))[:, None]
    if channels == 1:
        candidates.pans[:] = 0
    found(candidates, random.random(3000))
    data = evc.encode(audio, RATE, bitrate=bitrate)
    assert len(data) == pytest.approx(bitrate * 125 * seconds, rel=0.02)
    with evc.open(io.BytesIO(data)) as file:
        assert file.layers == ("events", "noise") and [n.id for n in file.networks] == [EVENTS_NETWORK]
        assert f"events {bitrate:g}" in file.tags["encoder"]
        file.verify(synthesis=True)


def test_events_of_most_gain_stay(found: Any) -> None:
    candidates, gains = planted(400, 10 * RATE), np.random.default_rng(3).random(400)
    found(candidates, gains)
    data = evc.encode(truth(candidates, 10 * RATE), RATE, bitrate=1)
    with evc.open(io.BytesIO(data)) as file:
        times = set(np.rint(file.events.times * RATE * 32).astype(int))
    best = [gain for time, gain in zip(candidates.times, gains, strict=True) if int(time) in times]
    assert 0 < len(best) < 300 and min(best) == np.sort(gains)[-len(best)]


def test_a_density_beyond_the_limits_is_thinned_out(found: Any) -> None:
    crowd = planted(2000, SUPERFRAME)
    found(crowd)
    data = evc.encode(truth(crowd.chosen(slice(0, 20)), 2 * RATE), RATE, bitrate=6, hints="noise")
    assert len(evc.decode(data)[0]) == 2 * RATE


def test_without_events_that_pay_noise_stands_alone(found: Any) -> None:
    found(planted(0))
    hiss = 0.1 * np.random.default_rng(0).standard_normal((4 * RATE, 2)).astype(np.float32)
    data = evc.encode(hiss, RATE, hints="noise")
    with evc.open(io.BytesIO(data)) as file:
        assert file.layers == ("noise",) and file.networks == ()
        decoded = file.read()
    assert np.sqrt(np.square(decoded).mean()) == pytest.approx(0.1, rel=0.15)


def test_silence_costs_next_to_nothing(found: Any) -> None:
    found(planted(0))
    data = evc.encode(np.zeros((120 * RATE, 2), np.float32), RATE, hints="noise")
    assert len(data) < 300 and evc.info(io.BytesIO(data)).layers == ()
    assert not evc.decode(data)[0].any()


@pytest.mark.parametrize("frames", [0, 1, 100])
def test_the_shortest_files(found: Any, frames: int) -> None:
    found(planted(0))
    data = evc.encode(np.full((frames, 1), 0.3, np.float32), RATE, hints="noise")
    assert len(evc.decode(data)[0]) == frames


def test_progress_goes_up_to_the_end(found: Any) -> None:
    found(planted(30, 5 * RATE))
    calls: list[tuple[float, float]] = []
    evc.encode(truth(planted(30, 5 * RATE), 5 * RATE), RATE, hints="noise", progress=lambda *call: calls.append(call))
    done = [call[0] for call in calls]
    assert done == sorted(done) and calls[-1] == (5.0, 5.0) and len(calls) > 2


def test_more_channels_than_events_have() -> None:
    with pytest.raises(InputError, match="1 or 2 channels, not 3"):
        evc.encode(np.zeros((1000, 3)), RATE, hints="noise")


# Settings


@pytest.mark.parametrize(
    "asked, hints, bitrate",
    [
        ({}, "spectrum", None),
        ({"bitrate": 6}, "spectrum", 6),
        ({"bitrate": 5.9}, "noise", 5.9),
        ({"hints": "noise"}, "noise", 1.0),
        ({"hints": "noise", "bitrate": 6}, "noise", 6),
    ],
)
def test_what_selects_events(asked: dict[str, Any], hints: str, bitrate: float | None) -> None:
    """At a sample rate that latents are not for."""
    found = EncodeSettings(**asked).settled(RATE, 2)
    assert (found.hints, found.bitrate) == (hints, bitrate)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"hints": "noise", "quality": 5}, "no quality"),
        ({"hints": "noise", "bitrate": 8}, "at most 6 kbit/s"),
        ({"bitrate": 0.04}, "at least 0.05 kbit/s"),
        ({"hints": "loud"}, "auto, timbre, noise"),
    ],
)
def test_settings_that_cannot_be(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodeSettings(**asked)


# As a user runs it


def test_from_the_command_line(run_evc: Any, tmp_path: Any) -> None:
    """With the encoder's own search: two plucked tones."""
    time = np.arange(3 * 16_000) / 16_000
    tones = [
        0.3 * np.exp(-3 * (time - at)) * np.sin(2 * np.pi * f * (time - at)) * (time >= at)
        for at, f in ((0.2, 440.0), (1.3, 660.0))
    ]
    soundfile.write(tmp_path / "in.wav", sum(tones), 16_000)
    coded = run_evc("encode", "--hints", "noise", "--effort", "0", "--verify", "in.wav", "a.evc", cwd=tmp_path)
    assert coded.returncode == 0, coded.stderr
    report = json.loads(run_evc("stats", "--json", "a.evc", cwd=tmp_path).stdout)
    assert {"events", "noise"} >= {row["layer"] for row in report["rows"] if row["level"] == "layer"} > set()
    assert run_evc("decode", "a.evc", "out.wav", cwd=tmp_path).returncode == 0
    decoded, _ = soundfile.read(tmp_path / "out.wav")
    assert len(decoded) == len(time)
    assert abs(np.corrcoef(decoded, sum(tones))[0, 1]) > 0.9
    wrong = run_evc("encode", "--hints", "noise", "--quality", "5", "in.wav", "b.evc", cwd=tmp_path)
    assert wrong.returncode == 2 and b"no quality" in wrong.stderr and not (tmp_path / "b.evc").exists()
