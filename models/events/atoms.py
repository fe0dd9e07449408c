"""The generator's codebooks as arrays: what the search matches against a residual (spec 7.1).

An atom is the closed form of one partial of an event, rise(t) * exp(-t / T) * gate(t) * cos(2 pi f t + phase).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats
from evc.models.events.sounding import SoundTables
from evc.models.events.sounds import Sounds
from evc.models.events.vectors import PART_INDEX, PARTS

Times = NDArray[np.floating[Any]]

DECAYED = 9.0  # time constants after which an atom is inaudible: -78 dB


@dataclass(frozen=True)
class Atoms:
    """Tables by code.

    rises       s [codes], durations of the attacks' rises
    decays      s [codes], time constants; lengths s [codes], until the gate falls; falls s [codes], how long it falls
    ratios, decay_factors, gains, phases  [resonators, 8], of the partials of each resonator
    multipliers complex [7, codes], of partials 2 to 8
    """

    rises: Floats
    decays: Floats
    lengths: Floats
    falls: Floats
    ratios: Floats
    decay_factors: Floats
    gains: Floats
    phases: Floats
    multipliers: NDArray[np.complex128]

    @classmethod
    def of(cls, tables: SoundTables) -> Self:
        """What the parts of a generator's vectors mean, one part after the other varied."""
        books = tables.codebooks

        def sounds(part: str, others: dict[str, int] | None = None) -> Sounds:
            codes = np.zeros((PARTS[PART_INDEX[part]].codes, len(PARTS)), np.int64)
            codes[:, PART_INDEX["pitch"]] = 4096
            for name, code in (others or {}).items():
                codes[:, PART_INDEX[name]] = code
            codes[:, PART_INDEX[part]] = np.arange(len(codes))
            return tables.sounds(books.codes_to_vectors(codes))

        resonators = sounds("resonator", {f"partial{m}": 1 for m in range(2, 9)})
        lengths = sounds("length")
        multipliers = np.stack([books[f"partial{m}"] @ np.array([1, 1j]) for m in range(2, 9)])
        tones = resonators.amplitudes / np.pad(multipliers[:, 1], (1, 0), constant_values=1)
        return cls(
            rises=sounds("attack").attacks,
            decays=1 / sounds("decay").decays[:, 0],
            lengths=lengths.lengths,
            falls=lengths.falls,
            ratios=resonators.frequencies / resonators.frequencies[:, :1],
            decay_factors=resonators.decays / resonators.decays[:, :1],
            gains=np.abs(tones),
            phases=np.angle(tones),
            multipliers=multipliers,
        )

    def rise(self, t: Times, attack: int) -> Times:
        """Attack envelope at times t >= 0 (s), in their type."""
        duration = float(self.rises[attack])
        result = np.ones_like(t)
        early = t < duration
        result[early] = np.sin((np.pi / 2 / duration) * t[early]) ** 2
        return result

    def body(self, t: Times, decay: int, length: int) -> Times:
        """Decay and gate at times t (s), without the attack; 0 before the start."""
        seconds, fall = float(self.lengths[length]), float(self.falls[length])
        value = np.exp(np.maximum(t, 0) * (-1 / float(self.decays[decay])))
        value[t < 0] = 0
        late = t > seconds
        if late.any():
            value[late] *= 0.5 + 0.5 * np.cos(np.pi * np.minimum((t[late] - seconds) / fall, 1))
        return value

    def envelope(self, t: Times, attack: int, decay: int, length: int) -> Times:
        """All of it at times t (s)."""
        return self.rise(np.maximum(t, 0), attack) * self.body(t, decay, length)

    def duration(self, decay: int, length: int) -> float:
        """Seconds after which nothing is left to hear."""
        return float(min(self.lengths[length] + self.falls[length], DECAYED * self.decays[decay]))
