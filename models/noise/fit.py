"""Cuts a plane into stretches and finds the levels of each, by error and bits.

Cutting is a dynamic program over all stretches of some lengths, each as good as straight lines can be. Levels are then
found band by band, each by a dynamic program over all levels at the ends of stretches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.streams.changes import context, passes, surroundings
from evc.format.streams.integers import flag_bits, magnitude_bits
from evc.format.streams.noise import NoisePlane
from evc.format.streams.noise_changes import END, FIRST, START, PlaneKind, tables
from evc.models.arrays import Floats

Integers = NDArray[np.int64]

LENGTHS = np.array([*range(1, 17), *range(18, 33, 2), *range(36, 65, 4), *range(72, 129, 8), *range(144, 257, 16)])
STRETCH_BITS = 8.0  # length and flags of a stretch
START_BITS = 3.5  # per band, of a new start
END_BITS = 1.5  # per band, of an end that differs from the start


@dataclass(frozen=True)
class Target:
    """What a plane should be: `values` float64 [rows, bands] in its units, `weights` float64 [rows, bands] of squared
    errors. A row is `grid` hops long, the last one what is left of `hops`."""

    kind: PlaneKind
    stride: int
    values: Floats
    weights: Floats
    hops: int
    grid: int = 1


class _Sums:
    """Sums over spans of hops [bands]: of weights, moments of time (in hops, from the first), and values."""

    def __init__(self, target: Target) -> None:
        weights, values = target.weights, target.values
        time = np.arange(len(values))[:, None] + 0.5
        parts = [weights, weights * time, weights * time**2]
        parts += [weights * values, weights * time * values, weights * values**2]
        self._sums = [np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(part, axis=0)]) for part in parts]

    def over(self, begin: Integers, end: Integers) -> list[Floats]:
        """w, wt, wtt, wy, wty, wyy, each [spans, bands]; time counts from the middle of the span."""
        return self._moments([sums[end] - sums[begin] for sums in self._sums], begin, end)

    def everywhere(self, length: int) -> list[Floats]:
        """The same over all spans of so many hops."""
        spans = np.arange(len(self._sums[0]) - length)
        return self._moments([sums[length:] - sums[:-length] for sums in self._sums], spans, spans + length)

    @staticmethod
    def _moments(sums: list[Floats], begin: Integers, end: Integers) -> list[Floats]:
        w, wt, wtt, wy, wty, wyy = sums
        middle = ((begin + end) / 2)[:, None]
        return [w, wt - middle * w, wtt - middle * (2 * wt - middle * w), wy, wty - middle * wy, wyy]


def fit(target: Target, price: float) -> NoisePlane:
    """The plane that costs least: squared error plus `price` times bits."""
    sums = _Sums(target)
    lengths = cut(sums, len(target.values), price)
    ends = np.cumsum(lengths)
    starts, stops = levels(sums.over(ends - lengths, ends), lengths, target.kind, price)
    plane = merged(NoisePlane(lengths * target.grid, starts, stops, target.stride))
    plane.lengths[-1:] += target.hops - plane.lengths.sum()
    return plane


def cut(sums: _Sums, hops: int, price: float) -> Integers:
    """Lengths of the stretches."""
    lengths = LENGTHS[LENGTHS <= max(hops, 1)]
    cost = np.full((hops + 1, len(lengths)), np.inf)  # by end, and length
    for number, length in enumerate(lengths):
        w, wt, wtt, wy, wty, wyy = sums.everywhere(int(length))
        some = np.maximum(w, 1e-9)
        held = wyy - wy**2 / some
        spread = wtt - wt**2 / some
        line = (wty - wt * wy / some) ** 2 / np.maximum(spread, 1e-9)
        gain = np.maximum(line - price * END_BITS, 0)
        cost[length:, number] = (held - gain).sum(axis=1) + price * (STRETCH_BITS + START_BITS * w.shape[1])
    best, choice = np.zeros(hops + 1), np.zeros(hops + 1, np.int64)
    for end in range(1, hops + 1):
        possible = lengths[lengths <= end]
        total = best[end - possible] + cost[end, : len(possible)]
        choice[end] = number = total.argmin()
        best[end] = total[number]
    found, at = [], hops
    while at:
        found.append(int(lengths[choice[at]]))
        at -= found[-1]
    return np.array(found[::-1], np.int64)


def levels(sums: list[Floats], lengths: Integers, kind: PlaneKind, price: float) -> tuple[Integers, Integers]:
    """Levels [stretches, bands] at the starts and ends of stretches, `sums` being those over the stretches."""
    w, wt, wtt, wy, wty, _ = sums
    stretches, bands = w.shape
    # With u from 0 at the start to 1 at the end, the error of a line from s to e is quadratic in both.
    length = lengths[:, None]
    wu, wuu, wuy = wt / length + w / 2, wtt / length**2 + wt / length + w / 4, wty / length + wy / 2
    quadratic = np.stack([w - 2 * wu + wuu, wu - wuu, wuu, wy - wuy, wuy])  # ss, se, ee, s, e
    changes = np.zeros((2, stretches, bands), np.int64)
    found = np.zeros((2, stretches, bands), np.int64)
    which = np.array([np.where(np.arange(stretches) > 0, START, FIRST), np.full(stretches, END)])[..., None]
    for number, at, left, right in passes(bands):
        around, sizes, signs = surroundings(changes, left, right)
        rows = (context(which, number, sizes), c.CHANGE_SIGNS * which + signs)
        start, end = found[..., at] = _trellis(quadratic[..., at], around, rows, kind, price)
        before = np.concatenate([np.zeros((1, len(at)), np.int64), end[:-1]])
        changes[..., at] = np.stack([start - before, end - start])
    return found[0], found[1]


def _trellis(
    quadratic: Floats, around: Integers, contexts: tuple[Integers, Integers], kind: PlaneKind, price: float
) -> Integers:
    """Levels [2, stretches, bands] of some bands, each on its own; `around` [2, stretches, bands]: the changes that are
    expected; `contexts`: those of magnitudes and signs."""
    ss, se, ee, s1, e1 = quadratic
    stretches, bands = ss.shape
    least, most = _range((s1 + e1) / np.maximum(ss + 2 * se + ee, 1e-9), kind)
    level = np.arange(least, most + 1)
    reach = max(abs(least), abs(most)) + len(level) + int(np.abs(around).max(initial=0))
    bits = np.ascontiguousarray(price * change_bits(kind, reach))
    rows = np.ascontiguousarray(contexts[0] * bits.shape[1] + contexts[1])
    if kernels.lib is not None:
        found = np.zeros((2, stretches, bands), np.int64)
        arrays = [np.ascontiguousarray(array) for array in (quadratic, around)]
        if not kernels.lib.evc_noise_levels(
            kernels.pointer(arrays[0]), stretches, bands, least, len(level), kernels.pointer(rows),
            kernels.pointer(arrays[1]), kernels.pointer(bits), reach, kernels.pointer(found),
        ):  # fmt: skip
            raise MemoryError
        return found
    tables_of_bits = bits.reshape(-1, bits.shape[2])
    apart = level[None, :] - level[:, None] + reach  # [from, to]

    def changing(side: int, n: int) -> Floats:
        table: Floats = tables_of_bits[rows[side, n]]  # [bands, changes]
        if not side and not n:
            return np.take_along_axis(table, level - around[0, 0][:, None] + reach, axis=1)[:, None, :]
        at = apart - around[side, n][:, None, None]
        return np.take_along_axis(table, at.reshape(bands, -1), axis=1).reshape(at.shape)

    cost = np.zeros((bands, len(level)))
    back = np.zeros((2, stretches, bands, len(level)), np.int64)
    for n in range(stretches):
        cost = cost[:, :, None] + changing(0, n)
        back[0, n] = cost.argmin(axis=1)
        cost = cost.min(axis=1) + ss[n][:, None] * level**2 - 2 * s1[n][:, None] * level
        cost = cost[:, :, None] + 2 * se[n][:, None, None] * level[:, None] * level + changing(1, n)
        back[1, n] = cost.argmin(axis=1)
        cost = cost.min(axis=1) + ee[n][:, None] * level**2 - 2 * e1[n][:, None] * level
    found = np.zeros((2, stretches, bands), np.int64)
    state, band = cost.argmin(axis=1), np.arange(bands)
    for n in range(stretches - 1, -1, -1):
        found[1, n] = state
        state = back[1, n, band, state]
        found[0, n] = state
        state = back[0, n, band, state]
    return found + least


def _range(mean: Floats, kind: PlaneKind) -> tuple[int, int]:
    """Levels that are worth a try."""
    low, high = int(np.floor(mean.min(initial=0))) - 2, int(np.ceil(mean.max(initial=0))) + 2
    return min(max(kind.least, low), kind.most), max(min(kind.most, high), kind.least)


@lru_cache(maxsize=16)
def change_bits(kind: PlaneKind, reach: int) -> Floats:
    """Bits of a change under the contexts of the stream as it begins: [magnitude contexts, sign contexts,
    2 * reach + 1], from -reach on."""
    change = np.arange(-reach, reach + 1)
    magnitudes = magnitude_bits(tables()["scales"][kind.row], np.abs(change))
    negative = flag_bits(tables()["signs"][kind.row])  # [contexts, 2]
    signs = np.where(change < 0, negative[:, 1:], negative[:, :1]) * (change != 0)
    bits: Floats = magnitudes[:, None, :] + signs
    return bits


def merged(plane: NoisePlane) -> NoisePlane:
    """The same with held stretches joined to held ones of the same levels."""
    starts, ends = plane.starts, plane.ends
    held = (starts == ends).all(axis=1)
    again = np.zeros(len(held), bool)
    again[1:] = held[1:] & held[:-1] & (starts[1:] == ends[:-1]).all(axis=1)
    first = np.flatnonzero(~again)
    return NoisePlane(np.add.reduceat(plane.lengths, first), starts[first], ends[first], plane.stride)
