"""The vector of an event: its parts, the codes that each part has, and what the codes of the pitch mean (spec 7.1).

A vector has `VECTOR_DIMS` dimensions in the parts `PARTS`. Every part has a codebook (`codebooks`); what a file stores
of a vector is a code per part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc.format import constants as c

EVENTS_NETWORK = "evc-events-1"  # that new files name

PITCH_PER_SEMITONE = c.PITCHES_PER_SEMITONE  # steps of the pitch's codes, which begin at MIDI note 0
PITCH_MIDDLE = 4096  # the code whose vector is 0
STEPS_PER_OCTAVE = 12 * PITCH_PER_SEMITONE
MIDI_0_HZ = 440 * 2 ** (-69 / 12)
_NOTE_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a vector: its name, the codes it has, and its dimensions."""

    name: str
    codes: int
    dims: slice


def _parts() -> tuple[Part, ...]:
    names = ("pitch", "phase", "attack", "decay", "length", "resonator", *(f"partial{m}" for m in range(2, 9)),
             "deform", "noise", "room")  # fmt: skip
    dims = 1, 2, 2, 1, 1, 4, *[2] * c.PARTIALS, 2, 3, 2
    ends = np.cumsum(dims).tolist()
    sizes = zip(names, (c.PITCHES, *c.EVENT_PARTS), dims, ends, strict=True)
    return tuple(Part(name, codes, slice(end - width, end)) for name, codes, width, end in sizes)


PARTS = _parts()
PART_INDEX = {part.name: index for index, part in enumerate(PARTS)}
VECTOR_DIMS = PARTS[-1].dims.stop


def note_name(note: float) -> str:
    """A MIDI note number as a name with its distance in hundredths of a semitone: 60 is C4, 69.12 is A4+12."""
    nearest = round(note)
    cents = round(100 * (note - nearest))
    return f"{_NOTE_NAMES[nearest % 12]}{nearest // 12 - 1}" + (f"{cents:+d}" if cents else "")
