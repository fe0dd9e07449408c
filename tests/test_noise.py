"""Noise: its source, its synthesis from levels, and finding the levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_tools import read
from test_streams_noise import random_plane

from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.header import Header
from evc.format.streams import StreamContext
from evc.format.streams.noise import NoisePlane, NoiseStream, hops, noise_hop
from evc.format.streams.noise_changes import ANGLE, BALANCE, COLOUR, LEVEL, plane_kinds, tables
from evc.models.noise.encoder import NoiseEncoder
from evc.models.noise.source import noise
from evc.models.noise.spectra import overlapped, spectra
from evc.models.noise.synthesis import NoiseRenderer
from evc.spec.noise import noise_signal

RATE = 44100
HOP = noise_hop(RATE)
SEGMENT = 16 * c.superframe_length(RATE)


def random_stream(context: StreamContext, seed: int, strides=(3, 2, 4, 2)) -> NoiseStream:
    planes = [
        random_plane(kind, context, stride, 12, seed + number)
        for number, (kind, stride) in enumerate(zip(plane_kinds(context.channels), strides))
    ]
    return NoiseStream(planes, 18)


def constant(level: int, balance: int = 0, angle: int = 0, frames: int = SEGMENT) -> NoiseStream:
    """Two channels of a white noise that stays as it is."""
    context = StreamContext(RATE, 2, frames)
    planes = []
    for kind, value, stride in ((LEVEL, level, 2), (BALANCE, balance, 4), (ANGLE, angle, 4), (COLOUR, 0, 0)):
        levels = np.full((1 if stride else 0, kind.bands(RATE, stride)), value)
        planes.append(NoisePlane(np.array([hops(context)] * len(levels), np.int64), levels, levels, stride))
    return NoiseStream(planes, 18)


def decibels(signal: np.ndarray) -> float:
    return 10 * np.log10(np.square(signal, dtype=float).mean())


# The source


def test_the_noise_is_white_and_has_no_power_in_its_mean() -> None:
    values = noise(0, 3 * c.NOISE_TABLE, 0).astype(float)
    assert decibels(values) == pytest.approx(0, abs=0.01) and abs(values.mean()) < 0.01
    power = np.square(np.abs(spectra(values, 128))).mean(axis=0)[1:-1]
    assert np.abs(10 * np.log10(power / 128)).max() < 1


@pytest.mark.parametrize("step", [16, 64, 256, 1024, 4096])
def test_its_spectra_fluctuate_less_than_those_of_gaussian_noise(step: int) -> None:
    gaussian = np.random.default_rng(0).normal(size=c.NOISE_TABLE)
    spread = [np.log(np.abs(spectra(x, step))[:, 2:-2]).std() for x in (noise(0, c.NOISE_TABLE, 0), gaussian)]
    assert spread[0] < 0.9 * spread[1]


@given(st.integers(-1000, 200_000), st.integers(0, 70_000), st.integers(0, 7))
@settings(max_examples=20)
def test_the_noise_is_a_function_of_the_place(start: int, frames: int, source: int) -> None:
    table = tables()["noise"].astype(float)
    t = np.arange(start, start + frames)
    expected = table[(t + 40503 * (8 * (t // 65536) + source)) % 65536] / np.sqrt(np.square(table).mean())
    np.testing.assert_allclose(noise(start, frames, source), np.where(t < 0, 0, expected), rtol=1e-6)


def test_noises_of_channels_and_pieces_are_unlike() -> None:
    parts = [noise(start, 60_000, source) for start in (0, c.NOISE_TABLE) for source in (0, 1, 7)]
    correlation = np.corrcoef(parts) - np.eye(len(parts))
    assert np.abs(correlation).max() < 0.03


def test_spectra_are_undone() -> None:
    signal = np.random.default_rng(0).normal(size=(2, 9 * 64)).astype(np.float32)
    np.testing.assert_allclose(overlapped(spectra(signal, 64), 64)[:, 64:-64], signal[:, 64:-64], atol=1e-5)


# Synthesis


@pytest.mark.parametrize(("samplerate", "channels"), [(8000, 2), (16000, 1), (11025, 3)])
def test_the_specification_in_double_precision_agrees(samplerate: int, channels: int) -> None:
    segment = 4 * c.superframe_length(samplerate)
    frames = 3 * segment + 1234
    streams = {
        number: random_stream(StreamContext(samplerate, channels, length), number)
        for number, length in ((0, segment), (1, segment), (3, 1234))
    }
    streams[1].planes[-1] = random_plane(COLOUR, StreamContext(samplerate, channels, segment), 0, 7, 0)
    found = NoiseRenderer(samplerate, channels, segment).render(streams, 0, frames)
    expected = noise_signal(Header(samplerate, channels, frames, layers=("noise",), segment_frames=segment), streams)
    assert np.abs(found - expected).max() < 2**-17 * np.abs(expected).max()


@given(st.integers(0, 2 * SEGMENT + 5000), st.integers(0, 9000))
@settings(max_examples=10)
def test_any_span_sounds_the_same(start: int, frames: int) -> None:
    streams = {number: random_stream(StreamContext(RATE, 2, SEGMENT), number) for number in (0, 1, 2)}
    renderer = NoiseRenderer(RATE, 2, SEGMENT)
    around = range((start - renderer.reach) // SEGMENT, -(-(start + frames + renderer.reach) // SEGMENT))
    part = renderer.render({n: streams[n] for n in around if n in streams}, start, frames)
    begin = max(0, start - 20_000)
    whole = renderer.render(streams, begin, start + frames - begin + 20_000)[:, start - begin :][:, :frames]
    assert part.shape == (2, frames)
    assert np.abs(part - whole).max(initial=0) <= 1e-6 * max(np.abs(whole).max(initial=0), 1)


@pytest.mark.parametrize("balance", [0, 4, -127])
@pytest.mark.parametrize("angle", [0, 3, 8])
def test_levels_balances_and_angles_are_heard(balance: int, angle: int) -> None:
    left, right = NoiseRenderer(RATE, 2, SEGMENT).render({0: constant(20, balance, angle)}, HOP, SEGMENT - 2 * HOP)
    assert decibels(np.stack([left, right])) == pytest.approx(20 * 4.5 - 108, abs=0.2)
    if balance > -100:
        assert decibels(left) - decibels(right) == pytest.approx(4.5 * balance, abs=0.3)
        assert np.corrcoef(left, right)[0, 1] == pytest.approx(np.cos(np.pi * angle / 8), abs=0.02)


def test_level_0_is_silence() -> None:
    assert not NoiseRenderer(RATE, 2, SEGMENT).render({0: constant(0)}, 0, SEGMENT).any()


# Finding the levels


def encoded(audio: np.ndarray, detail: float = 60, rendered: np.ndarray | None = None, rate: int = RATE):
    encoder = NoiseEncoder(rate, len(audio), detail)
    margins = ((0, 0), (encoder.margin, encoder.margin))
    rendered = np.zeros_like(audio) if rendered is None else rendered
    return encoder.encode(np.pad(audio, margins), np.pad(rendered, margins))


def bytes_of(stream: NoiseStream, context: StreamContext) -> int:
    encoder = SymbolEncoder()
    stream.write(encoder, context)
    coding = encoder.finish()
    assert read(NoiseStream, coding, context).planes[0].lengths.sum() == hops(context)
    return len(coding.words)


def hiss(frames: int = SEGMENT, channels: int = 2, seed: int = 0) -> np.ndarray:
    return 0.05 * np.random.default_rng(seed).normal(size=(channels, frames))


@pytest.mark.parametrize("gains", [(1, 1), (1, 0.1)])
def test_noise_comes_back_as_loud_as_it_was(gains: tuple[float, float]) -> None:
    audio = hiss() * np.array(gains)[:, None]
    audio[:, SEGMENT // 2 :] *= 0.1
    stream = encoded(audio)
    found = NoiseRenderer(RATE, 2, SEGMENT).render({0: stream}, 0, SEGMENT)
    for part in (slice(HOP, SEGMENT // 2 - 4 * HOP), slice(SEGMENT // 2 + 4 * HOP, SEGMENT - HOP)):
        for one, other in zip(found, audio):
            assert decibels(one[part]) == pytest.approx(decibels(other[part]), abs=3)
    assert bytes_of(stream, StreamContext(RATE, 2, SEGMENT)) < 150


def test_an_attack_is_where_it_was() -> None:
    audio = hiss()
    audio[:, : SEGMENT // 2 + 100] *= 0.001
    found = NoiseRenderer(RATE, 2, SEGMENT).render({0: encoded(audio)}, 0, SEGMENT)[0]
    loud = np.flatnonzero(np.abs(found) > 0.02)
    assert abs(loud[0] - SEGMENT // 2 - 100) < 3 * HOP


def test_silence_has_no_noise_and_neither_has_what_is_rendered_already() -> None:
    audio = hiss()
    assert encoded(audio * 0) is None and encoded(audio * 1e-7) is None
    assert encoded(audio, rendered=audio) is None


def test_what_other_layers_overshoot_is_left_alone() -> None:
    audio = hiss()
    assert encoded(audio, rendered=1.5 * audio) is None


def test_the_sum_is_as_loud_as_the_original() -> None:
    audio, other = hiss(), 0.7 * hiss(seed=1)
    stream = encoded(audio, rendered=other)
    total = other + NoiseRenderer(RATE, 2, SEGMENT).render({0: stream}, 0, SEGMENT)
    assert decibels(total) == pytest.approx(decibels(audio), abs=2.5)


def test_detail_costs_bits() -> None:
    random = np.random.default_rng(3)
    envelope = np.repeat(10 ** random.uniform(-1, 0, SEGMENT // 4096), 4096)
    sizes = [bytes_of(encoded(hiss() * envelope, detail), StreamContext(RATE, 2, SEGMENT)) for detail in (5, 40, 300)]
    assert sizes[0] > 1.3 * sizes[1] > 1.6 * sizes[2]


@pytest.mark.parametrize(("rate", "channels", "frames"), [(8000, 1, 1), (22050, 3, 5000), (192000, 2, 50_001)])
def test_any_rate_and_length(rate: int, channels: int, frames: int) -> None:
    context = StreamContext(rate, channels, frames)
    stream = encoded(hiss(frames, channels), rate=rate)
    assert stream is not None and bytes_of(stream, context) > 0
    segment = 4 * c.superframe_length(rate)
    assert NoiseRenderer(rate, channels, segment).render({0: stream}, 0, frames).shape == (channels, frames)
