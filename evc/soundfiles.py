"""Writing decoded audio as WAV, FLAC or another format that libsndfile writes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import EvcWarning, InputError
from evc.format.metadata import Metadata
from evc.format.sharing import check_file
from evc.format.speakers import FLAC_ORDER, MASK_TAG, VORBIS_ORDER, Layout, codes_of, order_for, tag_of, usual_mask
from evc.samples import stored
from evc.sound.embed import embed, library_tags
from evc.soundfile_checks import BROKEN, CheckedFile, finish
from evc.streaming import PathOrFile

_EXTENSIONS = {"AIF": "AIFF", "OGA": "OGG", "WAVE": "WAV"}
_OPUS_RATES = (8000, 12_000, 16_000, 24_000, 48_000)  # Hz
_STATING_SPEAKERS = ("WAV", "WAVEX", "RF64", "CAF", "AIFF")
LOOPING = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "OPUS", "MP3")  # have a place for loop points
_SET_CHANNEL_MAP = 0x1101  # SFC_SET_CHANNEL_MAP_INFO of sndfile.h
_WAV_LIMIT = 0xFFFF0000  # bytes of samples beyond which WAV needs its 64-bit form
# What holds a subtype's samples best where a format lacks it.
_SUBSTITUTES = {
    "PCM_U8": ("PCM_S8", "PCM_16"),
    "PCM_24": ("PCM_16",),
    "PCM_32": ("PCM_24", "PCM_16"),
    "FLOAT": ("PCM_24", "PCM_16"),
    "DOUBLE": ("FLOAT", "PCM_24", "PCM_16"),
}


def output_format(target: PathOrFile) -> str:
    """libsndfile's name for the format that the extension of `target` asks for, or OPUS, which to libsndfile is a
    subtype; WAV for an open file. Raises InputError for an extension that stands for none."""
    check_file(target)
    if not isinstance(target, (str, os.PathLike)):
        return "WAV"
    extension = os.path.splitext(os.fspath(target))[1][1:].upper()
    format = _EXTENSIONS.get(extension, extension)
    if format == "OPUS" and not soundfile.check_format("OGG", "OPUS"):
        raise InputError(f"{os.fspath(target)}: the installed libsndfile cannot write Opus: choose .ogg for Vorbis")
    if format not in (*soundfile.available_formats(), "OPUS"):
        raise InputError(
            f"{os.fspath(target)}: the extension is not that of a sound file, as .wav and .flac are"
        )
    return format


class SoundWriter:
    """Writes float32 blocks [frames, channels] to `file`, rounded and clipped to `subtype`. A context
    manager.

    `file` is readable and seekable, at its start; `frames` is the length to come; `metadata` comes into the finished
    file, and an EvcWarning tells what its format cannot hold. `speakers` are those of the channels (spec 3.4), which
    the file gets in the order of its format. Raises InputError if the format cannot hold the audio, which in a few
    formats only turns out at the end, and OutputError if the file cannot be written.
    """

    def __init__(
        self,
        file: BinaryIO,
        format: str,
        subtype: str,
        samplerate: int,
        channels: int,
        frames: int,
        metadata: Metadata,
        speakers: Sequence[str] = (),
    ) -> None:
        self.subtype = subtype
        self._order = _channel_order(format, channels, speakers)
        if format == "WAV" and speakers and Layout.of_names(speakers).mask != usual_mask(channels):
            format = "WAVEX"
        added = sum(len(chunk.data) + 10 for chunk in metadata.foreign) + c.MAX_TAGS_BYTES
        if format in ("WAV", "WAVEX") and frames * channels * 8 + added > _WAV_LIMIT:
            format = "RF64"
        if format == "SD2":  # which libsndfile would leave in the working folder
            raise InputError("SD2 keeps half of its header in a second file: choose another format")
        if subtype == "OPUS" and samplerate not in _OPUS_RATES:
            rates = ", ".join(map(str, _OPUS_RATES))
            raise InputError(f"Opus has no {samplerate} Hz, only {rates}: choose another format")
        self._target = CheckedFile(file)
        self._finish = partial(finish, file, format, subtype, channels)
        self._frames = 0
        container = "OGG" if format == "OPUS" else format
        try:
            self._file = soundfile.SoundFile(self._target, "w", samplerate, channels, self.subtype, format=container)
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            self._target.check()
            raise InputError(f"{format} cannot hold {channels} channels at {samplerate} Hz") from error
        if speakers and self._file.format in _STATING_SPEAKERS and not self._state(speakers) and channels > 2:
            _warn_of(format, speakers)
        for name, value in library_tags(format, metadata.tags).items():
            with suppress(soundfile.SoundFileError):
                setattr(self._file, name, value)
        if format == "FLAC" and (mask := tag_of(speakers, FLAC_ORDER[channels])):
            metadata = replace(metadata, tags=metadata.tags | {MASK_TAG: mask})
        self._output, self._format, self._metadata = file, container, metadata

    def write(self, block: NDArray[np.float32]) -> None:
        samples: NDArray[Any] = stored(block if self._order is None else block[:, self._order], self.subtype)
        with self._target.checked():
            self._file.write(samples)
        self._frames += len(block)

    def _state(self, speakers: Sequence[str]) -> bool:
        """Let the file say which speakers it has; whether it can."""
        codes = soundfile._ffi.new("int[]", codes_of(speakers))
        return bool(
            soundfile._snd.sf_command(self._file._file, _SET_CHANNEL_MAP, codes, soundfile._ffi.sizeof(codes))
        )

    def __enter__(self) -> SoundWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(Exception):  # the first error tells
                self._file.close()
            return
        samplerate = self._file.samplerate
        with self._target.checked():
            self._file.close()
        self._finish(self._frames)
        try:
            left = embed(self._output, self._format, self._metadata, self._frames, samplerate)
        except ValueError as error:
            left = f"gets no tags ({error})"
        if left:
            warnings.warn(f"{self._format} {left}", EvcWarning, stacklevel=2)


def read_span(path: os.PathLike[str], start: int, frames: int) -> NDArray[np.float32]:
    """Frames [start, start + frames) of a sound file that was written here: float32 [frames, channels]."""
    found, _ = soundfile.read(path, frames, start, dtype="float32", always_2d=True)
    return np.asarray(found, np.float32)


def _channel_order(format: str, channels: int, speakers: Sequence[str]) -> list[int] | None:
    """For each channel of a file of a format with an order of its own, that of the audio; None where they are the same,
    or the format has not these speakers, which is warned of."""
    if channels < 3:
        return None
    fixed = {"FLAC": FLAC_ORDER, "OGG": VORBIS_ORDER, "OPUS": VORBIS_ORDER}.get(format)
    order = order_for(speakers, fixed[channels]) if fixed else None
    stated = format in _STATING_SPEAKERS or format == "FLAC" and all(speakers)  # FLAC by a tag
    if order is None and speakers and not stated:
        _warn_of(format, speakers)
    return None if order is None else list(order)


def _warn_of(format: str, speakers: Sequence[str]) -> None:
    names = " ".join(name or "-" for name in speakers)
    warnings.warn(f"{format} cannot say that the channels are {names}: they keep their order", EvcWarning, stacklevel=4)


def chosen_subtype(format: str, subtype: str, wanted: str | None) -> str:
    """The subtype to write: `wanted`, which `format` must have (else InputError), or by default what it has
    nearest to `subtype`."""
    if format == "OPUS" and wanted in (None, "OPUS"):
        return "OPUS"
    if wanted in BROKEN:
        raise InputError(f"libsndfile writes {wanted} with errors: choose another subtype")
    candidates = (
        (wanted,) if wanted else (subtype, *_SUBSTITUTES.get(subtype, ()), soundfile.default_subtype(format))
    )
    for candidate in candidates:
        if format != "OPUS" and soundfile.check_format(format, candidate):
            return candidate
    raise InputError(f"{format} files have no subtype {wanted or subtype}")
