"""Timbres as people and programs see them: a path through a space of sustained sounds (spec 8.3). NumPy only.

What a file stores are integers (`TimbreStream`). Here they are read into a path, edited, heard, and written into
another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.event_files import write_link
from evc.facts import FileFacts
from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.errors import InputError
from evc.format.header import Header, NetworkReference
from evc.format.networks import find, installed_network
from evc.format.streams.timbre import TimbreStream, step_size
from evc.format.timbres import TIMBRE, by_segment, in_file, timbre_network
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import TIMBRE_NETWORK
from evc.models.timbre.points import Points, amplitudes_of, levels_of
from evc.models.timbre.rendering import TimbreRenderer
from evc.models.timbre.spectra import transposed
from evc.streaming import PathOrFile, seekable_output

Reals = NDArray[np.float64]

DIMENSIONS = c.TIMBRE_DIMENSIONS
_LOUDEST_DB = 1000.0  # far above what a file can hold, and still a number as an amplitude


class TimbrePath:
    """Points in order of time, and edits of them. An edit makes a new path; none changes what it is called on. Between
    two points the sound moves in a straight line, before the first and behind the last it stays.

    times    float64 [points], in seconds
    vectors  float32 [points, 32]: places in the space of the network, in standard deviations of its prior
    levels   float64 [points]: root of the mean square in dB, 0 being full scale; -inf is silence
    widths   float64 [points], from 0, both channels the same, to 1, each its own
    network  whose space it is, None for the installed one
    step     index of the step size that the vectors came in, and go into a file with
    """

    def __init__(
        self,
        times: ArrayLike,
        vectors: ArrayLike,
        levels: ArrayLike,
        widths: ArrayLike = 0.5,
        *,
        network: NetworkReference | None = None,
        step: int = c.DEFAULT_TIMBRE_STEP,
    ) -> None:
        """Raises InputError for arrays that do not fit each other."""
        try:
            if any(map(np.iscomplexobj, (times, vectors, levels, widths))):
                raise ValueError("complex")
            self.times = np.atleast_1d(np.asarray(times, np.float64))
            shape = self.times.shape
            self.levels, self.widths = (np.broadcast_to(np.asarray(x, np.float64), shape) for x in (levels, widths))
            self.vectors = np.asarray(vectors, np.float32).reshape(len(self.times), DIMENSIONS)
        except (TypeError, ValueError) as error:
            raise InputError(f"timbres need a time, a vector of {DIMENSIONS}, a level and a width each") from error
        finite = all(np.isfinite(values).all() for values in (self.times, self.vectors, self.widths))
        if self.times.ndim != 1 or not finite or np.isnan(self.levels).any() or (self.levels == np.inf).any():
            raise InputError("a timbre has a value that is not finite")
        if not isinstance(step, (int, np.integer)) or not 0 <= step < 1 << c.TIMBRE_STEP_BITS:
            raise InputError("the step of the timbres is out of range")
        order = np.argsort(self.times, kind="stable")
        self.times, self.vectors = self.times[order], self.vectors[order]
        self.levels, self.widths = self.levels[order], np.clip(self.widths[order], 0, 1)
        self.network, self.step = network, step

    @classmethod
    def from_coded(cls, coded: TimbreStream, samplerate: int, network: NetworkReference | None) -> Self:
        """What integers stand for, with times from the start of the file."""
        times = coded.times * (c.superframe_length(samplerate) / samplerate)
        with np.errstate(divide="ignore"):
            levels = 20 * np.log10(amplitudes_of(coded.levels))
        vectors, widths = coded.vectors * step_size(coded.step), coded.widths / c.MAX_TIMBRE_WIDTH
        return cls(times, vectors, levels, widths, network=network, step=coded.step)

    # --- What they are ------------------------------------------------------------------------

    @property
    def amplitudes(self) -> Reals:
        """The levels as roots of mean squares [points], full scale 1."""
        return np.asarray(10 ** (np.minimum(self.levels, _LOUDEST_DB) / 20))

    def at(self, times: ArrayLike) -> TimbrePath:
        """Points of the path at other times, in seconds."""
        if not len(self):
            raise InputError("there are no timbres")
        whole = Points(self.times, self.vectors.astype(np.float64), self.amplitudes, self.widths)
        points = whole.at(np.atleast_1d(np.asarray(times, np.float64)))
        with np.errstate(divide="ignore"):
            levels = 20 * np.log10(points.amplitudes)
        return self._with(points.times, points.vectors, levels, points.widths)

    def model(self) -> TimbreNetwork:
        """The network of the path. Raises UnsupportedError if it is not installed."""
        return TimbreNetwork.load(find(self.network or installed_network(TIMBRE_NETWORK)))

    def values(self) -> NDArray[np.float32]:
        """The spectra of the points, float32 [points, 1233]: dB below their sum, brought to 0 ... 1. Raises
        UnsupportedError if the network is not installed."""
        return self.model().decoded(self.vectors)

    def coded(self, header: Header) -> TimbreStream:
        """The nearest integers that a file of this header can hold, with times from its start; of several points in one
        superframe the last."""
        superframe = c.superframe_length(header.samplerate)
        end = -(-header.known_frames // superframe)
        seconds = np.clip(self.times, -superframe, header.known_frames / header.samplerate + 1)
        times = np.rint(seconds * header.samplerate / superframe).astype(np.int64)
        times[(times == end) & (self.times * header.samplerate <= header.known_frames)] -= 1  # rounded to the very end
        chosen = np.append(np.diff(times) > 0, [True] * min(len(times), 1)) & (times >= 0) & (times < end)
        vectors = np.rint(self.vectors[chosen] / step_size(self.step))
        vectors = np.clip(vectors, -c.MAX_TIMBRE, c.MAX_TIMBRE).astype(np.int64)
        widths = np.rint(self.widths[chosen] * c.MAX_TIMBRE_WIDTH).astype(np.int64)
        return TimbreStream(times[chosen], vectors, levels_of(self.amplitudes[chosen]), widths, self.step)

    def rendered(self, samplerate: int, channels: int, frames: int, start: int = 0) -> NDArray[np.float32]:
        """What a file of this path alone sounds like: frames [start, start + frames) as float32 [channels, frames].
        Raises UnsupportedError if the network is not installed."""
        header = timbre_header(samplerate, channels, start + frames, self.network)
        streams = self.streams(header)
        per_segment = header.segment_frames // c.superframe_length(samplerate)
        near = {index: Points.of(stream, index * per_segment) for index, stream in streams.items()}
        return TimbreRenderer(self.model(), header).render(near, start, frames)

    def streams(self, header: Header) -> dict[int, TimbreStream]:
        """The points as a file of this header has them, by number of the segment. A segment in which the path goes on
        without any point of its own gets one, since one without is silent."""
        if not len(self):
            return {}
        superframe = c.superframe_length(header.samplerate)
        length = header.segment_frames // superframe
        coded = self.coded(header)
        starts = np.arange(header.segments) * length
        lacking = np.diff(np.searchsorted(coded.times, [*starts, starts[-1] + length if len(starts) else 0])) == 0
        if lacking.any():
            times = starts[lacking] * superframe / header.samplerate
            return self.at(np.union1d(self.times, times)).streams(header)
        return by_segment(coded, header)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        span = f", {self.times[0]:.1f} to {self.times[-1]:.1f} s" if len(self) else ""
        return f"TimbrePath({len(self)} points{span})"

    def __getitem__(self, chosen: Any) -> TimbrePath:
        """Those that a mask, indices or a slice choose."""
        rows = np.atleast_1d(np.arange(len(self))[chosen])
        return self._with(self.times[rows], self.vectors[rows], self.levels[rows], self.widths[rows])

    # --- Edits --------------------------------------------------------------------------------

    def wiggled(self, depth: float, period: float = 20.0, seed: int = 0, spacing: float = 1.5) -> TimbrePath:
        """The path coiled around itself: moved by u sin t + v cos t, t making a turn in `period` seconds, with random
        vectors u and v of length `depth` at a right angle. It gets a point every `spacing` seconds at least."""
        if period <= 0 or spacing <= 0:
            raise InputError("a wiggle needs a period and a spacing above 0")
        if not len(self):
            return self
        grid = np.arange(self.times[0], self.times[-1], spacing)
        path = self.at(np.union1d(self.times, grid))
        (sine, cosine), _ = np.linalg.qr(_generator(seed).standard_normal((DIMENSIONS, 2)))[0].T, None
        turns = 2 * np.pi * path.times[:, None] / period
        return path.with_vectors(path.vectors + depth * (sine * np.sin(turns) + cosine * np.cos(turns)))

    def transposed(self, semitones: float) -> TimbrePath:
        """All spectra moved by as many semitones, and looked up in the space again. Raises UnsupportedError if the
        network is not installed."""
        if not len(self):
            return self
        return self.with_vectors(self.model().encoded(transposed(self.values(), semitones)))

    def randomized_vectors(self, seed: int = 0) -> TimbrePath:
        """Other sounds at the same moments: each dimension of each vector is that of a point chosen at random."""
        random = _generator(seed)
        columns = [column[random.permutation(len(self))] for column in self.vectors.T]
        return self.with_vectors(np.stack(columns, axis=1))

    def perturbed(self, scale: float, seed: int = 0) -> TimbrePath:
        """All vectors moved by the same random vector, of normal deviates times `scale`."""
        return self.with_vectors(self.vectors + scale * _generator(seed).standard_normal(DIMENSIONS))

    def stretched(self, factor: float) -> TimbrePath:
        """All times times `factor`: slower above 1. Points that then lie outside a file are not written to it."""
        if not factor > 0:
            raise InputError("times can be stretched by what is above 0")
        return self._with(self.times * factor, self.vectors, self.levels, self.widths)

    def shifted(self, seconds: float) -> TimbrePath:
        """All points later, or earlier if negative. Those that then lie outside a file are not written to it."""
        return self._with(self.times + seconds, self.vectors, self.levels, self.widths)

    def scaled(self, decibels: float) -> TimbrePath:
        """Louder by as many dB."""
        return self._with(self.times, self.vectors, self.levels + decibels, self.widths)

    def with_vectors(self, vectors: ArrayLike) -> TimbrePath:
        """Other vectors [points, 32] at the same moments."""
        return self._with(self.times, vectors, self.levels, self.widths)

    def save(self, path: PathOrFile, like: FileFacts) -> None:
        """Write an .evc file with this path in place of that of `like`, an open file: see `evc.write_timbres`."""
        write_timbres(path, self, like)

    def _with(self, times: ArrayLike, vectors: ArrayLike, levels: ArrayLike, widths: ArrayLike) -> TimbrePath:
        return TimbrePath(times, vectors, levels, widths, network=self.network, step=self.step)


def _generator(seed: int) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InputError(f"{seed!r} is no seed: a whole number from 0 on is") from error


def joined_paths(paths: Sequence[TimbrePath]) -> TimbrePath:
    """All paths, of which there is at least one, as one. Raises InputError where their spaces differ."""
    some = [path for path in paths if len(path)]
    if len({path.network for path in some}) > 1:
        raise InputError("the parts of the file have timbres of different networks")
    if len(some) < 2:
        return (some or paths)[0]
    columns = [np.concatenate(column) for column in zip(*((p.times, p.vectors, p.levels, p.widths) for p in some))]
    return some[0]._with(*columns)


def timbre_header(
    samplerate: int, channels: int, frames: int, network: NetworkReference | None = None, layers: Sequence[str] = ()
) -> Header:
    """The header of a file of timbres, with the longest segments, and of other `layers` that need no network. Raises
    UnsupportedError if no network is named, and none is installed."""
    superframe = c.superframe_length(samplerate)
    count = min(max(-(-frames // superframe), 1), c.MAX_SUPERFRAMES_PER_SEGMENT)
    networks = (network or installed_network(TIMBRE_NETWORK),)
    layers = (*layers, TIMBRE)
    return Header(samplerate, channels, frames, layers=layers, segment_frames=count * superframe, networks=networks)


def read_timbres(decoder: SegmentDecoder) -> TimbrePath:
    """The path of a file. In salvage mode points of damaged segments are missing."""
    header = decoder.container.header
    network = timbre_network(header)
    parts = [
        TimbrePath.from_coded(in_file(stream, header, index), header.samplerate, network)
        for index, stream in decoder.streams(c.STREAM_TIMBRE)
        if len(stream)
    ]
    nothing = TimbrePath([], np.zeros((0, DIMENSIONS)), [], network=network)
    return joined_paths(parts or [nothing])


def write_timbres(target: PathOrFile, path: TimbrePath, like: FileFacts, overwrite: bool = True) -> None:
    """Write an .evc file with `path` in place of that of `like`, an open file, and all else that is in it: length,
    tags, patterns, spectrum, events, noise. Unknown optional chunks are left out, and so are points outside the file.
    Times are those of the coded timeline; an edit list stays (spec 3.7).

    `target` is a path, where the file appears when it is complete, or an open binary file. Raises UnsupportedError if
    the network of the timbres is not installed, InputError where `path` is no path or `like` no open file.
    """
    if not isinstance(path, TimbrePath):
        raise InputError(f"{type(path).__name__} is no path of timbres: evc.TimbrePath is")
    if not isinstance(like, FileFacts):
        raise InputError(f"{type(like).__name__} is no open .evc file: evc.open(path) is")
    with seekable_output(target, overwrite) as output:
        for container, start in zip(like.chain.links, like.chain.starts, strict=True):
            own, header = path.shifted(-start / like.samplerate), container.header
            streams: dict[int, TimbreStream] = {}
            inside = (own.times >= 0) & (own.times < header.known_frames / like.samplerate)
            if TIMBRE in header.layers or inside.any():
                header = _with_timbres(header, path.network)
                streams = own.streams(header)
            write_link(output, streams, header, SegmentDecoder(container), c.STREAM_TIMBRE)


def _with_timbres(header: Header, network: NetworkReference | None) -> Header:
    """The header with a layer of timbres, and their network in its place: `network`, or the file's own, or the
    installed one."""
    before = timbre_network(header)
    found = network or before or installed_network(TIMBRE_NETWORK)
    others = [other for other in header.networks if other not in (before, found)]
    place = len(others) - ("latent" in header.layers)
    layers = header.layers if before else (*header.layers, TIMBRE)
    return replace(header, layers=layers, networks=(*others[:place], found, *others[place:]))
