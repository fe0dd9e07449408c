"""Levels of bands side by side: in which there is anything, and how they change from what they were (spec 6.6).

Bands come from coarse to fine: each is guessed from those half as far apart.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.integers import MOST_CALL, Flags, Scales, frozen_tables
from evc.format.streams.port import SymbolPort

Levels = NDArray[np.int64]
UP_ROUNDED = 3  # the class of signs where the guess was rounded up


class BandFlags:
    """Codes which bands hold something: even ones first, odd ones by these. `classes` is how many cases there are of
    what is known of a band before."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._flags = Flags(4 * classes)

    def code(self, port: SymbolPort, wanted: NDArray[np.bool_], known: Levels, kind: str) -> Levels:
        """Code a row of bands, and return 1 for each that holds something; `known` [bands] is the class of each."""
        on = np.zeros(len(known), np.int64)
        even, odd = np.arange(0, len(on), 2), np.arange(1, len(on), 2)
        on[even] = self._flags.code(port, wanted[even].astype(np.int32), known[even], kind)
        if len(odd):
            around = on[odd - 1] + on[np.where(odd + 1 < len(on), odd + 1, odd - 1)]
            at = self._classes * (1 + around) + known[odd]
            on[odd] = self._flags.code(port, wanted[odd].astype(np.int32), at, kind)
        return on


class Changes:
    """Codes rows of levels from `least` to `most`, each as changes of what it was before.

    There may be several `sorts` of changes, each under contexts of its own. `settled`, if given, are the averages that
    the contexts of magnitudes [16 * sorts] and of signs [4 * sorts] begin with.
    """

    def __init__(self, least: int, most: int, sorts: int = 1, settled: tuple[Levels, Levels] | None = None) -> None:
        self._least, self._most = least, most
        if settled is None:
            self._scales, self._signs = Scales(c.CHANGE_SIZES * c.CHANGE_PASSES * sorts), Flags(c.CHANGE_SIGNS * sorts)
        else:
            self._scales = Scales(len(settled[0]), settled[0], c.SETTLED)
            self._signs = Flags(len(settled[1]), settled[1], c.SETTLED)

    def code(self, port: SymbolPort, before: Levels, levels: Levels, kind: str, sort: int = 0) -> Levels:
        """Code `levels` [bands], given those `before`. FormatError where one is out of range."""
        if port.compiled is not None and len(levels) <= MOST_CALL:
            return self._compiled(port, before, levels, kind, sort)
        change = np.zeros(len(levels), np.int64)
        for number, bands, left, right in passes(len(levels)):
            around, size, sign = surroundings(change, left, right)
            guess = np.clip(before[bands] + around, self._least, self._most)
            at = context(sort, number, size), c.CHANGE_SIGNS * sort + sign
            change[bands] = guess + self._signed(port, levels[bands] - guess, *at, kind) - before[bands]
        result: Levels = before + change
        if len(result) and (result.min() < self._least or result.max() > self._most):
            raise FormatError(f"a level of {kind} is out of range")
        return result

    def _compiled(self, port: SymbolPort, before: Levels, levels: Levels, kind: str, sort: int) -> Levels:
        if port.writing and len(levels) and np.abs(levels).max() > c.MAX_GOLOMB:
            raise FormatError(f"a level of {kind} is out of range")
        found, before = levels.astype(np.int64), np.ascontiguousarray(before, np.int64)
        per_sort = c.CHANGE_SIZES * c.CHANGE_PASSES
        sizes, signs = self._scales.state[per_sort * sort :], self._signs.state[c.CHANGE_SIGNS * sort :]
        states = kernels.pointer(sizes), kernels.pointer(signs)
        pointers = kernels.pointer(before), len(found), kernels.pointer(found)
        limits = self._least, self._most
        kernels.lib.evc_code_changes(port.compiled, port.writing, frozen_tables().struct, *states, *limits, *pointers)
        port.settle(kind)
        return found

    def _signed(self, port: SymbolPort, values: Levels, at: Levels, sign: Levels, kind: str) -> Levels:
        magnitudes = self._scales.unsigned(port, np.abs(values), at, kind)
        some = magnitudes != 0
        negative = self._signs.code(port, (values[some] < 0).astype(np.int32), sign[some], kind)
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
    size = np.minimum((np.abs(low) + np.abs(high) + 1) >> 1, c.CHANGE_SIZES - 1)
    return around, size, np.where((low + high) & 1, UP_ROUNDED, np.sign(around) % UP_ROUNDED)


def context(sort: Levels | int, number: int, size: Levels) -> Levels:
    """Contexts of magnitudes in pass `number`, by how much changes around."""
    return c.CHANGE_SIZES * (c.CHANGE_PASSES * sort + number) + size


@lru_cache(maxsize=128)
def passes(bands: int) -> list[tuple[int, Levels, Levels | None, Levels]]:
    """The number of each pass, its bands, and their known neighbours left and right (at the edge twice the left).
    Passes without bands are left out."""
    first = np.arange(0, bands, c.CHANGE_STRIDE)
    found: list[tuple[int, Levels, Levels | None, Levels]] = [(0, first, None, first)] if bands else []
    for number in range(1, c.CHANGE_PASSES):
        stride = c.CHANGE_STRIDE >> number
        at = np.arange(stride, bands, 2 * stride)
        if len(at):
            found.append((number, at, at - stride, np.where(at + stride < bands, at + stride, at - stride)))
    return found
