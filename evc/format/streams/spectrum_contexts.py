"""Contexts of the spectrum stream: integer features of what is already decoded (spec/evc-1.md, section 9).

Every number here is an integer computed from decoded integers, so the contexts are the same on every machine.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.constants import FEATURE_LIMIT, OCTAVE
from evc.format.streams.spectrum_layout import BandLayout, Geometry, change_layout
from evc.format.streams.spectrum_tables import psychoacoustics

EDGE = 8  # margin of padded arrays, in bins or bands
QUIET = -20 * OCTAVE  # log amplitude before anything is decoded
FEATURE_SHIFT = 3  # coefficient features are in 1/8 octave
ENERGY_PASSES = 3
COEFFICIENT_PASSES = 2
STATIC_FEATURES = c.BLOCK_DEPTHS + 1  # which size the block has, and the change from the one before
BAND_FEATURES = 4
POSITION_WEIGHT = 3
WIDE = 6  # bins on each side that count as the surroundings of a bin
LOG_MAGNITUDE = np.rint(OCTAVE * np.log2(np.maximum(np.arange(32), 1))).astype(np.int16)

# What the features of an energy look at: (section, band offsets). Sections: the block before, the one before that,
# this block so far, the first channel's energies in this block, and those in the block before.
_ENERGY_PAST = ((0, (-2, -1, 1, 2)), (1, (-1, 0, 1)))
_ENERGY_KNOWN = ((), ((2, (-2, 2)),), ((2, (-1, 1, -3, 3)),))
_ENERGY_OTHER = ((3, (-1, 0, 1)), (4, (-1, 0, 1)))
# The same for a coefficient. Sections: the block before, the one before that, the surroundings in the block before,
# this block so far, the first channel's block.
_BIN_PAST = ((0, (-2, -1, 0, 1, 2)), (1, (-1, 0, 1)), (2, (0,)))
_BIN_KNOWN = ((), ((3, (-5, -3, -1, 1, 3, 5)),))
_BIN_OTHER = ((4, (-2, -1, 0, 1, 2)),)


def _looks(channel: int, past: tuple, known: tuple, other: tuple) -> list[tuple[int, int]]:
    """(section, offset) of each feature in order."""
    return [(section, offset) for section, offsets in past + known + (other if channel else ()) for offset in offsets]


@lru_cache(maxsize=64)
def _energy_index(channel: int, stage: int, bands: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(bands coded in this pass [n], places of their features in the joined sections [n, features])."""
    at = energy_positions(bands)[stage]
    looks = _looks(channel, _ENERGY_PAST, _ENERGY_KNOWN[stage], _ENERGY_OTHER)
    offsets = np.array([section * (bands + 2 * EDGE) + offset for section, offset in looks])
    return at, at[:, None] + EDGE + offsets


@lru_cache(maxsize=64)
def _bin_offsets(channel: int, stage: int, bins: int) -> NDArray[np.int64]:
    looks = _looks(channel, _BIN_PAST, _BIN_KNOWN[stage], _BIN_OTHER)
    return np.array([section * (bins + 2 * EDGE) + offset for section, offset in looks])


def energy_positions(bands: int) -> list[NDArray[np.int64]]:
    """Bands coded in each pass: multiples of four, the other even ones, the odd ones."""
    every = np.arange(bands)
    return [every[every % 4 == 0], every[every % 4 == 2], every[every % 2 == 1]]


def pad(values: NDArray[Any]) -> NDArray[Any]:
    """Repeat the edge values EDGE times on both sides."""
    out = np.empty(len(values) + 2 * EDGE, values.dtype)
    out[:EDGE], out[EDGE:-EDGE], out[-EDGE:] = values[0], values, values[-1]
    return out


def static_features(depth: int, before: int) -> NDArray[np.float32]:
    """Features [STATIC_FEATURES] that all symbols of a block share: its size and that of the block before."""
    out = np.zeros(STATIC_FEATURES, np.float32)
    out[depth] = 32
    out[c.BLOCK_DEPTHS] = 16 * (before - depth)
    return out


class ChannelMemory:
    """What the contexts of one channel remember of the two blocks before.

    energies1, energies2: band energies times four on the layout of the last block; amplitudes1, amplitudes2: log
    amplitudes int16 in 1/64 octave at the bins of the last block.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.depth = 0
        self.energies1 = np.zeros(geometry.layouts[0].bands, np.int64)
        self.energies2 = self.energies1
        self.steps = np.full(geometry.layouts[0].bands, c.STEP_REFERENCE, np.int64)
        self.amplitudes1 = np.full(geometry.layouts[0].bins, QUIET, np.int16)
        self.amplitudes2 = self.amplitudes1

    def align(self, depth: int) -> None:
        """Carry the memory to the block size of `depth`."""
        if depth == self.depth:
            return
        old, new = self.geometry.layouts[self.depth], self.geometry.layouts[depth]
        self.energies1 = change_layout(self.energies1, old, new)
        self.energies2 = change_layout(self.energies2, old, new)
        self.steps = change_layout(self.steps, old, new)
        self.amplitudes1 = _resize(self.amplitudes1, self.depth, depth)
        self.amplitudes2 = _resize(self.amplitudes2, self.depth, depth)
        self.depth = depth

    def coded(self, energies: NDArray[np.integer], steps: NDArray[np.int64]) -> None:
        """Take in the energies and log steps of a block that no pattern sounds in."""
        self.energies1, self.energies2 = 4 * energies.astype(np.int64), self.energies1
        self.steps = steps

    def heard(self) -> None:
        """Take in a block that patterns sound in: the energies of what is heard there, those that have the block's
        steps where they are the same in all bands."""
        offset = psychoacoustics("fine" if self.depth < c.FINE_DEPTHS else "coarse")[1][: len(self.steps)]
        quarters = c.HEARD_ENERGY + (c.HEARD_PER_STEP * (self.steps - c.STEP_REFERENCE - offset) >> 8)
        self.energies1, self.energies2 = np.clip(quarters, 0, 4 * c.ENERGY_MAX), self.energies1

    def push(self, amplitudes: NDArray[np.int16]) -> None:
        """Take in the log amplitudes of a block."""
        self.amplitudes1, self.amplitudes2 = amplitudes, self.amplitudes1


def _resize(amplitudes: NDArray[np.int16], old: int, new: int) -> NDArray[np.int16]:
    """Bins of a block of depth `old` as bins of depth `new`: the loudest of each group, or repeated."""
    if new > old:
        return amplitudes.reshape(-1, 1 << (new - old)).max(axis=1)
    return amplitudes.repeat(1 << (old - new))


class EnergyContext:
    """Features of the energies of one channel in one block, pass by pass."""

    def __init__(self, memory: ChannelMemory, other: EnergyContext | None) -> None:
        self.bands = len(memory.energies1)
        self.channel = 0 if other is None else 1
        self.previous = pad(memory.energies1)
        sections = [self.previous, pad(memory.energies2), np.zeros_like(self.previous)]
        if other is not None:
            sections += [other.current, other.previous]
        self.sections = np.concatenate(sections)
        width = self.bands + 2 * EDGE
        self.current: NDArray[np.int64] = self.sections[2 * width : 3 * width]

    def features(self, stage: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
        """(bands [n], features float32 [n, features], reference energies int64 [n], times four)."""
        at, places = _energy_index(self.channel, stage, self.bands)
        reference = self.previous[at + EDGE]
        out = np.empty((len(at), places.shape[1] + 3), np.float32)
        out[:, 3:] = self.sections[places] - reference[:, None]
        out[:, 0] = reference >> 1
        out[:, 1] = POSITION_WEIGHT * at
        out[:, 2] = np.where(reference == 0, 32, 0)
        np.minimum(out, FEATURE_LIMIT, out=out)
        np.maximum(out, -FEATURE_LIMIT, out=out)
        return at, out, reference

    def decoded(self, stage: int, at: NDArray[np.int64], energies: NDArray[np.integer]) -> None:
        """Take in the energies (indices) of the bands of a pass."""
        self.current[at + EDGE] = 4 * energies
        if stage == 0:
            self.current[:EDGE] = 4 * energies[0]
        if len(at) and at[-1] == self.bands - 1:
            self.current[-EDGE:] = 4 * energies[-1]


class CoefficientContext:
    """Features of the coefficients of one channel in one block, pass by pass.

    steps, levels: log step (of the coded part of the magnitude) and log energy per band, 1/64 octave.
    """

    def __init__(
        self,
        memory: ChannelMemory,
        layout: BandLayout,
        steps: NDArray[np.int64],
        levels: NDArray[np.int64],
        other: CoefficientContext | None,
    ) -> None:
        self.layout, self.channel = layout, 0 if other is None else 1
        self.steps, self.levels = steps.astype(np.int16), levels.astype(np.int16)
        self.bands = self._band_features()
        first = pad(memory.amplitudes1)
        quiet = np.minimum(self.levels, self.steps - OCTAVE)[layout.band_of_bin]
        sums = np.cumsum(first, dtype=np.int64)
        wide = np.zeros_like(first)
        wide[WIDE + 1 : -WIDE] = (sums[2 * WIDE + 1 :] - sums[: -2 * WIDE - 1]) // (2 * WIDE + 1)
        sections = [first, pad(memory.amplitudes2), wide, pad(quiet)]
        if other is not None:
            sections.append(other.current)
        self.sections = np.concatenate(sections)
        width = layout.bins + 2 * EDGE
        self.current: NDArray[np.int16] = self.sections[3 * width : 4 * width]

    def _band_features(self) -> NDArray[np.float32]:
        """[bands, BAND_FEATURES]: own level, levels of the bands below and above, all against the step; width."""
        padded = pad(self.levels)
        out = np.empty((BAND_FEATURES, len(self.levels)), np.float32)
        out[0] = (self.levels - self.steps) >> FEATURE_SHIFT
        out[1] = (padded[EDGE - 1 : -EDGE - 1] - self.steps) >> FEATURE_SHIFT
        out[2] = (padded[EDGE + 1 : len(padded) - EDGE + 1] - self.steps) >> FEATURE_SHIFT
        out[3] = self.layout.widths
        return np.clip(out, -FEATURE_LIMIT, FEATURE_LIMIT).T.copy()

    def features(self, stage: int, bins: NDArray[np.int64], band: NDArray[np.int64]) -> NDArray[np.float32]:
        """Features float32 [len(bins), features] of `bins`, which lie in the bands `band`."""
        offsets = _bin_offsets(self.channel, stage, self.layout.bins)
        near = self.sections[(bins + EDGE)[:, None] + offsets]
        near -= self.steps[band][:, None]
        near >>= FEATURE_SHIFT
        np.minimum(near, FEATURE_LIMIT, out=near)
        np.maximum(near, -FEATURE_LIMIT, out=near)
        out = np.empty((len(bins), BAND_FEATURES + near.shape[1]), np.float32)
        out[:, :BAND_FEATURES] = self.bands[band]
        out[:, BAND_FEATURES:] = near
        return out

    def decoded(self, bins: NDArray[np.int64], band: NDArray[np.int64], symbols: NDArray[np.integer]) -> None:
        """Take in the coded magnitudes (symbols) of `bins`: log amplitudes, for zeros at most half a step."""
        some = LOG_MAGNITUDE[symbols] + self.steps[band]
        self.current[bins + EDGE] = np.where(symbols > 0, some, self.current[bins + EDGE])

    @property
    def amplitudes(self) -> NDArray[np.int16]:
        """Log amplitudes [bins] of what is decoded."""
        return self.current[EDGE:-EDGE]


def band_rows(
    relative: NDArray[np.int64],
    loudest: NDArray[np.int64],
    layout: BandLayout,
    beside: NDArray[np.int64] | None,
    steps: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Table rows int64 [bands] for the flags that tell which bands hold any coefficient.

    relative: log energy less log step; loudest: loudest bin of the block before; beside: loudest bin of the first
    channel's block, or None; steps: log steps.
    """
    level = np.clip((relative + 160) >> 4, 0, 15)
    past = np.clip((loudest - steps + 2 * OCTAVE) >> 6, 0, 3)
    width = np.minimum(np.frexp(layout.widths.astype(np.float64))[1] - 1, 9)
    third = np.zeros(len(level), np.int64) if beside is None else 1 + (beside >= steps)
    return ((level * 4 + past) * 10 + width) * 3 + third


BAND_ROWS = 16 * 4 * 10 * 3
