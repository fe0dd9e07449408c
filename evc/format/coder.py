"""The symbol coder: integers to words and back, exactly (spec section 5).

A range coder (`constriction`'s queue coder: words of 32 bits, a state of 64, probabilities of 24)
driven by frozen integer tables. Compiled kernels may read in its place, and record what it is to write.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc import kernels
from evc.format import constants
from evc.format.errors import DamagedError
from evc.format.frequencies import GOLOMB_PREFIX, FrequencyTable, normalised_row
from evc.format.frequencies import Integers as Integers
from evc.format.words import CATEGORICAL, GATHERED, UNIFORM, CompiledWords, words_of


class Account(dict[str, tuple[int, float]]):
    """What a stream costs: how many symbols of each kind, and their ideal bits. `places`, where the stream's class
    tells them, are the bits of its superframes or columns one by one, each of `length` frames."""

    places: NDArray[np.float64] | None = None
    length: int = 0



@dataclass(frozen=True)
class CodedStream:
    """What a `SymbolEncoder` leaves behind: the coded words, and what shows that they were read rightly."""

    words: bytes
    symbols: int
    checksum: int


class _Charges:
    """Adds up what symbols cost, when asked to."""

    def __init__(self, wanted: bool) -> None:
        self.account, self.wanted = Account(), wanted

    def add(self, kind: str, symbols: int, bits: Callable[[], float]) -> None:
        if self.wanted:
            before = self.account.get(kind, (0, 0.0))
            self.account[kind] = (before[0] + symbols, before[1] + bits())


class SymbolEncoder:
    """Codes arrays of integers, in the order of the calls. Values that do not fit raise ValueError.

    With `account`, `.account` maps each `kind` to (symbols, ideal bits).
    """

    def __init__(self, account: bool = False) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._charges = _Charges(account)
        self._checksum = 0
        self.symbols = 0  # coded so far

    @property
    def account(self) -> Account:
        return self._charges.account

    @property
    def accounting(self) -> bool:
        """Whether symbols are accounted for one by one."""
        return self._charges.wanted

    def _passed(self, symbols: NDArray[np.int32]) -> None:
        self.symbols += len(symbols)
        self._checksum = zlib.crc32(symbols.astype("<i4", copy=False).data, self._checksum)

    def encode(self, symbols: ArrayLike, table: FrequencyTable, rows: Integers | int, kind: str = "") -> None:
        """Code `symbols` [n], each under its row of the table, or all under one row."""
        values = _int32(symbols)
        try:
            if not isinstance(rows, np.ndarray):
                self._coder.encode(values, table.model(rows))
            else:
                if len(rows) != len(values):
                    raise ValueError("one row per symbol")
                step = max(1, GATHERED // table.symbols)
                for start in range(0, len(values), step):
                    weights = table.gather(rows[start : start + step])
                    self._coder.encode(values[start : start + step], CATEGORICAL, weights)
        except KeyError as error:
            raise ValueError("a symbol lies outside its table") from error
        self._passed(values)
        self._charges.add(kind, len(values), lambda: float(table.bits[rows, values].sum()))

    def encode_weighted(self, symbol: int, weights: NDArray[np.int64], kind: str = "") -> None:
        """Code one symbol under weights [symbols] as in a row of a table, made for it alone."""
        if not 0 <= symbol < len(weights):
            raise ValueError("a symbol lies outside its weights")
        values = np.array([symbol], np.int32)
        self._coder.encode(values, CATEGORICAL, normalised_row(weights)[None])
        self._passed(values)
        self._charges.add(kind, 1, lambda: _weighted_bits(weights, symbol))

    def encode_uniform(self, values: ArrayLike, size: Integers | int, kind: str = "") -> None:
        """Code `values` [n], each in [0, size), size from 1 to 2**16: one for all or one each."""
        numbers = _int32(values)
        _check_sizes(size, len(numbers))
        if len(numbers) and not (numbers.min() >= 0 and (numbers < size).all()):
            raise ValueError("a value lies outside its range")
        if isinstance(size, np.ndarray):
            real = size > 1  # a size of 1 leaves nothing to code
            self._coder.encode(numbers[real], UNIFORM, _int32(size[real]))
        elif size > 1:
            self._coder.encode(numbers, constriction.stream.model.Uniform(size))
        self._passed(numbers)
        self._charges.add(kind, len(numbers), lambda: _uniform_bits(size, len(numbers)))

    def encode_bits(self, values: ArrayLike, widths: Integers | int, kind: str = "") -> None:
        """Code `values` [n] as bits, `widths` from 0 to 32: first the parts above bit 16, then the rest."""
        numbers, width = _widened(values, widths)
        if ((numbers < 0) | (numbers >> width != 0)).any():
            raise ValueError("a value does not fit its width")
        upper, lower = width > constants.PIECE_BITS, width > 0
        if upper.any():
            high = numbers[upper] >> constants.PIECE_BITS
            self.encode_uniform(high, 1 << (width[upper] - constants.PIECE_BITS), kind)
        low = np.minimum(width[lower], constants.PIECE_BITS)
        self.encode_uniform(numbers[lower] & ((1 << low) - 1), 1 << low, kind)

    def encode_golomb(self, values: ArrayLike, order: Integers | int, kind: str = "") -> None:
        """Code `values` [n] from 0 to 2**31 - 1 in Exp-Golomb codes: all prefixes, then all suffixes."""
        numbers, orders = _widened(values, order)
        if ((numbers < 0) | (numbers > constants.MAX_GOLOMB)).any():
            raise ValueError("a value lies outside 0 .. 2**31 - 1")
        shifted = numbers + (np.int64(1) << orders)
        length = np.frexp(shifted.astype(np.float64))[1] - 1 - orders
        self.encode(length, GOLOMB_PREFIX, 0, kind)
        width = length + orders
        self.encode_bits(shifted - (np.int64(1) << width), width, kind)

    def encode_recorded(self, port: Any) -> None:
        """Code what kernels recorded in a port, and forget it."""
        port.checksum = ~self._checksum & 0xFFFFFFFF
        room = min(port.count, GATHERED // 3)
        symbols, weights = np.empty(room, np.int32), np.empty((room, 3))
        at, pointers = kernels.ffi.new("int64_t *"), (room, kernels.pointer(symbols), kernels.pointer(weights))
        while at[0] < port.count:
            count = kernels.lib.evc_written(port, at, *pointers)
            if count > 0:
                self._coder.encode(symbols[:count], CATEGORICAL, weights[:count])
            elif count < 0:
                self._coder.encode(symbols[:1], CATEGORICAL, weights[:1].ravel()[:2][None])
        self._checksum = ~port.checksum & 0xFFFFFFFF
        self.symbols += port.count
        port.count = 0

    def finish(self) -> CodedStream:
        """The coded stream. The words are whole little-endian 32-bit words; no symbols, no words."""
        words = self._coder.get_compressed().astype("<u4").tobytes()
        return CodedStream(words, self.symbols, self._checksum)


class SymbolDecoder:
    """Decodes what a `SymbolEncoder` coded, by the same calls in the same order.

    Every method raises DamagedError where the words cannot be what an encoder wrote, and before it allocates
    anything for more symbols than were declared.
    """

    def __init__(self, words: bytes, symbols: int, checksum: int, account: bool = False) -> None:
        if len(words) % constants.WORD_BYTES:
            raise DamagedError("a coded stream is not made of whole words")
        self._words = words_of(words, symbols)
        self._declared, self._checksum = symbols, checksum
        self._charges = _Charges(account)

    @property
    def account(self) -> Account:
        return self._charges.account

    @property
    def port(self) -> Any:
        """What compiled kernels read from; None where there are none."""
        return self._words.port if isinstance(self._words, CompiledWords) else None

    @property
    def accounting(self) -> bool:
        """Whether there is an account."""
        return self._charges.wanted

    def charge(self, kind: str, symbols: int, bits: float) -> None:
        """Take what kernels decoded into the account."""
        self._charges.add(kind, symbols, lambda: bits)

    def share(self, places: NDArray[np.float64], length: int) -> None:
        """Have it in the account, if there is one, what each superframe or column, of so many frames, cost."""
        if self.account:
            self.account.places, self.account.length = places, length

    @property
    def spent(self) -> float:
        """Ideal bits of all symbols so far; 0 unless accounting."""
        return sum(bits for _, bits in self.account.values())

    @property
    def remaining(self) -> int:
        """How many of the declared symbols were not decoded yet."""
        return self._declared - self._words.count

    def decode(
        self, table: FrequencyTable, rows: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int32]:
        """Symbols [n] under one row each, or `count` symbols under one row."""
        n = _length(rows, count)
        self.require(n)
        symbols = self._words.rows(table, rows) if isinstance(rows, np.ndarray) else self._words.row(table, rows, n)
        self._charges.add(kind, n, lambda: float(table.bits[rows, symbols].sum()))
        return symbols

    def decode_weighted(self, weights: NDArray[np.int64], kind: str = "") -> int:
        """One symbol under weights [symbols]."""
        self.require(1)
        symbol = self._words.weighted(weights)
        self._charges.add(kind, 1, lambda: _weighted_bits(weights, symbol))
        return symbol

    def decode_uniform(
        self, size: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int32]:
        """Values [n], each in [0, size)."""
        n = _length(size, count)
        self.require(n)
        _check_sizes(size, n)
        values = self._words.uniforms(size) if isinstance(size, np.ndarray) else self._words.uniform(size, n)
        self._charges.add(kind, n, lambda: _uniform_bits(size, n))
        return values

    def decode_bits(
        self, widths: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int64]:
        """Values [n] of raw bits."""
        width = np.broadcast_to(np.asarray(widths, np.int64), _length(widths, count))
        values = np.zeros(len(width), np.int64)
        upper, lower = width > constants.PIECE_BITS, width > 0
        if upper.any():
            high = self.decode_uniform(1 << (width[upper] - constants.PIECE_BITS), kind=kind)
            values[upper] = high.astype(np.int64) << constants.PIECE_BITS
        values[lower] |= self.decode_uniform(1 << np.minimum(width[lower], constants.PIECE_BITS), kind=kind)
        return values

    def decode_golomb(
        self, order: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int64]:
        """Values [n] from 0 to 2**31 - 1."""
        length = self.decode(GOLOMB_PREFIX, 0, _length(order, count), kind).astype(np.int64)
        width = length + order
        if len(width) and width.max() > constants.GOLOMB_PREFIXES - 1:
            raise DamagedError("a coded number is too long")
        first = (np.int64(1) << width) - (np.int64(1) << np.asarray(order, np.int64))
        values: NDArray[np.int64] = first + self.decode_bits(width, kind=kind)
        if len(values) and values.max() > constants.MAX_GOLOMB:
            raise DamagedError("a coded number is too large")
        return values

    def finish(self) -> None:
        """Raise DamagedError unless exactly the declared symbols were decoded and their checksum matches."""
        if self.remaining:
            raise DamagedError(f"decoded {self._words.count} symbols of {self._declared}")
        if self._words.checksum != self._checksum:
            raise DamagedError("the decoded symbols do not match their checksum")

    def require(self, symbols: int) -> None:
        """Raise DamagedError unless `symbols` more symbols were declared."""
        if not 0 <= symbols <= self.remaining:
            raise DamagedError(f"the stream holds more than the {self._declared} symbols it declares")


def _int32(values: ArrayLike) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.dtype == np.int32 and array.flags.c_contiguous and array.ndim == 1:
        return array
    if array.ndim != 1:
        raise ValueError("symbols form an array of one dimension")
    return np.ascontiguousarray(array, dtype=np.int32)


def _widened(values: ArrayLike, parameter: Integers | int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both as int64 arrays of the length of `values`."""
    numbers = np.asarray(values).astype(np.int64, copy=False)
    return numbers, np.broadcast_to(np.asarray(parameter, np.int64), numbers.shape)


def _length(parameter: Integers | int, count: int | None) -> int:
    if isinstance(parameter, np.ndarray):
        return len(parameter)
    return 1 if count is None else count


def _check_sizes(size: Integers | int, count: int) -> None:
    if isinstance(size, np.ndarray):
        if len(size) != count or (count and not 1 <= size.min() <= size.max() <= constants.MAX_UNIFORM):
            raise ValueError("one size per value, each from 1 to 65536")
    elif not 1 <= size <= constants.MAX_UNIFORM:
        raise ValueError("a size is from 1 to 65536")


def _weighted_bits(weights: NDArray[np.int64], symbol: int) -> float:
    return constants.CODER_PRECISION - math.log2(normalised_row(weights)[symbol] + 1)


def _uniform_bits(size: Integers | int, count: int) -> float:
    if isinstance(size, np.ndarray):
        return float(np.log2(size).sum())
    return count * math.log2(size)
