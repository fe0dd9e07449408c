"""Which of some lags are worth their bits in a superframe, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.spectrum_layout import full_geometry
from evc.models.arrays import Signal
from evc.models.patterns.products import Bands
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
        self._bands = Bands(edges, size // 2)

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
        widths = self._bands.widths.astype(np.float32)
        steps = model_steps(np.sqrt(energy / (2 * widths)), self._gain, STEP_EXPONENT)
        inverse: Signal = np.asarray(1 / steps, np.float32)
        precision, nothing = np.square(inverse), np.zeros((1, *steps.shape), np.float32)
        own = np.maximum(self._products(spectra, spectra), SILENCE)
        side = np.array([KNOWN_BITS if lag in before else NEW_BITS for lag in lags])
        alone: NDArray[np.float32] | None = None
        chosen: list[Candidate] = []
        while len(chosen) < MOST_CHOSEN:
            inner = self._products(spectra, residual)
            gains = np.clip(inner / own, 0, np.float32(MAX_GAIN))
            explained = gains * (2 * inner - gains * own)
            if alone is None:
                alone = (explained * precision).sum(axis=(1, 2)) / np.maximum((energy * precision).sum(), SILENCE)
            kept = np.log2(np.maximum(energy - explained, 0) * precision + 1) * widths
            likely = np.argsort(kept.sum(axis=(1, 2)), kind="stable")[:SHORTLIST]
            now = self._bands.left_bits(residual, spectra, likely[:1], nothing, inverse)
            left = self._bands.left_bits(residual, spectra, likely, np.asarray(gains[likely], np.float32), inverse)
            saved = now - left - np.float32(BAND_BITS)
            total = np.maximum(saved, 0).sum(axis=(1, 2)) - side[likely]
            top = int(np.argmax(total))
            if total[top] <= 0:
                break
            lag = int(likely[top])
            chosen.append(Candidate(superframe, 1, lags[lag], float(alone[lag]), float(total[top])))
            for plane, weights in enumerate(np.where(saved[top] > 0, gains[lag], 0)):
                self._bands.subtract(residual[plane], spectra[lag, plane], weights)
            energy = self._products(residual, residual)
        self.used = [candidate.lag for candidate in chosen]
        return chosen

    def _spectra(self, signals: Signal) -> Signal:
        """Spectra [signals, planes, 2, size / 2] of signals float32 [signals, planes, samples]."""
        flat = signals.reshape(-1, signals.shape[-1])
        spectra = uniform_spectra(flat, self.margin, self._size, self._size // 2)
        return spectra.reshape(*signals.shape[:-1], 2, -1)

    def _products(self, one: Signal, other: Signal) -> Signal:
        """Inner products [..., planes, bands] of spectra [..., planes, 2, size / 2]."""
        sums: Signal = self._bands.products(one, other).sum(axis=-2)
        return sums
