"""Recordings as effects: without the fades they had, looped without a seam, all as loud as the textures are."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from evc.composing.effects import LOUDNESS, Turn, turns
from evc.composing.loudness import lufs
from evc.composing.textures import SAMPLERATE
from evc.format import constants as c
from evc.format.errors import EvcError, EvcWarning, InputError
from evc.format.header import Header
from evc.format.streams.noise import NoiseStream
from evc.models.arrays import Floats, Signal
from evc.models.noise.encoder import NoiseEncoder
from evc.models.source import padded
from evc.sound.source import FileSource

Result = TypeVar("Result")

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".m4a", ".wv"}
DETAIL = 300.0  # of the noise, in squared dB per bit: what is heard of a recording is how it swells and its colour
_LONGEST, _SHORTEST = 60.0, 2.0  # s of a recording that are taken; at least
_LEVEL_SECONDS = 0.25  # over which levels are measured,
_FADED_DB = 6.0  # and so far below their median a beginning or an end is a fade
_SEAM = 2.0  # s in which the end of a loop becomes its beginning, at most a quarter of it


@dataclass(frozen=True, eq=False)
class Loop:
    """A recording that goes round: float32 [2, frames]."""

    name: str
    audio: Signal

    def read(self, start: int, frames: int) -> Signal:
        """Frames from `start` on, round and round."""
        return self.audio[:, np.arange(start, start + frames) % self.audio.shape[1]]


def sound_files(folder: str | Path) -> list[Path]:
    """The sound files in a folder and those within, in order. Raises InputError where there are none."""
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: is no folder")
    inside = ((path, path.relative_to(root).parts) for path in root.rglob("*"))
    found = sorted(
        path for path, parts in inside
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in parts) and path.is_file()
    )  # fmt: skip
    if not found:
        raise InputError(f"{folder}: holds no sound files")
    return found


def readable(files: Sequence[Path], read: Callable[[Path], Result]) -> list[Result]:
    """What is read of each file; those that cannot be read are left out with a warning. Raises what the first of them
    raised if no other is left."""
    found: list[Result] = []
    refused: list[EvcError] = []
    for path in files:
        try:
            found.append(read(path))
        except EvcError as error:
            refused.append(error)
    if refused and not found:
        raise refused[0]
    for refusal in refused:
        warnings.warn(f"{refusal}: left out", EvcWarning, stacklevel=2)
    return found


def read_stereo(path: Path, seconds: float) -> Signal:
    """The first seconds of a sound file as float32 [2, frames] at SAMPLERATE. Raises InputError for what cannot be
    read, and for samples that are not finite."""
    with FileSource(path) as source:
        audio = source.read(0, round(seconds * source.samplerate))
        rate = source.samplerate
    stereo = np.stack([audio[0], audio[min(1, len(audio) - 1)]])
    if rate != SAMPLERATE:
        import soxr

        stereo = np.ascontiguousarray(soxr.resample(stereo.T, rate, SAMPLERATE).T, np.float32)
    return stereo


def loop_of(path: Path) -> Loop:
    """A recording as a loop. Raises InputError, which names it, where that is silent or too short."""
    audio = read_stereo(path, _LONGEST)
    if not np.any(np.abs(audio) > 1e-5):
        raise InputError(f"{path}: is silent")
    audio = _seamless(_without_fades(audio))
    if audio.shape[1] < _SHORTEST * SAMPLERATE:
        raise InputError(f"{path}: has less than {_SHORTEST:g} s that are no fade")
    found = lufs(audio.T, SAMPLERATE)
    if not np.isfinite(found):
        raise InputError(f"{path}: is silent")
    return Loop(path.stem, audio * np.float32(10 ** ((LOUDNESS - found) / 20)))


def _without_fades(audio: Signal) -> Signal:
    """From where it first comes near its usual level to where it last is."""
    unit = round(_LEVEL_SECONDS * SAMPLERATE)
    count = audio.shape[1] // unit
    power = np.square(audio[:, : count * unit]).reshape(2, count, unit).mean(axis=(0, 2))
    levels = 10 * np.log10(np.maximum(power, 1e-12))
    if not count:
        return audio
    usual = np.flatnonzero(levels >= np.median(levels[levels > levels.max() - 60]) - _FADED_DB)
    return audio[:, usual[0] * unit : (usual[-1] + 1) * unit]


def _seamless(audio: Signal) -> Signal:
    """Its end fades, at constant power, into what comes before its beginning."""
    frames = audio.shape[1]
    seam = min(round(_SEAM * SAMPLERATE), frames // 4)
    angle = (np.arange(seam, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / max(seam, 1))
    out = audio[:, : frames - seam].copy()
    out[:, :seam] = np.sin(angle) * audio[:, :seam] + np.cos(angle) * audio[:, frames - seam :]
    return out


class RecordedBed:
    """Loops one after the other, each giving way to the most similar one, by `places` [loops, dims]: their timbres."""

    def __init__(self, loops: Sequence[Loop], places: Floats, random: np.random.Generator, seconds: float) -> None:
        self._loops = loops
        self.turns: list[Turn] = turns(random, places, seconds)
        self._begins = [int(random.integers(loop.audio.shape[1])) for loop in loops]
        self.frames = round(seconds * SAMPLERATE)

    def read(self, start: int, frames: int) -> Signal:
        """Frames from `start` on: float32 [2, frames]."""
        times = (start + np.arange(frames)) / SAMPLERATE
        out = np.zeros((2, frames), np.float32)
        for turn in self.turns:
            if turn.start < times[-1] and times[0] < turn.end:
                gain = np.sqrt(turn.share(times)).astype(np.float32)
                out += gain * self._loops[turn.effect].read(start + self._begins[turn.effect], frames)
        return out

    def streams(
        self, header: Header, envelope: Callable[[Floats], Floats], detail: float = DETAIL
    ) -> dict[int, NoiseStream]:
        """The noise of the bed in a file of this header, by segment: of a recording that is how loud it is in each band
        at each moment, and how wide, not its waveform. `envelope` gives gains [n] at moments [n] of the file."""
        encoder = NoiseEncoder(header.samplerate, header.channels, detail, c.DEFAULT_NOISE_STEP // 2)

        def read(start: int, frames: int) -> Signal:
            times = (start + np.arange(frames)) / SAMPLERATE
            return self.read(start, frames) * envelope(times).astype(np.float32)

        found = {}
        for index in range(header.segments):
            start, frames = header.segment_span(index)
            margin = encoder.margin
            original = padded(read, 2, self.frames, start - margin, frames + 2 * margin)
            stream = encoder.encode(original, np.zeros_like(original))
            if stream is not None:
                found[index] = stream
        return found
