"""Where the encoder's samples come from: what all sources offer, and arrays (`evc.sound` has sound files).

A source has `samplerate`, `channels`, `frames`, `subtype`, `tags` and `read(start, count)`, so that the encoder can
pass over the audio several times in bounded memory. Arrays and files have `pictures` and `foreign` chunks too, and
`speakers`, the mask of spec 3.4, whose order their channels have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants
from evc.format.errors import InputError
from evc.format.metadata import Foreign, Picture
from evc.format.speakers import Layout
from evc.format.tags import Tags

Read = Callable[[int, int], NDArray[np.float32]]  # first frame and number of frames to samples [channels, frames]

LOUDEST = 256.0  # times full scale: what is louder has another scale


class AudioSource(Protocol):
    """What the encoder reads from."""

    samplerate: int
    channels: int
    frames: int
    subtype: str
    tags: Tags

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count) as float32 [channels, count]; raises InputError for NaN, infinity, and
        samples beyond `LOUDEST`."""


def padded(read: Read, channels: int, frames: int, start: int, count: int) -> NDArray[np.float32]:
    """Frames [start, start + count) of what has so many `channels` and `frames`, as float32 [channels, count], silence
    outside; `read` is asked only inside."""
    out = np.zeros((channels, count), np.float32)
    first, end = max(start, 0), min(start + count, frames)
    if first < end:
        out[:, first - start : end - start] = read(first, end - first)
    return out


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

    `audio` is [frames] or [frames, channels], in either byte order: floats with full scale at ±1, or integers of 8, 16
    or 32 bits with full scale at the ends of their range, 0 or its middle (unsigned) being silence. `speakers` names
    those of its channels. Raises InputError for anything else.
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
        samples = _array(audio)
        if not hasattr(samplerate, "__float__") or not math.isfinite(samplerate) or int(samplerate) != samplerate:
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
        with np.errstate(over="ignore"):  # is found to be infinite then
            block = np.ascontiguousarray(block, dtype=np.float32)
        return finite(block, start, "audio")


class LoopSource:
    """A source that is a loop, with as much of its start behind its end as the format codes again (spec 10.6). Raises
    InputError if it is empty."""

    def __init__(self, source: AudioSource) -> None:
        if not source.frames:
            raise InputError("a loop without a frame has no end to meet its start")
        self._source = source
        self.samplerate, self.channels, self.subtype = source.samplerate, source.channels, source.subtype
        self.tags = source.tags
        self.frames = source.frames + constants.loop_overlap(self.samplerate)

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count) of the loop, as far as they exist, as float32 [channels, count]."""
        left = max(0, min(count, self.frames - start))
        parts = [self._source.read(0, 0)]
        while left:
            at = start % self._source.frames
            parts.append(self._source.read(at, min(left, self._source.frames - at)))
            start, left = start + parts[-1].shape[1], left - parts[-1].shape[1]
        return np.concatenate(parts, axis=1)


def _array(audio: ArrayLike) -> NDArray[Any]:
    """`audio` as an array of one or two dimensions. Raises InputError for others, and for [channels, frames]."""
    try:
        samples = np.asarray(audio)
    except ValueError as error:
        raise InputError("audio is no array: [frames] or [frames, channels] is expected") from error
    if samples.ndim not in (1, 2):
        raise InputError(f"audio has {samples.ndim} dimensions: [frames] or [frames, channels] is expected")
    if samples.ndim == 2 and samples.shape[0] <= constants.MAX_CHANNELS < samples.shape[1]:
        shape = "[{}, {}]".format(*samples.shape)
        raise InputError(f"audio is {shape}, but [frames, channels] is expected: transpose it, as by audio.T")
    return samples


def _scaling(dtype: np.dtype[Any]) -> tuple[float, float]:
    """(offset, scale) that bring samples of `dtype` to ±1."""
    bits = 8 * dtype.itemsize
    if dtype.kind == "f":
        return 0.0, 1.0
    if dtype.kind in "iu" and bits <= 32:
        return 2.0 ** (bits - 1) if dtype.kind == "u" else 0.0, 2.0 ** (1 - bits)
    raise InputError(f"audio of type {dtype} cannot be encoded: floats, or integers of 8, 16 or 32 bits, are expected")


def finite(block: NDArray[np.float32], start: int, name: str) -> NDArray[np.float32]:
    """`block` [channels, frames] itself; raises InputError if it holds NaN, infinity, or what is too loud to be sound
    with full scale at ±1."""
    if block.size and not (block.min() >= -LOUDEST and block.max() <= LOUDEST):  # NaN is neither
        bad = ~(np.abs(block) <= LOUDEST)
        frame = int(bad.any(axis=0).argmax())
        channel = int(bad[:, frame].argmax())
        value = float(block[channel, frame])
        where = f"{name}: frame {start + frame} of channel {channel} is"
        if math.isfinite(value):
            raise InputError(f"{where} {value:.3g} times full scale: scale the audio down to {LOUDEST:g} at most")
        raise InputError(f"{where} {'NaN' if math.isnan(value) else 'infinite'}: only finite samples can be encoded")
    return block
