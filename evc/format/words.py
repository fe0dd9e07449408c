"""Symbols out of coded words (spec section 5.1): by `constriction`, or by the compiled kernels."""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import constriction
import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.errors import DamagedError, FormatError
from evc.format.frequencies import FrequencyTable, Integers, normalised_row

Symbols = NDArray[np.int32]

GATHERED = 1 << 20  # table cells gathered at once: bounds the memory of one call, and stays near the cache

# `perfect` is always given: without it the library prints a notice on stdout.
CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
UNIFORM = constriction.stream.model.Uniform()


class Words(Protocol):
    """Words of a stream while they are read, in the order of the calls; DamagedError where they are not valid.

    count, checksum: of the symbols so far (spec 5.6).
    """

    @property
    def count(self) -> int: ...
    @property
    def checksum(self) -> int: ...
    def rows(self, table: FrequencyTable, rows: Integers) -> Symbols:
        """A symbol under each of the rows [n]."""

    def row(self, table: FrequencyTable, row: int, count: int) -> Symbols:
        """So many symbols under one row."""

    def weighted(self, weights: NDArray[np.int64]) -> int:
        """A symbol under weights [symbols] of its own."""

    def uniforms(self, sizes: Integers) -> Symbols:
        """A value below each of the sizes [n], from 1 to 2**16."""

    def uniform(self, size: int, count: int) -> Symbols:
        """So many values below one size."""


class ReferenceWords:
    """Read by `constriction`."""

    def __init__(self, words: bytes) -> None:
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))
        self.count = self.checksum = 0

    def rows(self, table: FrequencyTable, rows: Integers) -> Symbols:
        step = max(1, GATHERED // table.symbols)
        if len(rows) <= step:
            return self._passed(self._guarded(CATEGORICAL, table.gather(rows)))
        pieces = [table.gather(rows[start : start + step]) for start in range(0, len(rows), step)]
        return self._passed(np.concatenate([self._guarded(CATEGORICAL, piece) for piece in pieces]))

    def row(self, table: FrequencyTable, row: int, count: int) -> Symbols:
        return self._passed(self._guarded(table.model(row), count))

    def weighted(self, weights: NDArray[np.int64]) -> int:
        return int(self._passed(self._guarded(CATEGORICAL, normalised_row(weights)[None]))[0])

    def uniforms(self, sizes: Integers) -> Symbols:
        values, real = np.zeros(len(sizes), np.int32), sizes > 1
        values[real] = self._guarded(UNIFORM, sizes[real].astype(np.int32))
        return self._passed(values)

    def uniform(self, size: int, count: int) -> Symbols:
        if size == 1:
            return self._passed(np.zeros(count, np.int32))
        return self._passed(self._guarded(constriction.stream.model.Uniform(size), count))

    def _passed(self, symbols: Symbols) -> Symbols:
        self.count += len(symbols)
        self.checksum = zlib.crc32(symbols.astype("<i4", copy=False).data, self.checksum)
        return symbols

    def _guarded(self, *arguments: object) -> Symbols:
        try:
            symbols: Symbols = self._coder.decode(*arguments)
            return symbols
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # the library's panics are no Exception
            raise DamagedError("the coded words are not valid") from error


class CompiledWords:
    """Read by the kernels, which have `port` to read from. Symbols are at most those declared."""

    def __init__(self, words: bytes, symbols: int) -> None:
        self._words, self._declared = np.frombuffer(words, "<u4"), symbols  # which the port points into
        self.port = kernels.ffi.new("evc_port *")
        self._lib = kernels.lib
        self._lib.evc_reading(self.port, kernels.pointer(self._words), len(self._words), symbols)

    @property
    def count(self) -> int:
        return int(self._declared - self.port.left)

    @property
    def checksum(self) -> int:
        return int(~self.port.checksum & 0xFFFFFFFF)

    def rows(self, table: FrequencyTable, rows: Integers) -> Symbols:
        symbols, rows = np.empty(len(rows), np.int32), np.ascontiguousarray(rows, np.int64)
        pointers = kernels.pointer(rows), len(rows), kernels.pointer(symbols)
        self._lib.evc_read_rows(self.port, table.compiled.struct, *pointers)
        return self._checked(symbols)

    def row(self, table: FrequencyTable, row: int, count: int) -> Symbols:
        symbols = np.empty(count, np.int32)
        self._lib.evc_read_row(self.port, table.compiled.struct, row, count, kernels.pointer(symbols))
        return self._checked(symbols)

    def weighted(self, weights: NDArray[np.int64]) -> int:
        weights = np.ascontiguousarray(weights, np.int64)
        found: int = self._lib.evc_read_weighted(self.port, kernels.pointer(weights), len(weights))
        check(self.port)
        return found

    def uniforms(self, sizes: Integers) -> Symbols:
        values, sizes = np.empty(len(sizes), np.int32), np.ascontiguousarray(sizes, np.int64)
        self._lib.evc_read_uniforms(self.port, kernels.pointer(sizes), len(sizes), kernels.pointer(values))
        return self._checked(values)

    def uniform(self, size: int, count: int) -> Symbols:
        values = np.empty(count, np.int32)
        self._lib.evc_read_uniform(self.port, size, count, kernels.pointer(values))
        return self._checked(values)

    def _checked(self, symbols: Symbols) -> Symbols:
        check(self.port)
        return symbols


def check(port: Any, what: str = "a level of energies") -> None:
    """Raise what a call of the kernels found wrong: DamagedError, FormatError (for `what` is out of range) or
    MemoryError."""
    error = port.error
    if not error:
        return
    lib = kernels.lib
    if error == lib.EVC_MEMORY:
        raise MemoryError
    if error == lib.EVC_ROW:
        raise IndexError("a row lies outside its table")
    if error == lib.EVC_LEVEL:
        raise FormatError(f"{what} is out of range")
    raise DamagedError({
        lib.EVC_WORDS: "the coded words are not valid",
        lib.EVC_SYMBOLS: "the stream holds more symbols than it declares",
        lib.EVC_LONG: "a coded number is too long",
        lib.EVC_LARGE: "a coded number is too large",
        lib.EVC_ENERGY: "a band energy is out of range",
        lib.EVC_COEFFICIENT: "a coefficient is out of range",
    }[error])  # fmt: skip


def words_of(words: bytes, symbols: int) -> Words:
    """Words that are to hold so many symbols."""
    return ReferenceWords(words) if kernels.lib is None else CompiledWords(words, symbols)
