"""The partials above the first: which resonator an event has, and which of its partials pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats
from evc.models.events.atoms import Atoms, Times
from evc.models.events.vectors import PART_INDEX, PARTS
from evc.models.events.weighting import Weighting

PARTIAL_BITS = 5.5  # of a partial above the first: what it has to pay for
PHASES = PARTS[PART_INDEX["phase"]].codes
AMPLITUDE_STEP = 1.5  # dB
BEGINNING = 0.35  # s of an event in which the magnitudes of harmonics are compared
LEAST_FRAMES = 8  # of an event before the end of the signal
HIGHEST = 0.47  # of the rate: partials above are not looked for
BLOCK = 256  # frames over which an exponential is continued by multiplication


@dataclass
class Tone:
    """The first partial of an event, and what it leaves.

    residual, t, envelope  [frames]: what is left, seconds since the start, amplitude 1
    carrier                complex [frames]: exp(2 pi i f t) at its frequency in Hz; start in s
    """

    residual: Floats
    t: Floats
    envelope: Times
    carrier: NDArray[np.complex128]
    start: float
    frequency: float


class HarmonicFitter:
    """Finds partials of tones at `rate` Hz."""

    def __init__(self, atoms: Atoms, rate: float, weighting: Weighting) -> None:
        self._atoms, self._rate, self._weighting = atoms, rate, weighting
        self._harmonic = harmonic(atoms)

    def add(
        self, tone: Tone, waveform: Floats, codes: NDArray[np.int64], level: int, threshold: float
    ) -> tuple[Floats, float]:
        """`waveform` with the partials that pay, and the bits they cost; sets their codes."""
        amplitude = 10 ** (level * AMPLITUDE_STEP / 20)
        resonator, numbers = self._resonator(tone, amplitude, threshold)
        bits, phase1 = 0.0, 2 * np.pi * codes[PART_INDEX["phase"]] / PHASES
        residual = tone.residual
        for m in numbers:
            factor = amplitude * np.exp(1j * m * phase1)
            turning = self._partial(tone, resonator, m, int(codes[PART_INDEX["decay"]]), factor)
            multipliers = self._atoms.multipliers[m - 2, 1:]
            matched = _inner(residual, turning) * multipliers
            code = int(matched.real.argmax())
            partial = (turning * multipliers[code]).real
            taken = float(2 * matched.real[code] - partial @ partial) / self._rate
            if taken * self._weighting.at(tone.start, m * tone.frequency) > PARTIAL_BITS * threshold:
                codes[PART_INDEX["partial2"] + m - 2] = code + 1
                residual = residual - partial
                waveform = waveform + partial
                bits += PARTIAL_BITS
        if bits:
            codes[PART_INDEX["resonator"]] = resonator
        return waveform, bits

    def _partial(self, tone: Tone, resonator: int, m: int, decay: int, factor: complex) -> NDArray[np.complex128]:
        """Complex partial of a resonator, times `factor`, without the phase of the first."""
        atoms = self._atoms
        faster = (float(atoms.decay_factors[resonator, m - 1]) - 1) / float(atoms.decays[decay])
        turning = 2j * np.pi * float(atoms.ratios[resonator, m - 1]) * tone.frequency
        partial = exponential(turning - faster, tone.t[0], len(tone.t), self._rate)
        gain = atoms.gains[resonator, m - 1] * np.exp(1j * atoms.phases[resonator, m - 1])
        return partial * tone.envelope * (factor * gain)

    def _resonator(self, tone: Tone, amplitude: float, threshold: float) -> tuple[int, list[int]]:
        """The harmonic resonator whose gains fit the harmonics' magnitudes best, and the numbers of the partials that
        can pay with it: weighted error taken away, where the phases could follow."""
        numbers, magnitudes, energy = harmonic_magnitudes(tone, amplitude, self._rate)
        worth = np.zeros((len(numbers), len(self._atoms.gains)))
        for i, m in enumerate(numbers):
            gains = self._atoms.gains[:, m - 1]
            taken = gains * (2 * magnitudes[i] - gains) * (amplitude**2 * energy / 2)
            weight = self._weighting.at(tone.start, m * tone.frequency)
            worth[i] = np.maximum(taken * weight - PARTIAL_BITS * threshold, 0)
        best = int((worth.sum(axis=0) * self._harmonic).argmax())
        return best, [m for m, value in zip(numbers, worth[:, best], strict=True) if value > 0]


def harmonic(atoms: Atoms) -> NDArray[np.bool_]:
    """Which resonators have harmonic partials [resonators]."""
    return np.asarray(np.abs(atoms.ratios / np.arange(1, 9) - 1).max(axis=1) < 0.02)


def harmonic_magnitudes(tone: Tone, amplitude: float, rate: float) -> tuple[list[int], list[float], float]:
    """Numbers of the harmonics above a tone, the magnitude of each over that of the tone, which has the `amplitude`, in
    the residual's beginning, and the energy of the envelope there (s)."""
    beginning = slice(0, max(LEAST_FRAMES, min(len(tone.t), int(BEGINNING * rate))))
    turn, envelope = tone.carrier[beginning], tone.envelope[beginning]
    energy = float(envelope @ envelope)
    shaped, power = tone.residual[beginning] * envelope, turn.copy()
    numbers = [m for m in range(2, 9) if m * tone.frequency < HIGHEST * rate]
    magnitudes = []
    for _ in numbers:
        power *= turn
        magnitudes.append(2 * abs(_inner(shaped, power)) / energy / amplitude)
    return numbers, magnitudes, energy / rate


def exponential(rate: complex, start: float, frames: int, samplerate: float) -> NDArray[np.complex128]:
    """exp(rate * t) for `frames` moments from `start` s on, as e^(a k) e^(b j) over blocks."""
    coarse = np.exp(rate * (start + np.arange(-(-frames // BLOCK)) * (BLOCK / samplerate)))
    fine = np.exp(rate * (np.arange(min(BLOCK, frames)) / samplerate))
    return np.outer(coarse, fine).ravel()[:frames]


def _inner(real: Floats, tone: NDArray[np.complex128]) -> complex:
    """Sum of real * tone."""
    return complex(*(real @ np.ascontiguousarray(tone).view(np.float64).reshape(-1, 2)))
