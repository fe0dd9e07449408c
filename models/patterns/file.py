"""A whole file with patterns: search, a plan that finds what is reused, then passes that code it more finely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import dependency_depth
from evc.models.encoded import Encoded, word_bytes
from evc.models.patterns.choose import SHIFTS, ChosenCopies
from evc.models.patterns.encoder import CodedSegment, SegmentCoder
from evc.models.patterns.reuse import Inheritance, importance, mean_noise, step_offsets
from evc.models.patterns.search import LagSearch
from evc.models.progress import Progress, forward, stage
from evc.models.search import nearest
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.rate import ACCEPTED, SLOPES, segment_gain

SPAN_SEGMENTS = 64  # how far back copies reach: bounds the memory of encoder and decoder
LEAST_SHARE = 0.01  # of a file's bits that patterns have to save, by estimate, to be worth a second pass ...
SURE_SHARE = 0.45  # ... and to be kept without a look at the file without them
NOISE_EXPONENT = 0.8  # of the noise, in what a file takes at equal noise
LEAST_GAIN = 0.03  # of that, by logarithm, since the noise is measured roughly
CORRECTIONS = 5  # passes for a bitrate after the second, at most
RISE = 0.35  # of the gain's rise at which the mean noise would stay: where nothing repeats, the ear hears all of it
AT_ONCE = (1, 1, 2, 2, 3, 3, 3, 3, 4, 4)  # copies that sound at once, by effort

BYTES_PER_BIT = 0.145  # of words, about, for a bit by estimate
LEAST_TOLD = 0.3  # of a file without patterns by bits, before it may be clear that it takes more ...
UNSURE = 0.15  # ... by as much, by logarithm, as the rest of it may be different

Lags = list[list[int]]  # candidates by superframe, in fractions of a frame


@dataclass(frozen=True, eq=False)
class Plan:
    """What would be copied, by segment, and the share of the file's bits that this saves, by estimate."""

    choices: list[ChosenCopies]
    share: float

    def lags(self, superframes: int, per_segment: int) -> Lags:
        """Those that are worth another try: of its copies, where they sound."""
        lags: Lags = [[] for _ in range(superframes)]
        for index, choice in enumerate(self.choices):
            for copy in choice.copies:
                for number in range(copy.first, copy.end):
                    lags[index * per_segment + number].append(copy.lag)
        return lags


class CurveSearch:
    """Looks for the gain (1/64 octave) at which a file takes `target` bytes of words: `gain` is the next to try. Bits
    by estimate tell how bytes change with it, until two tries do."""

    def __init__(self, target: float) -> None:
        self.gain = 0.0
        self._target = target
        self._tries: list[tuple[float, float]] = []

    def estimated(self, gain: float, choices: list[ChosenCopies]) -> None:
        """Take in what is planned for a gain."""
        self._follow(gain, choices, BYTES_PER_BIT * sum(float(choice.bits.sum()) for choice in choices))

    def tried(self, choices: list[ChosenCopies], size: float) -> float:
        """Take in that the segments of these choices take `size` bytes at `gain`: log2 of that over the target."""
        gain, excess = self.gain, float(np.log2(max(size, 1) / self._target))
        self._tries.append((gain, excess))
        if len(self._tries) == 1 or self._tries[-2][0] == gain:
            self._follow(gain, choices, size)
            return excess
        before, excess_before = self._tries[-2]
        slope = np.clip((excess - excess_before) / (gain - before), SLOPES[0] / c.OCTAVE, SLOPES[1] / c.OCTAVE)
        self.gain = gain - excess / float(slope)
        return excess

    def _follow(self, gain: float, choices: list[ChosenCopies], size: float) -> None:
        bits = np.log2(np.sum([choice.shifted_bits for choice in choices], axis=0) + 1)
        wanted = float(np.interp(0, SHIFTS, bits) - np.log2(max(size, 1) / self._target))
        self.gain = gain + float(np.interp(-wanted, -bits, SHIFTS))


class PatternEncoder:
    """Encodes one source. gain: planned log step in 1/64 octave, that of the analyser."""

    def __init__(self, analyser: SegmentAnalyser, header: Header, effort: int) -> None:
        self.analyser = analyser
        self.plain_header = header
        self.header = replace(
            header, layers=("patterns", *header.layers), reference_depth=c.MAX_REFERENCE_DEPTH,
            reference_span=SPAN_SEGMENTS,
        )  # fmt: skip
        self.effort = effort

    def at_quality(self, progress: Progress | None = None) -> Encoded | None:
        """The file at the analyser's gain, its noise on average that of a file without patterns, or just that, where
        they would save nothing; None where that is clear from the start."""
        planned = float(self.analyser.gain)
        plan = self._plan(progress, 4)
        if plan is None:
            return None
        offsets, rise = self._reuse(plan)
        lags = plan.lags(self.analyser.superframes, self.analyser.per_segment)
        coded = list(self._pass(planned + rise, lags, offsets, stage(progress, 2, 4)))
        if plan.share >= SURE_SHARE:
            return self._encoded(coded)
        plain = self._plain(plan, stage(progress, 3, 4), _burden(coded))
        if len(plain) < len(coded) or (_burden(coded) <= _burden(plain) - LEAST_GAIN and _size(coded) < _size(plain)):
            return self._encoded(coded)
        return Encoded(self.plain_header, [one.segment for one in plain])

    def to_target(self, target: float, progress: Progress | None = None) -> Encoded | None:
        """The file in about `target` bytes of coded words; None where patterns would make it worse."""
        passes = 3 + CORRECTIONS
        plan = self._plan(progress, passes)
        if plan is None:
            return None
        offsets, rise = self._reuse(plan)
        search = CurveSearch(target)
        search.estimated(float(self.analyser.gain), plan.choices)
        search.gain += rise
        lags, number = plan.lags(self.analyser.superframes, self.analyser.per_segment), count(2)
        coded = nearest(
            lambda: list(self._pass(search.gain, lags, offsets, stage(progress, next(number), passes))),
            lambda coded: search.tried([one.choice for one in coded], word_bytes(one.segment for one in coded)),
            1 + CORRECTIONS,
            ACCEPTED,
        )
        if plan.share < SURE_SHARE:
            plain = self._plain(plan, None, _burden(coded))
            if len(plain) == len(coded) and _burden(coded) > _burden(plain) - LEAST_GAIN:
                return None
        return self._encoded(coded)

    def _plan(self, progress: Progress | None, passes: int) -> Plan | None:
        """What to copy, by estimate; None if that saves too little."""
        lags = self._lags(stage(progress, 0, passes))
        if not any(lags):
            return None
        gain, coder = float(self.analyser.gain), self._coder(lags, self._no_offsets)
        choices = []
        for index in range(self.header.segments):
            choices.append(coder.plan(index, segment_gain(gain, index)))
            forward(stage(progress, 1, passes), self.header, index)
        plain = sum(choice.plain_bits.sum() for choice in choices)
        share = float(1 - sum(choice.bits.sum() for choice in choices) / max(plain, 1.0))
        return Plan(choices, share) if share >= LEAST_SHARE else None

    def _lags(self, progress: Progress | None) -> Lags:
        span = SPAN_SEGMENTS * self.header.segment_frames
        search = LagSearch(self.analyser.source, span, self.effort, gain=self.analyser.gain)
        return [
            [candidate.lag for candidate in superframe] for segment in search.run(progress) for superframe in segment
        ]

    def _plain(self, plan: Plan, progress: Progress | None, burden: float) -> list[CodedSegment]:
        """The segments at the planned gain without any copy: all, or fewer if these make sure that the file would be
        more of a burden than another of that `burden`."""
        bits = np.array([choice.plain_bits.sum() for choice in plan.choices])
        coded: list[CodedSegment] = []
        none: Lags = [[]] * self.analyser.superframes
        for one in self._pass(float(self.analyser.gain), none, self._no_offsets, progress):
            coded.append(one)
            done = bits[: len(coded)].sum() / max(bits.sum(), 1.0)
            if done >= LEAST_TOLD and _burden(coded) - np.log(done) > burden + LEAST_GAIN + UNSURE:
                break
        return coded

    @property
    def _no_offsets(self) -> NDArray[np.int64]:
        return np.zeros(self.analyser.superframes, np.int64)

    def _coder(self, lags: Lags, offsets: NDArray[np.int64]) -> SegmentCoder:
        return SegmentCoder(self.analyser, self.header, lags, offsets, AT_ONCE[self.effort], SPAN_SEGMENTS)

    def _pass(
        self, gain: float, lags: Lags, offsets: NDArray[np.int64], progress: Progress | None
    ) -> Iterator[CodedSegment]:
        coder = self._coder(lags, offsets)
        for index in range(self.header.segments):
            yield coder.code(index, segment_gain(gain, index))
            forward(progress, self.header, index)

    def _reuse(self, plan: Plan) -> tuple[NDArray[np.int64], float]:
        """Offsets by superframe, and by how much (1/64 octave) the gain may rise with them at equal mean noise."""
        inherited = []
        one_superframe = self.analyser.superframe << self.header.phase_bits
        for index, choice in enumerate(plan.choices):
            first = index * self.analyser.per_segment
            for copy in choice.copies:
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
