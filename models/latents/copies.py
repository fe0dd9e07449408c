"""Which stretches of a file with latents repeat its own output, an occurrence in place of all that would tell them
(spec 10.14).

A first file, without copies, tells what is lost: where its output one lag earlier is about as near to the source as
what it has there itself, a copy saves all bits, and what is left of the file shares these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.sources import needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.models.encoded import Encoded, with_references
from evc.models.hearing import mel_distances
from evc.models.latents.layout import SAMPLES_PER_COLUMN
from evc.models.patterns.correlation import History
from evc.models.patterns.repeats import covered
from evc.models.patterns.search import LagSearch
from evc.models.patterns.timeline import delayed
from evc.models.progress import Progress
from evc.models.source import AudioSource, Read, padded
from evc.models.units import Audio

SPAN_SUPERFRAMES = 64 * c.DEFAULT_SUPERFRAMES_PER_SEGMENT  # how far back copies reach: bounds memory
MOST_LAGS = 6  # that are tried in a superframe
WORTH = 0.15  # of a superframe that needs no bits, as mel distance,
SWITCH = 0.3  # and what another lag costs
MARGIN = 2048  # frames of context to measure distances in
INSIDE = SAMPLES_PER_COLUMN  # frames that are told at either end of what is copied, since networks see them beside it
MOST_GENERATIONS = 4  # of copies of copies: bounds what has to be decoded to play from anywhere
LEAST_SHARE = 0.02  # of a file, that copies have to cover to be worth a try

Lags = list[int | None]  # by superframe, in fractions of a frame


@dataclass(frozen=True)
class Copies:
    """The lag of every superframe that is copied."""

    lags: Lags
    superframe: int

    @property
    def share(self) -> float:
        """Of the superframes."""
        return sum(lag is not None for lag in self.lags) / max(len(self.lags), 1)

    def untold(self) -> list[tuple[int, int]]:
        """Spans of frames [begin, end) of which nothing needs to be told: what is copied, but for its ends."""
        spans = []
        for copied, group in groupby(enumerate(self.lags), lambda one: one[1] is not None):
            numbers = [number for number, _ in group]
            begin, end = numbers[0] * self.superframe + INSIDE, (numbers[-1] + 1) * self.superframe - INSIDE
            if copied and begin < end:
                spans.append((begin, end))
        return spans

    def told(self, frames: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these frames lie elsewhere."""
        told = np.ones(len(frames), bool)
        for begin, end in self.untold():
            told &= (frames < begin) | (frames >= end)
        return told

    def columns(self, count: int) -> NDArray[np.bool_]:
        """Which of `count` columns need no latents."""
        first = np.arange(count) * SAMPLES_PER_COLUMN
        untold: NDArray[np.bool_] = ~(self.told(first) | self.told(first + SAMPLES_PER_COLUMN - 1))
        return untold

    def streams(self, header: Header) -> Iterator[tuple[int, OccurrenceStream]]:
        """The occurrences, by segment."""
        per_segment, unit = header.segment_frames // self.superframe, self.superframe << header.phase_bits
        for index in range(header.segments):
            found = list(_runs(self.lags[index * per_segment : (index + 1) * per_segment]))
            if found:
                zeros = np.zeros(len(found), np.int64)
                yield index, OccurrenceStream(
                    times=np.array([begin * unit for begin, _, _ in found]),
                    patterns=zeros + COPY,
                    lags=np.array([lag for _, _, lag in found]),
                    offsets=zeros,
                    lengths=np.array([(end - begin) * self.superframe for begin, end, _ in found]),
                    inverted=zeros,
                    shifts=zeros,
                    rotations=zeros,
                    copied=Gains(np.zeros((len(found), 1, 1), np.int64)),
                )

    def added_to(self, file: Encoded) -> Encoded:
        """The same file with these copies."""
        header, segments = file.header, list(file.segments)
        header = replace(header, layers=("patterns", *header.layers))
        for index, stream in self.streams(header):
            context, (start, _) = StreamContext.of_segment(header, index), header.segment_span(index)
            sources = sound_sources(stream, [], context, start)
            rates = header.samplerate, header.phase_bits
            needed = needed_segments(sources, *rates, start, header.segment_frames)
            coded = coded_stream(c.STREAM_OCCURRENCES, stream, context)
            streams = coded, *segments[index].streams
            segments[index] = replace(segments[index], dependencies=tuple(sorted(needed)), streams=streams)
        return Encoded(with_references(header, segments), segments)


class LeftOver:
    """A source that is silent where nothing needs to be told."""

    def __init__(self, source: AudioSource, copies: Copies) -> None:
        self._source, self._spans, self._fade = source, copies.untold(), copies.superframe // c.REPEAT_FADES
        self.samplerate, self.channels, self.frames = source.samplerate, source.channels, source.frames
        self.subtype, self.tags = source.subtype, source.tags

    def read(self, start: int, count: int) -> Audio:
        audio = self._source.read(start, count)
        for begin, end in self._spans:
            if begin - self._fade < start + count and start < end + self._fade:
                audio = audio * (1 - covered(begin, end, start, count, self._fade))
        return audio


def chosen_copies(
    source: AudioSource, header: Header, decoded: Read, effort: int, progress: Progress | None = None
) -> Copies | None:
    """The copies that are worth it, None if these are too few. `decoded` renders a file without any, of this header."""
    size = c.superframe_length(header.samplerate)
    values = list(_values(source, header, decoded, effort, progress))
    lags = _to_origins(_best(values), size << header.phase_bits)
    found = Copies(lags, size)
    return found if found.share >= LEAST_SHARE else None


def _values(
    source: AudioSource, header: Header, decoded: Read, effort: int, progress: Progress | None
) -> Iterator[dict[int, float]]:
    """What copies are worth, by lag, in every superframe."""
    size, bits, shape = c.superframe_length(header.samplerate), header.phase_bits, (source.channels, source.frames)
    search = LagSearch(source, SPAN_SUPERFRAMES * size, effort, bits)
    kept = min(SPAN_SUPERFRAMES * size, source.frames) + 2 * search.per_segment * size
    past = History(kept, np.float32, (source.channels,))
    number = 0
    for candidates in search.run(progress):
        start, frames = number * size, len(candidates) * size
        past.append(padded(decoded, *shape, past.end, start + frames + MARGIN - past.end))
        span = start - MARGIN, frames + 2 * MARGIN
        wanted, own = padded(source.read, *shape, *span), past.view(span[0], sum(span))
        plain = mel_distances(own, wanted, header.samplerate, size, MARGIN)
        values: list[dict[int, float]] = [{} for _ in candidates]
        tried: dict[int, list[int]] = {}
        for place, found in enumerate(candidates):
            for one in found[:MOST_LAGS]:
                if (one.lag >> bits) + MARGIN <= start + place * size:
                    tried.setdefault(one.lag, []).append(place)
        for lag, places in tried.items():
            for first, end in _joined(places):
                part = slice(first * size, end * size + 2 * MARGIN)
                heard = delayed(
                    lambda at, count: past.view(at, at + count), span[0] + part.start, part.stop - part.start, lag, bits
                )
                distances = mel_distances(heard, wanted[:, part], header.samplerate, size, MARGIN)
                for place, distance in zip(range(first, end), distances, strict=True):
                    values[place][lag] = WORTH + float(plain[place] - distance)
        yield from values
        number += len(candidates)


def _joined(places: list[int]) -> Iterator[tuple[int, int]]:
    """Spans [first, end) of numbers that follow upon each other, ascending."""
    for _, group in groupby(enumerate(places), lambda one: one[1] - one[0]):
        numbers = [place for _, place in group]
        yield numbers[0], numbers[-1] + 1


def _best(values: Iterable[dict[int, float]]) -> Lags:
    """The lag of each superframe, or None, of the succession that is worth most, by dynamic programming."""
    total: dict[int | None, float] = {None: 0.0}
    before: list[dict[int | None, int | None]] = []
    for own in values:
        best = max(total, key=total.__getitem__)
        then: dict[int | None, float] = {None: total[best]}
        came: dict[int | None, int | None] = {None: best}
        for lag, value in own.items():
            stay, change = total.get(lag, -np.inf), total[best] - SWITCH
            then[lag], came[lag] = max(stay, change) + value, lag if stay >= change else best
        total = then
        before.append(came)
    last = max(total, key=total.__getitem__)
    found: Lags = []
    for came in reversed(before):
        found.append(last)
        last = came[last]
    return found[::-1]


def _to_origins(lags: Lags, unit: int) -> Lags:
    """The same, with copies of what is copied itself led back to where that comes from, as far as copies may reach;
    without those of too many generations. unit: of a superframe, in fractions of a frame."""
    found, generations = list(lags), [0] * len(lags)
    for number in range(len(found)):
        lag = found[number]
        while lag is not None:
            sources = _sources(number, lag, unit)
            further = {found[source] for source in sources}
            (one, *others) = further
            if others or one is None or lag + one > SPAN_SUPERFRAMES * unit or _sources(number, lag + one, unit)[0] < 0:
                generations[number] = 1 + max(generations[source] for source in sources)
                break
            found[number] = lag = lag + one
        if generations[number] > MOST_GENERATIONS:
            found[number], generations[number] = None, 0
    return found


def _sources(number: int, lag: int, unit: int) -> range:
    """The superframes that are heard one lag later in superframe `number`, where it fades in and out included."""
    fade = unit // (2 * c.REPEAT_FADES) + 1
    first = number * unit - lag
    return range((first - fade) // unit, -(-(first + unit + fade) // unit))


def _runs(lags: Lags) -> Iterator[tuple[int, int, int]]:
    """Spans [begin, end) of one lag, and that."""
    for lag, group in groupby(enumerate(lags), lambda one: one[1]):
        numbers = [number for number, _ in group]
        if lag is not None:
            yield numbers[0], numbers[-1] + 1, lag
