"""Section 10.14 of the specification in double precision, as `synthesis.py` is for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream

Signal = NDArray[np.float64]


class _Copy(NamedTuple):
    begin: int
    end: int
    lag: int
    gain: float


def repeated_signal(header: Header, x: Signal, streams: Mapping[int, OccurrenceStream]) -> Signal:
    """The output of a whole file, float64 [channels, frames], of what all its other layers are together and the
    occurrences of its segments."""
    size, copies = c.superframe_length(header.samplerate), list(_copies(header, streams))
    y, time = x.copy(), np.arange(x.shape[1])
    weights = [_rise(time - one.begin, size // 4) * _rise(one.end - 1 - time, size // 4) for one in copies]
    total = np.maximum(1, sum(weights, np.zeros(x.shape[1])))
    for start in range(0, x.shape[1], size):  # lags are longer: all that is repeated is there
        at = slice(start, start + size)
        change = np.zeros_like(x[:, at])
        for one, weight in zip(copies, weights, strict=True):
            share = weight[at] / total[at]
            if share.any():
                heard = _delayed(y, start, change.shape[1], one.lag, header.phase_bits)
                change += share * (one.gain * heard - x[:, at])
        y[:, at] += change
    return y


def _copies(header: Header, streams: Mapping[int, OccurrenceStream]) -> Iterator[_Copy]:
    for index, stream in streams.items():
        for row in range(len(stream.times)):
            begin = index * header.segment_frames + int(stream.times[row] >> header.phase_bits)
            end = min(begin + int(stream.lengths[row]), (index + 1) * header.segment_frames)
            level = int(stream.copied.levels[row, 0, 0])
            gain = 0.0 if level == OFF else 2 ** (level / stream.gain_resolution)
            yield _Copy(begin, end, int(stream.lags[row]), -gain if stream.inverted[row] else gain)


def _rise(u: NDArray[np.int64], fade: int) -> Signal:
    """r(u)."""
    rising: Signal = np.sin(np.pi / 2 * np.clip((u + fade / 2 + 0.5) / fade, 0, 1)) ** 2
    return rising


def _delayed(y: Signal, start: int, count: int, lag: int, phase_bits: int) -> Signal:
    """z of section 10.7 in frames from `start` on."""
    whole, phase = lag >> phase_bits, (lag & ((1 << phase_bits) - 1)) / (1 << phase_bits)
    j = np.arange(-15, 17) if phase else np.zeros(1, np.int64)
    window = np.i0(8 * np.sqrt(1 - ((j - phase) / 16) ** 2)) if phase else np.ones(1)
    taps = np.sinc(j - phase) * window
    at = start + np.arange(count) - whole - j[:, None]
    there = (at >= 0) & (at < y.shape[1])
    heard: Signal = (np.where(there, y[:, np.where(there, at, 0)], 0) * taps[:, None]).sum(axis=1) / taps.sum()
    return heard
