"""The symbol coder: integers to words and back, exactly (spec section 5).

A range coder (`constriction`'s queue coder: words of 32 bits, a state of 64, probabilities of 24)
driven by frozen integer tables. No other module of the package touches `constriction`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants
from evc.format.errors import DamagedError
from evc.format.lazy import cached_property

Integers = NDArray[np.integer]


class Account(dict[str, tuple[int, float]]):
    """What a stream costs: how many symbols of each kind, and their ideal bits. `places`, where the stream's class
    tells them, are the bits of its superframes or columns one by one, each of `length` frames."""

    places: NDArray[np.float64] | None = None
    length: int = 0



_TOTAL = 1 << constants.CODER_PRECISION
_GATHER = 1 << 20  # table cells gathered at once: bounds the memory of one call, and stays near the cache

# `perfect` is always given: without it the library prints a notice on stdout.
_CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
_UNIFORM = constriction.stream.model.Uniform()


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
        if not 2 <= table.shape[1] <= constants.MAX_TABLE_SYMBOLS:
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
    def bits(self) -> NDArray[np.float32]:
        """[rows, symbols]: what a symbol costs, in bits."""
        return np.float32(constants.CODER_PRECISION) - np.log2(self._weights + 1).astype(np.float32)

    def model(self, row: int) -> object:
        """The row as a model of `constriction`, made once."""
        found = self._models[row]
        if found is None:
            found = constriction.stream.model.Categorical(self._weights[row], perfect=False)
            self._models[row] = found
        return found

    def gather(self, rows: Integers) -> NDArray[np.float64]:
        return self._weights.take(rows, axis=0)


def _normalised_row(weights: NDArray[np.int64]) -> NDArray[np.float64]:
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
_GOLOMB_PREFIX = FrequencyTable([[_TOTAL >> (length + 1) for length in range(constants.GOLOMB_PREFIXES)]])


@dataclass(frozen=True)
class CodedStream:
    """What a `SymbolEncoder` leaves behind: the coded words, and what shows that they were read rightly."""

    words: bytes
    symbols: int
    checksum: int


class _Ledger:
    """Counts and checksums the symbols as they pass; adds up their ideal cost when asked to."""

    def __init__(self, account: bool) -> None:
        self.count = 0
        self.checksum = 0
        self.account = Account()
        self._accounting = account

    def passed(self, symbols: NDArray[np.int32]) -> None:
        self.count += len(symbols)
        self.checksum = zlib.crc32(symbols.astype("<i4", copy=False).data, self.checksum)

    def charge(self, kind: str, symbols: int, bits: Callable[[], float]) -> None:
        if self._accounting:
            before = self.account.get(kind, (0, 0.0))
            self.account[kind] = (before[0] + symbols, before[1] + bits())


class SymbolEncoder:
    """Codes arrays of integers, in the order of the calls. Values that do not fit raise ValueError.

    With `account`, `.account` maps each `kind` to (symbols, ideal bits).
    """

    def __init__(self, account: bool = False) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()
        self._ledger = _Ledger(account)

    @property
    def account(self) -> Account:
        return self._ledger.account

    @property
    def symbols(self) -> int:
        """How many symbols were coded so far."""
        return self._ledger.count

    def encode(self, symbols: ArrayLike, table: FrequencyTable, rows: Integers | int, kind: str = "") -> None:
        """Code `symbols` [n], each under its row of the table, or all under one row."""
        values = _int32(symbols)
        try:
            if not isinstance(rows, np.ndarray):
                self._coder.encode(values, table.model(rows))
            else:
                if len(rows) != len(values):
                    raise ValueError("one row per symbol")
                step = max(1, _GATHER // table.symbols)
                for start in range(0, len(values), step):
                    weights = table.gather(rows[start : start + step])
                    self._coder.encode(values[start : start + step], _CATEGORICAL, weights)
        except KeyError as error:
            raise ValueError("a symbol lies outside its table") from error
        self._ledger.passed(values)
        self._ledger.charge(kind, len(values), lambda: float(table.bits[rows, values].sum()))

    def encode_weighted(self, symbol: int, weights: NDArray[np.int64], kind: str = "") -> None:
        """Code one symbol under weights [symbols] as in a row of a table, made for it alone."""
        if not 0 <= symbol < len(weights):
            raise ValueError("a symbol lies outside its weights")
        model, values = _normalised_row(weights), np.array([symbol], np.int32)
        self._coder.encode(values, _CATEGORICAL, model[None])
        self._ledger.passed(values)
        self._ledger.charge(kind, 1, lambda: constants.CODER_PRECISION - math.log2(model[symbol] + 1))

    def encode_uniform(self, values: ArrayLike, size: Integers | int, kind: str = "") -> None:
        """Code `values` [n], each in [0, size), size from 1 to 2**16: one for all or one each."""
        numbers = _int32(values)
        _check_sizes(size, len(numbers))
        if len(numbers) and not (numbers.min() >= 0 and (numbers < size).all()):
            raise ValueError("a value lies outside its range")
        if isinstance(size, np.ndarray):
            real = size > 1  # a size of 1 leaves nothing to code
            self._coder.encode(numbers[real], _UNIFORM, _int32(size[real]))
        elif size > 1:
            self._coder.encode(numbers, constriction.stream.model.Uniform(size))
        self._ledger.passed(numbers)
        self._ledger.charge(kind, len(numbers), lambda: _uniform_bits(size, len(numbers)))

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
        self.encode(length, _GOLOMB_PREFIX, 0, kind)
        width = length + orders
        self.encode_bits(shifted - (np.int64(1) << width), width, kind)

    def finish(self) -> CodedStream:
        """The coded stream. The words are whole little-endian 32-bit words; no symbols, no words."""
        words = self._coder.get_compressed().astype("<u4").tobytes()
        return CodedStream(words, self._ledger.count, self._ledger.checksum)


class SymbolDecoder:
    """Decodes what a `SymbolEncoder` coded, by the same calls in the same order.

    Every method raises DamagedError where the words cannot be what an encoder wrote, and before it allocates
    anything for more symbols than were declared.
    """

    def __init__(self, words: bytes, symbols: int, checksum: int, account: bool = False) -> None:
        if len(words) % constants.WORD_BYTES:
            raise DamagedError("a coded stream is not made of whole words")
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(words, "<u4").astype(np.uint32))
        self._ledger = _Ledger(account)
        self._declared = symbols
        self._checksum = checksum

    @property
    def account(self) -> Account:
        return self._ledger.account

    def share(self, places: NDArray[np.float64], length: int) -> None:
        """Have it in the account, if there is one, what each superframe or column, of so many frames, cost."""
        if self._ledger.account:
            self._ledger.account.places, self._ledger.account.length = places, length

    @property
    def spent(self) -> float:
        """Ideal bits of all symbols so far; 0 unless accounting."""
        return sum(bits for _, bits in self._ledger.account.values())

    @property
    def remaining(self) -> int:
        """How many of the declared symbols were not decoded yet."""
        return self._declared - self._ledger.count

    def decode(
        self, table: FrequencyTable, rows: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int32]:
        """Symbols [n] under one row each, or `count` symbols under one row."""
        if not isinstance(rows, np.ndarray):
            n = 1 if count is None else count
            self.require(n)
            symbols = self._guarded(table.model(rows), n)
        else:
            n, step = len(rows), max(1, _GATHER // table.symbols)
            self.require(n)
            if n <= step:
                symbols = self._guarded(_CATEGORICAL, table.gather(rows))
            else:
                pieces = [table.gather(rows[start : start + step]) for start in range(0, n, step)]
                symbols = np.concatenate([self._guarded(_CATEGORICAL, piece) for piece in pieces])
        self._ledger.passed(symbols)
        self._ledger.charge(kind, n, lambda: float(table.bits[rows, symbols].sum()))
        return symbols

    def decode_weighted(self, weights: NDArray[np.int64], kind: str = "") -> int:
        """One symbol under weights [symbols]."""
        self.require(1)
        model = _normalised_row(weights)
        symbols = self._guarded(_CATEGORICAL, model[None])
        self._ledger.passed(symbols)
        self._ledger.charge(kind, 1, lambda: constants.CODER_PRECISION - math.log2(model[symbols[0]] + 1))
        return int(symbols[0])

    def decode_uniform(
        self, size: Integers | int, count: int | None = None, kind: str = ""
    ) -> NDArray[np.int32]:
        """Values [n], each in [0, size)."""
        n = _length(size, count)
        self.require(n)
        _check_sizes(size, n)
        values = np.zeros(n, np.int32)
        if isinstance(size, np.ndarray):
            real = size > 1
            values[real] = self._guarded(_UNIFORM, _int32(size[real]))
        elif size > 1:
            values = self._guarded(constriction.stream.model.Uniform(size), n)
        self._ledger.passed(values)
        self._ledger.charge(kind, n, lambda: _uniform_bits(size, n))
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
        length = self.decode(_GOLOMB_PREFIX, 0, _length(order, count), kind).astype(np.int64)
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
        if self._ledger.count != self._declared:
            raise DamagedError(f"decoded {self._ledger.count} symbols of {self._declared}")
        if self._ledger.checksum != self._checksum:
            raise DamagedError("the decoded symbols do not match their checksum")

    def require(self, symbols: int) -> None:
        """Raise DamagedError unless `symbols` more symbols were declared."""
        if not 0 <= symbols <= self._declared - self._ledger.count:
            raise DamagedError(f"the stream holds more than the {self._declared} symbols it declares")

    def _guarded(self, *arguments: object) -> NDArray[np.int32]:
        try:
            symbols: NDArray[np.int32] = self._coder.decode(*arguments)
            return symbols
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # the library's panics are no Exception
            raise DamagedError("the coded words are not valid") from error


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


def _uniform_bits(size: Integers | int, count: int) -> float:
    if isinstance(size, np.ndarray):
        return float(np.log2(size).sum())
    return count * math.log2(size)
