"""Sound files read from front to back: what a decoder of one stream offers, and libsndfile as one."""

from __future__ import annotations

import io
import os
import re
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants
from evc.format.errors import InputError
from evc.format.speakers import FLAC_ORDER, VORBIS_ORDER, Layout, layout_of_codes
from evc.format.tags import Tags
from evc.streaming import PathOrFile

# Formats whose decoders seek badly: Vorbis gives wrong samples behind a seek, cut FLAC none at all.
_SEQUENTIAL = ("FLAC", "OGG", "MP3")
_UNKNOWN_FRAMES = 1 << 62  # what libsndfile says of a FLAC without a length is beyond
LIBRARY_SUFFIX = re.compile(r" \(libsndfile-[^)]*\)$")  # which libsndfile adds to a text that it writes
_UNRECOGNISED = "Format not recognised"
_NOT_REGULAR = "not a regular file"
_GET_CHANNEL_MAP = 0x1100  # SFC_GET_CHANNEL_MAP_INFO of sndfile.h
_OPUS_FAMILY_AT = 18  # byte of OpusHead with the mapping family (5.1 of RFC 7845)


class EndsInDamage(Exception):
    """A stream cannot be decoded further; the message says why."""


class Decoder(Protocol):
    """One stream of a sound file.

    frames      by its header, give or take `tolerance`; None where that leaves it open
    exact       whether that is true, and `seek` leads to the very samples; else the stream is read from the front only
    subtype     one of the format's, the nearest to the stream's
    layout      of its speakers
    """

    samplerate: int
    channels: int
    frames: int | None
    tolerance: int
    exact: bool
    subtype: str
    tags: Tags
    layout: Layout

    def read(self, count: int) -> NDArray[np.float32]:
        """The next frames, [at most count, channels], none at the end. Raises EndsInDamage."""

    def seek(self, frame: int) -> None:
        """Go on at a frame; one that is not exact can only go to frame 0."""

    def left(self) -> int:
        """Bytes of the file that were not looked at yet, 0 where that is not known."""

    def complaint(self) -> str:
        """What the decoder said of damage that it passed over, "" where it said nothing."""

    def close(self) -> None: ...


class LibsndfileDecoder:
    """A `Decoder` for what libsndfile reads, from a path or a binary file. Raises InputError where it cannot."""

    tolerance = 0

    def __init__(self, source: PathOrFile) -> None:
        self._source = source
        self._file = self._open()
        file = self._file
        self.format: str = file.format
        self.exact = file.format not in _SEQUENTIAL
        self.samplerate, self.channels = file.samplerate, file.channels
        self.frames: int | None = file.frames if file.frames < _UNKNOWN_FRAMES else None
        self.subtype = _nearest_subtype(file.subtype)
        texts = file.copy_metadata().items()
        self.tags: Tags = {name: LIBRARY_SUFFIX.sub("", text) for name, text in texts if text}
        self.layout = self._layout()

    def _open(self) -> Any:
        import soundfile

        class Forward(soundfile.SoundFile):
            """python-soundfile seeks after each read of a seekable file, which cut and piped FLAC files cannot."""

            def seekable(self) -> bool:
                return False

        source: Any = self._source
        if not isinstance(source, (str, os.PathLike)):
            source.seek(0)
        try:
            return Forward(_encoded(source) if isinstance(source, (str, os.PathLike)) else source)
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            reason = _reason(error)
            if _NOT_REGULAR in reason and isinstance(source, (str, bytes)) and os.path.isfile(source):
                reason = _UNRECOGNISED  # so libsndfile says of whatever is no MP3 under such a name
            raise InputError(f"not a sound file that can be read ({reason})") from error

    def read(self, count: int) -> NDArray[np.float32]:
        import soundfile

        try:
            block: NDArray[np.float32] = self._file.read(count, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise EndsInDamage(_reason(error)) from error
        return block

    def seek(self, frame: int) -> None:
        if self.exact:
            self._file.seek(frame)
        elif frame == 0:
            self._file.close()
            self._file = self._open()
        else:
            raise io.UnsupportedOperation("this stream is read from the front")

    def left(self) -> int:
        if isinstance(self._source, (str, os.PathLike)):
            return 0
        before = self._source.tell()
        after = self._source.seek(0, io.SEEK_END) - before
        self._source.seek(before)
        return after

    def complaint(self) -> str:
        return ""

    def close(self) -> None:
        self._file.close()

    def _layout(self) -> Layout:
        """Of the speakers, as the file states it or its format fixes it."""
        if self.format in ("WAVEX", "RF64", "W64", "CAF", "AIFF"):
            told = layout_of_codes(self._channel_codes())
            if told.mask.bit_count() == self.channels or told.mask and self.format != "AIFF":
                return told
            return Layout.usual(self.channels)  # of AIFF libsndfile may tell what it never read
        if self.channels < 3 or self.channels > constants.MAX_CHANNELS:
            return Layout.usual(self.channels)
        if self.format == "FLAC":
            return Layout.of_names(FLAC_ORDER[self.channels])
        if self.format == "OGG":
            ordered = self._vorbis_order()
            return Layout.of_names(VORBIS_ORDER[self.channels]) if ordered else Layout.unknown(self.channels)
        return Layout.unknown(self.channels)

    def _channel_codes(self) -> list[int]:
        """libsndfile's number for the speaker of each channel (SF_CHANNEL_MAP_* of sndfile.h), 0 where unknown."""
        from soundfile import _ffi, _snd

        codes = _ffi.new("int[]", self.channels)
        known = _snd.sf_command(self._file._file, _GET_CHANNEL_MAP, codes, _ffi.sizeof(codes))
        return list(codes) if known else [0] * self.channels

    def _vorbis_order(self) -> bool:
        """Whether an Ogg stream has the order of Vorbis: an Opus stream says so (5.1.1 of RFC 7845)."""
        if self._file.subtype != "OPUS":
            return True
        head = _first_bytes(self._source, 256)
        start = head.find(b"OpusHead")
        return start >= 0 and head[start + _OPUS_FAMILY_AT : start + _OPUS_FAMILY_AT + 1] == b"\x01"


def _encoded(path: str | os.PathLike[str]) -> str | bytes:
    """A path as libsndfile takes it: names need not be text everywhere."""
    return os.fsencode(path) if os.name == "posix" else os.fspath(path)


def _first_bytes(source: PathOrFile, count: int) -> bytes:
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return file.read(count)
    before = source.tell()
    source.seek(0)
    data = source.read(count)
    source.seek(before)
    return data


def _nearest_subtype(subtype: str) -> str:
    """The subtype of the format that holds what a file of libsndfile's `subtype` can hold."""
    if subtype in constants.SUBTYPES.values():
        return subtype
    return {"PCM_S8": "PCM_U8", "ALAC_20": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_32"}.get(
        subtype, "PCM_16"
    )


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
