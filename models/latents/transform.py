"""The lapped transform under the latents: the lowest coefficients of an MDCT with one block per column.

Modified discrete cosine transform with the power-sine window (Princen, Johnson and Bradley 1987; Vorbis I, section
1.3.2), orthonormal. The block of column k is centred on samples [COLUMN k, COLUMN (k + 1)).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from evc.models.latents.layout import COEFFICIENTS, COLUMN, Ends, end_windows

_EDGE = COLUMN // 2


def coefficients(audio: Tensor, ends: Ends | None = None) -> Tensor:
    """[batch, channels, samples], a multiple of COLUMN, to [batch, channels, columns, COEFFICIENTS]; what lies outside
    counts as silence. At the `ends` of a file, where they are known, blocks do not overlap: beyond them there is none.
    """
    window, cosines = _basis(audio.device)
    blocks = functional.pad(audio, (_EDGE, _EDGE)).unfold(-1, 2 * COLUMN, COLUMN)
    return (blocks * _windows(window, blocks.shape[-2], ends)) @ cosines


def samples(coefficients: Tensor, ends: Ends | None = None) -> Tensor:
    """The inverse, but for the first and the last COLUMN samples, where blocks are missing, unless they lie beyond the
    `ends` of a file."""
    window, cosines = _basis(coefficients.device)
    batch, channels, columns, _ = coefficients.shape
    blocks = (coefficients @ cosines.T) * _windows(window, columns, ends)
    blocks = blocks.reshape(batch * channels, columns, 2 * COLUMN)
    length = COLUMN * (columns + 1)
    folded = functional.fold(blocks.mT, (1, length), (1, 2 * COLUMN), stride=COLUMN)
    return folded.reshape(batch, channels, length)[..., _EDGE : length - _EDGE]


def _windows(window: Tensor, columns: int, ends: Ends | None) -> Tensor:
    """The window of each column [columns or 1, 2 COLUMN]: nothing beyond the ends of a file, and a sharp edge there."""
    if ends is None:
        return window[None]
    windows = window.repeat(columns, 1)
    end_windows(windows, ends)
    return windows


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _basis(device: torch.device) -> tuple[Tensor, Tensor]:
    """The window [2 COLUMN] and the cosines [2 COLUMN, COEFFICIENTS]."""
    times = torch.arange(2 * COLUMN, dtype=torch.float64) + 0.5
    window = torch.sin(math.pi / 2 * torch.sin(math.pi * times / (2 * COLUMN)) ** 2)
    frequencies = torch.arange(COEFFICIENTS, dtype=torch.float64) + 0.5
    cosines = torch.cos(math.pi / COLUMN * (times[:, None] + COLUMN / 2) * frequencies) * math.sqrt(2 / COLUMN)
    return window.float().to(device), cosines.float().to(device)
