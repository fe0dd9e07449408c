"""When things begin: quick attacks stand where the proposer hears an onset, and events of one onset share its moment.

What merely goes on, swells or is left over begins with a slow attack. So the list of events can be read (its quick
attacks are the onsets), and a chord costs its moment once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats

QUICK = 4  # attacks of lower codes are onsets (`EventList.onsets`)
TOLERANCE = 0.015  # s between an onset as proposed and the first event of it
FIRST = 3.0  # how much more the first event of an onset is worth than what it takes away: it tells that one is there
SHARED = 1.08  # what a start that others have is worth, against one of its own: three bits of some forty


class Moments:
    """Onsets proposed at `times` (s, ascending), and the `starts` that events have given them, NaN for none yet."""

    def __init__(self, times: Floats) -> None:
        self.times = np.ascontiguousarray(times, np.float64)
        self.starts = np.full(len(times), np.nan)

    def worth(self, starts: Floats) -> Floats:
        """A factor for each of the possible `starts` of a quick attack: 0 away from all onsets."""
        if not len(self.times):
            return np.zeros(len(starts))
        nearest = self._nearest(starts)
        near = np.abs(starts - self.times[nearest]) < TOLERANCE
        return np.where(near, np.where(np.abs(starts - self.starts[nearest]) < 1e-9, SHARED, 1.0), 0.0)

    def take(self, start: float) -> bool:
        """An event with a quick attack begins at `start`. Whether it is the first of its onset, and gives it its
        moment."""
        if not len(self.times):
            return False
        nearest = int(self._nearest(np.array([start]))[0])
        first = bool(np.isnan(self.starts[nearest]))
        if first:
            self.starts[nearest] = start
        return first

    def _nearest(self, starts: Floats) -> NDArray[np.int64]:
        right = np.clip(np.searchsorted(self.times, starts), 1, max(1, len(self.times) - 1))
        left = right - 1
        right = np.minimum(right, len(self.times) - 1)
        return np.where(np.abs(starts - self.times[left]) <= np.abs(starts - self.times[right]), left, right)
