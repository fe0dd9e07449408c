"""Small files made of chunks whose streams hold no sound, for tests of what reads and writes whole files."""

import io

from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.header import Header
from evc.format.index import END_PAYLOAD_BYTES, End
from evc.format.reader import ContainerReader
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.writer import ContainerWriter

LENGTH = 1024
HEADER = Header(
    8_000, 1, 4 * LENGTH + 7, layers=("patterns", "spectrum"), segment_frames=LENGTH, reference_depth=2,
    reference_span=4,
)  # fmt: skip
TAGS = {"title": "Blue", "artist": ["A", "B"]}
DEPENDENCIES = [(), (), (0,), (), (0, 2)]
DICTIONARIES = [
    Dictionary(0, 2, (StreamData(c.STREAM_DICTIONARY, b"", 2, 0),)),
    Dictionary(2, 1, (StreamData(c.STREAM_DICTIONARY, b"wave", 2, 5),)),
]


def segment(index, dependencies=()):
    words = bytes([index]) * (3 + index)
    return Segment(index, dependencies, (StreamData(c.STREAM_SPECTRUM, words, index, index),))


SEGMENTS = [segment(i, d) for i, d in enumerate(DEPENDENCIES)]


def write_parts(writer):
    writer.add_optional(b"note", b"kept")
    writer.add_dictionary(DICTIONARIES[0])
    for part in SEGMENTS[:3]:
        writer.add_segment(part)
    writer.add_dictionary(DICTIONARIES[1])
    for part in SEGMENTS[3:]:
        writer.add_segment(part)


def small_file(header=HEADER, tags=TAGS) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, header, tags) as writer:
        write_parts(writer)
    return file.getvalue()


def file_with(*chunks: bytes, header=HEADER) -> bytes:
    """A file of the given chunks, with a right header and a right end marker around them."""
    body = c.SIGNATURE + chunk_bytes(b"HEAD", header.write()) + b"".join(chunks)
    segments = sum(chunk[:4] == b"SEGM" for chunk in chunks)
    size = len(body) + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return body + chunk_bytes(b"END ", End(segments, size, 0).write())


def opened(data: bytes, salvage=False) -> ContainerReader:
    return ContainerReader(io.BytesIO(data), salvage)


def check_all(data: bytes) -> None:
    opened(data).verify()


def rescued(reader: ContainerReader) -> dict[int, Segment]:
    return {i: reader.segment(i) for i in range(reader.segments) if reader.place(i) is not None}


def segm(index, dependencies=()):
    return chunk_bytes(b"SEGM", segment(index, dependencies).write())


def dictionary(first: int, entries: int = 1) -> Dictionary:
    return Dictionary(first, entries, (StreamData(c.STREAM_DICTIONARY, b"", 0, 0),))


ALL = [segm(i, d) for i, d in enumerate(DEPENDENCIES)]
