"""`FileContents`: what an open .evc file tells once its streams are decoded, audio left aside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from evc.events import EventList, joined, read_events
from evc.facts import FileFacts
from evc.format.lazy import cached_property
from evc.format.sharing import alone
from evc.links import Link, Links
from evc.patterns import PatternMap, joined_maps, read_patterns

if TYPE_CHECKING:
    from evc.stats import Stats
    from evc.timbres import TimbrePath


@dataclass(frozen=True)
class SegmentInfo:
    """One segment: its span in frames of the coded timeline, its chunk's place in the file in bytes, the segments it
    leans on.

    A damaged segment (salvage mode) is not in the file or not intact; an impaired one leans on such a one. `offset` and
    `bytes` are 0 where nothing of it was found.
    """

    index: int
    start: int
    frames: int
    bytes: int
    offset: int
    dependencies: tuple[int, ...]
    damaged: bool
    impaired: bool


@dataclass(frozen=True)
class DamagedSpan:
    """Frames [start, start + frames) of what is played are lost: silence takes their place. Or they are `impaired`:
    they sound, but for what they repeat of frames that are lost. `seconds` are the same as times."""

    start: int
    frames: int
    seconds: tuple[float, float]
    reason: str
    impaired: bool = False


class FileContents(FileFacts):
    """Of the file that `chain` reads and `_links` decode. Threads that share it take turns (`_lock`)."""

    _links: Links
    _lock: threading.RLock

    @property
    @alone
    def segments(self) -> list[SegmentInfo]:
        """Every segment, in order."""
        found = []
        for link in self._links:
            impaired = link.decoder.impaired()
            found += [_segment_info(link, index, index in impaired) for index in range(link.container.segments)]
        return found

    @property
    @alone
    def damage(self) -> list[DamagedSpan]:
        """Spans known to be lost or impaired, in order (salvage mode), the end of a file that is cut short included.
        Damage that only decoding reveals is added as it is met; `verify` meets all of it."""
        damage = self._links.damage
        spans: list[DamagedSpan] = []
        for start, end, number in self.chain.edits.played([(begin, end) for begin, end, _, _ in damage]):
            _, _, reason, impaired = damage[number]
            if spans and spans[-1].start + spans[-1].frames == start and spans[-1].reason == reason:
                start = spans.pop().start
            spans.append(self._damaged_span(start, end, reason, impaired))
        if (promised := self.chain.promised_frames) > self.frames:
            spans.append(self._damaged_span(self.frames, promised, "the file is cut short"))
        return spans

    @property
    @alone
    def events(self) -> EventList:
        """Every event of the file, with times on the coded timeline (spec 3.7). Its vectors need the file's network
        to be installed, all else needs none."""
        return self._events

    @property
    @alone
    def timbres(self) -> TimbrePath:
        """The path of timbres of the file, with times on the coded timeline (spec 3.7). Needs no network."""
        from evc.timbres import joined_paths, read_timbres

        return joined_paths([read_timbres(link.decoder).shifted(link.seconds) for link in self._links])

    @property
    @alone
    def patterns(self) -> NDArray[Any]:
        """What sounds more than once: structured [patterns], the entries of the dictionary by number, and then excerpts
        found from copies, which the file stores without naming them (`evc.patterns`); those with the most sound first.
        Frames and times of patterns, uses and occurrences are those of the coded timeline (spec 3.7).

        Fields: kind ("excerpt", "explicit", "lattice"), start (s, of excerpts, otherwise NaN), duration (s), channels,
        columns and bins (of lattices, otherwise 0), loop_start and loop_length (s, of entries that go round, otherwise
        NaN), ping_pong (whether there and back), frame (the first, of excerpts, otherwise -1), frames, uses (an
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
        (unit complex, of lattices), rate (at which an entry is read: 2 is an octave higher), use (index into `uses`),
        mid_side (whether the two planes are mid and side), stride
        (of the bands, whose edges in Hz are `evc.format.streams.bands.band_edges`). Planes are otherwise one for all
        channels or one per channel. Where occurrences differ in planes or bands, NaN fills up what is not used.

        Copies that sound nowhere, being off in all bands or of what lies before the file's start, have pattern and use
        -1.
        """
        return self._patterns.occurrences

    @alone
    def stats(self, symbols: bool = True, progress: Callable[[float, float], None] | None = None) -> Stats:
        """Where the bits went. Without `symbols` only what the chunks tell, without decoding; `progress` is
        called with seconds of audio done and in all. Decodes spectra, noise and latents anew, with accounts."""
        from evc.stats import joined_stats, measure

        found = []
        for link in self._links:
            told = _later(progress, link.seconds, self.coded_frames / self.samplerate)
            patterns = None
            if symbols:
                patterns = self._patterns if len(self._links) == 1 else read_patterns(link.decoder)
            found.append(measure(link.decoder, patterns, told))
        return found[0] if len(found) == 1 else joined_stats(found)

    @cached_property
    def _events(self) -> EventList:
        found = [read_events(link.decoder).shifted(link.seconds) for link in self._links]
        return joined([events for events in found if len(events)] or found[:1])

    @cached_property
    def _patterns(self) -> PatternMap:
        found = [read_patterns(link.decoder) for link in self._links]
        return joined_maps(found, self.chain.starts, [link.first for link in self._links], self.samplerate)

    def _damaged_span(self, start: int, end: int, reason: str, impaired: bool = False) -> DamagedSpan:
        return DamagedSpan(start, end - start, (start / self.samplerate, end / self.samplerate), reason, impaired)


def _segment_info(link: Link, index: int, impaired: bool) -> SegmentInfo:
    start, frames = link.container.header.segment_span(index)
    place = link.container.place(index)
    size, offset = (place.size, link.container.start + place.offset) if place else (0, 0)
    dependencies = tuple(link.first + other for other in link.container.dependencies(index))
    damaged = index in link.decoder.lost
    return SegmentInfo(link.first + index, link.start + start, frames, size, offset, dependencies, damaged, impaired)


def _later(
    progress: Callable[[float, float], None] | None, start: float, total: float
) -> Callable[[float, float], None] | None:
    """`progress` for something that begins at `start` and is part of what lasts `total` seconds."""
    return None if progress is None else lambda done, _: progress(start + done, total)
