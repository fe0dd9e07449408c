"""From levels to sound: noise whose short-time spectrum is given by the levels (spec 10.8)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.noise import NoisePlane, NoiseStream, noise_hop
from evc.format.streams.noise_changes import ANGLE, BALANCE, LEVEL, PlaneKind
from evc.models.arrays import Signal
from evc.models.noise.colour import BLOCK_HOPS, coloured
from evc.models.noise.spectra import overlapped, spectra

FLOOR = 10 ** (c.NOISE_FLOOR_DB / 20)
BLOCK = 1024  # hops rendered together, at most: bounds memory


@lru_cache(maxsize=32)
def interpolation(kind: PlaneKind, samplerate: int, stride: int) -> Signal:
    """float32 [bands, bins]: what each band's level weighs at each bin; linear between the middles of bands."""
    edges = kind.edges(samplerate, stride)
    middles = (edges[1:] + edges[:-1]) / 2
    bins = noise_hop(samplerate) + 1
    frequencies = np.arange(bins) * (samplerate / 2 / (bins - 1))
    return np.stack([np.interp(frequencies, middles, one) for one in np.eye(len(middles))]).astype(np.float32)


def gains(
    stream: NoiseStream, samplerate: int, channels: int, hops: NDArray[np.int64]
) -> tuple[Signal, Signal | None]:
    """Amplitudes float32 [channels, hops, bins], full scale 1, of white noise of the same density; and of two channels
    the angle between their noises [hops, bins]."""
    unit = stream.step / c.NOISE_UNITS_PER_DB

    def at_bins(plane: NoisePlane, kind: PlaneKind) -> Signal:
        values: Signal = plane.lines(hops).astype(np.float32) @ interpolation(kind, samplerate, plane.stride)
        return values

    if channels != 2:
        return np.stack([_amplitude(unit * at_bins(plane, LEVEL)) for plane in stream.planes[:-1]]), None
    level, balance, angle = stream.planes[:3]
    ratio = 10 ** (at_bins(balance, BALANCE) * np.float32(unit / 10))  # of the left channel's power to the right's
    parts = np.sqrt(np.stack([2 * ratio, np.full_like(ratio, 2)]) / (1 + ratio))
    return _amplitude(unit * at_bins(level, LEVEL)) * parts, at_bins(angle, ANGLE) * np.float32(np.pi / c.NOISE_ANGLES)


def _amplitude(decibels: Signal) -> Signal:
    """Amplitude of so many decibels above the floor, where there is silence."""
    rise: Signal = np.float32(FLOOR) * (10 ** (decibels / np.float32(20)) - 1)
    return rise


class NoiseRenderer:
    """Renders any span of a file's noise, the same samples whatever the span."""

    def __init__(self, samplerate: int, channels: int, segment_frames: int) -> None:
        self.hop = noise_hop(samplerate)
        self.reach = c.superframe_length(samplerate)  # frames on either side of a span that may matter for it
        self._samplerate, self._channels = samplerate, channels
        self._per_segment = segment_frames // self.hop

    def render(self, streams: Mapping[int, NoiseStream], start: int, frames: int) -> Signal:
        """Frames [start, start + frames) of the file: float32 [channels, frames], full scale 1.

        streams: by number of the segment, all that overlap the span and `reach` on either side; segments without a
        stream are silent.
        """
        out = np.zeros((self._channels, frames), np.float32)
        hop = self.hop
        first, end = (start - hop // 2) // hop, -(-(start + frames + hop // 2) // hop)
        for segment in sorted(streams):
            begin = segment * self._per_segment
            low = max(first, begin)
            high = min(end, begin + int(streams[segment].planes[0].lengths.sum()))
            for at in range(low, high, BLOCK):
                hops = np.arange(at, min(at + BLOCK, high))
                _add(out, start, at * hop - hop // 2, self._render_hops(streams, segment, hops))
        return out

    def _render_hops(self, streams: Mapping[int, NoiseStream], segment: int, hops: NDArray[np.int64]) -> Signal:
        """The windowed sum of some hops of a segment, from half a hop before the first on."""
        amplitudes, angles = gains(
            streams[segment], self._samplerate, self._channels, hops - segment * self._per_segment
        )
        sources = self._sources(streams, int(hops[0]), len(hops))
        if angles is not None:
            sources[1] = np.cos(angles) * sources[0] + np.sin(angles) * sources[1]
        return overlapped(amplitudes * sources, self.hop)

    def _sources(self, streams: Mapping[int, NoiseStream], first: int, hops: int) -> NDArray[np.complex64]:
        """Short-time spectra of the noise of every channel [channels, hops, bins], in its fine colour."""
        hop = self.hop
        block = (first - BLOCK_HOPS // 2 - 1) // BLOCK_HOPS
        blocks = (first + hops) // BLOCK_HOPS - block + 2
        signal = coloured(streams, self._samplerate, self._per_segment, block, blocks, self._channels)
        begin = first * hop - hop // 2 - (2 * block + 1) * BLOCK_HOPS * hop // 2
        return spectra(signal[:, begin : begin + (hops + 1) * hop], hop)


def _add(out: Signal, start: int, at: int, part: Signal) -> None:
    """Add `part`, which begins at frame `at`, to `out`, which begins at frame `start`."""
    low, high = max(start, at), min(start + out.shape[-1], at + part.shape[-1])
    if low < high:
        out[:, low - start : high - start] += part[:, low - at : high - at]
