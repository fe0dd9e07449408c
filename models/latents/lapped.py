"""The lapped transform under the latents for inference: as `transform`, by folding and a fast DCT-IV."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.models.latents.layout import COEFFICIENTS, COLUMN, Ends, end_windows
from evc.models.spectrum.mdct import dct4

Floats = NDArray[np.float32]

_EDGE = COLUMN // 2


def coefficients(audio: Floats, ends: Ends) -> Floats:
    """[2, samples], a multiple of COLUMN, to [columns, 2, COEFFICIENTS]; what lies outside counts as silence. At the
    `ends` of a file, where they are in sight, blocks do not overlap: beyond them there is none."""
    padded = np.pad(audio, ((0, 0), (_EDGE, _EDGE)))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, 2 * COLUMN, axis=1)[:, ::COLUMN]
    a, b, c, d = np.split(blocks * _windows(blocks.shape[1], ends), 4, axis=2)
    folded = np.concatenate([-c[..., ::-1] - d, a - b[..., ::-1]], axis=2)
    return dct4(folded)[..., :COEFFICIENTS].swapaxes(0, 1)


def samples(coefficients: Floats, ends: Ends) -> Floats:
    """The inverse, [2, samples], but for the first and the last COLUMN samples, where blocks are missing, unless they
    lie beyond the `ends` of a file."""
    columns = len(coefficients)
    blocks = np.zeros((2, columns, COLUMN), np.float32)
    blocks[..., :COEFFICIENTS] = coefficients.swapaxes(0, 1)
    first, second = np.split(dct4(blocks), 2, axis=2)
    parts = second, -second[..., ::-1], -first[..., ::-1], -first
    blocks = np.concatenate(parts, axis=2) * _windows(columns, ends)
    audio = np.zeros((2, columns + 1, COLUMN), np.float32)
    audio[:, :-1] = blocks[..., :COLUMN]
    audio[:, 1:] += blocks[..., COLUMN:]
    return audio.reshape(2, -1)[:, _EDGE:-_EDGE]


def _windows(columns: int, ends: Ends) -> Floats:
    """The window of each column [columns, 2 * COLUMN]: nothing beyond the ends of a file, and a sharp edge there."""
    windows = np.tile(_window(), (columns, 1))
    end_windows(windows, ends)
    return windows


@lru_cache(maxsize=1)
def _window() -> Floats:
    times = np.arange(2 * COLUMN) + 0.5
    return np.sin(np.pi / 2 * np.sin(np.pi * times / (2 * COLUMN)) ** 2).astype(np.float32)
