"""What the first bytes of an image file tell: its media type, and how large it is."""

from __future__ import annotations

from typing import NamedTuple


class ImageFacts(NamedTuple):
    """`width` and `height` in pixels, `depth` in bits per pixel; 0 where they are not known."""

    mime: str
    width: int = 0
    height: int = 0
    depth: int = 0


_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples of a pixel by colour type (11.2.1 of the PNG specification)
# Markers of JPEG without a length, and those of frames, which tell the size (table B.1 of ITU T.81).
_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_facts(data: bytes) -> ImageFacts | None:
    """Of a PNG, JPEG, GIF, WebP or BMP file; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        if data[12:16] != b"IHDR" or len(data) < 26:
            return ImageFacts("image/png")
        depth = data[24] * _PNG_SAMPLES.get(data[25], 0)
        return ImageFacts("image/png", _big(data[16:20]), _big(data[20:24]), depth)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 11:
        return ImageFacts("image/gif", _little(data[6:8]), _little(data[8:10]), (data[10] & 7) + 1)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFacts("image/webp")
    if data.startswith(b"BM") and len(data) >= 30 and _little(data[14:18]) >= 40:
        height = int.from_bytes(data[22:26], "little", signed=True)
        return ImageFacts("image/bmp", _little(data[18:22]), abs(height), _little(data[28:30]))
    return None


def _jpeg(data: bytes) -> ImageFacts:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _JPEG_BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES and position + 10 <= len(data):
            height, width = _big(data[position + 5 : position + 7]), _big(data[position + 7 : position + 9])
            return ImageFacts("image/jpeg", width, height, data[position + 4] * data[position + 9])
        position += 2 + max(2, _big(data[position + 2 : position + 4]))
    return ImageFacts("image/jpeg")


def _big(field: bytes) -> int:
    return int.from_bytes(field, "big")


def _little(field: bytes) -> int:
    return int.from_bytes(field, "little")
