"""What a network sees of a waveform, as arrays: magnitude and phase of two STFTs, on cells of a semitone.

The phase is seen through its derivatives (Auger and Flandrin 1995): along time, the instantaneous frequency; along
frequency, the group delay, which points at the onset from every bin that an onset fills. Both are exact with two
further windows, and need no unwrapping. `features.CellFeatures` is the same as tensors, for training.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats, Signal

SAMPLERATE = 22_050
HOP = 512
LOWEST_NOTE = 23.0  # MIDI note number at the centre of the lowest cell: 30.9 Hz
CELLS = 96  # to MIDI note 118, 7459 Hz
FINE = 3  # rows per cell of what the long window sees
LONG, SHORT = 2048, 1024
CHANNELS = 3 * FINE + 2

FLOOR = 1e-10
NOTHING = 1e-14  # energy
QUIET = -5.0  # decades of energy, about 75 dB below full scale: the loudest cell is taken to be no quieter
RANGE = 8.0  # decades of energy below the loudest cell nearby that are told apart
NEARBY = 64  # hops on each side


def note_hertz(note: Any) -> Any:
    """Frequency in Hz of MIDI note numbers, in their type: numbers, arrays or tensors."""
    return 440.0 * 2.0 ** ((note - 69.0) / 12.0)


def cell_notes() -> Signal:
    """MIDI note numbers float32 [cells] at the centres of the cells."""
    return LOWEST_NOTE + np.arange(CELLS, dtype=np.float32)


@lru_cache(maxsize=1)
def fine_notes() -> Signal:
    """The same of the rows [FINE * cells]."""
    return (LOWEST_NOTE + (np.arange(CELLS * FINE) - (FINE - 1) / 2) / FINE).astype(np.float32)


@lru_cache(maxsize=2)
def windows(size: int) -> Signal:
    """The Hann window h of energy 1, t h(t) with t = 0 at its middle, and its derivative: float32 [3, size]."""
    t = np.arange(size) - size // 2
    angle = 2 * np.pi * t / size
    hann = 0.5 + 0.5 * np.cos(angle)
    slope = -np.pi / size * np.sin(angle)
    return (np.stack([hann, t * hann, slope]) / np.sqrt(np.square(hann).sum())).astype(np.float32)


@lru_cache(maxsize=2)
def row_matrix(size: int) -> Signal:
    """Weights float32 [bins, rows] of triangles around the notes that a window of this size sees, as wide as their
    spacing, or as a bin where that is more."""
    notes = (fine_notes() if size == LONG else cell_notes()).astype(np.float64)
    hertz: Floats = note_hertz(notes)
    half = note_hertz(notes + (notes[1] - notes[0])) - hertz
    bins = np.arange(size // 2 + 1)[:, None] * (SAMPLERATE / size)
    width = np.maximum(half, SAMPLERATE / size)
    return np.maximum(1 - np.abs(bins - hertz) / width, 0).astype(np.float32)


def cell_features(audio: Signal) -> Signal:
    """Features float32 [hops, cells, CHANNELS] of a waveform [frames]: see `features.CellFeatures`."""
    power, frequency, delay = _derivatives(audio, LONG)
    hertz = np.float32(SAMPLERATE / (2 * math.pi)) * frequency
    deviation = 12 * np.log2(np.maximum(hertz, 10) / np.float32(440)) + 69 - fine_notes()
    short_power, _, short_delay = _derivatives(audio, SHORT)
    level, short_level = _levels(power), _levels(short_power)
    seen, short_seen = (level + 1) / 2, (short_level + 1) / 2  # where there is nothing, phases are noise
    rows = level, np.clip(deviation, -1.5, 1.5) * seen, np.clip(delay, -1, 1) * seen
    fine = [values.reshape(-1, CELLS, FINE) for values in rows]
    short = np.stack([short_level, np.clip(short_delay, -1, 1) * short_seen], axis=-1)
    return np.concatenate([*fine, short], axis=-1)


def _derivatives(audio: Signal, size: int) -> tuple[Signal, Signal, Signal]:
    """Energy, instantaneous frequency in radians per frame and group delay in half windows [hops, rows]: the latter two
    are means over bins, weighted with their energy."""
    padded = np.pad(audio.astype(np.float64), size // 2)  # whose transforms are done sooner
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::HOP]
    plain, ramped, slope = (np.fft.rfft(frames * shape, axis=1).astype(np.complex64) for shape in windows(size))
    energy = np.square(plain.real) + np.square(plain.imag)
    bins = np.arange(size // 2 + 1, dtype=np.float32) * np.float32(2 * math.pi / size)
    turning = bins * energy - (slope.imag * plain.real - slope.real * plain.imag)
    delayed = ramped.real * plain.real + ramped.imag * plain.imag
    power, turning, delayed = (values @ row_matrix(size) for values in (energy, turning, delayed))
    scale = 1 / (power + np.float32(FLOOR))
    return power, turning * scale, delayed * scale * np.float32(2 / size)


def _levels(power: Signal) -> Signal:
    """Energies [hops, rows] -> levels from -1 to 1."""
    decades = np.log10(power + np.float32(NOTHING))
    loudest = np.pad(np.maximum(decades.max(axis=1), QUIET), NEARBY, constant_values=-np.inf)
    nearby: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(loudest, 2 * NEARBY + 1).max(axis=1)
    return np.maximum(1 + 2 * (decades - nearby[:, None]) / np.float32(RANGE), -1)
