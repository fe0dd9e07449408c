"""Levels as pictures: small image files that a page can hold."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

MIME = "image/webp"
MOST_PIXELS = 40_000_000  # of a picture out of a file
# From nothing to the loudest. Lightness rises all the way, so that the order is seen without hue as well.
RAMP = ((8, 10, 26), (28, 32, 92), (58, 60, 140), (110, 84, 140), (176, 112, 112), (228, 160, 84), (252, 236, 150))
_SHADES = 256
_COARSE_QUALITY, _QUALITY, _FINE_QUALITY = 35, 60, 85


def shades(levels: NDArray[np.floating], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Colours uint8 [rows, columns, 3] of levels [rows, columns], the first row below; what is not a number is
    drawn as nothing."""
    place = np.nan_to_num(np.clip((levels - scale[0]) / (scale[1] - scale[0]), 0, 1))
    return _ramp()[(place[::-1] * (_SHADES - 1)).round().astype(int)]


def picture(levels: NDArray[np.floating], scale: tuple[float, float], exact: bool = False) -> bytes:
    """Levels [rows, columns], the lowest row first, as an image file; `exact`: cell by cell, without loss."""
    return encoded(shades(levels, scale), exact)


def encoded(pixels: NDArray[np.uint8], exact: bool = False, quality: int = _QUALITY) -> bytes:
    """The image file of pixels [rows, columns, 3]."""
    from PIL import Image

    return _written(Image.fromarray(np.ascontiguousarray(pixels)), exact, quality)


def film(frames: Sequence[NDArray[np.floating]], scale: tuple[float, float]) -> bytes:
    """Frames of levels [rows, columns] one below the other, as one image file."""
    return encoded(np.concatenate([shades(frame, scale) for frame in frames]), quality=_COARSE_QUALITY)


def enlarged(levels: NDArray[np.floating], rows: int, columns: int) -> NDArray[np.floating]:
    """Every cell as so many rows and columns."""
    return np.repeat(np.repeat(levels, rows, axis=0), columns, axis=1)


def thumbnail(data: bytes, size: int) -> bytes:
    """A picture out of a file, drawn anew, with sides of `size` at most. Raises InputError for what is no picture, is
    too large, or cannot be read."""
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "GIF", "WEBP", "BMP")) as found:
                if found.width * found.height > MOST_PIXELS:
                    raise InputError(f"a picture of {found.width} x {found.height} is too large")
                found.draft("RGB", (2 * size, 2 * size))  # JPEG files are read smaller
                drawn = found.convert("RGB")
                drawn.thumbnail((size, size))
                return _written(drawn, quality=_FINE_QUALITY)
    except InputError:
        raise
    except Exception as error:  # whatever the decoders of damaged files raise
        raise InputError(f"a picture cannot be read: {error}") from error


def _written(image: Image, exact: bool = False, quality: int = _QUALITY) -> bytes:
    target = io.BytesIO()
    image.save(target, "WEBP", lossless=exact, quality=100 if exact else quality, method=4)
    return target.getvalue()


def _ramp() -> NDArray[np.uint8]:
    """The colours of all shades [shades, 3]."""
    at = np.linspace(0, len(RAMP) - 1, _SHADES)
    anchors = np.array(RAMP, float)
    mixed = [np.interp(at, np.arange(len(RAMP)), anchors[:, channel]) for channel in range(3)]
    return np.stack(mixed, axis=1).round().astype(np.uint8)
