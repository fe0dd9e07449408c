"""Where FLAC streams start and where their headers end, which libsndfile does not tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_MARKER = b"fLaC"
_LAST = 0x80  # bit of a block's type


class Block(NamedTuple):
    """Where the content of a metadata block lies."""

    start: int
    length: int


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
        block = Block(position + 4, int.from_bytes(header[1:], "big"))
        yield block
        position = block.start + block.length
