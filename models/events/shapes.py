"""From a peak to the shape of an atom: start, frequency, decay and length, for many peaks at once.

Around each peak the residual is demodulated by the peak's frequency and correlated with a bank of envelopes at all
starts: a matched filter. What an atom can take away is |<residual, atom>|^2 / |atom|^2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from evc.models.events.atoms import Atoms
from evc.models.events.picking import SCALES, Peak

POINTS = 1024  # of the demodulated residual, eight windows long
BACK = (1.2, 0.15)  # starts are looked for so many windows and seconds before the peak ...
BACK_MOST = 1.3  # ... at most so many seconds ...
AHEAD = 0.35  # ... and windows after it
START_STEPS = {1024: 8, 4096: 4, 16384: 3}  # points between starts
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
    envelopes: torch.Tensor  # [shapes, POINTS]
    energies: torch.Tensor  # [shapes]


class ShapeFitter:
    """Fits shapes to the peaks of a residual at `rate` Hz."""

    def __init__(self, atoms: Atoms, rate: float, device: str = "cpu") -> None:
        self._atoms, self._rate, self._device = atoms, rate, device

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
        bank = torch.as_tensor(np.stack(envelopes), dtype=torch.float32, device=self._device)
        return _Bank(codes, bank, (bank**2).sum(1))

    def fit(self, residual: torch.Tensor, peaks: Sequence[Peak], begin: float, end: float) -> list[Shape]:
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
        self, residual: torch.Tensor, chosen: dict[int, Peak], scale: int, begin: float, end: float
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
        allowed = torch.as_tensor((times >= begin) & (times < end), device=self._device)

        points = self._demodulated(segments, frequencies, hop)
        best, at = self._best(points, bank, starts, step, allowed)
        frequencies = frequencies + self._detuning(points, bank, best, at, hop)
        best, at = self._best(self._demodulated(segments, frequencies, hop), bank, starts, step, allowed)
        uncertainty = step * hop / self._rate
        return {
            number: Shape(float(times[i, at[i] // step]), float(frequencies[i]), *bank.codes[best[i]], uncertainty)
            for i, number in enumerate(chosen)
            if bool(allowed[i, at[i] // step])
        }

    def _demodulated(self, segments: torch.Tensor, frequencies: NDArray[np.float64], hop: int) -> torch.Tensor:
        """Residual times exp(-2 pi i f t), summed over hops: complex64 [peaks, channels, points]."""
        count, channels, frames = segments.shape
        cycles = torch.as_tensor(frequencies / self._rate, device=self._device)
        within = torch.exp(-2j * np.pi * cycles[:, None] * torch.arange(hop, device=self._device, dtype=torch.float64))
        hops = torch.arange(frames // hop, device=self._device, dtype=torch.float64)
        across = torch.exp(-2j * np.pi * (cycles[:, None] * hop * hops))
        parts = torch.view_as_real(within.to(torch.complex64))  # [peaks, hop, 2]
        summed = segments.reshape(count, -1, hop) @ parts
        return torch.view_as_complex(summed).reshape(count, channels, -1) * across.to(torch.complex64)[:, None]

    def _best(
        self, points: torch.Tensor, bank: _Bank, starts: int, step: int, allowed: torch.Tensor
    ) -> tuple[list[int], list[int]]:
        """For every peak the shape that takes away most, and the point it starts at."""
        flat = torch.view_as_real(points).permute(0, 1, 3, 2).contiguous()  # [peaks, channels, 2, points]
        windows = flat.unfold(3, POINTS, step)[:, :, :, :starts]  # [peaks, channels, 2, starts, POINTS]
        matched = windows @ bank.envelopes.T
        taken = projected(torch.complex(matched[:, :, 0], matched[:, :, 1]).movedim(1, -1)) / bank.energies
        taken = torch.where(allowed[:, :, None], taken, -1.0)  # [peaks, starts, shapes]
        places = taken.flatten(1).argmax(1)
        shapes = len(bank.codes)
        return (places % shapes).tolist(), (torch.div(places, shapes, rounding_mode="floor") * step).tolist()

    def _detuning(
        self, points: torch.Tensor, bank: _Bank, best: list[int], at: list[int], hop: int
    ) -> NDArray[np.float64]:
        """Hz by which each peak's frequency is off, from the spectrum of the demodulated residual under the shape."""
        windows = torch.stack([points[i, :, start : start + POINTS] for i, start in enumerate(at)])
        envelopes = bank.envelopes[best]
        shaped = (windows * envelopes[:, None]).unflatten(2, (-1, POOLED)).sum(-1)
        seconds = (envelopes**2).sum(1) * (hop / self._rate)
        trials = torch.linspace(-1, 1, DETUNINGS, device=self._device)[None] / seconds.clamp(min=0.02)[:, None]
        time = torch.arange(POINTS // POOLED, device=self._device) * (POOLED * hop / self._rate)
        angles = -2 * np.pi * trials[:, :, None] * time  # [peaks, trials, points]
        ramps = torch.complex(angles.cos(), angles.sin())
        taken = projected(torch.einsum("ptn,pcn->ptc", ramps, shaped)).cpu().numpy()
        steps = (trials[:, 1] - trials[:, 0]).cpu().numpy()
        result = np.zeros(len(best))
        for i, row in enumerate(taken):
            j = int(row.argmax())
            offset = 0.0
            if 0 < j < DETUNINGS - 1:
                left, middle, right = row[j - 1 : j + 2]
                offset = 0.5 * (left - right) / min(left - 2 * middle + right, -1e-20)
            result[i] = float(trials[i, j]) + offset * steps[i]
        return result


def projected(correlations: torch.Tensor) -> torch.Tensor:
    """Largest |projection|^2 over phase and pan of complex correlations [..., channels]; one channel or two."""
    if correlations.shape[-1] == 1:
        return correlations[..., 0].abs() ** 2
    left, right = correlations[..., 0], correlations[..., 1]
    a, b = left.abs() ** 2, right.abs() ** 2
    cross = left.real * right.real + left.imag * right.imag
    return (a + b) / 2 + torch.sqrt(((a - b) / 2) ** 2 + cross**2)


def _segments(samples: torch.Tensor, first: NDArray[np.int64], frames: int) -> torch.Tensor:
    """Stretches of `frames` samples from each of `first`, zeros outside: [segments, channels, frames]."""
    result = samples.new_zeros((len(first), samples.shape[0], frames))
    for i, start in enumerate(first):
        a, b = max(0, start), min(samples.shape[1], start + frames)
        if a < b:
            result[i, :, a - start : b - start] = samples[:, a:b]
    return result
