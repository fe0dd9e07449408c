"""Integers under adaptive contexts and frozen tables, for streams of few symbols (spec 6.2, 6.3).

A context keeps a running average in integers and thereby picks a row of a frozen table. Averages move after
each call, by the mean of what the call coded under each context, so both directions see the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import FrequencyTable
from evc.format.errors import FormatError
from evc.format.lazy import once
from evc.format.streams.port import Port, SymbolPort, Values

MOST_CALL = 256  # values that kernels take at once

Contexts = NDArray[np.integer] | int


def scale_mean(row: int) -> int:
    """Average magnitude that row `row` of the magnitude table is made for, in 1/256."""
    return (2 + (row & 1)) << (row >> 1)


def _magnitude_weights() -> list[list[int]]:
    """Rows of geometric weights, each with a little of a wide one, so that nothing is very improbable."""
    rows = []
    for row in range(c.SCALE_ROWS):
        narrow, wide = _geometric(scale_mean(row)), _geometric(c.WIDE_MEAN * c.SCALE_ONE)
        rows.append([a + (b >> c.WIDE_SHARE_LOG2) for a, b in zip(narrow, wide, strict=True)])
    return rows


def _geometric(mean: int) -> list[int]:
    ratio = (mean << 16) // (mean + c.SCALE_ONE)
    weights = [((1 << 16) - ratio) << 8]
    for _ in range(c.SCALE_ESCAPE):
        weights.append(weights[-1] * ratio >> 16)
    weights[-1] = (weights[-1] << 16) // ((1 << 16) - ratio)  # all that follow
    return weights


MAGNITUDES = FrequencyTable(_magnitude_weights())
FLAGS = FrequencyTable([[2 * (c.FLAG_ROWS - row) - 1, 2 * row + 1] for row in range(c.FLAG_ROWS)])


def _rows_of_means() -> NDArray[np.int64]:
    rows = np.zeros(c.SCALE_ONE * 32, np.int64)
    for row in range(c.SCALE_ROWS):
        rows[scale_mean(row) :] = row
    return rows


ROW_OF_MEAN = _rows_of_means()


class FrozenTables:
    """The tables as the kernels take them: `struct` is valid as long as this object is there."""

    def __init__(self) -> None:
        self._kept = MAGNITUDES.compiled, FLAGS.compiled, ROW_OF_MEAN.astype(np.int32)
        self.struct = kernels.ffi.new("evc_adaptive *")
        self.struct.magnitudes, self.struct.flags = self._kept[0].struct[0], self._kept[1].struct[0]
        self.struct.rows = kernels.pointer(self._kept[2])


@once
def frozen_tables() -> FrozenTables:
    """Made once, where there are kernels."""
    return FrozenTables()


def magnitude_bits(averages: Values, magnitudes: Values) -> NDArray[np.float64]:
    """Bits of magnitudes [n] under contexts of such averages [contexts], in 1/256: [contexts, n]. Not the sign."""
    rows = ROW_OF_MEAN[np.asarray(averages)]
    beyond = np.maximum(magnitudes - c.SCALE_ESCAPE, 0) + (1 << c.ESCAPE_ORDER)
    escape = 2 * np.frexp(beyond.astype(np.float64))[1] - 1 - c.ESCAPE_ORDER
    bits = MAGNITUDES.bits[rows][:, np.minimum(magnitudes, c.SCALE_ESCAPE)].astype(np.float64)
    return bits + np.where(magnitudes >= c.SCALE_ESCAPE, escape, 0)


def flag_bits(averages: Values) -> NDArray[np.float64]:
    """Bits of 0 and of 1 under contexts of such averages [contexts], in 1/4096: [contexts, 2]."""
    bits = FLAGS.bits[np.minimum(np.asarray(averages) * c.FLAG_ROWS // c.FLAG_ONE, c.FLAG_ROWS - 1)]
    return bits.astype(np.float64)


class _Averages:
    """Running averages of non-negative integers, one per context; `one` is the unit. `updates`: how many each has
    behind it, as it were."""

    def __init__(self, contexts: int, one: int, initial: int | Values, updates: int) -> None:
        self.state = np.empty((contexts, 2), np.int32)  # as kernels take it
        self.average, self._updates = self.state.T
        self.average[:], self._updates[:] = initial, updates
        self._one = one

    def update(self, at: Contexts, values: Values) -> None:
        """Move the contexts `at` (one per value, or one for all) towards `values`, ever more slowly."""
        if not len(values):
            return
        if isinstance(at, np.ndarray):
            counts = np.bincount(at)
            contexts = counts.nonzero()[0]
            sums = np.bincount(at, weights=values)[contexts].astype(np.int64)
            shifts = _SHIFTS[np.minimum(self._updates[contexts], len(_SHIFTS) - 1)]
            self.average[contexts] += (
                self._one * sums // counts[contexts] - self.average[contexts]
            ) >> shifts
            self._updates[contexts] += 1
        else:
            average = int(self.average[at])
            shift = int(_SHIFTS[min(int(self._updates[at]), len(_SHIFTS) - 1)])
            self.average[at] = average + ((self._one * int(values.sum()) // len(values) - average) >> shift)
            self._updates[at] += 1

    def _compiled(self, name: str, port: SymbolPort, values: Values, at: Contexts, kind: str) -> Values:
        """A call of the kernel `name`, which takes `values` or puts others in their place."""
        places = at.astype(np.int32) if isinstance(at, np.ndarray) else np.full(len(values), at, np.int32)
        pointers = kernels.pointer(self.state), kernels.pointer(places), len(values), kernels.pointer(values)
        getattr(kernels.lib, name)(port.compiled, port.writing, frozen_tables().struct, *pointers)
        port.settle(kind)
        return values


# 1/2 for the first two updates of a context, 1/4 for the next four, 1/8 for eight, then 1/16.
_SHIFTS = np.array([min(c.SLOWEST_SHIFT, (n + 2).bit_length() - 1) for n in range(1 << c.SLOWEST_SHIFT)])


class Scales(_Averages):
    """Contexts of integers: each follows the average magnitude. `initial` in 1/256."""

    def __init__(self, contexts: int, initial: int | Values = c.SCALE_ONE, updates: int = 0) -> None:
        super().__init__(contexts, c.SCALE_ONE, initial, updates)

    def unsigned(self, port: SymbolPort, values: Values, at: Contexts, kind: str) -> Values:
        """Code integers from 0 to 2**31 - 1 under the contexts `at`."""
        if port.compiled is not None and len(values) <= MOST_CALL:
            if port.writing and len(values) and not 0 <= values.min() <= values.max() <= c.MAX_GOLOMB:
                raise ValueError("a value lies outside 0 .. 2**31 - 1")
            return self._compiled("evc_code_unsigned", port, values.astype(np.int64), at, kind)
        limited = np.minimum(values, c.SCALE_ESCAPE)
        row = ROW_OF_MEAN[self.average[at]]
        limited = port.symbols(limited, MAGNITUDES, row if isinstance(at, np.ndarray) else int(row), kind)
        self.update(at, limited)
        escaped = limited == c.SCALE_ESCAPE
        if not escaped.any():
            return limited
        result = limited.astype(np.int64)
        result[escaped] += port.golomb(np.asarray(values)[escaped] - c.SCALE_ESCAPE, c.ESCAPE_ORDER, kind)
        return result

    def signed(self, port: Port, values: Values, at: Contexts, kind: str) -> Values:
        """Code integers from -2**31 + 1 to 2**31 - 1: all magnitudes, then a bit per sign."""
        magnitudes = self.unsigned(port, np.abs(values), at, kind)
        some = magnitudes != 0
        negative = port.uniform((np.asarray(values)[some] < 0).astype(np.int32), 2, kind)
        result = np.array(magnitudes, np.int64)
        result[some] *= 1 - 2 * negative.astype(np.int64)
        return result


class Flags(_Averages):
    """Contexts of single bits: each follows the share of ones. `initial` in 1/4096."""

    def __init__(self, contexts: int, initial: int | Values = c.FLAG_ONE // 2, updates: int = 0) -> None:
        super().__init__(contexts, c.FLAG_ONE, initial, updates)

    def code(self, port: SymbolPort, values: Values, at: Contexts, kind: str) -> Values:
        """Code bits under the contexts `at`."""
        if port.compiled is not None and len(values) <= MOST_CALL:
            if port.writing and len(values) and not 0 <= values.min() <= values.max() <= 1:
                raise ValueError("a flag is neither 0 nor 1")
            return self._compiled("evc_code_flags", port, values.astype(np.int32), at, kind)
        row = np.minimum(self.average[at] * c.FLAG_ROWS // c.FLAG_ONE, c.FLAG_ROWS - 1)
        bits = port.symbols(values, FLAGS, row if isinstance(at, np.ndarray) else int(row), kind)
        self.update(at, bits)
        return bits

    def one(self, port: Port, value: bool, at: int, kind: str) -> bool:
        return bool(self.code(port, np.array([value], np.int32), at, kind)[0])


class Recent:
    """Values that tend to come back: one of the last sixteen, or a new one (spec 6.3). There is a list for each `key`,
    if several are given."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lists: dict[int, list[int]] = {}
        self._again = Flags(1)
        self._places = Scales(1)

    def last(self, key: int = 0) -> int:
        """The last value of a list, 0 where there is none."""
        return next(iter(self._lists.get(key, ())), 0)

    def code(self, port: Port, value: int, new: Callable[[], int], key: int = 0) -> int:
        """Code one value; `new` codes one that is not among the last."""
        values = self._lists.get(key, [])
        if values and self._again.one(port, value in values, 0, self._kind):
            place = values.index(value) if port.writing else 0
            place = int(self._places.unsigned(port, np.array([place]), 0, self._kind)[0])
            if place >= len(values):
                raise FormatError(f"a {self._kind} refers to an earlier one that does not exist")
            value = values.pop(place)
        else:
            value = new()
        self._lists[key] = [value, *values][: c.RECENT_VALUES]
        return value


class Numbers:
    """Numbers from 0 to `most` (below 2**62) that tend to come back: lags, lengths, distances (spec 6.3).

    Of a new one the bit length is coded relative to that of the last new one.
    """

    def __init__(self, kind: str, most: int) -> None:
        self._kind, self._most = kind, most
        self._recent = Recent(kind)
        self._lengths = Scales(1)
        self._length = 0

    def code(self, port: Port, value: int) -> int:
        """Code one number."""
        return self._recent.code(port, value, lambda: self._new(port, value))

    def _new(self, port: Port, value: int) -> int:
        difference = self._lengths.signed(port, np.array([value.bit_length() - self._length]), 0, self._kind)
        self._length += int(difference[0])
        if not 0 <= self._length <= self._most.bit_length():
            raise FormatError(f"a {self._kind} is out of range")
        below = max(self._length - 1, 0)
        first = 1 << below if self._length else 0
        value = first + pieces(port, value - first, below, self._kind)
        if value > self._most:
            raise FormatError(f"a {self._kind} is out of range")
        return value


def pieces(port: Port, value: int, bits: int, kind: str) -> int:
    """An unsigned number of any width, from its lowest bits on in fields of at most 16 (spec 6.3)."""
    result = 0
    for start in range(0, bits, c.PIECE_BITS):
        width = min(c.PIECE_BITS, bits - start)
        result += port.field(value >> start & ((1 << width) - 1), width, kind) << start
    return result
