"""How fast placements read the waveforms that they place: semitones, and parts of one (spec 7.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.integers import Recent, Scales
from evc.format.streams.port import Port

_Column = NDArray[np.int64]


def rates_of(semitones: _Column, fine: _Column) -> _Column:
    """Rates in 1 / RATE_ONE of semitones, and of parts of one in 1 / FINE_PER_SEMITONE.

    The nearest integers; none of the exact values lies so near to a half that rounding floats would choose another.
    """
    octaves = (semitones * c.FINE_PER_SEMITONE + fine) / (12 * c.FINE_PER_SEMITONE)
    return np.rint(c.RATE_ONE * np.exp2(octaves)).astype(np.int64)


def frames_at(frames: int, rate: int) -> int:
    """How many frames a waveform of `frames` lasts at a rate."""
    return -(-frames * c.RATE_ONE // rate)


def code_semitones(port: Port, semitones: _Column, patterns: _Column) -> _Column:
    """Code the semitones of placements of `patterns`: one of the last of the same pattern, or a step from it."""
    recent, steps = Recent("rate"), Scales(1)

    def code(value: int, pattern: int) -> int:
        before = recent.last(pattern)

        def new() -> int:
            return before + int(steps.signed(port, np.array([value - before]), 0, "rate")[0])

        return recent.code(port, value, new, pattern)

    found = [code(*row) for row in zip(semitones.tolist(), patterns.tolist(), strict=True)]
    return _checked(np.array(found, np.int64), c.LEAST_SEMITONES, c.MOST_SEMITONES)


def code_fine(port: Port, fine: _Column) -> _Column:
    """Code parts of semitones, most of which are 0."""
    scales = Scales(1, initial=0)
    found = [int(scales.signed(port, fine[i : i + 1], 0, "rate")[0]) for i in range(len(fine))]
    return _checked(np.array(found, np.int64), -c.FINE_PER_SEMITONE, c.FINE_PER_SEMITONE)


def _checked(values: _Column, least: int, most: int) -> _Column:
    if len(values) and not least <= values.min() <= values.max() <= most:
        raise FormatError("a rate is out of range")
    return values
