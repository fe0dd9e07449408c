"""From a file's segments to their decoded streams: integers only, no audio.

Segments decode independently, in parallel threads; the ones used last are kept.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants
from evc.format.coder import Account, SymbolDecoder
from evc.format.errors import SALVAGE, DamagedError, EvcError, FormatError, UnsupportedError, reason
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData
from evc.format.sharing import Forkable
from evc.format.sources import Entry, SoundSource, covered_frames, decode_entry, needed_segments, sound_sources
from evc.format.streams import NOWHERE, StreamContext, stream_class
from evc.format.streams.occurrences import OccurrenceStream

# Decoded streams of one segment, by stream kind.
DecodedStreams = dict[int, Any]

WORKERS = min(8, os.cpu_count() or 1)  # each has segments in memory


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

    def accounted(self, index: int, accounts: dict[int, Account]) -> DecodedStreams:
        """The streams of one segment, decoded anew to add up in `accounts` what each kind costs."""
        return self._decode(index, accounts)

    def _decode_all(self, absent: list[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `absent`, ascending."""
        whole = [index for index in absent if index not in self.lost]
        results = self.threads.map(self._attempt, whole) if len(whole) > 1 else map(self._attempt, whole)
        found: dict[int, DecodedStreams] = {}
        for index, result in zip(whole, results, strict=True):
            if isinstance(result, str):
                self.lost[index] = result
            else:
                found[index] = result
        return found

    def _attempt(self, index: int) -> DecodedStreams | str:
        """The decoded streams; in salvage mode the reason why there are none, unless that is a network that is not
        installed."""
        try:
            return self._decode(index)
        except UnsupportedError:
            raise
        except EvcError as error:
            if not self.container.salvage:
                raise
            return reason(error)

    def _decode(self, index: int, accounts: dict[int, Account] | None = None) -> DecodedStreams:
        if not self._layered:
            return decode_segment(self.container, index, accounts)
        kind = constants.STREAM_OCCURRENCES
        decoded = decode_segment(self.container, index, accounts, {kind})
        start = self.container.header.segment_span(index)[0]
        sources = self.sources(index, decoded.get(kind))
        spans = covered_frames(sources, self.entries, start) if sources else NOWHERE
        rest = set(range(constants.OPTIONAL_STREAM)) - {kind}
        decoded.update(decode_segment(self.container, index, accounts, rest, spans))
        return decoded

    def sources(self, index: int, occurrences: OccurrenceStream | None) -> list[SoundSource]:
        """Where the `occurrences` of a segment take their sound from. Raises FormatError for what they must not ask."""
        if occurrences is None or not len(occurrences.times):
            return []
        header, context = self.container.header, stream_context(self.container, index)
        start = header.segment_span(index)[0]
        sources = sound_sources(occurrences, self.entries, context, start)
        needed = needed_segments(sources, header.samplerate, header.phase_bits, start, header.segment_frames)
        if not needed <= set(self.container.dependencies(index)):
            raise FormatError(f"segment {index} reads segments that it does not depend on")
        return sources


def decode_segment(
    container: ContainerReader,
    index: int,
    accounts: dict[int, Account] | None = None,
    kinds: Container[int] = range(constants.OPTIONAL_STREAM),
    covered: NDArray[np.int64] = NOWHERE,
) -> DecodedStreams:
    """Read and decode the streams of one segment, or those of some `kinds`; a spectrum in a file with patterns needs
    to know the frames between which these sound (`StreamContext`).

    Raises DamagedError with `.segment` set if its symbols are wrong. `accounts`, if given, receives what
    the symbols of each stream kind cost.
    """
    segment = container.segment(index)
    context = stream_context(container, index).with_covered(covered)
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
        context = StreamContext(
            header.samplerate, header.channels, header.known_frames, header.phase_bits, dictionary.entries
        )
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
    header: Header = container.header
    return StreamContext(
        samplerate=header.samplerate,
        channels=header.channels,
        frames=header.segment_span(index)[1],
        phase_bits=header.phase_bits,
        patterns=container.patterns_before(index),
        networks=header.networks,
    )
