"""Bands of frequency that the noise and the occurrences share with the spectrum stream (spec 6.5)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format.constants import BLOCK_DEPTHS, COARSE_EDGES, FINE_EDGES, superframe_length


def band_edges(samplerate: int, stride: int, fine: bool) -> NDArray[np.float64]:
    """Edges in Hz [bands + 1]: every `stride`-th edge of the spectrum stream's fine or coarse bands.

    A stride of 0 makes a single band. The last band always ends at half the sample rate.
    """
    count = superframe_length(samplerate) >> (BLOCK_DEPTHS - 1)
    highest = max(edge for edge in COARSE_EDGES if edge <= count)
    units = [edge for edge in (FINE_EDGES if fine else COARSE_EDGES) if edge < highest]
    lower = units[::stride] if stride else units[:1]
    unit = samplerate / 2 / count
    return np.array([*(edge * unit for edge in lower), samplerate / 2])


def band_count(samplerate: int, stride: int, fine: bool) -> int:
    """Number of bands between those edges."""
    return len(band_edges(samplerate, stride, fine)) - 1
