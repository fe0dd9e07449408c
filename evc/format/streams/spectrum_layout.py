"""Block partitions, bands and step sizes of the spectrum stream: integers only (spec/evc-1.md, section 9).

A *superframe* of `N` samples is cut by a dyadic tree into blocks of N, N/2, ... N/16 samples. One *unit* is the
spacing of the bins of the smallest block (86 Hz at 44.1 kHz). Band edges are given in units, so that they fall on
bin boundaries of every block size, and the edges of the coarse layout are also edges of the fine one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c

EDGES = (c.FINE_EDGES,) * c.FINE_DEPTHS + (c.COARSE_EDGES,) * (c.BLOCK_DEPTHS - c.FINE_DEPTHS)  # by depth


def energy_log(index: NDArray[np.integer]) -> NDArray[np.int64]:
    """Energy indices (int) to log amplitudes in 1/64 octave; index 0 (silence) maps one step below index 1."""
    return c.ENERGY_FLOOR + (index.astype(np.int64) - 1) * c.ENERGY_STEP


@dataclass(frozen=True)
class BandLayout:
    """Bands of one block size. `edges` [bands + 1] and `widths` [bands] in bins; `band_of_bin` [bins]; `fine`
    [bands + 1]: the band of the fine layout at which each band begins."""

    edges: NDArray[np.int64]
    band_of_bin: NDArray[np.int64]
    widths: NDArray[np.int64]
    fine: NDArray[np.int64]

    @property
    def bands(self) -> int:
        return len(self.widths)

    @property
    def bins(self) -> int:
        return int(self.edges[-1])


@dataclass(frozen=True)
class Geometry:
    """Everything that follows from the sample rate and the coded bandwidth."""

    superframe: int  # samples
    coarse_bands: int
    coarse: BandLayout  # the bands of stereo modes, at the smallest block size
    layouts: tuple[BandLayout, ...]  # the bands of energies, one per depth

    @property
    def fine_bands(self) -> int:
        return self.layouts[0].bands


def most_coarse_bands(samplerate: int) -> int:
    """Number of coarse bands that begin below half the sample rate; the last one ends there."""
    return full_geometry(c.superframe_length(samplerate)).coarse_bands


def full_geometry(superframe: int) -> Geometry:
    """The layouts with all the bands that a superframe of this length can have."""
    units = superframe >> (c.BLOCK_DEPTHS - 1)
    return geometry(superframe, sum(edge < units for edge in c.COARSE_EDGES[:-1]))


@lru_cache(maxsize=64)
def geometry(superframe: int, coarse_bands: int) -> Geometry:
    """The layouts of every block size for `coarse_bands` coded coarse bands, of which none passes half the sample
    rate."""
    highest = min(c.COARSE_EDGES[coarse_bands], superframe >> (c.BLOCK_DEPTHS - 1))
    fine = [e for e in c.FINE_EDGES if e < highest] + [highest]

    def at_depth(edges: tuple[int, ...], depth: int) -> BandLayout:
        units = [e for e in edges if e < fine[-1]] + [fine[-1]]
        bins = np.array(units) << (c.BLOCK_DEPTHS - 1 - depth)
        widths = np.diff(bins)
        return BandLayout(bins, np.repeat(np.arange(len(widths)), widths), widths, np.searchsorted(fine, units))

    layouts = tuple(at_depth(edges, depth) for depth, edges in enumerate(EDGES))
    return Geometry(superframe, coarse_bands, at_depth(c.COARSE_EDGES, c.BLOCK_DEPTHS - 1), layouts)


def change_layout(values: NDArray[np.int64], source: BandLayout, target: BandLayout) -> NDArray[np.int64]:
    """Band values int [bands of source] on the bands of `target`: repeated, then averaged, rounding down."""
    if source.bands == target.bands:
        return values
    every = np.repeat(values, np.diff(source.fine))
    return np.add.reduceat(every, target.fine[:-1]) // np.diff(target.fine)
