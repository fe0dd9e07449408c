"""Changes of the noise's levels over all bands at once, from coarse to fine, under contexts that start from frozen
tables (spec 8.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.bands import band_edges
from evc.format.streams.integers import Flags, Scales
from evc.format.streams.port import Port

Levels = NDArray[np.int64]
FILE = "noise.npz"
SYMBOLS = "noise"  # what the symbols are for, in the report of bits
FIRST, START, END = range(3)  # what changes: the first levels of a segment, those at the start and end of a stretch
UP_ROUNDED = 3  # the class of signs where the guess was rounded up


@dataclass(frozen=True)
class PlaneKind:
    """What a plane holds: its row in the tables, and the range of its levels."""

    row: int
    least: int
    most: int

    def edges(self, samplerate: int, stride: int) -> NDArray[np.float64]:
        """Edges of the bands in Hz [bands + 1]; `stride` as the stream gives it."""
        if self is COLOUR:
            bands = np.arange(c.NOISE_COLOURS * stride + 1, dtype=np.float64)
            return bands * samplerate / c.superframe_length(samplerate)
        return band_edges(samplerate, stride, fine=True)

    def bands(self, samplerate: int, stride: int) -> int:
        return len(self.edges(samplerate, stride)) - 1


LEVEL = PlaneKind(0, 0, c.MAX_NOISE_LEVEL)
BALANCE = PlaneKind(1, -c.MAX_NOISE_BALANCE, c.MAX_NOISE_BALANCE)
ANGLE = PlaneKind(2, 0, c.NOISE_ANGLES)
COLOUR = PlaneKind(3, 0, c.MAX_NOISE_COLOUR)


def plane_kinds(channels: int) -> list[PlaneKind]:
    """The planes of a stream, in their order."""
    return [LEVEL, BALANCE, ANGLE, COLOUR] if channels == 2 else [LEVEL] * channels + [COLOUR]


@lru_cache(maxsize=1)
def tables() -> dict[str, NDArray[np.integer]]:
    """The frozen integers of the noise (spec/tables/noise.npz): `noise` int8 [NOISE_TABLE], the sound that is shaped;
    `scales` [kinds, contexts] and `signs` [kinds, contexts], what the contexts begin with."""
    with resources.files("evc.spec").joinpath("tables", FILE).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


class Changes:
    """Codes the levels of all bands of a plane, from coarse to fine over the bands, as changes against earlier ones."""

    def __init__(self, port: Port, bands: int, kind: PlaneKind) -> None:
        self._port, self._kind = port, kind
        self._passes = list(passes(bands))
        scales, signs = (tables()[name][kind.row].astype(np.int64) for name in ("scales", "signs"))
        self._scales = Scales(len(scales), scales, c.NOISE_SETTLED)
        self._signs = Flags(len(signs), signs, c.NOISE_SETTLED)

    def code(self, before: Levels, levels: Levels, which: int) -> Levels:
        """Code `levels` [bands], given those `before`; `which`: FIRST, START or END."""
        kind = self._kind
        change = np.zeros(len(levels), np.int64)
        for number, bands, left, right in self._passes:
            around, size, sign = surroundings(change, left, right)
            guess = np.clip(before[bands] + around, kind.least, kind.most)
            at = context(which, number, size), c.NOISE_SIGNS * which + sign
            change[bands] = guess + self._signed(levels[bands] - guess, *at) - before[bands]
        result: Levels = before + change
        if result.min(initial=0) < kind.least or result.max(initial=0) > kind.most:
            raise FormatError("a level of the noise is out of range")
        return result

    def _signed(self, values: Levels, at: Levels, sign: Levels) -> Levels:
        magnitudes = self._scales.unsigned(self._port, np.abs(values), at, SYMBOLS)
        some = magnitudes != 0
        negative = self._signs.code(self._port, (values[some] < 0).astype(np.int32), sign[some], SYMBOLS)
        result = np.array(magnitudes, np.int64)
        result[some] *= 1 - 2 * negative.astype(np.int64)
        return result


def surroundings(change: Levels, left: Levels | None, right: Levels) -> tuple[Levels, Levels, Levels]:
    """What the changes [..., bands] at the neighbours make of a band: the change to expect, how much changes around,
    and the class of its sign. Without neighbours on the left there are none."""
    if left is None:
        nothing = np.zeros((*change.shape[:-1], len(right)), np.int64)
        return nothing, nothing, nothing
    low, high = change[..., left], change[..., right]
    around = (low + high + 1) >> 1
    size = np.minimum((np.abs(low) + np.abs(high) + 1) >> 1, c.SURFACE_CLASSES - 1)
    return around, size, np.where((low + high) & 1, UP_ROUNDED, np.sign(around) % UP_ROUNDED)


def context(which: Levels | int, number: int, size: Levels) -> Levels:
    """Contexts of magnitudes in pass `number`, by how much changes around."""
    return c.SURFACE_CLASSES * (c.NOISE_PASSES * which + number) + size


def passes(bands: int) -> Iterator[tuple[int, Levels, Levels | None, Levels]]:
    """The number of each pass, its bands, and their known neighbours left and right (at the edge twice the left).
    Passes without bands are left out."""
    first = np.arange(0, bands, c.SURFACE_STRIDE)
    yield 0, first, None, first
    for number in range(1, c.NOISE_PASSES):
        stride = c.SURFACE_STRIDE >> number
        at = np.arange(stride, bands, 2 * stride)
        if len(at):
            yield number, at, at - stride, np.where(at + stride < bands, at + stride, at - stride)
