"""Gains of occurrences: a level or nothing for every plane and band (spec 7.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.changes import BandFlags, Changes
from evc.format.streams.port import Port

OFF = -(1 << 15)  # in place of a level: the occurrence is silent in this plane and band

_Gains = NDArray[np.int64]
_SYMBOLS = "gain"


class GainCoder:
    """Codes one occurrence's gains after another, each relative to the last one of the same source."""

    def __init__(self, port: Port, shape: tuple[int, int]) -> None:
        self._port = port
        self._flags = BandFlags(2)
        self._changes = Changes(-c.MAX_GAIN_LEVEL, c.MAX_GAIN_LEVEL)
        self._latest = np.ones(shape, np.int64), np.zeros(shape, np.int64)
        self._of_source: dict[tuple[int, int], tuple[_Gains, _Gains]] = {}

    def code(self, gains: _Gains, source: tuple[int, int]) -> _Gains:
        """Code `gains` [planes, bands] of an occurrence of `source` (pattern, lag)."""
        on_before, before = self._of_source.get(source, self._latest)
        on, levels = on_before.copy(), before.copy()
        for plane, wanted in enumerate(gains):
            on[plane] = self._flags.code(self._port, wanted != OFF, on_before[plane], _SYMBOLS)
            some = on[plane] == 1
            levels[plane, some] = self._changes.code(self._port, before[plane, some], wanted[some], _SYMBOLS)
        self._latest = self._of_source[source] = on, levels
        return np.where(on == 1, levels, OFF)
