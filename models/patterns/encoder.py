"""Closed-loop coding: copies are chosen and subtracted, what is left is coded, and what the decoder then has is what
later copies repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.sources import covered_frames, needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.models.arrays import Signal
from evc.models.patterns.choose import BAND_STRIDE, Chooser, ChosenCopies, Copy
from evc.models.patterns.group import GroupCoder
from evc.models.patterns.past import Past, with_noise
from evc.models.patterns.sounding import Sounding, soundings
from evc.models.spectrum import analysis
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.synthesis import BlockRun

MOSTLY = 0.5  # of a superframe's bits


@dataclass(frozen=True, eq=False)
class CodedSegment:
    """A segment with the copies chosen for it; what its superframes would cost without and with them [superframes],
    estimated; and the mean power of its noise, in the squared steps of the analyser's gain."""

    segment: Segment
    copies: list[Copy]
    plain_bits: NDArray[np.float64]
    bits: NDArray[np.float64]
    noise: float


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
        self.analyser, self.header, self.lags, self.offsets = analyser, header, lags, offsets
        self.size = analyser.superframe
        self.chooser = Chooser(header.samplerate, layers)
        self.past = Past(header, analyser.superframes, span)
        self.known: set[int] = set()
        self.last_sizes = [0] * len(analyser.groups)  # of the last block of each group
        self.pinned: tuple[int, ...] | None = None

    def code(self, index: int, gain: int) -> CodedSegment:
        """Code segment `index`, the one after the last, at a gain in 1/64 octave."""
        first = index * self.analyser.per_segment
        count = min(self.analyser.per_segment, self.analyser.superframes - first)
        signal = self.analyser.read((first - 2) * self.size, (count + 4) * self.size)
        choice = self._choose(signal, first, count, gain)
        partitions = self._partitions(signal, choice.predicted, first, count, gain)
        stream, context = self._occurrences(choice.copies), StreamContext.of_segment(self.header, index)
        sources = sound_sources(stream, [], context, first * self.size)
        rates = self.header.samplerate, self.header.phase_bits
        needed = needed_segments(sources, *rates, first * self.size, self.header.segment_frames)
        context = context.with_covered(covered_frames(sources, [], first * self.size))
        groups = []
        for number, channels in enumerate(self.analyser.groups):
            sounding = soundings(stream, sources, *rates, (first * self.size, count * self.size), channels)
            group = self._group(number, signal[channels], first, partitions, sounding, context.covered, gain)
            groups.append(group)
        self.past.coded(index, needed, _mostly_copied(choice.copies, first))
        self.known |= {copy.lag for copy in choice.copies}
        streams = [coded_stream(c.STREAM_SPECTRUM, SpectrumStream(groups), context)]
        if choice.copies:
            streams.insert(0, coded_stream(c.STREAM_OCCURRENCES, stream, context))
        noise = 0.0
        if count > 1:
            noise = self.chooser.noise(*self.past.beside(signal, first, count), self.analyser.gain)
        segment = Segment(index, tuple(sorted(needed)), tuple(streams))
        return CodedSegment(segment, choice.copies, choice.plain_bits, choice.bits, noise)

    def _choose(self, signal: Signal, first: int, count: int, gain: int) -> ChosenCopies:
        candidates = self.past.candidates(self.lags[first : first + count], first)
        expected = signal
        if candidates:
            around = np.pad(self.offsets, (1, 2), "edge")[first : first + count + 2]
            expected = with_noise(signal, self.analyser.geometry, gain, around, first)
        return self.chooser.choose(
            signal[:, self.size : -self.size],
            lambda lag: self.past.earlier(expected, first, count, lag),
            candidates,
            self.known,
            gain,
            self.offsets[first : first + count],
        )

    def _group(
        self,
        number: int,
        signal: Signal,
        first: int,
        partitions: list[tuple[int, ...]],
        sounding: list[Sounding],
        covered: NDArray[np.int64],
        gain: int,
    ) -> Group:
        """One channel group; `partitions` are those of the segment and of the superframe behind."""
        count = len(partitions) - 1
        after = 0 if first + count == self.analyser.superframes else self.size >> partitions[count][0]
        whole = BlockRun(self.size, first, partitions[:count], self.last_sizes[number], after)
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
        self.last_sizes[number] = self.size >> (partitions[count - 1][-1] if group.superframes else 0)
        return group

    def _partitions(
        self, signal: Signal, predicted: Signal | None, first: int, count: int, gain: int
    ) -> list[tuple[int, ...]]:
        """Partitions of the segment's superframes and of the one behind. That one is settled without regard to
        copies, which are not yet known there."""
        size, geometry = self.size, self.analyser.geometry
        plain = analysis.choose_partitions(signal, signal, size * (count + 1), 2, geometry, gain)
        behind = plain[1]
        if predicted is None:
            found = analysis.choose_partitions(signal, signal, 2 * size, count, geometry, gain)
        else:
            left = signal.copy()
            left[:, size:-size] -= predicted
            found = analysis.choose_partitions(left, signal, 2 * size, count, geometry, gain)
        if self.pinned is not None:
            found[0] = self.pinned
        self.pinned = behind
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
            gains=np.stack([copy.levels for copy in copies]),
            band_stride=BAND_STRIDE,
            mid_side=planes == 2,
        )


def _mostly_copied(copies: list[Copy], first: int) -> dict[int, int]:
    """The lags of the superframes of which a single copy saves most bits; `first` is the segment's first superframe."""
    return {
        first + number: copy.lag
        for copy in copies
        for number, share in zip(range(copy.first, copy.end), copy.shares, strict=True)
        if share > MOSTLY
    }
