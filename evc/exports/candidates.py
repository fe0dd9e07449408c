"""What could be a note: moments and pitches of events, and pitches of which these could be partials; and what a network
is to know of each, to tell which are notes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.events import EventList
from evc.exports.rolls import BINS, HOP, LOWEST, Reals, Roll
from evc.models.events.sounds import Sounds

FIRST, LAST = 24, 103  # MIDI numbers of notes
BELOW = (0, -12, -19, -24, -7)  # semitones from an event's pitch to those of notes that it could belong to
SAME = 0.03  # seconds within which events of a pitch are one candidate
_SLOWEST = 0.25  # seconds that what begins a note rises, at most
_HARMONICS = (0, 12, 19, 24, 28, 31, 34, 36)
_AROUND = sorted({*_HARMONICS, *(-n for n in _HARMONICS), *range(-12, 13)})
_QUIET = 1e-8  # power: -80 dB
_CHUNK = 4096
_SPAN = 0.5  # seconds around a candidate in which the density of events is told


@dataclass(frozen=True)
class Candidates:
    """times [n] in seconds, pitches int [n], event int [n]: the one that tells most of each, and `known` float32 [n,
    features]."""

    times: Reals
    pitches: NDArray[np.int64]
    events: NDArray[np.int64]
    known: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.times)


def candidates(events: EventList, sounds: Sounds, roll: Roll) -> Candidates:
    """Those of a file."""
    rows = _grouped(events, sounds)
    if not len(rows):
        none = np.zeros(0, np.int64)
        return Candidates(np.zeros(0), none, none, np.zeros((0, 0), np.float32))
    pitches, numbers, own = rows.T
    times = events.times[numbers]
    surroundings = [
        _surroundings(roll, times[at : at + _CHUNK], pitches[at : at + _CHUNK]) for at in range(0, len(times), _CHUNK)
    ]
    known = np.concatenate(
        [np.concatenate(surroundings), _own(events, sounds, roll, times, pitches, numbers, own)], axis=1
    )
    return Candidates(times, pitches, numbers, known.astype(np.float32))


def _grouped(events: EventList, sounds: Sounds) -> NDArray[np.int64]:
    """Pitch, event, and whether it is the event's own, of each candidate: [n, 3]."""
    nearest = np.rint(events.notes).astype(np.int64)
    quick = np.flatnonzero(sounds.attacks <= _SLOWEST)
    found = []
    for pitch in range(FIRST, LAST + 1):
        below = pitch - nearest[quick]
        rows = quick[np.isin(below, BELOW)]
        group: list[int] = []
        for row in rows.tolist():
            if group and events.times[row] - events.times[group[0]] > SAME:
                found.append(_strongest(group, pitch, nearest, events))
                group = []
            group.append(row)
        if group:
            found.append(_strongest(group, pitch, nearest, events))
    return np.array(found, np.int64).reshape(-1, 3)


def _strongest(
    group: list[int], pitch: int, nearest: NDArray[np.int64], events: EventList
) -> tuple[int, int, int]:
    own = [row for row in group if nearest[row] == pitch]
    return pitch, max(own or group, key=lambda row: float(events.amplitudes[row])), int(bool(own))


def _surroundings(roll: Roll, times: Reals, pitches: NDArray[np.int64]) -> Reals:
    """Power before, behind and long after each candidate, at its harmonics, at what it could be a harmonic of, and
    around."""
    hops = (times / HOP).astype(np.int64)
    at = pitches[:, None] - LOWEST + np.array(_AROUND)
    outside = (at < 0) | (at >= BINS)
    at = np.clip(at, 0, BINS - 1)

    def level(power: Reals) -> Reals:
        found = 10 * np.log10(np.take_along_axis(power, at, axis=1) + _QUIET)
        return np.where(outside, -80.0, found)

    summed = np.pad(np.cumsum(roll.power, axis=0), ((1, 0), (0, 0)))
    begun = np.pad(np.cumsum(roll.onsets, axis=0), ((1, 0), (0, 0)))

    def mean(first: int, end: int, sums: Reals = summed) -> Reals:
        low, high = np.clip(hops + first, 0, len(sums) - 1), np.clip(hops + end, 0, len(sums) - 1)
        return np.asarray((sums[high] - sums[low]) / np.maximum(high - low, 1)[:, None])

    behind, before, later, long = mean(2, 6), mean(-4, -1), mean(10, 20), mean(25, 40)
    loud = 10 * np.log10(behind.sum(axis=1, keepdims=True) + _QUIET)
    now = level(behind)
    fundamental = _AROUND.index(0)
    columns = [
        now - loud,
        np.clip(now - level(before), -40, 40),
        np.clip(level(6 * mean(-3, 4, begun)) - loud, -60, 20),
        np.clip(level(later) - now, -40, 20)[:, [fundamental, _AROUND.index(12), _AROUND.index(19)]],
        np.clip(level(long) - now, -50, 20)[:, [fundamental]],
        loud + 30,
        np.clip(loud - 10 * np.log10(before.sum(axis=1, keepdims=True) + _QUIET), -40, 40),
    ]
    return np.concatenate(columns, axis=1) / 20


def _own(
    events: EventList, sounds: Sounds, roll: Roll, times: Reals, pitches: NDArray[np.int64],
    numbers: NDArray[np.int64], own: NDArray[np.int64],
) -> Reals:  # fmt: skip
    """What is known of a candidate's event, and of those beside it of the same pitch."""
    nearest = np.rint(events.notes).astype(np.int64)
    levels = 20 * np.log10(events.amplitudes + 1e-4)
    rows = []
    low = np.searchsorted(events.times, times - SAME)
    high = np.searchsorted(events.times, times + SAME)
    few, many = np.searchsorted(events.times, times - _SPAN), np.searchsorted(events.times, times + _SPAN)
    past, ahead = np.searchsorted(events.times, times - 1.0), np.searchsorted(events.times, times + 0.3)
    for n, (pitch, event) in enumerate(zip(pitches.tolist(), numbers.tolist(), strict=True)):
        before = np.arange(past[n], low[n])[nearest[past[n] : low[n]] == pitch]
        after = np.arange(high[n], ahead[n])[nearest[high[n] : ahead[n]] == pitch]
        level = levels[event]
        rows.append((
            times[n] - events.times[before[-1]] if len(before) else 1.0,
            (levels[before].max() - level) / 20 if len(before) else -4.0,
            len(after), (levels[after].max() - level) / 20 if len(after) else -4.0,
            min(int((levels[low[n] : high[n]] > level + 0.01).sum()), 10) / 4,
        ))  # fmt: skip
    away = nearest[numbers] - pitches
    return np.column_stack([
        own, *(away == -below for below in BELOW[1:]), np.array(rows), np.log(high - low + 1), np.log(many - few + 1),
        np.log(sounds.attacks[numbers] + 1e-3), np.log(sounds.lengths[numbers]),
        np.log(sounds.decays[numbers, 0]), levels[numbers] / 20, events.notes[numbers] - nearest[numbers],
        np.log(sounds.noise_levels[numbers] + 1e-3), (pitches - 60) / 12,
    ])  # fmt: skip
