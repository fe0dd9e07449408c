"""Chunks: the frame every part of a file sits in (spec section 2). Knows nothing of audio.

`ChunkReader` lists the chunks of a file without reading their payloads, or, in salvage mode, lists
all intact chunks and the damaged byte ranges between them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from evc.format import constants as c
from evc.format.errors import SALVAGE, DamagedError, FormatError, InputError
from evc.format.sharing import PositionedFile

_HEADER = struct.Struct("<4sBI")
_CRC = struct.Struct("<I")
_READ_BYTES = 1 << 20

_TYPE = re.compile(rb"[A-Za-z0-9 ]{4}")
# What can start a chunk: a type, known flags, a length within the limit (top byte at most 4).
_CANDIDATE = re.compile(rb"(?=([A-Za-z0-9 ]{4}[\x00\x01][\x00-\xff]{3}[\x00-\x04]))")

_CRITICAL_TYPES = {c.CHUNK_HEAD, c.CHUNK_EDIT, c.CHUNK_NETW, c.CHUNK_DICT, c.CHUNK_SEGM, c.CHUNK_END}
KNOWN_TYPES = _CRITICAL_TYPES | {c.CHUNK_TAGS, c.CHUNK_SPKR, c.CHUNK_PICT, c.CHUNK_FRGN, c.CHUNK_INDX}


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a chunk lies: `offset` of its type in the file, `length` of its payload, in bytes."""

    type: bytes
    critical: bool
    offset: int
    length: int

    @property
    def size(self) -> int:
        """Bytes of the whole chunk."""
        return self.length + c.CHUNK_OVERHEAD_BYTES

    @property
    def end(self) -> int:
        """Offset of the first byte behind the chunk."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class DamagedBytes:
    """The bytes [start, end) of a file belong to no intact chunk, or to one that cannot be used."""

    start: int
    end: int
    reason: str


def chunk_bytes(type: bytes, payload: bytes, critical: bool | None = None) -> bytes:
    """A whole chunk. `critical` is only needed for a type this version does not define.

    Raises InputError for an impossible type or a payload over the limit.
    """
    if type in KNOWN_TYPES:
        critical = type in _CRITICAL_TYPES
    if critical is None or not _TYPE.fullmatch(type):
        raise InputError(f"chunk type {type!r} cannot be written")
    if len(payload) > c.MAX_CHUNK_BYTES:
        raise InputError(f"a {type.decode()} chunk of {len(payload)} bytes is over the limit")
    body = _HEADER.pack(type, c.CHUNK_FLAG_CRITICAL if critical else 0, len(payload)) + payload
    return body + _CRC.pack(zlib.crc32(body))


def check_signature(head: bytes) -> None:
    """Raise FormatError unless the first bytes of a file are the signature."""
    if head == c.SIGNATURE:
        return
    if head[1:4] == c.SIGNATURE[1:4]:
        raise FormatError("the signature is damaged, as by a transfer in text mode")
    raise FormatError("not an EVC file")


class ChunkReader:
    """The chunks of a seekable binary file.

    `size` is that of the file in bytes. Strict (default): walks the chunk headers from the signature to the end
    marker, raises FormatError or DamagedError at the first thing wrong; payloads and their CRCs are left to
    `payload`, and `trailing` counts the bytes behind the end marker, which do not belong to the file. Salvage: reads
    everything once, keeps the chunks whose CRC is right in `chunks` and puts what lies between them into `damage`;
    raises nothing, and leaves a `budget` of bytes for searching another file behind.

    A file that begins at `start`, behind another, counts its bytes from there; `end` is where its end marker ends, or
    the next file begins.

    Threads may call `payload` and `raw` at the same time, and so may both processes after a fork.
    """

    def __init__(
        self, file: BinaryIO | PositionedFile, salvage: bool = False, start: int = 0, budget: int | None = None
    ) -> None:
        self._file = file if isinstance(file, PositionedFile) else PositionedFile(file)
        self._start = start
        self.size = self._file.size - start
        self.end = self.size
        self.trailing = 0
        self.signature = self._read(0, len(c.SIGNATURE))
        self.chunks: list[ChunkPlace] = []
        self.damage: list[DamagedBytes] = []
        # Bytes that may be spent on checking what turns out not to be a chunk, so that a file made of false chunk
        # headers cannot cost the square of its size.
        self.budget = 8 * self.size + c.MAX_CHUNK_BYTES if budget is None else budget
        if salvage:
            self._salvage()
        else:
            self._walk()

    def raw(self, place: ChunkPlace) -> bytes:
        """The whole chunk, header to CRC; raises DamagedError unless the CRC is right."""
        data = self._read(place.offset, place.size)
        body = data[: -c.CHUNK_CRC_BYTES]
        if len(data) < place.size or zlib.crc32(body) != _CRC.unpack(data[len(body) :])[0]:
            at = self._start + place.offset
            raise DamagedError(f"{place.type.decode()} chunk at byte {at} is damaged", helps=SALVAGE)
        return data

    def payload(self, place: ChunkPlace) -> bytes:
        """The payload of a chunk; raises DamagedError unless the CRC is right."""
        return self.raw(place)[c.CHUNK_HEADER_BYTES : -c.CHUNK_CRC_BYTES]

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes of the file, whatever they are; fewer only at its end."""
        return self._read(offset, count)

    def _read(self, offset: int, count: int) -> bytes:
        return self._file.read(self._start + offset, count)

    def _walk(self) -> None:
        check_signature(self.signature)
        position = len(c.SIGNATURE)
        while True:
            place = self._strict_place(position)
            self.chunks.append(place)
            position = place.end
            if place.type == c.CHUNK_END:
                break
            if len(self.chunks) >= c.MAX_CHUNKS:
                raise FormatError(f"more than {c.MAX_CHUNKS} chunks")
        self.size, self.end, self.trailing = position, position, self.size - position

    def _strict_place(self, offset: int) -> ChunkPlace:
        if self.size - offset < c.CHUNK_OVERHEAD_BYTES:
            end = f"it ends at byte {self._file.size} without an end marker"
            raise DamagedError(f"the file is cut short: {end}", helps=SALVAGE)
        type, flags, length = _HEADER.unpack(self._read(offset, c.CHUNK_HEADER_BYTES))
        at = self._start + offset
        if not _TYPE.fullmatch(type) or flags & ~c.CHUNK_FLAG_CRITICAL:
            raise DamagedError(f"no chunk at byte {at}, where one should start", helps=SALVAGE)
        name = type.decode()
        place = ChunkPlace(type, bool(flags), offset, length)
        if type in KNOWN_TYPES and place.critical != (type in _CRITICAL_TYPES):
            raise DamagedError(f"{name} chunk at byte {at} has the wrong flags", helps=SALVAGE)
        if length > c.MAX_CHUNK_BYTES:
            raise FormatError(f"{name} chunk at byte {at} claims {length} bytes, more than is allowed")
        if place.end > self.size:
            beyond = f"{name} chunk at byte {at} goes on past its end"
            raise DamagedError(f"the file is cut short: {beyond}", helps=SALVAGE)
        return place

    def _salvage(self) -> None:
        position = len(self.signature)
        if self.signature != c.SIGNATURE:
            self.damage.append(DamagedBytes(0, position, "signature"))
        while position < self.size and len(self.chunks) < c.MAX_CHUNKS:
            place = self._intact_place(position)
            if place is None:
                start, position = position, self._resume(position)
                self.damage.append(DamagedBytes(start, position, "no intact chunk"))
                continue
            if place.type == c.CHUNK_HEAD and self._starts_another(position):
                return
            self.chunks.append(place)
            position = place.end
            if place.type == c.CHUNK_END:
                self.end = position
                break
        if position < self.size:
            self.damage.append(DamagedBytes(position, self.size, "bytes after the end"))

    def _starts_another(self, head: int) -> bool:
        """Whether the header chunk at `head` is that of the next file, whose signature is then where this one ends."""
        border = head - len(c.SIGNATURE)
        if border < len(c.SIGNATURE) or self._read(border, len(c.SIGNATURE)) != c.SIGNATURE:
            return False
        self.end = border
        if self.damage and self.damage[-1].end == head:
            self.damage[-1] = replace(self.damage[-1], end=border)
        return True

    def _intact_place(self, offset: int) -> ChunkPlace | None:
        """The chunk at `offset` if it is whole and its CRC right."""
        try:
            place = self._strict_place(offset)
        except (FormatError, DamagedError):
            return None
        if place.length > self.budget:
            return None
        if not self._crc_right(place, place.length):
            self.budget -= place.size
            return None
        return place

    def _crc_right(self, place: ChunkPlace, length: int) -> bool:
        """Whether the CRC is right if the chunk at `place` has a payload of `length` bytes."""
        flags = c.CHUNK_FLAG_CRITICAL if place.critical else 0
        crc = zlib.crc32(_HEADER.pack(place.type, flags, length))
        position = place.offset + c.CHUNK_HEADER_BYTES
        end = position + length
        while position < end:
            part = self._read(position, min(_READ_BYTES, end - position))
            if not part:
                return False
            crc = zlib.crc32(part, crc)
            position += len(part)
        return self._read(end, c.CHUNK_CRC_BYTES) == _CRC.pack(crc)

    def _resume(self, damaged: int) -> int:
        """Where to read on behind the damaged chunk at `damaged`.

        If its length field leads to the end of the file or to an intact chunk, the length is
        believed, so that chunks embedded in a damaged payload are not taken for the file's own.
        The exception is a damaged length that leads too far by chance: then the CRC is right with
        the length that ends at the nearer intact chunk.
        """
        found = self._find(damaged + 1)
        near = self.size if found is None else found.offset
        header = self._read(damaged, c.CHUNK_HEADER_BYTES)
        if len(header) < c.CHUNK_HEADER_BYTES:
            return near
        type, flags, length = _HEADER.unpack(header)
        claimed = damaged + length + c.CHUNK_OVERHEAD_BYTES
        if claimed <= near or length > c.MAX_CHUNK_BYTES:
            return near
        if claimed != self.size and self._intact_place(claimed) is None:
            return near
        place = ChunkPlace(type, bool(flags & c.CHUNK_FLAG_CRITICAL), damaged, length)
        true_length = near - damaged - c.CHUNK_OVERHEAD_BYTES
        return near if true_length >= 0 and self._crc_right(place, true_length) else claimed

    def _find(self, start: int) -> ChunkPlace | None:
        """The first intact chunk at `start` or later."""
        return next((p for o in self._candidates(start) if (p := self._intact_place(o)) is not None), None)

    def _candidates(self, start: int) -> Iterator[int]:
        """Offsets from `start` on of bytes that look like a chunk header."""
        while start < self.size:
            # Windows overlap by a header less one byte, so that none is missed or seen twice.
            window = self._read(start, _READ_BYTES + c.CHUNK_HEADER_BYTES - 1)
            for match in _CANDIDATE.finditer(window):
                length = int.from_bytes(match[1][-4:], "little")
                offset = start + match.start()
                if offset + length + c.CHUNK_OVERHEAD_BYTES <= self.size:
                    yield offset
            start += _READ_BYTES
