"""Fitting by compiled kernels finds what the NumPy code beside it finds."""

from __future__ import annotations

import numpy as np
import pytest

from evc import kernels
from evc.format.networks import weights
from evc.models.events.atoms import Atoms
from evc.models.events.fitted import Envelope
from evc.models.events.fitting import EventFitter
from evc.models.events.moments import Moments
from evc.models.events.shapes import Shape
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.events.weighting import Weighting

RATE, GRID, FRAMES = 22_050, 32 / 22_050, 60_000

pytestmark = pytest.mark.skipif(kernels.lib is None, reason="there are no compiled kernels")


@pytest.fixture(scope="module")
def atoms() -> Atoms:
    return Atoms.of(SoundTables.load(weights(EVENTS_NETWORK)))


def signal(random: np.random.Generator, channels: int) -> np.ndarray:
    """Decaying tones with partials, over noise: float64 [channels, frames]."""
    t = np.arange(FRAMES) / RATE
    out = 0.01 * random.standard_normal((channels, FRAMES))
    for _ in range(12):
        begin, frequency, decay = random.uniform(0, 2), 60 * 2 ** random.uniform(0, 6), random.uniform(2, 30)
        since = np.maximum(t - begin, 0)
        for partial in range(1, 5):
            wave = np.sin(2 * np.pi * partial * frequency * since + random.uniform(0, 6)) * (t > begin)
            out += random.uniform(-0.1, 0.3, (channels, 1)) / partial * np.exp(-decay * since) * wave
    return out


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_kernels_find_the_same_events(atoms: Atoms, seed: int, channels: int) -> None:
    """But for ties: envelopes that differ behind the end of the signal only."""
    random = np.random.default_rng(seed)
    residual = signal(random, channels)
    moments = Moments(np.sort(random.uniform(0, 2.7, 12 if seed else 0)))
    moments.starts[::3] = np.rint(moments.times[::3] / GRID) * GRID
    arguments = atoms, RATE, GRID, Weighting(residual, RATE), moments, FRAMES
    compiled = EventFitter(*arguments)
    with kernels.reference():
        reference = EventFitter(*arguments)
    found = same = 0
    for _ in range(80):
        decay, length = 2 * int(random.integers(0, 8)), int(random.integers(0, 8))
        start, frequency = random.uniform(0, 2.7), 30 * 2 ** random.uniform(0, 8)
        shape = Shape(start, frequency, decay, length, random.uniform(0.003, 0.03))
        one, other = (fitter.fit(residual, shape, 1e-6) for fitter in (compiled, reference))
        assert (one is None) == (other is None)
        if one is None or other is None:
            continue
        found += 1
        assert one.gain == pytest.approx(other.gain, rel=1e-6, abs=1e-9)
        if np.array_equal(one.codes, other.codes) and one.start == pytest.approx(other.start):
            same += 1
            assert (one.amplitude, one.pan, one.first) == (other.amplitude, other.pan, other.first)
            np.testing.assert_allclose(one.waveform, other.waveform, atol=1e-9)
    assert found > 6 and same >= 0.9 * found


def test_events_at_the_ends_of_a_signal(atoms: Atoms) -> None:
    residual = signal(np.random.default_rng(0), 2)
    fitter = EventFitter(atoms, RATE, GRID, Weighting(residual, RATE), Moments(np.zeros(0)), FRAMES)
    for start in (0.0, (FRAMES - 9) / RATE, (FRAMES - 7) / RATE, FRAMES / RATE, 2 * FRAMES / RATE):
        event = fitter.fit_at(residual, 4000, Envelope(start, 1, 10, 6), -1.0)
        assert (event is not None) == (start <= (FRAMES - 8) / RATE)
        for shape_start in (start, -start):
            fitter.fit(residual, Shape(shape_start, 440.0, 10, 6, 0.01), 1e-9)
