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
from evc.format.streams.integers import Numbers
from evc.format.streams.port import Port

Times = NDArray[np.int64]

# First fields of the arrays of events and of occurrences: seconds, frame, e^(2*pi*i*phase).
POSITION_FIELDS = [("time", "<f8"), ("frame", "<i8"), ("phase", "<c16")]


def most_placed(context: StreamContext) -> int:
    """How many events, or occurrences of one list, a segment may hold."""
    return c.PLACED_PER_SUPERFRAME * -(-context.frames // c.superframe_length(context.samplerate))


def code_times(port: Port, times: Times, context: StreamContext) -> Times:
    """Code how many there are, the grid they all lie on, then the ascending `times` [n] by distance."""
    count = port.number(len(times), c.COUNT_ORDER)
    if count > most_placed(context):
        raise FormatError(f"{count} positions in a segment; {most_placed(context)} are allowed")
    port.reserve(count)
    result = np.zeros(count, np.int64)
    if not count:
        return result
    grid = port.field(common_grid(times, (1 << c.GRID_BITS) - 1), c.GRID_BITS)
    cells = ((context.frames << context.phase_bits) + (1 << grid) - 1) >> grid
    distances = Numbers("time", cells)
    before = 0
    for i in range(count):
        distance = (int(times[i]) >> grid) - before if port.writing else 0
        before += distances.code(port, distance, (cells - 1 - before) // (count - i))
        if before >= cells:
            raise FormatError("a position lies behind the end of its segment")
        result[i] = before
    return result << grid


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
