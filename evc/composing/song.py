"""A song: a path through the space of timbres, what lies under it, and both as a file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.composing.effects import faded, noise_streams, texture_bed
from evc.composing.grammar import Grammar
from evc.composing.loudness import lufs, lufs_of_powers
from evc.composing.names import names
from evc.composing.path import Wiggler, walked
from evc.composing.recipe import BREATH, EFFECTS, NAME, SOUNDS, STRUCTURE, WIDTH, WIGGLER, Recipe
from evc.composing.recordings import Loop, RecordedBed, loop_of, readable, sound_files
from evc.composing.sounds import Sounds, loudnesses, vector_of_loop
from evc.composing.textures import SAMPLERATE, TEXTURES
from evc.file import EvcFile
from evc.format import constants as c
from evc.format.errors import EvcError, InputError
from evc.format.header import Header
from evc.format.networks import find
from evc.format.segment import Segment, StreamData
from evc.format.streams import Stream, StreamContext, coded_stream
from evc.format.streams.noise import NoiseStream
from evc.format.streams.timbre import TimbreStream, step_size
from evc.format.tags import Tags
from evc.format.timbres import by_segment
from evc.format.writer import ContainerWriter
from evc.models.arrays import Floats, Signal
from evc.models.device import one_thread
from evc.models.progress import Progress
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.points import levels_of
from evc.streaming import PathOrFile, seekable_output
from evc.timbres import timbre_header
from evc.version import __version__

MOST_RECORDINGS = 8  # of a folder that a song has
SPACING = 16  # superframes from point to point: 1.5 s
STEP = c.DEFAULT_TIMBRE_STEP
HELD = 0.7  # steps
FADES = 8.0, 14.0  # s, at the beginning and at the end; together at most a quarter of the song
LOUDEST = 10 ** (-14 / 20)  # of a point's root of mean square: random phases have peaks 12 dB above it, and some more
BREATH_DB, BREATH_SECONDS = 1.5, (12.0, 30.0)  # how much louder and fainter a song becomes, and within which time
NEEDED = {"pyloudnorm": "pyloudnorm", "soxr": "soxr", "jinja2": "jinja2", "PIL": "Pillow"}
_SPARSE = 2  # points, of which one is listened to for its loudness
_BLOCK_FRAMES = 30 * SAMPLERATE
WIDTHS = 3.0, 6.5  # between which the coded width wanders


@dataclass(frozen=True, eq=False)
class Song:
    """recipe     what it follows from
    structure  its steps, a letter each
    title      two words
    header     of its file
    points     of its path, with times from its start
    values     float32 [n, cells]: spectra along the path
    bed        what lies under it, by segment
    """

    recipe: Recipe
    structure: str
    title: str
    header: Header
    points: TimbreStream
    values: Signal
    bed: Mapping[int, NoiseStream]

    @property
    def tags(self) -> Tags:
        return {
            "title": self.title, "encoder": f"evc {__version__}", "composed": self.recipe.arguments(),
            "structure": self.structure,
        }  # fmt: skip

    def louder(self, decibels: int) -> Song:
        """The same with another level of its path, as far as the format has levels."""
        levels = self.points.levels
        raised = np.where(levels > 0, np.clip(levels + decibels, 0, c.MAX_TIMBRE_LEVEL), 0)
        return replace(self, points=replace(self.points, levels=raised))

    def write(self, file: BinaryIO, more: Mapping[str, str] | None = None) -> None:
        """Write it as an .evc file, with `more` tags."""
        path = by_segment(self.points, self.header)
        with ContainerWriter(file, self.header, self.tags | dict(more or {})) as writer:
            for index in range(self.header.segments):
                found: list[StreamData] = []
                for kind, streams in ((c.STREAM_NOISE, self.bed), (c.STREAM_TIMBRE, path)):
                    if index in streams:
                        found.append(_coded(kind, streams[index], self.header, index))
                writer.add_segment(Segment(index, streams=tuple(sorted(found, key=lambda one: one.kind))))

    def as_file(self) -> io.BytesIO:
        file = io.BytesIO()
        self.write(file)
        return file


def composed(recipe: Recipe) -> Song:
    """The song of a recipe. Raises InputError for folders without sound, and effects that there are not;
    UnsupportedError if the network of timbres is not installed."""
    with one_thread():  # products of the network are small
        return _composed(recipe)


def _composed(recipe: Recipe) -> Song:
    noise = ("noise",) if recipe.textures or recipe.folder else ()
    header = timbre_header(SAMPLERATE, 2, round(recipe.seconds * SAMPLERATE), layers=noise)
    network = TimbreNetwork.load(find(header.networks[-1]))
    grammar = Grammar.of(recipe.grammar)
    structure = grammar.expanded(recipe.random(STRUCTURE))
    corners = _corners(recipe, network, grammar.sounds, structure)
    seconds, superframes = _moments(header)
    places = seconds / recipe.seconds * len(structure) - 0.5
    wiggler = Wiggler.drawn(recipe.random(WIGGLER), c.TIMBRE_DIMENSIONS, recipe.wiggle, recipe.turn)
    vectors = _held((walked(corners, places) + wiggler.at(seconds)) / step_size(STEP))
    values = network.decoded(vectors[::_SPARSE] * step_size(STEP))
    heard = np.exp(np.interp(seconds, seconds[::_SPARSE], np.log(np.maximum(loudnesses(values), 1e-6))))
    levels = levels_of(_amplitudes(recipe, seconds, heard))
    wide = _wandering(recipe.random(WIDTH), seconds, BREATH_SECONDS)
    widths = np.rint(np.interp(wide, [-1.5, 1.5], WIDTHS)).astype(np.int64)
    points = TimbreStream(superframes, vectors, levels, widths, STEP)
    title = names(recipe.random(NAME), 1)[0]
    return Song(recipe, structure, title, header, points, values, _bed(recipe, header, network, Envelope(seconds[-1])))


class Finished(NamedTuple):
    """A song, what it decodes to, float32 [frames, channels] at SAMPLERATE, and how loud that is, in LUFS."""

    song: Song
    audio: Signal
    lufs: float


def finished(recipe: Recipe, progress: Progress | None = None) -> Finished:
    """The song of a recipe, brought to its loudness as it is measured. `progress` is called with seconds of audio that
    were listened to."""
    song = composed(recipe)
    audio = _decoded(song, progress)
    found = lufs(audio, SAMPLERATE)
    off = recipe.lufs - found
    if np.isfinite(off) and round(off):
        song = song.louder(round(off))
        audio = _decoded(song, None)
        found = lufs(audio, SAMPLERATE)
    return Finished(song, audio, found)


def write_song(
    target: PathOrFile, recipe: Recipe, *, overwrite: bool = True, progress: Progress | None = None
) -> Finished:
    """Compose a song and write it as an .evc file.

        evc.write_song("night.evc", evc.Recipe(seed=7, minutes=10, effects="rain"))

    `target` is a path, where the file appears when it is complete, or an open binary file. Raises EvcError where the
    extra `evc[compose]` is not installed, and what composing raises: InputError for folders without sound and effects
    that there are not, UnsupportedError if the network of timbres is not installed.
    """
    check_parts()
    made = finished(recipe, progress)
    with seekable_output(target, overwrite) as output:
        made.song.write(output)
    return made


def check_parts() -> None:
    """Raises EvcError where something that composing needs is not installed."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise EvcError(f"composing needs {', '.join(missing)}, not installed here: pip install 'evc[compose]'")


def _decoded(song: Song, progress: Progress | None) -> Signal:
    with EvcFile(song.as_file()) as file:
        parts = []
        for part in file.blocks(_BLOCK_FRAMES, always_2d=True):
            parts.append(part)
            if progress:
                progress(file.tell() / SAMPLERATE, file.duration)
    return np.concatenate(parts)


def _corners(recipe: Recipe, network: TimbreNetwork, letters: str, structure: str) -> Floats:
    """The points [steps, 32] that the path goes from one to the next."""
    random = recipe.random(SOUNDS)
    if recipe.source:
        sounds = Sounds.heard(network, recipe.source).shuffled(random)
        if (count := len(sounds.vectors)) < len(letters):
            clips = f"{count} clip{'' if count == 1 else 's'} of sound, but a song takes {len(letters)}"
            raise InputError(f"{recipe.source}: {clips}: longer files, or more of them")
    else:
        sounds = Sounds.drawn(network, random)
    chosen = sounds.chosen(recipe.rank, len(letters))
    return chosen[[letters.index(step) for step in structure]]


def _moments(header: Header) -> tuple[Floats, NDArray[np.int64]]:
    """Where the path has points, from the song's start to its end: in seconds, and in superframes."""
    superframe = c.superframe_length(header.samplerate)
    at = np.arange(0, -(-header.known_frames // superframe), SPACING, dtype=np.int64)
    return at * superframe / header.samplerate, at


@dataclass(frozen=True)
class Envelope:
    """A song's fades, from silence to silence at `end`, in seconds."""

    end: float

    def __call__(self, seconds: Floats) -> Floats:
        """Gains [n] at some moments."""
        rise, fall = np.array(FADES) * min(1.0, self.end / 4 / sum(FADES))
        share = np.interp(seconds, [0.0, rise, self.end - fall, self.end], [0.0, 1.0, 1.0, 0.0])
        return np.asarray(np.sin(np.pi / 2 * share) ** 2)


def _held(course: Floats) -> NDArray[np.int64]:
    """Integers [n, dims] near a course: each stays as it is until the course is farther from it than HELD, so that what
    moves slowly past the middle between two integers does not cost a change at every point."""
    found = np.rint(course)
    for before, row, wanted in zip(found, found[1:], course[1:], strict=False):
        stays = np.abs(wanted - before) < HELD
        row[stays] = before[stays]
    return np.clip(found, -c.MAX_TIMBRE, c.MAX_TIMBRE).astype(np.int64)


def _amplitudes(recipe: Recipe, seconds: Floats, heard: Floats) -> Floats:
    """Roots of mean squares [n] with which points are equally loud but for breath and fades, and the whole as loud as
    it should be. `heard` [n]: what each counts for loudness at a mean square of 1."""
    breath = BREATH_DB * _wandering(recipe.random(BREATH), seconds, BREATH_SECONDS)
    gain = Envelope(seconds[-1])(seconds) * 10 ** (breath / 20)
    wanted = 10 ** (recipe.lufs / 20)
    for _ in range(4):  # what would be too loud stays behind, and the others make up for it
        amplitudes = np.minimum(wanted * gain / np.sqrt(heard), LOUDEST * gain.clip(max=1))
        found = lufs_of_powers(2 * amplitudes**2 * heard, np.ones(len(heard)))
        wanted *= 10 ** ((recipe.lufs - found) / 20)
    return np.asarray(amplitudes)


def _wandering(random: np.random.Generator, seconds: Floats, apart: tuple[float, float]) -> Floats:
    """A slow random course [n] around 0, of deviation 1 about, at some moments: eased from one value to the next."""
    steps = random.uniform(*apart, int(seconds[-1] / apart[0]) + 3)
    at = np.concatenate([[-random.uniform(0, apart[0])], np.cumsum(steps)])
    return walked(random.standard_normal((len(at), 1)), np.interp(seconds, at, np.arange(len(at))))[:, 0]


def _bed(
    recipe: Recipe, header: Header, network: TimbreNetwork, envelope: Envelope
) -> Mapping[int, NoiseStream]:
    """The effects, as noise of the file."""
    random = recipe.random(EFFECTS)
    if recipe.folder:
        if not Path(recipe.folder).is_dir():
            raise InputError(f"{recipe.folder}: is no effect ({', '.join(TEXTURES)}), and no folder")
        loops, places = _recordings(network, recipe.folder, random)
        bed = RecordedBed(loops, places, random, recipe.seconds)
        return bed.streams(header, envelope)
    if not recipe.textures:
        return {}
    made = texture_bed(recipe.textures, random, recipe.seconds)
    return noise_streams(faded(made, envelope), header)


def _recordings(network: TimbreNetwork, folder: str, random: np.random.Generator) -> tuple[list[Loop], Floats]:
    """Some loops of a folder, drawn, and their places in the space of timbres."""
    files = sound_files(folder)
    drawn = np.sort(random.permutation(len(files))[:MOST_RECORDINGS])
    loops = readable([files[row] for row in drawn], lambda path: _loop(path, path.stat().st_mtime_ns))
    return loops, np.stack([vector_of_loop(network, loop.audio) for loop in loops])


@lru_cache(maxsize=2 * MOST_RECORDINGS)
def _loop(path: Path, modified: int) -> Loop:
    """For an album, of whose songs each has them."""
    return loop_of(path)


def _coded(kind: int, stream: Stream, header: Header, index: int) -> StreamData:
    return coded_stream(kind, stream, StreamContext.of_segment(header, index))
