"""One face for both directions of coding, so that each stream describes its order of symbols once.

A stream passes arrays of values through a port. The writing port codes them and hands them back; the reading
port looks at their length only, and returns what it decoded.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.coder import FrequencyTable, SymbolDecoder, SymbolEncoder
from evc.format.constants import PIECE_BITS
from evc.format.words import check

Values = NDArray[np.integer]


class SymbolPort(Protocol):
    """What adaptive integers need. `kind` names what the symbols are for, in the report of bits."""

    @property
    def writing(self) -> bool: ...

    @property
    def compiled(self) -> Any:
        """What compiled kernels read from or write to; None where they do not."""

    def settle(self, kind: str) -> None:
        """After a call of kernels: code what they wrote, or account for what they read. Raises what they found wrong,
        FormatError for a level out of range."""

    def symbols(self, values: Values, table: FrequencyTable, rows: Values | int, kind: str) -> Values: ...

    def golomb(self, values: Values, order: int, kind: str) -> Values: ...


class Port(SymbolPort, Protocol):
    """What the streams of few symbols need."""

    def weighted(self, value: int, weights: NDArray[np.int64], kind: str) -> int:
        """One symbol under weights [symbols] made for it alone."""

    def uniform(self, values: Values, size: Values | int, kind: str) -> Values: ...

    def bits(self, values: Values, widths: Values | int, kind: str) -> Values: ...

    def field(self, value: int, width: int, kind: str = "header") -> int:
        """One unsigned number of `width` bits."""

    def number(self, value: int, order: int, kind: str = "header") -> int:
        """One unsigned number of any size below 2**31."""

    def reserve(self, symbols: int) -> None:
        """Raise DamagedError unless `symbols` symbols can follow; call it before allocating for them."""


class WritePort:
    """Codes what passes through it; ValueError where a value does not fit."""

    writing = True

    def __init__(self, encoder: SymbolEncoder) -> None:
        self._encoder = encoder
        self.compiled: Any = None
        if kernels.lib is not None and not encoder.accounting:
            self.compiled = kernels.ffi.gc(kernels.ffi.new("evc_port *"), kernels.lib.evc_forget)

    def settle(self, kind: str) -> None:
        check(self.compiled, f"a level of {kind}")
        self._encoder.encode_recorded(self.compiled)

    def symbols(self, values: Values, table: FrequencyTable, rows: Values | int, kind: str) -> Values:
        self._encoder.encode(values, table, rows, kind)
        return values

    def weighted(self, value: int, weights: NDArray[np.int64], kind: str) -> int:
        self._encoder.encode_weighted(value, weights, kind)
        return value

    def uniform(self, values: Values, size: Values | int, kind: str) -> Values:
        self._encoder.encode_uniform(values, size, kind)
        return values

    def bits(self, values: Values, widths: Values | int, kind: str) -> Values:
        self._encoder.encode_bits(values, widths, kind)
        return values

    def golomb(self, values: Values, order: int, kind: str) -> Values:
        self._encoder.encode_golomb(values, order, kind)
        return values

    def field(self, value: int, width: int, kind: str = "header") -> int:
        if 0 < width <= PIECE_BITS:
            self._encoder.encode_uniform([value], 1 << width, kind)  # the same, sooner
        else:
            self._encoder.encode_bits([value], width, kind)
        return value

    def number(self, value: int, order: int, kind: str = "header") -> int:
        self._encoder.encode_golomb([value], order, kind)
        return value

    def reserve(self, symbols: int) -> None:
        """Nothing to check when writing."""


class ReadPort:
    """Replaces what passes through it by what was coded; DamagedError where the words are not valid."""

    writing = False

    def __init__(self, decoder: SymbolDecoder) -> None:
        self._decoder = decoder
        self.compiled = decoder.port
        if self.compiled is not None:
            self.compiled.accounting = decoder.accounting

    def settle(self, kind: str) -> None:
        check(self.compiled, f"a level of {kind}")
        if self._decoder.accounting:
            self._decoder.charge(kind, self.compiled.counts[0], self.compiled.charges[0])

    def symbols(self, values: Values, table: FrequencyTable, rows: Values | int, kind: str) -> Values:
        return self._decoder.decode(table, rows, len(values), kind)

    def weighted(self, value: int, weights: NDArray[np.int64], kind: str) -> int:
        return self._decoder.decode_weighted(weights, kind)

    def uniform(self, values: Values, size: Values | int, kind: str) -> Values:
        return self._decoder.decode_uniform(size, len(values), kind)

    def bits(self, values: Values, widths: Values | int, kind: str) -> Values:
        return self._decoder.decode_bits(widths, len(values), kind)

    def golomb(self, values: Values, order: int, kind: str) -> Values:
        return self._decoder.decode_golomb(order, len(values), kind)

    def field(self, value: int, width: int, kind: str = "header") -> int:
        if 0 < width <= PIECE_BITS:
            return int(self._decoder.decode_uniform(1 << width, 1, kind)[0])
        return int(self._decoder.decode_bits(width, 1, kind)[0])

    def number(self, value: int, order: int, kind: str = "header") -> int:
        return int(self._decoder.decode_golomb(order, 1, kind)[0])

    def reserve(self, symbols: int) -> None:
        self._decoder.require(symbols)
