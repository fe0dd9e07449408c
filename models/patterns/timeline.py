"""What a file sounds like so far: decoded superframes in 16-bit units, and the same delayed by fractions of a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from evc import kernels
from evc.format import constants as c
from evc.models.arrays import Signal
from evc.models.spectrum.mdct import fold
from evc.models.spectrum.synthesis import BlockRun, Spectra, inverse_transform

HALF_TAPS = c.INTERPOLATION_TAPS // 2


class Timeline:
    """The decoded output y of one channel group, superframe by superframe.

    Superframes are kept as they come out of the inverse transform: two neighbours are unfolded into each other when
    samples are fetched, so y is complete up to half a superframe before the end of the last one of a row. superframe:
    length in frames; superframes: how many the file has, behind whose last nothing is unfolded.
    """

    def __init__(self, superframe: int, channels: int, superframes: int) -> None:
        self.superframe, self.channels, self.superframes = superframe, channels, superframes
        self._values: dict[int, Signal] = {}
        self._ends: dict[int, tuple[int, int]] = {}  # sizes of the first and of the last block

    def __contains__(self, number: int) -> bool:
        return number in self._values

    def __iter__(self) -> Iterator[int]:
        """Numbers of the superframes, in the order in which they came."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, run: BlockRun, spectra: Spectra) -> None:
        """Keep the superframes of a run, by their left/right spectra; what is missing there is silence."""
        signal = inverse_transform(run, spectra, self.channels)
        size = self.superframe
        for i, partition in enumerate(run.partitions):
            self._values[run.first + i] = signal[:, i * size : (i + 1) * size].copy()
            self._ends[run.first + i] = size >> partition[0], size >> partition[-1]

    def drop(self, number: int) -> None:
        """Forget a superframe."""
        del self._values[number], self._ends[number]

    def drop_before(self, number: int) -> None:
        """Forget all superframes before one."""
        for old in [kept for kept in self._values if kept < number]:
            self.drop(old)

    def needed(self, start: int, end: int) -> range:
        """Numbers of the superframes that y in frames [start, end) is made of."""
        half = self.superframe // 2
        if end <= max(start, 0):
            return range(0)
        first = max(0, start - half) // self.superframe
        return range(first, min(self.superframes, -(-(end + half) // self.superframe)))

    def fetch(self, start: int, count: int) -> Signal:
        """y in frames [start, start + count), float32 [channels, count]; 0 outside the file.

        Raises KeyError, with its number, where a superframe is not there.
        """
        numbers = self.needed(start, start + count)
        if not numbers:
            return np.zeros((self.channels, count), np.float32)
        signal = np.concatenate([self._values[number] for number in numbers], axis=1)
        overlaps = [min(self._ends[number - 1][1], self._ends[number][0]) for number in numbers[1:]]
        fold(signal, np.arange(1, len(numbers)) * self.superframe, np.array(overlaps), inverse=True)
        origin = numbers.start * self.superframe
        first, end = max(start, origin), min(start + count, origin + signal.shape[1])
        if (first, end) == (start, start + count):
            return signal[:, first - origin : end - origin]
        out = np.zeros((self.channels, count), np.float32)
        if first < end:
            out[:, first - start : end - start] = signal[:, first - origin : end - origin]
        return out

    def delayed(self, start: int, count: int, lag: int, phase_bits: int) -> Signal:
        """y(t - lag / 2**phase_bits) for frames t in [start, start + count), float32 [channels, count]."""
        return delayed(self.fetch, start, count, lag, phase_bits)


def delayed(read: Callable[[int, int], Signal], start: int, count: int, lag: int, phase_bits: int) -> Signal:
    """A signal at t - lag / 2**phase_bits for frames t in [start, start + count), float32 [channels, count].

    read(first, count) gives its samples. Whole lags copy them; others interpolate with a windowed sinc (spec 10.7).
    """
    whole, fraction = lag >> phase_bits, lag & ((1 << phase_bits) - 1)
    if not fraction:
        return read(start - whole, count)
    source = read(start - whole - HALF_TAPS, count + 2 * HALF_TAPS - 1)
    taps = interpolation_taps(fraction, phase_bits)
    out = np.zeros((len(source), count), np.float32)
    if kernels.lib is not None:
        source = np.ascontiguousarray(source, np.float32)
        if source.shape[1] != count + len(taps) - 1:
            raise IndexError(f"{source.shape[1]} samples were read for {count}")
        arrays = kernels.pointer(taps), len(taps), kernels.pointer(out)
        kernels.lib.evc_interpolate(kernels.pointer(source), len(source), count, *arrays)
        return out
    for tap, weight in enumerate(taps):
        out += weight * source[:, 2 * HALF_TAPS - 1 - tap :][:, :count]
    return out


@lru_cache(maxsize=64)
def interpolation_taps(fraction: int, phase_bits: int) -> Signal:
    """Weights float32 of the samples j = -15 ... 16 frames ago, for a delay by fraction / 2**phase_bits of a frame."""
    distance = np.arange(1 - HALF_TAPS, HALF_TAPS + 1) - fraction / (1 << phase_bits)
    taps = np.sinc(distance) * np.i0(c.INTERPOLATION_BETA * np.sqrt(1 - (distance / HALF_TAPS) ** 2))
    return (taps / taps.sum()).astype(np.float32)
