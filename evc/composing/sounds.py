"""The sounds that a song may be made of: points of the space of timbres, drawn or heard, and what they sound like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.composing.loudness import weights
from evc.composing.ranking import differing, ranked
from evc.composing.recordings import readable, sound_files
from evc.composing.textures import SAMPLERATE
from evc.format import constants as c
from evc.format.errors import InputError
from evc.models.arrays import Floats, Signal
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.spectra import CLIP_SECONDS, RANGE_DB, SILENCE, frequencies, measured, spectra_of, values_of
from evc.sound.source import FileSource

DRAWN = 48  # points of which a song takes a few
CLIPS_PER_FILE, MOST_CLIPS = 8, 256


@dataclass(frozen=True, eq=False)
class Sounds:
    """vectors  float64 [n, 32]: points, in standard deviations of the prior
    values   float32 [n, cells]: their spectra, as the network has them
    powers   float64 [n]: mean squares, 1 where there is nothing to measure
    """

    vectors: Floats
    values: Signal
    powers: Floats

    @classmethod
    def drawn(cls, network: TimbreNetwork, random: np.random.Generator) -> Self:
        """Points of the prior, equally loud."""
        vectors = random.standard_normal((DRAWN, c.TIMBRE_DIMENSIONS))
        return cls(vectors, network.decoded(vectors), np.ones(DRAWN))

    @classmethod
    def heard(cls, network: TimbreNetwork, folder: str | Path) -> Self:
        """Clips of the sound files in a folder, evenly spread over each. Raises InputError where they are silent, and
        what reading them raises."""
        files = sound_files(folder)[:MOST_CLIPS]
        heard = _spectra(tuple(files), tuple(path.stat().st_mtime_ns for path in files))
        if not len(heard):
            raise InputError(f"{folder}: all of it is silent")
        vectors = np.asarray(network.encoded(values_of(heard)), np.float64)
        return cls(vectors, network.decoded(vectors), heard.sum(axis=1))

    def shuffled(self, random: np.random.Generator) -> Sounds:
        """A part of them, drawn, so that not every song takes the same."""
        rows = np.sort(random.permutation(len(self.vectors))[:DRAWN])
        return Sounds(self.vectors[rows], self.values[rows], self.powers[rows])

    def chosen(self, rank: str, count: int) -> Floats:
        """The points [count, 32] of a few that differ, in ascending order by a ranking."""
        if not (np.isfinite(self.vectors).all() and np.isfinite(self.values).all()):
            raise InputError("a sound of the space is not finite: are the weights of the network whole?")
        powers = spectra_of(self.values) * self.powers[:, None]
        order = ranked(rank, self.vectors, powers, frequencies())
        decibels = np.asarray(self.values, np.float64) * RANGE_DB
        return self.vectors[differing(order, decibels, count)]


@lru_cache(maxsize=1)  # an album takes the same for each song
def _spectra(files: tuple[Path, ...], modified: tuple[int, ...]) -> Floats:
    """Of clips [n, cells] that are not silent."""
    each = max(1, min(CLIPS_PER_FILE, MOST_CLIPS // len(files)))
    found = [spectrum for clips in readable(files, lambda path: _clips(path, each)) for spectrum in clips]
    return np.array([spectrum for spectrum in found if spectrum.sum() > SILENCE])


def _clips(path: Path, count: int) -> list[Floats]:
    """Spectra [cells] of clips of a sound file; of one shorter than a clip, one of all of it."""
    with FileSource(path) as source:
        frames = min(round(CLIP_SECONDS * source.samplerate), source.frames)
        count = max(1, min(count, source.frames // max(frames, 1)))
        starts = np.linspace(0, source.frames - frames, count + 2)[1:-1].astype(int)
        return [measured(source.read(int(start), frames), source.samplerate) for start in starts] if frames else []


def loudnesses(values: NDArray[np.floating]) -> Floats:
    """What spectra [n, cells] whose mean square is 1 count for loudness [n]: powers, weighted as ears hear them."""
    return np.asarray(spectra_of(values) @ weights(frequencies()))


def vector_of_loop(network: TimbreNetwork, audio: Signal) -> Floats:
    """The point [32] of a recording [channels, frames] at SAMPLERATE: the mean of its clips'."""
    frames = min(round(CLIP_SECONDS * SAMPLERATE), audio.shape[1])
    starts = np.linspace(0, audio.shape[1] - frames, CLIPS_PER_FILE).astype(int)
    clips = np.array([measured(audio[:, start : start + frames], SAMPLERATE) for start in starts])
    return np.asarray(network.encoded(values_of(clips)).mean(axis=0), np.float64)
