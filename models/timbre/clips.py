"""What the network of timbres learns from: clips of two seconds, how transient each is, and their spectra."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.models.arrays import Floats, Signal
from evc.models.progress import Progress
from evc.models.timbre.spectra import CLIP_SECONDS, measured, values_of
from evc.models.training.dataset import Recording, Report
from evc.models.training.whole import whole

SPACING = 1.0  # seconds from clip to clip
TABLE, SPECTRA = "clips.csv", "clips.npz"
MOST_TRANSIENT = 8.0  # dB: clips above are left out unless somebody keeps them
QUIETEST = -70.0  # dB of full scale: what is below teaches nothing
_WINDOW, _HOPS = 0.093, 4  # seconds of a spectrum of the flux, and how many begin in it
_BANDS, _LOWEST, _HIGHEST = 24, 60.0, 12_000.0  # bands and Hz of the flux
_FLOOR = 1e-6  # of the clip's mean power: what is below is no rise


@dataclass(frozen=True)
class Clip:
    """A clip of a sound file: seconds of its start; its transience and level in dB; whether it is learned from."""

    file: str
    start: float
    score: float
    level: float
    keep: bool


def transience(clip: NDArray[np.floating], samplerate: int) -> float:
    """Spectral flux: the greatest rise within 46 ms, in dB, mean over bands, of a clip [channels, frames]. About 2 for
    a drone, 10 and more where something is struck. The same however loud the clip is."""
    size = round(_WINDOW * samplerate)
    windows = np.lib.stride_tricks.sliding_window_view(clip, size, axis=-1)[:, :: size // _HOPS]
    powers = np.square(np.abs(np.fft.rfft(windows * np.hanning(size), axis=-1))).sum(axis=0)
    edges = np.geomspace(_LOWEST, min(_HIGHEST, 0.45 * samplerate), _BANDS + 1) * size / samplerate
    sums = np.pad(np.cumsum(powers, axis=1), ((0, 0), (1, 0)))
    places = np.arange(sums.shape[1])
    bands = np.diff([np.interp(edges, places, row) for row in sums], axis=1)
    decibels = 10 * np.log10(bands / max(bands.sum(axis=1).mean(), 1e-20) + _FLOOR)
    rises = np.maximum(decibels[2:] - decibels[:-2], 0).mean(axis=1)
    return float(rises.max(initial=0))


def survey(
    entries: Sequence[Recording], folder: Path, out: Path, report: Report | None = None,
    progress: Progress | None = None,
) -> tuple[list[Clip], Signal]:  # fmt: skip
    """All clips of sound files below `folder`, and their values [clips, CELLS]. They are kept in `out`: a table, whose
    column `keep` may be edited, and spectra. What is there already is read, not measured again. Raises InputError where
    there are no clips."""
    if (out / TABLE).exists() and (out / SPECTRA).exists():
        return read_clips(out)
    clips: list[Clip] = []
    spectra: list[Signal] = []
    seconds, done = sum(entry.seconds for entry in entries), 0.0
    for entry in entries:
        for start, clip in _clips_of(entry, report):
            powers = measured(clip, entry.samplerate)
            level = float(10 * np.log10(max(powers.sum(), 1e-20)))
            if level > QUIETEST:
                score = transience(clip, entry.samplerate)
                name = entry.path.relative_to(folder).as_posix()
                clips.append(Clip(name, start, round(score, 2), round(level, 1), score <= MOST_TRANSIENT))
                spectra.append(values_of(powers).astype(np.float16))
        done += entry.seconds
        if progress is not None:
            progress(done, seconds)
    if not clips:
        raise InputError(f"{folder}: no clip of {CLIP_SECONDS:g} s above {QUIETEST:g} dB in its sound files")
    out.mkdir(parents=True, exist_ok=True)
    with whole(out / SPECTRA) as partial, open(partial, "wb") as file:
        np.savez(file, values=np.array(spectra, np.float16))
    write_clips(out, clips)
    return read_clips(out)


def write_clips(out: Path, clips: Sequence[Clip]) -> None:
    """Write the table of clips."""
    with whole(out / TABLE) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Clip))
        writer.writerows([*astuple(clip)[:-1], int(clip.keep)] for clip in clips)


def read_clips(out: Path) -> tuple[list[Clip], Signal]:
    """The clips of a table, and their values. Raises InputError where the table is malformed or the spectra are those
    of other clips."""
    clips = []
    with open(out / TABLE, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                kept = {"1": True, "0": False}[row["keep"].strip()]
                clips.append(Clip(row["file"], float(row["start"]), float(row["score"]), float(row["level"]), kept))
            except (KeyError, ValueError, AttributeError, TypeError) as error:
                raise InputError(f"{out / TABLE}, line {number}: not a clip with a keep of 0 or 1") from error
    with np.load(out / SPECTRA) as arrays:
        values: Signal = arrays["values"].astype(np.float32)
    if len(values) != len(clips):
        raise InputError(f"{out / TABLE} has {len(clips)} clips, {SPECTRA} {len(values)}: remove both to begin anew")
    return clips, values


def _clips_of(entry: Recording, report: Report | None) -> Iterator[tuple[float, Floats]]:
    """Seconds and samples [channels, frames] of the clips of a file; what can be read of a damaged one."""
    size, hop = round(CLIP_SECONDS * entry.samplerate), round(SPACING * entry.samplerate)
    try:
        with soundfile.SoundFile(entry.path) as file:
            for number, block in enumerate(file.blocks(size, overlap=size - hop, always_2d=True)):
                if not np.isfinite(block).all():
                    raise RuntimeError("samples that are not finite")
                if len(block) == size:
                    yield number * hop / entry.samplerate, block.T
    except (soundfile.SoundFileError, RuntimeError) as error:
        if report is not None:
            report(f"damaged: {entry.path.name} ({error})")
