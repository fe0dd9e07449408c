"""Second thoughts: every event once more, in the light of all the others.

Greedy choices are made before what overlaps them is known. Here each event in turn is put back into the residual, its
neighbours on the grid of what can be coded are fitted (pitch, start, attack, decay and length, one after the other;
amplitude, pan, phases and partials follow in closed form), and the best takes its place: coordinate descent on the
energy left over, which never grows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evc.models.arrays import Floats
from evc.models.events.fitted import Envelope, FittedEvent
from evc.models.events.fitting import EventFitter
from evc.models.events.moments import QUICK
from evc.models.events.vectors import PART_INDEX, PARTS

DETUNINGS = (-3, -1, 1, 3)  # pitch codes tried around each event's own


def refined(
    residual: Floats, events: list[FittedEvent], fitter: EventFitter, grid: float, end: float, least: float
) -> int:
    """One pass over `events`, which are replaced in place, as `residual` [channels, frames] is changed; returns how
    many moved. grid: of starts, in s, all of them before `end`; least: weighted energy per bit below which an event may
    not fall."""
    moved = 0
    for i, event in enumerate(events):
        _add(residual, event, 1)
        best, most = event, taken(residual, event)
        for pitch, envelope in _neighbours(event, grid):
            other = fitter.fit_at(residual, pitch, envelope, least) if envelope.start < end else None
            if other is not None and (energy := taken(residual, other)) > most:
                best, most = other, energy
        _add(residual, best, -1)
        if best is not event:
            events[i] = best
            moved += 1
    return moved


def taken(residual: Floats, event: FittedEvent) -> float:
    """Energy by which `residual` falls when the event is subtracted, in squares of samples."""
    part = residual[:, event.first : event.first + event.waveform.shape[1]]
    return float(2 * (part * event.waveform).sum() - (event.waveform**2).sum())


def _add(residual: Floats, event: FittedEvent, sign: int) -> None:
    residual[:, event.first : event.first + event.waveform.shape[1]] += sign * event.waveform


def _neighbours(event: FittedEvent, grid: float) -> Iterator[tuple[int, Envelope]]:
    """The event's own pitch and envelope, and those next to it."""
    pitch, attack, decay, length = (int(event.codes[PART_INDEX[n]]) for n in ("pitch", "attack", "decay", "length"))
    own = Envelope(event.start, attack, decay, length)
    yield pitch, own
    for detuning in DETUNINGS:
        if 0 <= pitch + detuning < PARTS[PART_INDEX["pitch"]].codes:
            yield pitch + detuning, own
    for step in (-1, 1):
        if attack >= QUICK:  # the moments of onsets are shared
            yield pitch, own._replace(start=float(max(0, np.rint(event.start / grid) + step) * grid))
        for name, code in (("attack", attack), ("decay", decay), ("length", length)):
            onset = name == "attack" and (code < QUICK) != (code + step < QUICK)
            if 0 <= code + step < PARTS[PART_INDEX[name]].codes and not onset:
                yield pitch, own._replace(**{name: code + step})
