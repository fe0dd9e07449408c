"""Frozen frequencies of symbols, in integers (spec section 5.2)."""

from __future__ import annotations

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.lazy import cached_property

Integers = NDArray[np.integer]

_TOTAL = 1 << c.CODER_PRECISION


class FrequencyTable:
    """Frozen probability distributions, one per row, over the symbols 0 .. symbols - 1.

    `weights` [rows, symbols] are integers >= 0 whose sum per row is below 2**32. They are normalised in
    integers (spec 5.2), so that every symbol of a row has a frequency of at least 1 and
    a row sums to exactly 2**24.
    """

    def __init__(self, weights: ArrayLike) -> None:
        table = np.atleast_2d(np.asarray(weights))
        if table.ndim != 2 or table.dtype.kind not in "iu":
            raise ValueError("a frequency table holds integers [rows, symbols]")
        if not 2 <= table.shape[1] <= c.MAX_TABLE_SYMBOLS:
            raise ValueError("a frequency table has from 2 to 65536 symbols")
        if len(table) and (table.min() < 0 or table.sum(axis=1, dtype=np.float64).max() >= 2**32):
            raise ValueError("the weights of a row are not negative, and their sum is below 2**32")
        self.rows, self.symbols = table.shape
        self._weights = np.ascontiguousarray(_normalised(table.astype(np.int64)), dtype=np.float64)
        self._models: list[object | None] = [None] * self.rows

    @property
    def frequencies(self) -> NDArray[np.int64]:
        """[rows, symbols], each >= 1, each row's sum 2**24."""
        return self._weights.astype(np.int64) + 1

    @cached_property
    def starts(self) -> NDArray[np.uint32]:
        """[rows, symbols + 1]: the sums of the frequencies below each symbol, and of all."""
        below = np.cumsum(self._weights + 1, axis=1)
        return np.concatenate([np.zeros((self.rows, 1)), below], axis=1).astype(np.uint32)

    @cached_property
    def bits(self) -> NDArray[np.float32]:
        """[rows, symbols]: what a symbol costs, in bits."""
        return np.float32(c.CODER_PRECISION) - np.log2(self._weights + 1).astype(np.float32)

    def model(self, row: int) -> object:
        """The row as a model of `constriction`, made once."""
        found = self._models[row]
        if found is None:
            found = constriction.stream.model.Categorical(self._weights[row], perfect=False)
            self._models[row] = found
        return found

    @cached_property
    def compiled(self) -> CompiledTable:
        """The table as the kernels take it."""
        return CompiledTable(self)

    def gather(self, rows: Integers) -> NDArray[np.float64]:
        return self._weights.take(rows, axis=0)


class CompiledTable:
    """A table as the kernels take it: `struct` is valid as long as this object is there."""

    def __init__(self, table: FrequencyTable) -> None:
        self._arrays = table.starts, table.bits
        self.struct = kernels.ffi.new("evc_table *")
        self.struct.symbols, self.struct.rows = table.symbols, table.rows
        self.struct.starts, self.struct.bits = map(kernels.pointer, self._arrays)


def normalised_row(weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """`_normalised` for one row [symbols], sooner."""
    symbols = len(weights)
    cumulative = weights.cumsum(dtype=np.int64)
    if not cumulative[-1]:
        cumulative = np.arange(1, symbols + 1)
    cumulative *= _TOTAL - symbols
    cumulative //= cumulative[-1] // (_TOTAL - symbols)
    spread = cumulative.astype(np.float64)
    spread[1:] -= spread[:-1].copy()
    return spread


def _normalised(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scale each row so that it sums to 2**24 - symbols; the coder adds one to every weight."""
    symbols = weights.shape[1]
    weights[weights.sum(axis=1) == 0] = 1
    cumulative = np.cumsum(weights, axis=1)
    # Below 2**32 * 2**24: no overflow, and integer division is the same everywhere.
    scaled = cumulative * (_TOTAL - symbols) // cumulative[:, -1:]
    spread: NDArray[np.int64] = np.diff(scaled, axis=1, prepend=0)
    return spread


# Lengths of Exp-Golomb prefixes: each one more is half as likely.
GOLOMB_PREFIX = FrequencyTable([[_TOTAL >> (length + 1) for length in range(c.GOLOMB_PREFIXES)]])
