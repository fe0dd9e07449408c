"""The SEGM, DICT and NETW chunks (spec sections 3.8 and 4): descriptors of coded streams, then their words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evc.format import constants as c
from evc.format.binary import ByteReader, varint
from evc.format.errors import FormatError, InputError, UnsupportedError
from evc.format.header import Header

_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class StreamData:
    """One coded stream: its kind, the coder's words, the count of symbols they hold and the
    CRC-32 of those symbols."""

    kind: int
    words: bytes
    symbols: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A SEGM chunk. `dependencies` are the numbers of the earlier segments it leans on, ascending;
    `streams` are in ascending order of their kinds, each kind at most once."""

    index: int
    dependencies: tuple[int, ...] = ()
    streams: tuple[StreamData, ...] = ()

    def stream(self, kind: int) -> StreamData | None:
        return find_stream(self.streams, kind)

    def write(self) -> bytes:
        """Payload of SEGM."""
        return write_dependencies(self.index, self.dependencies, varint(self.index)) + write_streams(
            self.streams
        )

    @classmethod
    def read(cls, payload: bytes, header: Header) -> Segment:
        """Raises FormatError for what breaks a rule or a limit of the format or of `header`,
        UnsupportedError for a stream that has to be understood and is not."""
        reader = ByteReader(payload, "segment")
        index, dependencies = read_segment_start(reader, header)
        _, frames = header.segment_span(index)
        most = c.SYMBOLS_PER_SAMPLE * frames * header.channels + c.SYMBOLS_BASE
        streams = read_streams(reader, most)
        for stream in streams:
            _check_segment_stream(stream.kind, header)
        return cls(index, dependencies, streams)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """A DICT chunk: pattern entries `first` to `first + entries - 1`, coded in `streams`."""

    first: int
    entries: int
    streams: tuple[StreamData, ...] = ()

    def stream(self, kind: int = c.STREAM_DICTIONARY) -> StreamData | None:
        return find_stream(self.streams, kind)

    @property
    def symbols(self) -> int:
        """Those of all streams together."""
        return sum(stream.symbols for stream in self.streams)

    def write(self) -> bytes:
        """Payload of DICT."""
        return varint(self.first) + varint(self.entries) + write_streams(self.streams)

    @classmethod
    def read(cls, payload: bytes, header: Header) -> Dictionary:
        """Raises FormatError for what breaks a rule or a limit of the format or of `header`,
        UnsupportedError for a stream that has to be understood and is not."""
        if c.LAYERS[c.STREAM_OCCURRENCES] not in header.layers:
            raise FormatError("the file has a dictionary, but its header has no patterns")
        reader = ByteReader(payload, "dictionary")
        first, entries = reader.varint(), reader.varint()
        if entries == 0 or first + entries > c.MAX_PATTERNS:
            raise FormatError(f"dictionary entries {first} to {first + entries} are outside the limit")
        streams = read_streams(reader, c.MAX_DICTIONARY_SYMBOLS)
        for stream in streams:
            if stream.kind in c.STREAM_NAMES and stream.kind != c.STREAM_DICTIONARY:
                raise FormatError(f"dictionary holds a stream of kind {c.STREAM_NAMES[stream.kind]}")
            if len(c.STREAMS) <= stream.kind < c.OPTIONAL_STREAM:
                raise UnsupportedError(f"dictionary needs a stream of unknown kind {stream.kind}")
        if find_stream(streams, c.STREAM_DICTIONARY) is None:
            raise FormatError(f"dictionary entries {first} to {first + entries - 1} are not there")
        return cls(first, entries, streams)


def write_adaptation(stream: StreamData) -> bytes:
    """Payload of NETW."""
    return write_streams((stream,))


def read_adaptation(payload: bytes, header: Header) -> StreamData:
    """The one stream of a NETW chunk. Raises FormatError for what breaks a rule or a limit of the format or of
    `header`."""
    if c.LAYERS[c.STREAM_LATENT] not in header.layers:
        raise FormatError("the file adapts the network of its latents, but its header has none")
    streams = read_streams(ByteReader(payload, "adapted network"), c.MAX_ADAPTATION_SYMBOLS)
    if [stream.kind for stream in streams] != [c.STREAM_ADAPTATION]:
        raise FormatError("an adapted network is one stream of kind adaptation")
    return streams[0]


def find_stream(streams: tuple[StreamData, ...], kind: int) -> StreamData | None:
    return next((stream for stream in streams if stream.kind == kind), None)


def _check_segment_stream(kind: int, header: Header) -> None:
    if kind in (c.STREAM_DICTIONARY, c.STREAM_ADAPTATION):
        raise FormatError(f"segment holds a stream of kind {c.STREAM_NAMES[kind]}")
    if kind < len(c.STREAMS) and c.STREAMS[kind].layer not in header.layers:
        raise FormatError(f"segment holds a stream of kind {c.STREAM_NAMES[kind]}, absent from the header")
    if len(c.STREAMS) <= kind < c.OPTIONAL_STREAM:
        raise UnsupportedError(f"segment needs a stream of unknown kind {kind}")


def dependency_depth(dependencies: Iterable[int], depths: Sequence[int]) -> int:
    """The depth of a segment (spec 4.1) by its direct `dependencies`, whose `depths` are known by their numbers."""
    return 1 + max((depths[other] for other in dependencies), default=-1)


def write_dependencies(index: int, dependencies: tuple[int, ...], start: bytes = b"") -> bytes:
    """`start`, the number of dependencies, and how many segments back each is, nearest first."""
    distances = [index - other for other in reversed(dependencies)]
    if any(a >= b for a, b in zip([0, *distances], distances, strict=False)):
        raise InputError(f"dependencies of segment {index} are not earlier segments in ascending order")
    if len(distances) > c.MAX_DEPENDENCIES:
        raise InputError(f"segment {index} has more than {c.MAX_DEPENDENCIES} dependencies")
    return start + bytes([len(distances)]) + b"".join(map(varint, distances))


def read_dependencies(reader: ByteReader, index: int, header: Header) -> tuple[int, ...]:
    """Numbers of the segments that segment `index` leans on, ascending."""
    others: list[int] = []
    nearest = 0
    for _ in range(reader.unsigned(1)):
        distance = reader.varint()
        if not nearest < distance <= min(index, header.reference_span):
            raise FormatError(f"segment {index} depends on a segment {distance} back, which is not allowed")
        nearest = distance
        others.append(index - distance)
    return tuple(reversed(others))


def read_segment_start(reader: ByteReader, header: Header) -> tuple[int, tuple[int, ...]]:
    """Index and dependencies, the fields in front of the streams of a SEGM payload."""
    index = reader.varint()
    if index >= (c.MAX_SEGMENTS if header.frames is None else header.segments):
        raise FormatError(f"segment {index} lies behind the end of the file's audio")
    return index, read_dependencies(reader, index, header)


def write_streams(streams: tuple[StreamData, ...]) -> bytes:
    """Count, one descriptor per stream, then the words of all streams."""
    kinds = [stream.kind for stream in streams]
    if kinds != sorted(set(kinds)) or len(kinds) > c.MAX_STREAMS_PER_SEGMENT:
        raise InputError(f"streams of kinds {kinds} are not ascending, or too many")
    out = bytearray([len(streams)])
    for stream in streams:
        out.append(stream.kind)
        out += varint(len(stream.words)) + varint(stream.symbols)
        out += stream.checksum.to_bytes(_CHECKSUM_BYTES, "little")
    return bytes(out) + b"".join(stream.words for stream in streams)


def read_streams(reader: ByteReader, most_symbols: int) -> tuple[StreamData, ...]:
    """The rest of a payload: every stream in it, each of at most `most_symbols` symbols."""
    count = reader.unsigned(1)
    if count > c.MAX_STREAMS_PER_SEGMENT:
        raise FormatError(f"{count} streams in one chunk; {c.MAX_STREAMS_PER_SEGMENT} are allowed")
    fields = []
    last = -1
    for _ in range(count):
        kind = reader.unsigned(1)
        if kind <= last:
            raise FormatError("streams are not in ascending order of their kinds")
        last = kind
        length, symbols, checksum = reader.varint(), reader.varint(), reader.unsigned(_CHECKSUM_BYTES)
        if symbols > most_symbols:
            raise FormatError(f"a stream claims {symbols} symbols; {most_symbols} are allowed here")
        fields.append((kind, length, symbols, checksum))
    streams = tuple(StreamData(k, reader.take(n), symbols, checksum) for k, n, symbols, checksum in fields)
    reader.finish()
    return streams
