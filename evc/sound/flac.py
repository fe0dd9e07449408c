"""FLAC (RFC 9639): where streams start and where their headers end, and the metadata in these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from evc.format.metadata import Foreign, Picture
from evc.format.tags import Tags
from evc.sound.comments import Found, read_comments, write_comments
from evc.sound.shifting import replace_bytes
from evc.sound.view import Patch

_MARKER = b"fLaC"
_LAST = 0x80  # bit of a block's type
_MOST_BLOCKS = 1 << 12
_BLOCK_HEADER_BYTES = 4
_TOTAL_AT = 13  # offset in STREAMINFO (8.2) of the four bits and four bytes that state the frames
_LAST_BYTES = 1 << 16  # of a stream: its last block of sound starts there
_MOST_HEADER_BYTES = 17  # of a block of sound
_CUESHEET_BYTES, _CUE_TRACK_BYTES, _CUE_POINT_BYTES = 396, 36, 12
# Types of blocks (8.1).
_STREAMINFO, _PADDING, _APPLICATION, _SEEKTABLE, _COMMENTS, _CUESHEET, _PICTURE = range(7)
_NAMES = {_APPLICATION: "APPL", _CUESHEET: "CUES"}  # of foreign chunks
_TYPES = {name: type for type, name in _NAMES.items()}


class Block(NamedTuple):
    """Where the content of a metadata block lies."""

    start: int
    length: int
    type: int = 0


def id3_bytes(head: bytes) -> int:
    """Length of the ID3v2 tag that starts with `head`; 0 where there is none."""
    if not head.startswith(b"ID3") or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(head[6:10])))


def flac_start(file: BinaryIO, start: int = 0) -> int | None:
    """Offset of the marker of a FLAC stream at `start`, or behind the ID3 tag there; None where there is none."""
    file.seek(start)
    position = start + id3_bytes(file.read(10))
    file.seek(position)
    return position if file.read(4) == _MARKER else None


def metadata(file: BinaryIO, start: int, end: int) -> Iterator[Block]:
    """The blocks of the stream with its marker at `start`, as far as they are there."""
    position, last = start + len(_MARKER), False
    while not last and position + 4 <= end:
        file.seek(position)
        header = file.read(4)
        last = bool(header[0] & _LAST)
        block = Block(position + 4, int.from_bytes(header[1:], "big"), header[0] & ~_LAST)
        yield block
        position = block.start + block.length


def read_flac(file: BinaryIO, start: int, end: int) -> Found:
    """The metadata of the FLAC stream with its marker at `start`, of which the file has the bytes up to `end`."""
    found = Found()
    for number, block in enumerate(metadata(file, start, end)):
        if number == _MOST_BLOCKS or block.start + block.length > end:
            found.problems.append("its metadata goes on past the end, or for ever")
            break
        kept = block.type in (_COMMENTS, _PICTURE, *_NAMES)
        if kept and found.has_room(block.length, "a block of its metadata"):
            file.seek(block.start)
            add_block(block.type, file.read(block.length), found)
    return found


def add_block(type: int, content: bytes, found: Found) -> None:
    """Add what a metadata block holds."""
    if type == _COMMENTS:
        read_comments(content, found)
    elif type == _PICTURE:
        found.add_picture(content)
    elif type in _NAMES:
        found.metadata.foreign.append(Foreign("FLAC", _NAMES[type], content))


def hidden_metadata(file: BinaryIO, size: int) -> Iterator[Patch]:
    """What makes decoders pass over the metadata of a FLAC file, which they refuse with the file where it is malformed:
    its blocks become padding. Nothing for other files."""
    start = flac_start(file)
    for number, block in enumerate(metadata(file, start, size) if start is not None else ()):
        if number == _MOST_BLOCKS or block.start + block.length > size:
            return
        if block.type not in (_STREAMINFO, _SEEKTABLE, _PADDING):
            file.seek(block.start - _BLOCK_HEADER_BYTES)
            yield block.start - _BLOCK_HEADER_BYTES, bytes([file.read(1)[0] & _LAST | _PADDING])


def total_field(file: BinaryIO, start: int) -> Patch | None:
    """What makes a decoder take the FLAC stream at `start` to its end, whatever total its header states: the field with
    none."""
    marker = flac_start(file, start)
    if marker is None:
        return None
    place = marker + len(_MARKER) + _BLOCK_HEADER_BYTES + _TOTAL_AT
    file.seek(place)
    return place, bytes([file.read(1)[0] & 0xF0, 0, 0, 0, 0])


def frames_at_end(file: BinaryIO, start: int, end: int) -> int:
    """How many frames of sound the FLAC stream in the bytes [start, end) has as far as its last block tells; 0 where
    none is found."""
    marker = flac_start(file, start)
    if marker is None:
        return 0
    file.seek(marker + len(_MARKER) + _BLOCK_HEADER_BYTES)
    smallest, largest = (int.from_bytes(file.read(2), "big") for _ in range(2))
    file.seek(max(marker, end - _LAST_BYTES))
    tail = file.read(end - file.tell())
    at = len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        last = _block_end(tail[at : at + _MOST_HEADER_BYTES], smallest, largest)
        if last:
            return last
    return 0


def _block_end(header: bytes, smallest: int, largest: int) -> int:
    """The frame behind the block of sound that starts with `header` (9.1 of RFC 9639); 0 where none does."""
    if len(header) < 6 or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return 0
    first, extra = header[4], 0
    while extra < 7 and first << extra & 0x80:
        extra += 1
    number = first & (0x7F >> extra)
    for byte in header[5 : 4 + extra]:
        number = number << 6 | byte & 0x3F
    place, code = max(5, 4 + extra), header[2] >> 4
    sizes = {6: 1, 7: 2}
    if code in sizes:
        size = int.from_bytes(header[place : place + sizes[code]], "big") + 1
    else:
        size = 192 if code == 1 else 576 << code - 2 if 2 <= code <= 5 else 256 << code - 8 if code >= 8 else 0
    rate = header[2] & 15
    place += sizes.get(code, 0) + (1 if rate == 12 else 2 if rate in (13, 14) else 0)
    if not 0 < size <= largest or place >= len(header) or _crc8(header[:place]) != header[place]:
        return 0
    variable = header[1] & 1
    return (number if variable else number * max(smallest, largest)) + size


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


def is_cuesheet(content: bytes) -> bool:
    """Whether the content of a CUESHEET block has the form that it should (8.7): decoders refuse files with others."""
    if len(content) < _CUESHEET_BYTES:
        return False
    position, points = _CUESHEET_BYTES, 0
    for _ in range(content[_CUESHEET_BYTES - 1]):
        if position + _CUE_TRACK_BYTES > len(content):
            return False
        points = content[position + _CUE_TRACK_BYTES - 1]
        position += _CUE_TRACK_BYTES + _CUE_POINT_BYTES * points
    return position == len(content) > _CUESHEET_BYTES and points == 0  # the last track is where the sound ends


def embed_flac(file: BinaryIO, tags: Tags, pictures: list[Picture], foreign: list[Foreign]) -> None:
    """Give the FLAC file of an encoder these tags, pictures, and blocks of the origin "FLAC"."""
    size = file.seek(0, 2)
    kept: list[tuple[int, bytes]] = []
    vendor, audio = b"", len(_MARKER)
    for block in metadata(file, 0, size):
        audio = block.start + block.length
        file.seek(block.start)
        content = file.read(block.length)
        if block.type == _COMMENTS:
            vendor = read_comments(content, Found())
        elif block.type in (_STREAMINFO, _SEEKTABLE):
            kept.append((block.type, content))
    kept.append((_COMMENTS, write_comments(vendor, tags)))
    kept += [(_PICTURE, picture.write()) for picture in pictures]
    kept += [(_TYPES[chunk.id], chunk.data) for chunk in foreign]
    parts = [_MARKER]
    for number, (type, content) in enumerate(kept, 1):
        last = _LAST if number == len(kept) else 0
        parts += [bytes([type | last]), len(content).to_bytes(3, "big"), content]
    replace_bytes(file, 0, audio, b"".join(parts))
