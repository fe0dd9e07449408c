"""Audio in units on a grid from the file's start, so that a span has the same samples however it was come to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


class Units:
    """Units of `length` frames, the last one up to frame `end`. render(numbers) gives the audio [channels, frames] of
    each; it is asked for up to `ahead` at a time, and so many are kept."""

    def __init__(self, length: int, end: int, ahead: int, render: Callable[[list[int]], Iterable[Audio]]) -> None:
        self._length, self._end, self._ahead, self._render = length, end, ahead, render
        self._kept: OrderedDict[int, Audio] = OrderedDict()

    def span(self, number: int) -> tuple[int, int]:
        """Frames [start, end) of a unit."""
        start = number * self._length
        return start, min(start + self._length, self._end)

    def fetch(self, start: int, frames: int) -> Audio:
        """Frames [start, start + frames), which lie inside the file: [channels, frames]."""
        parts = []
        at, end = start, start + frames
        while at < end:
            self.prepare(at, end)
            first, stop = self.span(at // self._length)
            stop = min(stop, end)
            parts.append(self._kept[at // self._length][:, at - first : stop - first])
            at = stop
        return np.concatenate(parts, axis=1)

    def ready(self, frame: int) -> bool:
        """Whether a frame needs no more than fetching."""
        return frame // self._length in self._kept

    def prepare(self, start: int, end: int) -> None:
        """Unless frame `start` is at hand, render its unit together with some that follow before `end`."""
        if self.ready(start) or start >= end:
            return
        first = start // self._length
        numbers = range(first, min(-(-end // self._length), first + self._ahead))
        absent = [number for number in numbers if number not in self._kept]
        self._kept.update(zip(absent, self._render(absent), strict=True))
        for number in numbers:
            self._kept.move_to_end(number)
        while len(self._kept) > self._ahead:
            self._kept.popitem(last=False)
