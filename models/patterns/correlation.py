"""Where in its own past does a signal sound alike? Correlation of short tiles with a long history, band by band.

A signal is weighted so that all its bands count alike, and cut into a few frequency ranges that are demodulated to
complex baseband and decimated. Every tile of a range is correlated with all the past of that range by fast
convolution: the past is kept as spectra of overlapping blocks (overlap-save), so that a tile costs one product and
one inverse transform per block. The magnitude of a complex correlation does not depend on fractions of a sample.
Correlations of consecutive tiles at the same lag are added up, which finds longer and weaker repetitions.

`delay.py` refines the lags that are found on the grid of a range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Signal

Spectrum = NDArray[np.complex64]

HOPS_PER_TILE = 16  # a tile is 4 superframes, a hop of the weighting transform a quarter of one
SMOOTHING = 2  # hops on either side over which a band's level is averaged
WEIGHT_EXPONENT = 0.7  # of a band's level, in what it is divided by
WEIGHT_FLOOR = 1.0  # amplitude, 16-bit units, below which nothing is lifted further
BANDS_PER_OCTAVE = 3
LOWEST_EDGE = 4  # bins: the upper edge of the lowest band
ENERGY_FLOOR = 1e-3  # of the energy of a tile: the past is not told apart below it
BLOCK_TILES = 8  # tiles in a block of the past
CHUNK = 1 << 17  # points that are transformed at a time, to stay in the cache
CELL = 32  # lags among which only the best one can be a peak
RECENCY = 0.02  # share of its score that the most distant lag loses against the nearest
FALSE_ALARM = 4.0  # nats by which a peak must exceed the highest one expected of noise


@lru_cache(maxsize=8)
def band_edges(bins: int) -> NDArray[np.int64]:
    """Edges of bands of a third of an octave among `bins` bins, the first of them wider."""
    count = int(np.ceil(BANDS_PER_OCTAVE * np.log2(bins / LOWEST_EDGE)))
    edges = np.rint(np.geomspace(LOWEST_EDGE, bins, count + 1)).astype(np.int64)
    return np.unique(np.concatenate([[0], edges]))


@lru_cache(maxsize=16)
def _window(size: int) -> Signal:
    """Square root of the periodic Hann window: used twice, halves that overlap add up to 1."""
    return np.sin(np.pi * np.arange(size) / size).astype(np.float32)


def weighted_spectra(signal: Signal, hop: int) -> Spectrum:
    """Windowed spectra [hops, hop + 1] of `signal` float32 [samples], each bin divided by the level of its band to
    the power WEIGHT_EXPONENT.

    The windows are 2 hops long and begin at every hop; the first and last SMOOTHING of them only serve the levels of
    the others and are left out.
    """
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop)[::hop]
    spectra: Spectrum = np.fft.rfft(frames * _window(2 * hop), axis=-1, norm="ortho").astype(np.complex64, copy=False)
    power = spectra.real**2 + spectra.imag**2
    edges = band_edges(hop + 1)
    energy = np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges)
    sums = np.cumsum(np.concatenate([np.zeros((1, energy.shape[1])), energy]), axis=0)
    width = 2 * SMOOTHING + 1
    level = np.sqrt((sums[width:] - sums[:-width]) / width)
    centres = (edges[:-1] + edges[1:]) / 2
    bins = np.arange(hop + 1)
    log = -WEIGHT_EXPONENT * np.log(level + WEIGHT_FLOOR)
    weights = np.exp([np.interp(bins, centres, row) for row in log]).astype(np.float32)
    return np.asarray(spectra[SMOOTHING:-SMOOTHING] * weights, np.complex64)


def baseband(spectra: Spectrum, first: int, bins: int) -> Spectrum:
    """The complex signal [bins / 2 * (hops - 1)] of bins [first, first + bins) of `weighted_spectra`, shifted to
    frequency 0 and decimated to `bins` samples per window. `first` must be even, for the phase to be continuous."""
    pieces = np.fft.ifft(spectra[:, first : first + bins], axis=-1) * _window(bins)
    halves = pieces.reshape(len(pieces), 2, bins // 2)
    return np.asarray((halves[1:, 0] + halves[:-1, 1]).reshape(-1), np.complex64)


class History:
    """The last samples of a stream, addressed by their absolute positions; earlier ones are zero before the start.

    values: [..., capacity]; at least `keep` samples before the end stay readable.
    """

    def __init__(self, keep: int, dtype: Any, lead: tuple[int, ...] = ()) -> None:
        self.keep = keep
        self._values = np.zeros((*lead, keep + max(keep // 4, 1 << 16)), dtype)
        self._origin = -keep  # absolute position of the first stored sample
        self.end = 0

    def append(self, samples: NDArray[Any]) -> None:
        """Samples [..., n] behind the last ones."""
        room = self._values.shape[-1] - self.keep
        for first in range(0, samples.shape[-1], room):
            self._append(samples[..., first : first + room])

    def _append(self, samples: NDArray[Any]) -> None:
        count, size = samples.shape[-1], self._values.shape[-1]
        used = self.end - self._origin
        if used + count > size:
            kept = self._values[..., used - self.keep : used].copy()
            self._values[..., : self.keep] = kept
            self._origin, used = self.end - self.keep, self.keep
        self._values[..., used : used + count] = samples
        self.end += count

    def view(self, start: int, end: int) -> NDArray[Any]:
        """Samples [start, end) without a copy; start >= self.end - keep."""
        return self._values[..., start - self._origin : end - self._origin]


@dataclass(frozen=True)
class Peak:
    """A lag on the grid of its range."""

    lag: int  # samples of the range
    score: float  # squared correlation coefficient, 0...1


class RangeCorrelator:
    """Correlates the tiles of one decimated range with its past.

    tile, shortest, longest: length of a tile and bounds of the lags, in samples of the range; lengths: numbers of
    tiles over which correlations are added up, each a multiple of the one before it, the first 1; count: peaks to
    report for every length.
    """

    def __init__(self, tile: int, shortest: int, longest: int, lengths: tuple[int, ...], count: int) -> None:
        self.tile, self.shortest, self.count = tile, shortest, count
        self.lags = -(-longest // CELL) * CELL
        self.lengths = lengths
        self._size = BLOCK_TILES * tile
        self._step = self._size - tile
        self._slots = -(-(self.lags + tile) // self._step) + 2
        self._spectra = np.zeros((self._slots, self._size), np.complex64)
        self._samples = History(self.lags + 2 * self._size, np.complex64)
        self._energy = History(self.lags + 2 * self._size, np.float32)  # of the tile that ends before each position
        self._sums = [np.zeros(self.lags, np.complex64) for _ in lengths]
        self._energies = [np.zeros(self.lags, np.float32) for _ in lengths]
        self._own = [0.0 for _ in lengths]
        self._tiles = 0

    def push(self, samples: Spectrum) -> dict[int, list[Peak]]:
        """The peaks of the windows that end with the next tile `samples` [tile], by number of tiles."""
        self._append(samples)
        own = float(np.vdot(samples, samples).real)
        self._correlate(samples)
        start = self._tiles * self.tile
        end = start + self.tile
        np.copyto(self._energies[0], self._energy.view(end - self.lags - 1, end - 1))
        self._own[0] = own
        self._tiles += 1
        peaks = {1: self._peaks(0)}
        for level in range(1, len(self.lengths)):
            if self._tiles % self.lengths[level - 1]:
                break
            self._sums[level] += self._sums[level - 1]
            self._energies[level] += self._energies[level - 1]
            self._own[level] += self._own[level - 1]
            if level > 1:
                self._clear(level - 1)
            if self._tiles % self.lengths[level] == 0:
                peaks[self.lengths[level]] = self._peaks(level)
        if self._tiles % self.lengths[-1] == 0 and len(self.lengths) > 1:
            self._clear(len(self.lengths) - 1)
        return peaks

    def _clear(self, level: int) -> None:
        self._sums[level].fill(0)
        self._energies[level].fill(0)
        self._own[level] = 0.0

    def _append(self, samples: Spectrum) -> None:
        """Bring the blocks that the new samples touch up to date, and the energies of the tiles that they end."""
        start = self._samples.end
        self._samples.append(samples)
        end = self._samples.end
        for block in range(max(0, -(-(start - self._size + 1) // self._step)), (end - 1) // self._step + 1):
            first = block * self._step
            part = self._samples.view(first, min(end, first + self._size))
            self._spectra[block % self._slots] = np.fft.fft(part, self._size)
        recent = np.asarray(self._samples.view(start - self.tile, end))
        sums = np.concatenate([[0.0], np.cumsum(recent.real.astype(np.float64) ** 2 + recent.imag**2)])
        energy = sums[self.tile :] - sums[: -self.tile]  # of tiles that end at start ... end
        self._energy.append(energy[1:].astype(np.float32))

    def _correlate(self, samples: Spectrum) -> None:
        """Correlations of a tile with the past, [lags]: the last one at lag 1, the first at the longest lag."""
        start = self._tiles * self.tile
        out = self._sums[0]
        out.fill(0)
        spectrum = np.conj(np.fft.fft(samples, self._size)).astype(np.complex64, copy=False)
        oldest = max(0, (start - self.lags) // self._step)
        newest = (start - 1) // self._step
        chunk = max(1, CHUNK // self._size)
        block = oldest
        while block <= newest:
            slot = block % self._slots
            blocks = min(chunk, newest + 1 - block, self._slots - slot)
            found = np.fft.ifft(self._spectra[slot : slot + blocks] * spectrum, axis=-1)[:, : self._step].reshape(-1)
            at = block * self._step - (start - self.lags)
            cut, end = max(0, -at), min(len(found), self.lags - at)
            out[at + cut : at + end] = found[cut:end]
            block += blocks
        out[self.lags - self.shortest + 1 :] = 0

    def _peaks(self, level: int) -> list[Peak]:
        own = self._own[level]
        if own <= 0:
            return []
        score, cells = _scores(self._sums[level], self._energies[level], ENERGY_FLOOR * own)
        age = np.arange(len(cells), 0, -1) / len(cells)
        cells *= (1 - RECENCY * age) / own
        # Noise of n degrees of freedom has squared coefficients of 1 / n, exponentially distributed.
        lowest = (np.log(len(score)) + FALSE_ALARM) / (self.tile * self.lengths[level])
        tops = np.flatnonzero(cells > lowest)
        order = tops[np.argsort(-cells[tops], kind="stable")][: 16 * self.count]
        taken: list[Peak] = []
        for cell in order:
            at = int(cell) * CELL + int(np.argmax(score[cell * CELL : (cell + 1) * CELL]))
            lag = self.lags - at
            if all(abs(lag - other.lag) >= CELL for other in taken):
                taken.append(Peak(lag, float(min(score[at] / own, 1.0))))
            if len(taken) == self.count:
                break
        return taken


def _scores(sums: Spectrum, energies: Signal, floor: float) -> tuple[Signal, Signal]:
    """|sums|**2 / (energies + floor) [lags], and the highest in every cell [lags / CELL]."""
    if kernels.lib is None:
        score = sums.real**2
        score += sums.imag**2
        score /= energies + np.float32(floor)
        return score, score.reshape(-1, CELL).max(axis=1)
    score, cells = np.empty(len(sums), np.float32), np.empty(len(sums) // CELL, np.float32)
    arrays = (kernels.pointer(array) for array in (sums, energies, score, cells))
    kernels.lib.evc_scores(*arrays, len(cells), CELL, floor)
    return score, cells
