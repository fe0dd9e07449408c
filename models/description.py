"""A whole file as events and noise: what happens in it, and how all else is coloured (`--hints noise`).

The decomposition is made once, and gives more events than a file can hold. How many of them stay follows from the
bitrate, counted in bytes of the finished file: those that bring most for their bits, wherever they are, so that silence
costs nothing and dense passages have more. The noise stands for what those that stay leave over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.events import by_segment
from evc.format.header import Header
from evc.format.networks import installed_network
from evc.format.segment import Segment, StreamData
from evc.format.streams import Stream, StreamContext, coded_stream
from evc.format.streams.events import EventStream
from evc.models.device import one_thread
from evc.models.encoded import Encoded, target_bytes
from evc.models.events.columns import EventColumns
from evc.models.events.layer import event_renderer
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.noise.encoder import NoiseEncoder, NoiseTargets
from evc.models.progress import Progress, forward, part, stage
from evc.models.search import Secant
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource, padded

SEGMENT_SUPERFRAMES = 176  # 16 s at 44.1 kHz: a segment costs some 40 bytes, whatever is in it
USUAL_NOISE, MOST_NOISE = 0.15, 0.5  # of the streams' bytes, where there are events to spend the rest on
EVENT_BYTES = 5.0  # as a first guess
CANDIDATES = 1.3  # times the events that fit are looked for
DETAIL = 60.0  # of the noise, in squared dB per bit, unless it then takes more than MOST_NOISE,
DETAILS = (4.0, 16000.0)  # or there is room for more
DETAIL_SLOPE = -0.75  # d log(bytes) / d log(detail), before two probes tell it,
DETAIL_SLOPES = (-2.0, -0.2)  # and those that are believed
ROUGHLY = 0.1  # of log(bytes) of the noise: the events make up for it
PROBES = 8
ACCEPTED = 0.003  # of the file's bytes
SAMPLED_SEGMENTS = 4  # on which the detail is searched, evenly spread over the file
PASSES = 3  # at most: what the noise takes depends on the events, and the other way round
SETTLED = 0.15  # of the number of events
DECOMPOSING = 0.8  # of the whole work, for showing progress

CodedStreams = Mapping[int, StreamData]  # by segment


def described(
    source: AudioSource,
    header: Header,
    settings: EncodeSettings,
    tag_bytes: int,
    progress: Progress | None = None,
) -> Encoded:
    """The segments of a whole source as events and noise, and the header for them; the arguments are those of
    `pipeline.encode`. Raises UnsupportedError if the network is missing."""
    header = description_header(header)
    if not header.known_frames:
        return Encoded(replace(header, layers=(), networks=()), [])
    found = Describer.of(source, header, settings, settings.known_bitrate, part(progress, 0, DECOMPOSING))
    return found.to_target(target_bytes(header, settings.known_bitrate, tag_bytes), part(progress, DECOMPOSING, 1.0))


def description_header(header: Header) -> Header:
    """The header of a file of events and noise, from one of the same source: long segments, one if it can be."""
    superframe = c.superframe_length(header.samplerate)
    count = -(-header.known_frames // superframe)
    length = max(count, 1) if count <= c.MAX_SUPERFRAMES_PER_SEGMENT else SEGMENT_SUPERFRAMES
    network = installed_network(EVENTS_NETWORK)
    return replace(header, layers=("events", "noise"), networks=(network,), segment_frames=length * superframe)


class Describer:
    """Chooses among the `events` of a source by their `gains` [events], and codes them and the noise."""

    def __init__(self, source: AudioSource, header: Header, events: EventStream, gains: NDArray[np.float64]) -> None:
        self._source, self._header = source, header
        permitted = _permitted(events, gains, header)
        self._events = events.chosen(permitted)
        self._order = np.argsort(-gains[permitted], kind="stable")
        self._coded: dict[int, CodedStreams] = {}  # by the number of events
        self._noise, self._detail = NoiseEncoder(header.samplerate, header.channels), DETAIL
        self._renderer = event_renderer(header.networks[0], header)

    @classmethod
    def of(
        cls, source: AudioSource, header: Header, settings: EncodeSettings, bitrate: float,
        progress: Progress | None = None,
    ) -> Self:
        """With as many events as `bitrate` kbit/s may need. Raises UnsupportedError if the network is missing."""
        from evc.models.events.decompose import decompose

        density = CANDIDATES * bitrate * 125 / EVENT_BYTES
        events, gains = decompose(source, header, settings.effort, settings.device, progress, density)
        return cls(source, header, events, gains)

    @classmethod
    def without_events(cls, source: AudioSource, header: Header) -> Self:
        """For noise alone."""
        return cls(source, header, EventStream(), np.zeros(0))

    def within(self, source: AudioSource, chosen: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> Self:
        """Another, of what is left of a source, with those events whose frames `chosen` takes."""
        ranks = np.empty(len(self._order))
        ranks[self._order] = -np.arange(len(self._order), dtype=float)
        taken = chosen(self._events.times >> self._header.phase_bits)
        return type(self)(source, self._header, self._events.chosen(taken), ranks[taken])

    def to_target(self, target: float, progress: Progress | None) -> Encoded:
        """The segments of a file of `target` bytes without tags, or of fewer if there is no more to tell."""
        with one_thread():
            return self._to_target(target, progress)

    def _to_target(self, target: float, progress: Progress | None) -> Encoded:
        room = target - self._size({}, {})
        least, most = (0.0, MOST_NOISE * room) if len(self._events) else (room, room)  # bytes of noise
        guess = min(len(self._events), round(room / EVENT_BYTES))
        count = self._count(target - USUAL_NOISE * room, {}, guess, SETTLED)
        for number in range(PASSES):
            noise = self._coded_noise(count, least, most, stage(progress, number, PASSES))
            before, count = count, self._count(target, noise, count, ACCEPTED)
            spare = target - self._size(self._coded_events(count), {})
            if count == len(self._events) and spare > (1 + SETTLED) * max(_words(noise), least):
                least = most = spare  # there are no more events to spend it on
            elif abs(count - before) <= SETTLED * before:
                break
        if progress is not None:
            progress(self._header.known_frames, self._header.known_frames)
        return self._encoded(self._coded_events(count), noise)

    def _count(self, target: float, noise: CodedStreams, guess: int, tolerance: float) -> int:
        """How many events fit into a file of `target` bytes beside the noise; it may be smaller by `tolerance`."""

        def size(count: int) -> int:
            return self._size(self._coded_events(count), noise)

        low, least = 0, size(0)
        high, most = len(self._events) + 1, math.inf
        count, each = min(max(guess, 1), high - 1), EVENT_BYTES
        for _ in range(PROBES):
            if not low < count < high:
                break
            found = size(count)
            each = abs(found - least) / (count - low) or each
            if found > target:
                high, most = count, found
            else:
                low, least = count, found
            if 0 <= target - found <= tolerance * target:
                break
            if most < math.inf:
                each = (most - least) / (high - low)
            aim = target - tolerance / 2 * target
            count = min(max(low + round((aim - least) / each), low + 1), high - 1)
        return low

    # --- Events -------------------------------------------------------------------------------

    def _kept(self, count: int) -> EventStream:
        return self._events.chosen(np.sort(self._order[:count]))

    def _coded_events(self, count: int) -> CodedStreams:
        if count not in self._coded:
            found = by_segment(self._kept(count), self._header)
            self._coded[count] = {i: _coded(stream, c.STREAM_EVENTS, self._header, i) for i, stream in found.items()}
        return self._coded[count]

    def _columns(self, count: int) -> EventColumns:
        header = self._header
        return EventColumns.of(self._kept(count), header.samplerate, header.phase_bits, header.networks[0])

    # --- Noise --------------------------------------------------------------------------------

    def _coded_noise(self, count: int, least: float, most: float, progress: Progress | None) -> CodedStreams:
        """The noise of all segments beside `count` events, in about `least` to `most` bytes."""
        segments, events = self._header.segments, self._columns(count)
        sample = sorted({(2 * i + 1) * segments // (2 * SAMPLED_SEGMENTS) for i in range(SAMPLED_SEGMENTS)})
        share = sum(self._header.segment_span(index)[1] for index in sample) / self._header.known_frames
        targets = {index: self._targets(index, events) for index in sample}
        coded = self._sampled_noise(targets, least * share, most * share)
        for index in range(segments):
            if index not in targets:
                coded.update(self._fitted(index, self._targets(index, events)))
            forward(progress, self._header, index)
        return coded

    def _sampled_noise(self, targets: Mapping[int, NoiseTargets], least: float, most: float) -> dict[int, StreamData]:
        """The noise of some segments in about `least` to `most` bytes; moves the detail so that it is."""
        limits = math.log(DETAILS[0]), math.log(DETAILS[1])
        search = Secant(math.log(self._detail), DETAIL_SLOPE, DETAIL_SLOPES, limits)
        for _ in range(PROBES):
            coded: dict[int, StreamData] = {}
            for index, found in targets.items():
                coded.update(self._fitted(index, found))
            words, before = max(_words(coded), 1), search.at
            off = math.log(words / min(max(words, least), most))
            search.probed(off)
            if abs(off) < ROUGHLY or search.at == before:
                break
            self._detail = math.exp(search.at)
        return coded

    def _fitted(self, index: int, targets: NoiseTargets) -> CodedStreams:
        """The noise of one segment, none if it is silent."""
        stream = self._noise.fit(targets, self._detail)
        return {} if stream is None else {index: _coded(stream, c.STREAM_NOISE, self._header, index)}

    def _targets(self, index: int, events: EventColumns) -> NoiseTargets:
        margin = self._noise.margin
        start, frames = self._header.segment_span(index)
        span = start - margin, frames + 2 * margin
        original = padded(self._source.read, self._source.channels, self._source.frames, *span)
        return self._noise.prepare(original, self._renderer.render(*events, *span))

    # --- Files --------------------------------------------------------------------------------

    def _size(self, events: CodedStreams, noise: CodedStreams) -> int:
        return self._encoded(events, noise).bytes()

    def _encoded(self, events: CodedStreams, noise: CodedStreams) -> Encoded:
        """Segments of what there is, under a header that names no more than that."""
        layers = tuple(name for name, streams in (("events", events), ("noise", noise)) if streams)
        networks = self._header.networks if events else ()
        segments = [
            Segment(index, streams=tuple(streams[index] for streams in (events, noise) if index in streams))
            for index in range(self._header.segments)
        ]
        return Encoded(replace(self._header, layers=layers, networks=networks), segments)


def _permitted(events: EventStream, gains: NDArray[np.float64], header: Header) -> NDArray[np.bool_]:
    """A mask of the events of highest gain of each segment, as many as it may hold."""
    permitted = np.zeros(len(events), bool)
    places = events.times // (header.segment_frames << header.phase_bits)
    superframe = c.superframe_length(header.samplerate)
    for index in np.unique(places):
        rows = np.flatnonzero(places == index)
        most = c.PLACED_PER_SUPERFRAME * -(-header.segment_span(int(index))[1] // superframe)
        permitted[rows[np.argsort(-gains[rows], kind="stable")[:most]]] = True
    return permitted


def _coded(stream: Stream, kind: int, header: Header, index: int) -> StreamData:
    return coded_stream(kind, stream, StreamContext.of_segment(header, index))


def _words(streams: CodedStreams) -> int:
    """Bytes of all coded words."""
    return sum(len(stream.words) for stream in streams.values())
