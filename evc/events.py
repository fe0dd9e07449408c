"""Events as people and programs see them: moments, amplitudes, pans and vectors (spec 7.1). NumPy only.

What a file stores are integers (`EventStream`). Here they are read into a list, edited, and written into another file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.event_files import event_streams, with_events, write_link
from evc.facts import FileFacts
from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.errors import InputError
from evc.format.events import by_segment, events_network, in_file
from evc.format.header import Header, NetworkReference
from evc.format.lazy import cached_property
from evc.format.streams.events import EventStream
from evc.models.events.codebooks import Codebooks
from evc.models.events.columns import EventColumns
from evc.models.events.noise_source import event_keys
from evc.models.events.vectors import (
    MIDI_0_HZ,
    PART_INDEX,
    PARTS,
    PITCH_MIDDLE,
    PITCH_PER_SEMITONE,
    STEPS_PER_OCTAVE,
    VECTOR_DIMS,
)
from evc.streaming import PathOrFile, seekable_output

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

SLOW_ATTACK = 4  # codes of attacks from here on rise so slowly, in 60 ms or more, that they tell no onset


class EventList:
    """Events in order of time, and edits of them. An edit makes a new list; none changes what it is called on.

    times       float64 [events], in seconds
    amplitudes  float64 [events], 1 being full scale
    pans        float64 [events], from -1 (left) to 1 (right)
    vectors     float32 [events, 32]; the parts' dimensions are those of `PARTS`
    samplerate  of the file; what `phases` refers to
    network     whose codebooks the codes are of, None if there are no codes
    codes       int64 [events, parts] as a file has them, None once an edit has touched the vectors

    A list that was read from a file finds its vectors when they are asked for. UnsupportedError then means that the
    network is not installed; all else needs none.
    """

    def __init__(
        self,
        times: ArrayLike,
        amplitudes: ArrayLike,
        pans: ArrayLike,
        vectors: ArrayLike | None = None,
        samplerate: int = 44_100,
        *,
        codes: ArrayLike | None = None,
        network: NetworkReference | None = None,
    ) -> None:
        """Either `vectors` or `codes`. Raises InputError for arrays that do not fit each other."""
        if (vectors is None) == (codes is None):
            raise InputError("events need either vectors or codes")
        columns = [np.atleast_1d(np.asarray(column, np.float64)) for column in (times, amplitudes, pans)]
        rows = np.asarray(codes, np.int64) if vectors is None else np.asarray(vectors, np.float32)
        if any(column.shape != rows.shape[:1] for column in columns) or rows.ndim != 2:
            raise InputError("events need a time, an amplitude, a pan and a vector each")
        if vectors is not None and rows.shape[1] != VECTOR_DIMS:
            raise InputError(f"event vectors have {VECTOR_DIMS} dimensions, not {rows.shape[1]}")
        if not all(np.isfinite(values).all() for values in (*columns, rows)):
            raise InputError("an event has a value that is not finite")
        order = np.argsort(columns[0], kind="stable")
        self.times, self.amplitudes, self.pans = (column[order] for column in columns)
        self.samplerate = samplerate
        self.network = network
        self.codes: Integers | None = None
        if vectors is None:
            self.codes = rows[order].astype(np.int64)
        else:
            self.__dict__["vectors"] = rows[order].astype(np.float32)

    @classmethod
    def from_coded(cls, coded: EventStream, samplerate: int, phase_bits: int, network: NetworkReference | None) -> Self:
        """What integers stand for, with times from the start of the file."""
        times = coded.times / (1 << phase_bits) / samplerate
        columns = (times, coded.linear_amplitudes(), coded.unit_pans())
        return cls(*columns, None, samplerate, codes=coded.codes, network=network)

    # --- What they are ------------------------------------------------------------------------

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """[events, 32]. Raises UnsupportedError where the file has codes of a network that is not installed."""
        if not len(self):
            return np.zeros((0, VECTOR_DIMS), np.float32)
        return Codebooks.of(self.network).codes_to_vectors(self.known_codes)

    @property
    def known_codes(self) -> Integers:
        """`codes`, or InputError once an edit has touched the vectors."""
        if self.codes is None:
            raise InputError("these events have vectors, no codes")
        return self.codes

    @property
    def phases(self) -> NDArray[np.complex128]:
        """Unit complex [events]: e^(2*pi*i*fraction) of the fraction of a frame at which each begins."""
        frames = self.times * self.samplerate
        return np.asarray(np.exp(2j * np.pi * (frames - np.floor(frames))))

    @property
    def notes(self) -> Reals:
        """MIDI note numbers with fractions [events]. Needs no network."""
        if self.codes is not None:
            return self.codes[:, 0] / PITCH_PER_SEMITONE
        return (PITCH_MIDDLE + STEPS_PER_OCTAVE * self.part("pitch")[:, 0].astype(float)) / PITCH_PER_SEMITONE

    @property
    def frequencies(self) -> Reals:
        """Of the first partial, in Hz [events]."""
        return np.asarray(MIDI_0_HZ * 2 ** (self.notes / 12))

    def onsets(self, gap: float = 0.03) -> Reals:
        """Moments in seconds at which something begins, ascending: of events that rise fast. Those that follow the
        first of them by less than `gap` belong to it."""
        times = self.times
        if self.codes is not None and self.codes.shape[1] == len(PARTS):
            times = times[self.codes[:, PART_INDEX["attack"]] < SLOW_ATTACK]
        kept: list[float] = []
        for time in times.tolist():
            if not kept or time - kept[-1] >= gap:
                kept.append(time)
        return np.array(kept)

    def part(self, name: str) -> NDArray[np.float32]:
        """One part of the vectors, by its name in `PARTS`: [events, dimensions]."""
        if name not in PART_INDEX:
            raise InputError(f"event vectors have no part {name}; they have: {', '.join(PART_INDEX)}")
        return self.vectors[:, PARTS[PART_INDEX[name]].dims]

    def columns(self, network: NetworkReference) -> EventColumns:
        """As a renderer with the generator of `network` takes them. Vectors that no file has had yet get the noise of
        the codes next to them. Raises UnsupportedError where a network is not installed."""
        codes = self.codes
        if codes is None:
            codes = Codebooks.of(network).vectors_to_codes(self.vectors)
        return EventColumns(self.times, self.amplitudes, self.pans, self.vectors, event_keys(codes))

    def coded(self, header: Header, like: EventStream | None = None) -> EventStream:
        """The nearest integers that a file of this header can hold, with the steps of `like`, and times from its start.
        Silent events are left out.

        Raises UnsupportedError where vectors need codes of a network that is not installed.
        """
        like = EventStream() if like is None else like
        events = self[self.amplitudes != 0]
        seconds = np.clip(events.times, -1, header.known_frames / header.samplerate + 1)  # those outside go later
        times = np.rint(seconds * header.samplerate * (1 << header.phase_bits)).astype(np.int64)
        decibels = 20 * np.log10(np.abs(events.amplitudes))
        levels = np.rint(decibels * c.AMPLITUDE_UNITS_PER_DB / like.amplitude_step).astype(np.int64)
        least = levels.max(initial=-c.MAX_AMPLITUDE_LEVEL) - (1 << c.AMPLITUDE_COUNT_BITS) + 1
        levels = np.clip(levels, max(least, -c.MAX_AMPLITUDE_LEVEL), c.MAX_AMPLITUDE_LEVEL)
        pans = np.rint(np.clip(events.pans, -1, 1) * like.pan_steps).astype(np.int64)
        codes, sizes = events.codes, like.sizes
        if codes is None or events.network != events_network(header):
            books = Codebooks.of(events_network(header))
            codes, sizes = books.vectors_to_codes(events.vectors), books.sizes
        return EventStream(times, levels, pans, codes, sizes, like.amplitude_step, like.pan_steps)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        span = f", {self.times[0]:.3f} to {self.times[-1]:.3f} s" if len(self) else ""
        return f"EventList({len(self)} events{span})"

    def __getitem__(self, chosen: Any) -> EventList:
        """Those that a mask, indices, a slice or one index choose, in order of time."""
        if not isinstance(chosen, (int, slice)):
            chosen = np.asarray(chosen)
            chosen = chosen if chosen.size else chosen.astype(np.int64)
        try:
            rows = np.atleast_1d(np.arange(len(self))[chosen])
        except IndexError as error:
            if isinstance(chosen, int):
                raise  # which also ends a loop over the list
            raise InputError(f"of {len(self)} events: {error}") from error
        return self._with(self.times[rows], self.amplitudes[rows], self.pans[rows], rows)

    # --- Edits --------------------------------------------------------------------------------

    def randomized_vectors(self, seed: int = 0) -> EventList:
        """Other sounds at the same moments: each part of each vector is that of an event chosen at random."""
        random = np.random.default_rng(seed)
        vectors = self.vectors.copy()
        for part in PARTS:
            vectors[:, part.dims] = self.vectors[random.permutation(len(self)), part.dims]
        return self.with_vectors(vectors)

    def randomized_times(self, seed: int = 0) -> EventList:
        """The same events at random moments between the first and the last."""
        first, last = (self.times[0], self.times[-1]) if len(self) else (0.0, 0.0)
        return self._with(np.random.default_rng(seed).uniform(first, last, len(self)), self.amplitudes, self.pans)

    def perturbed(self, scale: float, seed: int = 0) -> EventList:
        """All vectors moved by the same random vector, of normal deviates times `scale`."""
        return self.with_vectors(self.vectors + scale * np.random.default_rng(seed).standard_normal(VECTOR_DIMS))

    def transposed(self, semitones: float) -> EventList:
        """All pitches moved by as many semitones."""
        vectors = self.vectors.copy()
        vectors[:, PARTS[PART_INDEX["pitch"]].dims] += semitones / 12
        return self.with_vectors(vectors)

    def shifted(self, seconds: float) -> EventList:
        """All events later, or earlier if negative. Those that then lie outside a file are not written to it."""
        return self._with(self.times + seconds, self.amplitudes, self.pans)

    def scaled(self, gain: float) -> EventList:
        """All amplitudes times `gain`."""
        return self._with(self.times, self.amplitudes * gain, self.pans)

    def with_vectors(self, vectors: ArrayLike) -> EventList:
        """Other vectors [events, 32] at the same moments."""
        return EventList(self.times, self.amplitudes, self.pans, vectors, self.samplerate, network=self.network)

    def merged(self, other: EventList) -> EventList:
        """The events of both."""
        return joined([self, other])

    def save(self, path: PathOrFile, like: FileFacts) -> None:
        """Write an .evc file with these events in place of those of `like`, an open file, all else of which is kept:
        see `evc.write_events`."""
        write_events(path, self, like)

    def _with(
        self, times: ArrayLike, amplitudes: ArrayLike, pans: ArrayLike, rows: Integers | slice = slice(None)
    ) -> EventList:
        """The vectors, or codes, of `rows` under other columns."""
        columns = times, amplitudes, pans
        if self.codes is None:
            return EventList(*columns, self.vectors[rows], self.samplerate, network=self.network)
        return EventList(*columns, None, self.samplerate, codes=self.codes[rows], network=self.network)


def joined(lists: Sequence[EventList]) -> EventList:
    """The events of all lists, of which there is at least one. Codes that some have fewer of are -1 there."""
    times = np.concatenate([part.times for part in lists])
    amplitudes = np.concatenate([part.amplitudes for part in lists])
    pans = np.concatenate([part.pans for part in lists])
    networks = [part.network for part in lists]
    codes = [part.codes for part in lists if part.codes is not None]
    samplerate, network = lists[0].samplerate, next((known for known in networks if known is not None), None)
    if len(codes) == len(lists) and len(set(networks)) == 1:
        most = max(part.shape[1] for part in codes)
        filled = [np.pad(part, ((0, 0), (0, most - part.shape[1])), constant_values=-1) for part in codes]
        return EventList(times, amplitudes, pans, None, samplerate, codes=np.concatenate(filled), network=network)
    vectors = np.concatenate([part.vectors for part in lists])
    return EventList(times, amplitudes, pans, vectors, samplerate, network=network)


def read_events(decoder: SegmentDecoder) -> EventList:
    """All events of a file. In salvage mode those of damaged segments are missing."""
    header, network = decoder.container.header, events_network(decoder.container.header)
    parts = [
        EventList.from_coded(in_file(stream, header, index), header.samplerate, header.phase_bits, network)
        for index, stream in event_streams(decoder).items()
    ]
    return joined(parts or [EventList.from_coded(EventStream(), header.samplerate, header.phase_bits, network)])


def write_events(target: PathOrFile, events: EventList, like: FileFacts, overwrite: bool = True) -> None:
    """Write an .evc file with `events` in place of those of `like`, an open file, and all else that is in it: length,
    tags, patterns, spectrum, noise. Unknown optional chunks are left out, and so are events that begin outside the
    file. Times are those of the coded timeline; an edit list stays (spec 3.7).

    `target` is a path, where the file appears when it is complete, or an open binary file. Raises UnsupportedError if
    the network of the events is not installed, InputError for more events than a segment may hold.
    """
    with seekable_output(target, overwrite) as output:
        for container, start in zip(like.chain.links, like.chain.starts, strict=True):
            decoder = SegmentDecoder(container)
            header = with_events(container.header, events.network)
            steps = next(iter(event_streams(decoder).values()), None)
            coded = events.shifted(-start / like.samplerate).coded(header, steps)
            write_link(output, by_segment(coded, header), header, decoder)
