"""From a file's segments to their decoded streams: integers only, no audio.

Whoever wants a segment, one of its streams or the dictionary asks one `SegmentDecoder`, so that each is read, checked
and decoded once as long as the file is not too long to keep it. Segments decode independently, in parallel threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc.format import constants
from evc.format.coder import Account
from evc.format.cores import WORKERS
from evc.format.dictionaries import decode_entries, decode_patterns
from evc.format.errors import SALVAGE, DamagedError, EvcError, FormatError, UnsupportedError, reason
from evc.format.kept import Kept
from evc.format.lazy import cached_property
from evc.format.reader import ContainerReader
from evc.format.segment import Segment, StreamData
from evc.format.sharing import Forkable, alone
from evc.format.sources import (
    Entry,
    SoundSource,
    check_repeats,
    covered_frames,
    needed_segments,
    repeats_output,
    sound_sources,
)
from evc.format.streams import StreamContext, decoded_stream
from evc.format.streams.dictionary import Pattern
from evc.format.streams.difference import decoded_difference
from evc.format.streams.occurrences import OccurrenceStream

# Decoded streams of one segment, by stream kind.
DecodedStreams = dict[int, Any]

KEPT_BYTES = 1 << 23  # of segments as coded, and as many of small streams: those of a track of some minutes
_OBJECT_BYTES = 1 << 11  # what a segment or a stream takes at least, however little is in it
SMALL = (  # what is asked for of all segments alike
    constants.STREAM_EVENTS, constants.STREAM_OCCURRENCES, constants.STREAM_TIMBRE, constants.STREAM_ENVELOPE,
)  # fmt: skip


@dataclass(frozen=True)
class DecodedSegment:
    """The streams of a segment by kind, and what the symbols of each cost (where that was asked for)."""

    streams: DecodedStreams
    accounts: dict[int, Account]


class SegmentDecoder(Forkable):
    """Reads and decodes the segments of a container. Keeps the streams of the last `keep` segments, and of all others
    as many words, events and occurrences as `KEPT_BYTES` hold. After a fork both processes may go on; in one process
    only one thread at a time uses it.

    `lost` maps the number of each segment known to be damaged to the reason; in strict mode it stays empty,
    because damage is raised.
    """

    def __init__(self, container: ContainerReader, keep: int = 4 * WORKERS + 4) -> None:
        self.container = container
        self.lost: dict[int, str] = {index: "missing or damaged" for index in sorted(container.lost)}
        self._keep = keep
        self._layered = constants.LAYERS[constants.STREAM_OCCURRENCES] in container.header.layers
        self._repeats = repeats_output(container.header.layers)
        self._start()
        super().__init__()

    def _start(self) -> None:
        self._lock = threading.RLock()  # of what threads of the pool share
        self._segments: Kept[int, Segment] = Kept(KEPT_BYTES, _coded_bytes)
        self._small: Kept[tuple[int, int], tuple[Any, Account]] = Kept(KEPT_BYTES, _array_bytes)
        self._kept: Kept[int, DecodedStreams] = Kept(self._keep)

    def after_fork(self) -> None:
        self.__dict__.pop("threads", None)  # the child has none of them
        self._start()

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Started when first needed."""
        return ThreadPoolExecutor(WORKERS, thread_name_prefix="evc")

    @property
    @alone
    def patterns(self) -> list[Pattern | None]:
        """The dictionary by number; in salvage mode None where an entry is lost. Raises the error of a damaged one."""
        return self._patterns

    @property
    @alone
    def entries(self) -> list[Entry | None]:
        """The same, with the spectra of explicit patterns decoded as well."""
        return self._entries

    @cached_property
    def _patterns(self) -> list[Pattern | None]:
        return decode_patterns(self.container)

    @cached_property
    def _entries(self) -> list[Entry | None]:
        return decode_entries(self._patterns, self.container)

    def close(self) -> None:
        if "threads" in self.__dict__:
            self.threads.shutdown(cancel_futures=True)
        for kept in (self._segments, self._small, self._kept):
            kept.clear()

    @alone
    def segment(self, index: int) -> Segment:
        """Segment `index` as `ContainerReader.segment` reads it."""
        found = self._segments.get(index)
        if found is None:
            found = self.container.segment(index)
            self._segments.put(index, found)
        return found

    def stream(self, index: int, kind: int) -> Any:
        """The stream of a `SMALL` kind in a segment, whether the rest of that can be decoded or not; None where there
        is none. Raises DamagedError or FormatError in salvage mode as well."""
        data = self.segment(index).stream(kind)
        return None if data is None else self._small_stream(index, data)[0]

    def streams(self, kind: int) -> Iterator[tuple[int, Any]]:
        """(segment, its stream of a `SMALL` kind) where there is one; in salvage mode without damaged ones."""
        present = constants.STREAMS[kind].layer in self.container.header.layers
        for index in range(self.container.segments if present else 0):
            try:
                stream = self.stream(index, kind)
            except EvcError:
                if not self.container.salvage:
                    raise
                continue
            if stream is not None:
                yield index, stream

    def decode(self, indices: Iterable[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `indices`.

        Raises the error of the first segment that cannot be decoded; in salvage mode leaves it out.
        """
        wanted = sorted(set(indices))
        found = {index: streams for index in wanted if (streams := self._kept.get(index)) is not None}
        found.update(self._decode_all([index for index in wanted if index not in found]))
        for index, streams in found.items():
            self._kept.put(index, streams)
        return found

    def impaired(self) -> dict[int, int]:
        """The segments that are not lost but repeat sound of one that is, as far as that is known, or of another one
        here: by number, the first segment that they lack."""
        found: dict[int, int] = {}
        if not self.lost:
            return found
        for index in range(self.container.segments):
            roots = [found.get(other, other) for other in self.container.dependencies(index)
                     if other in self.lost or other in found]  # fmt: skip
            if roots and index not in self.lost:
                found[index] = min(roots)
        return found

    def accounted(self, index: int) -> DecodedSegment:
        """One segment with what its symbols cost. Its larger streams are decoded anew, because accounts cost time that
        playback need not spend."""
        found = self._decode(index, account=True)
        self._kept.put(index, found.streams)
        return found

    def adaptation_account(self) -> Account:
        """What the symbols cost that adapt the network of the latents. Raises what is wrong with them."""
        data = self.container.adaptation
        return Account() if data is None else decoded_difference(data, account=True)[1]

    def _decode_all(self, absent: list[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `absent`."""
        whole = [index for index in absent if index not in self.lost]
        results = self.threads.map(self._attempt, whole) if len(whole) > 1 else map(self._attempt, whole)
        found: dict[int, DecodedStreams] = {}
        for index, result in zip(whole, results, strict=True):
            if isinstance(result, str):
                self.lost[index] = result
            else:
                found[index] = result.streams
        return found

    def _attempt(self, index: int) -> DecodedSegment | str:
        """The decoded segment; in salvage mode the reason why there is none, unless that is a network that is not
        installed."""
        try:
            return self._decode(index)
        except UnsupportedError:
            raise
        except EvcError as error:
            if not self.container.salvage:
                raise
            return reason(error)

    def _decode(self, index: int, account: bool = False) -> DecodedSegment:
        context = stream_context(self.container, index)
        sources = self.sources(index)
        if sources and not self._repeats:
            start = self.container.header.segment_span(index)[0]
            context = context.with_covered(covered_frames(sources, self.entries, start))
        streams: DecodedStreams = {}
        accounts: dict[int, Account] = {}
        for data in self.segment(index).streams:
            if data.kind in SMALL:
                decoded = self._small_stream(index, data)
            elif data.kind < constants.OPTIONAL_STREAM:
                decoded = self._stream(index, data, context, account)
            else:
                continue
            streams[data.kind], accounts[data.kind] = decoded
        return DecodedSegment(streams, accounts)

    @alone
    def _small_stream(self, index: int, data: StreamData) -> tuple[Any, Account]:
        """A stream of a `SMALL` kind, and what it costs."""
        found = self._small.get((index, data.kind))
        if found is None:
            found = self._stream(index, data, stream_context(self.container, index), account=True)
            self._small.put((index, data.kind), found)
        return found

    def _stream(self, index: int, data: StreamData, context: StreamContext, account: bool) -> tuple[Any, Account]:
        try:
            return decoded_stream(data, context, account)
        except DamagedError as error:
            name, number = constants.STREAM_NAMES[data.kind], self.container.first + index
            raise DamagedError(f"segment {number}, {name}: {error.message}", number, SALVAGE) from error

    def sources(self, index: int) -> list[SoundSource]:
        """Where the occurrences of a segment take their sound from. Raises FormatError for what they must not ask."""
        occurrences: OccurrenceStream | None = None
        if self._layered:
            occurrences = self.stream(index, constants.STREAM_OCCURRENCES)
        if occurrences is None or not len(occurrences.times):
            return []
        header, context = self.container.header, stream_context(self.container, index)
        start = header.segment_span(index)[0]
        if self._repeats:
            check_repeats(occurrences)
        sources = sound_sources(occurrences, self.entries, context, start)
        needed = needed_segments(sources, header.samplerate, header.phase_bits, start, header.segment_frames)
        if not needed <= set(self.container.dependencies(index)):
            raise FormatError(f"segment {self.container.first + index} reads segments that it does not depend on")
        return sources


def stream_context(container: ContainerReader, index: int) -> StreamContext:
    """What the streams of segment `index` need to know of the file."""
    return StreamContext.of_segment(container.header, index, container.patterns_before(index))


def _coded_bytes(segment: Segment) -> int:
    return _OBJECT_BYTES + sum(len(data.words) for data in segment.streams)


def _array_bytes(decoded: tuple[Any, Account]) -> int:
    return _OBJECT_BYTES + sum(value.nbytes for value in vars(decoded[0]).values() if isinstance(value, np.ndarray))
