"""Lags to fractions of a sample: the cross-spectrum at the full rate, its bands weighted by their coherence.

This is the maximum-likelihood delay estimator of Knapp & Carter, "The generalized correlation method for estimation
of time delay" (1976), with coherences measured in narrow bands. A band counts by how much of it repeats: other layers
over it disturb little. Cross-spectra are those of sections, which only have to reach a little further than these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Signal
from evc.models.patterns.correlation import Spectrum, band_edges

SECTION = 4096  # samples that are transformed at a time, to stay in the cache
INTERPOLATION_REACH = 20  # samples on either side of a correlation's peak that interpolate it
NARROW_BANDS = 64  # in the whole spectrum, at least
COHERENCE_BIAS = 3.0  # times the mean coherence of what is not alike
HIGHEST_COHERENCE = 0.99


@lru_cache(maxsize=4)
def _interpolators(phases: int) -> Signal:
    """Sinc kernels [2 * phases + 1, 2 * INTERPOLATION_REACH + 1] that read a band-limited sequence at -1 ... 1 in
    steps of 1 / phases."""
    taps = np.arange(-INTERPOLATION_REACH, INTERPOLATION_REACH + 1)
    at = np.arange(-phases, phases + 1)[:, None] / phases - taps
    return (np.sinc(at) * np.cos(np.pi / 2 * at / (INTERPOLATION_REACH + 2)) ** 2).astype(np.float32)


@lru_cache(maxsize=8)
def _refining_edges(bins: int) -> NDArray[np.int64]:
    """Edges of bands narrow enough for the phase to turn little within them when the lag is a little wrong."""
    widest = max(1, bins // NARROW_BANDS)
    return np.unique(np.concatenate([band_edges(bins), np.arange(0, bins, widest)]))


@lru_cache(maxsize=16)
def _fast_size(least: int) -> int:
    """The next even number with small factors only, which an FFT takes in its stride."""
    size = least + least % 2
    while True:
        rest = size
        for factor in (2, 3, 5, 7):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2


def _summed(one: Spectrum, other: Spectrum) -> tuple[Spectrum, Signal]:
    """Sums over sections of conj(one) * other [bins] and |other|**2 [bins], of complex64 [sections, bins]."""
    if kernels.lib is None:
        return (one.conj() * other).sum(axis=0), (other.real**2 + other.imag**2).sum(axis=0)
    cross, power = np.empty(one.shape[1], np.complex64), np.empty(one.shape[1], np.float32)
    kernels.lib.evc_cross_spectrum(
        kernels.pointer(one), kernels.pointer(other), *one.shape, kernels.pointer(cross), kernels.pointer(power)
    )
    return cross, power


@dataclass(frozen=True)
class Refined:
    """A lag refined: `offset` to the assumed lag in fractions of a sample, and how far the `likelihood` (nats) of
    other offsets stays behind: float [2 * phases + 1] for those from `offset` - phases to `offset` + phases."""

    offset: int
    behind: Signal
    bits: float  # by which knowing the lagged stretch would shorten the description of the stretch, at most


class Refiner:
    """Finds the lags of one stretch of signal to fractions of a sample, near known ones.

    stretch: float32 [samples]; reach: samples by which a known lag may be wrong; phases: fractions of a sample.
    """

    def __init__(self, stretch: Signal, reach: int, phases: int) -> None:
        self.margin = reach + INTERPOLATION_REACH + 1
        self._phases = phases
        self._section = min(SECTION, len(stretch))
        self._sections = -(-len(stretch) // self._section)
        self._size = _fast_size(self._section + 2 * self.margin)
        padded = np.pad(stretch, (0, self._sections * self._section - len(stretch)))
        self._spectra = self._transformed(padded.reshape(self._sections, -1))
        bins = self._spectra.shape[1]
        self._edges = _refining_edges(bins)
        self._widths = np.diff(self._edges)
        self._own = np.sqrt(self._band_sums(_summed(self._spectra, self._spectra)[1]))
        self._freedom = (self._widths * len(stretch) / self._size).astype(np.float32)  # complex values in each band
        self._turn = np.exp(2j * np.pi / self._size * self.margin * np.arange(bins)).astype(np.complex64)

    def _transformed(self, sections: Signal) -> Spectrum:
        return np.ascontiguousarray(np.fft.rfft(sections, self._size, axis=-1), np.complex64)

    def _band_sums(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, self._edges[:-1])

    def refine(self, past: Signal) -> Refined | None:
        """The most likely lag near the assumed one; None where nothing is alike.

        past: float32 [samples + 2 * margin] with the lagged stretch, by the assumed lag, in its middle.
        """
        reach = self._section + 2 * self.margin
        padded = np.pad(past, (0, (self._sections - 1) * self._section + reach - len(past)))
        sections = np.lib.stride_tricks.sliding_window_view(padded, reach)[:: self._section]
        cross, power = _summed(self._spectra, self._transformed(sections))
        level = np.maximum(self._own * np.sqrt(self._band_sums(power)), np.float32(1e-12))
        coherence = np.square(np.abs(self._band_sums(cross * self._turn)) / level)
        coherence -= np.float32(COHERENCE_BIAS) / self._freedom
        coherence = np.clip(coherence, 0, np.float32(HIGHEST_COHERENCE))
        if not coherence.any():
            return None
        bits = -float(self._freedom @ np.log2(1 - coherence))
        weights = coherence / (1 - coherence) / level * self._freedom
        sequence = np.fft.irfft(cross * np.repeat(weights, self._widths), self._size)[: 2 * self.margin + 1]
        at = INTERPOLATION_REACH + 1 + int(np.argmax(sequence[INTERPOLATION_REACH + 1 : -INTERPOLATION_REACH - 1]))
        around = sequence[at - INTERPOLATION_REACH : at + INTERPOLATION_REACH + 1]
        curve = _interpolators(self._phases) @ around * np.float32(self._size)
        best = int(np.argmax(curve))
        offset = (self.margin - at + 1) * self._phases - best
        wide = np.full(4 * self._phases + 1, -np.inf, np.float32)
        wide[self._phases : 3 * self._phases + 1] = curve[::-1] - curve[best]
        middle = 3 * self._phases - best
        return Refined(offset, -wide[middle - self._phases : middle + self._phases + 1], bits)
