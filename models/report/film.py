"""The film of a decomposition: what is left of a sound as its events are taken away, loudest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats, Signal
from evc.models.report.sounds import level_db
from evc.models.report.spectrogram import constant_q

FRAMES = 12
_COLUMNS, _PER_OCTAVE = 360, 12


@dataclass(frozen=True, eq=False)
class Frame:
    """`gone` events are taken away; what is left has `level` dB, and the spectrogram `levels` [bins, columns]."""

    gone: int
    level: float
    levels: Floats


def frames(
    sound: Signal, samplerate: int, order: NDArray[np.integer], render: Callable[[NDArray[np.integer]], Signal]
) -> list[Frame]:
    """Of `sound` [frames, channels]; render(events) gives what some of its events sound like, which are taken away in
    this `order` (their numbers)."""
    left = sound.astype(np.float32, copy=True)
    found, gone = [], 0
    for count in steps(len(order)):
        if count > gone:
            left -= render(order[gone:count])
            gone = count
        mono = left.mean(axis=1, keepdims=True)
        found.append(Frame(gone, level_db(left), constant_q(mono, samplerate, _COLUMNS, _PER_OCTAVE)))
    return found


def steps(count: int) -> list[int]:
    """How many events are gone in each frame: none, one, and then ever more, up to all."""
    if count < FRAMES:
        return list(range(count + 1))
    spaced = np.geomspace(1, count, FRAMES - 1)
    return [0, *dict.fromkeys(int(round(value)) for value in spaced)]
