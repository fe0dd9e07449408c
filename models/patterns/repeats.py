"""Copies in files with latents, which repeat the finished output (spec 10.14), at any span of a file."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.sources import sound_sources
from evc.format.streams import StreamContext
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.arrays import Signal
from evc.models.patterns.timeline import HALF_TAPS, delayed
from evc.models.source import Read

KEPT_BYTES = 1 << 28  # of samples that later copies may read; what is older is rendered again when it is needed


class Repeat(NamedTuple):
    """A copy: frames [begin, end) that it covers, its lag in fractions of a frame, its gain; and its `place`, the
    segment and the row of the stream."""

    begin: int
    end: int
    lag: int
    gain: float
    place: tuple[int, int]

    def weights(self, start: int, frames: int, fade: int) -> Signal:
        """How much of the output it takes in frames [start, start + frames), float32."""
        return covered(self.begin, self.end, start, frames, fade)


class Repeating(Protocol):
    """What segments have to offer: see `superframes.Segments`."""

    @property
    def header(self) -> Header: ...
    @property
    def lost(self) -> Collection[int]: ...
    def occurrences(self, index: int) -> OccurrenceStream | None: ...


class Repeats:
    """Renders any span of the output, and of what copies change of it, superframe by superframe. `plain` gives what all
    other layers are together, and `prepare(start, end)` has what follows frame `start` at hand; `chosen` tells of a
    copy, by segment and row, whether its `changes` are wanted; None: nobody asks for these."""

    def __init__(
        self,
        segments: Repeating,
        plain: Read,
        prepare: Callable[[int, int], None],
        chosen: Callable[[tuple[int, int]], bool] | None = None,
    ) -> None:
        self._segments, self._plain, self._prepare, self._chosen = segments, plain, prepare, chosen
        header = segments.header
        self._size = c.superframe_length(header.samplerate)
        self._fade = self._size // c.REPEAT_FADES
        self._done: OrderedDict[int, tuple[Signal, Signal]] = OrderedDict()  # output and changes, by superframe
        self._most = max(KEPT_BYTES // (8 * header.channels * self._size), 1)
        self._of_segment: OrderedDict[int, list[Repeat]] = OrderedDict()

    def fetch(self, start: int, frames: int) -> Signal:
        """The output in frames [start, start + frames), which lie inside the file: float32 [channels, frames]."""
        return self._fetch(start, frames, 0)

    def changes(self, start: int, frames: int) -> Signal:
        """The same for what the copies that are chosen change of the other layers."""
        return self._fetch(start, frames, 1)

    def ready(self, start: int, end: int) -> bool:
        """Whether frames [start, end) need no more than fetching."""
        return all(number in self._done for number in self._numbers(start, end))

    def prepare(self, start: int, end: int) -> None:
        """Render what is absent of frames [start, end)."""
        needed = self._numbers(start, end)
        absent = [number for number in needed if number not in self._done]
        if not absent:
            return
        last = self._span(absent[-1])[1]
        numbers, readers = self._with_sources(absent)
        spare = [(readers.get(number, -1), number) for number in {*numbers, *self._done}.difference(needed)]
        spare.sort(reverse=True)  # by when nothing reads them any more: a chain of copies may be as long as the file
        for number in numbers:
            self._done[number] = self._render(number, last)
            while len(self._done) > self._most and spare and spare[-1][0] <= number:
                del self._done[spare.pop()[1]]
        for number in needed:
            self._done.move_to_end(number)
        while len(self._done) > max(self._most, len(needed)):
            self._done.popitem(last=False)

    def _fetch(self, start: int, frames: int, which: int) -> Signal:
        self.prepare(start, start + frames)
        out = np.empty((self._segments.header.channels, frames), np.float32)
        for number in self._numbers(start, start + frames):
            self._put(out, start, number, which)
        return out

    def _numbers(self, start: int, end: int) -> range:
        """Of the superframes of frames [start, end), as far as they lie inside the file."""
        frames = self._segments.header.known_frames
        return range(max(start, 0) // self._size, -(-min(end, frames) // self._size))

    def _put(self, out: Signal, start: int, number: int, which: int) -> None:
        """Put a superframe into `out` [channels, ...], which begins at frame `start`."""
        audio = self._done[number][which]
        first = number * self._size
        low, high = max(first, start), min(first + audio.shape[1], start + out.shape[1])
        if low < high:
            out[:, low - start : high - start] = audio[:, low - first : high - first]

    def _past(self, start: int, frames: int) -> Signal:
        """The output in frames [start, start + frames), which are at hand; silence before the file."""
        out = np.zeros((self._segments.header.channels, frames), np.float32)
        for number in self._numbers(start, start + frames):
            self._put(out, start, number, 0)
        return out

    def _with_sources(self, numbers: list[int]) -> tuple[list[int], dict[int, int]]:
        """Superframes `numbers`, and all that they repeat and is not at hand, ascending; and of all that is repeated
        the last one that repeats it."""
        found, readers = set(numbers), dict[int, int]()
        waiting = [-number for number in found]
        waiting.sort()
        while waiting:
            number = -heappop(waiting)
            start, end = self._span(number)
            for repeat in self._near(number):
                for other in self._numbers(*self._reads(repeat, start, end)):
                    readers.setdefault(other, number)  # numbers come descending
                    if other not in found and other not in self._done:
                        found.add(other)
                        heappush(waiting, -other)
        return sorted(found), readers

    def _span(self, number: int) -> tuple[int, int]:
        start = number * self._size
        return start, min(start + self._size, self._segments.header.known_frames)

    def _reads(self, repeat: Repeat, start: int, end: int) -> tuple[int, int]:
        """The frames that a copy repeats in frames [start, end)."""
        half = self._fade // 2
        low, high = max(start, repeat.begin - half), min(end, repeat.end + half)
        back = repeat.lag >> self._segments.header.phase_bits
        return low - back - HALF_TAPS, high - back + HALF_TAPS

    def _near(self, number: int) -> Iterator[Repeat]:
        """The copies that are heard in a superframe."""
        header, half = self._segments.header, self._fade // 2
        start, end = self._span(number)
        length = header.segment_frames
        for index in range(max(start - half, 0) // length, min(-(-(end + half) // length), header.segments)):
            for repeat in self._repeats(index):
                if repeat.begin - half < end and start < repeat.end + half:
                    yield repeat

    def _repeats(self, index: int) -> list[Repeat]:
        """The copies of a segment."""
        if index not in self._of_segment:
            self._of_segment[index] = list(_read_repeats(self._segments, index))
            while len(self._of_segment) > self._most:
                self._of_segment.popitem(last=False)
        return self._of_segment[index]

    def _render(self, number: int, last: int) -> tuple[Signal, Signal]:
        """The output of a superframe, and what the chosen copies change of it. Up to frame `last` others follow."""
        (start, end), header = self._span(number), self._segments.header
        shape = header.channels, end - start
        if start // header.segment_frames in self._segments.lost:
            return np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        near = list(self._near(number))
        weights = [repeat.weights(start, end - start, self._fade) for repeat in near]
        total = sum(weights, np.zeros(end - start, np.float32))
        plain = np.zeros(shape, np.float32)
        if self._chosen is not None or total.min() < 1:  # otherwise nothing is heard of it
            self._prepare(start, max(end, last))
            plain = self._plain(start, end - start)
        total = np.maximum(total, 1)
        output, changes = plain.copy(), np.zeros(shape, np.float32)
        for repeat, weight in zip(near, weights, strict=True):
            half = self._fade // 2
            low, high = (min(max(at, start), end) for at in (repeat.begin - half, repeat.end + half))
            part = slice(low - start, high - start)
            heard = delayed(self._past, low, high - low, repeat.lag, header.phase_bits)
            with np.errstate(over="ignore", invalid="ignore"):
                change = (weight / total)[part] * (np.float32(repeat.gain) * heard - plain[:, part])
                output[:, part] += change
                if self._chosen is not None and self._chosen(repeat.place):
                    changes[:, part] += change
        return output, changes


def _read_repeats(segments: Repeating, index: int) -> Iterator[Repeat]:
    header = segments.header
    stream = segments.occurrences(index)
    if stream is None or not len(stream.times):
        return
    start, _ = header.segment_span(index)
    for source in sound_sources(stream, [], StreamContext.of_segment(header, index), start):
        level = int(stream.gains_of(source.row)[0][0, 0])
        with np.errstate(over="ignore"):  # gains may be absurd
            gain = 0.0 if level == OFF else float(np.exp2(level / stream.gain_resolution))
        if stream.inverted[source.row]:
            gain = -gain
        end = min(source.end, start + header.segment_frames)
        yield Repeat(source.begin, end, source.delay, gain, (index, source.row))


def covered(begin: int, end: int, start: int, frames: int, fade: int) -> Signal:
    """w of spec 10.14, of what covers frames [begin, end), in frames [start, start + frames): float32."""
    position = np.arange(start, start + frames, dtype=np.float64)
    rise, fall = (_ramp(distance, fade) for distance in (position - begin, end - 1 - position))
    weights: Signal = (rise * fall).astype(np.float32)
    return weights


def _ramp(distance: NDArray[np.float64], fade: int) -> NDArray[np.float64]:
    """r of spec 10.14."""
    share = np.clip((distance + fade / 2 + 0.5) / fade, 0, 1)
    rising: NDArray[np.float64] = np.sin(math.pi / 2 * share) ** 2
    return rising
