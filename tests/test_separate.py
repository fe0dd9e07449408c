"""What repeats is found without what sounds on top of it, at the right level, and nothing where nothing repeats."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc.format import constants as c
from evc.models.patterns.separate import add_placements, separate_loop, separate_loops

RATE = 44_100
UNIT = 1 << c.DEFAULT_PHASE_BITS
GAIN = 0  # log step of the proposals' estimates


def drums(frames: int, seed: int = 0) -> np.ndarray:
    """A bar of bursts of noise and decaying tones, float32 [2, frames], that ends in silence."""
    random = np.random.default_rng(seed)
    bar = np.zeros((2, frames))
    hits = 8
    for hit in range(hits):
        time = np.arange(frames // hits - 600) / RATE
        tone = np.sin(2 * np.pi * random.uniform(60, 400) * time) * np.exp(-time / 0.05)
        noise = random.normal(0, 0.5, (2, len(time))) * np.exp(-time / random.uniform(0.005, 0.03))
        smooth = (noise + np.roll(noise, 1, axis=1)) / 2
        bar[:, hit * frames // hits :][:, : len(time)] += random.uniform(0.5, 1) * (tone + smooth)
    return (8000 * bar).astype(np.float32)


def melody(frames: int, seed: int = 0) -> np.ndarray:
    """Notes of four harmonics that do not repeat, float32 [2, frames]."""
    random = np.random.default_rng(seed)
    out = np.zeros((2, frames), np.float32)
    at = 0
    while at < frames:
        length = int(random.uniform(0.1, 0.3) * RATE)
        time = np.arange(length) / RATE
        pitch = 110 * 2 ** random.uniform(0, 3)
        note = sum(np.sin(2 * np.pi * k * pitch * time + random.uniform(0, 6)) / k for k in range(1, 5))
        shape = np.minimum(1, time / 0.005) * np.exp(-time / 0.15) * np.minimum(1, time[::-1] / 0.01)
        sound = random.uniform(0.3, 1, (2, 1)) * note * shape
        out[:, at : at + length] += sound[:, : frames - at].astype(np.float32)
        at += int(random.uniform(0.08, 0.2) * RATE)
    return 6000 * out


def placed(frames: int, waveform: np.ndarray, starts: np.ndarray, gains: np.ndarray) -> np.ndarray:
    out = np.zeros((len(waveform), frames), np.float32)
    add_placements(out, waveform, np.rint(starts * UNIT).astype(np.int64), gains)
    return out


def snr(truth: np.ndarray, found: np.ndarray) -> float:
    return 10 * float(np.log10(np.square(truth).sum() / np.square(found - truth).sum()))


def positions(repeats: int, period: float, random: np.random.Generator) -> np.ndarray:
    """About a period apart, at any 32nd of a frame."""
    return np.rint((3000 + period * np.arange(repeats) + random.uniform(0, 200, repeats)) * UNIT) / UNIT


def test_loop_under_a_louder_melody() -> None:
    random = np.random.default_rng(1)
    loop, repeats = drums(RATE), 8
    starts, gains = positions(repeats, 1.1 * RATE, random), 10 ** (random.uniform(-3, 3, repeats) / 20)
    gains /= np.median(gains)
    frames = int(starts[-1]) + 2 * RATE
    above = melody(frames)
    found = separate_loop(placed(frames, loop, starts, gains) + above, starts, loop.shape[1])
    copies = [
        snr(gain * loop, gain * loop + above[:, int(start) : int(start) + loop.shape[1]])
        for start, gain in zip(starts, gains)
    ]
    assert max(copies) < 3
    assert snr(loop, found.waveform) > max(copies) + 15
    assert np.abs(20 * np.log10(found.gains / gains)).max() < 0.1


def test_few_repeats_still_beat_a_copy() -> None:
    random = np.random.default_rng(2)
    loop = drums(RATE)
    starts = positions(3, 1.1 * RATE, random)
    above = melody(int(starts[-1]) + 2 * RATE)
    found = separate_loop(placed(above.shape[1], loop, starts, np.ones(3)) + above, starts, loop.shape[1])
    copies = [snr(loop, loop + above[:, int(start) : int(start) + loop.shape[1]]) for start in starts]
    assert snr(loop, found.waveform) > max(copies) + 6


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(2, 6), st.integers(2000, 20_000), st.integers(1, 2))
def test_alone_it_is_found_exactly(seed: int, repeats: int, length: int, channels: int) -> None:
    random = np.random.default_rng(seed)
    spectrum = np.fft.rfft(random.normal(size=(channels, length)))
    spectrum[:, int(0.7 * spectrum.shape[1]) :] = 0  # what the interpolator passes
    ends = np.minimum(1, np.minimum(np.arange(length), np.arange(length)[::-1]) / 100)
    loop = (1000 * np.fft.irfft(spectrum, length) * ends).astype(np.float32)
    starts = positions(repeats, length + 4000, random)
    gains = random.uniform(0.5, 2, repeats)
    found = separate_loop(placed(int(starts[-1]) + 2 * length, loop, starts, gains), starts, length)
    middle = np.median(gains)
    np.testing.assert_allclose(found.gains, gains / middle, rtol=1e-3)
    assert snr(middle * loop, found.waveform) > 40
    assert found.share.min() > 0.999


@pytest.mark.parametrize("sound", [lambda n: melody(n), lambda n: np.random.default_rng(3).normal(0, 3000, (2, n))])
def test_wrong_positions_give_next_to_nothing(sound: object) -> None:
    signal = sound(8 * RATE).astype(np.float32)  # type: ignore[operator]
    starts = np.sort(np.random.default_rng(4).uniform(0, 7 * RATE, 8))
    found = separate_loop(signal, starts, RATE)
    assert np.square(found.waveform).mean() < 0.02 * np.square(signal).mean()
    assert found.share.max() < 0.1


def test_a_stretch_without_the_loop_is_told() -> None:
    loop, random = drums(RATE // 2), np.random.default_rng(5)
    starts = positions(6, 0.6 * RATE, random)
    gains = np.array([1, 1, 0, 1, 1, 1.0])
    above = melody(4 * RATE) / 4
    found = separate_loop(placed(4 * RATE, loop, starts, gains) + above, starts, loop.shape[1])
    np.testing.assert_allclose(found.gains, gains, atol=0.02)
    assert abs(found.share[2]) < 0.02 < 0.8 < np.delete(found.share, 2).min()


def test_loops_of_different_periods_come_apart() -> None:
    one, two = drums(RATE, 1), drums(2 * RATE // 3, 2)
    frames = 9 * RATE
    starts = np.arange(8) * 1.02 * RATE + 100, np.arange(11) * 0.71 * RATE + 777
    both = placed(frames, one, starts[0], np.ones(8)) + placed(frames, two, starts[1], np.ones(11))
    alone = separate_loop(both, starts[0], one.shape[1])
    found = separate_loops(both, [(starts[0], one.shape[1]), (starts[1], two.shape[1])])
    assert snr(one, found[0].waveform) > max(20, snr(one, alone.waveform) + 3)
    assert snr(two, found[1].waveform) > 20


def test_silence_and_the_outside_of_the_signal() -> None:
    silent = separate_loop(np.zeros((1, 1000), np.float32), [-700, 100, 5000], 900)
    assert not silent.waveform.any() and not silent.share.any()
    assert silent.waveform.shape == (1, 900)


@pytest.mark.parametrize("starts, length", [([], 10), ([5.0], 10), ([1.0, 50.0], 0)])
def test_needs_stretches(starts: list[float], length: int) -> None:
    with pytest.raises(ValueError):
        separate_loop(np.zeros((2, 100), np.float32), starts, length)
