"""What libsndfile does not tell or gets wrong when it writes: errors of the file below it, lengths, empty files."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

import soundfile

from evc.format.errors import InputError, OutputError

Result = TypeVar("Result")

_ONE_BYTE = ("PCM_S8", "PCM_U8", "ULAW", "ALAW")
# Subtypes that come in blocks of many frames: the last one is filled up with silence.
_IN_BLOCKS = ("IMA_ADPCM", "MS_ADPCM", "VOX_ADPCM", "NMS_ADPCM", "GSM610", "G721", "G723")
# Of these libsndfile 1.2.2 makes noise, where they are loud or short, or what it cannot read.
BROKEN = ("ALAC_20", "ALAC_24", "ALAC_32", "DWVW_12", "DWVW_16", "DWVW_24")


class CheckedFile:
    """A file that libsndfile writes through. It does so from C, where exceptions are lost: the first one is kept, and
    nothing is written from then on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise what was kept."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raises what went wrong below libsndfile in the block, or else what it finds wrong itself as OutputError."""
        try:
            yield
        except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all frames were written
            self.check()
            raise OutputError(f"the sound file cannot be written ({error})") from error
        self.check()

    def write(self, data: bytes) -> int:
        return self._attempt(lambda: self._file.write(data), 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._attempt(lambda: self._file.seek(offset, whence), 0)

    def tell(self) -> int:
        return self._attempt(self._file.tell, 0)

    def read(self, count: int) -> bytes:
        return self._attempt(lambda: self._file.read(count), b"")

    def _attempt(self, function: Callable[[], Result], otherwise: Result) -> Result:
        if self._error is None:
            try:
                return function()
            except BaseException as error:  # an interruption must not be lost either
                self._error = error
        return otherwise


def finish(file: BinaryIO, format: str, subtype: str, channels: int, frames: int) -> None:
    """Check that what libsndfile has written to `file` are `frames` frames, and mend it where it is known to be wrong.

    Raises InputError where the file would not be read again.
    """
    if format == "RAW" or format == "MP3" and frames:
        return  # raw samples, and many an MP3, are not recognised without a name
    if format == "AIFF" and subtype in _ONE_BYTE and frames * channels % 2:
        _mend_aiff(file, frames, channels)
    file.seek(0)
    try:
        with soundfile.SoundFile(file) as written:
            found = written.frames
            readable = not frames or len(written.read(1)) == 1
    except soundfile.SoundFileError as error:
        found, readable, cause = -1, False, error
    else:
        cause = None
    right = found == frames or found > frames > 0 and subtype.startswith(_IN_BLOCKS)
    if not (right and readable):
        what = "of no length" if not frames else f"of {frames} frames as {subtype}"
        raise InputError(f"{format} cannot hold a sound {what}: choose another format, such as WAV") from cause
    file.seek(0, io.SEEK_END)


def _mend_aiff(file: BinaryIO, frames: int, channels: int) -> None:
    """libsndfile counts the byte that fills up an odd number of bytes of samples as one more of them."""
    size = file.seek(0, io.SEEK_END)
    at = 12
    while at + 8 <= size:
        file.seek(at)
        kind, length = file.read(4), int.from_bytes(file.read(4), "big")
        if kind == b"COMM":
            file.seek(at + 10)
            file.write(frames.to_bytes(4, "big"))
        elif kind == b"SSND":
            file.seek(at + 4)
            file.write((8 + frames * channels).to_bytes(4, "big"))
        at += 8 + length + length % 2
