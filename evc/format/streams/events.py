"""The event stream: sounds of a neural generator (spec 7.1).

Each is a moment, an amplitude, a pan, a pitch and the codes of the other parts of its vector.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.event_coding import EventCoder
from evc.format.streams.event_tables import Tables, tables
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.format.streams.positions import TimeCoder, Times, check_times, code_count

USUAL_SIZES = (c.PITCHES, *c.EVENT_PARTS)


def _integers() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass
class EventStream:
    """Events as integers, in order of time: those that begin in one segment, or those of a whole file.

    times       int64 [events], in 2**-phase_bits frames from the start of the segment, or of the file
    amplitudes  int64 [events], levels of `amplitude_step`
    pans        int64 [events], from -pan_steps (left) to pan_steps (right)
    codes       int64 [events, parts], indices into the codebooks of the parts of the vector; the first is the pitch
    sizes       codes that each part has; the pitch has 8192
    amplitude_step is in 1/8 dB; `pan_steps` of 0 leaves all events in the middle.
    """

    times: Times = field(default_factory=_integers)
    amplitudes: NDArray[np.int64] = field(default_factory=_integers)
    pans: NDArray[np.int64] = field(default_factory=_integers)
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, len(USUAL_SIZES)), np.int64))
    sizes: tuple[int, ...] = USUAL_SIZES
    amplitude_step: int = c.DEFAULT_AMPLITUDE_STEP
    pan_steps: int = c.DEFAULT_PAN_STEPS

    def __len__(self) -> int:
        return len(self.times)

    def chosen(self, rows: ArrayLike | slice) -> Self:
        """Those that a mask, a slice or indices choose, in their order."""
        at: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        return replace(
            self, times=self.times[at], amplitudes=self.amplitudes[at], pans=self.pans[at], codes=self.codes[at]
        )

    def later(self, distance: int) -> Self:
        """The same, counted from an earlier start: every time greater by `distance`."""
        return replace(self, times=self.times + distance)

    def linear_amplitudes(self) -> NDArray[np.float64]:
        """[events], 1 being full scale."""
        powers = self.amplitudes * (self.amplitude_step / c.AMPLITUDE_UNITS_PER_DB / 20)
        return np.asarray(10 ** np.clip(powers, -c.AMPLITUDE_POWERS, c.AMPLITUDE_POWERS))

    def unit_pans(self) -> NDArray[np.float64]:
        """[events], from -1 (left) to 1 (right)."""
        return self.pans / max(1, self.pan_steps)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the events; InputError where they break a limit (spec 7.1)."""
        self._check(context)
        self.code(WritePort(encoder), context, compiled=None if encoder.accounting else encoder)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no events."""
        stream = cls()
        stream.code(ReadPort(decoder), context, compiled=None if decoder.port is None else decoder)
        return stream

    def code(
        self, port: Port, context: StreamContext, frozen: Tables | None = None,
        compiled: SymbolEncoder | SymbolDecoder | None = None,
    ) -> None:  # fmt: skip
        """Pass the events through a port, in either direction; `frozen` tables, if others than the format's.
        `compiled`: behind the port, where kernels may code for it."""
        count = code_count(port, len(self.times), context)
        if not count:
            return
        self.amplitude_step = 1 + port.field(self.amplitude_step - 1, c.AMPLITUDE_STEP_BITS)
        self.pan_steps = port.field(self.pan_steps, c.PAN_STEPS_BITS)
        self.sizes = _code_sizes(port, self.sizes)
        top, levels = _code_range(port, self.amplitudes)
        times = TimeCoder(port, self.times, count, context, frozen or tables())
        if not port.writing:
            port.reserve(count)
            self.times, self.amplitudes, self.pans = np.zeros((3, count), np.int64)
            self.codes = np.zeros((count, len(self.sizes)), np.int64)
        if compiled is not None and kernels.lib is not None and self.sizes == USUAL_SIZES:
            self._code_compiled(compiled, times, top, levels)
            return
        coder = EventCoder(port, frozen or tables(), levels, 2 * self.pan_steps + 1, self.sizes[1:])
        for i in range(count):
            time = times.code(int(self.times[i]))
            values = int(self.codes[i, 0]), top - int(self.amplitudes[i]), int(self.pans[i]) + self.pan_steps
            pitch, amplitude, pan, codes = coder.code(*values, self.codes[i, 1:], times.same)
            if not port.writing:
                self.times[i], self.amplitudes[i], self.pans[i] = time, top - amplitude, pan - self.pan_steps
                self.codes[i, 0], self.codes[i, 1:] = pitch, codes

    def _code_compiled(
        self, coder: SymbolEncoder | SymbolDecoder, times: TimeCoder, top: int, levels: int
    ) -> None:
        """All events, between amplitude `top` and the `levels` down from it."""
        from evc.format.streams.event_compiled import CompiledEvents

        arrays = self.times, top - self.amplitudes, self.pans + self.pan_steps, self.codes
        events = CompiledEvents(arrays, times.grid, times.cells, levels, 2 * self.pan_steps + 1)
        if isinstance(coder, SymbolEncoder):
            events.write(coder)
            return
        events.read(coder)
        self.times, amplitudes, pans, self.codes = events.arrays
        self.amplitudes, self.pans = top - amplitudes, pans - self.pan_steps

    def _check(self, context: StreamContext) -> None:
        check_times(self.times, context, "events")
        shape = (len(self.times), len(self.sizes))
        if self.amplitudes.shape != shape[:1] or self.pans.shape != shape[:1] or self.codes.shape != shape:
            raise InputError("events need an amplitude, a pan and a code per part each")
        if np.abs(self.amplitudes).max(initial=0) > c.MAX_AMPLITUDE_LEVEL:
            raise InputError("an event's amplitude is out of range")
        if np.ptp(self.amplitudes) >= 1 << c.AMPLITUDE_COUNT_BITS if len(self.times) else False:
            raise InputError("the amplitudes of the events of a segment are too far apart")
        if np.abs(self.pans).max(initial=0) > self.pan_steps:
            raise InputError("an event's pan is out of range")
        if not _sizes_valid(self.sizes):
            raise InputError("the parts of the event vectors are too many, or have too many codes")
        if ((self.codes < 0) | (self.codes >= np.array(self.sizes))).any():
            raise InputError("a code lies outside its codebook")
        if not 1 <= self.amplitude_step <= 1 << c.AMPLITUDE_STEP_BITS:
            raise InputError("the step of the events' amplitudes is out of range")
        if not 0 <= self.pan_steps < 1 << c.PAN_STEPS_BITS:
            raise InputError("the steps of the events' pans are out of range")


def _sizes_valid(sizes: tuple[int, ...]) -> bool:
    most = 1 << c.PART_CODES_BITS
    few = len(sizes) <= 1 << c.PART_COUNT_BITS
    return sizes[:1] == (c.PITCHES,) and few and all(1 <= size <= most for size in sizes[1:])


def _code_sizes(port: Port, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Whether they are the usual ones, otherwise how many parts there are behind the pitch, and the codes of each."""
    if port.field(int(sizes == USUAL_SIZES), 1):
        return USUAL_SIZES
    count = port.field(len(sizes) - 1, c.PART_COUNT_BITS)
    found = c.PITCHES, *(
        1 + port.field(sizes[1 + i] - 1 if port.writing else 0, c.PART_CODES_BITS) for i in range(count)
    )
    if found == USUAL_SIZES:
        raise FormatError("the usual parts of events are coded as unusual ones")
    return found


def _code_range(port: Port, amplitudes: NDArray[np.int64]) -> tuple[int, int]:
    """The greatest level, and how many there are down to the least."""
    most = c.MAX_AMPLITUDE_LEVEL
    top = port.field(int(amplitudes.max(initial=-most)) + most, c.AMPLITUDE_TOP_BITS) - most
    levels = 1 + port.field(top - int(amplitudes.min(initial=top)), c.AMPLITUDE_COUNT_BITS)
    if top > most or top - levels < -most - 1:
        raise FormatError("the amplitudes of events are out of range")
    return top, levels
