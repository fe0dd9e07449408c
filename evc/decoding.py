"""From a file's segments to their decoded streams: integers only, no audio.

Independent segments decode in parallel threads; the ones used last are kept.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from evc import constants
from evc.coder import Account, SymbolDecoder
from evc.errors import DamagedError, EvcError
from evc.header import Header
from evc.reader import ContainerReader
from evc.segment import StreamData
from evc.streams import StreamContext, stream_class

# Decoded streams of one segment, by stream kind.
DecodedStreams = dict[int, Any]

WORKERS = min(8, os.cpu_count() or 1)  # each has segments in memory


class SegmentDecoder:
    """Decodes the segments of a container, and remembers the last `keep` of them.

    `lost` maps the number of each segment known to be damaged to the reason; in strict mode it stays empty,
    because damage is raised.
    """

    def __init__(self, container: ContainerReader, keep: int = 4 * WORKERS + 4) -> None:
        self.container = container
        self.lost: dict[int, str] = {index: "missing or damaged" for index in sorted(container.lost)}
        self._keep = keep
        self._kept: OrderedDict[int, DecodedStreams] = OrderedDict()

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Started when first needed."""
        return ThreadPoolExecutor(WORKERS, thread_name_prefix="evc")

    def close(self) -> None:
        if "threads" in self.__dict__:
            self.threads.shutdown(cancel_futures=True)
        self._kept.clear()

    def decode(self, indices: Iterable[int]) -> dict[int, DecodedStreams]:
        """The streams of the segments `indices` and of all they lean on.

        Raises the error of the first segment that cannot be decoded; in salvage mode leaves it out, and
        whatever leans on it.
        """
        needed = sorted(
            {other for index in indices for other in self.container.closure(index)} - self.lost.keys()
        )
        absent = [index for index in needed if index not in self._kept]
        found = {index: self._kept[index] for index in needed if index in self._kept}
        results = self.threads.map(self._attempt, absent) if len(absent) > 1 else map(self._attempt, absent)
        for index, result in zip(absent, results, strict=True):
            if isinstance(result, str):
                self.lost[index] = result
            else:
                found[index] = result
        for index in needed:
            if broken := [other for other in self.container.dependencies(index) if other in self.lost]:
                self.lost.setdefault(index, f"leans on segment {broken[0]}, which is lost")
                found.pop(index, None)
        self._remember(found)
        return found

    def _attempt(self, index: int) -> DecodedStreams | str:
        """The decoded streams; in salvage mode the reason why there are none."""
        try:
            return decode_segment(self.container, index)
        except EvcError as error:
            if not self.container.salvage:
                raise
            return str(error)

    def _remember(self, found: dict[int, DecodedStreams]) -> None:
        for index, streams in found.items():
            self._kept[index] = streams
            self._kept.move_to_end(index)
        while len(self._kept) > self._keep:
            self._kept.popitem(last=False)


def decode_segment(
    container: ContainerReader,
    index: int,
    accounts: dict[int, Account] | None = None,
    kinds: Container[int] = range(constants.OPTIONAL_STREAM),
) -> DecodedStreams:
    """Read and decode the streams of one segment, or those of some `kinds`.

    Raises DamagedError with `.segment` set if its symbols are wrong. `accounts`, if given, receives what
    the symbols of each stream kind cost.
    """
    segment = container.segment(index)
    context = stream_context(container, index)
    decoded: DecodedStreams = {}
    for stream in segment.streams:
        if stream.kind not in kinds:
            continue
        try:
            decoded[stream.kind] = _decode_stream(stream, context, accounts)
        except DamagedError as error:
            name = constants.STREAM_NAMES[stream.kind]
            raise DamagedError(f"segment {index}, {name}: {error}", index) from error
    return decoded


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
    )
