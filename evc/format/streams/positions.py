"""Grid-free positions in time, the same for events and occurrences (spec 6.4).

A time is an integer, in units of 2**-phase_bits frames from the start of the segment: the upper part is the
frame, the lower part the fractional phase.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.event_tables import Tables, tables
from evc.format.streams.integers import pieces
from evc.format.streams.mixture import Mixture
from evc.format.streams.port import Port

Times = NDArray[np.int64]

# First fields of the arrays of events and of occurrences: seconds, frame, e^(2*pi*i*phase).
POSITION_FIELDS = [("time", "<f8"), ("frame", "<i8"), ("phase", "<c16")]


def most_placed(context: StreamContext) -> int:
    """How many events, or occurrences of one list, a segment may hold."""
    return c.PLACED_PER_SUPERFRAME * -(-context.frames // c.superframe_length(context.samplerate))


def code_times(port: Port, times: Times, context: StreamContext) -> Times:
    """Code how many there are, then the ascending `times` [n]."""
    count = code_count(port, len(times), context)
    port.reserve(count)
    result = np.zeros(count, np.int64)
    if count:
        coder = TimeCoder(port, times, count, context, tables())
        for i in range(count):
            result[i] = coder.code(int(times[i]) if port.writing else 0)
    return result


def code_count(port: Port, count: int, context: StreamContext) -> int:
    """Code how many positions there are."""
    count = port.number(count, c.COUNT_ORDER)
    if count > most_placed(context):
        raise FormatError(f"{count} positions in a segment; {most_placed(context)} are allowed")
    return count


class TimeCoder:
    """Codes the `grid` that all of `count` ascending times lie on, then one by one the distances between them, in
    `cells` of it."""

    def __init__(self, port: Port, times: Times, count: int, context: StreamContext, frozen: Tables) -> None:
        self._port, self._table = port, frozen["time"]
        self.grid = port.field(common_grid(times, (1 << c.GRID_BITS) - 1), c.GRID_BITS)
        self.cells = ((context.frames << context.phase_bits) + (1 << self.grid) - 1) >> self.grid
        self._cell, self._left = 0, count
        self._classes = Mixture(c.DISTANCE_CLASSES, frozen["rates"][0, :2])
        self.same = 1  # whether the last time was that before it; 1 at first

    def code(self, time: int) -> int:
        """Code one time, in 2**-phase_bits frames from the start of the segment."""
        expected = (self.cells - 1 - self._cell) // self._left
        distance = self._distance((time >> self.grid) - self._cell, expected)
        self._cell, self._left, self.same = self._cell + distance, self._left - 1, int(distance == 0)
        if self._cell >= self.cells:
            raise FormatError("a position lies behind the end of its segment")
        return self._cell << self.grid

    def _distance(self, distance: int, expected: int) -> int:
        number = distance_class(distance)[0]
        row = self._table[min(distance_class(expected)[0], c.DISTANCE_CLASSES - 1)]
        number = self._classes.code(self._port, number, row, (0, self.same), "time")
        least = class_start(number)
        return least + pieces(self._port, distance - least, distance_class(least)[1], "time")


def distance_class(distance: int) -> tuple[int, int]:
    """Class of a distance, two of them in an octave, and how many bits tell the distances of a class apart."""
    if distance < 4:
        return distance, 0
    bits = distance.bit_length() - 2
    return 2 * bits + (distance >> bits), bits


def class_start(number: int) -> int:
    """The least distance of a class."""
    return number if number < 4 else (2 + (number & 1)) << ((number >> 1) - 1)


def common_grid(values: Times, most: int) -> int:
    """The largest power of two that divides all values, as an exponent; at most `most`."""
    union = int(np.bitwise_or.reduce(values)) if len(values) else 0
    return min(most, (union & -union).bit_length() - 1) if union else most


def check_times(times: Times, context: StreamContext, what: str) -> None:
    """InputError unless `times` ascend within the segment, and are not too many."""
    if len(times) > most_placed(context):
        raise InputError(f"{len(times)} {what} in a segment; {most_placed(context)} are allowed")
    if len(times) and (np.diff(times).min(initial=0) < 0 or times[0] < 0):
        raise InputError(f"the times of the {what} do not ascend from the start of the segment")
    if len(times) and times[-1] >= context.frames << context.phase_bits:
        raise InputError(f"the times of the {what} reach behind the end of the segment")


def fill_positions(array: NDArray[np.void], times: Times, context: StreamContext, start: int) -> None:
    """Fill POSITION_FIELDS; `start` is the first frame of the segment in the file."""
    one = 1 << context.phase_bits
    array["time"] = (start + times / one) / context.samplerate
    array["frame"] = start + (times >> context.phase_bits)
    array["phase"] = np.exp(2j * np.pi * ((times & (one - 1)) / one))
