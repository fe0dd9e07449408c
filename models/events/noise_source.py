"""The noise of events: a counter-based generator gives the Fourier series of a signal of one second's period.

    n(t) = sum over k = 1 to 20000 of H(k) (u_k cos 2 pi k t + w_k sin 2 pi k t),     t in seconds

u_k, w_k are uniform numbers of unit power from an integer hash, H is the filter. As a series it is known at any time,
between samples too, and at any sample rate of whole Hz one inverse transform gives a period.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.models.spectrum.reconstruction import noise

TOP = 20_000
"""The highest frequency of the series, in Hz."""

_PRIME, _BASIS = np.uint32(0x01000193), np.uint32(0x811C9DC5)


def event_keys(codes: ArrayLike) -> NDArray[np.uint32]:
    """Keys uint32 [n] of events by their codes [n, stages]: 32-bit FNV-1a, a code at a time.

    Events of the same codes sound the same, wherever they are.
    """
    words = np.asarray(codes).astype(np.uint32)
    keys = np.full(len(words), _BASIS, np.uint32)
    for stage in words.T:
        keys = (keys ^ stage) * _PRIME
    return keys


def white_series(keys: ArrayLike, bins: int) -> NDArray[np.complex64]:
    """u_k - i w_k, complex64 [n, bins] for k from 0; zero at k = 0 and above TOP."""
    used = min(bins, TOP + 1)
    first = np.asarray(keys).astype(np.uint32)
    counters: NDArray[np.uint32] = np.add.outer(first, np.arange(2 * used, dtype=np.uint32))
    series = np.zeros((len(counters), bins), np.complex64)
    series[:, :used] = noise(counters).view(np.complex64).conj()
    series[:, 0] = 0
    return series
