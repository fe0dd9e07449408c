"""Surfaces: small levels over planes, columns of time, and cells of frequency (spec 6.6).

Used for the band energies of noise and the magnitudes of lattice patterns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.integers import Scales
from evc.format.streams.port import Port

Levels = NDArray[np.int64]


def code_surface(port: Port, levels: Levels, hold: int, kind: str) -> Levels:
    """Code `levels` int64 [planes, columns, cells], each from 0 to 255; planes after the first only in every
    `hold`-th column, the others repeat it. When reading, `levels` gives the shape and is overwritten."""
    planes, columns, cells = levels.shape
    port.reserve(cells * (columns + (planes - 1) * -(-columns // hold)))
    coders = [_PlaneCoder(port, cells, kind) for _ in range(planes)]
    for column in range(columns):
        for plane, coder in enumerate(coders):
            if plane and column % hold:
                levels[plane, column] = levels[plane, column - 1]
            else:
                levels[plane, column] = coder.code(levels[plane, column], coders[0].change if plane else None)
    return levels


class _PlaneCoder:
    """Codes the columns of one plane, each from those before it, from coarse to fine over the cells."""

    def __init__(self, port: Port, cells: int, kind: str) -> None:
        self.change = np.zeros(cells, np.int64)
        self._port = port
        self._kind = kind
        self._passes = list(_passes(cells))
        self._scales = Scales(c.SURFACE_CLASSES * cells)
        self._first = Scales(2, 2 * c.SCALE_ONE)
        self._last = np.zeros(cells, np.int64)
        self._slow = np.zeros(cells, np.int64)
        self._coded = False

    def code(self, column: Levels, parent: Levels | None) -> Levels:
        """Code one column [cells]; `parent` is the change that the first plane made in the same column."""
        one = 1 << c.SURFACE_SLOW_BITS
        expected = (self._slow + one * self._last + one) // (2 * one)
        if parent is not None:
            expected += (parent + 1) >> 1
        change = np.zeros(len(column), np.int64)
        for cells, left, right in self._passes:
            around = size = np.zeros(len(cells), np.int64)
            if left is not None:
                around = (change[left] + change[right] + 1) >> 1
                size = (np.abs(change[left]) + np.abs(change[right]) + 1) >> 1
            guess = np.clip(expected[cells] + around, 0, c.MAX_SURFACE_LEVEL)
            if self._coded:
                at = c.SURFACE_CLASSES * cells + np.minimum(size, c.SURFACE_CLASSES - 1)
                difference = self._scales.signed(self._port, column[cells] - guess, at, self._kind)
            else:
                rank = int(left is not None)
                difference = self._first.signed(self._port, column[cells] - guess, rank, self._kind)
            change[cells] = guess + difference - expected[cells]
        levels = expected + change
        if levels.min() < 0 or levels.max() > c.MAX_SURFACE_LEVEL:
            raise FormatError(f"a level of {self._kind} is out of range")
        rise = (levels << c.SURFACE_SLOW_BITS) - self._slow
        self._slow += rise >> c.SURFACE_SLOW_SHIFT if self._coded else rise
        self._last, self._coded, self.change = levels, True, change
        return levels


def _passes(cells: int) -> Iterator[tuple[Levels, Levels | None, Levels | None]]:
    """The cells of each pass, with their known neighbours left and right (at the edge twice the left)."""
    yield np.arange(0, cells, c.SURFACE_STRIDE), None, None
    stride = c.SURFACE_STRIDE // 2
    while stride:
        at = np.arange(stride, cells, 2 * stride)
        if len(at):
            yield at, at - stride, np.where(at + stride < cells, at + stride, at - stride)
        stride //= 2
