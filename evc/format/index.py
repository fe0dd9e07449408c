"""The INDX and END chunks (spec section 4): where segments lie, and that the file is whole."""

from __future__ import annotations

from dataclasses import dataclass

from evc.format import constants as c
from evc.format.binary import ByteReader, varint
from evc.format.errors import FormatError
from evc.format.header import Header
from evc.format.segment import read_dependencies, write_dependencies


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Offset of a SEGM chunk in the file, and the numbers of the segments it depends on."""

    offset: int
    dependencies: tuple[int, ...] = ()


def write_index(entries: list[IndexEntry]) -> bytes:
    """Payload of INDX: entry i describes segment i."""
    out = bytearray(varint(len(entries)))
    previous = 0
    for index, entry in enumerate(entries):
        out += write_dependencies(index, entry.dependencies, varint(entry.offset - previous))
        previous = entry.offset
    return bytes(out)


def read_index(payload: bytes, header: Header) -> list[IndexEntry]:
    """Raises FormatError for anything malformed."""
    reader = ByteReader(payload, "index")
    count = reader.varint()
    if len(payload) > c.MAX_INDEX_BYTES or count > c.MAX_SEGMENTS:
        raise FormatError("index is larger than allowed")
    entries = []
    offset = 0
    for index in range(count):
        offset += reader.varint()
        entries.append(IndexEntry(offset, read_dependencies(reader, index, header)))
    reader.finish()
    return entries


@dataclass(frozen=True, slots=True)
class End:
    """The END chunk: how many segments the file has, its size and where INDX lies (0: nowhere)."""

    segments: int
    file_bytes: int
    index_offset: int

    def write(self) -> bytes:
        """Payload of END."""
        fields = ((self.segments, 4), (self.file_bytes, 8), (self.index_offset, 8))
        return b"".join(value.to_bytes(width, "little") for value, width in fields)

    @classmethod
    def read(cls, payload: bytes) -> End:
        """Raises FormatError for anything malformed."""
        reader = ByteReader(payload, "end marker")
        end = cls(reader.unsigned(4), reader.unsigned(8), reader.unsigned(8))
        reader.finish()
        return end


END_PAYLOAD_BYTES = len(End(0, 0, 0).write())
