"""Gains of occurrences: a level or nothing for every plane and band (spec 7.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.integers import Flags, Scales
from evc.format.streams.port import Port

OFF = -(1 << 15)  # in place of a level: the occurrence is silent in this plane and band

_Gains = NDArray[np.int64]


class GainCoder:
    """Codes one occurrence's gains after another, each relative to the last one of the same source."""

    def __init__(self, port: Port, shape: tuple[int, int]) -> None:
        self._port = port
        self._even = np.arange(0, shape[1], 2)
        self._odd = np.arange(1, shape[1], 2)
        self._right = np.where(self._odd + 1 < shape[1], self._odd + 1, self._odd - 1)
        self._flags = Flags(8)
        self._scales = Scales(2 + c.GAIN_CLASSES)
        self._latest = np.ones(shape, np.int64), np.zeros(shape, np.int64)
        self._of_source: dict[tuple[int, int], tuple[_Gains, _Gains]] = {}

    def code(self, gains: _Gains, source: tuple[int, int]) -> _Gains:
        """Code `gains` [planes, bands] of an occurrence of `source` (pattern, lag)."""
        on_before, levels_before = self._of_source.get(source, self._latest)
        on = self._code_on(gains != OFF, on_before)
        levels = levels_before + self._code_rise(gains - levels_before, on == 1)
        if np.abs(levels).max() > c.MAX_GAIN_LEVEL:
            raise FormatError("a gain is out of range")
        self._latest = self._of_source[source] = on, levels
        return np.where(on == 1, levels, OFF)

    def _code_on(self, wanted: NDArray[np.bool_], before: _Gains) -> _Gains:
        """1 where the occurrence sounds: even bands by what they were, odd ones also by their neighbours."""
        on = np.zeros(before.shape, np.int64)
        on[:, self._even] = self._flag(wanted[:, self._even], before[:, self._even])
        if len(self._odd):
            around = on[:, self._odd - 1] + on[:, self._right]
            on[:, self._odd] = self._flag(wanted[:, self._odd], 2 + 3 * before[:, self._odd] + around)
        return on

    def _code_rise(self, wanted: _Gains, on: NDArray[np.bool_]) -> _Gains:
        """How far the levels rise where the occurrence sounds: in common, then cell by cell; 0 elsewhere."""
        rise = np.zeros(on.shape, np.int64)
        if not on.any():
            return rise
        middle = np.array([int(np.median(wanted[on])) if self._port.writing else 0])
        common = self._scales.signed(self._port, middle, 0, "gain")[0]
        own = np.zeros(on.shape, np.int64)
        own[:, self._even] = self._levels(wanted[:, self._even] - common, on[:, self._even], 1)
        if len(self._odd):
            around = np.abs(own[:, self._odd - 1]) + np.abs(own[:, self._right])
            at = 2 + np.minimum(around, c.GAIN_CLASSES - 1)
            own[:, self._odd] = self._levels(wanted[:, self._odd] - common, on[:, self._odd], at)
        rise[on] = common + own[on]
        return rise

    def _flag(self, wanted: NDArray[np.bool_], at: _Gains) -> _Gains:
        bits = self._flags.code(self._port, wanted.reshape(-1).astype(np.int32), at.reshape(-1), "gain")
        return bits.astype(np.int64).reshape(at.shape)

    def _levels(self, wanted: _Gains, on: NDArray[np.bool_], at: _Gains | int) -> _Gains:
        """Levels where `on`, all in one call; 0 elsewhere."""
        levels = np.zeros(on.shape, np.int64)
        contexts = at[on] if isinstance(at, np.ndarray) else at
        levels[on] = self._scales.signed(self._port, wanted[on], contexts, "gain")
        return levels
