"""Closed-loop coding: copies are chosen and subtracted, what is left is coded, and what the decoder then has is what
later copies repeat. Before that, plans: the same choice where nothing is coded, and later copies repeat what might be
decoded, about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.segment import Segment
from evc.format.sources import SoundSource, covered_frames, needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.models.arrays import Signal
from evc.models.patterns.choose import BAND_STRIDE, Chooser, ChosenCopies, Copy, Remainder, to_planes
from evc.models.patterns.group import GroupCoder
from evc.models.patterns.past import Past, with_noise
from evc.models.patterns.reuse import OFFSETS_PER_OCTAVE
from evc.models.patterns.sounding import Sounding, soundings
from evc.models.spectrum import analysis
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.synthesis import BlockRun

MOSTLY = 0.5  # of a superframe's bits
NOISE_EXPONENT = 0.8  # of the noise, in the bytes that a segment takes at equal noise
NOISIER = 2.0  # what the noise of a superframe may be over that without copies, before its steps get finer
MORE_BURDEN = 0.1  # by logarithm: measures are rough, and what copies get right in sound is more than they tell
MOST_FINER = 3  # quarters of an octave, by which they do


@dataclass(frozen=True, eq=False)
class CodedSegment:
    """A segment, the copies chosen for it, its offsets int [superframes], and the mean power of the noise of each
    superframe but the last, which is not complete yet, in the squared steps of the analyser's gain."""

    segment: Segment
    choice: ChosenCopies
    offsets: NDArray[np.int64]
    noise: NDArray[np.float64]

    @cached_property
    def size(self) -> int:
        """Bytes."""
        return len(self.segment.write())


@dataclass(frozen=True, eq=False)
class Plain:
    """What a segment is without copies: its `burden`, the noise of its superframes as in CodedSegment, and the offset
    that its steps take to be as fine where the gain has risen for copies."""

    burden: float
    noise: NDArray[np.float64]
    offset: int


def burden(size: int, noise: NDArray[np.float64]) -> float:
    """Log of the bytes that what takes `size` at a noise [superframes] would take at some standard noise."""
    return float(np.log(max(size, 1)) + NOISE_EXPONENT * np.log(max(float(noise.mean()), 1e-9) if len(noise) else 1.0))


@dataclass(frozen=True)
class _Edge:
    """What a segment leaves to the next one: the partition that its first superframe has to have, and the size of the
    last block of each group."""

    partition: tuple[int, ...] | None
    sizes: list[int]


@dataclass(frozen=True, eq=False)
class _Span:
    """The superframes of segment `index`: the number of the first one, and how many; their samples float32 [channels,
    samples], with two superframes of context on either side."""

    index: int
    first: int
    count: int
    signal: Signal

    @property
    def part(self) -> slice:
        """Of what there is for every superframe of the file."""
        return slice(self.first, self.first + self.count)


class SegmentCoder:
    """Codes the segments of a source one after another.

    lags: candidates by superframe, in fractions of a frame; offsets int [superframes]: by how many quarters of
    an octave the steps of each are finer; layers: copies that sound at once, at most; span: segments of the past that
    are kept.
    """

    def __init__(
        self,
        analyser: SegmentAnalyser,
        header: Header,
        lags: Sequence[Sequence[int]],
        offsets: NDArray[np.int64],
        layers: int,
        span: int,
    ) -> None:
        self.analyser, self.header, self.lags, self.offsets = analyser, header, lags, offsets.copy()
        self.size = analyser.superframe
        self.chooser = Chooser(header.samplerate, layers)
        self.past = Past(header, analyser.superframes, span)
        self.known: set[int] = set()
        self.edge = _Edge(None, [0] * len(analyser.groups))

    def plan(self, index: int, gain: int) -> ChosenCopies:
        """Choose the copies of segment `index`, the one after the last, for a gain in 1/64 octave, coding nothing."""
        span = self._span(index)
        candidates = self._candidates(span)
        choice, remainder = self._choose(span, candidates, gain)
        stream, context = self._occurrences(choice.copies), StreamContext.of_segment(self.header, index)
        needed = self._needed(sound_sources(stream, [], context, span.first * self.size), span)
        expected = span.signal[:, self.size : -self.size] + self.chooser.error(remainder, span.first)
        self.past.planned(index, needed, _mostly_copied(choice.copies, span.first), expected)
        self.known |= {copy.lag for copy in choice.copies}
        return choice

    def code(self, index: int, gain: int, plain: Plain | None = None) -> CodedSegment:
        """Code segment `index`, the one after the last, at a gain in 1/64 octave. Where copies make it noisier than
        `plain` its steps get finer, and where they do not pay it has none."""
        span = self._span(index)
        candidates = self._candidates(span)
        coded, edge = self._coded(span, candidates, gain)
        if plain is not None and coded.choice.copies:
            finer = _finer(coded.noise, plain.noise)
            if finer.any():
                self.offsets[span.part] = np.minimum(coded.offsets + finer, c.SPECTRUM_OFFSETS - 1)
                coded, edge = self._coded(span, candidates, gain)
            if burden(coded.size, coded.noise) > plain.burden + MORE_BURDEN:
                self.offsets[span.part] = plain.offset
                coded, edge = self._coded(span, [], gain)
        self.edge = edge
        self.past.coded(index, set(coded.segment.dependencies), _mostly_copied(coded.choice.copies, span.first))
        self.known |= {copy.lag for copy in coded.choice.copies}
        return coded

    def _coded(self, span: _Span, candidates: list[int], gain: int) -> tuple[CodedSegment, _Edge]:
        """A segment with copies at lags among `candidates`. What the decoder then has of it is on the timelines."""
        first, count, signal = span.first, span.count, span.signal
        choice, remainder = self._choose(span, candidates, gain)
        predicted = self.chooser.predicted(remainder) if choice.copies else None
        partitions = self._partitions(span, predicted, gain)
        stream, context = self._occurrences(choice.copies), StreamContext.of_segment(self.header, span.index)
        sources = sound_sources(stream, [], context, first * self.size)
        rates = self.header.samplerate, self.header.phase_bits
        context = context.with_covered(covered_frames(sources, [], first * self.size))
        groups, sizes = [], []
        for number, channels in enumerate(self.analyser.groups):
            sounding = soundings(stream, sources, *rates, (first * self.size, count * self.size), channels)
            group, size = self._group(number, signal[channels], first, partitions, sounding, context.covered, gain)
            groups.append(group)
            sizes.append(size)
        streams = [coded_stream(c.STREAM_SPECTRUM, SpectrumStream(groups), context)]
        if choice.copies:
            streams.insert(0, coded_stream(c.STREAM_OCCURRENCES, stream, context))
        noise = np.zeros(0)
        if count > 1:
            noise = self.chooser.noise(*self.past.beside(signal, first, count), self.analyser.gain)
        segment = Segment(span.index, tuple(sorted(self._needed(sources, span))), tuple(streams))
        return CodedSegment(segment, choice, self.offsets[span.part].copy(), noise), _Edge(partitions[-1], sizes)

    def _span(self, index: int) -> _Span:
        first = index * self.analyser.per_segment
        count = min(self.analyser.per_segment, self.analyser.superframes - first)
        return _Span(index, first, count, self.analyser.read((first - 2) * self.size, (count + 4) * self.size))

    def _candidates(self, span: _Span) -> list[int]:
        return self.past.candidates(self.lags[span.first : span.first + span.count], span.first)

    def _choose(self, span: _Span, candidates: list[int], gain: int) -> tuple[ChosenCopies, Remainder]:
        expected = span.signal
        if candidates:
            around = np.pad(self.offsets, (1, 2), "edge")[span.first : span.first + span.count + 2]
            expected = with_noise(span.signal, self.analyser.geometry, gain, around, span.first)
        planes = to_planes(expected)
        return self.chooser.choose(
            to_planes(span.signal[:, self.size : -self.size]),
            lambda lag: self.past.earlier(planes, span.first, span.count, lag),
            candidates,
            self.known,
            gain,
            self.offsets[span.part],
        )

    def _needed(self, sources: list[SoundSource], span: _Span) -> set[int]:
        """The segments that a segment leans on."""
        rates = self.header.samplerate, self.header.phase_bits
        return needed_segments(sources, *rates, span.first * self.size, self.header.segment_frames)

    def _group(
        self,
        number: int,
        signal: Signal,
        first: int,
        partitions: list[tuple[int, ...]],
        sounding: list[Sounding],
        covered: NDArray[np.int64],
        gain: int,
    ) -> tuple[Group, int]:
        """One channel group, and the size of its last block; `partitions` are those of the segment and of the
        superframe behind."""
        count = len(partitions) - 1
        after = 0 if first + count == self.analyser.superframes else self.size >> partitions[count][0]
        whole = BlockRun(self.size, first, partitions[:count], self.edge.sizes[number], after)
        coder = GroupCoder(
            self.analyser.geometry,
            whole,
            gain,
            self.offsets[first : first + count],
            self.analyser.groups[number],
            self.past.timelines[number],
            sounding,
            covered,
        )
        group = coder.code(signal)
        return group, self.size >> (partitions[count - 1][-1] if group.superframes else 0)

    def _partitions(self, span: _Span, predicted: Signal | None, gain: int) -> list[tuple[int, ...]]:
        """Partitions of the segment's superframes and of the one behind, which is settled without regard to copies,
        not yet known there. predicted: what copies bring, with a superframe of context."""
        size, geometry, signal, count = self.size, self.analyser.geometry, span.signal, span.count
        plain = analysis.choose_partitions(signal, signal, size * (count + 1), 2, geometry, gain)
        behind = plain[1]
        if predicted is None:
            found = analysis.choose_partitions(signal, signal, 2 * size, count, geometry, gain)
        else:
            left = signal.copy()
            left[:, size:-size] -= predicted
            found = analysis.choose_partitions(left, signal, 2 * size, count, geometry, gain)
        if self.edge.partition is not None:
            found[0] = self.edge.partition
        return [*found, behind]

    def _occurrences(self, copies: list[Copy]) -> OccurrenceStream:
        copies = sorted(copies, key=lambda copy: copy.first)
        unit = self.size << self.header.phase_bits
        planes = self.header.channels
        if not copies:
            return OccurrenceStream()
        zeros = np.zeros(len(copies), np.int64)
        return OccurrenceStream(
            times=np.array([copy.first * unit for copy in copies]),
            patterns=zeros + COPY,
            lags=np.array([copy.lag for copy in copies]),
            offsets=zeros,
            lengths=np.array([(copy.end - copy.first) * self.size for copy in copies]),
            inverted=zeros,
            shifts=zeros,
            rotations=zeros,
            copied=Gains(np.stack([copy.levels for copy in copies]), BAND_STRIDE, mid_side=planes == 2),
        )


def _finer(noise: NDArray[np.float64], plain: NDArray[np.float64]) -> NDArray[np.int64]:
    """By how many quarters of an octave the steps of superframes should be finer, from the noise [superframes - 1] that
    they have and that they would have without copies. What is not known of the last one is as before it."""
    more = np.log2(np.maximum(noise, 1e-9) / (NOISIER * np.maximum(plain, 1e-9)))
    finer = np.clip(np.ceil(OFFSETS_PER_OCTAVE / 2 * more), 0, MOST_FINER).astype(np.int64)
    return np.append(finer, finer[-1:] if len(finer) else 0)


def _mostly_copied(copies: list[Copy], first: int) -> dict[int, int]:
    """The lags of the superframes of which a single copy saves most bits; `first` is the segment's first superframe."""
    return {
        first + number: copy.lag
        for copy in copies
        for number, share in zip(range(copy.first, copy.end), copy.shares, strict=True)
        if share > MOSTLY
    }
