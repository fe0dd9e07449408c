"""Sound that libsndfile does not read, through the `ffmpeg` command where that is installed: AAC, WavPack, Matroska."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tempfile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.format.speakers import FLAC_ORDER, Layout
from evc.format.tags import Tags
from evc.sound.decoders import EndsInDamage

# Only formats that hold their sound themselves: playlists name other files, and networks.
_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,matroska,webm,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,tak,tta,voc,"
    "w64,wav,wv"
)
_LOCAL = ("-protocol_whitelist", "file,pipe", "-format_whitelist", _FORMATS)
_TIMEOUT = 60  # seconds to look at a file
_PADDING = 0.25  # seconds by which a duration may be off: codecs pad
# ffmpeg's names of layouts, as lists of speakers in its order, which is that of WAVE.
_LAYOUTS = {
    "mono": "FC", "stereo": "FL FR", "2.1": "FL FR LFE", "3.0": "FL FR FC", "3.0(back)": "FL FR BC",
    "3.1": "FL FR FC LFE", "4.0": "FL FR FC BC", "quad": "FL FR BL BR", "quad(side)": "FL FR SL SR",
    "4.1": "FL FR FC LFE BC", "5.0": "FL FR FC BL BR", "5.0(side)": "FL FR FC SL SR", "5.1": "FL FR FC LFE BL BR",
    "5.1(side)": "FL FR FC LFE SL SR", "6.0": "FL FR FC BC SL SR", "6.1": "FL FR FC LFE BC SL SR",
    "6.1(back)": "FL FR FC LFE BL BR BC", "7.0": "FL FR FC BL BR SL SR", "7.1": "FL FR FC LFE BL BR SL SR",
    "hexagonal": "FL FR FC BL BR BC", "octagonal": "FL FR FC BL BR BC SL SR",
}  # fmt: skip
_TAGS = {"album_artist": "albumartist", "encoded_by": "encoded-by"}  # where ffmpeg's name differs from ours
_PAIRS = {"track": ("tracknumber", "tracktotal"), "disc": ("discnumber", "disctotal")}  # "3/12"
# What ffmpeg tells of the file and its streams among the tags.
_TECHNICAL = re.compile(
    r"major_brand|minor_version|compatible_brands|handler_name|vendor_id|creation_time|language|duration|bps(-.*)?|"
    r"number_of_(frames|bytes)(-.*)?|_statistics_.*|timecode"
)


def available() -> bool:
    """Whether the commands are on the path."""
    return shutil.which("ffmpeg") is not None and shutil.which("ffprobe") is not None


class FfmpegDecoder:
    """A `Decoder` for the first audio stream of the file at a path. Raises InputError where ffmpeg finds none."""

    exact = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._url = "file:" + os.fsdecode(path)
        self._process: subprocess.Popen[bytes] | None = None
        self._notes: BinaryIO | None = None
        stream, container = self._probe()
        self.samplerate, self.channels = int(stream.get("sample_rate") or 0), int(stream.get("channels") or 0)
        if not self.samplerate or not self.channels:  # by its name alone taken for a sound file
            raise InputError("ffmpeg finds no sound in it")
        self.subtype = _subtype(stream)
        self.tags = _tags(container.get("tags", {}) | stream.get("tags", {}))
        names = _LAYOUTS.get(stream.get("channel_layout", ""), "").split() or FLAC_ORDER.get(self.channels, ())
        known = len(names) == self.channels and ("channel_layout" in stream or self.channels < 3)
        self.layout = Layout.of_names(names) if known else Layout.unknown(self.channels)
        duration = float(stream.get("duration") or container.get("duration") or 0)
        self.frames: int | None = round(duration * self.samplerate) or None
        self.tolerance = round(_PADDING * self.samplerate)

    def read(self, count: int) -> NDArray[np.float32]:
        if self._process is None:
            self._start()
        process = cast("subprocess.Popen[bytes]", self._process)
        data = cast(BinaryIO, process.stdout).read(4 * self.channels * count)
        frames = len(data) // (4 * self.channels)
        if frames < count and process.wait():
            raise EndsInDamage(self._last_note() or "ffmpeg failed")
        return np.frombuffer(data, "<f4", frames * self.channels).reshape(frames, self.channels)

    def seek(self, frame: int) -> None:
        if frame:
            raise io.UnsupportedOperation("ffmpeg is read from the front")
        self.close()

    def left(self) -> int:
        return 0

    def complaint(self) -> str:
        return self._last_note() if self._notes is not None else ""

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            cast(BinaryIO, self._process.stdout).close()
            self._process.wait()
            self._process = None
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def _start(self) -> None:
        self._notes = cast(BinaryIO, tempfile.TemporaryFile())
        output = ("-map", "0:a:0", "-c:a", "pcm_f32le", "-ar", str(self.samplerate), "-f", "f32le", "-")
        command = ["ffmpeg", "-nostdin", "-v", "error", *_LOCAL, "-i", self._url, *output]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._notes, bufsize=1 << 20
        )

    def _probe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What ffprobe tells of the stream and of the file around it."""
        what = ("-select_streams", "a:0", "-show_streams", "-show_format", "-of", "json")
        command = ["ffprobe", "-v", "error", *_LOCAL, *what, self._url]
        try:
            run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT)
            found = json.loads(run.stdout or b"{}")
        except (subprocess.TimeoutExpired, ValueError) as error:
            raise InputError("ffmpeg cannot read it") from error
        if not found.get("streams"):
            raise InputError("ffmpeg finds no sound in it")
        return found["streams"][0], found.get("format", {})

    def _last_note(self) -> str:
        notes = cast(BinaryIO, self._notes)
        notes.seek(0)
        lines = notes.read().decode(errors="replace").strip().splitlines()
        return f"ffmpeg: {lines[-1]}" if lines else ""


def _subtype(stream: dict[str, Any]) -> str:
    """What holds the samples of a stream: lossy ones go to 16 bits, as everywhere."""
    codec, form = stream.get("codec_name", ""), stream.get("sample_fmt", "").rstrip("p")
    bits = int(stream.get("bits_per_raw_sample") or 0)
    if form == "s32":
        return "PCM_24" if 0 < bits <= 24 else "PCM_32"
    if codec.startswith("pcm_f") or codec == "wavpack":
        return {"flt": "FLOAT", "dbl": "DOUBLE"}.get(form, "PCM_16")
    return "PCM_U8" if form == "u8" else "PCM_16"


def _tags(texts: dict[str, str]) -> Tags:
    """All that ffprobe tells, under our names."""
    tags: Tags = {}
    for name, text in ((name.lower(), text) for name, text in texts.items()):
        if name in _PAIRS:
            tags |= zip(_PAIRS[name], text.split("/", 1), strict=False)
        elif text and not _TECHNICAL.fullmatch(name):
            tags[_TAGS.get(name, "lyrics" if name.startswith("lyrics-") else name)] = text
    return tags
