"""The occurrence stream: where patterns sound, and how loud in each band (spec 7.2).

It holds two lists, coded in the same way: *placements* of dictionary entries, and *copies* of the file's own
past at a distance, which need no entry. Both are parallel to events: a moment, then what sounds there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.integers import Flags, Numbers, Recent
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.format.streams.positions import POSITION_FIELDS, Times, check_times, code_times, common_grid, fill_positions
from evc.format.streams.rates import code_fine, code_semitones, rates_of

COPY = -1  # the pattern number of a copy

_Column = NDArray[np.int64]
_COLUMNS = ("patterns", "lags", "offsets", "lengths", "inverted", "shifts", "rotations", "semitones", "fine")


def _zeros() -> _Column:
    return np.zeros(0, np.int64)


@dataclass
class OccurrenceStream:
    """The occurrences that begin in one segment; placements first, then copies, each in order of time.

    times      int64 [n], in 2**-phase_bits frames from the start of the segment
    patterns   int64 [n], the dictionary entry, or COPY
    lags       int64 [n], of copies: how long ago the copied sound was, in 2**-phase_bits frames; otherwise 0
    offsets    int64 [n], of placements with `spans`: the frame of the pattern at which it begins
    lengths    int64 [n], frames that sound; of placements 0 for all that follow
    inverted   int64 [n], 1 where the polarity is reversed (with `polarity`)
    shifts     int64 [n], of placements with `lattice`: cells of frequency, in 2**-phase_bits cells
    rotations  int64 [n], of placements with `lattice`: phase in 2**-rotation_bits turns
    placed, copied: the gains of the placements, and of the copies
    semitones  int64 [n], of placements with `rates`: how much higher than its entry each sounds, all 0 if left out
    fine       int64 [n], of those with `fine_rates`: the same in 1/4096 semitone, which adds to it
    """

    times: Times = field(default_factory=_zeros)
    patterns: _Column = field(default_factory=_zeros)
    lags: _Column = field(default_factory=_zeros)
    offsets: _Column = field(default_factory=_zeros)
    lengths: _Column = field(default_factory=_zeros)
    inverted: _Column = field(default_factory=_zeros)
    shifts: _Column = field(default_factory=_zeros)
    rotations: _Column = field(default_factory=_zeros)
    placed: Gains = field(default_factory=Gains)
    copied: Gains = field(default_factory=Gains)
    gain_resolution: int = c.DEFAULT_GAIN_RESOLUTION
    polarity: bool = False
    spans: bool = False
    lattice: bool = False
    rotation_bits: int = 0
    rates: bool = False
    fine_rates: bool = False
    semitones: _Column = field(default_factory=_zeros)
    fine: _Column = field(default_factory=_zeros)

    def __post_init__(self) -> None:
        if not len(self.semitones):
            self.semitones = np.zeros(len(self.times), np.int64)
        if not len(self.fine):
            self.fine = np.zeros(len(self.times), np.int64)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the occurrences; InputError where they break a limit (spec 7.2)."""
        self._check(context)
        self._code(WritePort(encoder), context)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no occurrences."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    @property
    def lists(self) -> tuple[tuple[slice, Gains], tuple[slice, Gains]]:
        """The rows of the placements and of the copies, each with their gains."""
        first = len(self.placed)
        return (slice(0, first), self.placed), (slice(first, first + len(self.copied)), self.copied)

    def gains_of(self, row: int) -> tuple[NDArray[np.int64], Gains]:
        """The levels of an occurrence [planes, bands], and the gains that they are part of."""
        if row < len(self.placed):
            return self.placed.levels[row], self.placed
        return self.copied.levels[row - len(self.placed)], self.copied

    def as_array(self, context: StreamContext, start: int = 0) -> NDArray[np.void]:
        """The occurrences as a structured array [n].

        Fields: time (s), frame, phase (unit complex), pattern (-1: a copy), lag (s), offset, length (frames),
        gains (linear, negative where inverted; NaN where others have more planes or bands) [planes, bands], shift
        (cells), rotation (unit complex), rate (1: as the entry is), mid_side, stride. `start` is the segment's first
        frame.
        """
        shapes = [gains.levels.shape[1:] for _, gains in self.lists if len(gains)] or [(1, 1)]
        shape = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
        extra = [
            ("pattern", "<i4"), ("lag", "<f8"), ("offset", "<i8"), ("length", "<i8"), ("gains", "<f4", shape),
            ("shift", "<f8"), ("rotation", "<c16"), ("rate", "<f8"), ("mid_side", "?"), ("stride", "<i4"),
        ]  # fmt: skip
        array = np.zeros(len(self.times), [*POSITION_FIELDS, *extra])
        fill_positions(array, self.times, context, start)
        one = 1 << context.phase_bits
        array["pattern"] = self.patterns
        array["lag"] = self.lags / one / context.samplerate
        array["offset"], array["length"] = self.offsets, self.lengths
        array["shift"] = self.shifts / one
        array["rotation"] = np.exp(2j * np.pi * self.rotations / (1 << self.rotation_bits))
        array["rate"] = rates_of(self.semitones, self.fine) / c.RATE_ONE
        array["gains"] = np.nan
        for part, gains in self.lists:
            rows, (planes, bands) = array[part], gains.levels.shape[1:]
            sign = 1 - 2 * self.inverted[part, None, None]
            linear = np.where(gains.levels == OFF, 0, sign * 2.0 ** (gains.levels / self.gain_resolution))
            rows["gains"][:, :planes, :bands] = linear
            rows["mid_side"], rows["stride"] = gains.mid_side, gains.stride
        return array

    def _code(self, port: Port, context: StreamContext) -> None:
        copies = self.patterns == COPY
        times = [code_times(port, self.times[part], context) for part in (~copies, copies)]
        counts = [len(found) for found in times]
        if not sum(counts):
            return
        self._code_settings(port)
        for gains, count in zip((self.placed, self.copied), counts, strict=True):
            if count:
                gains.code_settings(port, count, context)
        if not port.writing:
            self._allocate(np.concatenate(times))
        (placements, _), (copies_behind, _) = self.lists
        self._code_placements(port, placements, context.patterns)
        self._code_copies(port, copies_behind)
        for part, gains in self.lists:
            sources = zip(self.patterns[part].tolist(), self.lags[part].tolist(), strict=True)
            gains.code_levels(port, list(sources))

    def _code_settings(self, port: Port) -> None:
        """The fields before the columns, but for those of gains."""
        self.gain_resolution = 1 + port.field(self.gain_resolution - 1, c.GAIN_RESOLUTION_BITS)
        self.polarity = bool(port.field(int(self.polarity), 1))
        self.spans = bool(port.field(int(self.spans), 1))
        self.lattice = bool(port.field(int(self.lattice), 1))
        if self.lattice:
            self.rotation_bits = port.field(self.rotation_bits, c.ROTATION_BITS_BITS)
        self.rates = bool(port.field(int(self.rates), 1))
        if self.rates:
            self.fine_rates = bool(port.field(int(self.fine_rates), 1))

    def _allocate(self, times: Times) -> None:
        self.times = times
        for name in _COLUMNS:
            setattr(self, name, np.zeros(len(times), np.int64))

    def _code_placements(self, port: Port, part: slice, patterns: int) -> None:
        if part.start == part.stop:
            return
        self.patterns[part] = _code_patterns(port, self.patterns[part], patterns)
        if self.polarity:
            self.inverted[part] = _code_flags(port, self.inverted[part], "polarity")
        if self.spans:
            self.offsets[part] = _code_on_grid(port, self.offsets[part], "span", c.MAX_SPAN)
            self.lengths[part] = _code_on_grid(port, self.lengths[part], "span", c.MAX_SPAN)
        if self.lattice:
            shifts = self.shifts[part]
            folded = np.where(shifts < 0, -2 * shifts - 1, 2 * shifts)
            folded = _code_numbers(port, folded, "shift", 2 * c.MAX_SHIFT)
            self.shifts[part] = np.where(folded & 1, -((folded + 1) >> 1), folded >> 1)
            self.rotations[part] = port.bits(self.rotations[part], self.rotation_bits, "rotation")
        if self.rates:
            self.semitones[part] = code_semitones(port, self.semitones[part], self.patterns[part])
        if self.fine_rates:
            self.fine[part] = code_fine(port, self.fine[part])

    def _code_copies(self, port: Port, part: slice) -> None:
        if part.start == part.stop:
            return
        self.patterns[part] = COPY
        self.lags[part] = _code_on_grid(port, self.lags[part], "lag", c.MAX_LAG)
        self.lengths[part] = _code_on_grid(port, self.lengths[part], "span", c.MAX_SPAN)
        if self.polarity:
            self.inverted[part] = _code_flags(port, self.inverted[part], "polarity")
        if not self.lengths[part].all():
            raise FormatError("a copy has no length")

    def _check(self, context: StreamContext) -> None:
        copies = self.patterns == COPY
        count = len(self.times)
        if any(getattr(self, name).shape != (count,) for name in _COLUMNS):
            raise InputError("the columns of the occurrences differ in length")
        if (np.diff(copies.astype(np.int8)) < 0).any():
            raise InputError("placements come before copies")
        for part, gains, what in ((~copies, self.placed, "placements"), (copies, self.copied, "copies")):
            check_times(self.times[part], context, what)
            gains.check(int(np.count_nonzero(part)), context)
        for wrong, what in (
            (not 1 <= self.gain_resolution <= 1 << c.GAIN_RESOLUTION_BITS, "resolution of gains"),
            (not 0 <= self.rotation_bits < 1 << c.ROTATION_BITS_BITS, "resolution of rotations"),
            (_outside(self.patterns[~copies], 0, context.patterns - 1), "pattern"),
            (_outside(self.inverted, 0, int(self.polarity)), "polarity"),
            (_outside(self.offsets, 0, c.MAX_SPAN if self.spans else 0), "offset"),
            (_outside(self.offsets[copies], 0, 0), "offset of a copy"),
            (_outside(self.lengths, 0, c.MAX_SPAN), "length"),
            (_outside(self.lengths[~copies], 0, c.MAX_SPAN if self.spans else 0), "length of a placement"),
            (_outside(self.lags[~copies], 0, 0), "lag of a placement"),
            (_outside(self.lags, 0, c.MAX_LAG), "lag"),
            (
                _outside(self.shifts, -c.MAX_SHIFT, c.MAX_SHIFT) or _outside(self.shifts[copies], 0, 0),
                "shift",
            ),
            (not self.lattice and (self.shifts.any() or self.rotations.any()), "shift or rotation"),
            (_outside(self.rotations, 0, (1 << self.rotation_bits) - 1), "rotation"),
            (_outside(self.rotations[copies], 0, 0), "rotation of a copy"),
            (self.rotation_bits and not self.lattice, "resolution of rotations"),
            (not self.lengths[copies].all(), "length of a copy"),
            (_outside(self.semitones, c.LEAST_SEMITONES, c.MOST_SEMITONES), "rate"),
            (_outside(self.fine, -c.FINE_PER_SEMITONE, c.FINE_PER_SEMITONE), "rate"),
            (self.semitones.any() and not self.rates or self.fine.any() and not self.fine_rates, "rate"),
            (self.fine_rates and not self.rates, "resolution of rates"),
            (self.semitones[copies].any() or self.fine[copies].any(), "rate of a copy"),
        ):
            if wrong:
                raise InputError(f"the {what} of an occurrence is not allowed")


def _outside(values: _Column, least: int, most: int) -> bool:
    return bool(((values < least) | (values > most)).any())


def _code_patterns(port: Port, patterns: _Column, known: int) -> _Column:
    """Entry numbers below `known`: one of the last sixteen, or any."""
    if len(patterns) and not known:
        raise FormatError("an occurrence names a pattern, and there is none")
    recent = Recent("pattern")

    def code(number: _Column) -> int:
        return recent.code(port, int(number[0]), lambda: int(port.uniform(number, known, "pattern")[0]))

    return np.array([code(patterns[i : i + 1]) for i in range(len(patterns))], np.int64)


def _code_on_grid(port: Port, values: _Column, kind: str, most: int) -> _Column:
    """Numbers that are all multiples of some power of two."""
    grid = port.field(common_grid(values, (1 << c.SPAN_GRID_BITS) - 1), c.SPAN_GRID_BITS)
    return _code_numbers(port, values >> grid, kind, most >> grid) << grid


def _code_numbers(port: Port, values: _Column, kind: str, most: int) -> _Column:
    numbers = Numbers(kind, most)
    return np.array([numbers.code(port, int(value)) for value in values], np.int64)


def _code_flags(port: Port, values: _Column, kind: str) -> _Column:
    flags = Flags(1)
    return np.array([flags.one(port, bool(value), 0, kind) for value in values], np.int64)
