"""A path of timbres to samples (spec 10.11): a clip every so often, with phases of its own, faded into the next."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.models.arrays import Signal
from evc.models.noise.spectra import window
from evc.models.spectrum.reconstruction import hashed
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.points import Points
from evc.models.timbre.spectra import CELLS, RANGE_DB, cells_at, frequencies, spectra_of

NEPERS = RANGE_DB * np.log(10) / 10  # of power, in a value of 1
CLIPS = 16  # decoded at once


class TimbreRenderer:
    """Renders any span of a file's timbres, the same samples whatever the span."""

    def __init__(self, network: TimbreNetwork, header: Header) -> None:
        superframe = c.superframe_length(header.samplerate)
        self.hop = c.TIMBRE_HOP * superframe
        self._network, self._channels, self._segments = network, header.channels, header.segments
        self._per_segment = header.segment_frames // superframe
        self._bins = Bins(header.samplerate, self.hop)

    def render(self, near: Mapping[int, Points], start: int, frames: int) -> Signal:
        """Frames [start, start + frames) of the file: float32 [channels, frames], full scale 1.

        near: by number of the segment, the points of all that overlap the span and a hop on either side, and of those
        beside these; segments without points are silent.
        """
        out = np.zeros((self._channels, frames), np.float32)
        clips = np.arange(start // self.hop, -(-(start + frames) // self.hop) + 1)
        homes = np.minimum(clips * c.TIMBRE_HOP // self._per_segment, self._segments - 1)
        for home in sorted(set(homes.tolist()) & set(near)):
            numbers = clips[homes == home]
            for at in range(0, len(numbers), CLIPS):
                some = numbers[at : at + CLIPS]
                points = _around(near, home).at(some * float(c.TIMBRE_HOP))
                self._add_clips(out, start, some, points)
        return out

    def _add_clips(self, out: Signal, start: int, numbers: NDArray[np.int64], points: Points) -> None:
        values = self._network.decoded(points.vectors)
        for number, value, level, width in zip(numbers, values, points.amplitudes, points.widths, strict=True):
            if level > 0:
                clip = self._clip(int(number), self._bins.amplitudes(value) * np.float32(level), float(width))
                _add(out, start, (int(number) - 1) * self.hop, clip)

    def _clip(self, number: int, amplitudes: Signal, width: float) -> Signal:
        """A clip [channels, 2 * hop] under its window, of amplitudes [bins]."""
        spectra = np.zeros((min(self._channels, 2), self.hop + 1), np.complex64)
        first = amplitudes * phases(2 * number, len(amplitudes))
        if self._channels == 1:
            spectra[0, 1:-1] = first
        else:
            angle = width * np.pi / 4
            middle = np.float32(np.cos(angle)) * first
            side = np.float32(np.sin(angle)) * (amplitudes * phases(2 * number + 1, len(amplitudes)))
            spectra[0, 1:-1], spectra[1, 1:-1] = middle + side, middle - side
        clip: Signal = (np.fft.irfft(spectra, axis=-1) * (self.hop * window(self.hop))).astype(np.float32)
        return clip


def _around(near: Mapping[int, Points], home: int) -> Points:
    """The points of a segment, and of those beside it the ones next to it."""
    parts = [near[home]]
    if home - 1 in near:
        parts.insert(0, near[home - 1].rows(slice(-1, None)))
    if home + 1 in near:
        parts.append(near[home + 1].rows(slice(1)))
    return Points.joined(parts)


def phases(source: int, count: int) -> NDArray[np.complex64]:
    """Unit complex [count], by the counter-based hash of 10.2: of the bins from 1 on of the clip's part `source`."""
    key = hashed(np.array([source], np.uint32))
    places = hashed(np.arange(1, count + 1, dtype=np.uint32) + key)
    angles = (places >> np.uint32(32 - c.TIMBRE_PHASE_BITS)).astype(np.float32)
    angles *= np.float32(2 * np.pi / (1 << c.TIMBRE_PHASE_BITS))
    found = np.empty(count, np.complex64)
    np.cos(angles, out=found.real)
    np.sin(angles, out=found.imag)
    return found


class Bins:
    """How the cells of a spectrum fall on the bins 1 … hop - 1 of a clip of 2 * hop frames."""

    def __init__(self, samplerate: int, hop: int) -> None:
        self._size = hop - 1
        at = cells_at(np.arange(1, hop) * samplerate / (2 * hop))
        inside = np.flatnonzero((at > -0.5) & (at < CELLS - 0.5))
        self._inside, self._at = slice(inside[0], inside[-1] + 1), np.clip(at[inside], 0, CELLS - 1)
        owners = np.rint(at[inside]).astype(np.int64)
        self._starts = np.flatnonzero(np.diff(owners, prepend=-1))
        self._counts = np.diff(self._starts, append=len(owners))
        self._owners = owners[self._starts]
        alone = np.setdiff1d(np.arange(CELLS), owners)  # narrower than a bin, with none in them
        nearest = np.rint(frequencies(alone) * (2 * hop / samplerate)).astype(np.int64) - 1
        held = (nearest >= 0) & (nearest < self._size)
        self._alone, self._nearest = alone[held], nearest[held]

    def amplitudes(self, values: Signal) -> Signal:
        """Amplitudes float32 [bins] of sinusoids that sound as strong as the cells do, whose values are given [CELLS]
        and whose mean squares together are 1. In a cell, power lies where the values on either side draw it."""
        powers = spectra_of(values)
        shape = np.exp(NEPERS * np.interp(self._at, np.arange(CELLS), np.maximum(values, 0)))
        shape *= np.repeat(powers[self._owners] / np.add.reduceat(shape, self._starts), self._counts)
        found = np.zeros(self._size)
        found[self._inside] = shape
        np.add.at(found, self._nearest, powers[self._alone])
        return np.sqrt(2 * found).astype(np.float32)


def _add(out: Signal, start: int, at: int, part: Signal) -> None:
    """Add `part`, which begins at frame `at`, to the first channels of `out`, which begins at frame `start`."""
    low, high = max(start, at), min(start + out.shape[1], at + part.shape[1])
    if low < high:
        out[: len(part), low - start : high - start] += part[:, low - at : high - at]
