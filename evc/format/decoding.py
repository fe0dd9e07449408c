"""From a file's segments to their decoded streams: integers only, no audio.

Independent segments decode in parallel threads; the ones used last are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from evc.format import constants
from evc.format.coder import Account, SymbolDecoder
from evc.format.cores import WORKERS
from evc.format.errors import SALVAGE, DamagedError, EvcError, FormatError, UnsupportedError, reason
from evc.format.lazy import cached_property
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData
from evc.format.sharing import Forkable
from evc.format.sources import Entry, decode_entry, level_sources, needed_segments, sound_sources
from evc.format.streams import StreamContext, stream_class
from evc.format.streams.levels import LevelSource, SegmentLevels, Track
from evc.format.streams.occurrences import OccurrenceStream

# Decoded streams of one segment, by stream kind.
DecodedStreams = dict[int, Any]


class SegmentDecoder(Forkable):
    """Decodes the segments of a container, and remembers the last `keep` of them. After a fork both processes may go
    on; in one process only one thread at a time uses it.

    `lost` maps the number of each segment known to be damaged to the reason; in strict mode it stays empty,
    because damage is raised.
    """

    def __init__(self, container: ContainerReader, keep: int = 4 * WORKERS + 4) -> None:
        self.container = container
        self.lost: dict[int, str] = {index: "missing or damaged" for index in sorted(container.lost)}
        self._keep = keep
        self._kept: OrderedDict[int, DecodedStreams] = OrderedDict()
        self._tracks: dict[int, list[Track]] = {}
        self._layered = constants.LAYERS[constants.STREAM_OCCURRENCES] in container.header.layers
        super().__init__()

    def after_fork(self) -> None:
        self.__dict__.pop("threads", None)  # the child has none of them

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Started when first needed."""
        return ThreadPoolExecutor(WORKERS, thread_name_prefix="evc")

    @cached_property
    def entries(self) -> list[Entry | None]:
        """The dictionary by number; in salvage mode None where an entry is lost. Raises the error of a damaged one."""
        return decode_entries(self.container)

    def close(self) -> None:
        if "threads" in self.__dict__:
            self.threads.shutdown(cancel_futures=True)
        self._kept.clear()
        self._tracks.clear()

    def decode(self, indices: Iterable[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `indices`.

        Raises the error of the first segment that cannot be decoded; in salvage mode leaves it out, and
        whatever leans on it.
        """
        wanted = sorted(set(indices))
        found = {index: self._kept[index] for index in wanted if index in self._kept}
        found.update(self._decode_all([index for index in wanted if index not in found]))
        for index, streams in found.items():
            self._kept[index] = streams
            self._kept.move_to_end(index)
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return found

    def accounted(self, index: int, accounts: dict[int, Account]) -> tuple[DecodedStreams, list[Track]]:
        """The streams of one segment, decoded anew to add up in `accounts` what each kind costs, and their levels."""
        others = self.container.dependencies(index)
        self._decode_all([other for other in others if other not in self._tracks and other not in self.lost])
        if broken := [other for other in others if other in self.lost]:
            raise DamagedError(f"segment {index} leans on segment {broken[0]}, which is lost", index, SALVAGE)
        streams, tracks = self._decode(index, accounts)
        self._keep_tracks(index, tracks, index)
        return streams, tracks

    def _decode_all(self, absent: list[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `absent`; keeps the tracks of these and of all they lean on."""
        found: dict[int, DecodedStreams] = {}
        for batch in self._batches(absent):
            results = self.threads.map(self._attempt, batch) if len(batch) > 1 else map(self._attempt, batch)
            for index, result in zip(batch, results, strict=True):
                if isinstance(result, str):
                    self.lost[index] = result
                    continue
                streams, tracks = result
                self._keep_tracks(index, tracks, max(absent))
                if index in absent:
                    found[index] = streams
        return found

    def _keep_tracks(self, index: int, tracks: list[Track], latest: int) -> None:
        """Segments up to `latest` are being decoded in ascending order and look back by the span of references: what
        lies outside is dropped, first what a seek backwards has left behind."""
        self._tracks[index] = tracks
        span = self.container.header.reference_span
        while len(self._tracks) > self._keep + span:
            first, last = min(self._tracks), max(self._tracks)
            if last <= latest and first >= index - span:
                break
            del self._tracks[last if last > latest else first]

    def _batches(self, absent: list[int]) -> Iterator[list[int]]:
        """The segments to decode for `absent`, in groups that lean on nothing of their own group."""
        waiting, needed = list(absent), set(absent)
        while waiting:
            for other in self.container.dependencies(waiting.pop()):
                if other not in needed and other not in self._tracks:
                    needed.add(other)
                    waiting.append(other)
        batch: list[int] = []
        for index in sorted(needed - self.lost.keys()):
            others = self.container.dependencies(index)
            if batch and (set(others) & set(batch) or len(batch) == 2 * WORKERS):
                yield batch
                batch = []
            if broken := [other for other in others if other in self.lost]:
                self.lost[index] = f"leans on segment {broken[0]}, which is lost"
            else:
                batch.append(index)
        if batch:
            yield batch

    def _attempt(self, index: int) -> tuple[DecodedStreams, list[Track]] | str:
        """The decoded streams and their levels; in salvage mode the reason why there are none, unless that is a network
        that is not installed."""
        try:
            return self._decode(index)
        except UnsupportedError:
            raise
        except EvcError as error:
            if not self.container.salvage:
                raise
            return reason(error)

    def _decode(self, index: int, accounts: dict[int, Account] | None = None) -> tuple[DecodedStreams, list[Track]]:
        if not self._layered:
            return decode_segment(self.container, index, accounts), []
        kind = constants.STREAM_OCCURRENCES
        decoded = decode_segment(self.container, index, accounts, {kind})
        levels = self._levels(index, decoded.get(kind))
        rest = set(range(constants.OPTIONAL_STREAM)) - {kind}
        decoded.update(decode_segment(self.container, index, accounts, rest, levels))
        if constants.STREAM_SPECTRUM not in decoded:
            levels.skip()
        return decoded, levels.tracks

    def _levels(self, index: int, occurrences: OccurrenceStream | None) -> SegmentLevels:
        """What patterns bring to a segment whose dependencies are decoded."""
        header, context = self.container.header, stream_context(self.container, index)
        start = header.segment_span(index)[0]
        others = self.container.dependencies(index)
        levels: list[LevelSource] = []
        if occurrences is not None and len(occurrences.times):
            sources = sound_sources(occurrences, self.entries, context, start)
            needed = needed_segments(sources, header.samplerate, header.phase_bits, start, header.segment_frames)
            if not needed <= set(others):
                raise FormatError(f"segment {index} reads segments that it does not depend on")
            levels = level_sources(sources, occurrences, self.entries, context)
        past = {other: self._tracks[other] for other in others}
        return SegmentLevels(context, start, levels, past, header.segment_frames)


def decode_segment(
    container: ContainerReader,
    index: int,
    accounts: dict[int, Account] | None = None,
    kinds: Container[int] = range(constants.OPTIONAL_STREAM),
    levels: SegmentLevels | None = None,
) -> DecodedStreams:
    """Read and decode the streams of one segment, or those of some `kinds`; a spectrum in a file with patterns needs
    the `levels` of its segment.

    Raises DamagedError with `.segment` set if its symbols are wrong. `accounts`, if given, receives what
    the symbols of each stream kind cost.
    """
    segment = container.segment(index)
    context = stream_context(container, index)
    if levels is not None:
        context = context.with_levels(levels)
    decoded: DecodedStreams = {}
    for stream in segment.streams:
        if stream.kind not in kinds:
            continue
        try:
            decoded[stream.kind] = _decode_stream(stream, context, accounts)
        except DamagedError as error:
            name = constants.STREAM_NAMES[stream.kind]
            raise DamagedError(f"segment {index}, {name}: {error.message}", index, SALVAGE) from error
    return decoded


def decode_entries(container: ContainerReader) -> list[Entry | None]:
    """The dictionary of a file by number; in salvage mode None where an entry is lost. Raises what is wrong with it."""
    header = container.header
    entries: list[Entry | None] = []
    for dictionary in container.dictionaries:
        entries += [None] * (dictionary.first + dictionary.entries - len(entries))
        context = StreamContext.of_dictionary(header, dictionary.entries)
        try:
            data = dictionary.stream()
            patterns = [] if data is None else _decode_stream(data, context, None).patterns
            decoded = [decode_entry(pattern, context) for pattern in patterns]
            entries[dictionary.first : dictionary.first + len(decoded)] = decoded
        except EvcError:
            if not container.salvage:
                raise
    return entries


def _decode_stream(stream: StreamData, context: StreamContext, accounts: dict[int, Account] | None) -> Any:
    decoder = SymbolDecoder(stream.words, stream.symbols, stream.checksum, account=accounts is not None)
    value = stream_class(stream.kind).read(decoder, context)
    decoder.finish()
    if accounts is not None:
        accounts[stream.kind] = decoder.account
    return value


def stream_context(container: ContainerReader, index: int) -> StreamContext:
    """What the streams of segment `index` need to know of the file."""
    return StreamContext.of_segment(container.header, index, container.patterns_before(index))
