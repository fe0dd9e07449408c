"""Albums: many songs, of which those stay that nothing measured speaks against, and a few make an album."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evc.composing.measuring import LEAST_APART, Measured
from evc.composing.names import names
from evc.composing.recipe import NAME, Recipe
from evc.composing.song import Finished, Song, finished
from evc.composing.textures import SAMPLERATE
from evc.editing.cuesheets import Track
from evc.format.errors import InputError
from evc.models.arrays import Floats, Signal
from evc.models.processes import Processes, cores
from evc.models.report.sounds import small
from evc.output import atomic_folder, opened

PASSAGES, PASSAGE_SECONDS = 5, 7.0  # of a song, that are heard on the page of candidates
_JOIN = 0.5  # s in which one passage fades into the next
_KBPS = 48.0
_COLUMNS, _CELLS_PER_ROW = 200, 9
_FINE = 0.01  # s
MOST_CANDIDATES = 999
PAGE = "candidates.html"

Progress = Callable[[float, float], None]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A song of an album's making.

    number    from 1
    song      what is written if it is kept
    measured  what is known of its sound
    against   why it is rejected, or ""
    sound     media type and bytes of some of its passages, None if it is rejected; `skim_seconds` long, with the
    picture   float64 [rows, columns], from 0 to 1: the spectra of the path in these passages
    """

    number: int
    song: Song
    measured: Measured
    against: str = ""
    sound: tuple[str, bytes] | None = None
    picture: Floats | None = None
    skim_seconds: float = 0.0


def candidate_seeds(seed: int, count: int) -> list[int]:
    """Those of the candidates of an album, each that of a song which can be made alone."""
    return [int(one) for one in np.random.default_rng([seed, NAME]).integers(0, 1 << 31, count)]


def candidates(recipe: Recipe, numbers: Sequence[int], progress: Progress | None = None) -> Iterator[Candidate]:
    """The songs of some `numbers`, from 1 on, of an album with this recipe, made and measured, in order; those that are
    too like one before them are rejected too."""
    seeds = candidate_seeds(recipe.seed, max(numbers, default=0))
    jobs = [(number, replace(recipe, seed=seeds[number - 1])) for number in numbers]
    kept: list[Candidate] = []
    with Processes(min(cores(), len(jobs))) as processes:
        for done, made in enumerate(processes.map(candidate, jobs), 1):
            found = without_doubles(made, kept)
            if not found.against:
                kept.append(found)
            if progress:
                progress(done, len(jobs))
            yield found


def candidate(number: int, recipe: Recipe) -> Candidate:
    """One, looked at by itself."""
    return judged(number, finished(recipe))


def judged(number: int, made: Finished) -> Candidate:
    """A finished song as a candidate."""
    measured = Measured.of(made)
    against = measured.against(made.song.recipe.lufs)
    if against:
        return Candidate(number, made.song, measured, against)
    skim, moments = passages(made.audio)
    picture = _picture(made.song, moments)
    sound = small(skim, SAMPLERATE, _KBPS)
    return Candidate(number, made.song, measured, "", sound, picture, len(skim) / SAMPLERATE)


def without_doubles(made: Candidate, kept: Sequence[Candidate]) -> Candidate:
    """The candidate, rejected if it is too like one that is kept."""
    if made.against:
        return made
    for other in kept:
        if (apart := made.measured.apart(other.measured)) < LEAST_APART:
            return replace(made, against=f"is too like {other.number}: {apart:.1f} dB apart", sound=None, picture=None)
    return made


def passages(audio: Signal) -> tuple[Signal, Floats]:
    """Some passages out of audio [frames, channels], evenly spread, each faded into the next; and from which second of
    it each hundredth of a second of them is."""
    frames, join = round(PASSAGE_SECONDS * SAMPLERATE), round(_JOIN * SAMPLERATE)
    if len(audio) <= PASSAGES * frames:
        return audio, np.arange(0, len(audio) / SAMPLERATE, _FINE)
    starts = np.linspace(0, len(audio) - frames, PASSAGES).astype(int)
    rise = np.sin(np.pi / 2 * (np.arange(join, dtype=np.float32) + 0.5) / join)[:, None]
    out = np.zeros((PASSAGES * (frames - join) + join, audio.shape[1]), np.float32)
    for number, start in enumerate(starts):
        part = audio[start : start + frames].astype(np.float32)
        part[:join] *= rise
        part[-join:] *= rise[::-1]
        at = number * (frames - join)
        out[at : at + frames] += part
    own = np.arange(0, (frames - join) / SAMPLERATE, _FINE)
    return out, np.concatenate([start / SAMPLERATE + own for start in starts])


def _picture(song: Song, moments: Floats) -> Floats:
    """The spectra of a song's path at some moments, as a picture [rows, columns] from 0 to 1."""
    rows = song.values[:, : song.values.shape[1] // _CELLS_PER_ROW * _CELLS_PER_ROW]
    rows = rows.reshape(len(rows), -1, _CELLS_PER_ROW).mean(axis=2)
    at = moments[:: max(1, len(moments) // _COLUMNS)] / song.recipe.seconds * (len(rows) - 1)
    levels = np.stack([np.interp(at, np.arange(len(rows)), row) for row in rows.T])
    return np.asarray(levels, np.float64)


def chosen(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """As many as an album has of those that nothing speaks against: the first, and always the one that is farthest from
    all that were chosen; in the order of their numbers. Fewer if there are no more."""
    left = [one for one in found if not one.against]
    taken: list[Candidate] = []
    while left and len(taken) < count:
        far = [min((one.measured.apart(other.measured) for other in taken), default=0.0) for one in left]
        taken.append(left.pop(int(np.argmax(far))))
    return sorted(taken, key=lambda one: one.number)


def titles(seed: int, count: int) -> list[str]:
    """Names for the candidates of an album, no two alike."""
    return names(Recipe(seed).random(NAME), count)


def kept_list(text: str) -> dict[int, str]:
    """Numbers of candidates and their titles ("": the usual one), out of a text: "3,7,12", or lines of a number and
    perhaps a title. Raises InputError, with the line, for anything else."""
    lines = text.split("\n" if "\n" in text else ",")
    found: dict[int, str] = {}
    for place, line in enumerate(lines, 1):
        number, _, title = line.strip().partition(" ")
        if not number:
            continue
        if not re.fullmatch("[0-9]{1,9}", number) or not 1 <= int(number) <= MOST_CANDIDATES or int(number) in found:
            raise InputError(f"line {place}: {line.strip()[:40]!r} is no number of a candidate that is not named yet")
        found[int(number)] = title.strip()
    if not found:
        raise InputError("no candidate is kept")
    return found


def write_album(folder: str | Path, tracks: Sequence[tuple[Song, str]], album: str, page: bytes | None) -> list[Path]:
    """Write songs under their titles as the tracks of an album, and its page if there is one: all or none. Returns the
    songs' paths."""
    with atomic_folder(folder) as new:
        paths = []
        for number, (song, title) in enumerate(tracks, 1):
            more = {
                "title": title, "album": album, "tracknumber": str(number), "tracktotal": str(len(tracks)),
            }  # fmt: skip
            path = Path(folder) / f"{Track(0, number, more).name}.evc"
            with opened(new / path.name, str(path)) as file:
                song.write(file, more)
            paths.append(path)
        if page is not None:
            with opened(new / PAGE, str(Path(folder) / PAGE)) as file:
                file.write(page)
    return paths
