"""Which copies of the past a segment is predicted from: those that save more bits than they cost.

All is decided on spectra of equal blocks (half a superframe), in planes that hear alone: mid and side, or the
channels. Rates are those of a Gaussian source against the step sizes that the decoder will derive, so that a choice
needs nothing but inner products by band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.bands import band_edges
from evc.format.streams.gains import OFF
from evc.format.streams.spectrum_steps import step_logs
from evc.models.arrays import Signal
from evc.models.patterns.cost import UNCODED, cost, plain_cost, rate
from evc.models.spectrum.analysis import LOG_FLOOR, uniform_signal, uniform_spectra
from evc.models.spectrum.stereo import mid_side

DEPTH = 1  # of the blocks that choices are made on
PER_SUPERFRAME = 1 << DEPTH
BAND_STRIDE = 2  # coarse bands in a band of gains
COPY_BITS = 16.0  # a copy of a recent lag: its time, lag and length ...
NEW_LAG_BITS = 20.0  # ... and what a new lag costs more
BAND_BITS = 2.0  # a band that is on
GAIN_BITS = 3.0  # a gain other than 1
SEARCHED_GAINS = (0, -2, -4, 1)  # levels tried in the search for spans, in 1/DEFAULT_GAIN_RESOLUTION octave
GAINS = np.arange(-12, 5)  # levels tried for a copy that is chosen
LEAST_SAVED = 30.0  # bits that a copy has to save at all


@dataclass(frozen=True, eq=False)
class Copy:
    """A stretch of the past that sounds again in superframes [first, end) of a segment: `lag` in fractions of a frame;
    `levels` int64 [planes, bands], or OFF; `shares` [end - first]: how much of the bits of each superframe it saves."""

    first: int
    end: int
    lag: int
    levels: NDArray[np.int64]
    shares: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChosenCopies:
    """The copies of a segment; what they predict, as a signal [channels, frames with one superframe on either side];
    and the estimated bits [superframes] without and with them."""

    copies: list[Copy]
    predicted: Signal | None
    plain_bits: NDArray[np.float64]
    bits: NDArray[np.float64]


def to_planes(signal: Signal) -> Signal:
    """Left and right as mid and side; other numbers of channels as they are. Its own inverse."""
    if len(signal) != 2:
        return signal
    return np.stack(mid_side(*signal))


class Chooser:
    """Chooses copies for one segment after another."""

    def __init__(self, samplerate: int, layers: int) -> None:
        self.superframe = c.superframe_length(samplerate)
        self.size = self.superframe >> DEPTH
        self.layers = layers
        self.fine = layout.full_geometry(self.superframe).layouts[DEPTH]
        self.widths = self.fine.widths.astype(np.float32)
        unit = samplerate / 2 / (self.superframe >> (c.BLOCK_DEPTHS - 1))
        units = np.rint(band_edges(samplerate, BAND_STRIDE, fine=False)[:-1] / unit).astype(np.int64)
        self.bands = len(units)
        # The first fine band of each band of gains.
        self.starts = np.searchsorted(self.fine.edges[:-1] >> (c.BLOCK_DEPTHS - 1 - DEPTH), units)
        self.gain_band = np.repeat(np.arange(self.bands), np.diff(np.append(self.starts, self.fine.bands)))

    def choose(
        self,
        signal: Signal,
        past: Callable[[int], Signal],
        lags: Iterable[int],
        known: set[int],
        gain: int,
        offsets: NDArray[np.int64],
    ) -> ChosenCopies:
        """Choose copies for a segment.

        signal: float32 [channels, samples] with one superframe of context on both sides, 16-bit units; past(lag): the
        same span one lag earlier; lags: candidates; known: lags that need not be coded anew; gain: log step in 1/64
        octave; offsets [superframes]: by how many quarters of an octave the steps of each are finer.
        """
        count = signal.shape[1] // self.superframe - 2
        target = self._spectra(to_planes(signal), count)
        inverse = self._inverse_steps(target, gain, offsets)
        left = target * inverse
        heard = self._energies(left, left)
        plain = bits = self._bits(heard)
        full = self._by_superframe(plain)
        candidates = {lag: self._spectra(to_planes(past(lag)), count) * inverse for lag in lags}
        copies: list[Copy] = []
        for _ in range(self.layers if candidates else 0):
            found = self._layer(left, heard, full, candidates, known)
            if not found:
                break
            for copy in found:
                part = slice(copy.first * PER_SUPERFRAME, copy.end * PER_SUPERFRAME)
                left[:, part] -= self._weights(copy.levels)[:, None] * candidates[copy.lag][:, part]
            known = known | {copy.lag for copy in found}
            copies += found
            bits = self._bits(self._energies(left, left))
        predicted = self._signal(target - left / inverse, signal.shape) if copies else None
        return ChosenCopies(copies, predicted, self._by_superframe(plain), self._by_superframe(bits))

    def noise(self, signal: Signal, decoded: Signal, gain: int) -> float:
        """Mean power of the error of `decoded`, in the squared steps that `signal` has at a gain without patterns. Both
        float32 [channels, samples], with one superframe of context on both sides."""
        count = signal.shape[1] // self.superframe - 2
        target = self._spectra(to_planes(signal), count)
        error = self._spectra(to_planes(decoded - signal), count)
        error *= self._inverse_steps(target, gain, np.zeros(count, np.int64))
        return float(np.mean(self._energies(error, error) / self.widths))

    def _spectra(self, planes: Signal, count: int) -> Signal:
        return uniform_spectra(planes, self.superframe, count * self.superframe, self.size)

    def _signal(self, spectra: Signal, shape: tuple[int, ...]) -> Signal:
        """The inverse of `_spectra`, with silence around."""
        out = np.zeros(shape, np.float32)
        out[:, self.superframe : shape[1] - self.superframe] = uniform_signal(spectra)
        return to_planes(out)

    def _inverse_steps(self, spectra: Signal, gain: int, offsets: NDArray[np.int64]) -> Signal:
        """1 / step [planes, blocks, bins] of what is to be coded."""
        sums = np.add.reduceat(np.square(spectra), self.fine.edges[:-1], axis=-1) / self.fine.widths
        levels = np.rint(c.OCTAVE / 2 * np.log2(np.maximum(sums, LOG_FLOOR**2))).astype(np.int64)
        steps = step_logs(levels.transpose(1, 0, 2), gain, DEPTH).transpose(1, 0, 2)
        steps -= c.OFFSET_STEP * np.repeat(offsets, PER_SUPERFRAME)[:, None]
        inverse = np.zeros(spectra.shape, np.float32)
        inverse[..., : self.fine.bins] = np.exp2(steps / -c.OCTAVE)[..., self.fine.band_of_bin]
        return inverse

    def _energies(self, one: Signal, other: Signal) -> Signal:
        """Inner products [planes, blocks, fine bands]."""
        return np.add.reduceat(one * other, self.fine.edges[:-1], axis=-1)

    def _bits(self, energies: Signal) -> Signal:
        """Bits [..., bands of gains] of energies [..., fine bands]."""
        return np.add.reduceat(rate(energies, self.widths), self.starts, axis=-1)

    def _plain_cost(self, own: Signal, heard: Signal) -> Signal:
        """The same with the noise where nothing more is subtracted: see `cost.plain_cost`."""
        found = np.where(own == heard, plain_cost(own, self.widths), cost(own, heard, own, self.widths))
        return np.add.reduceat(found, self.starts, axis=-1)

    def _cost(self, left: Signal, heard: Signal, brought: Signal) -> Signal:
        """The same where something is brought: see `cost.cost`."""
        return np.add.reduceat(cost(left, heard, brought, self.widths), self.starts, axis=-1)

    @staticmethod
    def _by_superframe(bits: Signal) -> NDArray[np.float64]:
        return bits.sum(axis=(0, 2), dtype=np.float64).reshape(-1, PER_SUPERFRAME).sum(axis=1)

    def _weights(self, levels: NDArray[np.int64]) -> Signal:
        """Gains [planes, bins] of levels [planes, bands]."""
        gains = np.where(levels == OFF, 0, np.exp2(levels / c.DEFAULT_GAIN_RESOLUTION)).astype(np.float32)
        weights = np.zeros((len(levels), self.size), np.float32)
        weights[:, : self.fine.bins] = gains[:, self.gain_band][:, self.fine.band_of_bin]
        return weights

    def _layer(
        self,
        left: Signal,
        heard: Signal,
        full: NDArray[np.float64],
        candidates: dict[int, Signal],
        known: set[int],
    ) -> list[Copy]:
        """The best succession of copies, none overlapping another, by dynamic programming over their ends."""
        own = self._energies(left, left)
        plain = self._plain_cost(own, heard)
        lags = list(candidates)
        products = {
            lag: (self._energies(left, spectra), self._energies(spectra, spectra))
            for lag, spectra in candidates.items()
        }
        count = left.shape[1] // PER_SUPERFRAME
        best = np.full((count, count + 1), -np.inf)  # bits saved by a copy from a to b
        which = np.zeros((count, count + 1), np.int64)
        starts, ends = np.triu_indices(count + 1, 1)
        for number, lag in enumerate(lags):
            saved = self._saved(own, heard, plain, *products[lag])
            if (np.maximum(saved, 0).sum(axis=(1, 2, 3)).max()) < LEAST_SAVED:
                continue
            sums = np.concatenate([np.zeros_like(saved[:, :, :1]), np.cumsum(saved, axis=2)], axis=2)
            spans = sums[:, :, ends] - sums[:, :, starts] - np.float32(BAND_BITS)
            spans[1:] -= np.float32(GAIN_BITS)
            value = np.maximum(spans.max(axis=0), 0).sum(axis=(0, 2)) - COPY_BITS
            value -= 0 if lag in known else NEW_LAG_BITS
            better = value > best[starts, ends]
            best[starts[better], ends[better]] = value[better]
            which[starts[better], ends[better]] = number
        found = [
            self._copy(first, end, lags[which[first, end]], own, heard, full, products)
            for first, end in _best_spans(best)
        ]
        return [copy for copy in found if (copy.levels != OFF).any()]

    def _saved(self, own: Signal, heard: Signal, plain: Signal, cross: Signal, power: Signal) -> Signal:
        """Bits saved [gains, planes, superframes, bands] by copies at each of SEARCHED_GAINS."""
        out = []
        for level in SEARCHED_GAINS:
            gain = np.float32(2 ** (level / c.DEFAULT_GAIN_RESOLUTION))
            saved = plain - self._cost(own - 2 * gain * cross + gain * gain * power, heard, gain * gain * power)
            out.append(saved.reshape(len(saved), -1, PER_SUPERFRAME, self.bands).sum(axis=2))
        return np.stack(out)

    def _copy(
        self,
        first: int,
        end: int,
        lag: int,
        own: Signal,
        heard: Signal,
        full: NDArray[np.float64],
        products: dict[int, tuple[Signal, Signal]],
    ) -> Copy:
        """A copy with the best gain in every plane and band."""
        part = slice(first * PER_SUPERFRAME, end * PER_SUPERFRAME)
        cross, power = (product[:, part] for product in products[lag])
        own, heard = own[:, part], heard[:, part]
        plain = self._plain_cost(own, heard)
        gains = np.exp2(GAINS / c.DEFAULT_GAIN_RESOLUTION).astype(np.float32)[:, None, None, None]
        saved = plain - self._cost(own - 2 * gains * cross + gains * gains * power, heard, gains * gains * power)
        total = saved.sum(axis=2) - BAND_BITS - GAIN_BITS * (GAINS != 0)[:, None, None]
        best = total.argmax(axis=0)
        on = np.take_along_axis(total, best[None], 0)[0] > 0
        levels = np.where(on, GAINS[best], OFF)
        gain = gains[best, 0, 0, 0][:, self.gain_band][:, None]
        left = own - 2 * gain * cross + gain * gain * power - UNCODED * self.widths
        kept = np.where(on[:, None], self._bits(own) - self._bits(left), 0)
        return Copy(first, end, lag, levels, np.clip(self._by_superframe(kept) / np.maximum(full[first:end], 1), 0, 1))


def _best_spans(value: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Spans [first, end) that do not overlap and whose values [first, end] sum to the most, in order."""
    count = len(value)
    total = np.zeros(count + 1)
    origin = np.full(count + 1, -1)
    for end in range(1, count + 1):
        total[end] = total[end - 1]
        sums = total[:end] + value[:end, end]
        first = int(sums.argmax())
        if sums[first] > total[end]:
            total[end], origin[end] = sums[first], first
    spans = []
    end = count
    while end > 0:
        if origin[end] >= 0:
            spans.append((int(origin[end]), end))
            end = int(origin[end])
        else:
            end -= 1
    return spans[::-1]
