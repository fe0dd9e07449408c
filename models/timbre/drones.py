"""Sustained sounds that are synthesised, for training beside recordings: pads, drones, organs, winds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evc.models.arrays import Floats
from evc.models.sequencer import CHORDS, pad
from evc.models.timbre.spectra import CELLS, CLIP_SECONDS, frequencies

SAMPLERATE = 44_100
_LONGER = 1.37  # than a clip is what lines are laid out in, so that they fall between the bins of that
_SCALE = (0, 2, 3, 5, 7, 9, 10, 12, 14, 15, 17, 19)  # semitones that chords are made of


def pads(random: np.random.Generator, count: int) -> Iterator[Floats]:
    """Clips [2, frames] of the pad of the demonstration track, in chords moved by some semitones."""
    for _ in range(count):
        chord = CHORDS[random.integers(len(CHORDS))]
        moved = tuple(note + int(random.integers(-9, 10)) for note in chord)
        sound = pad(SAMPLERATE, moved, CLIP_SECONDS + 1.0)
        begin = SAMPLERATE // 2
        yield sound[begin : begin + round(CLIP_SECONDS * SAMPLERATE)].T.astype(np.float64)


def drone(random: np.random.Generator) -> Floats:
    """A clip [1, frames]: some notes with partials under a smooth envelope, and noise."""
    frames = round(CLIP_SECONDS * SAMPLERATE)
    longer = round(_LONGER * frames)
    spectrum = np.zeros(longer // 2 + 1, complex)
    share = random.choice([0.0, 0.02, 0.2, 1.0], p=[0.35, 0.3, 0.25, 0.1])
    if share < 1:
        for frequency, amplitude in _partials(random):
            place = round(frequency * longer / SAMPLERATE)
            if place < len(spectrum):
                spectrum[place] += amplitude * np.exp(2j * np.pi * random.random())
    spectrum /= np.sqrt(np.square(np.abs(spectrum)).sum()) or 1.0
    hertz = np.arange(len(spectrum)) * SAMPLERATE / longer
    hiss = random.standard_normal((2, len(spectrum))) * _curve(random, hertz, 30, random.uniform(-9, 0))
    hiss /= np.sqrt(np.square(hiss).sum())
    spectrum = np.sqrt(1 - share) * spectrum + np.sqrt(share + 1e-7) * (hiss[0] + 1j * hiss[1])
    return np.fft.irfft(spectrum, longer)[None, :frames] * 1e3


def _partials(random: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Hz and amplitudes of all notes."""
    root = 440 * 2 ** ((random.uniform(28, 72) - 69) / 12)
    notes = random.choice(_SCALE, size=random.integers(1, 6), replace=False)
    slope, even = random.uniform(0.6, 3.0), random.choice([1.0, 0.5, 0.1])
    voices = random.integers(1, 4)
    stretch = random.choice([0.0, 0.0, 1e-4, 1e-3])
    grid = frequencies()
    formants = _curve(random, grid, random.uniform(0, 25), 0.0)
    for note in notes:
        loudness = 10 ** random.uniform(-0.8, 0)
        for cents in random.normal(0, random.uniform(0, 12), voices):
            base = root * 2 ** ((note + cents / 100) / 12)
            for partial in range(1, min(80, int(18_000 / base)) + 1):
                frequency = base * partial * np.sqrt(1 + stretch * partial**2)
                level = loudness * partial**-slope * (even if partial % 2 == 0 else 1.0)
                yield frequency, level * float(np.interp(frequency, grid, formants))


def _curve(random: np.random.Generator, hertz: Floats, depth: float, tilt: float) -> Floats:
    """A smooth random gain over frequency: waves of `depth` dB, and `tilt` dB per octave."""
    octaves = np.log2(np.maximum(hertz, 20) / 1000)
    rates, phases, sizes = random.uniform((0.2, 0, 0), (1.5, 2 * np.pi, 1), (4, 3)).T
    waves = sum(size * np.cos(octaves * rate + phase) for rate, phase, size in zip(rates, phases, sizes, strict=True))
    return np.asarray(10 ** ((depth * waves / 4 + tilt * octaves) / 20))


def shifted(powers: Floats, cells: int) -> Floats:
    """A spectrum [CELLS] moved by so many cells; what comes in is silence."""
    out = np.zeros(CELLS)
    if cells >= 0:
        out[cells:] = powers[: CELLS - cells]
    else:
        out[:cells] = powers[-cells:]
    return out
