"""The timbre stream: points of a path through a learned space of sustained sounds (spec 8.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.integers import Numbers, Scales
from evc.format.streams.port import Port, ReadPort, WritePort

Integers = NDArray[np.int64]

FILE = "timbre.npz"
TIMES, LEVELS, WIDTHS, VECTORS = "point times", "levels", "widths", "vectors"  # what symbols are for
_DIMENSIONS = np.arange(c.TIMBRE_DIMENSIONS)


def _none(*shape: int) -> Integers:
    return np.zeros((0, *shape), np.int64)


@dataclass
class TimbreStream:
    """The points of one segment.

    times    int64 [n], ascending: superframes from the start of the segment
    vectors  int64 [n, 32], from -1023 to 1023: places in the space, in steps
    levels   int64 [n], from 0, which is silence, to 127
    widths   int64 [n], from 0 to 7
    step     index of the step size, 0 to 15: 2**((step - 16) / 4) standard deviations of the prior
    """

    times: Integers = field(default_factory=_none)
    vectors: Integers = field(default_factory=lambda: _none(c.TIMBRE_DIMENSIONS))
    levels: Integers = field(default_factory=_none)
    widths: Integers = field(default_factory=_none)
    step: int = c.DEFAULT_TIMBRE_STEP

    def __len__(self) -> int:
        return len(self.times)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the points; InputError where they break a limit (spec 8.3)."""
        self._check(context)
        self._code(WritePort(encoder), context)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no points."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    def _code(self, port: Port, context: StreamContext) -> None:
        self.step = port.field(self.step, c.TIMBRE_STEP_BITS)
        count = port.number(len(self), c.COUNT_ORDER)
        if count > superframes(context):
            raise FormatError(f"{count} timbres in a segment of {superframes(context)} superframes")
        port.reserve(count)
        if not port.writing:
            self.times, self.levels, self.widths = np.zeros((3, count), np.int64)
            self.vectors = np.zeros((count, c.TIMBRE_DIMENSIONS), np.int64)
        coder = _PointCoder(port, self.step, superframes(context))
        for i in range(count):
            point = int(self.times[i]), int(self.levels[i]), int(self.widths[i]), self.vectors[i]
            self.times[i], self.levels[i], self.widths[i], self.vectors[i] = coder.code(*point)

    def _check(self, context: StreamContext) -> None:
        if not 0 <= self.step < 1 << c.TIMBRE_STEP_BITS:
            raise InputError("the step of the timbres is out of range")
        if self.vectors.shape != (len(self), c.TIMBRE_DIMENSIONS) or not (
            len(self.times) == len(self.levels) == len(self.widths)
        ):
            raise InputError("timbres need a time, a vector, a level and a width each")
        if len(self) and (self.times[0] < 0 or np.diff(self.times).min(initial=1) < 1):
            raise InputError("the times of the timbres do not ascend from the start of the segment")
        if len(self) and self.times[-1] >= superframes(context):
            raise InputError("a timbre lies behind the end of its segment")
        limits = (self.levels, 0, c.MAX_TIMBRE_LEVEL), (self.widths, 0, c.MAX_TIMBRE_WIDTH)
        for values, least, most in (*limits, (self.vectors, -c.MAX_TIMBRE, c.MAX_TIMBRE)):
            if values.min(initial=least) < least or values.max(initial=most) > most:
                raise InputError("a timbre is out of range")


class _PointCoder:
    """Codes point by point what changes from the one before."""

    def __init__(self, port: Port, step: int, superframes: int) -> None:
        self._port, self._end = port, superframes
        self._gaps = Numbers(TIMES, superframes)
        self._levels, self._widths = Scales(1), Scales(1)
        means = np.minimum(tables()["scales"] * c.TIMBRE_RATIOS[step] // c.SCALE_ONE, c.MOST_TIMBRE_MEAN)
        self._first, self._next = (Scales(len(row), row, c.TIMBRE_UPDATES) for row in means)
        self._time, self._level, self._width = -1, c.TIMBRE_FIRST_LEVEL, 0
        self._vector: Integers | None = None

    def code(self, time: int, level: int, width: int, vector: Integers) -> tuple[int, int, int, Integers]:
        self._time += 1 + self._gaps.code(self._port, time - self._time - 1)
        if self._time >= self._end:
            raise FormatError("a timbre lies behind the end of its segment")
        self._level = self._moved(self._levels, self._level, level, LEVELS)
        self._width = self._moved(self._widths, self._width, width, WIDTHS)
        if not (0 <= self._level <= c.MAX_TIMBRE_LEVEL and 0 <= self._width <= c.MAX_TIMBRE_WIDTH):
            raise FormatError("the level or the width of a timbre is out of range")
        scales, before = (self._first, 0 * vector) if self._vector is None else (self._next, self._vector)
        self._vector = before + scales.signed(self._port, vector - before, _DIMENSIONS, VECTORS)
        if np.abs(self._vector).max() > c.MAX_TIMBRE:
            raise FormatError("a timbre is out of range")
        return self._time, self._level, self._width, self._vector

    def _moved(self, scales: Scales, before: int, value: int, kind: str) -> int:
        return before + int(scales.signed(self._port, np.array([value - before]), 0, kind)[0])


def superframes(context: StreamContext) -> int:
    """Superframes in a segment, the last one perhaps in part."""
    return -(-context.frames // c.superframe_length(context.samplerate))


def step_size(step: int) -> float:
    """Of vectors, in standard deviations of the prior."""
    return float(2 ** ((step - (1 << c.TIMBRE_STEP_BITS)) / c.TIMBRE_STEPS_PER_OCTAVE))


@lru_cache(maxsize=1)
def tables() -> dict[str, Integers]:
    """The frozen integers of timbres (spec/tables/timbre.npz): `scales` [2, 32], what the contexts of vectors begin
    with, of the first point of a segment and of others, at the default step."""
    with resources.files("evc.spec").joinpath("tables", FILE).open("rb") as file, np.load(file) as arrays:
        return {name: array.astype(np.int64) for name, array in arrays.items()}
