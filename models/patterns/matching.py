"""Which of some lags are worth their bits in a superframe, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.spectrum_layout import full_geometry
from evc.models.arrays import Signal
from evc.models.spectrum.analysis import model_steps, uniform_spectra

MAX_GAIN = 1.25  # of a prediction
BAND_BITS, KNOWN_BITS, NEW_BITS = 2.0, 4.0, 14.0  # side information of a band, of a lag in use, of any other
STEP_EXPONENT = (c.STEP_OWN_WEIGHT + c.STEP_SPREAD_WEIGHT) / 64  # of a band's level in its step size, about
SHORTLIST = 8  # lags whose bits are counted exactly, after a choice by energies
MOST_CHOSEN = 8
SILENCE = np.float32(1e-9)  # energy that divides nothing by zero


@dataclass(frozen=True)
class Candidate:
    """A lag that predicts a superframe."""

    first: int  # superframe at which the run begins over which this lag is listed without a gap
    count: int  # superframes of that run
    lag: int  # in 2**-phase_bits frames
    score: float  # share of the superframe's weighted energy explained by this lag alone, 0...1
    bits: float  # estimate of what is saved by adding it to those listed before it


class Matcher:
    """Weighs lags by the bits that they save in one superframe of `size` frames after the other.

    A superframe is transformed as two blocks. gain: planned log step in 1/64 octave.
    """

    def __init__(self, size: int, gain: int) -> None:
        self.used: list[int] = []  # lags of the superframe before
        self.margin = size // 4  # samples before and after a superframe that its blocks overlap
        self._size, self._gain = size, gain
        edges = full_geometry(size).coarse.edges << (c.BLOCK_DEPTHS - 2)
        self._first, self._widths = edges[:-1], np.diff(edges)
        self._bins = int(edges[-1])

    def best(self, superframe: int, signal: Signal, lags: list[int], past: Callable[[int], Signal]) -> list[Candidate]:
        """The lags that save bits, greedily: every one what those before it leave, band by band.

        signal: float32 [planes, margin + size + margin]; past: the same, as it was a lag ago.
        """
        before, self.used = self.used, []
        if not lags or not signal.any():
            return []
        residual: Signal = self._spectra(signal[None])[0]
        spectra = self._spectra(np.stack([past(lag) for lag in lags]))
        energy = self._products(residual, residual)
        steps = model_steps(np.sqrt(energy / (2 * self._widths).astype(np.float32)), self._gain, STEP_EXPONENT)
        inverse = self._on_bins(1 / steps)
        own = np.maximum(self._products(spectra, spectra), SILENCE)
        side = np.array([KNOWN_BITS if lag in before else NEW_BITS for lag in lags])
        alone: NDArray[np.float32] | None = None
        chosen: list[Candidate] = []
        while len(chosen) < MOST_CHOSEN:
            inner = self._products(spectra, residual)
            gains = np.clip(inner / own, 0, np.float32(MAX_GAIN))
            explained = gains * (2 * inner - gains * own)
            if alone is None:
                alone = (explained / steps**2).sum(axis=(1, 2)) / np.maximum((energy / steps**2).sum(), SILENCE)
            kept = np.log2(np.maximum(energy - explained, 0) / steps**2 + 1) * self._widths
            likely = np.argsort(kept.sum(axis=(1, 2)), kind="stable")[:SHORTLIST]
            left: Signal = residual - self._on_bins(gains[likely]) * spectra[likely]
            saved = self._bits(residual, inverse) - self._bits(left, inverse) - np.float32(BAND_BITS)
            total = np.maximum(saved, 0).sum(axis=(1, 2)) - side[likely]
            top = int(np.argmax(total))
            if total[top] <= 0:
                break
            lag = int(likely[top])
            chosen.append(Candidate(superframe, 1, lags[lag], float(alone[lag]), float(total[top])))
            residual = np.where(self._on_bins(saved[top] > 0), left[top], residual)
            energy = self._products(residual, residual)
        self.used = [candidate.lag for candidate in chosen]
        return chosen

    def _spectra(self, signals: Signal) -> Signal:
        """Spectra [signals, planes, 2, bins] of signals float32 [signals, planes, samples]."""
        flat = signals.reshape(-1, signals.shape[-1])
        spectra = uniform_spectra(flat, self.margin, self._size, self._size // 2)[..., : self._bins]
        return spectra.reshape(*signals.shape[:-1], 2, self._bins)

    def _products(self, one: Signal, other: Signal) -> Signal:
        """Inner products [..., planes, bands] of spectra [..., planes, 2, bins]."""
        return self._band_sums(one * other)

    def _bits(self, spectra: Signal, inverse: Signal) -> Signal:
        """Bits [..., planes, bands], about, of spectra [..., planes, 2, bins], for the inverses of their steps."""
        return self._band_sums(np.log2(np.abs(spectra) * inverse + 1))

    def _band_sums(self, values: Signal) -> Signal:
        sums: Signal = np.add.reduceat(values[..., 0, :] + values[..., 1, :], self._first, axis=-1)
        return sums

    def _on_bins(self, values: NDArray[Any]) -> Any:
        """Values [..., planes, bands] on bins, [..., planes, 1, bins]."""
        return np.repeat(values, self._widths, axis=-1)[..., None, :]
