"""The encoder's envelopes: where the decoded levels of broad bands are off from one hop to the next (spec 8.4).

What is wrong in level within 5 to 20 ms is heard before most else. Where something is missing, only a part of it is
made up for, since that makes noise louder too: this serves all measures best (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.sources import Entry
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.envelope import EnvelopeStream, edges, shape
from evc.format.streams.noise import noise_hop
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import channel_groups
from evc.models.arrays import Signal
from evc.models.encoded import Encoded, word_bytes
from evc.models.overlay import Parallel
from evc.models.spectrum.encoder import FULL_SCALE, SegmentAnalyser
from evc.models.spectrum.envelope import levels
from evc.models.synthesis import Synthesiser, of_file

RAISED, LOWERED = 0.7, 1.0  # of what a level is off by, in decibels, where it is too low and where it is too high
MOST_SHARE = 0.08  # of the bits of a segment's other streams; for that, steps from 0 to as much as is not corrected ...
LEFT = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # ... the first that is cheap enough; else there is no envelope
QUIET = 5e-7  # energy of a bin of a hop, full scale 1, beside which nothing is told apart


def enveloped(encoded: Encoded, analyser: SegmentAnalyser) -> Encoded:
    """A file whose segments are all there, with envelopes."""
    with of_file(encoded.as_file()) as synthesiser:
        encoder = _EnvelopeEncoder(analyser, encoded.header, synthesiser)
        return Encoded(encoded.header, [encoder.added(segment) for segment in encoded.segments])


def with_envelopes(
    coded: Iterable[tuple[Segment, Mapping[int, Any]]], analyser: SegmentAnalyser, header: Header, parallel: Parallel
) -> Iterator[Segment]:
    """Segments with envelopes, from segments that lean on no others, and their streams by kind. Each comes when the one
    behind it has been seen; few are held. `parallel` is a function like map."""
    recent = _Recent(header)
    encoder = _EnvelopeEncoder(analyser, header, Synthesiser(recent, parallel=parallel))
    before: Segment | None = None
    for segment, streams in coded:
        recent.put(segment.index, streams)
        if before is not None:
            yield encoder.added(before)
        before = segment
    if before is not None:
        yield encoder.added(before)


class _Recent:
    """The last segments of a file as synthesis sees them."""

    lost: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()
    adaptation = None

    def __init__(self, header: Header) -> None:
        self.header = header
        self._streams: dict[int, Mapping[int, Any]] = {}

    def put(self, index: int, streams: Mapping[int, Any]) -> None:
        self._streams[index] = streams
        self._streams.pop(index - 3, None)

    def decode(self, indices: Iterable[int]) -> dict[int, Mapping[int, Any]]:
        return {index: self._streams[index] for index in indices if index in self._streams}

    def occurrences(self, index: int) -> OccurrenceStream | None:
        return None

    def envelope(self, index: int) -> EnvelopeStream | None:
        return None


class _EnvelopeEncoder:
    """Finds the envelope of each segment of a source, beside what a synthesiser makes of the file."""

    def __init__(self, analyser: SegmentAnalyser, header: Header, synthesiser: Synthesiser) -> None:
        self._analyser, self._header, self._synthesiser = analyser, header, synthesiser
        self._hop, self._edges = noise_hop(header.samplerate), edges(header.samplerate)

    def added(self, segment: Segment) -> Segment:
        """The segment with its envelope, if it has one."""
        context = StreamContext.of_segment(self._header, segment.index)
        off = self._off(segment.index, context)
        most = MOST_SHARE * word_bytes([segment])
        for left in LEFT:
            steps = np.sign(off) * np.floor(np.abs(off) + 1 - left)
            values = np.clip(steps, -c.MOST_ENVELOPE, c.MOST_ENVELOPE).astype(np.int64)
            if not values.any():
                break
            coded = coded_stream(c.STREAM_ENVELOPE, EnvelopeStream(values), context)
            if len(coded.words) <= most:
                return replace(segment, streams=(*segment.streams, coded))
        return segment

    def _off(self, index: int, context: StreamContext) -> NDArray[np.float64]:
        """By how much the levels of a segment are to be corrected, in steps, float64 [groups, hops, bands]."""
        groups, hops, bands = shape(context)
        off = np.zeros((groups, hops, bands))
        if not bands:
            return off
        begin = self._header.segment_span(index)[0] - self._hop // 2
        decoded = self._decoded(begin, (hops + 1) * self._hop)
        source = self._analyser.read(begin, (hops + 1) * self._hop) / FULL_SCALE
        source[:, max(0, self._header.known_frames - begin) :] = 0  # as what is decoded: nothing is assumed there
        floor = QUIET * np.diff(self._edges)
        for group, channels in zip(off, channel_groups(self._header.channels), strict=True):
            wanted, found = (levels(signal[channels], self._edges, self._hop) + floor for signal in (source, decoded))
            steps = 10 / c.ENVELOPE_STEP_DB * np.log10(wanted / found)
            group[:] = steps * np.where(steps > 0, RAISED, LOWERED)
        return off

    def _decoded(self, begin: int, count: int) -> Signal:
        """What is decoded of frames from `begin` on, silence outside the file: float32 [channels, count]."""
        out = np.zeros((self._header.channels, count), np.float32)
        low, high = max(begin, 0), min(begin + count, self._header.known_frames)
        out[:, low - begin : high - begin] = self._synthesiser.render(low, high - low)
        return out
