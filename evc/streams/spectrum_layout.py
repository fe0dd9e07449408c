"""Block partitions, bands and step sizes of the spectrum stream: integers only (spec/evc-1.md, section 9).

A *superframe* of `N` samples is cut by a dyadic tree into blocks of N, N/2, ... N/16 samples. One *unit* is the
spacing of the bins of the smallest block (86 Hz at 44.1 kHz). Band edges are given in units, so that they fall on
bin boundaries of every block size, and the edges of the coarse layout are also edges of the fine one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evc import constants

DEPTHS = 5                      # block sizes N >> 0 ... N >> 4
FINE_EDGES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 41, 46, 52, 59, 67, 76, 87,
              100, 115, 132, 152, 176, 208, 250, 300, 360, 430, 512, 620, 750, 900, 1024)
COARSE_EDGES = (0, 1, 2, 4, 6, 8, 10, 14, 18, 22, 28, 36, 46, 59, 76, 100, 132, 176, 250, 360, 512, 750, 1024)
EDGES = (FINE_EDGES, FINE_EDGES, FINE_EDGES, COARSE_EDGES, COARSE_EDGES)      # by depth

# Logarithms of amplitudes are integers in 1/64 octave (a factor of two is 64); full scale of 16 bits is 15 octaves.
OCTAVE = 64
ENERGY_STEP = 46                # 4.33 dB
ENERGY_FLOOR = -7 * OCTAVE      # amplitude of energy index 1; index 0 is silence
ENERGY_MAX = 47


def energy_log(index: np.ndarray) -> np.ndarray:
    """Energy indices (int) to log amplitudes in 1/64 octave; index 0 (silence) maps one step below index 1."""
    return ENERGY_FLOOR + (index - 1) * ENERGY_STEP


@dataclass(frozen=True)
class BandLayout:
    """Bands of one block size. `edges` in bins [bands + 1]; `band_of_bin` [edges[-1]]; `fine` [bands + 1]: the band of
    the fine layout at which each band begins."""

    edges: np.ndarray
    band_of_bin: np.ndarray
    widths: np.ndarray
    fine: np.ndarray

    @property
    def bands(self) -> int:
        return len(self.widths)

    @property
    def bins(self) -> int:
        return int(self.edges[-1])


@dataclass(frozen=True)
class Geometry:
    """Everything that follows from the sample rate and the coded bandwidth."""

    superframe: int
    coarse_bands: int
    coarse: BandLayout                   # the bands of stereo modes, at the smallest block size
    layouts: tuple[BandLayout, ...]      # the bands of energies, one per depth

    @property
    def fine_bands(self) -> int:
        return self.layouts[0].bands


def most_coarse_bands(samplerate: int) -> int:
    """Number of coarse bands that fit below half the sample rate."""
    units = constants.superframe_length(samplerate) >> (DEPTHS - 1)
    return sum(edge <= units for edge in COARSE_EDGES[1:])


@lru_cache(maxsize=64)
def geometry(superframe: int, coarse_bands: int) -> Geometry:
    """The layouts of every block size for `coarse_bands` coded coarse bands."""
    fine = [e for e in FINE_EDGES if e <= COARSE_EDGES[coarse_bands]]

    def at_depth(edges: tuple[int, ...], depth: int) -> BandLayout:
        units = [e for e in edges if e < fine[-1]] + [fine[-1]]
        bins = np.array(units) << (DEPTHS - 1 - depth)
        widths = np.diff(bins)
        return BandLayout(bins, np.repeat(np.arange(len(widths)), widths), widths, np.searchsorted(fine, units))

    layouts = tuple(at_depth(edges, depth) for depth, edges in enumerate(EDGES))
    return Geometry(superframe, coarse_bands, at_depth(COARSE_EDGES, DEPTHS - 1), layouts)


def change_layout(values: np.ndarray, source: BandLayout, target: BandLayout) -> np.ndarray:
    """Band values int [bands of source] on the bands of `target`: repeated, then averaged, rounding down."""
    if source.bands == target.bands:
        return values
    every = np.repeat(values, np.diff(source.fine))
    return np.add.reduceat(every, target.fine[:-1]) // np.diff(target.fine)
