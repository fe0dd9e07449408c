"""Ogg (RFC 3533): pages and packets, and the comments of Vorbis, Opus, FLAC and Speex in them.

The comments are in the second packet of a stream. Vorbis I (section 4.2.1 and A.2), RFC 7845 (section 3 and 5.2) and
RFC 9639 (10.1) say what is around them, and that the header packets end their last page, so that pages of sound stay
as they are but for their numbers when the comments change.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from evc.format.metadata import Picture
from evc.format.tags import Tags
from evc.sound.comments import Found, read_comments, write_comments
from evc.sound.flac import add_block
from evc.sound.shifting import replace_bytes

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
CONTINUED, FIRST, LAST = 0x01, 0x02, 0x04  # flags
_NO_GRANULE = (1 << 64) - 1  # of a page on which no packet ends
_MOST_SEGMENTS = 255
_MOST_HEADER_BYTES = 96 << 20  # of the packets with comments and pictures
_MOST_STREAMS = 64  # whose first pages come before those of the sound
_MOST_FLAC_BLOCKS = 1 << 12

# What the first packet of a stream starts with, the second, and whether there is a third.
_VORBIS, _OPUS, _FLAC, _SPEEX = b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "
_COMMENTS = {_VORBIS: b"\x03vorbis", _OPUS: b"OpusTags", _SPEEX: b""}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def ogg_crc(data: bytes) -> int:
    """The CRC of a page, whose own field is 0 (section 6 of RFC 3533): polynomial 0x04C11DB7, highest bit first. zlib
    computes it lowest bit first, and inverts the value before and after."""
    mirrored = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


@dataclass(frozen=True)
class Page:
    """A page: its header's fields, the lacing values and the bytes they cut into packets."""

    flags: int
    granule: int
    serial: int
    sequence: int
    lacing: bytes
    body: bytes

    def write(self) -> bytes:
        head = _CAPTURE + bytes([0, self.flags]) + self.granule.to_bytes(8, "little")
        head += self.serial.to_bytes(4, "little") + self.sequence.to_bytes(4, "little")
        tail = bytes([len(self.lacing)]) + self.lacing + self.body
        return head + ogg_crc(head + b"\0\0\0\0" + tail).to_bytes(4, "little") + tail


def read_page(file: BinaryIO, position: int) -> Page | None:
    """The page at `position`; None where there is none, or not all of it. Its CRC is not looked at: sound comes from
    decoders, which do."""
    file.seek(position)
    head = file.read(_HEADER_BYTES)
    if len(head) < _HEADER_BYTES or not head.startswith(_CAPTURE) or head[4]:
        return None
    lacing = file.read(head[26])
    body = file.read(sum(lacing))
    if len(lacing) < head[26] or len(body) < sum(lacing):
        return None
    granule, serial, sequence = (int.from_bytes(head[a:b], "little") for a, b in ((6, 14), (14, 18), (18, 22)))
    return Page(head[5], granule, serial, sequence, lacing, body)


def page_bytes(page: Page) -> int:
    """Length of a page in a file."""
    return _HEADER_BYTES + len(page.lacing) + len(page.body)


def pages(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, Page]]:
    """Offset and content of the pages that follow each other from `position` on."""
    while position < end and (page := read_page(file, position)) is not None:
        yield position, page
        position += page_bytes(page)


def paginated(packets: Sequence[bytes], serial: int, sequence: int) -> Iterator[Page]:
    """The pages of header packets, from number `sequence` on; the last packet ends the last page."""
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    body = b"".join(packets)
    at, continued = 0, False
    for start in range(0, len(lacing), _MOST_SEGMENTS):
        part = lacing[start : start + _MOST_SEGMENTS]
        ends = any(value < 255 for value in part)
        flags = CONTINUED if continued else 0
        size = sum(part)
        yield Page(flags, 0 if ends else _NO_GRANULE, serial, sequence, part, body[at : at + size])
        at, sequence, continued = at + size, sequence + 1, part[-1] == 255


class _Packets:
    """Packets of one stream, put together from its pages."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._bytes = 0

    def added(self, page: Page) -> list[bytes]:
        """The packets that end on the next page of the stream; ValueError for one that is too long."""
        if not page.flags & CONTINUED:
            self._parts, self._bytes = [], 0
        done, at = [], 0
        for value in page.lacing:
            self._parts.append(page.body[at : at + value])
            self._bytes += value
            at += value
            if self._bytes > _MOST_HEADER_BYTES:
                raise ValueError("its comments are too long")
            if value < 255:
                done.append(b"".join(self._parts))
                self._parts, self._bytes = [], 0
        return done


def _sound_stream(found: Iterable[tuple[int, Page]]) -> tuple[int, bytes] | None:
    """Serial number and kind of the first stream of sound among the first pages."""
    for number, (_, page) in enumerate(found):
        if not page.flags & FIRST or number == _MOST_STREAMS:
            return None
        for kind in (_VORBIS, _OPUS, _FLAC, _SPEEX):
            if page.body.startswith(kind):
                return page.serial, kind
    return None


def read_ogg(file: BinaryIO, start: int, end: int) -> Found:
    """The metadata of the first stream of sound in the bytes [start, end) of a file."""
    found = Found()
    stream = _sound_stream(pages(file, start, end))
    if stream is None:
        return found
    serial, kind = stream
    try:
        for number, packet in enumerate(_packets(file, start, end, serial)):
            if kind == _FLAC:
                if number and packet[:1] != b"\xff":  # a metadata block (RFC 9639, 10.1)
                    add_block(packet[0] & 0x7F if packet else 0, packet[4:], found)
                if number == _MOST_FLAC_BLOCKS or number and (not packet or packet[0] & 0x80):
                    break
            elif number:
                prefix = _COMMENTS[kind]
                if packet.startswith(prefix):
                    read_comments(packet[len(prefix) :], found)
                else:
                    found.problems.append("its comments are not where they should be")
                break
    except ValueError as error:
        found.problems.append(str(error))
    return found


def _packets(file: BinaryIO, start: int, end: int, serial: int) -> Iterator[bytes]:
    whole = _Packets()
    for _, page in pages(file, start, end):
        if page.serial == serial:
            yield from whole.added(page)


def embed_ogg(file: BinaryIO, tags: Tags, pictures: Sequence[Picture]) -> None:
    """Give the Ogg file of an encoder, with one stream of Vorbis or Opus, these tags and pictures.

    Raises ValueError for a file that is not as encoders write it.
    """
    size = file.seek(0, 2)
    stream = _sound_stream(pages(file, 0, size))
    if stream is None or stream[1] not in (_VORBIS, _OPUS):
        raise ValueError("this stream of Ogg takes no comments")
    serial, kind = stream
    wanted = 3 if kind == _VORBIS else 2  # header packets
    headers: list[bytes] = []
    whole, number, begin, behind = _Packets(), 0, 0, 0
    for position, page in pages(file, 0, size):
        headers += whole.added(page)
        number, behind = number + 1, position + page_bytes(page)
        begin = behind if number == 1 else begin
        if len(headers) >= wanted:
            break
    prefix = _COMMENTS[kind]
    if len(headers) != wanted or not headers[1].startswith(prefix):
        raise ValueError("the header of this stream of Ogg is not as it should be")
    vendor = read_comments(headers[1][len(prefix) :], Found())
    framing = b"\x01" if kind == _VORBIS else b""
    headers[1] = prefix + write_comments(vendor, tags, pictures) + framing
    made = list(paginated(headers[1:], serial, 1))
    data = b"".join(page.write() for page in made)
    replace_bytes(file, begin, behind, data)
    if (later := len(made) - (number - 1)) != 0:
        _renumber(file, begin + len(data), later)


def _renumber(file: BinaryIO, position: int, later: int) -> None:
    """Add to the numbers of all pages from `position` on."""
    end = file.seek(0, 2)
    while position < end and (page := read_page(file, position)) is not None:
        moved = Page(page.flags, page.granule, page.serial, page.sequence + later, page.lacing, page.body)
        file.seek(position)
        file.write(moved.write())
        position += page_bytes(page)
