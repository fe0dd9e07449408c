"""Levels of what patterns bring into a segment, in integers: step sizes start from them (spec 9.9).

Where a pattern sounds, the spectrum stream codes only what is left of the signal, yet its steps have to suit all that
is heard there. So decoders track the level of every band over time: a *slot* is the length of the smallest block, a
*track* int16 [slots, channels, fine bands] holds the levels of one channel group, in 1/64 octave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.gains import OFF

Track = NDArray[np.int16]
Levels = NDArray[np.int64]

SILENT = c.ENERGY_FLOOR - c.ENERGY_STEP
LOUDEST = c.ENERGY_FLOOR + (c.ENERGY_MAX - 1) * c.ENERGY_STEP
SLOTS = 1 << (c.BLOCK_DEPTHS - 1)  # in a superframe
_ONE = 20 * c.OCTAVE  # log power of the greatest of the levels to be averaged


def mean_over_time(levels: Levels) -> Levels:
    """Levels [...] of the mean powers over the first axis of `levels`: exact in integers, by a piecewise linear
    exponential and logarithm (spec 9.9)."""
    loudest = levels.max(axis=0)
    result: Levels = loudest + _level(_power(levels - loudest).sum(axis=0) // len(levels))
    return result


def mean_over_bands(levels: Levels, bands: layout.BandLayout, widths: Levels) -> Levels:
    """Levels [channels, bands] of the mean powers of the fine bands within each of `bands`, by their `widths`; of
    `levels` [channels, fine bands] and `widths` what lies above all bands is left out."""
    starts, count = bands.fine[:-1], bands.fine[-1]
    levels, widths = levels[:, :count], widths[:count]
    if bands.bands == count:
        return levels
    loudest = np.maximum.reduceat(levels, starts, axis=-1)
    power = _power(levels - np.repeat(loudest, np.diff(bands.fine), axis=-1)) * widths
    result: Levels = loudest + _level(np.add.reduceat(power, starts, axis=-1) // np.add.reduceat(widths, starts))
    return result


def _power(levels: Levels) -> Levels:
    """Powers, 2**26 for level 0, of levels that are not above it."""
    log = np.maximum(2 * levels + _ONE, 0)
    return (c.OCTAVE + log % c.OCTAVE << log // c.OCTAVE) * (log > 0)


def _level(power: Levels) -> Levels:
    """The inverse, for powers of at least 2**7: the exponents that frexp gives are exact."""
    octaves = np.frexp(power.astype(np.float64))[1].astype(np.int64) - 7
    log = c.OCTAVE * (octaves - 1) + (power >> octaves)
    result: Levels = (log - _ONE) >> 1
    return result


def fine_gains(gains: NDArray[np.int64], resolution: int, stride: int, superframe: int) -> Levels:
    """Gains [planes, bands] of an occurrence as rises int64 [fine bands] in 1/64 octave: those of its loudest plane;
    where it is off, so far down that nothing is left of any level."""
    fine = layout.full_geometry(superframe).layouts[0]
    units = fine.edges[:-1] // SLOTS
    lower = [edge for edge in c.COARSE_EDGES if edge < superframe // SLOTS]
    starts = lower[::stride] if stride else lower[:1]
    band = np.minimum(np.searchsorted(starts, units, side="right") - 1, gains.shape[-1] - 1)
    rises = np.where(gains == OFF, SILENT - LOUDEST, gains * c.OCTAVE // resolution)
    result: Levels = rises.max(axis=0)[band]
    return result


@dataclass(frozen=True, eq=False)
class LevelSource:
    """An occurrence as the levels see it. Frames count from the start of the file.

    Blocks that overlap frames [begin, end) have at frame t what the source had at frame t - delay, if that lies in
    [first, last), raised by `rises` int64 [groups, fine bands]. `tracks` are those of an explicit pattern, by group;
    None stands for the file's own past.
    """

    begin: int
    end: int
    delay: int
    first: int
    last: int
    rises: Levels
    tracks: list[Track] | None = None


class GroupLevels:
    """Levels of one channel group in one segment, block by block.

    start: first frame of the segment; past: gives the rows [slots, channels, fine bands] of the file's own past
    between two slots, counted from the start of the file.
    """

    def __init__(
        self,
        superframe: int,
        start: int,
        superframes: int,
        channels: int,
        sources: list[LevelSource],
        group: int,
        past: Callable[[int, int], Track],
    ) -> None:
        self.slot_frames = superframe // SLOTS
        self.bands = layout.full_geometry(superframe).layouts[0]
        self.start = start // self.slot_frames
        self.track: Track = np.full((superframes * SLOTS, channels, self.bands.bands), SILENT, np.int16)
        self._done = 0  # slots
        self._next: tuple[Levels, Levels] | None = None
        self._sources, self._group, self._past = sources, group, past
        self._begins = np.array([source.begin for source in sources], np.int64)
        self._ends = np.array([source.end for source in sources], np.int64)

    def sounds(self, depth: int) -> bool:
        """Whether any pattern sounds in the next block."""
        frame = (self.start + self._done) * self.slot_frames
        size = (SLOTS >> depth) * self.slot_frames
        return bool(((self._begins < frame + size) & (self._ends > frame)).any())

    def block(self, depth: int, levels: Levels | None, bands: layout.BandLayout) -> Levels:
        """Take in the residual's `levels` [channels, bands] of the next block (None: there is none), and return the
        levels of all that is heard: the greater of these and of what `next` has told that patterns bring."""
        count = SLOTS >> depth
        cells, means = self._next if self._next is not None else (None, None)
        self._next = None
        if levels is None:
            cells = self._brought(self._done, count)
        here = self.track[self._done : self._done + count]
        self._done += count
        if cells is not None:
            here[:] = cells
        if levels is None:
            return np.zeros((0, 0), np.int64)
        spread = np.repeat(levels, np.diff(bands.fine), axis=-1)
        known = here[..., : spread.shape[-1]]
        np.maximum(known, spread.astype(np.int16), out=known)
        return levels if means is None else np.maximum(levels, means)

    def next(self, depth: int, bands: layout.BandLayout) -> Levels | None:
        """What the patterns bring to the next block, [channels, bands]; `block` will count it in."""
        cells = self._brought(self._done, SLOTS >> depth)
        self._next = None if cells is None else (cells, self._means(cells, bands))
        return None if self._next is None else self._next[1]

    def restart(self) -> None:
        """Begin at the first block again, with the same to come: an encoder writes what it has tried."""
        self._done = 0

    def skip(self) -> None:
        """Take in the rest of the segment without any residual."""
        while self._done < len(self.track):
            self.block(0, None, self.bands)

    def rows(self, first: int, end: int) -> Track:
        """The track between two slots counted from the start of the file."""
        if first >= self.start:
            return self.track[first - self.start : end - self.start]
        if end <= self.start:
            return self._past(first, end)
        return np.concatenate([self._past(first, self.start), self.track[: end - self.start]])

    def brought(self, slot: int, depth: int, bands: layout.BandLayout) -> Levels | None:
        """Levels [channels, bands] of what the patterns bring to the block at a slot of the segment; None for nothing.
        All that they repeat must have been taken in."""
        cells = self._brought(slot, SLOTS >> depth)
        return None if cells is None else self._means(cells, bands)

    def _brought(self, slot: int, count: int) -> Levels | None:
        """The same by slot and fine band, int64 [slots, channels, fine bands]."""
        frame, end = (self.start + slot) * self.slot_frames, (self.start + slot + count) * self.slot_frames
        sounding = np.flatnonzero((self._begins < end) & (self._ends > frame))
        if not len(sounding):
            return None
        found = np.full((count, *self.track.shape[1:]), SILENT, np.int64)
        for number in sounding:
            source = self._sources[number]
            tracks = None if source.tracks is None else source.tracks[self._group]
            first = (frame - source.delay + self.slot_frames // 2) // self.slot_frames
            low = max(first, source.first // self.slot_frames, 0)
            high = min(first + count, -(-source.last // self.slot_frames))
            if low < high:
                cells = self.rows(low, high) if tracks is None else tracks[low:high]
                here = found[low - first : high - first]
                np.maximum(here, cells + source.rises[self._group], out=here)
        return np.minimum(found, LOUDEST)

    def _means(self, cells: Levels, bands: layout.BandLayout) -> Levels:
        return mean_over_bands(mean_over_time(cells), bands, self.bands.widths)


class _Shape(Protocol):
    """What levels need to know of a segment, of its `StreamContext`."""

    @property
    def samplerate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def frames(self) -> int: ...


class SegmentLevels:
    """Levels of all channel groups of one segment; in files without patterns nothing needs them.

    start: first frame of the segment; past: tracks by group of the earlier segments that it depends on, all of
    `segment_frames` frames.
    """

    def __init__(
        self,
        context: _Shape,
        start: int,
        sources: list[LevelSource],
        past: Mapping[int, list[Track]],
        segment_frames: int,
    ) -> None:
        superframe = c.superframe_length(context.samplerate)
        self._slots = segment_frames * SLOTS // superframe
        self._past = past
        count = -(-context.frames // superframe)
        sizes = [min(2, context.channels - first) for first in range(0, context.channels, 2)]
        self.groups = [
            GroupLevels(superframe, start, count, size, sources, number, partial(self._rows, number))
            for number, size in enumerate(sizes)
        ]

    @property
    def tracks(self) -> list[Track]:
        """By group, once the segment is decoded."""
        return [group.track for group in self.groups]

    def skip(self) -> None:
        """There is no residual in the whole segment."""
        for group in self.groups:
            group.skip()

    def _rows(self, group: int, first: int, end: int) -> Track:
        """Slots [first, end), counted from the start of the file, of earlier segments."""
        parts = []
        while first < end:
            index = first // self._slots
            until = min(end, (index + 1) * self._slots)
            parts.append(self._past[index][group][first - index * self._slots : until - index * self._slots])
            first = until
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
