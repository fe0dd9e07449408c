"""Writing decoded audio as WAV, FLAC or another format that libsndfile writes."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from evc.errors import InputError
from evc.header import Tags
from evc.samples import stored
from evc.streaming import PathOrFile

_EXTENSIONS = {"AIF": "AIFF", "OGA": "OGG", "OPUS": "OGG", "WAVE": "WAV"}
_WAV_LIMIT = 0xFFFF0000  # bytes of samples beyond which WAV needs its 64-bit form
# What holds a subtype's samples best where a format lacks it.
_SUBSTITUTES = {
    "PCM_U8": ("PCM_S8", "PCM_16"),
    "PCM_24": ("PCM_16",),
    "PCM_32": ("PCM_24", "PCM_16"),
    "FLOAT": ("PCM_24", "PCM_16"),
    "DOUBLE": ("FLOAT", "PCM_24", "PCM_16"),
}
# Tags that libsndfile knows by name.
_TAGS = (
    "title",
    "copyright",
    "software",
    "artist",
    "comment",
    "date",
    "album",
    "license",
    "tracknumber",
    "genre",
)


def output_format(target: PathOrFile) -> str:
    """libsndfile's name for the format that the extension of `target` asks for; WAV for an open file. Raises
    InputError for an extension that stands for none."""
    if not isinstance(target, (str, os.PathLike)):
        return "WAV"
    extension = os.path.splitext(os.fspath(target))[1][1:].upper()
    format = _EXTENSIONS.get(extension, extension)
    if format not in soundfile.available_formats():
        raise InputError(
            f"{os.fspath(target)}: the extension is not that of a sound file, as .wav and .flac are"
        )
    return format


class SoundWriter:
    """Writes float32 blocks [frames, channels] to `file`, rounded and clipped to `subtype`. A context
    manager.

    `frames` is the length to come. Raises InputError if the format cannot hold the audio.
    """

    def __init__(
        self,
        file: BinaryIO,
        format: str,
        subtype: str,
        samplerate: int,
        channels: int,
        frames: int,
        tags: Tags,
    ) -> None:
        self.subtype = subtype
        if format == "WAV" and frames * channels * 8 > _WAV_LIMIT:
            format = "RF64"
        try:
            self._file = soundfile.SoundFile(file, "w", samplerate, channels, self.subtype, format=format)
        except (soundfile.SoundFileError, TypeError, ValueError) as error:
            raise InputError(f"{format} cannot hold {channels} channels at {samplerate} Hz") from error
        for name in _TAGS:
            if value := tags.get(name):
                with suppress(soundfile.SoundFileError):  # not every format has every tag
                    setattr(self._file, name, value if isinstance(value, str) else "; ".join(value))

    def write(self, block: NDArray[np.float32]) -> None:
        samples: NDArray[Any] = stored(block, self.subtype)
        try:
            self._file.write(samples)
        except soundfile.SoundFileError as error:
            raise InputError(f"the sound file cannot be written ({error})") from error

    def __enter__(self) -> SoundWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def chosen_subtype(format: str, subtype: str, wanted: str | None) -> str:
    """The subtype to write: `wanted`, which `format` must have (else InputError), or by default what it has
    nearest to `subtype`."""
    candidates = (
        (wanted,) if wanted else (subtype, *_SUBSTITUTES.get(subtype, ()), soundfile.default_subtype(format))
    )
    for candidate in candidates:
        if soundfile.check_format(format, candidate):
            return candidate
    raise InputError(f"{format} files have no subtype {wanted or subtype}")
