"""Where the streams lie that were joined to one file: chained Ogg, and FLAC or MP3 files one behind the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from evc.sound.flac import flac_start, id3_bytes, metadata

_WINDOW = 1 << 20
_MARGIN = 64  # bytes before and behind a match that are looked at

_OGG_HEADER_BYTES = 27
_BEGINS, _ENDS = 0x02, 0x04  # flags of an Ogg page: first, last of its stream

# The marker of a FLAC stream with the header of STREAMINFO, which is always first and 34 bytes long.
_FLAC_START = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
# What stands in the first frame of an MP3 file that knows its length.
_MP3_START = re.compile(rb"Xing|Info|VBRI")
# From the frame's first byte to that mark: behind the side information, by version and channels, and for VBRI.
_MP3_SIDE = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}
_VBRI_AT = 36

Span = tuple[int, int]


def stream_spans(file: BinaryIO, size: int) -> list[Span]:
    """Bytes [start, end) of each stream of a file of `size` bytes, all of it together."""
    file.seek(0)
    head = file.read(10)
    if head.startswith(b"OggS"):
        return _spans(_ogg_starts(file, size), size)
    if flac_start(file) is not None:
        return _spans([position for position, _ in _matches(file, size, _FLAC_START)], size)
    return _spans(list(_mp3_starts(file, size, head)), size)


def is_cut_off(file: BinaryIO, span: Span) -> bool:
    """Whether the bytes of `span` are an Ogg stream without its last page."""
    flags = [flags for _, flags in _pages(file, *span)]
    return bool(flags) and not flags[-1] & _ENDS


def holds_no_sound(file: BinaryIO, span: Span) -> bool:
    """Whether the bytes of `span` are a whole stream without any sound: Ogg with its last page, FLAC that ends with its
    header."""
    start, end = span
    file.seek(start)
    if file.read(4) == b"OggS":
        return not is_cut_off(file, span)
    marker = flac_start(file, start)
    if marker is None:
        return False
    *_, last = metadata(file, marker, end)
    return last.start + last.length == end


def _spans(starts: list[int], size: int) -> list[Span]:
    """From start to start; what comes before the second belongs to the first."""
    edges = [0, *starts[1:], size]
    return list(zip(edges[:-1], edges[1:], strict=True))


def _ogg_starts(file: BinaryIO, size: int) -> list[int]:
    """First pages of links of a chain: those that begin a stream behind one that does not (3 of RFC 3533)."""
    starts, before = [], 0
    for position, flags in _pages(file, 0, size):
        if flags & _BEGINS and not before & _BEGINS:
            starts.append(position)
        before = flags
    return starts


def _pages(file: BinaryIO, position: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and flags of each Ogg page that follows upon the one before."""
    while position + _OGG_HEADER_BYTES <= end:
        file.seek(position)
        header = file.read(_OGG_HEADER_BYTES + 255)
        if not header.startswith(b"OggS"):
            return
        yield position, header[5]
        segments = header[26]
        position += _OGG_HEADER_BYTES + segments + sum(header[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + segments])


def _mp3_starts(file: BinaryIO, size: int, head: bytes) -> Iterator[int]:
    """The file's own start, unless rubbish is there, and every later frame that begins a file of its own."""
    first = id3_bytes(head)
    file.seek(first)
    if _is_frame(file.read(4)):
        yield first
    for position, window in _matches(file, size, _MP3_START):
        start = _frame_start(window)
        if start is not None and position - start > first + _MARGIN:
            yield position - start


def _frame_start(window: bytes) -> int | None:
    """Bytes from the start of an MPEG frame to the mark in the middle of `window`, if it is where one has it."""
    mark = window[_MARGIN : _MARGIN + 4]
    for distance in {_VBRI_AT} if mark == b"VBRI" else set(_MP3_SIDE.values()):
        header = window[_MARGIN - distance : _MARGIN - distance + 4]
        if not _is_frame(header):
            continue
        version_1, mono = header[1] & 0x18 == 0x18, header[3] >> 6 == 3
        if mark == b"VBRI" or _MP3_SIDE[version_1, mono] == distance:
            return distance
    return None


def _is_frame(header: bytes) -> bool:
    """Whether four bytes start a frame of layer III: eleven bits of one, a version that exists, layer code 1."""
    return len(header) == 4 and header[0] == 0xFF and header[1] & 0xE6 == 0xE2 and header[1] & 0x18 != 0x08


def _matches(file: BinaryIO, size: int, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    """Offset of each match, and the bytes around it: `_MARGIN` before and as many from it on, zeros outside."""
    for start in range(0, size, _WINDOW):
        file.seek(max(0, start - _MARGIN))
        before = b"\0" * _MARGIN if start == 0 else b""
        window = before + file.read(_WINDOW + _MARGIN + (0 if before else _MARGIN)) + b"\0" * _MARGIN
        for match in pattern.finditer(window, _MARGIN, _MARGIN + _WINDOW + 8):
            if match.start() < _MARGIN + _WINDOW:
                yield start + match.start() - _MARGIN, window[match.start() - _MARGIN : match.start() + _MARGIN]
