"""A whole file with patterns: search, a first pass that finds what is reused, then passes that code it more finely."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import dependency_depth
from evc.models.encoded import Encoded, word_bytes
from evc.models.patterns.encoder import CodedSegment, SegmentCoder
from evc.models.patterns.reuse import Inheritance, importance, mean_noise, step_offsets
from evc.models.patterns.search import LagSearch
from evc.models.progress import Progress, forward, stage
from evc.models.search import nearest
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.rate import ACCEPTED, GainSearch, segment_gain

SPAN_SEGMENTS = 64  # how far back copies reach: bounds the memory of encoder and decoder
LEAST_SHARE = 0.01  # of a file's bits that patterns have to save, by estimate, to be worth a second pass ...
SURE_SHARE = 0.6  # ... and to be kept without a look at the file without them
NOISE_EXPONENT = 0.8  # of the noise, in what a file takes at equal noise
LEAST_GAIN = 0.03  # of that, by logarithm, since the noise is measured roughly
CORRECTIONS = 5  # passes for a bitrate after the second, at most
RISE = 0.35  # of the gain's rise at which the mean noise would stay: where nothing repeats, the ear hears all of it
AT_ONCE = (1, 1, 2, 2, 3, 3, 3, 3, 4, 4)  # copies that sound at once, by effort

Lags = list[list[int]]  # candidates by superframe, in fractions of a frame


class PatternEncoder:
    """Encodes one source. gain: planned log step in 1/64 octave, that of the analyser."""

    def __init__(self, analyser: SegmentAnalyser, header: Header, effort: int) -> None:
        self.analyser = analyser
        self.header = replace(
            header, layers=("patterns", *header.layers), reference_depth=c.MAX_REFERENCE_DEPTH,
            reference_span=SPAN_SEGMENTS,
        )  # fmt: skip
        self.effort = effort

    def at_quality(self, progress: Progress | None = None) -> Encoded | None:
        """The file at the analyser's gain, its noise on average that of a file without patterns; None where they
        would save nothing."""
        planned = float(self.analyser.gain)
        first = self._first_pass(planned, progress, 4)
        if first is None:
            return None
        lags, segments, share = first
        offsets, rise = self._reuse(segments)
        coded = self._pass(planned + rise, lags, offsets, stage(progress, 2, 4))
        if share < SURE_SHARE:
            plain = self._plain(stage(progress, 3, 4))
            if _burden(coded) > _burden(plain) - LEAST_GAIN or _size(coded) >= _size(plain):
                return None
        return self._encoded(coded)

    def to_target(self, target: float, progress: Progress | None = None) -> Encoded | None:
        """The file in about `target` bytes of coded words; None where patterns would make it worse."""
        passes = 3 + CORRECTIONS
        first = self._first_pass(float(self.analyser.gain), progress, passes)
        if first is None:
            return None
        lags, segments, share = first
        offsets, rise = self._reuse(segments)
        search = GainSearch(self.analyser.gain, target)
        search.probed(word_bytes(one.segment for one in segments))
        search = GainSearch(search.gain + rise, target)
        number = count(2)
        coded = nearest(
            lambda: self._pass(search.gain, lags, offsets, stage(progress, next(number), passes)),
            lambda coded: search.probed(word_bytes(one.segment for one in coded)),
            1 + CORRECTIONS,
            ACCEPTED,
        )
        if share < SURE_SHARE and _burden(coded) > _burden(self._plain(None)) - LEAST_GAIN:
            return None
        return self._encoded(coded)

    def _first_pass(
        self, gain: float, progress: Progress | None, passes: int
    ) -> tuple[Lags, list[CodedSegment], float] | None:
        """Candidates for copies, the segments without offsets, and the share of their bits that patterns save; None if
        that is too little."""
        span = SPAN_SEGMENTS * self.header.segment_frames
        search = LagSearch(self.analyser.source, span, self.effort, gain=round(gain))
        lags = [
            [candidate.lag for candidate in superframe]
            for segment in search.run(stage(progress, 0, passes))
            for superframe in segment
        ]
        if not any(lags):
            return None
        segments = self._pass(gain, lags, self._no_offsets, stage(progress, 1, passes))
        plain = sum(one.plain_bits.sum() for one in segments)
        share = 1 - sum(one.bits.sum() for one in segments) / max(plain, 1.0)
        return (lags, segments, float(share)) if share >= LEAST_SHARE else None

    def _plain(self, progress: Progress | None) -> list[CodedSegment]:
        """The segments at the planned gain without any copy."""
        return self._pass(float(self.analyser.gain), [[]] * self.analyser.superframes, self._no_offsets, progress)

    @property
    def _no_offsets(self) -> NDArray[np.int64]:
        return np.zeros(self.analyser.superframes, np.int64)

    def _pass(
        self, gain: float, lags: Lags, offsets: NDArray[np.int64], progress: Progress | None
    ) -> list[CodedSegment]:
        coder = SegmentCoder(self.analyser, self.header, lags, offsets, AT_ONCE[self.effort], SPAN_SEGMENTS)
        coded = []
        for index in range(self.header.segments):
            coded.append(coder.code(index, segment_gain(gain, index)))
            forward(progress, self.header, index)
        return coded

    def _reuse(self, segments: list[CodedSegment]) -> tuple[NDArray[np.int64], float]:
        """Offsets by superframe, and by how much (1/64 octave) the gain may rise with them at equal mean noise."""
        inherited = []
        one_superframe = self.analyser.superframe << self.header.phase_bits
        for coded in segments:
            first = coded.segment.index * self.analyser.per_segment
            for copy in coded.copies:
                inherited += [
                    Inheritance(first + number, copy.lag / one_superframe, float(share))
                    for number, share in zip(range(copy.first, copy.end), copy.shares, strict=True)
                ]
        offsets = step_offsets(importance(inherited, self.analyser.superframes))
        return offsets, -RISE * c.OCTAVE / 2 * float(np.log2(mean_noise(inherited, offsets)))

    def _encoded(self, coded: list[CodedSegment]) -> Encoded:
        """The header tells how far back dependencies reach, and how deep they are."""
        segments = [one.segment for one in coded]
        depths: list[int] = []
        for segment in segments:
            depths.append(dependency_depth(segment.dependencies, depths))
        spans = [segment.index - other for segment in segments for other in segment.dependencies]
        header = replace(self.header, reference_depth=max(depths, default=0), reference_span=max(spans, default=0))
        return Encoded(header, segments)


def _burden(coded: list[CodedSegment]) -> float:
    """Log of the bytes that a file would take at some standard noise."""
    noise = float(np.mean([one.noise for one in coded]))
    return float(np.log(_size(coded)) + NOISE_EXPONENT * np.log(max(noise, 1e-9)))


def _size(coded: list[CodedSegment]) -> int:
    """Bytes of all segments."""
    return sum(len(one.segment.write()) for one in coded)
