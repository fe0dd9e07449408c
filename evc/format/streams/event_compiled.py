"""Events of the usual parts in compiled kernels.

What they code is what `EventCoder` codes (event_coding.py), which tests compare them with symbol by symbol.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError
from evc.format.streams.event_coding import PART_KINDS
from evc.format.streams.event_tables import tables
from evc.format.streams.recorded import recording
from evc.format.words import check

Integers = NDArray[np.int64]

_FIELDS = ("time", "note", "amplitude", "pan", *PART_KINDS, "tuning")  # as in the report of bits


class CompiledEvents:
    """Events as the kernels have them: times, amplitudes counted down from the greatest, pans counted from the left
    int64 [events], codes int64 [events, 16]. They lie on a grid of 2**grid in `cells` cells; `levels` and `pans`: how
    many amplitudes and pans there are."""

    def __init__(self, arrays: tuple[Integers, ...], grid: int, cells: int, levels: int, pans: int) -> None:
        self.arrays = tuple(np.ascontiguousarray(array, np.int64) for array in arrays)
        self._tables, fields = _tables(), kernels.lib.EVC_EVENT_FIELDS
        self._symbols, self._bits = np.zeros(fields, np.int64), np.zeros(fields)
        pointers = map(kernels.pointer, (*self.arrays, self._symbols, self._bits))
        self._struct = kernels.ffi.new(
            "evc_events *", (len(arrays[0]), cells, grid, levels, pans, *pointers)
        )

    def read(self, decoder: SymbolDecoder) -> None:
        """Fill the arrays. Raises DamagedError or FormatError."""
        port = decoder.port
        wrong = kernels.lib.evc_read_events(self._tables.struct, port, self._struct)
        check(port)
        if wrong == kernels.lib.EVC_EVENT_TIME:
            raise FormatError("a position lies behind the end of its segment")
        if wrong == kernels.lib.EVC_EVENT_PITCH:
            raise FormatError("an event's pitch is out of range")
        for kind, symbols, bits in zip(_FIELDS, self._symbols.tolist(), self._bits.tolist(), strict=True):
            if symbols:
                decoder.charge(kind, symbols, bits)

    def write(self, encoder: SymbolEncoder) -> None:
        """Code them; they are within their limits."""
        with recording(encoder) as port:
            kernels.lib.evc_write_events(self._tables.struct, port, self._struct)


class _Tables:
    """The frozen tables."""

    def __init__(self) -> None:
        self.struct = kernels.ffi.new("evc_event_tables *")
        kept = {name: np.ascontiguousarray(table, np.int64) for name, table in tables().items()}
        for name in ("time", "note", "tuning", "interval", "fine", "rise", "pan", "rates"):
            setattr(self.struct, name, kernels.pointer(kept[name]))
        for part in range(kernels.lib.EVC_USUAL_PARTS):
            for kind in ("near", "octave", "before"):
                getattr(self.struct, kind)[part] = kernels.pointer(kept[f"part{part + 1}.{kind}"])
        self.struct.rises, self.struct.pans = kept["rise"].shape[1], kept["pan"].shape[2]
        self._kept = kept  # that the struct points into


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    return _Tables()
