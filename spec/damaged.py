"""Damaged files, which a reader in salvage mode makes the most of (section 2.6)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.header import Header
from evc.format.segment import Dictionary, StreamData
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.dictionary import DictionaryStream, Excerpt
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.tags import write_tags
from evc.spec.containers import RATE, SUPERFRAME, Chunk, end, file_of, head, patched, segment
from evc.spec.patterned import copies, tones

Case = tuple[str, bytes]  # what is wrong, the file

_SEGMENTS = 5
_HEADER = Header(RATE, 1, _SEGMENTS * SUPERFRAME - 100, layers=("spectrum",), segment_frames=SUPERFRAME)


def cases() -> dict[str, Case]:
    """All of them, by name."""
    chunks = _chunks()
    good = file_of(chunks)
    places = [_place(good, chunk) for chunk in chunks]
    tags, *segments = places[1:-1]
    tail = len(good) - len(end(0, 0, 0))
    third, after = segments[2], segments[3]
    index = good.index(c.CHUNK_INDX)
    unsure = [*chunks[:5], segment(3, (), (replace(_stream(3), checksum=1),)), *chunks[6:]]
    return {
        "byte": ("a byte of a segment", patched(good, third + 40, b"\xaa")),
        "checksum": ("a checksum of symbols; all CRCs are right", file_of(unsure)),
        "header": ("the first HEAD; there is a second", patched(good, len(c.SIGNATURE) + 12, bytes(9))),
        "signature": ("the signature", patched(good, 0, bytes(8))),
        "tags": ("TAGS", patched(good, tags + 20, bytes(2))),
        "cut": ("cut within a segment", good[: after + 50]),
        "no-end": ("cut in front of INDX", good[:index]),
        "end": ("END", patched(good, tail + 12, b"\x55")),
        "index": ("INDX", patched(good, index + 10, b"\x55")),
        "length": ("the length of a segment, too great", patched(good, third + 5, b"\xff\xff")),
        "length-fits": ("the length of a segment, which leads to the next but one",
                        patched(good, third + 5, (segments[4] - third - c.CHUNK_OVERHEAD_BYTES).to_bytes(4, "little"))),
        "gone": ("a segment is not there", good[:third] + good[after:]),
        "junk": ("bytes between two chunks", good[:third] + b"SEGM, but not one" + good[third:]),
        "twice": ("a segment comes twice", good[:after] + good[third:after] + good[after:]),
        "type": ("the type of a segment", patched(good, third, b"SEGN")),
        "entry": ("a dictionary that a segment uses", _with_entry()),
        "leaning": ("a byte of a segment that others repeat", _leaning()),
    }  # fmt: skip


def _chunks() -> list[Chunk]:
    tags = Chunk(c.CHUNK_TAGS, write_tags({"title": "a title"}), critical=False)
    segments = [segment(index, (), (_stream(index),)) for index in range(_SEGMENTS)]
    return [head(_HEADER), tags, *segments, head(_HEADER)]


def _stream(index: int) -> StreamData:
    frames = _HEADER.segment_span(index)[1]
    stream = tones(np.random.default_rng(index), 1, 1, 18)
    return coded_stream(c.STREAM_SPECTRUM, stream, StreamContext(RATE, 1, frames))


def _place(data: bytes, chunk: Chunk) -> int:
    """Where a chunk is in a file; of HEAD the last."""
    return data.rindex(chunk_bytes(chunk.type, chunk.payload, chunk.critical))


def _with_entry() -> bytes:
    """A placement of an entry whose DICT is damaged."""
    header = replace(
        _HEADER, layers=("patterns",), reference_depth=1, reference_span=_SEGMENTS, frames=_SEGMENTS * SUPERFRAME
    )
    whole = StreamContext(RATE, 1, header.known_frames, header.phase_bits, 1)
    entry = Dictionary(0, 1, (coded_stream(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(0, 500)]), whole),))
    one = np.zeros(1, np.int64)
    placed = OccurrenceStream(one, one, one, one, one, one, one, one, Gains(one[:, None, None]))
    words = coded_stream(c.STREAM_OCCURRENCES, placed, replace(whole, frames=SUPERFRAME))
    chunks = [head(header), Chunk(c.CHUNK_DICT, entry.write()), *(segment(index) for index in range(4)),
              segment(4, (0, 1), (words,))]  # fmt: skip
    data = file_of(chunks, [(), (), (), (), (0, 1)])
    return patched(data, data.index(c.CHUNK_DICT) + 14, b"\x99")


def _leaning() -> bytes:
    """The file of copies with a byte of its first segment changed."""
    data = copies()
    return patched(data, data.index(c.CHUNK_SEGM) + 60, b"\x99")
