"""How much finer to code what will sound again: a step pays once for all that repeats it.

With D the noise of a superframe that w superframes inherit, the rate is R = -log2(D) / 2 and the sum of w * D is least
for a given sum of R where D is proportional to 1 / w: steps shrink with the root of w.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c

STRENGTH = 0.75  # of what theory asks for: shares are estimates, and what is new should not suffer
MOST_OFFSET = 8  # quarters of an octave: steps of a quarter of the length
OFFSETS_PER_OCTAVE = c.OCTAVE // c.OFFSET_STEP


@dataclass(frozen=True)
class Inheritance:
    """Superframe `target` takes a `share` of its sound, 0 to 1, from a distance of `delay` superframes."""

    target: int
    delay: float
    share: float

    def sources(self) -> Iterator[tuple[int, float]]:
        """The superframes it is taken from, with their shares."""
        place = self.target - self.delay
        first = int(np.floor(place))
        for number, part in ((first, 1 - (place - first)), (first + 1, place - first)):
            if number >= 0 and part > 0:
                yield number, part * self.share


def importance(inherited: Iterable[Inheritance], superframes: int) -> NDArray[np.float64]:
    """How many superframes [superframes] the noise of each is heard in, its own included."""
    weights = np.ones(superframes)
    for one in sorted(inherited, key=lambda one: -one.target):
        for number, share in one.sources():
            weights[number] += share * weights[one.target]
    return weights


def step_offsets(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Quarters of an octave by which the steps of each superframe are to be finer, from its importance."""
    wanted = STRENGTH * OFFSETS_PER_OCTAVE / 2 * np.log2(weights)
    return np.clip(np.rint(wanted), 0, MOST_OFFSET).astype(np.int64)


def mean_noise(inherited: Iterable[Inheritance], offsets: NDArray[np.int64]) -> float:
    """Mean power of the noise over all superframes, relative to that without offsets."""
    own = 4.0 ** (-offsets / OFFSETS_PER_OCTAVE)
    noise = own.copy()
    parts: dict[int, list[Inheritance]] = {}
    for one in inherited:
        parts.setdefault(one.target, []).append(one)
    for target in sorted(parts):
        total = min(sum(one.share for one in parts[target]), 1.0)
        noise[target] = (1 - total) * own[target]
        for one in parts[target]:
            noise[target] += sum(share * noise[number] for number, share in one.sources())
    return float(noise.mean())
