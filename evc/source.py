"""Where the encoder's samples come from: what all sources offer, and arrays (`evc.sound` has sound files).

A source has `samplerate`, `channels`, `frames`, `subtype`, `tags` and `read(start, count)`, so that the encoder can
pass over the audio several times in bounded memory. Arrays and files have `pictures` and `foreign` chunks too, and
`speakers`, the mask of spec 3.4, whose order their channels have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc import constants
from evc.errors import InputError
from evc.header import Tags
from evc.metadata import Foreign, Picture
from evc.speakers import Layout


class AudioSource(Protocol):
    """What the encoder reads from."""

    samplerate: int
    channels: int
    frames: int
    subtype: str
    tags: Tags

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count) as float32 [channels, count]; raises InputError for NaN or
        infinity."""


def check_format(samplerate: int, channels: int, name: str = "audio") -> None:
    """Raise InputError unless the format can hold audio of this sample rate (Hz) and number of channels."""
    lowest, highest, most = constants.MIN_SAMPLERATE, constants.MAX_SAMPLERATE, constants.MAX_CHANNELS
    if not lowest <= samplerate <= highest:
        outside = f"{samplerate} Hz is outside {lowest} to {highest} Hz"
        raise InputError(f"{name}: {outside}: resample the audio first")
    if not 1 <= channels <= most:
        raise InputError(
            f"{name}: {channels} channels, but 1 to {most} are possible: split it into several files"
        )


class ArraySource:
    """Samples in memory.

    `audio` is [frames] or [frames, channels]: floats with full scale at ±1, or integers of 8 (unsigned), 16
    or 32 bits with full scale at the ends of their range. `speakers` names those of its channels. Raises InputError for
    anything else.
    """

    def __init__(
        self,
        audio: ArrayLike,
        samplerate: int,
        subtype: str = "PCM_16",
        tags: Tags | None = None,
        speakers: Sequence[str] | None = None,
        pictures: Sequence[Picture] = (),
        foreign: Sequence[Foreign] = (),
    ) -> None:
        samples = np.asarray(audio)
        if samples.ndim not in (1, 2):
            raise InputError(
                f"audio has {samples.ndim} dimensions: [frames] or [frames, channels] is expected"
            )
        if not math.isfinite(samplerate) or int(samplerate) != samplerate:
            raise InputError(f"sample rate {samplerate} is not a whole number of Hz")
        if subtype not in constants.SUBTYPES.values():
            raise InputError(f"subtype {subtype!r} is not one of {', '.join(constants.SUBTYPES.values())}")
        self._samples = samples[:, None] if samples.ndim == 1 else samples
        self.samplerate = int(samplerate)
        self.frames, self.channels = self._samples.shape
        self.subtype = subtype
        self.tags = dict(tags or {})
        self.pictures, self.foreign = list(pictures), list(foreign)
        check_format(self.samplerate, self.channels)
        layout = Layout.usual(self.channels) if speakers is None else Layout.of_names(speakers)
        if len(layout.order) != self.channels:
            raise InputError(f"{len(layout.order)} speakers are named for {self.channels} channels")
        self.speakers, self._order = layout.mask, list(layout.order)
        self._offset, self._scale = _scaling(samples.dtype)

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        block = self._samples[start : start + count].T[self._order]
        if self._scale != 1:
            block = (block.astype(np.float64) - self._offset) * self._scale
        return finite(np.ascontiguousarray(block, dtype=np.float32), start, "audio")


def _scaling(dtype: np.dtype[Any]) -> tuple[float, float]:
    """(offset, scale) that bring samples of `dtype` to ±1."""
    if dtype.kind == "f":
        return 0.0, 1.0
    if dtype == np.uint8:
        return 128.0, 2.0**-7
    if dtype in (np.int16, np.int32):
        return 0.0, 2.0 ** (1 - 8 * dtype.itemsize)
    raise InputError(f"audio of type {dtype} cannot be encoded: floats, uint8, int16 or int32 are expected")


def finite(block: NDArray[np.float32], start: int, name: str) -> NDArray[np.float32]:
    """`block` [channels, frames] itself; raises InputError if it holds NaN or infinity."""
    if not np.isfinite(block).all():
        bad = ~np.isfinite(block)
        frame = int(bad.any(axis=0).argmax())
        channel = int(bad[:, frame].argmax())
        value = "NaN" if np.isnan(block[channel, frame]) else "infinite"
        where = f"frame {start + frame} of channel {channel}"
        raise InputError(f"{name}: {where} is {value}: only finite samples can be encoded")
    return block
