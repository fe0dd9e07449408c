"""The grid of timbres: powers in cells of ten cents, what is measured of a sound and what sounds again (spec 10.11).

A spectrum is an array [..., CELLS] of powers: what each cell holds of the sound's mean square, full scale 1. Its
*values* are the same in dB below the sum, brought to 0 ... 1: the shape of a timbre, whatever its loudness.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants as c
from evc.models.arrays import Floats, Signal

CELLS = c.TIMBRE_CELLS
RANGE_DB = c.TIMBRE_RANGE_DB  # below the sum of all cells, which is the value 1; what is fainter is 0
CELLS_PER_SEMITONE = c.TIMBRE_CELLS_PER_OCTAVE // 12
CLIP_SECONDS = 2.0  # of sound that one spectrum is measured from
SILENCE = 1e-12  # mean square below which there is nothing to measure: -120 dB


def frequencies(cells: ArrayLike | None = None) -> Floats:
    """Hz at the middle of each of the `cells`, of all if none are given; halves are edges between them."""
    at = np.arange(CELLS, dtype=np.float64) if cells is None else np.asarray(cells, np.float64)
    return np.asarray(c.TIMBRE_TUNED_HZ * 2 ** ((at - c.TIMBRE_TUNED_CELL) / c.TIMBRE_CELLS_PER_OCTAVE))


def cells_at(hertz: NDArray[np.floating]) -> Floats:
    """Places on the grid of some frequencies above 0, in cells from the middle of the first one."""
    octaves = np.log2(np.asarray(hertz, np.float64) / c.TIMBRE_TUNED_HZ)
    return np.asarray(c.TIMBRE_TUNED_CELL + c.TIMBRE_CELLS_PER_OCTAVE * octaves)


def measured(clip: NDArray[np.floating], samplerate: int) -> Floats:
    """The spectrum [CELLS] of a clip [channels, frames], the mean of all channels' powers, under a Hann window over the
    whole of it. Cells above half the sample rate hold nothing."""
    frames = clip.shape[-1]
    window = np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2
    powers = np.square(np.abs(np.fft.rfft(clip * window, axis=-1))).mean(axis=0)
    powers *= 2 / (frames * np.square(window).sum())
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    bins = np.minimum(frequencies(np.arange(CELLS + 1) - 0.5) * frames / samplerate + 0.5, len(powers))
    return np.diff(np.interp(bins, np.arange(len(sums)), sums))


def values_of(spectra: NDArray[np.floating]) -> Signal:
    """Values 0 ... 1 of spectra, float32 [..., CELLS]; those of silence are 0 throughout."""
    total = spectra.sum(axis=-1, keepdims=True)
    relative = np.maximum(spectra, 1e-30) / np.maximum(total, SILENCE)
    values: Signal = np.clip(1 + 10 * np.log10(relative) / RANGE_DB, 0, 1).astype(np.float32)
    return values


def spectra_of(values: NDArray[np.floating]) -> Floats:
    """Spectra [..., CELLS] whose sum is 1, of values; a value of 0 or less is silence."""
    powers = np.where(values > 0, 10 ** (RANGE_DB / 10 * (np.asarray(values, np.float64) - 1)), 0)
    return np.asarray(powers / np.maximum(powers.sum(axis=-1, keepdims=True), 1e-30))


def transposed(values: NDArray[np.floating], semitones: float) -> Signal:
    """Values moved on the grid by so many semitones; what comes in at an end is silence."""
    at = np.arange(CELLS) - semitones * CELLS_PER_SEMITONE
    flat = np.asarray(values, np.float64).reshape(-1, CELLS)
    moved = np.stack([np.interp(at, np.arange(CELLS), row, left=0, right=0) for row in flat])
    return moved.reshape(np.shape(values)).astype(np.float32)
