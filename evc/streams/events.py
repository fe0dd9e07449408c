"""The event stream: sounds of a neural generator (spec 7.1).

Each is a moment, an amplitude, a pan and a coded vector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.coder import SymbolDecoder, SymbolEncoder
from evc.errors import FormatError, InputError
from evc.streams import StreamContext
from evc.streams.integers import Flags, Scales
from evc.streams.port import Port, ReadPort, WritePort
from evc.streams.positions import POSITION_FIELDS, Times, check_times, code_times, fill_positions


def _integers() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


@dataclass
class EventStream:
    """The events that begin in one segment, in order of time.

    times       int64 [events], in 2**-phase_bits frames from the start of the segment
    amplitudes  int64 [events], levels of `amplitude_step`
    pans        int64 [events], from -pan_steps (left) to pan_steps (right)
    codes       int64 [events, stages], indices into the codebooks of the generator's quantiser; stage s has
                2**code_bits[s] entries
    amplitude_step is in 1/8 dB; `pan_steps` of 0 leaves all events in the middle.
    """

    times: Times = field(default_factory=_integers)
    amplitudes: NDArray[np.int64] = field(default_factory=_integers)
    pans: NDArray[np.int64] = field(default_factory=_integers)
    codes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    code_bits: tuple[int, ...] = ()
    amplitude_step: int = c.DEFAULT_AMPLITUDE_STEP
    pan_steps: int = 0

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the events; InputError where they break a limit (spec 7.1)."""
        self._check(context)
        self._code(WritePort(encoder), context)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no events."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    def as_array(self, context: StreamContext, start: int = 0) -> NDArray[np.void]:
        """The events as a structured array [events].

        Fields: time (s), frame, phase (unit complex), amplitude (linear), pan (-1 to 1), codes [stages].
        `start` is the segment's first frame.
        """
        codes = ("codes", "<i4", self.codes.shape[1:])
        array = np.zeros(len(self.times), [*POSITION_FIELDS, ("amplitude", "<f4"), ("pan", "<f4"), codes])
        fill_positions(array, self.times, context, start)
        decibels = self.amplitudes * self.amplitude_step / c.AMPLITUDE_UNITS_PER_DB
        array["amplitude"] = 10 ** (decibels / 20)
        array["pan"] = self.pans / max(1, self.pan_steps)
        array["codes"] = self.codes
        return array

    def _code(self, port: Port, context: StreamContext) -> None:
        self.times = code_times(port, self.times, context)
        if not len(self.times):
            return
        self.amplitude_step = 1 + port.field(self.amplitude_step - 1, c.AMPLITUDE_STEP_BITS)
        self.pan_steps = port.field(self.pan_steps, c.PAN_STEPS_BITS)
        self.code_bits = _code_layout(port, self.code_bits)
        if not port.writing:
            port.reserve(len(self.times) * (1 + (self.pan_steps > 0)))
            self.amplitudes, self.pans = np.zeros((2, len(self.times)), np.int64)
            self.codes = np.zeros((len(self.times), len(self.code_bits)), np.int64)
        self.amplitudes = _code_walk(port, self.amplitudes, c.MAX_AMPLITUDE_LEVEL, "amplitude")
        if self.pan_steps:
            self.pans = _code_walk(port, self.pans, self.pan_steps, "pan")
        if self.code_bits:
            self.codes = _code_vectors(port, self.codes, np.array(self.code_bits))

    def _check(self, context: StreamContext) -> None:
        check_times(self.times, context, "events")
        shape = (len(self.times), len(self.code_bits))
        if self.amplitudes.shape != shape[:1] or self.pans.shape != shape[:1] or self.codes.shape != shape:
            raise InputError("events need an amplitude, a pan and a code per stage each")
        if np.abs(self.amplitudes).max(initial=0) > c.MAX_AMPLITUDE_LEVEL:
            raise InputError("an event's amplitude is out of range")
        if np.abs(self.pans).max(initial=0) > self.pan_steps:
            raise InputError("an event's pan is out of range")
        if len(self.code_bits) > c.MAX_VECTOR_STAGES or not _code_bits_valid(self.code_bits):
            raise InputError("the quantiser of the event vectors is too large")
        if ((self.codes < 0) | (self.codes >> np.array(self.code_bits, np.int64) != 0)).any():
            raise InputError("a code lies outside its codebook")
        if not 1 <= self.amplitude_step <= 1 << c.AMPLITUDE_STEP_BITS:
            raise InputError("the step of the events' amplitudes is out of range")
        if not 0 <= self.pan_steps < 1 << c.PAN_STEPS_BITS:
            raise InputError("the steps of the events' pans are out of range")


def _code_bits_valid(code_bits: Iterable[int]) -> bool:
    return all(1 <= bits <= c.MAX_CODE_BITS for bits in code_bits)


def _code_layout(port: Port, code_bits: tuple[int, ...]) -> tuple[int, ...]:
    """Number of stages, then the bits of each."""
    stages = port.field(len(code_bits), c.VECTOR_STAGES_BITS)
    if stages > c.MAX_VECTOR_STAGES:
        raise FormatError("the quantiser of the event vectors has too many stages")
    bits = [port.field(code_bits[i] if port.writing else 0, c.CODE_BITS_BITS) for i in range(stages)]
    if not _code_bits_valid(bits):
        raise FormatError("a codebook of the event vectors has an impossible size")
    return tuple(bits)


def _code_walk(port: Port, levels: NDArray[np.int64], most: int, kind: str) -> NDArray[np.int64]:
    """Levels within -most .. most: each as the difference from the one before, under one adaptive scale."""
    scale = Scales(1, 4 * c.SCALE_ONE)
    result = np.zeros(len(levels), np.int64)
    before = 0
    for i in range(len(levels)):
        difference = scale.signed(port, levels[i : i + 1] - before, 0, kind)
        before += int(difference[0])
        if abs(before) > most:
            raise FormatError(f"an event's {kind} is out of range")
        result[i] = before
    return result


def _code_vectors(port: Port, codes: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """First what every vector shares with an earlier one, then all codes that are new, in one go.

    A vector shares the first stages of one of the last distinct vectors, or nothing. The list is kept by
    event number, since the codes themselves come later.
    """
    stages = codes.shape[1]
    shared = Flags(1)
    scales = Scales(2)  # place in the list, stages not shared
    sources = np.full(len(codes), -1, np.int64)
    depths = np.zeros(len(codes), np.int64)
    recent: list[int] = []
    for i in range(len(codes)):
        place, depth = _best_match(codes, recent, i) if port.writing else (0, 0)
        if recent and shared.one(port, depth > 0, 0, "vector"):
            place = int(scales.unsigned(port, np.array([place]), 0, "vector")[0])
            depth = stages - int(scales.unsigned(port, np.array([stages - depth]), 1, "vector")[0])
            if place >= len(recent) or depth < 1:
                raise FormatError("an event's vector refers to one that does not exist")
            sources[i], depths[i] = recent[place], depth
            if depth == stages:
                recent.pop(place)
        recent = [i, *recent][: c.RECENT_VECTORS]
    fresh = np.arange(stages) >= depths[:, None]
    port.reserve(int(fresh.sum()))
    values = np.zeros(codes.shape, np.int64)
    values[fresh] = port.bits(codes[fresh], np.broadcast_to(bits, codes.shape)[fresh], "vector")
    for i in range(len(codes)):
        values[i, : depths[i]] = values[sources[i], : depths[i]]
    return values


def _best_match(codes: NDArray[np.int64], recent: list[int], i: int) -> tuple[int, int]:
    """Place and depth of the recent vector that shares the most leading stages with vector `i`."""
    if not recent:
        return 0, 0
    depths = np.cumprod(codes[recent] == codes[i], axis=1).sum(axis=1)
    place = int(depths.argmax())
    return place, int(depths[place])
