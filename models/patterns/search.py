"""Candidates for copies: at which lags does a track repeat its own past?

The search works on the original signal, in one pass from its first frame to its last and in bounded memory. Peaks of
the correlation of tiles with the past (`correlation.py`) are refined and pooled; then every superframe is predicted,
in the transform domain and band by band, from each lag of its pool, and the lags that are worth their bits are kept
in the order in which they add most to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from evc.format import constants as c
from evc.models.arrays import Signal
from evc.models.patterns.correlation import (
    HOPS_PER_TILE,
    SMOOTHING,
    History,
    RangeCorrelator,
    baseband,
    weighted_spectra,
)
from evc.models.patterns.delay import Refined, Refiner
from evc.models.patterns.matching import Candidate, Matcher
from evc.models.patterns.timeline import delayed
from evc.models.progress import Progress
from evc.models.source import AudioSource, padded

Votes = dict[int, float]  # bits that lags promise

FULL_SCALE = np.float32(32768)
TILE_SUPERFRAMES = HOPS_PER_TILE // 4
LOOKAHEAD_HOPS = SMOOTHING + 1  # behind a tile: its last window, and those that level its weights
EQUALLY_LIKELY = 3.0  # nats
DEFAULT_GAIN = 80  # log step, 1/64 octave


@dataclass(frozen=True)
class Effort:
    """How thoroughly to search."""

    ranges: tuple[tuple[int, int], ...]  # (first bin, bins) of those that are correlated; bins are powers of 2
    lengths: tuple[int, ...]  # tiles whose correlations are added up
    peaks: int  # of every range and length
    pool: int  # lags that are tried in every superframe


LOW, BROAD, HIGH = (0, 64), (0, 256), (256, 256)
EFFORTS = (
    [Effort((BROAD,), (1, 4, 12), 2, 8)] * 3 + [Effort((LOW, BROAD), (1, 4, 12), 3, 16)] * 2
    + [Effort((LOW, BROAD, HIGH), (1, 4, 12), 4, 32)] * 3 + [Effort((LOW, BROAD, HIGH), (1, 2, 4, 12), 8, 64)] * 2
)  # fmt: skip


class LagSearch:
    """The search over one source.

    span: frames of the past to look back at, at most; effort: 0...9; gain: planned log step in 1/64 octave, by which
    a match is weighed; per_segment: superframes that `run` yields at a time.
    """

    def __init__(
        self,
        source: AudioSource,
        span: int,
        effort: int = 5,
        phase_bits: int = c.DEFAULT_PHASE_BITS,
        gain: int = DEFAULT_GAIN,
        per_segment: int = c.DEFAULT_SUPERFRAMES_PER_SEGMENT,
    ) -> None:
        self.source, self.gain, self.per_segment = source, gain, per_segment
        self.effort = EFFORTS[effort]
        self.phase_bits, self.phases = phase_bits, 1 << phase_bits
        size = self.size = c.superframe_length(source.samplerate)
        self.hop, self.tile = size // 4, TILE_SUPERFRAMES * size
        self.shortest = c.least_lag(source.samplerate)
        span = max(self.shortest, min(span, source.frames))
        self.longest = span
        self.ranges = [(low, bins) for low, bins in self.effort.ranges if low + bins <= self.hop] or [(0, self.hop)]
        self._correlators = [self._correlator(bins) for _, bins in self.ranges]
        keep = span + (self.effort.lengths[-1] + 3) * self.tile
        self._planes = min(source.channels, 2)
        self._audio = History(keep, np.float32, (self._planes,))
        self._matcher = Matcher(size, gain)

    def _correlator(self, bins: int) -> RangeCorrelator:
        per_window = 2 * self.hop
        shortest, longest = -(-self.shortest * bins // per_window), self.longest * bins // per_window
        return RangeCorrelator(8 * bins, shortest, longest, self.effort.lengths, self.effort.peaks)

    def run(self, progress: Progress | None = None) -> Iterator[list[list[Candidate]]]:
        """Candidates by superframe, most promising first, for one segment after the other."""
        superframes = -(-self.source.frames // self.size)
        tiles = -(-superframes // TILE_SUPERFRAMES)
        group = self.effort.lengths[-1]
        done: list[list[Candidate]] = []
        for first in range(0, tiles, group):
            pools = self._pools(first, min(group, tiles - first))
            for number, pool in enumerate(pools):
                for superframe in range(TILE_SUPERFRAMES):
                    index = (first + number) * TILE_SUPERFRAMES + superframe
                    if index < superframes:
                        done.append(self._match(index, pool))
            while len(done) >= self.per_segment:
                yield _with_runs(done[: self.per_segment])
                del done[: self.per_segment]
            if progress:
                progress(min((first + group) * self.tile, self.source.frames), self.source.frames)
        if done:
            yield _with_runs(done)

    def _pools(self, first: int, tiles: int) -> list[list[int]]:
        """The lags to try in each of `tiles` tiles from `first` on, those that were found most often first."""
        votes: list[Votes] = [{} for _ in range(tiles)]
        for number in range(tiles):
            for length, lags in self._tile_lags(first + number).items():
                for lag, bits in lags.items():
                    for place in range(max(0, number - length), min(tiles, number + 2)):
                        inside = number - length < place <= number
                        votes[place][lag] = max(votes[place].get(lag, 0.0), bits if inside else bits / 2)
        return [sorted(some, key=some.__getitem__, reverse=True)[: self.effort.pool] for some in votes]

    def _tile_lags(self, tile: int) -> dict[int, Votes]:
        """Refined lags of the peaks of the windows that end with a tile, with the bits per tile that they promise,
        by number of tiles in the window."""
        start = tile * self.tile
        self._read_until(start + self.tile + LOOKAHEAD_HOPS * self.hop)
        before = (SMOOTHING + 1) * self.hop
        spectra = weighted_spectra(self._mono(start - before, start + self.tile + LOOKAHEAD_HOPS * self.hop), self.hop)
        coarse: dict[int, list[tuple[int, int]]] = {}
        for (low, bins), correlator in zip(self.ranges, self._correlators):
            grid = 2 * self.hop // bins
            for length, peaks in correlator.push(baseband(spectra, low, bins)).items():
                coarse.setdefault(length, []).extend((peak.lag * grid, grid) for peak in peaks)
        return {length: self._refined(start, length, peaks) for length, peaks in coarse.items() if peaks}

    def _refined(self, start: int, length: int, peaks: list[tuple[int, int]]) -> Votes:
        """Refined lags of (lag, grid) in frames, of the window of `length` tiles that ends with the one at `start`."""
        begin, count = start + (1 - length) * self.tile, length * self.tile
        refiner = Refiner(self._mono(begin, begin + count), 2 * max(grid for _, grid in peaks), self.phases)
        found: Votes = {}
        for lag, grid in sorted(peaks, key=lambda peak: peak[1]):
            if any(abs(lag * self.phases - other) <= grid * self.phases for other in found):
                continue
            lag = min(lag, self.longest)
            past = self._mono(begin - lag - refiner.margin, begin - lag + count + refiner.margin)
            refined = refiner.refine(past)
            if refined is None:
                continue
            exact = self._preferred(lag * self.phases + refined.offset, refined)
            if self.shortest * self.phases <= exact <= self.longest * self.phases:
                found[exact] = max(found.get(exact, 0.0), refined.bits / length)
        return found

    def _preferred(self, lag: int, refined: Refined) -> int:
        """A lag as likely as the most likely one, if there is one that is in use or a whole number of frames."""
        nearest = (lag + self.phases // 2) // self.phases * self.phases
        near = [other for other in self._matcher.used if abs(other - lag) <= self.phases]
        for other in [*near, nearest]:
            if refined.behind[other - lag + self.phases] < EQUALLY_LIKELY:
                return other
        return lag

    def _match(self, superframe: int, pool: list[int]) -> list[Candidate]:
        start = superframe * self.size
        margin = self._matcher.margin
        end = start + self.size + margin
        lags = [lag for lag in dict.fromkeys([*self._matcher.used, *pool]) if lag < end * self.phases]
        return self._matcher.best(
            superframe,
            self._audio.view(start - margin, end),
            lags,
            lambda lag: delayed(self._window, start - margin, self.size + 2 * margin, lag, self.phase_bits),
        )

    def _window(self, first: int, count: int) -> Signal:
        return self._audio.view(first, first + count)

    def _mono(self, start: int, end: int) -> Signal:
        return self._audio.view(start, end).sum(axis=0)

    def _read_until(self, end: int) -> None:
        """Have frames up to `end` in the history, silence behind the last one."""
        while self._audio.end < end:
            at = self._audio.end
            block = padded(self.source.read, self.source.channels, self.source.frames, at, min(end - at, self.tile))
            block *= FULL_SCALE
            self._audio.append(np.stack([block[plane :: self._planes].sum(axis=0) for plane in range(self._planes)]))


def _with_runs(frames: list[list[Candidate]]) -> list[list[Candidate]]:
    """The same candidates, with the runs of superframes over which each lag stays listed."""
    begins: list[dict[int, int]] = []
    for number, frame in enumerate(frames):
        before = begins[-1] if number else {}
        begins.append({one.lag: before.get(one.lag, one.first) for one in frame})
    ends: list[dict[int, int]] = [{} for _ in frames]
    for number in range(len(frames) - 1, -1, -1):
        after = ends[number + 1] if number + 1 < len(frames) else {}
        ends[number] = {one.lag: after.get(one.lag, one.first + 1) for one in frames[number]}
    return [
        [replace(one, first=begin[one.lag], count=end[one.lag] - begin[one.lag]) for one in frame]
        for frame, begin, end in zip(frames, begins, ends)
    ]
