"""From a peak to the shape of an atom: start, frequency, decay and length, for many peaks at once.

Around each peak the residual is demodulated by the peak's frequency and correlated with a bank of envelopes at all
starts: a matched filter. What an atom can take away is |<residual, atom>|^2 / |atom|^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats, Signal
from evc.models.events.atoms import Atoms
from evc.models.events.picking import SCALES, Peak

Points = NDArray[np.complex64]

POINTS = 1024  # of the demodulated residual, eight windows long
BACK = (1.2, 0.15)  # starts are looked for so many windows and seconds before the peak ...
BACK_MOST = 1.3  # ... at most so many seconds ...
AHEAD = 0.35  # ... and windows after it
START_STEPS = {1024: 8, 4096: 4, 16384: 3}  # points between starts
POOLS = {1024: 4, 4096: 4, 16384: 3}  # points summed for a first look: starts are as far apart, or further
NEAR = 2  # starts on either side of the first look's that are looked at closely
POOLED = 4  # points summed before frequencies are tried
DETUNINGS = 41  # trial frequencies within one cycle over the envelope's length


@dataclass(frozen=True)
class Shape:
    """An atom without phase and amplitude: start in s, frequency in Hz, codes of decay and length, and the time
    within which the start is certain (s)."""

    start: float
    frequency: float
    decay: int
    length: int
    uncertainty: float


@dataclass(frozen=True)
class _Bank:
    codes: list[tuple[int, int]]
    envelopes: Signal  # [shapes, POINTS]
    energies: Signal  # [shapes]
    pool: int  # points that are summed for a first look,
    pooled: Signal  # [shapes, POINTS // pool]: means of the envelopes over as many


class ShapeFitter:
    """Fits shapes to the peaks of a residual at `rate` Hz."""

    def __init__(self, atoms: Atoms, rate: float) -> None:
        self._atoms, self._rate = atoms, rate

    @cached_property
    def _banks(self) -> dict[int, _Bank]:
        return {scale: self._bank(scale) for scale in SCALES}

    def _bank(self, scale: int) -> _Bank:
        """Envelopes that are not much shorter or longer than a window, each decay with the lengths that cut it."""
        atoms, window = self._atoms, scale / self._rate
        t = np.arange(POINTS) * (8 * window / POINTS)
        quick = int(np.abs(np.log(atoms.rises / 0.004)).argmin())
        codes, envelopes = [], []
        for decay in range(0, len(atoms.decays), 2):
            for length in range(len(atoms.lengths)):
                shorter = atoms.lengths[length - 1] if length else 0.0
                distinct = 3 * atoms.decays[decay] > shorter and atoms.decays[decay] < 5 * atoms.lengths[length]
                lasting = min(atoms.decays[decay], atoms.lengths[length])
                if distinct and window / 14 < lasting < 9 * window:
                    codes.append((decay, length))
                    envelopes.append(atoms.envelope(t, quick, decay, length))
        bank = np.stack(envelopes).astype(np.float32)
        pool = POOLS[scale]
        whole = POINTS // pool * pool
        pooled = bank[:, :whole].reshape(len(bank), -1, pool).mean(axis=2)
        return _Bank(codes, bank, np.square(bank).sum(axis=1), pool, pooled)

    def fit(self, residual: Signal, peaks: Sequence[Peak], begin: float, end: float) -> list[Shape]:
        """A shape per peak, in the peaks' order, of the peaks for which there is one that begins within [begin, end) s.

        residual: float32 [channels, frames].
        """
        shapes: dict[int, Shape] = {}
        for scale in SCALES:
            mine = [i for i, peak in enumerate(peaks) if peak.scale == scale]
            if mine:
                shapes |= self._fit_scale(residual, {i: peaks[i] for i in mine}, scale, begin, end)
        return [shapes[i] for i in sorted(shapes)]

    def _fit_scale(
        self, residual: Signal, chosen: dict[int, Peak], scale: int, begin: float, end: float
    ) -> dict[int, Shape]:
        peaks = list(chosen.values())
        bank, window = self._banks[scale], scale / self._rate
        hop = 8 * scale // POINTS
        step = START_STEPS[scale]
        back = min(BACK[0] * window + BACK[1], BACK_MOST)
        starts = int((back + AHEAD * window) * self._rate / (hop * step)) + 1
        first = np.array([round((peak.time - back) * self._rate) for peak in peaks])
        frequencies = np.array([peak.frequency for peak in peaks])
        frames = (POINTS + starts * step) * hop
        segments = _segments(residual, first, frames)
        times = (first[:, None] + np.arange(starts) * (step * hop)) / self._rate
        allowed = (times >= begin) & (times < end)

        points = self._demodulated(segments, frequencies, hop)
        best, at = self._coarse(points, bank, starts, step, allowed)
        detuning = self._detuning(points, bank, best, at * step, hop)
        points *= _turning(detuning / self._rate * hop, points.shape[2])[:, None]
        best, at = self._fine(points, bank, at, step, allowed)
        frequencies = frequencies + detuning
        uncertainty = step * hop / self._rate
        found: dict[int, Shape] = {}
        for i, number in enumerate(chosen):
            if allowed[i, at[i]]:
                decay, length = bank.codes[best[i]]
                found[number] = Shape(float(times[i, at[i]]), float(frequencies[i]), decay, length, uncertainty)
        return found

    def _demodulated(self, segments: Signal, frequencies: Floats, hop: int) -> Points:
        """Residual times exp(-2 pi i f t), summed over hops: complex64 [peaks, channels, points]."""
        count, channels, frames = segments.shape
        cycles = frequencies / self._rate
        within = _turning(cycles, hop).view(np.float32).reshape(count, hop, 2)
        summed = segments.reshape(count, -1, hop) @ within
        points = summed.view(np.complex64).reshape(count, channels, -1)
        points *= _turning(cycles * hop, frames // hop)[:, None]
        return points

    def _coarse(
        self, points: Points, bank: _Bank, starts: int, step: int, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For every peak the shape that takes away most, and the number of the start, by sums of a few points."""
        pool = bank.pool
        whole = points.shape[2] // pool * pool
        pooled = points[:, :, :whole].reshape(*points.shape[:2], -1, pool).sum(axis=3)
        parts = np.stack([pooled.real, pooled.imag], axis=2)  # [peaks, channels, 2, points]
        windows = np.lib.stride_tricks.sliding_window_view(parts, bank.pooled.shape[1], axis=3)
        matched = np.ascontiguousarray(windows[:, :, :, : starts * step // pool : step // pool]) @ bank.pooled.T
        taken = projected(matched[:, :, 0], matched[:, :, 1]) / bank.energies
        taken[~allowed] = -1  # [peaks, starts, shapes]
        at, best = np.divmod(taken.reshape(len(points), -1).argmax(axis=1), len(bank.codes))
        return best, at

    def _fine(
        self, points: Points, bank: _Bank, at: NDArray[np.int64], step: int, allowed: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same by all points, at starts near those of numbers `at`."""
        near = np.clip(at[:, None] + np.arange(-NEAR, NEAR + 1), 0, allowed.shape[1] - 1)  # [peaks, starts]
        windows = np.lib.stride_tricks.sliding_window_view(points, POINTS, axis=2)[:, :, ::step]
        rows = np.arange(len(points))[:, None]
        chosen = windows.swapaxes(1, 2)[rows, near]  # [peaks, starts, channels, POINTS]
        parts = np.stack([chosen.real, chosen.imag], axis=1) @ bank.envelopes.T
        matched = parts.swapaxes(2, 3)  # [peaks, 2, channels, starts, shapes]
        taken = projected(matched[:, 0], matched[:, 1]) / bank.energies
        taken[~allowed[rows, near]] = -1
        place, best = np.divmod(taken.reshape(len(points), -1).argmax(axis=1), len(bank.codes))
        return best, near[rows[:, 0], place]

    def _detuning(
        self, points: Points, bank: _Bank, best: NDArray[np.int64], at: NDArray[np.int64], hop: int
    ) -> Floats:
        """Hz by which each peak's frequency is off, from the spectrum of the demodulated residual under the shape."""
        windows = np.stack([points[i, :, start : start + POINTS] for i, start in enumerate(at)])
        envelopes = bank.envelopes[best]
        shaped = (windows * envelopes[:, None]).reshape(*windows.shape[:2], -1, POOLED).sum(axis=3)
        seconds = np.square(envelopes).sum(axis=1) * (hop / self._rate)
        trials = np.linspace(-1, 1, DETUNINGS) / np.maximum(seconds, 0.02)[:, None]
        time = np.arange(POINTS // POOLED) * (POOLED * hop / self._rate)
        angles = (-2 * np.pi * trials[:, :, None] * time).astype(np.float32)  # [peaks, trials, points]
        ramps = np.empty(angles.shape, np.complex64)
        ramps.real, ramps.imag = np.cos(angles), np.sin(angles)
        spectra = shaped @ ramps.swapaxes(1, 2)  # [peaks, channels, trials]
        taken = projected(spectra.real, spectra.imag)
        rows, highest = np.arange(len(best)), np.clip(taken.argmax(axis=1), 1, DETUNINGS - 2)
        left, middle, right = (taken[rows, highest + step].astype(np.float64) for step in (-1, 0, 1))
        offset = 0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-20)
        inside = taken.argmax(axis=1) == highest
        highest = taken.argmax(axis=1)
        return trials[rows, highest] + np.where(inside, offset, 0) * (trials[:, 1] - trials[:, 0])


def projected(real: Signal, imaginary: Signal) -> Signal:
    """Largest |projection|^2 over phase and pan of complex correlations [peaks, channels, ...]; one channel or two."""
    powers = np.square(real) + np.square(imaginary)
    if powers.shape[1] == 1:
        return powers[:, 0]
    a, b = powers[:, 0], powers[:, 1]
    cross = real[:, 0] * real[:, 1] + imaginary[:, 0] * imaginary[:, 1]
    return np.asarray((a + b) / 2 + np.sqrt(np.square((a - b) / 2) + np.square(cross)))


def _turning(cycles: Floats, count: int) -> Points:
    """exp(-2 pi i cycles n), complex64 [frequencies, count]."""
    turns = np.outer(cycles, np.arange(count))
    angles = ((turns - np.rint(turns)) * (-2 * np.pi)).astype(np.float32)
    result = np.empty(angles.shape, np.complex64)
    result.real, result.imag = np.cos(angles), np.sin(angles)
    return result


def _segments(samples: Signal, first: NDArray[np.int64], frames: int) -> Signal:
    """Stretches of `frames` samples from each of `first`, zeros outside: [segments, channels, frames]."""
    result = np.zeros((len(first), samples.shape[0], frames), np.float32)
    for i, start in enumerate(first):
        a, b = max(0, start), min(samples.shape[1], start + frames)
        if a < b:
            result[i, :, a - start : b - start] = samples[:, a:b]
    return result
