"""Section 10.8 of the specification in double precision, equation by equation, as `synthesis.py` is for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.noise import NoisePlane, NoiseStream
from evc.format.streams.noise_changes import LEVEL, plane_kinds, tables

Floats = NDArray[np.float64]


def noise_signal(header: Header, streams: Mapping[int, NoiseStream]) -> Floats:
    """The noise of a whole file, float64 [channels, frames] of full scale 1, from the streams of its segments."""
    noise = _Noise(header, streams)
    return np.stack([noise.channel(channel) for channel in range(header.channels)])


def shaped(signal: Floats, before: int, step: int, gain: Callable[[int], Floats]) -> Floats:
    """A signal that begins `before` frames before the file, shaped by the gains [step + 1] of each block; at both its
    ends, up to two blocks are not whole."""
    window = np.sin(np.pi * (np.arange(2 * step) + 0.5) / (2 * step))
    out = np.zeros(len(signal))
    for m in range(1 - before // step, (len(signal) - before) // step - 1):
        at = slice(before + m * step - step // 2, before + m * step - step // 2 + 2 * step)
        out[at] += window * np.fft.irfft(gain(m) * np.fft.rfft(window * signal[at]))
    return out


class _Noise:
    """Signals here begin `before` frames before the file, and end as many behind it."""

    def __init__(self, header: Header, streams: Mapping[int, NoiseStream]) -> None:
        self.header, self.streams = header, streams
        self.size = c.superframe_length(header.samplerate)
        self.hop = self.size // c.NOISE_HOPS
        self.before = 2 * self.size
        noises = [self._source(number) for number in range(header.channels)]
        self.sources = [self._shaped(noise, self.size // 2, self._colours) for noise in noises]

    def channel(self, number: int) -> Floats:
        if self.header.channels == 2 and number == 1:
            whole = self._shaped(self.sources[0], self.hop, lambda m: self._right(m, 0))
            whole += self._shaped(self.sources[1], self.hop, lambda m: self._right(m, 1))
        else:
            whole = self._shaped(self.sources[number], self.hop, lambda m: self._gain(m, number))
        return whole[self.before : self.before + self.header.known_frames]

    def _source(self, number: int) -> Floats:
        table = tables()["noise"].astype(np.float64)
        t = np.arange(-self.before, self.header.known_frames + self.before)
        values = table[(t + c.NOISE_TURN * (c.MAX_CHANNELS * (t // c.NOISE_TABLE) + number)) % c.NOISE_TABLE]
        signal: Floats = np.where(t < 0, 0, values / np.sqrt(np.square(table).mean()))
        return signal

    def _shaped(self, signal: Floats, step: int, gain: Callable[[int], Floats]) -> Floats:
        return shaped(signal, self.before, step, gain)

    def _colours(self, block: int) -> Floats:
        """Gains of a long block."""
        gains = np.ones(self.size // 2 + 1)
        segment, frame = divmod(block * self.size // 2 + self.size // 4, self.header.segment_frames)
        if segment not in self.streams or not len(self.streams[segment].planes[-1].lengths):
            return gains
        first, *_, colour = self.streams[segment].planes
        levels = _at(colour, min(frame // self.hop, int(colour.lengths.sum()) - 1))
        gains[: len(levels)] = 10 ** (c.NOISE_COLOUR_DB * levels / 20)
        frequencies = np.arange(len(gains)) * self.header.samplerate / self.size
        edges = LEVEL.edges(self.header.samplerate, first.stride)
        band = np.minimum(np.searchsorted(edges, frequencies, side="right"), len(edges) - 1)
        for one in range(1, len(edges)):
            gains[band == one] /= np.sqrt(np.square(gains[band == one]).mean())
        return gains

    def _values(self, block: int, plane: int) -> Floats | None:
        """A plane at the bins of a short block; None in segments without noise."""
        segment, hop = divmod(block, self.header.segment_frames // self.hop)
        stream = self.streams.get(segment)
        if stream is None or hop >= stream.planes[plane].lengths.sum():
            return None
        rate = self.header.samplerate
        edges = plane_kinds(self.header.channels)[plane].edges(rate, stream.planes[plane].stride)
        bins = np.arange(self.hop + 1) * rate / (2 * self.hop)
        step = stream.step / c.NOISE_UNITS_PER_DB if plane != 2 or self.header.channels != 2 else 1
        values: Floats = step * np.interp(bins, (edges[:-1] + edges[1:]) / 2, _at(stream.planes[plane], hop))
        return values

    def _gain(self, block: int, channel: int) -> Floats:
        """Gains of a short block of a channel."""
        level = self._values(block, channel if self.header.channels != 2 else 0)
        if level is None:
            return np.zeros(self.hop + 1)
        gain: Floats = 10 ** (c.NOISE_FLOOR_DB / 20) * (10 ** (level / 20) - 1)
        balance = self._values(block, 1) if self.header.channels == 2 else None
        if balance is not None:
            ratio = 10 ** (balance / 10)
            gain *= np.sqrt(2 * (ratio if channel == 0 else 1) / (1 + ratio))
        return gain

    def _right(self, block: int, source: int) -> Floats:
        """Gains of one of the two noises that the right channel is made of."""
        angle = self._values(block, 2)
        gain = self._gain(block, 1)
        if angle is None:
            return gain
        turn = np.pi / c.NOISE_ANGLES * angle
        mixed: Floats = gain * (np.sin(turn) if source else np.cos(turn))
        return mixed


def _at(plane: NoisePlane, hop: int) -> Floats:
    """The levels in the middle of a hop [bands]."""
    for length, start, end in zip(plane.lengths, plane.starts, plane.ends, strict=True):
        if hop < length:
            levels: Floats = start + (end - start) * (hop + 0.5) / length
            return levels
        hop -= int(length)
    raise ValueError("the hop lies behind the plane")
