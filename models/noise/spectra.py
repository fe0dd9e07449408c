"""Short-time spectra under sine windows, and their overlapped sum: the one undoes the other.

Forward transforms are of float64, which NumPy does sooner than those of float32.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal

Spectra = NDArray[np.complex64]


@lru_cache(maxsize=8)
def window(hop: int) -> Signal:
    """Sine window float32 [2 * hop]: its squares, one hop apart, add up to 1."""
    return np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32)


def spectra(signal: NDArray[np.floating], hop: int) -> Spectra:
    """Windowed spectra complex64 [..., blocks, hop + 1] of a signal [..., (blocks + 1) * hop]."""
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(signal, np.float64), 2 * hop, axis=-1)
    return np.fft.rfft(frames[..., ::hop, :] * window(hop), axis=-1).astype(np.complex64)


def overlapped(spectra: Spectra, hop: int) -> Signal:
    """The signal float32 [..., (blocks + 1) * hop] of spectra [..., blocks, hop + 1]; at its ends half a window."""
    frames = np.fft.irfft(spectra, axis=-1).astype(np.float32) * window(hop)
    *others, blocks, _ = frames.shape
    out = np.zeros((*others, blocks + 1, hop), np.float32)
    out[..., :-1, :] += frames[..., :hop]
    out[..., 1:, :] += frames[..., hop:]
    return out.reshape(*others, (blocks + 1) * hop)
