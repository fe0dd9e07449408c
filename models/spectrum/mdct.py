"""The lapped transform: fold at block boundaries, then an orthonormal DCT-IV of each block (spec section 10).

Folding is a rotation of the sample pairs mirrored about each boundary, so the whole transform is orthonormal and
its inverse is its transpose: time-domain aliasing cancellation (Princen & Bradley 1986) with the power-sine slope
of Vorbis I.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal

Positions = NDArray[np.int64]

LONG_OVERLAP = 1024  # of boundaries that are worth a step of their own


@lru_cache(maxsize=32)
def slope(overlap: int) -> tuple[Signal, Signal]:
    """(cosines, sines) float32 [overlap / 2] of the fold, from the boundary outwards."""
    position = (overlap // 2 + np.arange(overlap // 2) + 0.5) / overlap
    window = np.sin(np.pi / 2 * np.sin(np.pi / 2 * position) ** 2)
    return window.astype(np.float32), np.sqrt(1 - window**2).astype(np.float32)


def fold(signal: Signal, boundaries: Positions, overlaps: Positions, inverse: bool = False) -> None:
    """Rotate in place the samples around each boundary of `signal` float32 [channels, samples].

    `boundaries` int [n]: sample index at which a block begins; `overlaps` int [n]: length of the overlap there.
    """
    for overlap in np.unique(overlaps):
        if overlap < 2:
            continue
        cosines, sines = slope(int(overlap))
        if inverse:
            sines = -sines
        at = boundaries[overlaps == overlap]
        if overlap >= LONG_OVERLAP:
            for boundary in at:
                right = signal[:, boundary : boundary + overlap // 2]
                left = signal[:, boundary - overlap // 2 : boundary][:, ::-1]
                right[:], left[:] = cosines * right + sines * left, cosines * left - sines * right
            continue
        reach = np.arange(overlap // 2)
        after, before = at[:, None] + reach, at[:, None] - 1 - reach
        right, left = signal[:, after], signal[:, before]
        signal[:, after] = cosines * right + sines * left
        signal[:, before] = cosines * left - sines * right


@lru_cache(maxsize=32)
def _twiddle(size: int) -> NDArray[np.complex64]:
    n = np.arange(size // 2)
    return np.exp(-1j * np.pi * (n + 0.125) / size).astype(np.complex64)


def dct4(blocks: Signal) -> Signal:
    """Orthonormal DCT-IV of float32 [..., size]; its own inverse. One complex FFT of half the size."""
    size = blocks.shape[-1]
    twiddle = _twiddle(size)
    spectrum = np.fft.fft((blocks[..., 0::2] + 1j * blocks[..., ::-1][..., 0::2]) * twiddle, axis=-1)
    spectrum *= twiddle * np.complex64(np.sqrt(2.0 / size))
    out = np.empty(blocks.shape, np.float32)
    out[..., 0::2] = spectrum.real
    out[..., ::-1][..., 0::2] = -spectrum.imag
    return out
