"""From events to notes: which of the moments and pitches that events tell are notes, how long they are and how loud.

Events are what sounds, and one note may be several of them: its attack, its sustain, partials that no generator of ours
has together. A small network tells for each candidate (`candidates.py`) how likely it is to be a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evc.events import EventList, joined
from evc.exports.candidates import Candidates, candidates
from evc.exports.rolls import BINS, HOP, LOWEST, Reals, Roll, roll_of
from evc.file import EvcFile
from evc.format.networks import find, tensors, weights
from evc.models.events.sounding import SoundTables
from evc.models.events.sounds import Sounds
from evc.models.events.vectors import EVENTS_NETWORK

NETWORK = "evc-notes-1"
FAMILIES = ("mellow", "bright", "hollow", "bells")
_AT_ONCE, _MARGIN = 600, 10  # seconds whose roll is in memory, and those around them that are heard besides
_LEAST_ODDS = -1.25  # log odds of a note, in training the best for the mean F
_LARGEST = 5.0  # of a normalised feature
_APART = 0.06  # seconds from a note to the next one of its pitch, at least
_FADED = 10**-2.2  # power, against the loudest, at which a note ends
_SHORTEST, _LONGEST = 0.05, 8.0  # seconds of a note
_HARMONICS = (0, 12, 19, 24)
_LOUDEST_VELOCITY, _LEAST_VELOCITY = 112, 16
_LOUD_SHARE = 95  # per cent of the notes are less loud than the loudest velocity
_INHARMONIC = 0.02  # of the logarithm of a ratio
_BRIGHT, _HOLLOW = -9.0, 5.0  # dB


@dataclass(frozen=True)
class Notes:
    """Notes in order of time. times, durations float64 [n] in seconds; pitches int [n], MIDI numbers; velocities int
    [n], 1 to 127; tunings float64 [n], semitones above the pitch; families int [n], into `FAMILIES`; odds float64 [n],
    the logarithm of those that it is a note."""

    times: Reals
    durations: Reals
    pitches: NDArray[np.int64]
    velocities: NDArray[np.int64]
    tunings: Reals
    families: NDArray[np.int64]
    odds: Reals

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True)
class NoteNetwork:
    """One hidden layer. centre, spread [features]; inner [hidden, features], inner_bias [hidden], outer [hidden]."""

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    inner: NDArray[np.float32]
    inner_bias: NDArray[np.float32]
    outer: NDArray[np.float32]
    outer_bias: NDArray[np.float32]

    @classmethod
    @cache
    def load(cls) -> Self:
        """The installed one. Raises UnsupportedError if there is none."""
        return cls(**tensors(weights(NETWORK), ""))

    def odds(self, known: NDArray[np.float32]) -> Reals:
        """Log odds [n] of candidates of which so much is `known`."""
        scaled = np.clip((known - self.centre) / self.spread, -_LARGEST, _LARGEST)
        hidden = np.maximum(scaled @ self.inner.T + self.inner_bias, 0)
        return np.asarray(hidden @ self.outer + self.outer_bias, np.float64)


def notes_of(events: EventList, duration: float) -> Notes:
    """The notes in the events of so many seconds. Raises UnsupportedError where the network that made these, or that
    which tells notes, is not installed."""
    parts = [part for begin in range(0, max(1, ceil(duration)), _AT_ONCE) if (part := _part(events, begin, duration))]
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    times, durations, pitches, levels, tunings, families, odds = columns
    return Notes(times, durations, pitches, _velocities(levels), tunings, families, odds)


def _part(events: EventList, begin: int, duration: float) -> tuple[NDArray[Any], ...]:
    """The notes of `_AT_ONCE` s from `begin` on, as `Notes` has them, but for levels in place of velocities; () where a
    part behind the first has no events."""
    start, until = max(0, begin - _MARGIN), begin + _AT_ONCE
    last = until >= duration
    inside = events.times >= start
    inside &= last | (events.times < until + _MARGIN)
    if begin and not inside.any():
        return ()
    events = events[inside].shifted(-start)
    sounds, found, roll = heard(events, (duration if last else until + _MARGIN) - start)
    odds = NoteNetwork.load().odds(found.known) if len(found) else np.zeros(0)
    rows = picked(found, odds)
    times, pitches = found.times[rows], found.pitches[rows]
    own = np.rint(events.notes[found.events[rows]]) == pitches
    tunings = np.where(own, events.notes[found.events[rows]] - pitches, 0.0)
    families = _families(sounds)[found.events[rows]]
    levels, durations = _shapes(roll, times, pitches)
    times = times + start
    here = (times >= begin) & (last | (times < until))
    return tuple(column[here] for column in (times, durations, pitches, levels, tunings, families, odds[rows]))


def played_events(file: EvcFile) -> EventList:
    """The events of what an open file plays, with times from its start: all, unless it has an edit list."""
    events, at, found = file.events, 0, []
    for start, frames in file.edits.tolist():
        begin, end = start / file.samplerate, (start + frames) / file.samplerate
        inside = events[(events.times >= begin) & (events.times < end)]
        found.append(inside.shifted(at / file.samplerate - begin))
        at += frames
    return joined(found) if found else events


def heard(events: EventList, duration: float) -> tuple[Sounds, Candidates, Roll]:
    """What events sound like, what of it could be notes, and the roll of it."""
    network = weights(EVENTS_NETWORK) if events.network is None else find(events.network)
    sounds = SoundTables.load(network).sounds(events.vectors)
    roll = roll_of(events, sounds, duration)
    return sounds, candidates(events, sounds, roll), roll


def picked(found: Candidates, odds: Reals, least: float = _LEAST_ODDS) -> NDArray[np.int64]:
    """The candidates that are notes, in order of time: the likelier first, and none beside one of its pitch."""
    taken: dict[int, list[float]] = {}
    rows = []
    for row in np.argsort(-odds, kind="stable").tolist():
        if odds[row] < least:
            break
        time, others = float(found.times[row]), taken.setdefault(int(found.pitches[row]), [])
        if all(abs(time - other) >= _APART for other in others):
            others.append(time)
            rows.append(row)
    return np.array(sorted(rows, key=lambda row: (found.times[row], found.pitches[row])), np.int64)


def _shapes(roll: Roll, times: Reals, pitches: NDArray[np.int64]) -> tuple[Reals, Reals]:
    """How loud each note gets, in dB, and how long it lasts: until it has faded, or the next one of its pitch."""
    levels, durations = np.zeros(len(times)), np.zeros(len(times))
    following: dict[int, float] = {}
    for row in range(len(times) - 1, -1, -1):
        time, pitch = float(times[row]), int(pitches[row])
        until = min(following.get(pitch, time + _LONGEST), time + _LONGEST)
        first, end = int(time / HOP), min(int(until / HOP) + 1, len(roll.power))
        bins = [pitch - LOWEST + n for n in _HARMONICS if 0 <= pitch - LOWEST + n < BINS]
        power = roll.power[first:end, bins].sum(axis=1)
        top = int(power[: round(0.1 / HOP)].argmax()) if len(power) else 0
        peak = float(power[top]) if len(power) else 0.0
        faded = np.flatnonzero(power[top:] <= _FADED * peak)
        lasts = (top + faded[0]) * HOP if len(faded) else until - time
        durations[row] = min(max(lasts, _SHORTEST), max(until - time, _SHORTEST))
        levels[row] = 10 * np.log10(peak + 1e-8)
        following[pitch] = time
    return levels, durations


def _velocities(levels: Reals) -> NDArray[np.int64]:
    """Velocities whose squares are as the amplitudes of these levels in dB."""
    if not len(levels):
        return np.zeros(0, np.int64)
    below = levels - np.percentile(levels, _LOUD_SHARE)
    found = np.rint(_LOUDEST_VELOCITY * 10 ** (below / 40))
    return np.clip(found, _LEAST_VELOCITY, 127).astype(np.int64)


def _families(sounds: Sounds) -> NDArray[np.int64]:
    """What sort of resonator each sound has, by its partials: [n], into `FAMILIES`."""
    partials = np.arange(1, sounds.frequencies.shape[1] + 1)
    ratios = np.log(sounds.frequencies / sounds.frequencies[:, :1]) - np.log(partials)
    levels = 20 * np.log10(np.abs(sounds.amplitudes) + 1e-3)
    hollow = np.maximum(levels[:, 2], levels[:, 4]) - np.maximum(levels[:, 1], levels[:, 3]) > _HOLLOW
    found = np.where(levels[:, 1:].max(axis=1) > _BRIGHT, FAMILIES.index("bright"), FAMILIES.index("mellow"))
    found[hollow] = FAMILIES.index("hollow")
    found[np.abs(ratios).max(axis=1) > _INHARMONIC] = FAMILIES.index("bells")
    return np.asarray(found, np.int64)
