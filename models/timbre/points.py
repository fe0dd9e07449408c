"""Points of a path as a renderer takes them, in floating point, and the straight lines between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.timbre import TimbreStream, step_size
from evc.models.arrays import Floats


@dataclass(frozen=True)
class Points:
    """times       float64 [n], ascending, in superframes from the file's start
    vectors     float64 [n, 32], in standard deviations of the prior
    amplitudes  float64 [n]: roots of mean squares, full scale 1
    widths      float64 [n], from 0 to 1
    """

    times: Floats
    vectors: Floats
    amplitudes: Floats
    widths: Floats

    @classmethod
    def of(cls, stream: TimbreStream, start: int) -> Self:
        """What the integers of a segment stand for that begins at superframe `start`."""
        times, vectors, widths = (column.astype(np.float64) for column in (stream.times, stream.vectors, stream.widths))
        vectors *= step_size(stream.step)
        return cls(start + times, vectors, amplitudes_of(stream.levels), widths / c.MAX_TIMBRE_WIDTH)

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Self:
        """Those of all parts, of which there is at least one."""
        return cls(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(cls)))

    def rows(self, chosen: slice | NDArray[np.bool_]) -> Points:
        return Points(*(getattr(self, column.name)[chosen] for column in fields(self)))

    def at(self, times: Floats) -> Points:
        """The path at some times; before the first point and behind the last it stays where it is."""

        def line(column: Floats) -> Floats:
            return np.interp(times, self.times, column)

        vectors = np.stack([line(column) for column in self.vectors.T], axis=1)
        return Points(times, vectors, line(self.amplitudes), line(self.widths))


def amplitudes_of(levels: NDArray[np.integer]) -> Floats:
    """Roots of mean squares of coded levels, full scale 1; 0 is silence."""
    return np.where(levels > 0, 10 ** ((levels - c.MAX_TIMBRE_LEVEL + c.TIMBRE_TOP_DB) / 20), 0.0)


def levels_of(amplitudes: NDArray[np.floating]) -> NDArray[np.int64]:
    """The nearest coded levels of such roots."""
    decibels = 20 * np.log10(np.maximum(np.asarray(amplitudes, np.float64), 1e-30))
    levels = np.rint(decibels - c.TIMBRE_TOP_DB) + c.MAX_TIMBRE_LEVEL
    return np.clip(levels, 0, c.MAX_TIMBRE_LEVEL).astype(np.int64)
