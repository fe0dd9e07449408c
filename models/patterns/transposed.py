"""Waveforms read at another rate, and round their loops (spec 10.7)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.sources import SoundSource
from evc.models.arrays import Signal

STEPS = 4096  # of the table of the filter, in a frame: between them it is nearly straight


def transposed(waveform: Signal, source: SoundSource, start: int, count: int, phase_bits: int) -> Signal:
    """What the source has in frames [start, start + count) of the file: float32 [channels, count]."""
    out = np.zeros((len(waveform), count), np.float32)
    add_transposed(out, start, waveform, source, phase_bits, np.eye(len(waveform), dtype=np.float32))
    return out


def add_transposed(
    out: Signal, start: int, waveform: Signal, source: SoundSource, phase_bits: int, weights: NDArray[np.float32]
) -> None:
    """As `waveforms.add_waveform`, at the source's rate and round its loop."""
    # The frames t of the file with first <= t - delay / 2**phase_bits < last.
    low = max(-(-((source.first << phase_bits) + source.delay) >> phase_bits), start)
    high = min(-(-((source.last << phase_bits) + source.delay) >> phase_bits), start + out.shape[1])
    if low >= high:
        return
    one = 1 << phase_bits
    position = source.rate * ((low << phase_bits) - source.delay)  # in 1 / (RATE_ONE * one) of a frame
    loop_start, period, back = 0.0, 0.0, False
    if source.loop is not None:
        loop_start, period, back = source.loop.start / one, source.loop.length / one, source.loop.ping_pong
        begin, round_trip = source.loop.start * c.RATE_ONE, source.loop.length * c.RATE_ONE * (1 + back)
        if position > begin:
            position = begin + (position - begin) % round_trip
    first, step = position / (c.RATE_ONE * one), source.rate / c.RATE_ONE
    place, count = low - start, high - low
    if kernels.lib is None:
        positions = _wrapped(first + step * np.arange(count), loop_start, period, back)
        heard = _read(np.asarray(waveform, np.float32), positions, max(step, 1.0))
        for channel, of_channel in enumerate(weights):
            for weight, own in zip(of_channel, heard, strict=True):
                out[channel, place : place + count] += weight * own
        return
    samples, weights = np.ascontiguousarray(waveform, np.float32), np.ascontiguousarray(weights, np.float32)
    if weights.shape != (len(out), len(samples)) or not out.flags.c_contiguous or out.dtype != np.float32:
        raise ValueError(f"weights {weights.shape} do not lead from {samples.shape} to {out.shape}")
    kernels.lib.evc_add_transposed(
        kernels.pointer(samples), *samples.shape, first, step, loop_start, period, back, kernels.pointer(_table()),
        kernels.pointer(_phases()), STEPS, kernels.pointer(weights), kernels.pointer(out), *out.shape, place, count,
    )  # fmt: skip


@cache
def _table() -> Signal:
    """The filter at 0, 1 / STEPS, ... RATE_HALF_TAPS frames, and once more at the end: float32."""
    half = c.RATE_HALF_TAPS
    distance: NDArray[np.float64] = np.minimum(np.arange(half * STEPS + 2) / STEPS, half)
    return _filter(distance).astype(np.float32)


@cache
def _phases() -> Signal:
    """Weights of the frames around a position that is 0, 1 / STEPS, ... frames behind one of them, those before it
    first; each row sums to 1, the last one is there twice: float32 [STEPS + 2, 2 * RATE_HALF_TAPS]."""
    fraction: NDArray[np.float64] = np.minimum(np.arange(STEPS + 2) / STEPS, 1)[:, None]
    weights = _filter(np.arange(1 - c.RATE_HALF_TAPS, c.RATE_HALF_TAPS + 1) - fraction)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _filter(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.sqrt(1 - (distance / c.RATE_HALF_TAPS) ** 2)
    weights: NDArray[np.float64] = np.sinc(c.RATE_CUTOFF * distance) * np.i0(c.RATE_BETA * inside)
    return weights / np.i0(c.RATE_BETA)


def _wrapped(positions: NDArray[np.float64], start: float, period: float, back: bool) -> NDArray[np.float64]:
    """Positions in the waveform, of those that go on for ever."""
    if not period:
        return positions
    trip = 2 * period if back else period
    inside = (positions - start) % trip
    inside = np.where(inside > period, trip - inside, inside) if back else inside
    return np.where(positions < start, positions, start + inside)


def _read(waveform: Signal, positions: NDArray[np.float64], stretch: float) -> Signal:
    """The waveform [channels, frames], silent outside, at positions [n], by a filter that is `stretch` times as
    long."""
    frame = np.floor(positions)
    fraction = (positions - frame).astype(np.float32)
    frame = frame.astype(np.int64)
    if stretch == 1:
        return _interpolated(waveform, frame, fraction)
    half = int(np.ceil(c.RATE_HALF_TAPS * stretch))
    sums, total = np.zeros((len(waveform), len(frame)), np.float32), np.zeros(len(frame), np.float32)
    scale, ends, table = np.float32(STEPS / stretch), c.RATE_HALF_TAPS * STEPS, _table()
    for tap in range(1 - half, half + 1):
        distance = np.abs(np.float32(tap) - fraction) * scale
        place = np.minimum(distance.astype(np.int32), ends)
        part = distance - place.astype(np.float32)
        weight = table[place] + part * (table[place + 1] - table[place])
        weight = np.where(distance > ends, np.float32(0), weight)
        total += weight
        sums += weight * _samples(waveform, frame + tap)
    found: Signal = sums / total
    return found


def _interpolated(waveform: Signal, frame: NDArray[np.int64], fraction: NDArray[np.float32]) -> Signal:
    """The same with the filter as it is, `fraction` behind each frame."""
    phases, half = _phases(), c.RATE_HALF_TAPS
    place = (fraction * np.float32(STEPS)).astype(np.int32)
    part = (fraction * np.float32(STEPS) - place.astype(np.float32))[:, None]
    weights = (phases[place] + part * (phases[place + 1] - phases[place])).T
    products = [weights[tap] * _samples(waveform, frame + tap + 1 - half) for tap in range(2 * half)]
    while len(products) > 1:  # as the kernel adds them up
        middle = len(products) // 2
        products = [one + other for one, other in zip(products[:middle], products[middle:], strict=True)]
    return products[0]


def _samples(waveform: Signal, at: NDArray[np.int64]) -> Signal:
    """Of the waveform at frames [n], 0 where there is none."""
    there = (at >= 0) & (at < waveform.shape[1])
    return np.where(there, waveform[:, np.where(there, at, 0)], np.float32(0))
