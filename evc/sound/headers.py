"""How long the sound of a file of chunks is: what its header declares, and what is there.

WAV (also RF64, BW64 and big-endian RIFX), Wave64, AIFF, CAF and AU state the bytes of their samples ahead of them.
Recorders that died, pipes and broken downloads leave that number at 0, at its greatest value or too large, and decoders
that believe it lose the sound. `sound_length` compares the number with the file, and says what to write in its place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO, Literal

from evc.sound.view import Patch

_STREAMED = 0x7FFFF000  # sizes of 32 bits from here on stand for "not known yet"
_UNKNOWN = 0xFFFFFFFF
_BOUNDLESS = 1 << 62  # the same of 64 bits
_MOST_CHUNKS = 1 << 16
_STRAY_BYTES = 4096  # behind the declared end of the samples: fewer, and no chunk, are taken for rubbish
_TAIL_BYTES = 1 << 20  # of a file, where chunks behind samples of unknown length are looked for
_COMMON_CHUNK = re.compile(rb"LIST|id3 |ID3 |cue |smpl|inst|bext|iXML|_PMX|afsp|NAME|ANNO|MARK")
_CHUNK_NAME = re.compile(rb"[A-Za-z0-9 _~]{4}")
_FOREIGN = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")  # tags that other programs append

Order = Literal["little", "big"]
_LITTLE: Order = "little"
_BIG: Order = "big"


@dataclass(frozen=True)
class SoundLength:
    """Bytes of the samples as `declared` (None: the header leaves it open) and as they are `there`, and the patches
    that make the header say so. `joined` is where another file begins behind, as `cat` leaves it, or 0."""

    declared: int | None
    there: int
    patches: tuple[Patch, ...]
    joined: int = 0


@dataclass(frozen=True)
class _Size:
    """A field for a size: `value + added` in `width` bytes."""

    offset: int
    width: int
    order: Order
    added: int = 0

    def patch(self, value: int) -> Patch:
        return self.offset, min(value + self.added, (1 << 8 * self.width) - 1).to_bytes(self.width, self.order)


@dataclass(frozen=True)
class _Samples:
    """Where the samples start, their declared bytes, and the fields to change with the latter; `frame_fields` count
    frames of so many bytes."""

    start: int
    declared: int | None
    sizes: tuple[_Size, ...]
    padding: int = 1
    frame_fields: tuple[tuple[_Size, int], ...] = ()
    other: tuple[Patch, ...] = ()


def sound_length(file: BinaryIO, size: int) -> SoundLength | None:
    """The length of the samples of a file of `size` bytes; None where it has no such header, or nothing to mend."""
    head = _at(file, 0, 12)
    found: _Samples | None = None
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:] == b"WAVE":
        found = _wave(file, size, head[:4])
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        found = _aiff(file, size)
    elif head[:4] == b"riff":
        found = _wave64(file, size)
    elif head[:4] == b"caff":
        found = _caf(file, size)
    elif head[:4] == b".snd":
        found = _au(head)
    if found is None or found.start > size:
        return None
    there = _there(file, size, found, head)
    patches = list(found.other)
    if there != found.declared:
        patches += [field.patch(there) for field in found.sizes]
        patches += [field.patch(there // block) for field, block in found.frame_fields if block]
    behind = found.start + there + -there % found.padding
    joined = _begins_file(_at(file, behind, 12), head)
    return SoundLength(found.declared, there, tuple(patches), behind if joined else 0)


def _begins_file(start: bytes, head: bytes) -> bool:
    """Whether bytes begin a file of the same kind as those in `head`."""
    return len(start) == 12 and start[:4] == head[:4] and (start[8:] == head[8:] or head[:4] not in (b"RIFF", b"FORM"))


def _there(file: BinaryIO, size: int, found: _Samples, head: bytes) -> int:
    """Bytes of samples that are there: up to the chunks behind them, or to the end of the file."""
    left = size - found.start
    if found.declared is None or found.declared >= left:
        return left if found.padding == 1 else _chunks_begin(file, size, found.start) - found.start
    behind = found.start + found.declared + -found.declared % found.padding
    rest = _at(file, behind, _STRAY_BYTES)
    stray = not rest or rest.startswith(_FOREIGN) or not rest.strip(b"\0") or _is_chunk(rest, size - behind)
    stray = stray or _begins_file(rest[:12], head)
    if stray or (found.declared and len(rest) < _STRAY_BYTES):
        return found.declared
    return left if found.padding == 1 else _chunks_begin(file, size, found.start) - found.start


def _chunks_begin(file: BinaryIO, size: int, start: int) -> int:
    """Where the chunks begin that end with the file, behind samples from `start` on of which nobody knows how many they
    are; the end of the file if there are none."""
    first = max(start, size - _TAIL_BYTES)
    tail = _at(file, first, size - first)
    for match in _COMMON_CHUNK.finditer(tail):
        at, orders = match.start(), (_LITTLE, _BIG)
        for order in orders if (first + at - start) % 2 == 0 else ():
            end = at
            while end + 8 <= len(tail):
                length = int.from_bytes(tail[end + 4 : end + 8], order)
                end += 8 + length + length % 2
            if end in (len(tail), len(tail) + 1):  # the last one may lack its padding
                return first + at
    return size


def _is_chunk(start: bytes, left: int) -> bool:
    """Whether bytes look like the start of a chunk that ends within the `left` bytes of the file."""
    sizes = int.from_bytes(start[4:8], "little"), int.from_bytes(start[4:8], "big")
    return bool(_CHUNK_NAME.match(start)) and len(start) >= 8 and min(sizes) + 8 <= left + 1


def _wave(file: BinaryIO, size: int, magic: bytes) -> _Samples | None:
    order: Order = "big" if magic == b"RIFX" else "little"
    wide = None  # the size in 64 bits, of RF64 and BW64
    for name, start, length in _chunks(file, size, 12, order):
        if name == b"ds64":
            wide = _Size(start + 8, 8, order)
        if name != b"data":
            continue
        field = _Size(start - 4, 4, order)
        if wide is None:
            return _Samples(start, None if _STREAMED <= length else length, (field,), 2)
        stated = int.from_bytes(_at(file, wide.offset, 8), order) if length == _UNKNOWN else length
        declared = None if stated >= _BOUNDLESS else stated
        other = ((0, b"RF64"),) if magic == b"BW64" else ()
        return _Samples(start, declared, (wide, _Size(field.offset, 4, order, _UNKNOWN)), 2, other=other)
    return None


def _aiff(file: BinaryIO, size: int) -> _Samples | None:
    frames, block = None, 0
    for name, start, length in _chunks(file, size, 12, "big"):
        if name == b"COMM":
            common = _at(file, start, 8)
            channels, bits = int.from_bytes(common[:2], "big"), int.from_bytes(common[6:8], "big")
            frames, block = _Size(start + 2, 4, "big"), channels * -(-bits // 8)
        if name == b"SSND":
            declared = None if _STREAMED <= length else max(0, length - 8)
            counts = ((frames, block),) if frames else ()
            return _Samples(start + 8, declared, (_Size(start - 4, 4, "big", 8),), 2, counts)
    return None


def _wave64(file: BinaryIO, size: int) -> _Samples | None:
    position = 40
    for _ in range(_MOST_CHUNKS):
        if position + 24 > size:
            break
        header = _at(file, position, 24)
        length = int.from_bytes(header[16:], "little")
        if length < 24:
            break
        if header.startswith(b"data"):
            declared = None if length >= _BOUNDLESS else length - 24
            return _Samples(position + 24, declared, (_Size(position + 16, 8, "little", 24),), 8)
        position += -(-length // 8) * 8
    return None


def _caf(file: BinaryIO, size: int) -> _Samples | None:
    position = 8
    for _ in range(_MOST_CHUNKS):
        if position + 12 > size:
            break
        header = _at(file, position, 12)
        length = int.from_bytes(header[4:], "big", signed=True)
        if header.startswith(b"data"):
            declared = None if length < 4 else length - 4
            return _Samples(position + 16, declared, (_Size(position + 4, 8, "big", 4),))
        position += 12 + max(0, length)
    return None


def _au(head: bytes) -> _Samples:
    declared = int.from_bytes(head[8:12], "big")
    start = int.from_bytes(head[4:8], "big")
    return _Samples(start, None if declared == _UNKNOWN else declared, (_Size(8, 4, "big"),))


def _chunks(file: BinaryIO, size: int, position: int, order: Order) -> list[tuple[bytes, int, int]]:
    """Name, start of the content and declared length of each chunk, up to the samples."""
    found: list[tuple[bytes, int, int]] = []
    while position + 8 <= size and len(found) < _MOST_CHUNKS:
        header = _at(file, position, 8)
        name, length = header[:4], int.from_bytes(header[4:], order)
        found.append((name, position + 8, length))
        if name in (b"data", b"SSND"):
            break
        position += 8 + length + length % 2
    return found


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
