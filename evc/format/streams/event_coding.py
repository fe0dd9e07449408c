"""The order of an event stream's symbols and the weights they are coded under, event by event (spec 7.1).

A symbol's weights are a sum: rows of frozen tables, chosen by what is known of the event and of its *neighbour*, the
last event of nearly the same pitch, and histograms of what the stream had before in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.event_tables import Tables
from evc.format.streams.mixture import Mixture
from evc.format.streams.port import Port

Integers = NDArray[np.int64]

SEMITONES = c.PITCHES // c.PITCHES_PER_SEMITONE + 1
# What the symbols of the usual parts are for, in the report of bits.
PART_KINDS = "phase attack decay length resonator".split() + ["partials"] * c.PARTIALS + ["deform", "noise", "room"]
_KINDS = ("near", "octave", "before")  # tables of a part: rows by the neighbour's code, the octave, the code before
_HALF = c.PITCHES_PER_SEMITONE // 2


def split_pitch(pitch: int) -> tuple[int, int]:
    """The nearest semitone, and the distance from it."""
    semitone = (pitch + _HALF) // c.PITCHES_PER_SEMITONE
    return semitone, pitch - semitone * c.PITCHES_PER_SEMITONE


def fineness(semitone: Any, decay: Any, length: Any) -> Any:
    """How many bits of its fine pitch an event of the usual parts is too short or too low to tell, 0 to 6: an error of
    half a step then moves no phase by much, while the event sounds. Integers, or arrays of them."""
    thirds = semitone // 4 + np.minimum(2 * decay, 3 * length + 11)  # octaves of the cycles heard
    return np.clip((32 - thirds) // 3, 0, c.FINENESSES - 1)


def grained(codes: Integers) -> Integers:
    """Codes [events, parts] with pitches rounded to what each event can tell, which saves the bits."""
    pitches, decay, length = codes[:, 0], codes[:, 1 + c.DECAY], codes[:, 1 + c.LENGTH]
    steps = 1 << fineness((pitches + _HALF) // c.PITCHES_PER_SEMITONE, decay, length)
    result = codes.copy()
    result[:, 0] = np.minimum((pitches + steps // 2) // steps * steps, c.PITCHES - 1)
    return result


@dataclass
class _Event:
    """One that was coded: the distance from its semitone, the amplitude counted down from the greatest, the pan counted
    from the left, and the codes of the parts behind the pitch."""

    semitone: int
    fine: int
    amplitude: int
    pan: int
    codes: list[int]


class EventCoder:
    """Codes events one by one through a port; holds what was coded before.

    `levels` and `pans` are how many amplitudes and pans there are, `sizes` the codes of each part but the pitch.
    """

    def __init__(self, port: Port, tables: Tables, levels: int, pans: int, sizes: tuple[int, ...]) -> None:
        self._port, self._tables = port, tables
        self._levels, self._pans, self._sizes = levels, pans, sizes
        rates = tables["rates"]
        self._semitones = Mixture(SEMITONES, rates[1, :2])
        self._fine = Mixture(c.PITCHES_PER_SEMITONE, rates[2], ordered=True)
        self._amplitudes = Mixture(levels, rates[3], ordered=True)
        self._pan = Mixture(pans, rates[4], ordered=True)
        self._known = sizes == c.EVENT_PARTS
        self._parts = [Mixture(size, rates[5 + i if self._known else -1]) for i, size in enumerate(sizes)]
        self._rows: list[list[Integers]] = []
        if self._known:
            self._rows = [[tables[f"part{i + 1}.{kind}"] for kind in _KINDS] for i in range(len(sizes))]
        self._kinds = PART_KINDS if self._known else ["vector"] * len(sizes)
        self._before: _Event | None = None
        self._slots: dict[int, _Event] = {}

    def code(
        self, pitch: int, amplitude: int, pan: int, codes: Integers, same: int
    ) -> tuple[int, int, int, list[int]]:
        """All of an event but its time: pitch, amplitude counted down from the greatest, pan counted from the left,
        codes of the parts behind the pitch. `same`: 1 if it begins in the cell of the event before."""
        semitone, fine = split_pitch(pitch)
        semitone = self._code_semitone(semitone, same)
        near = self._slots.get(semitone)
        amplitude = self._code_amplitude(amplitude, semitone, near)
        pan = self._code_pan(pan, semitone, near)
        found: list[int] = []
        for part in range(len(self._sizes)):
            found.append(self._code_part(part, int(codes[part]), semitone // 12, found, near))
        fine = self._code_fine(fine, semitone, found, near)
        pitch = c.PITCHES_PER_SEMITONE * semitone + fine
        if not 0 <= pitch < c.PITCHES:
            raise FormatError("an event's pitch is out of range")
        self._before = self._slots[semitone] = _Event(semitone, fine, amplitude, pan, found)
        return pitch, amplitude, pan, found

    def _code_semitone(self, semitone: int, same: int) -> int:
        weights = self._tables["note"]
        if self._before is not None:
            start = SEMITONES - 1 - self._before.semitone
            weights = weights + self._tables["interval"][same, start : start + SEMITONES]
        before = SEMITONES if self._before is None else self._before.semitone
        return self._semitones.code(self._port, semitone, weights, (0, before), "note")

    def _code_fine(self, fine: int, semitone: int, codes: list[int], near: _Event | None) -> int:
        size = c.PITCHES_PER_SEMITONE
        row = c.FINENESSES
        if self._known:
            row = int(fineness(semitone, codes[c.DECAY], codes[c.LENGTH]))
        weights = self._tables["tuning"][row]
        if near is not None:
            start = size - 1 - (near.fine + _HALF)
            weights = weights + self._tables["fine"][start : start + size]
        contexts = 0, row, semitone
        return self._fine.code(self._port, fine + _HALF, weights, contexts, "tuning") - _HALF

    def _code_amplitude(self, amplitude: int, semitone: int, near: _Event | None) -> int:
        weights = self._rise(0, 0 if self._before is None else self._before.amplitude)
        if near is not None:
            weights = weights + self._rise(1, near.amplitude)
        return self._amplitudes.code(self._port, amplitude, weights, (0, semitone // 12, semitone), "amplitude")

    def _rise(self, row: int, other: int) -> Integers:
        """Weights of all amplitudes after one that is `other`."""
        table = self._tables["rise"][row]
        middle = len(table) // 2
        return np.asarray(table[np.clip(np.arange(self._levels) - other, -middle, middle) + middle])

    def _code_pan(self, pan: int, semitone: int, near: _Event | None) -> int:
        before = self._pans if self._before is None else self._before.pan
        beside = self._pans if near is None else near.pan
        table = self._tables["pan"]
        if self._pans == table.shape[-1]:
            weights = table[0, before] + table[1, beside]
        else:
            weights = np.full(self._pans, c.UNKNOWN_WEIGHT)
        return self._pan.code(self._port, pan, weights, (0, beside, semitone // 12), "pan")

    def _code_part(self, part: int, code: int, octave: int, found: list[int], near: _Event | None) -> int:
        size = self._sizes[part]
        beside = size if near is None else near.codes[part]
        before = self._context(part, found)
        if self._known:
            near_rows, octave_rows, before_rows = self._rows[part]
            weights = near_rows[beside] + octave_rows[octave] + before_rows[before]
        else:
            weights = np.full(size, c.UNKNOWN_WEIGHT)
        return self._parts[part].code(self._port, code, weights, (0, beside, before), self._kinds[part])

    def _context(self, part: int, found: list[int]) -> int:
        """What the parts of the same event say of the next: the code before it, of partials also the resonator."""
        if not found:
            return 0
        if self._known and part >= c.FIRST_PARTIAL:
            if part < c.FIRST_PARTIAL + c.PARTIALS:
                sounding = part == c.FIRST_PARTIAL or found[-1] != 0
                return 2 * found[c.FIRST_PARTIAL - 1] + int(sounding)
        return found[-1]
