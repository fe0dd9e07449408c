"""The tempo of a track, where it is clear: from moments at which something begins, or from the lengths of its loops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

SLOWEST, FASTEST = 60.0, 200.0  # beats per minute
_USUAL = 120.0  # of two tempos of which one is twice the other, the nearer one is meant
_SPREAD = 0.7  # octaves around it
_GRID = 4  # parts of a beat on which things begin
_CLEAR = 0.45  # of what begins, as far as it does on a grid
_LEAST = 16  # onsets
_STEP = 0.0005  # of a tempo, against the one before
_NEAR = 0.02  # of a beat, in loops
_CLEAR_LOOPS = 0.7  # of loops by weight
_LOOP_BEATS = np.array([0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64])


def tempo_of_onsets(times: ArrayLike, weights: ArrayLike) -> float | None:
    """Beats per minute of moments [n] in seconds, ascending, that weigh so much; None where no tempo is clear.

    The moments are points on a circle that turns once in a quarter of a beat: of the tempo that holds, their mean is
    far from its centre.
    """
    moments, heavy = np.asarray(times, np.float64), np.asarray(weights, np.float64)
    if len(moments) < _LEAST or not heavy.sum() > 0 or moments[-1] - moments[0] < 2:
        return None
    tempos = SLOWEST * np.exp(_STEP * np.arange(round(np.log(FASTEST / SLOWEST) / _STEP)))
    on_grid = _strength(moments, heavy, tempos * _GRID / 60)
    on_beat = _strength(moments, heavy, tempos / 60)
    half_beat = _strength(moments, heavy, tempos / 30)
    usual = np.exp(-0.5 * (np.log2(tempos / _USUAL) / _SPREAD) ** 2)
    best = int(np.argmax((on_grid + on_beat + half_beat) * usual))
    return round(float(tempos[best]), 1) if on_grid[best] >= _CLEAR else None


def tempo_of_loops(seconds: Sequence[float], weights: Sequence[float]) -> float | None:
    """Beats per minute at which lengths of loops, of such weights, are whole quarters of a beat, and beats if possible;
    None where none is clear."""
    lengths, heavy = np.array(seconds, np.float64), np.array(weights, np.float64)
    best, found = 0.0, None
    for length in lengths:
        tempos = 60 * _LOOP_BEATS / length
        for tempo in tempos[(tempos >= SLOWEST) & (tempos < FASTEST)]:
            beats = lengths * tempo / 60
            on_grid, on_beat = (np.abs(beats - np.rint(n * beats) / n) < _NEAR for n in (_GRID, 1))
            share, whole = (float(heavy[fits].sum() / heavy.sum()) for fits in (on_grid, on_beat))
            usual = float(np.exp(-0.5 * (np.log2(tempo / _USUAL) / _SPREAD) ** 2))
            if share >= _CLEAR_LOOPS and (share + whole) * usual > best:
                best = (share + whole) * usual
                quarters = np.rint(_GRID * beats[on_grid])
                weighed = heavy[on_grid] * quarters
                found = 15 * float(weighed @ quarters / (weighed @ lengths[on_grid]))
    return found


def _strength(
    moments: NDArray[np.float64], weights: NDArray[np.float64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far moments come together on circles that turn at these rates (Hz): 0 to 1 [rates]."""
    turned = np.exp(2j * np.pi * np.outer(rates, moments)) @ weights
    return np.asarray(np.abs(turned) / weights.sum())
