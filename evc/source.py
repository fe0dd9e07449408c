"""Where the encoder's samples come from: an array, or any sound file that libsndfile reads.

Both sources have `samplerate`, `channels`, `frames`, `subtype`, `tags` and `read(start, count)`, so that
the encoder can pass over the audio several times in bounded memory.
"""

from __future__ import annotations

import math
import os
import re
import threading
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc import constants
from evc.errors import InputError
from evc.header import Tags
from evc.streaming import PathOrFile, display_name, seekable_input

LOUDEST = 256.0  # times full scale: what is louder has another scale
_LIBRARY_SUFFIX = re.compile(r" \(libsndfile-[^)]*\)$")


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
    or 32 bits with full scale at the ends of their range, 0 or its middle (unsigned) being silence. Raises InputError
    for anything else.
    """

    def __init__(
        self, audio: ArrayLike, samplerate: int, subtype: str = "PCM_16", tags: Tags | None = None
    ) -> None:
        samples = _array(audio)
        if not math.isfinite(samplerate) or int(samplerate) != samplerate:
            raise InputError(f"sample rate {samplerate} is not a whole number of Hz")
        if subtype not in constants.SUBTYPES.values():
            raise InputError(f"subtype {subtype!r} is not one of {', '.join(constants.SUBTYPES.values())}")
        self._samples = samples[:, None] if samples.ndim == 1 else samples
        self.samplerate = int(samplerate)
        self.frames, self.channels = self._samples.shape
        self.subtype = subtype
        self.tags = dict(tags or {})
        check_format(self.samplerate, self.channels)
        self._offset, self._scale = _scaling(samples.dtype)

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        block = self._samples[start : start + count].T
        if self._scale != 1:
            block = (block.astype(np.float64) - self._offset) * self._scale
        with np.errstate(over="ignore"):  # is found to be infinite then
            block = np.ascontiguousarray(block, dtype=np.float32)
        return _finite(block, start, "audio")


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


class FileSource:
    """A sound file, opened by path or from a binary file. A context manager; threads may read at the same
    time.

    Raises InputError if libsndfile cannot read it or the format cannot hold it.
    """

    def __init__(self, file: PathOrFile) -> None:
        self._name = display_name(file)
        self._lock = threading.Lock()
        self._stack = ExitStack()
        try:
            self._file = self._open(file)
            self.samplerate, self.channels = self._file.samplerate, self._file.channels
            check_format(self.samplerate, self.channels, self._name)
        except BaseException:
            self.close()
            raise
        self.frames: int = self._file.frames
        self.subtype = _nearest_subtype(self._file.subtype)
        texts = self._file.copy_metadata().items()
        self.tags: Tags = {name: _LIBRARY_SUFFIX.sub("", text) for name, text in texts if text}

    def _open(self, file: PathOrFile) -> Any:
        import soundfile

        readable: PathOrFile | bytes = file
        if not isinstance(file, (str, os.PathLike)) or not os.path.isfile(file):
            readable = self._stack.enter_context(seekable_input(file))
        elif os.name == "posix":
            readable = os.fsencode(file)  # names need not be text there
        try:
            return self._stack.enter_context(soundfile.SoundFile(readable))
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            reason = _reason(error)
            raise InputError(f"{self._name}: not a sound file that can be read ({reason})") from error

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        import soundfile

        count = max(0, min(count, self.frames - start))
        try:
            with self._lock:
                if self._file.tell() != start:
                    self._file.seek(start)
                block = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise InputError(f"{self._name}: damaged near frame {start} ({_reason(error)})") from error
        if len(block) < count:
            raise InputError(f"{self._name}: ends at frame {start + len(block)}, but declares {self.frames}")
        return _finite(np.ascontiguousarray(block.T), start, self._name)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nearest_subtype(subtype: str) -> str:
    """The subtype of the format that holds what a file of libsndfile's `subtype` can hold."""
    if subtype in constants.SUBTYPES.values():
        return subtype
    return {"PCM_S8": "PCM_U8", "ALAC_20": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_32"}.get(
        subtype, "PCM_16"
    )


def _finite(block: NDArray[np.float32], start: int, name: str) -> NDArray[np.float32]:
    """`block` [channels, frames] itself; raises InputError if it holds NaN, infinity, or what is too loud to be sound
    with full scale at ±1."""
    bad = ~(np.abs(block) <= LOUDEST)  # of NaN too
    if bad.any():
        frame = int(bad.any(axis=0).argmax())
        channel = int(bad[:, frame].argmax())
        value = float(block[channel, frame])
        where = f"{name}: frame {start + frame} of channel {channel} is"
        if math.isfinite(value):
            raise InputError(f"{where} {value:.3g} times full scale: scale the audio down to {LOUDEST:g} at most")
        raise InputError(f"{where} {'NaN' if math.isnan(value) else 'infinite'}: only finite samples can be encoded")
    return block


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
