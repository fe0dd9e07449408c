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

from evc import kernels
from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.bands import band_edges
from evc.format.streams.gains import OFF
from evc.format.streams.spectrum_steps import step_logs
from evc.models.arrays import Signal
from evc.models.patterns.cost import UNCODED, Copied, cost, rate, uncoded_noise
from evc.models.patterns.products import Bands
from evc.models.spectrum.analysis import LOG_FLOOR, uniform_signal, uniform_spectra
from evc.models.spectrum.stereo import mid_side

DEPTH = 1  # of the blocks that choices are made on
PER_SUPERFRAME = 1 << DEPTH
BAND_STRIDE = 2  # coarse bands in a band of gains
COPY_BITS = 16.0  # a copy of a recent lag: its time, lag and length ...
NEW_LAG_BITS = 20.0  # ... and what a new lag costs more
BAND_BITS = 2.0  # a band that is on
GAIN_BITS = 3.0  # a gain other than 1
SEARCHED_GAINS = np.array((0, -2, -4, 1))  # levels tried in the search for spans, 1/DEFAULT_GAIN_RESOLUTION octave
GAINS = np.arange(-12, 5)  # levels tried for a copy that is chosen
LEAST_SAVED = 30.0  # bits that a copy has to save at all
EXPECTED_NOISE = 0.55  # amplitude of uniform noise, in steps, of what is coded
MOST_NOISE = 4.0  # squared steps: an error in a single band of next to no energy is not to decide about a file
SHIFTS = np.arange(-4, 5) * c.OCTAVE // 2  # of the gain, 1/64 octave, at which bits are told


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
    """The copies of a segment; the estimated bits [superframes] without and with them; and those of the whole segment
    with them at other gains, SHIFTS away."""

    copies: list[Copy]
    plain_bits: NDArray[np.float64]
    bits: NDArray[np.float64]
    shifted_bits: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Remainder:
    """Spectra [planes, blocks, size] of the `whole` segment and of what copies have `left` of it, the energies
    [planes, blocks, fine bands] of the latter in squared steps, and 1 / squared step."""

    whole: Signal
    left: Signal
    energies: Signal
    scale: Signal


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
        self._bins = Bands(self.fine.edges, self.size)
        unit = samplerate / 2 / (self.superframe >> (c.BLOCK_DEPTHS - 1))
        units = np.rint(band_edges(samplerate, BAND_STRIDE, fine=False)[:-1] / unit).astype(np.int64)
        self.bands = len(units)
        # The first fine band of each band of gains, and of one more.
        starts = np.searchsorted(self.fine.edges[:-1] >> (c.BLOCK_DEPTHS - 1 - DEPTH), units)
        self.firsts = np.append(starts, self.fine.bands)
        self.gain_band = np.repeat(np.arange(self.bands), np.diff(self.firsts))

    def choose(
        self,
        signal: Signal,
        past: Callable[[int], Signal],
        lags: Iterable[int],
        known: set[int],
        gain: int,
        offsets: NDArray[np.int64],
    ) -> tuple[ChosenCopies, Remainder]:
        """Choose copies for a segment.

        signal: float32 [planes, samples] with one superframe of context on both sides, 16-bit units; past(lag): the
        same span one lag earlier; lags: candidates; known: lags that need not be coded anew; gain: log step in 1/64
        octave; offsets [superframes]: by how many quarters of an octave the steps of each are finer.
        """
        count = signal.shape[1] // self.superframe - 2
        target = self._spectra(signal, count)
        scale = self._scale(target, gain, offsets)
        left = target.copy()
        heard = own = own_heard = self._bins.products(left, left) * scale
        full = self._by_superframe(self._bits(heard))
        candidates = {lag: self._spectra(past(lag), count) for lag in lags}
        powers = {lag: self._bins.products(spectra, spectra) * scale for lag, spectra in candidates.items()}
        copies_heard = {lag: self._bins.products(left, spectra) * scale for lag, spectra in candidates.items()}
        crosses, copies = copies_heard, list[Copy]()
        for layer in range(self.layers if candidates else 0):
            if layer:
                crosses = {lag: self._bins.products(left, spectra) * scale for lag, spectra in candidates.items()}
            plain, bits = self._plain_cost(own, heard, own_heard), self._bits(own)
            copied = {
                lag: Copied(own, heard, cross, powers[lag], plain, own_heard, copies_heard[lag])
                for lag, cross in crosses.items()
            }
            found = self._layer(copied, bits, full, known)
            if not found:
                break
            for copy in found:
                self._subtract(copy, left, candidates[copy.lag])
            known = known | {copy.lag for copy in found}
            copies += found
            own, own_heard = (self._bins.products(left, other) * scale for other in (left, target))
        choice = ChosenCopies(
            copies,
            full,
            self._by_superframe(self._bits(own)),
            np.array([rate(own * np.float32(4 ** (-shift / c.OCTAVE)), self.widths).sum() for shift in SHIFTS]),
        )
        return choice, Remainder(target, left, own, scale)

    def predicted(self, remainder: Remainder) -> Signal:
        """What copies bring to a segment, as a signal [channels, frames] with one superframe of silence on either
        side."""
        return self._signal(remainder.whole - remainder.left)

    def error(self, remainder: Remainder, seed: int) -> Signal:
        """By what the decoded segment might be off, in the same form: noise where something is coded, and what copies
        leave where it is little."""
        coded = (remainder.energies > UNCODED * self.widths)[..., self.fine.band_of_bin]
        steps = (EXPECTED_NOISE / np.sqrt(remainder.scale))[..., self.fine.band_of_bin]
        noise = steps * np.random.default_rng(seed).uniform(-1, 1, steps.shape).astype(np.float32)
        spectra = np.zeros(remainder.left.shape, np.float32)
        spectra[..., : self.fine.bins] = np.where(coded, noise, -remainder.left[..., : self.fine.bins])
        return self._signal(spectra)

    def noise(self, signal: Signal, decoded: Signal, gain: int) -> NDArray[np.float64]:
        """Mean power [superframes] of what is heard of the error of `decoded` (see `cost.uncoded_noise`), in the
        squared steps that `signal` has at a gain without patterns, at most MOST_NOISE in a band. Both float32 [planes,
        samples], with one superframe of context on both sides."""
        count = signal.shape[1] // self.superframe - 2
        target, found = self._spectra(signal, count), self._spectra(decoded, count)
        scale = self._scale(target, gain, np.zeros(count, np.int64))
        left, heard, brought = (self._bins.products(one, one) for one in (found - target, target, found))
        noise = np.minimum(uncoded_noise(left, heard, brought) * scale / self.widths, MOST_NOISE)
        return noise.mean(axis=(0, 2), dtype=np.float64).reshape(count, PER_SUPERFRAME).mean(axis=1)

    def _spectra(self, planes: Signal, count: int) -> Signal:
        return uniform_spectra(planes, self.superframe, count * self.superframe, self.size)

    def _signal(self, spectra: Signal) -> Signal:
        return np.pad(to_planes(uniform_signal(spectra)), ((0, 0), (self.superframe, self.superframe)))

    def _scale(self, spectra: Signal, gain: int, offsets: NDArray[np.int64]) -> Signal:
        """1 / squared step [planes, blocks, fine bands] of what is to be coded."""
        sums = self._bins.products(spectra, spectra) / self.widths
        levels = np.rint(c.OCTAVE / 2 * np.log2(np.maximum(sums, LOG_FLOOR**2))).astype(np.int64)
        steps = step_logs(levels.transpose(1, 0, 2), gain, DEPTH).transpose(1, 0, 2)
        steps -= c.OFFSET_STEP * np.repeat(offsets, PER_SUPERFRAME)[:, None]
        return np.ascontiguousarray(np.exp2(steps / (-c.OCTAVE / 2)), np.float32)

    def _bits(self, energies: Signal) -> Signal:
        """Bits [..., bands of gains] of energies [..., fine bands]."""
        return np.add.reduceat(rate(energies, self.widths), self.firsts[:-1], axis=-1)

    def _plain_cost(self, own: Signal, heard: Signal, own_heard: Signal) -> Signal:
        """The same with the noise where nothing more is subtracted: see `cost.cost`."""
        brought = heard - 2 * own_heard + own
        return np.add.reduceat(cost(own, heard, brought, self.widths), self.firsts[:-1], axis=-1)

    @staticmethod
    def _by_superframe(bits: Signal) -> NDArray[np.float64]:
        return bits.sum(axis=(0, 2), dtype=np.float64).reshape(-1, PER_SUPERFRAME).sum(axis=1)

    def _subtract(self, copy: Copy, left: Signal, spectra: Signal) -> None:
        """Take what a copy brings from the spectra `left` of the segment; `spectra`: those at its lag."""
        part = slice(copy.first * PER_SUPERFRAME, copy.end * PER_SUPERFRAME)
        gains = np.where(copy.levels == OFF, 0, _gains(copy.levels))[:, self.gain_band].astype(np.float32)
        for plane, weights in enumerate(gains):
            self._bins.subtract(left[plane, part], spectra[plane, part], weights)

    def _layer(
        self, lags: dict[int, Copied], bits: Signal, full: NDArray[np.float64], known: set[int]
    ) -> list[Copy]:
        """The best succession of copies, none overlapping another, by dynamic programming over their ends. bits
        [planes, blocks, bands]: of what they may copy; full [superframes]: of all there was."""
        count = len(full)
        best = np.full((count, count + 1), -np.inf)  # bits saved by a copy from a to b
        which = np.zeros((count, count + 1), np.int64)
        for number, (lag, copied) in enumerate(lags.items()):
            saved = copied.saved(_gains(SEARCHED_GAINS), PER_SUPERFRAME, self.firsts, self.widths)
            if np.maximum(saved, 0).sum(axis=(1, 2, 3)).max() >= LEAST_SAVED:
                _better_spans(saved, COPY_BITS + (0 if lag in known else NEW_LAG_BITS), number, best, which)
        numbered = list(lags.items())
        found = []
        for first, end in _best_spans(best):
            lag, copied = numbered[which[first, end]]
            found.append(self._copy(first, end, lag, copied, bits, full))
        return [copy for copy in found if (copy.levels != OFF).any()]

    def _copy(
        self, first: int, end: int, lag: int, whole: Copied, bits: Signal, full: NDArray[np.float64]
    ) -> Copy:
        """A copy with the best gain in every plane and band; see `_layer`."""
        part = slice(first * PER_SUPERFRAME, end * PER_SUPERFRAME)
        copied, gains = whole.part(part), _gains(GAINS)
        saved = copied.saved(gains, part.stop - part.start, self.firsts, self.widths)[:, :, 0]
        total = saved - BAND_BITS - GAIN_BITS * (GAINS != 0)[:, None, None]
        best = total.argmax(axis=0)
        on = np.take_along_axis(total, best[None], 0)[0] > 0
        levels = np.where(on, GAINS[best], OFF)
        gain = gains[best][:, self.gain_band][:, None]
        left = copied.own - 2 * gain * copied.cross + gain * gain * copied.power - UNCODED * self.widths
        kept = np.where(on[:, None], bits[:, part] - self._bits(left), 0)
        return Copy(first, end, lag, levels, np.clip(self._by_superframe(kept) / np.maximum(full[first:end], 1), 0, 1))


def _gains(levels: NDArray[np.int64]) -> Signal:
    """Gains of levels, float32."""
    return np.exp2(levels / c.DEFAULT_GAIN_RESOLUTION).astype(np.float32)


def _better_spans(
    saved: Signal, more: float, number: int, best: NDArray[np.float64], which: NDArray[np.int64]
) -> None:
    """Where copy `number` saves more than the `best` [from, to) of those before it, it is `which` is taken. saved
    [gains, planes, superframes, bands]: bits saved at SEARCHED_GAINS; more: bits that it costs."""
    side = np.where(SEARCHED_GAINS == 0, BAND_BITS, BAND_BITS + GAIN_BITS).astype(np.float32)
    if kernels.lib is not None:
        arrays = kernels.pointer(best), kernels.pointer(which)
        kernels.lib.evc_better_spans(kernels.pointer(saved), *saved.shape, kernels.pointer(side), more, number, *arrays)
        return
    starts, ends = np.triu_indices(len(best) + 1, 1)
    sums = np.concatenate([np.zeros_like(saved[:, :, :1]), np.cumsum(saved, axis=2)], axis=2)
    spans = sums[:, :, ends] - sums[:, :, starts] - side[:, None, None, None]
    value = np.maximum(spans.max(axis=0), 0).sum(axis=(0, 2)) - more
    better = value > best[starts, ends]
    best[starts[better], ends[better]] = value[better]
    which[starts[better], ends[better]] = number


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
