"""The noise stream: levels over time and frequency; the decoder draws noise of that colour (spec 8.1).

Time is cut into stretches, long where nothing happens and short where much does. Over a stretch the level of each band
moves in a straight line (in decibels).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.changes import Levels
from evc.format.streams.integers import Flags, Numbers
from evc.format.streams.noise_changes import END, FIRST, START, SYMBOLS, PlaneKind, noise_changes, plane_kinds
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.format.streams.recorded import recording


@dataclass
class NoisePlane:
    """One quantity over a segment.

    lengths     int64 [stretches] of stretches, in hops; together the segment's
    starts      int64 [stretches, bands]: levels where a stretch begins ...
    ends        ... and those it reaches where the next one begins
    stride      fine bands of the spectrum stream in a band; of colours, groups of bands
    """

    lengths: Levels
    starts: Levels
    ends: Levels
    stride: int

    def lines(self, at: Levels) -> NDArray[np.float64]:
        """The levels in the middle of the hops `at` int64 [n]: float64 [n, bands]."""
        ends = np.cumsum(self.lengths)
        stretch = np.searchsorted(ends, at, side="right")
        length = self.lengths[stretch]
        place = ((at - ends[stretch] + length + 0.5) / length)[:, None]
        lines: NDArray[np.float64] = self.starts[stretch] * (1 - place) + self.ends[stretch] * place
        return lines


@dataclass
class NoiseStream:
    """Noise of one segment.

    planes      of two channels: level, balance, angle, colour; otherwise a level for each channel, and colour
    step        of levels and balances, in 1/4 dB
    """

    planes: list[NoisePlane] = field(default_factory=list)
    step: int = c.DEFAULT_NOISE_STEP

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the planes; InputError where they break a limit (spec 8.1)."""
        self._check(context)
        self._code(WritePort(encoder), context, None if encoder.accounting else encoder)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no noise."""
        stream = cls()
        stream._code(ReadPort(decoder), context, None if decoder.accounting or decoder.port is None else decoder)
        return stream

    def _code(
        self, port: Port, context: StreamContext, compiled: SymbolEncoder | SymbolDecoder | None
    ) -> None:
        """`compiled`: what is behind the port, where kernels may code for it."""
        kinds = plane_kinds(context.channels)
        if not port.writing:
            self.planes = [_empty() for _ in kinds]
        self.step = 1 + port.field(self.step - 1, c.NOISE_STEP_BITS)
        for plane, kind in zip(self.planes, kinds, strict=True):
            plane.stride = port.field(plane.stride, c.BAND_STRIDE_BITS)
            bands = kind.bands(context.samplerate, plane.stride)
            left = hops(context) if bands else 0
            if compiled is not None and kernels.lib is not None and bands <= kernels.lib.EVC_MOST_CALL:
                _code_compiled(compiled, plane, bands, kind, left)
            else:
                _PlaneCoder(port, bands, kind).code(plane, left)

    def _check(self, context: StreamContext) -> None:
        kinds = plane_kinds(context.channels)
        if not 1 <= self.step <= 1 << c.NOISE_STEP_BITS:
            raise InputError("the step of the noise is out of range")
        if len(self.planes) != len(kinds):
            raise InputError("the noise has another number of planes than its channels ask for")
        for plane, kind in zip(self.planes, kinds, strict=True):
            if not 0 <= plane.stride < 1 << c.BAND_STRIDE_BITS:
                raise InputError("the bands of the noise are out of range")
            shape = len(plane.lengths), kind.bands(context.samplerate, plane.stride)
            if plane.lengths.min(initial=1) < 1 or plane.lengths.sum() != (hops(context) if shape[1] else 0):
                raise InputError("the noise has another length than its segment")
            if plane.starts.shape != shape or plane.ends.shape != shape:
                raise InputError("the noise has another shape than its bands")
            levels = np.concatenate([plane.starts, plane.ends])
            if levels.min(initial=kind.least) < kind.least or levels.max(initial=kind.most) > kind.most:
                raise InputError("a level of the noise is out of range")


def noise_hop(samplerate: int) -> int:
    """Frames in a hop, the unit of stretches."""
    return c.superframe_length(samplerate) // c.NOISE_HOPS


def hops(context: StreamContext) -> int:
    """Hops in a segment."""
    return -(-context.frames // noise_hop(context.samplerate))


def _empty() -> NoisePlane:
    return NoisePlane(np.zeros(0, np.int64), np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64), 0)


def _code_compiled(
    coder: SymbolEncoder | SymbolDecoder, plane: NoisePlane, bands: int, kind: PlaneKind, left: int
) -> None:
    """Code a plane of `left` hops by compiled kernels; when reading, fill it."""
    from evc.format.streams.noise_compiled import CompiledPlane

    if isinstance(coder, SymbolEncoder):
        with recording(coder) as port:
            written = CompiledPlane(port, bands, kind)
            for length, start, end in zip(plane.lengths.tolist(), plane.starts, plane.ends, strict=True):
                written.write(length, left, start, end)
                left -= length
        return
    read, stretches = CompiledPlane(coder.port, bands, kind), []
    while left:
        stretches.append(read.read(left))
        left -= stretches[-1][0]
    _fill(plane, bands, stretches)


def _fill(plane: NoisePlane, bands: int, stretches: list[tuple[int, Levels, Levels]]) -> None:
    """Make a plane of its stretches: lengths, and levels at both ends."""
    plane.lengths = np.array([length for length, _, _ in stretches], np.int64)
    plane.starts, plane.ends = (
        np.array([stretch[side] for stretch in stretches], np.int64).reshape(len(stretches), bands) for side in (1, 2)
    )


class _PlaneCoder:
    """Codes the stretches of a plane: each from where the one before ended."""

    def __init__(self, port: Port, bands: int, kind: PlaneKind) -> None:
        self._port, self._bands = port, bands
        self._lengths = Numbers(SYMBOLS, c.MAX_SPAN)
        self._flags = Flags(3)  # joined; held, by whether joined
        self._changes = noise_changes(kind)

    def code(self, plane: NoisePlane, left: int) -> None:
        """Code a plane of `left` hops; when reading, fill it."""
        nothing = np.zeros(self._bands, np.int64)
        stretches: list[tuple[int, Levels, Levels]] = []
        while left:
            number = len(stretches)
            length, start, end = 0, nothing, nothing
            if self._port.writing:
                length, start, end = int(plane.lengths[number]), plane.starts[number], plane.ends[number]
            self._port.reserve(1)
            length = self._length(length, left)
            left -= length
            stretches.append((length, *self._stretch(stretches[-1][2] if stretches else None, start, end)))
        if not self._port.writing:
            _fill(plane, self._bands, stretches)

    def _length(self, length: int, left: int) -> int:
        """Hops of a stretch, `left` being those that are left; 0 stands for all of them."""
        number = self._lengths.code(self._port, 0 if length == left else length)
        if number > left:
            raise FormatError("the stretches of the noise are longer than their segment")
        return number or left

    def _stretch(self, before: Levels | None, start: Levels, end: Levels) -> tuple[Levels, Levels]:
        flags, joined = self._flags, False
        if before is None:
            start = self._code(np.zeros(self._bands, np.int64), start, FIRST)
        else:
            joined = flags.one(self._port, bool((start == before).all()), 0, SYMBOLS)
            start = before if joined else self._code(before, start, START)
        held = flags.one(self._port, bool((end == start).all()), 1 + joined, SYMBOLS)
        return start, start if held else self._code(start, end, END)

    def _code(self, before: Levels, levels: Levels, which: int) -> Levels:
        return self._changes.code(self._port, before, levels, SYMBOLS, which)
