"""Conformance files put together chunk by chunk: one of a later minor version, and the frames of those that readers
refuse or salvage."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.header import Header, NetworkReference
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, write_index
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.dictionary import DictionaryStream, Excerpt

RATE, SUPERFRAME = 8000, 1024
MALFORMED, DAMAGED, UNSUPPORTED = "malformed", "damaged", "unsupported"
Refusal = tuple[str, str, bytes]  # the kind of error, what is wrong, the file

PLAIN = Header(RATE, 1, 2 * SUPERFRAME, layers=("spectrum",), segment_frames=SUPERFRAME)
UNHEARD_OF = NetworkReference("evc-unheard-of", bytes(8))
LEANING = replace(PLAIN, layers=("patterns", "spectrum"), reference_depth=1, reference_span=1)


@dataclass(frozen=True)
class Chunk:
    type: bytes
    payload: bytes
    critical: bool = True


def head(header: Header) -> Chunk:
    return Chunk(c.CHUNK_HEAD, header.write())


def segment(index: int, dependencies: tuple[int, ...] = (), streams: tuple[StreamData, ...] = ()) -> Chunk:
    return Chunk(c.CHUNK_SEGM, Segment(index, dependencies, streams).write())


def silent(header: Header = PLAIN, *more: Chunk) -> list[Chunk]:
    """The chunks of a valid file of empty segments; `more` come behind the header."""
    return [head(header), *more, *(segment(index) for index in range(header.segments))]


def file_of(chunks: Sequence[Chunk], dependencies: Sequence[tuple[int, ...]] = ()) -> bytes:
    """A file of these chunks, an index and an end. `dependencies` are those of the segments, if they have any."""
    data = c.SIGNATURE
    entries: list[IndexEntry] = []
    for chunk in chunks:
        if chunk.type == c.CHUNK_SEGM:
            entries.append(IndexEntry(len(data), dependencies[len(entries)] if dependencies else ()))
        data += chunk_bytes(chunk.type, chunk.payload, chunk.critical)
    index = len(data) if entries else 0
    if entries:
        data += chunk_bytes(c.CHUNK_INDX, write_index(entries), critical=False)
    return data + end(len(entries), len(data), index)


def end(segments: int, position: int, index: int) -> bytes:
    """END at a position of the file."""
    size = position + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return chunk_bytes(c.CHUNK_END, End(segments, size, index).write())


def patched(payload: bytes, at: int, new: bytes) -> bytes:
    return payload[:at] + new + payload[at + len(new) :]


def resealed(data: bytes, start: int) -> bytes:
    """The file with the right CRC for the chunk that starts there."""
    length = int.from_bytes(data[start + 5 : start + 9], "little")
    end = start + c.CHUNK_HEADER_BYTES + length
    return patched(data, end, zlib.crc32(data[start:end]).to_bytes(4, "little"))


def later() -> bytes:
    """Minor version 7: appended fields, an unknown chunk, unknown streams that may be skipped; dictionaries and a
    second header between the segments."""
    header = Header(RATE, 1, 4000, layers=("patterns",), segment_frames=SUPERFRAME, minor=7, extra=b"more")
    unknown = tuple(StreamData(kind, bytes(range(8)), 3, 4) for kind in (128, 200, 255))
    context = StreamContext(RATE, 1, 4000, header.phase_bits, 1)
    excerpts = [
        Dictionary(number, 1, (coded_stream(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(7, 9 + number)]), context),))
        for number in range(2)
    ]
    excerpts[1] = replace(excerpts[1], streams=excerpts[1].streams + unknown[1:])
    first, second = (Chunk(c.CHUNK_DICT, each.write()) for each in excerpts)
    whole = Chunk(c.CHUNK_HEAD, header.write())
    return file_of([
        whole, Chunk(b"NEWS", b"skipped", critical=False), segment(0, (), unknown), first, segment(1, (), unknown[:1]),
        whole, second, segment(2), Chunk(b"free", b"", critical=False), segment(3),
    ])  # fmt: skip
