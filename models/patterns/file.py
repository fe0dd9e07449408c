"""A whole file with patterns: search, a plan that finds what is reused, then passes that code it more finely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.models.encoded import Encoded, with_references, word_bytes
from evc.models.envelopes import enveloped
from evc.models.patterns.choose import SHIFTS, ChosenCopies
from evc.models.patterns.encoder import CodedSegment, Plain, SegmentCoder, burden
from evc.models.patterns.reuse import Inheritance, importance, mean_noise, step_offsets
from evc.models.patterns.search import LagSearch
from evc.models.progress import Progress, forward, stage
from evc.models.search import nearest
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.rate import ACCEPTED, SLOPES, segment_gain

SPAN_SEGMENTS = 64  # how far back copies reach: bounds the memory of encoder and decoder
LEAST_SHARE = 0.01  # of a file's bits that patterns have to save, by estimate, to be worth a second pass
CORRECTIONS = 5  # passes for a bitrate after the second, at most
RISE = 0.35  # of the gain's rise at which the mean noise would stay, by estimate
NEW_SHARE = 0.3  # of a superframe's bits, saved by copies: where it is less, steps do not get coarser
NOISE_SLOPE = 1.2  # of log2 noise, by that of the step
AT_ONCE = (1, 1, 2, 2, 3, 3, 3, 3, 4, 4)  # copies that sound at once, by effort

BYTES_PER_BIT = 0.145  # of words, about, for a bit by estimate

Lags = list[list[int]]  # candidates by superframe, in fractions of a frame


@dataclass(frozen=True, eq=False)
class Plan:
    """What would be copied, by segment, and the lags that are worth another try: of these copies, where they sound."""

    choices: list[ChosenCopies]
    lags: Lags


@dataclass(frozen=True, eq=False)
class Reuse:
    """Offsets by superframe, and by how much the gain may rise with them, in 1/64 octave. What is new has an offset at
    which its steps are about as fine as without that rise."""

    offsets: NDArray[np.int64]
    rise: float


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
        """The file at the analyser's gain, no noisier than without patterns, and smaller; or just that file; None where
        it is clear from the start that they save nothing."""
        plan = self._plan(progress, 4)
        if plan is None:
            return None
        reuse, plain = self._reuse(plan), self._plain(stage(progress, 2, 4))
        coded = list(self._beside(plain, self.analyser.gain, reuse, plan.lags, stage(progress, 3, 4)))
        if _better(coded, plain):
            return enveloped(self._encoded(coded), self.analyser)
        return enveloped(Encoded(self.plain_header, [one.segment for one in plain]), self.analyser)

    def to_target(self, target: float, progress: Progress | None = None) -> Encoded | None:
        """The file in about `target` bytes of coded words; None where patterns would make it worse."""
        passes = 4 + CORRECTIONS
        plan = self._plan(progress, passes)
        if plan is None:
            return None
        reuse, plain = self._reuse(plan), self._plain(stage(progress, 2, passes))
        search = CurveSearch(target)
        search.estimated(float(self.analyser.gain), plan.choices)
        lags, number = plan.lags, count(3)

        def code() -> list[CodedSegment]:
            """The next pass. What the one before found out about offsets, and where copies do not pay, stays."""
            nonlocal reuse, lags
            coded = list(self._beside(plain, search.gain, reuse, lags, stage(progress, next(number), passes)))
            reuse = replace(reuse, offsets=np.concatenate([one.offsets for one in coded]))
            used = np.repeat([bool(one.choice.copies) for one in coded], self.analyser.per_segment)
            lags = [found if use else [] for found, use in zip(lags, used, strict=False)]
            return coded

        def beside_envelopes() -> tuple[list[CodedSegment], Encoded]:
            coded = code()
            return coded, enveloped(self._encoded(coded), self.analyser)

        coded, encoded = nearest(
            beside_envelopes,
            lambda found: search.tried([one.choice for one in found[0]], word_bytes(found[1].segments)),
            1 + CORRECTIONS,
            ACCEPTED,
        )
        return encoded if _burden(coded) < _burden(plain) else None

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
        return Plan(choices, self._copied_lags(choices)) if share >= LEAST_SHARE else None

    def _copied_lags(self, choices: list[ChosenCopies]) -> Lags:
        """Of copies, where they sound."""
        lags: Lags = [[] for _ in range(self.analyser.superframes)]
        for index, choice in enumerate(choices):
            for copy in choice.copies:
                for number in range(copy.first, copy.end):
                    lags[index * self.analyser.per_segment + number].append(copy.lag)
        return lags

    def _lags(self, progress: Progress | None) -> Lags:
        span = SPAN_SEGMENTS * self.header.segment_frames
        search = LagSearch(self.analyser.source, span, self.effort, gain=self.analyser.gain)
        return [
            [candidate.lag for candidate in superframe] for segment in search.run(progress) for superframe in segment
        ]

    def _plain(self, progress: Progress | None) -> list[CodedSegment]:
        """The segments at the planned gain without any copy."""
        coder = self._coder([[]] * self.analyser.superframes, self._no_offsets)
        coded = []
        for index in range(self.header.segments):
            coded.append(coder.code(index, segment_gain(float(self.analyser.gain), index)))
            forward(progress, self.header, index)
        return coded

    def _beside(
        self, plain: list[CodedSegment], gain: float, reuse: Reuse, lags: Lags, progress: Progress | None
    ) -> Iterator[CodedSegment]:
        """The segments with copies, beside those of the planned gain without. At a gain, which rises where steps of
        what is used again are finer, as long as what is coded so far is no noisier than without copies."""
        coder = self._coder(lags, reuse.offsets)
        louder = 2 ** (NOISE_SLOPE * (gain - self.analyser.gain) / c.OCTAVE)
        noise = allowed = 0.0
        for index, other in enumerate(plain):
            rise = reuse.rise if noise <= allowed else 0.0
            # That a burden is the same at any gain is what it is made for.
            beside = Plain(burden(other.size, other.noise), other.noise * louder, max(round(rise / c.OFFSET_STEP), 0))
            coded = coder.code(index, segment_gain(gain + rise, index), beside)
            noise, allowed = noise + coded.noise.sum(), allowed + beside.noise.sum()
            yield coded
            forward(progress, self.header, index)

    @property
    def _no_offsets(self) -> NDArray[np.int64]:
        return np.zeros(self.analyser.superframes, np.int64)

    def _coder(self, lags: Lags, offsets: NDArray[np.int64]) -> SegmentCoder:
        return SegmentCoder(self.analyser, self.header, lags, offsets, AT_ONCE[self.effort], SPAN_SEGMENTS)

    def _reuse(self, plan: Plan) -> Reuse:
        """How much finer the steps of what is used again should be, and how much coarser all others may be for it."""
        inherited = []
        copied = np.zeros(self.analyser.superframes)
        one_superframe = self.analyser.superframe << self.header.phase_bits
        for index, choice in enumerate(plan.choices):
            first = index * self.analyser.per_segment
            for copy in choice.copies:
                copied[first + copy.first : first + copy.end] += copy.shares
                inherited += [
                    Inheritance(first + number, copy.lag / one_superframe, float(share))
                    for number, share in zip(range(copy.first, copy.end), copy.shares, strict=True)
                ]
        offsets = step_offsets(importance(inherited, self.analyser.superframes))
        rise = -RISE * c.OCTAVE / 2 * float(np.log2(mean_noise(inherited, offsets)))
        unrisen = max(round(rise / c.OFFSET_STEP), 0)
        return Reuse(np.maximum(offsets, np.where(copied < NEW_SHARE, unrisen, 0)), rise)

    def _encoded(self, coded: list[CodedSegment]) -> Encoded:
        segments = [one.segment for one in coded]
        return Encoded(with_references(self.header, segments), segments)


def _burden(coded: list[CodedSegment]) -> float:
    """That of all segments together: see `encoder.burden`."""
    return burden(sum(one.size for one in coded), np.concatenate([one.noise for one in coded]))


def _better(coded: list[CodedSegment], plain: list[CodedSegment]) -> bool:
    """Whether a file with copies is smaller, and would be at equal noise."""
    return sum(one.size for one in coded) < sum(one.size for one in plain) and _burden(coded) < _burden(plain)
