"""Events to samples, quickly: any span of any list of events, as NumPy arrays.

Every event is computed on a grid of blocks that begins with its own first sample, so that a span gives the same samples
however it is cut. Silent partials and what is below -120 dB cost nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format.errors import InputError
from evc.models.arrays import Signal
from evc.models.events.solo import Solo, solo
from evc.models.events.sounding import SoundTables, audible_below
from evc.models.events.sounds import DURATION
from evc.models.events.vectors import VECTOR_DIMS


class EventRenderer:
    """Renders spans of lists of events with one generator's tables."""

    def __init__(self, tables: SoundTables, samplerate: int, channels: int = 2) -> None:
        """samplerate in whole Hz; of more than two channels, events sound in the first two."""
        self.samplerate, self.channels = samplerate, channels
        self._tables = tables
        bins = samplerate // 2 + 1
        below = audible_below(np.arange(bins, dtype=np.float64), samplerate)
        self._filters: Signal = (tables.noise_filters(bins) * below).astype(np.float32)
        self._known: dict[tuple[bytes, int], Solo] = {}

    def render(
        self, times: ArrayLike, amplitudes: ArrayLike, pans: ArrayLike, vectors: ArrayLike, keys: ArrayLike,
        start: int, frames: int,
    ) -> Signal:  # fmt: skip
        """The sum of the events in `frames` frames from frame `start` on: float32 [channels, frames].

        times [n] in seconds from frame 0; amplitudes [n], 1 being full scale; pans [n], -1 (left) to 1 (right);
        vectors [n, 32]; keys [n] of the noise (`noise_source.event_keys`). Only events that sound in the span cost
        time. Raises InputError for arrays of other shapes.
        """
        onsets, levels, sides = (np.asarray(values, np.float64) for values in (times, amplitudes, pans))
        points, seeds = np.asarray(vectors, np.float32), np.asarray(keys).astype(np.uint32)
        if not onsets.shape == levels.shape == sides.shape == seeds.shape or points.shape != (len(onsets), VECTOR_DIMS):
            raise InputError(f"events have times, amplitudes, pans, keys [n] and vectors [n, {VECTOR_DIMS}]")
        out = np.zeros((self.channels, frames), np.float32)
        first, last = start / self.samplerate, (start + frames) / self.samplerate
        near = np.flatnonzero((onsets < last) & (onsets > first - DURATION) & (levels != 0))
        for event, one in zip(near, self._solos(points[near], seeds[near])):
            if onsets[event] + one.end > first:
                gains = _gains(levels[event], sides[event], self.channels)
                self._add(out, start, float(onsets[event]), gains, one)
        return out

    def _solos(self, vectors: NDArray[np.float32], keys: NDArray[np.uint32]) -> list[Solo]:
        """The parameters of events. Those of the last call are kept: spans that follow each other share most."""
        names = [(vector.tobytes(), int(key)) for vector, key in zip(vectors, keys)]
        before = self._known  # another thread may replace it meanwhile
        known = {name: before[name] for name in names if name in before}
        new = {name: row for row, name in enumerate(names) if name not in known}
        if new:
            sounds = self._tables.sounds(vectors[list(new.values())])
            sounds.amplitudes *= audible_below(sounds.frequencies, self.samplerate)
            table = vars(sounds)
            for row, name in enumerate(new):
                sound = {field: values[row] for field, values in table.items()}
                known[name] = solo(sound, name[1], self.samplerate, self._filters)
        self._known = known
        return [known[name] for name in names]

    def _add(self, out: Signal, start: int, onset: float, gains: Signal, one: Solo) -> None:
        """Add an event that begins at `onset` seconds to the frames from `start` on."""
        for delay, gain in one.taps:
            begin = (onset + delay) * self.samplerate
            first = int(np.ceil(begin))
            late = (first - begin) / self.samplerate
            for samples, seconds in ((one.partials, one.partials_end), (one.noise, one.noise_end)):
                last = first + int(np.ceil((min(seconds, DURATION - delay) - late) * self.samplerate))
                low, high = max(first, start), min(last, start + out.shape[1])
                if low < high:
                    sound = samples(late, low - first, high - first)
                    one.shape(sound, late + (low - first) / self.samplerate, delay)
                    for channel, value in enumerate(gains):
                        out[channel, low - start : high - start] += np.float32(value * gain) * sound


def _gains(amplitude: float, pan: float, channels: int) -> Signal:
    """Gains of the channels that an event sounds in: of two, cosine and sine of the pan's angle."""
    if channels == 1:
        return np.array([amplitude], np.float32)
    angle = (min(max(pan, -1.0), 1.0) + 1) * np.pi / 4
    return np.array([amplitude * np.cos(angle), amplitude * np.sin(angle)], np.float32)
