"""The levels that patterns bring, against the tracks of a decoder written from the specification."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_levels import Entry, GroupTrack, Source, mean
from reference_spectrum import Bands

from evc.format import constants as c
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.bands import band_count
from evc.format.streams.gains import OFF
from evc.format.streams.levels import (
    LOUDEST,
    SILENT,
    SLOTS,
    LevelSource,
    SegmentLevels,
    Track,
    fine_gains,
    mean_over_bands,
    mean_over_time,
)

RATES = [8_000, 22_050, 44_100, 96_000, 192_000]
PHASE_BITS = 5


@given(st.lists(st.integers(SILENT, LOUDEST), min_size=1, max_size=16))
def test_means_over_time(levels: list[int]) -> None:
    found = int(mean_over_time(np.array(levels, np.int64)))
    assert found == mean(levels, [1] * len(levels))
    exact = 64 * np.log2(np.mean(4.0 ** (np.array(levels) / 64))) / 2
    assert min(levels) <= found <= max(levels) and abs(found - exact) < 5


@pytest.mark.parametrize("rate", RATES)
def test_means_over_bands(rate: int) -> None:
    random = np.random.default_rng(rate)
    full = layout.full_geometry(c.superframe_length(rate))
    fine = full.layouts[0]
    levels = random.integers(SILENT, LOUDEST + 1, (2, fine.bands))
    for coarse_bands in range(1, full.coarse_bands + 1):
        for depth in (0, 3):
            bands = layout.geometry(full.superframe, coarse_bands).layouts[depth]
            found = mean_over_bands(levels, bands, fine.widths)
            assert found.shape == (2, bands.bands)
            for band, (low, high) in enumerate(zip(bands.fine[:-1], bands.fine[1:], strict=True)):
                part = [mean(row[low:high].tolist(), fine.widths[low:high].tolist()) for row in levels]
                assert found[:, band].tolist() == part


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("stride", [0, 1, 3, 15])
def test_where_a_plane_is_off_it_brings_nothing(rate: int, stride: int) -> None:
    bands = band_count(rate, stride, fine=False)
    gains = np.full((2, bands), OFF)
    superframe = c.superframe_length(rate)
    assert (LOUDEST + fine_gains(gains, 4, stride, superframe) <= SILENT).all()
    gains[1] = np.arange(bands) - 5
    rises = fine_gains(gains, 4, stride, superframe)
    assert rises[0] == -80 and rises[-1] == 16 * (bands - 6) and (np.diff(rises) >= 0).all()
    gains[0, 0] = -1
    assert fine_gains(gains, 3, stride, superframe)[0] == -22


class Case:
    """Two segments with planted sources: what `SegmentLevels` and the reference make of them."""

    def __init__(self, rate: int, channels: int, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.superframe = c.superframe_length(rate)
        self.frames = 3 * self.superframe  # of a segment
        self.context = StreamContext(rate, channels, self.frames, PHASE_BITS)
        self.full = layout.full_geometry(self.superframe)
        self.stride = int(self.random.integers(0, 4))
        self.bands = band_count(rate, self.stride, fine=False)
        self.sizes = [min(2, channels - first) for first in range(0, channels, 2)]
        self.mid_side = channels == 2 and bool(self.random.random() < 0.5)
        self.entry = self._entry(min(channels, 1 + seed % 3))
        self.references = [GroupTrack(self.superframe, 2 * i, n, PHASE_BITS) for i, n in enumerate(self.sizes)]

    def _entry(self, channels: int) -> Entry:
        slots = 2 * SLOTS
        shape = slots, channels, self.full.layouts[0].bands
        cells = self.random.integers(SILENT, LOUDEST + 1, shape)
        return Entry(None, slots * self.superframe // SLOTS - 100, dict(enumerate(cells.tolist())))

    def sources(self, start: int) -> tuple[list[Source], list[LevelSource]]:
        ours, theirs = [], []
        for _ in range(self.random.integers(0, 6)):
            begin = start + int(self.random.integers(0, self.frames))
            end = begin + int(self.random.integers(1, 2 * self.superframe))
            placed = self.random.random() < 0.4
            delay = begin - int(self.random.integers(0, self.superframe)) << PHASE_BITS
            if not placed:
                least = c.least_lag(self.context.samplerate)
                delay = int(self.random.integers(least << PHASE_BITS, begin + least << PHASE_BITS))
            first, last = (0, self.entry.frames) if placed else (0, 1 << 62)
            planes = self.random.choice([1, self.context.channels])
            gains = self.random.integers(-9, 9, (2 if self.mid_side else planes, self.bands))
            gains[self.random.random(gains.shape) < 0.3] = OFF
            entry = self.entry if placed else None
            plain = [[None if level == OFF else int(level) for level in plane] for plane in gains]
            theirs.append(Source(begin, end, delay, first, last, entry, plain))
            ours.append(self._level_source(theirs[-1], gains))
        return theirs, ours

    def _level_source(self, source: Source, gains: np.ndarray) -> LevelSource:
        rises, tracks = [], []
        for number, size in enumerate(self.sizes):
            channels = range(2 * number, 2 * number + size)
            planes = gains if len(gains) == 1 or self.mid_side else gains[channels.start : channels.stop]
            rises.append(fine_gains(planes, 5, self.stride, self.superframe))
            rows = np.array(list((self.entry.track or {}).values()), np.int16)
            tracks.append(rows[:, [channel % rows.shape[1] for channel in channels]])
        last = source.last if source.last is not None else 1 << 62
        return LevelSource(source.begin, source.end, source.delay >> PHASE_BITS, source.first, last, np.stack(rises),
                           tracks if source.entry else None)  # fmt: skip

    def compare(self, group: int, levels: SegmentLevels, coarse_bands: int) -> None:
        """One group's blocks in a segment; without coarse bands it is silent."""
        ours, reference = levels.groups[group], self.references[group]
        if not coarse_bands:
            ours.skip()
            for _ in range(3):
                reference.silent()
        geometry = layout.geometry(self.superframe, max(coarse_bands, 1))
        for depth in [0, 1, 2, 3, 4, 4, 4, 4, 3, 2, 1] if coarse_bands else []:
            bands = geometry.layouts[depth]
            residual = self.random.integers(SILENT, LOUDEST // 2, (self.sizes[group], bands.bands))
            plain = Bands(depth, int(geometry.layouts[-1].edges[-1]))
            covered = ours.sounds(depth)
            assert covered == bool(reference.covering(depth))
            alone = bool(covered and self.random.random() < 0.3)
            known = None if alone else ours.next(depth, bands)
            assert (known is not None) == (covered and not alone)
            found = ours.block(depth, residual, bands)
            brought = reference.brings(depth, plain, alone)
            if known is not None:
                np.testing.assert_array_equal(known, brought)
            reference.takes(residual.tolist(), plain)
            np.testing.assert_array_equal(found, np.maximum(residual, brought))
        rows = [reference.rows[ours.start + slot] for slot in range(3 * SLOTS)]
        np.testing.assert_array_equal(ours.track, rows)


@given(st.sampled_from(RATES), st.integers(1, 5), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_the_reference_agrees(rate: int, channels: int, seed: int) -> None:
    case = Case(rate, channels, seed)
    past: dict[int, list[Track]] = {}
    for index in range(2):
        start = index * case.frames
        theirs, ours = case.sources(start)
        levels = SegmentLevels(case.context, start, ours, past, case.frames)
        for group, reference in enumerate(case.references):
            reference.segment(theirs, case.stride, 5, case.mid_side)
            case.compare(group, levels, int(case.random.integers(0, case.full.coarse_bands + 1)))
        past[index] = levels.tracks


def test_without_patterns_the_levels_are_the_residuals() -> None:
    context = StreamContext(44_100, 2, 4096)
    levels = SegmentLevels(context, 0, [], {}, 4096)
    bands = layout.full_geometry(4096).layouts[0]
    residual = np.random.default_rng(0).integers(SILENT, LOUDEST, (2, bands.bands))
    assert levels.groups[0].block(0, residual, bands) is residual
    np.testing.assert_array_equal(levels.tracks[0], np.broadcast_to(residual, (SLOTS, 2, bands.bands)))


def test_a_look_ahead_changes_nothing() -> None:
    """What a copy brings is known before the residual is."""
    context, start = StreamContext(8_000, 1, 3 * 1024), 3 * 1024
    full = layout.full_geometry(1024)
    past = {0: [np.random.default_rng(0).integers(SILENT, LOUDEST, (48, 1, full.fine_bands)).astype(np.int16)]}
    copy = LevelSource(start, start + 1024, 2500, 0, 1 << 62, np.zeros((1, full.fine_bands), np.int64))
    group = SegmentLevels(context, start, [copy], past, 3 * 1024).groups[0]
    bands, nothing = full.layouts[0], np.full((1, full.fine_bands), SILENT)
    early = group.brought(0, 0, bands)
    assert early is not None and group.brought(16, 0, bands) is None
    assert group.sounds(0)
    np.testing.assert_array_equal(group.next(0, bands), early)
    np.testing.assert_array_equal(group.block(0, nothing, bands), early)
    assert not group.sounds(0) and group.next(0, bands) is None


def test_a_block_left_alone_takes_nothing_in() -> None:
    context, start = StreamContext(8_000, 1, 3 * 1024), 3 * 1024
    full = layout.full_geometry(1024)
    past = {0: [np.random.default_rng(0).integers(0, LOUDEST, (48, 1, full.fine_bands)).astype(np.int16)]}
    copy = LevelSource(start, start + 1024, 2500, 0, 1 << 62, np.zeros((1, full.fine_bands), np.int64))
    group = SegmentLevels(context, start, [copy], past, 3 * 1024).groups[0]
    bands, nothing = full.layouts[1], np.full((1, full.layouts[1].bands), SILENT)
    assert group.sounds(1)
    np.testing.assert_array_equal(group.block(1, nothing, bands), nothing)
    assert (group.track[:8] == SILENT).all()
    assert group.sounds(1) and group.next(1, bands) is not None
    assert (group.block(1, nothing, bands) > 0).all() and (group.track[8:16] >= 0).all()


def test_writing_again_what_was_tried() -> None:
    """An encoder that begins anew brings about the same track."""
    case = Case(8_000, 1, 5)
    past = {0: [case.random.integers(SILENT, LOUDEST, (48, 1, case.full.fine_bands)).astype(np.int16)]}
    levels = SegmentLevels(case.context, case.frames, case.sources(case.frames)[1], past, case.frames)
    group, bands = levels.groups[0], case.full.layouts[0]
    residual = case.random.integers(SILENT, LOUDEST // 2, (3, 1, bands.bands))
    results, tracks = [], []
    for _ in range(2):
        for one in residual:
            group.next(0, bands)
            results.append(group.block(0, one, bands))
        tracks.append(group.track.copy())
        group.restart()
    np.testing.assert_array_equal(results[:3], results[3:])
    np.testing.assert_array_equal(*tracks)
