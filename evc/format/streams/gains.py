"""Gains of occurrences: a level or nothing for every plane and band (spec 7.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.bands import band_count, band_edges
from evc.format.streams.changes import BandFlags, Changes
from evc.format.streams.port import Port

OFF = -(1 << 15)  # in place of a level: the occurrence is silent in this plane and band

_Levels = NDArray[np.int64]
_SYMBOLS = "gain"


@dataclass
class Gains:
    """How loud the placements of a stream are, or its copies.

    levels      int64 [n, planes, bands], of 1 / gain_resolution octave (0: as it is), or OFF
    stride      coarse bands of the spectrum in each of these; 0: one band for all frequencies
    mid_side    whether the two planes are mid and side; otherwise planes are one for all channels, or one per channel
    """

    levels: _Levels = field(default_factory=lambda: np.zeros((0, 1, 1), np.int64))
    stride: int = 0
    mid_side: bool = False

    def __len__(self) -> int:
        return len(self.levels)

    def edges(self, samplerate: int) -> NDArray[np.float64]:
        """Edges of the bands in Hz [bands + 1]."""
        return band_edges(samplerate, self.stride, fine=False)

    def code_settings(self, port: Port, count: int, context: StreamContext) -> None:
        """Code all but the levels, of which there are `count` when it reads."""
        separate = port.field(int(self.levels.shape[1] > 1), 1)
        self.mid_side = bool(port.field(int(self.mid_side), 1))
        self.stride = port.field(self.stride, c.BAND_STRIDE_BITS)
        planes = context.channels if separate else 1
        if self.mid_side and planes != 2:
            raise FormatError("only two channels have gains for mid and side")
        if not port.writing:
            bands = band_count(context.samplerate, self.stride, fine=False)
            port.reserve(count * planes * bands)
            self.levels = np.zeros((count, planes, bands), np.int64)

    def code_levels(self, port: Port, sources: list[tuple[int, int]]) -> None:
        """Code the levels of occurrences of these `sources` (pattern, lag)."""
        coder = _LevelCoder(port, self.levels.shape[1:])
        for i, source in enumerate(sources):
            self.levels[i] = coder.code(self.levels[i], source)

    def check(self, count: int, context: StreamContext) -> None:
        """InputError unless these are the gains of `count` occurrences, within the limits."""
        if self.levels.ndim != 3 or len(self.levels) != count:
            raise InputError("there are not as many gains as occurrences")
        levels, (planes, bands) = self.levels[self.levels != OFF], self.levels.shape[1:]
        expected = band_count(context.samplerate, self.stride, fine=False)
        for wrong, what in (
            (not 0 <= self.stride < 1 << c.BAND_STRIDE_BITS, "band stride"),
            (count and (planes not in (1, context.channels) or (self.mid_side and planes != 2)), "planes of gains"),
            (count and bands != expected, "bands of gains"),
            ((np.abs(levels) > c.MAX_GAIN_LEVEL).any(), "gain"),
        ):
            if wrong:
                raise InputError(f"the {what} of occurrences is not allowed")


class _LevelCoder:
    """Codes one occurrence's levels after another, each relative to the last ones of the same source."""

    def __init__(self, port: Port, shape: tuple[int, ...]) -> None:
        self._port = port
        self._flags = BandFlags(2)
        self._changes = Changes(-c.MAX_GAIN_LEVEL, c.MAX_GAIN_LEVEL)
        self._latest = np.ones(shape, np.int64), np.zeros(shape, np.int64)
        self._of_source: dict[tuple[int, int], tuple[_Levels, _Levels]] = {}

    def code(self, wanted: _Levels, source: tuple[int, int]) -> _Levels:
        """Code `wanted` [planes, bands] of an occurrence of `source` (pattern, lag)."""
        on_before, before = self._of_source.get(source, self._latest)
        on, levels = on_before.copy(), before.copy()
        for plane, own in enumerate(wanted):
            on[plane] = self._flags.code(self._port, own != OFF, on_before[plane], _SYMBOLS)
            some = on[plane] == 1
            levels[plane, some] = self._changes.code(self._port, before[plane, some], own[some], _SYMBOLS)
        self._latest = self._of_source[source] = on, levels
        return np.where(on == 1, levels, OFF)
