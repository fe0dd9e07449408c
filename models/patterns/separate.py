"""What repeats, without what sounds on top of it: the common part of stretches at known positions.

A stretch x(start + t) is taken for gain · p(t) and something else: a melody, other layers, noise. The stretches are
brought to a short-time Fourier transform, where p is a weighted mean of them, cell by cell. A stretch weighs little
where it stands apart from the mean by more than most do, so that a melody spoils only those cells that it covers in
most repeats: a robust mean by iterated weights, of Student's t distribution with one degree of freedom (Lange,
Little & Taylor 1989). What the mean may owe to chance is taken off by a mask of Wiener's form. Stretches that have
nothing in common give next to silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants as c
from evc.models.arrays import Signal
from evc.models.patterns.timeline import delayed

Spectra = NDArray[np.complex64]
Gains = NDArray[np.float64]

LONGEST_FFT, SHORTEST_FFT = 4096, 256  # hops are half of that ...
COLUMNS = 8  # ... which a stretch has at least, or nearly so
RINGING = 32  # frames that the interpolator adds at either end
ITERATIONS, FACTOR_ITERATIONS = 4, 20  # of weights, mean and gains; of the first gains
WEAKEST = 0.25  # gain below which a stretch says little about the first mean
RANK = 0.2  # quantile, over the repeats, of the deviations that count as ordinary
DUST = 1e-7  # of the mean power: deviations below it are none
CHANCE = 2.0  # variances of the mean that are taken off its power
ROUNDS = 4  # over several loops, each separated from what the others leave
LEAST_REPEATS = 2


@dataclass(frozen=True, eq=False)
class Separated:
    """A pattern, and how strongly it sounds in each stretch.

    waveform: float32 [channels, length]. gains: float64 [repeats], with a median of 1 where there is a pattern.
    share: float64 [repeats], the part of a stretch's energy that goes when the pattern is taken out of it; 1 is all.
    """

    waveform: Signal
    gains: Gains
    share: Gains


def separate_loop(signal: Signal, starts: ArrayLike, length: int) -> Separated:
    """The common part of the stretches of `length` frames of `signal` float32 [channels, frames] at `starts` [repeats].

    Starts are frames, rounded to a phase of 2**-DEFAULT_PHASE_BITS; what they reach outside the signal is silent.
    Raises ValueError for fewer than two starts or no length.
    """
    places = _phases(starts)
    if len(places) < LEAST_REPEATS or length < 1:
        raise ValueError("a pattern needs a length and two stretches")
    hop = min(max(SHORTEST_FFT // 2, 1 << (length // COLUMNS).bit_length()), LONGEST_FFT // 2)
    spectra = np.stack([_analyse(stretch(signal, place, -hop, length + hop), hop) for place in places])
    mean, gains = _robust_mean(spectra)
    waveform = _synthesise(mean)[:, hop : hop + length]
    return Separated(waveform, gains, _shares(signal, places, gains, waveform))


def separate_loops(signal: Signal, loops: Sequence[tuple[ArrayLike, int]]) -> list[Separated]:
    """Several patterns that overlap each other, or themselves: each is separated from what the others leave, in turn.

    loops: (starts, length) of each, as for `separate_loop`; where one repeats before it has ended, the tails of its
    earlier stretches are among the others.
    """
    found: list[Separated] = []
    rest = signal.copy()
    for _ in range(ROUNDS):
        for number, (starts, length) in enumerate(loops):
            if number < len(found):
                add_placements(rest, found[number].waveform, _phases(starts), found[number].gains)
            pattern = separate_loop(rest, starts, length)
            add_placements(rest, pattern.waveform, _phases(starts), -pattern.gains)
            found[number : number + 1] = [pattern]
    return found


def stretch(signal: Signal, start: int, first: int, end: int) -> Signal:
    """Frames [first, end) of `signal`, counted from `start` in 2**-DEFAULT_PHASE_BITS frames: float32 [channels, end -
    first], silent outside the signal."""

    def read(begin: int, count: int) -> Signal:
        out = np.zeros((len(signal), count), np.float32)
        low, high = max(begin, 0), min(begin + count, signal.shape[1])
        if low < high:
            out[:, low - begin : high - begin] = signal[:, low:high]
        return out

    return delayed(read, first, end - first, -start, c.DEFAULT_PHASE_BITS)


def add_placements(signal: Signal, waveform: Signal, starts: NDArray[np.int64], gains: Gains) -> None:
    """Add `waveform` [channels, length] to `signal`, in place, at `starts` in 2**-DEFAULT_PHASE_BITS frames."""
    for start, gain in zip(starts, gains):
        whole, phase = divmod(int(start), 1 << c.DEFAULT_PHASE_BITS)
        sound = stretch(waveform, -phase, -RINGING, waveform.shape[1] + RINGING)
        low, high = max(whole - RINGING, 0), min(whole + waveform.shape[1] + RINGING, signal.shape[1])
        if low < high:
            signal[:, low:high] += np.float32(gain) * sound[:, low - whole + RINGING : high - whole + RINGING]


def _phases(starts: ArrayLike) -> NDArray[np.int64]:
    return np.rint(np.asarray(starts, np.float64) * (1 << c.DEFAULT_PHASE_BITS)).astype(np.int64)


def _window(hop: int) -> Signal:
    window: Signal = np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop)).astype(np.float32)
    return window


def _analyse(sound: Signal, hop: int) -> Spectra:
    """Complex spectra [channels, columns, hop + 1] of float32 [channels, frames]; a tight frame."""
    columns = -(-sound.shape[1] // hop) + 1
    padded = np.pad(sound, ((0, 0), (hop, columns * hop - sound.shape[1])))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop]
    spectra: Spectra = np.fft.rfft(frames * _window(hop)).astype(np.complex64)
    return spectra


def _synthesise(spectra: Spectra) -> Signal:
    """The signal float32 [channels, frames] of `_analyse`, followed by zeros."""
    channels, columns, bins = spectra.shape
    hop = bins - 1
    frames = np.fft.irfft(spectra).astype(np.float32) * _window(hop)
    halves = np.zeros((channels, columns + 1, hop), np.float32)
    halves[:, :-1] += frames[..., :hop]
    halves[:, 1:] += frames[..., hop:]
    return halves.reshape(channels, -1)[:, hop:]


def _around(power: NDArray[Any]) -> NDArray[Any]:
    """Means over three columns and three bins of [..., columns, bins]."""
    padded = np.pad(power, [(0, 0)] * (power.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    rows = padded[..., :-2, :] + padded[..., 1:-1, :] + padded[..., 2:, :]
    return (rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]) / 9


def _robust_mean(spectra: Spectra) -> tuple[Spectra, Gains]:
    """The pattern [channels, columns, bins] and its gains [repeats] in spectra [repeats, channels, columns, bins]."""
    gains = _first_gains(spectra)
    if not gains.any():
        return np.zeros_like(spectra[0]), gains
    level = gains / np.maximum(gains**2, WEAKEST**2)
    scaled = spectra * level.astype(np.float32)[:, None, None, None]
    mean = (np.median(scaled.real, axis=0) + 1j * np.median(scaled.imag, axis=0)).astype(np.complex64)
    dust = np.float32(DUST * np.mean(np.abs(spectra) ** 2) + 1e-20)
    for _ in range(ITERATIONS):
        scale = gains.astype(np.float32)[:, None, None, None]
        deviations = _around(np.abs(spectra - scale * mean) ** 2)
        weights = 1 / (np.quantile(deviations, RANK, axis=0) + deviations + dust)
        total = np.maximum((weights * scale**2).sum(axis=0), 1e-20)
        mean = (weights * scale * spectra).sum(axis=0) / total
        chance = (weights**2 * scale**2 * deviations).sum(axis=0) / total**2 * len(spectra) / (len(spectra) - 1)
        power = _around(np.abs(mean) ** 2)
        kept = mean * np.maximum(0, 1 - CHANCE * _around(chance) / np.maximum(power, 1e-20))
        products = (weights * (spectra * kept.conj()).real).sum(axis=(1, 2, 3), dtype=np.float64)
        gains = products / np.maximum((weights * np.abs(kept) ** 2).sum(axis=(1, 2, 3), dtype=np.float64), 1e-20)
        middle = float(np.median(gains))
        if middle <= 0:
            return np.zeros_like(mean), np.zeros(len(spectra))
        gains, mean, kept = gains / middle, mean * np.float32(middle), kept * np.float32(middle)
    return kept, gains


def _first_gains(spectra: Spectra) -> Gains:
    """Gains [repeats] with a median of 1, from what the stretches have in common two by two; 0 where nothing.

    Their inner products are gain · gain off the diagonal, whatever sounds on top: a factor analysis with one factor,
    the diagonal found by iteration. All bins weigh alike.
    """
    flat = spectra / np.sqrt(np.mean(np.abs(spectra) ** 2, axis=(0, 2), keepdims=True) + 1e-20)
    rows = flat.reshape(len(flat), -1)
    products = (rows @ rows.conj().T).real.astype(np.float64)
    gains = np.zeros(len(spectra))
    for _ in range(FACTOR_ITERATIONS):
        values, vectors = np.linalg.eigh(products)
        gains = vectors[:, -1] * np.sqrt(max(values[-1], 0.0)) * np.sign(np.median(vectors[:, -1]))
        if len(gains) > LEAST_REPEATS:  # two leave the diagonal open
            np.fill_diagonal(products, gains**2)
    middle = float(np.median(gains))
    return gains / middle if middle > 0 else np.zeros(len(spectra))


def _shares(signal: Signal, places: NDArray[np.int64], gains: Gains, waveform: Signal) -> Gains:
    """Part of the energy of every stretch that the pattern takes away."""
    shares = np.zeros(len(places))
    for number, (place, gain) in enumerate(zip(places, gains)):
        sound = stretch(signal, place, 0, waveform.shape[1])
        before, after = np.square(sound).sum(), np.square(sound - np.float32(gain) * waveform).sum()
        shares[number] = 1 - after / before if before > 0 else 0
    return shares
