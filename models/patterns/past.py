"""What an encoder may copy from: the decoded past, or what stands for it where nothing is decoded (yet)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import channel_groups
from evc.format.streams.spectrum_steps import step_logs
from evc.models.arrays import Signal
from evc.models.patterns.choose import to_planes
from evc.models.patterns.correlation import History
from evc.models.patterns.timeline import Timeline, delayed
from evc.models.spectrum import analysis

MOST_NEEDED = 24  # segments that one leans on, directly or not: bounds the time that it takes to play from anywhere
MOST_LAGS = 24  # that are tried in a segment
MOST_GENERATIONS = 16  # of copies of copies that are followed back
EXPECTED_NOISE = 0.3  # amplitude of uniform noise, in steps


class Past:
    """The decoded output of all channel groups, as far back as `span` segments, and which segments it takes to decode
    each of them."""

    def __init__(self, header: Header, superframes: int, span: int) -> None:
        self.header, self.span = header, span
        self.size = c.superframe_length(header.samplerate)
        self.groups = channel_groups(header.channels)
        self.timelines = [Timeline(self.size, part.stop - part.start, superframes) for part in self.groups]
        keep = min(span * header.segment_frames, superframes * self.size) + 4 * self.size
        self._heard = History(keep, np.float32, (header.channels,))  # planes, as far as they are complete
        self.closures: list[frozenset[int]] = []  # of each segment: all that it leans on, and itself
        self._copied: dict[int, int] = {}  # the lag of superframes that are copied for the most part

    def coded(self, index: int, needed: set[int], copied: Mapping[int, int]) -> None:
        """Segment `index`, which depends on those `needed`, is on the timelines; forget what is too old. copied: lags
        of its superframes that are copied for the most part."""
        self._settled(index, needed, copied)
        per_segment = self.header.segment_frames // self.size
        end = min((index + 1) * per_segment, self.timelines[0].superframes)
        begin, end = self._heard.end, self._complete(end)
        self._heard.append(self._fetch(begin, end - begin))
        for timeline in self.timelines:
            timeline.drop_before((index - self.span) * per_segment)

    def planned(self, index: int, needed: set[int], copied: Mapping[int, int], expected: Signal) -> None:
        """The same for a segment of which nothing is coded: `expected` stands for what would be decoded, with a
        superframe on either side."""
        self._settled(index, needed, copied)
        self._heard.append(to_planes(expected[:, self.size : -self.size]))

    def _complete(self, superframe: int) -> int:
        """The frame up to which all is heard as soon as what comes before a superframe is coded."""
        return superframe * self.size - self.size // 2

    def _settled(self, index: int, needed: set[int], copied: Mapping[int, int]) -> None:
        self._copied.update(copied)
        self.closures.append(frozenset({index}).union(*(self.closures[other] for other in needed)))

    def candidates(self, lags: Sequence[Sequence[int]], first: int) -> list[int]:
        """Lags worth a try in a segment, from those found for each of its superframes from number `first` on: those
        found most often first, as long as they reach no further back than is kept, and what has to be decoded for them
        all stays little."""
        count = len(lags)
        votes: Counter[int] = Counter()
        for number, some in enumerate(lags, first):
            votes.update({lag for found in some for lag in (found, self._to_origin(number, found))})
        phase_bits, size, length = self.header.phase_bits, self.size, self.header.segment_frames
        least = c.least_lag(self.header.samplerate) << phase_bits
        most = (self.span - 1) * length << phase_bits
        reach = 2 * size + c.INTERPOLATION_TAPS // 2
        needed: frozenset[int] = frozenset()
        found = []
        for lag, _ in sorted(votes.most_common(), key=lambda vote: (-vote[1], -vote[0])):
            if not least <= lag <= most or lag >> phase_bits >= (first + count) * size:
                continue
            origin = first * size - (lag >> phase_bits)
            others = range(max(origin - reach, 0) // length, -(-(origin + count * size + reach) // length))
            closure = needed.union(*(self.closures[other] for other in others if other < len(self.closures)))
            if len(closure) <= MOST_NEEDED:
                needed = closure
                found.append(lag)
            if len(found) == MOST_LAGS:
                break
        return found

    def _to_origin(self, number: int, lag: int) -> int:
        """The lag from superframe `number` to where what it finds one lag earlier was copied from in its turn. Less
        noise has gathered there, and less has to be decoded."""
        one = self.size << self.header.phase_bits
        for _ in range(MOST_GENERATIONS):
            further = self._copied.get(round(number - lag / one))
            if further is None or (lag + further) >> self.header.phase_bits >= number * self.size:
                break
            lag += further
        return lag

    def earlier(self, signal: Signal, first: int, count: int, lag: int) -> Signal:
        """The planes of a segment with a superframe of context on both sides, one lag earlier: as the decoder has it,
        or, where that is not yet coded, as `signal` [planes, samples] has it, with two superframes of context."""
        origin, complete = (first - 2) * self.size, self._heard.end

        def read(start: int, length: int) -> Signal:
            if start + length <= complete:
                return self._heard.view(start, start + length)
            done = min(max(complete - start, 0), length)
            rest = signal[:, start + done - origin : start + length - origin]
            return np.concatenate([self._heard.view(start, start + done), rest], axis=1)

        return delayed(read, (first - 1) * self.size, (count + 2) * self.size, lag, self.header.phase_bits)

    def beside(self, signal: Signal, first: int, count: int) -> tuple[Signal, Signal]:
        """Planes of the latest segment on the timelines, but for its last superframe, which is not complete yet: the
        original and what was decoded, with one superframe of context on both sides that counts for nothing."""
        start, frames = first * self.size, (count - 1) * self.size
        original = to_planes(signal[:, self.size : self.size + frames + 2 * self.size])
        decoded = original.copy()
        half = self.size // 2
        decoded[:, half : frames + 3 * half] = self._fetch(start - half, frames + self.size)
        return original, decoded

    def _fetch(self, start: int, frames: int) -> Signal:
        """Planes [planes, frames] of what is on the timelines from a frame on."""
        return to_planes(np.concatenate([timeline.fetch(start, frames) for timeline in self.timelines]))


def with_noise(signal: Signal, geometry: layout.Geometry, gain: int, offsets: NDArray[np.int64], seed: int) -> Signal:
    """A signal [channels, samples] with noise like that of coding it, but for the first and last superframe: what
    stands for the decoded signal as long as there is none. offsets: of the steps of each superframe between those, in
    quarters of an octave."""
    depth, size = analysis.SPLITS, geometry.superframe
    count = signal.shape[1] // size - 2
    bands = geometry.layouts[depth]
    spectra = analysis.uniform_spectra(signal, size, count * size, size >> depth)
    levels = layout.energy_log(analysis.energy_indices(analysis.band_rms(spectra, bands)))
    steps = step_logs(levels.transpose(1, 0, 2), gain, depth).transpose(1, 0, 2)
    steps -= c.OFFSET_STEP * np.repeat(offsets, 1 << depth)[:, None]
    scale = (EXPECTED_NOISE * np.exp2(steps / c.OCTAVE)).astype(np.float32)[..., bands.band_of_bin]
    random = np.random.default_rng(seed)
    noise = np.zeros(spectra.shape, np.float32)
    noise[..., : bands.bins] = scale * random.uniform(-1, 1, scale.shape).astype(np.float32)
    out = signal.copy()
    out[:, size:-size] += analysis.uniform_signal(noise)
    return out
