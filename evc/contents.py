"""`FileContents`: what an open .evc file tells once its streams are decoded, audio left aside."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from evc.events import EventList, read_events
from evc.facts import FileFacts
from evc.format import constants
from evc.format.decoding import SegmentDecoder
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.sharing import alone
from evc.patterns import PatternMap, read_patterns


@dataclass(frozen=True)
class SegmentInfo:
    """One segment: its span in frames, its chunk's place in the file in bytes, the segments it leans on.

    A damaged segment (salvage mode) is not in the file, not intact, or leans on one that is not; `offset`
    and `bytes` are 0 where nothing of it was found.
    """

    index: int
    start: int
    frames: int
    bytes: int
    offset: int
    dependencies: tuple[int, ...]
    damaged: bool


@dataclass(frozen=True)
class DamagedSpan:
    """Frames [start, start + frames) are lost: silence takes their place. `seconds` are the same as times."""

    start: int
    frames: int
    seconds: tuple[float, float]
    reason: str


class FileContents(FileFacts):
    """Of the file that `container` reads and `_decoder` decodes. Threads that share it take turns (`_lock`)."""

    _decoder: SegmentDecoder
    _lock: threading.RLock

    @property
    def segments(self) -> list[SegmentInfo]:
        """Every segment, in order."""
        return [self._segment_info(index) for index in range(self.container.segments)]

    @property
    @alone
    def damage(self) -> list[DamagedSpan]:
        """Spans known to be lost, in order (salvage mode), the end of a file that is cut short included.
        Damage that only decoding reveals is added as it is met; `verify` meets all of it."""
        spans: list[DamagedSpan] = []
        for index, reason in sorted(self._decoder.lost.items()):
            start, frames = self.header.segment_span(index)
            end = min(start + frames, self.frames)  # a loop's overlap is no time of its own
            if start >= end:
                continue
            if spans and spans[-1].start + spans[-1].frames == start and spans[-1].reason == reason:
                start = spans.pop().start
            spans.append(self._damaged_span(start, end, reason))
        if (promised := self._promised_frames()) > self.header.known_frames:
            spans.append(self._damaged_span(self.header.known_frames, promised, "the file is cut short"))
        return spans

    @property
    @alone
    def events(self) -> EventList:
        """Every event of the file. Its vectors need the file's network to be installed, all else needs none."""
        return self._events

    @property
    @alone
    def patterns(self) -> NDArray[Any]:
        """What sounds more than once: structured [patterns], the entries of the dictionary by number, and then excerpts
        found from copies, which the file stores without naming them (`evc.patterns`); those with the most sound first.

        Fields: kind ("excerpt", "explicit", "lattice"), start (s, of excerpts, otherwise NaN), duration (s), channels,
        columns and bins (of lattices, otherwise 0), frame (the first, of excerpts, otherwise -1), frames, uses (an
        excerpt sounds one more time: where it comes from), seconds (of all uses together). In salvage mode entries
        that are lost are of kind "lost".
        """
        return self._patterns.patterns

    @property
    @alone
    def uses(self) -> NDArray[Any]:
        """When patterns sound, or parts of them: structured [uses], in order of time.

        Fields: pattern (index into `patterns`), time (s), duration (s), frame, frames, offset (the frame of the pattern
        at which it begins). A use consists of one occurrence or of many that follow each other: see their field use.
        """
        return self._patterns.uses

    @property
    @alone
    def occurrences(self) -> NDArray[Any]:
        """What the file says of when patterns sound: structured [occurrences], in order of time.

        Fields: time (s), frame, phase (of the fraction of a frame, unit complex), pattern (index into `patterns`), lag
        (s, of copies, otherwise 0), offset (the frame of the pattern at which it begins), length (frames; 0: to the
        pattern's end), gains (linear, negative where inverted) [planes, bands], shift (cells, of lattices), rotation
        (unit complex, of lattices), use (index into `uses`), mid_side (whether the two planes are mid and side), stride
        (of the bands, whose edges in Hz are `evc.format.streams.bands.band_edges`). Planes are otherwise one for all
        channels or one per channel. Where a file's segments differ in planes or bands, NaN fills up what is not used.

        Copies that sound nowhere, being off in all bands or of what lies before the file's start, have pattern and use
        -1.
        """
        return self._patterns.occurrences

    @cached_property
    def _events(self) -> EventList:
        return read_events(self._decoder)

    @cached_property
    def _patterns(self) -> PatternMap:
        return read_patterns(self._decoder)

    def _promised_frames(self) -> int:
        """The length that the header chunk tells: that of a salvaged file ends with its last segment."""
        head = next(place for place in self.container.chunks if place.type == constants.CHUNK_HEAD)
        payload = self.container.raw(head)[constants.CHUNK_HEADER_BYTES : -constants.CHUNK_CRC_BYTES]
        header = Header.read(payload)
        return 0 if header.frames is None else header.sound_frames

    def _damaged_span(self, start: int, end: int, reason: str) -> DamagedSpan:
        return DamagedSpan(start, end - start, (start / self.samplerate, end / self.samplerate), reason)

    def _segment_info(self, index: int) -> SegmentInfo:
        start, frames = self.header.segment_span(index)
        place = self.container.place(index)
        size, offset = (place.size, place.offset) if place else (0, 0)
        damaged = index in self._decoder.lost
        return SegmentInfo(index, start, frames, size, offset, self.container.dependencies(index), damaged)
