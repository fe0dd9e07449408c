"""MPEG audio, layer III (ISO/IEC 11172-3 and 13818-3): its frames, counted where no header does."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple, cast

from evc.sound.flac import id3_bytes

_WINDOW = 1 << 16
_IN_A_ROW = 3  # frames that follow upon each other: fewer are chance
_BITRATES = (  # kbit/s by code, of version 1 and of versions 2 and 2.5
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version code
# From a frame's first byte to what a header of the whole file begins with: by version 1 or not, mono or not.
_MARK_AT = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}
_MARKS = (b"Xing", b"Info")
_VBRI_AT = 36
_HAS_FRAMES = 1  # flag of such a header
_DELAYS_AT = 21  # offset of the samples to drop in what LAME adds to it
_DECODER_DELAY = 529


class Frame(NamedTuple):
    """What a frame's first four bytes tell: `kind` is what all frames of a stream share."""

    length: int
    samples: int
    kind: bytes


class Stream(NamedTuple):
    """The frames of a file: where the first is, how many samples they have, and whether a header counts them."""

    start: int
    samples: int
    counted: bool
    header: bytes  # frames to put before the first, which count them


def mpeg_stream(file: BinaryIO, start: int, end: int) -> Stream | None:
    """The frames in the bytes [start, end) of a file; None where there are none."""
    file.seek(start)
    first = _next(file, start + id3_bytes(file.read(10)), end)
    if first is None:
        return None
    position, (_, samples, kind) = first
    file.seek(position)
    head = file.read(_VBRI_AT + 4)
    mark = _MARK_AT[bool(kind[1] & 0x08), head[3] >> 6 == 3]
    if head[mark : mark + 4] in _MARKS or head[_VBRI_AT : _VBRI_AT + 4] == b"VBRI":
        return Stream(position, 0, True, b"")
    count = _count(file, position, end, kind)
    return Stream(position, count * samples, False, _header(head, mark, count))


def coded_samples(file: BinaryIO, start: int, end: int) -> int:
    """How many samples all frames in the bytes [start, end) of a file have, whatever a header says, and whatever lies
    between them."""
    file.seek(start)
    first = _next(file, start + id3_bytes(file.read(10)), end)
    if first is None:
        return 0
    position, (_, samples, kind) = first
    return samples * _count(file, position, end, kind)


def _count(file: BinaryIO, at: int, end: int, kind: bytes) -> int:
    """Whole frames of a kind from the one at `at` on."""
    count = 0
    while at + 4 <= end:
        file.seek(at)
        frame = _frame(file.read(4))
        if frame is None or frame.kind != kind:
            found = _next(file, at, end, kind)
            if found is None:
                break
            at, frame = found
        if at + frame.length > end:
            break
        count += 1
        at += frame.length
    return count


def _header(head: bytes, mark: int, count: int) -> bytes:
    """What counts `count` frames like the one that begins with `head`, so that a decoder gives all their samples: it
    drops the first `_DECODER_DELAY` at least, so a frame of silence takes their place."""
    header = bytes([head[0], head[1] | 1, 0x90 | head[2] & 0x0C, head[3]])  # no checksum, no padding, code 9 is ample
    frame = cast(Frame, _frame(header))
    dropped = frame.samples - _DECODER_DELAY
    delays = (dropped << 12).to_bytes(3, "big")  # at the beginning, and none at the end
    counts = _HAS_FRAMES.to_bytes(4, "big") + (count + 1).to_bytes(4, "big")
    content = header.ljust(mark, b"\0") + _MARKS[1] + counts + b"LAME".ljust(_DELAYS_AT, b"\0") + delays
    return content.ljust(frame.length, b"\0") + header.ljust(frame.length, b"\0")


def _next(file: BinaryIO, position: int, end: int, kind: bytes | None = None) -> tuple[int, Frame] | None:
    """The first frame from `position` on, of a `kind` if that is given, that others follow."""
    while position + 4 <= end:
        file.seek(position)
        window = file.read(min(_WINDOW, end - position))
        at = window.find(b"\xff")
        while at >= 0:
            frame = _frame(window[at : at + 4])
            if frame and (kind is None or frame.kind == kind) and _followed(file, position + at, end, frame.kind):
                return position + at, frame
            at = window.find(b"\xff", at + 1)
        position += max(1, len(window) - 3)
    return None


def _followed(file: BinaryIO, position: int, end: int, kind: bytes) -> bool:
    """Whether frames of a kind follow upon each other, or reach the end."""
    for _ in range(_IN_A_ROW):
        if position >= end:
            return True
        file.seek(position)
        frame = _frame(file.read(4))
        if frame is None or frame.kind != kind:
            return False
        position += frame.length
    return True


def _frame(header: bytes) -> Frame | None:
    """What four bytes tell, if they begin a frame of layer III with a bitrate that is stated."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    first = version == 3
    samples = 1152 if first else 576
    bits = _BITRATES[0 if first else 1][bitrate] * 1000
    length = samples // 8 * bits // _RATES[version][rate] + (header[2] >> 1 & 1)
    return Frame(length, samples, bytes([0xFF, header[1] & 0xFE, header[2] & 0x0C]))
