"""Conformance vectors of integers drawn at random, for branches that music rarely takes: long lists, escapes, far
distances, contexts that have settled, limits of what a later stream is guessed from."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header, NetworkReference
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.sources import decode_entry, needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Lattice, Pattern
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.noise import NoisePlane, NoiseStream, hops
from evc.format.streams.noise_changes import PlaneKind, plane_kinds
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.writer import ContainerWriter

RATE = 8000
SUPERFRAME = 1024  # at that rate

Integers = NDArray[np.int64]
Random = np.random.Generator


def occurrences() -> bytes:
    """More sources than a list keeps, that come back; times near and far, equal ones; a second dictionary between the
    segments."""
    header = Header(
        RATE, 2, 30_000, layers=("patterns",), segment_frames=8 * SUPERFRAME,
        reference_depth=3, reference_span=3, phase_bits=16,
    )  # fmt: skip
    random = np.random.default_rng(11)
    dictionaries: dict[int, list[Pattern]] = {
        0: [
            Excerpt(100, 400),
            Excerpt(50, 300),
            Excerpt(4000, 70),
            Excerpt(0, 1),
            drawn_lattice(random, (1000, 9, 65_535)),
        ],
        2: [*(Excerpt(900 + 7 * i, 100 + i) for i in range(20)), drawn_lattice(random, None)],
    }  # fmt: skip
    whole = StreamContext(header.samplerate, 2, header.known_frames, header.phase_bits)
    entries: list[Any] = []
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index in range(header.segments):
            if index in dictionaries:
                own = StreamContext(RATE, 2, header.known_frames, header.phase_bits, len(dictionaries[index]))
                stream = coded_stream(c.STREAM_DICTIONARY, DictionaryStream(dictionaries[index]), own)
                writer.add_dictionary(Dictionary(len(entries), len(dictionaries[index]), (stream,)))
                entries += [decode_entry(pattern, whole) for pattern in dictionaries[index]]
            start, frames = header.segment_span(index)
            context = StreamContext(RATE, 2, frames, header.phase_bits, len(entries))
            placed = _occurrences(random, context, start, [entry.pattern for entry in entries], index % 2)
            sources = sound_sources(placed, entries, context, start)
            needed = needed_segments(sources, RATE, header.phase_bits, start, header.segment_frames)
            streams = (coded_stream(c.STREAM_OCCURRENCES, placed, context),)
            writer.add_segment(Segment(index, tuple(sorted(needed)), streams))
    return target.getvalue()


def _occurrences(
    random: Random, context: StreamContext, start: int, patterns: list[Pattern], separate: int
) -> OccurrenceStream:
    one, copies, placements = 1 << context.phase_bits, 66, 24
    times = np.sort(random.integers(0, context.frames << context.phase_bits, copies))
    times[1::7], times[-1] = times[:-1:7], times[-2]
    least = c.least_lag(context.samplerate) * one
    lags = random.choice(least + random.integers(0, 2**33, 24), copies)
    lags[::9], lags[3] = least + random.integers(0, 1 << random.integers(1, 56, len(lags[::9]))), c.MAX_LAG
    numbers = random.choice([number for number, pattern in enumerate(patterns) if _decoded(pattern, start)], placements)
    wave = np.array([isinstance(patterns[number], Lattice) for number in numbers])
    offsets = random.integers(0, 60, placements) * (random.random(placements) < 0.5) * (numbers != 3)
    none, nothing = np.zeros(copies, np.int64), np.zeros(placements, np.int64)
    return OccurrenceStream(
        np.concatenate([np.sort(random.integers(0, context.frames, placements)) * one, times]),
        np.concatenate([numbers, none + COPY]),
        np.concatenate([nothing, lags]),
        np.concatenate([offsets, none]),
        np.concatenate([nothing + 9, random.choice([1, 2, 33, 100, 101, 102, 300], copies)]),
        random.integers(0, 2, placements + copies),
        np.concatenate([wave * random.choice([0, 1, -1, 2**30, -(2**30), 99_999], placements), none]),
        np.concatenate([wave * random.integers(0, 8, placements), none]),
        _gains(random, context, placements, Gains(stride=3 - separate, mid_side=bool(separate))),
        _gains(random, context, copies, Gains(stride=2 + 2 * separate, mid_side=not separate)),
        gain_resolution=100, polarity=True, spans=True, lattice=True, rotation_bits=3,
    )  # fmt: skip


def _gains(random: Random, context: StreamContext, count: int, settings: Gains) -> Gains:
    """Levels at random, some of them far away."""
    level = random.integers(-30, 31, (count, 2, len(settings.edges(context.samplerate)) - 1))
    level[random.random(count) < 0.1] *= 68
    return replace(settings, levels=np.where(random.random(level.shape) < 0.3, OFF, level))


def _decoded(pattern: Pattern, frame: int) -> bool:
    """Whether an entry can be placed from that frame on."""
    return not isinstance(pattern, Excerpt) or frame - pattern.start >= c.least_lag(RATE)


def drawn_lattice(random: Random, carrier: tuple[int, int, int] | None) -> Lattice:
    """Levels that jump and hardly move, by columns."""
    levels = np.clip(128 + np.cumsum(random.integers(-9, 10, (20, 11)), axis=1), 0, 255)
    levels[5:] = np.clip(levels[4] + np.cumsum(random.integers(-1, 2, (15, 11)), axis=0), 0, 255)
    levels[random.random(levels.shape) < 0.1] = 0
    return Lattice(6, 4, 7, 5, levels, random.integers(0, 32, levels.shape) * (levels > 0), carrier)


def events() -> bytes:
    """Many events of every code, pan and loudness, on the finest grid; amplitudes further apart than the tables reach;
    one pan, and more pans than the tables know; parts of other sizes."""
    header = Header(
        RATE, 2, 25_000, layers=("events",), segment_frames=8 * SUPERFRAME, phase_bits=16,
        networks=(NetworkReference("example", bytes(8)),),
    )  # fmt: skip
    kinds = [(150, 5, USUAL_SIZES), (100, 0, USUAL_SIZES), (60, 127, (8192, 200, 1, 3)), (40, 3, (8192,))]
    random = np.random.default_rng(12)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index, (count, pan_steps, sizes) in enumerate(kinds):
            frames = header.segment_span(index)[1]
            context = StreamContext(RATE, 2, frames, header.phase_bits)
            times = np.sort(random.integers(0, frames << header.phase_bits, count))
            times[1::5] = times[:-1:5]
            if index == 2:  # a few cells
                times = times >> 24 << 24
            codes = np.stack([random.integers(0, size, count) for size in sizes], axis=1)
            few = random.choice(codes[:6, 0], count) // 64 * 64 + random.integers(0, 64, count)
            codes[::2, 0] = few[::2]
            amplitudes = random.integers(-500, 500, count) // random.choice([1, 50], count)
            stream = EventStream(
                np.sort(times), amplitudes, random.integers(-pan_steps, pan_steps + 1, count), codes, sizes,
                1 + index, pan_steps,
            )  # fmt: skip
            writer.add_segment(Segment(index, (), (coded_stream(c.STREAM_EVENTS, stream, context),)))
    return target.getvalue()


def levels() -> bytes:
    """Noise of three channels whose levels jump over their whole range, in many stretches; contexts settle."""
    header = Header(RATE, 3, 8000, layers=("noise",), segment_frames=4 * SUPERFRAME)
    random = np.random.default_rng(13)
    return _noise_file(header, {
        index: [_plane(random, context, kind, stride, 12, 255) for kind, stride in zip(plane_kinds(3), (0, 7, 1, 1))]
        for index, context in enumerate(contexts(header))
    })  # fmt: skip


def contexts(header: Header) -> list[StreamContext]:
    spans = [header.segment_span(index)[1] for index in range(header.segments)]
    return [StreamContext(header.samplerate, header.channels, frames, header.phase_bits) for frames in spans]


def _plane(
    random: Random, context: StreamContext, kind: PlaneKind, stride: int, stretches: int, most: int
) -> NoisePlane:
    """Stretches of random lengths; some joined, some held."""
    ends = np.unique([*random.integers(1, hops(context), stretches - 1), hops(context)])
    least, most = max(kind.least, -most), min(kind.most, most)
    first, last = random.integers(least, most + 1, (2, len(ends), kind.bands(context.samplerate, stride)))
    first[1::3], last[2::4] = last[:-1:3], first[2::4]
    return NoisePlane(np.diff(ends, prepend=0), first, last, stride)


def _noise_file(header: Header, planes: dict[int, list[NoisePlane]]) -> bytes:
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index, context in enumerate(contexts(header)):
            streams: tuple[StreamData, ...] = ()
            if index in planes:
                streams = (coded_stream(c.STREAM_NOISE, NoiseStream(planes[index], 20), context),)
            writer.add_segment(Segment(index, (), streams))
    return target.getvalue()


# As in `signals.FILES`.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "many-occurrences": (
        "occurrences and lattices drawn at random: long lists, great lags, contexts that settle, two dictionaries",
        occurrences,
    ),
    "many-events": ("events drawn at random: of all codes, loudnesses and pans, parts of other sizes", events),
    "many-levels": ("levels of noise drawn at random, three channels", levels),
}
