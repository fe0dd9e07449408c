"""Random excerpts from any folder of audio, with a validation split by work.

Every draw is a function of the random generator that it is given, so that a training run that resumes at a step sees
what it would have seen.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from evc.format.errors import InputError

Audio = NDArray[np.float32]  # [channels, frames]
Report = Callable[[str], None]

SUFFIXES = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif"}
MANIFEST = "MANIFEST.csv"
_MANIFEST_DEPTH = 2  # folders above the audio in which a manifest is looked for
RESAMPLING_MARGIN = 64  # frames read beyond an excerpt on each side, for the resampler
_SILENCE = 1e-3  # peak below which an excerpt teaches nothing
_ATTEMPTS = 8
# What tells the parts of a work or of an album apart: numbers, and single letters at the end of a name.
_PART = re.compile(r"[\W_]+\d+(?=[\W_])|([\W_]+\d+|[\W_]+[a-z]|\d+)$")


@dataclass(frozen=True)
class Recording:
    """A readable sound file; `work` is what it shares with files that must not be on the other side of a split."""

    path: Path
    work: str
    frames: int
    samplerate: int

    @property
    def seconds(self) -> float:
        return self.frames / self.samplerate


@dataclass(frozen=True)
class Place:
    """`frames` frames of a sound file from `start` on, of which `ratio` make one of an excerpt."""

    path: Path
    start: int
    frames: int
    ratio: float

    def read(self, frames: int, channels: int) -> Audio:
        """The excerpt as float32 [channels, frames]."""
        return _fitted(resampled(_read(self.path, self.start, self.frames), self.ratio), frames, channels)


class AudioFolder:
    """Sound files to draw excerpts from, long ones more often than short ones."""

    def __init__(self, entries: Sequence[Recording]) -> None:
        """Raises InputError if there are none."""
        if not entries:
            raise InputError("no sound files to train on")
        self.entries = tuple(entries)
        seconds = np.array([entry.seconds for entry in entries])
        self._shares = seconds / seconds.sum()

    @property
    def seconds(self) -> float:
        """Length of all files together."""
        return float(sum(entry.seconds for entry in self.entries))

    def split(self, share: float, seed: int) -> tuple[AudioFolder, AudioFolder]:
        """Files for training and for validation, about `share` of the works being in the second: no work is in both.

        Raises InputError if there are fewer than two works.
        """
        works = sorted({entry.work for entry in self.entries})
        if len(works) < 2:
            raise InputError("sound files of at least two works are needed: one to train on, one to validate on")
        count = min(len(works) - 1, max(1, round(share * len(works))))
        held = set(np.random.default_rng(seed).permutation(works)[:count].tolist())
        return (
            AudioFolder([entry for entry in self.entries if entry.work not in held]),
            AudioFolder([entry for entry in self.entries if entry.work in held]),
        )

    def excerpt(
        self, random: np.random.Generator, samplerate: int, frames: int, channels: int = 1, speed: float = 1.0
    ) -> Audio:
        """A random stretch as float32 [channels, frames], at `samplerate` if played `speed` times as fast as it was.

        Mono is the mean of the channels; mono files fill all channels. Silent stretches are drawn again a few times.
        Files too short are followed by zeros.
        """
        return self.placed(random, samplerate, frames, channels, speed)[1]

    def placed(
        self, random: np.random.Generator, samplerate: int, frames: int, channels: int = 1, speed: float = 1.0
    ) -> tuple[Place, Audio]:
        """As `excerpt`, and where it is from."""
        for _ in range(_ATTEMPTS):
            entry = self.entries[int(random.choice(len(self.entries), p=self._shares))]
            ratio = entry.samplerate * speed / samplerate
            length = int(np.ceil(frames * ratio)) + 2 * RESAMPLING_MARGIN
            start = int(random.integers(0, max(1, entry.frames - length)))
            place = Place(entry.path, start, length, ratio)
            audio = place.read(frames, channels)
            if np.abs(audio).max(initial=0) > _SILENCE:
                break
        return place, audio


def scan(
    folder: Path, exclude: Path | None = None, report: Report | None = None, skip: tuple[str, ...] = ()
) -> AudioFolder:
    """All sound files below `folder`, but for works that occur below `exclude` too, for files whose names contain one
    of `skip`, and for those that cannot be read; `report` is told of the last. Raises InputError if none are left."""
    excluded = set() if exclude is None else {name for path in _sound_files(exclude) for name in identities(path)}
    entries = []
    for path in _sound_files(folder):
        if excluded.intersection(identities(path)) or any(word in path.name for word in skip):
            continue
        try:
            with soundfile.SoundFile(path) as file:
                file.read(1)
                entries.append(Recording(path, work_of(path), file.frames, file.samplerate))
        except (soundfile.SoundFileError, RuntimeError) as error:
            if report is not None:
                report(f"skipped, unreadable: {path.name} ({error})")
    try:
        return AudioFolder([entry for entry in entries if entry.frames > 0])
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def work_of(path: Path) -> str:
    """The name of a file in lower case without what numbers the parts of a work: "Suite_02b.flac" is "suite"."""
    name = path.stem.lower()
    while shorter := _PART.sub("", name):
        if shorter == name:
            break
        name = shorter
    return name


def identities(path: Path) -> set[str]:
    """What tells that two files hold the same piece: letters and digits of the name, and the source that a manifest
    beside or above the file gives for it (columns path, source_repo and source_path)."""
    found = {re.sub(r"[\W_]+", "", path.stem.lower())}
    for above in list(path.parents)[: _MANIFEST_DEPTH + 1]:
        if (above / MANIFEST).is_file():
            found |= _manifest(above / MANIFEST).get(path.relative_to(above).as_posix(), set())
    return found


@lru_cache(maxsize=8)
def _manifest(path: Path) -> dict[str, set[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return {
            row["path"]: {f"{row.get('source_repo')}/{row['source_path']}"}
            for row in csv.DictReader(file)
            if row.get("path") and row.get("source_path")
        }


def _sound_files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _read(path: Path, start: int, frames: int) -> Audio:
    """Float32 [channels, up to `frames`]; a file damaged at this place yields silence."""
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            audio: Audio = file.read(frames, dtype="float32", always_2d=True).T
    except (soundfile.SoundFileError, RuntimeError):
        return np.zeros((1, frames), np.float32)
    return audio


def resampled(audio: Audio, ratio: float) -> Audio:
    """[channels, frames] with `ratio` frames of the input for each of the output, by cutting or padding the spectrum;
    RESAMPLING_MARGIN frames of the input, where the ends wrap around, are missing at each end."""
    frames = audio.shape[1]
    out = max(1, round(frames / ratio))
    if out != frames:
        audio = (np.fft.irfft(np.fft.rfft(audio), out) if out > frames else _decimated(audio, out)) * (out / frames)
    margin = min(round(RESAMPLING_MARGIN / ratio), (out - 1) // 2)
    return np.ascontiguousarray(audio[:, margin : out - margin], np.float32)


def _decimated(audio: Audio, frames: int) -> NDArray[np.float64]:
    """Fewer frames; the last twentieth of the band fades out, so that ends and edges do not ring."""
    spectrum = np.fft.rfft(audio)[:, : frames // 2 + 1]
    edge = max(1, spectrum.shape[1] // 20)
    spectrum[:, -edge:] *= np.cos(np.linspace(0, np.pi / 2, edge)) ** 2
    return np.fft.irfft(spectrum, frames)


def _fitted(audio: Audio, frames: int, channels: int) -> Audio:
    if channels == 1:
        audio = audio.mean(axis=0, keepdims=True, dtype=np.float32)
    elif len(audio) < channels:
        audio = np.repeat(audio[:1], channels, axis=0)
    out = np.zeros((channels, frames), np.float32)
    used = min(frames, audio.shape[1])
    out[:, :used] = audio[:channels, :used]
    return out
