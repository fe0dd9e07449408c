"""Searching for what meets a size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class Secant:
    """Looks for where something that falls as `at` rises is zero: `at` is the place to probe next, within `limits`.

    slope: assumed until two probes tell it, and `slopes`: the steepest and the flattest that is believed.
    """

    def __init__(self, at: float, slope: float, slopes: tuple[float, float], limits: tuple[float, float]) -> None:
        self.at = float(at)
        self._slope, self._slopes, self._limits = slope, slopes, limits
        self._before: tuple[float, float] | None = None

    def probed(self, excess: float) -> None:
        """Take in what was found at `at`, and move on."""
        if self._before is not None and self._before[0] != self.at:
            slope = (excess - self._before[1]) / (self.at - self._before[0])
            self._slope = min(max(slope, self._slopes[0]), self._slopes[1])
        self._before = self.at, excess
        self.at = min(max(self.at - excess / self._slope, self._limits[0]), self._limits[1])


def nearest(code: Callable[[], Value], error: Callable[[Value], float], tries: int, accepted: float) -> Value:
    """What `code` makes, again up to so often, until its `error` is `accepted`: the best of all."""
    best = code()
    least = abs(error(best))
    for _ in range(tries - 1):
        if least <= accepted:
            break
        found = code()
        distance = abs(error(found))
        if distance < least:
            best, least = found, distance
    return best
