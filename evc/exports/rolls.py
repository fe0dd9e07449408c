"""Events as a piano roll: how loud each semitone is at each moment, all partials taken together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.events import EventList
from evc.models.events.sounds import Sounds

Reals = NDArray[np.float64]

HOP = 0.01  # seconds
LOWEST, BINS = 16, 124  # MIDI number of the first semitone, and how many there are
_LONGEST = 3.0  # seconds of an event that count
_QUIET = 1e-3  # of a partial, against the first: it does not count
_BEHIND = 1.0  # seconds behind the end


@dataclass(frozen=True)
class Roll:
    """power: of all that sounds, [hops, semitones]; onsets: of the partials of what begins in a hop, once it has
    risen."""

    power: Reals
    onsets: Reals


def roll_of(events: EventList, sounds: Sounds, duration: float) -> Roll:
    """The roll of events with these sounds, of so many seconds and a little more."""
    hops = int((duration + _BEHIND) / HOP) + 1
    power, onsets = np.zeros((hops, BINS)), np.zeros((hops, BINS))
    amplitudes = np.abs(sounds.amplitudes)
    places = np.rint(69 + 12 * np.log2(sounds.frequencies / 440)).astype(np.int64) - LOWEST
    audible = (amplitudes > _QUIET) & (places >= 0) & (places < BINS)
    for number, time in enumerate(events.times.tolist()):
        first = int(time / HOP)
        count = min(int(min(sounds.lengths[number], _LONGEST) / HOP) + 1, hops - first)
        heard = np.flatnonzero(audible[number])
        if count < 1 or first < 0 or not len(heard):
            continue
        since = (first + np.arange(count) + 0.5) * HOP - time
        rise = np.sin(np.pi / 2 * np.clip(since / sounds.attacks[number], 0, 1)) ** 2
        fading = np.exp(-since * sounds.deformation[number])[:, None]
        state = fading + (1 - fading) * sounds.states[number, heard]
        fall = np.exp(-np.outer(since, sounds.decays[number, heard]))
        levels = np.square(events.amplitudes[number] * amplitudes[number, heard] * rise[:, None] * state * fall)
        risen = min(count - 1, int(min(sounds.attacks[number], 0.05) / HOP) + 1)
        for level, place in zip(levels.T, places[number, heard].tolist(), strict=True):
            power[first : first + count, place] += level
            onsets[first, place] += level[risen]
    return Roll(power, onsets)
