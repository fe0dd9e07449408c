"""A plane of the noise in compiled kernels.

What they code is what `_PlaneCoder` codes (noise.py), which tests compare them with symbol by symbol.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.errors import FormatError
from evc.format.streams.integers import frozen_tables
from evc.format.streams.noise_changes import SYMBOLS, PlaneKind, tables
from evc.format.words import check

Levels = NDArray[np.int64]


class CompiledPlane:
    """The stretches of a plane of so many `bands`, EVC_MOST_CALL at most, one after the other, through a `port` of the
    kernels."""

    def __init__(self, port: Any, bands: int, kind: PlaneKind) -> None:
        self._port, self._bands = port, bands
        settled = (np.ascontiguousarray(tables()[name][kind.row], np.int64) for name in ("scales", "signs"))
        begun = kernels.lib.evc_noise_begin(
            frozen_tables().struct, *map(kernels.pointer, settled), bands, kind.least, kind.most
        )
        if not begun:
            raise MemoryError
        self._plane = kernels.ffi.gc(begun, kernels.lib.evc_noise_end)

    def read(self, left: int) -> tuple[int, Levels, Levels]:
        """The length of a stretch where `left` hops are left, and its levels at both ends. Raises DamagedError or
        FormatError where there is none."""
        levels = np.zeros((2, self._bands), np.int64)
        length = kernels.lib.evc_read_stretch(self._plane, self._port, left, *map(kernels.pointer, levels))
        check(self._port, f"a level of {SYMBOLS}")
        if not length:
            raise FormatError("the stretches of the noise are longer than their segment")
        return length, levels[0], levels[1]

    def write(self, length: int, left: int, start: Levels, end: Levels) -> None:
        """Record what `read` is to find."""
        levels = np.stack([start, end]).astype(np.int64)
        kernels.lib.evc_write_stretch(self._plane, self._port, length, left, *map(kernels.pointer, levels))
        check(self._port)
