"""What the spectrum encoder decides before quantising: the partition into blocks, and the band energies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.spectrum_layout import BandLayout, Geometry
from evc.format.streams.spectrum_tables import psychoacoustics
from evc.models.arrays import Signal
from evc.models.spectrum.mdct import dct4, fold

BLOCK_PENALTY = 50.0  # bits: what one more block costs besides its coefficients ...
PENALTY_GAIN, PENALTY_EXPONENT = 1.5 * c.OCTAVE, 0.5  # ... growing with the step size above this gain
LOG_FLOOR = 2.0**-8  # amplitude, 16-bit units, below which nothing is told apart
PARTITION_EXPONENT = 0.6  # of a step in its band's energy, when block sizes are compared
HOLD_LIMIT = (0.2, 0.3, 0.5, 0.8, 0.9)  # mean distance in energy steps, by depth, at a gain of HOLD_GAIN ...
HOLD_GAIN, HOLD_EXPONENT = 1.2 * c.OCTAVE, 0.6  # ... growing with the step size: at low rates side information is dear
SPLITS = c.BLOCK_DEPTHS - 1


def uniform_spectra(signal: Signal, first: int, count: int, size: int) -> Signal:
    """Spectra [channels, blocks, size] of `count` samples of `signal` [channels, samples] from `first` on, in blocks
    of equal `size`."""
    half = size // 2
    work = signal[:, first - half : first + count + half].copy()
    edges = np.arange(count // size + 1) * size + half
    fold(work, edges, np.full(len(edges), size))
    return dct4(work[:, half : half + count].reshape(len(work), -1, size))


def uniform_signal(spectra: Signal) -> Signal:
    """The inverse of `uniform_spectra`, with silence around: samples [channels, count] of spectra [channels, blocks,
    size]. Half a block at either end lacks what would overlap there."""
    size = spectra.shape[-1]
    out = dct4(spectra).reshape(len(spectra), -1)
    edges = np.arange(1, spectra.shape[1]) * size
    fold(out, edges, np.full(len(edges), size), inverse=True)
    return out


def band_rms(spectra: Signal, bands: BandLayout) -> Signal:
    """Root mean squares [..., bands] of spectra [..., bins]."""
    sums = np.add.reduceat(np.square(spectra[..., : bands.bins]), bands.edges[:-1], axis=-1)
    return np.sqrt(sums / bands.widths.astype(np.float32))


def model_steps(rms: Signal, gain: int, exponent: float) -> Signal:
    """Step sizes [..., coarse bands] that the decoder would derive, about: enough to compare choices by."""
    offset = psychoacoustics("coarse")[1][: rms.shape[-1]] / c.OCTAVE
    level = np.log2(np.maximum(rms, LOG_FLOOR)) - c.STEP_REFERENCE / c.OCTAVE
    steps = np.exp2((gain + c.STEP_REFERENCE) / c.OCTAVE + exponent * level + offset)
    return steps.astype(np.float32)


def choose_partitions(
    signal: Signal, heard: Signal, first: int, superframes: int, geometry: Geometry, gain: int
) -> list[tuple[int, ...]]:
    """The depths of the blocks of each superframe.

    The cheapest partition by sum(log2(1 + |X| / step)) and a penalty per block, over all dyadic ones. The step is
    the same for all block sizes: derived from the shortest blocks, and dominated by the quietest of those that a
    longer block covers, so that noise does not spread into what is quiet (pre-echo).

    signal: what is to be coded, float32 [channels, samples], 16-bit units; heard: what is heard in all, which steps
    follow; gain: log step in 1/64 octave.
    """
    count = superframes * geometry.superframe
    shortest = uniform_spectra(heard, first, count, geometry.superframe >> SPLITS)
    precision = model_steps(band_rms(shortest, geometry.coarse), gain, PARTITION_EXPONENT) ** -2
    penalty = BLOCK_PENALTY * 2 ** (PENALTY_EXPONENT * max(0.0, gain - PENALTY_GAIN) / c.OCTAVE)
    costs = []
    for depth in range(c.BLOCK_DEPTHS):
        size = geometry.superframe >> depth
        mean = precision.reshape(len(signal), count // size, -1, geometry.coarse.bands).mean(axis=2)
        inverse = np.repeat(np.sqrt(mean), geometry.coarse.widths << (SPLITS - depth), axis=-1)
        spectra = shortest if depth == SPLITS and signal is heard else uniform_spectra(signal, first, count, size)
        ratio = np.abs(spectra[..., : inverse.shape[-1]]) * inverse
        ratio += 1
        bits = np.log2(ratio, out=ratio).sum(axis=(0, 2)) + penalty
        costs.append(bits.reshape(superframes, 1 << depth))
    return _cheapest(costs)


def _cheapest(costs: list[Signal]) -> list[tuple[int, ...]]:
    """Depths per superframe from costs [superframes, 2**depth] of every block of every size, leaves to root."""
    best = costs[-1]
    splits: list[NDArray[np.bool_]] = []
    for own in costs[-2::-1]:
        children = best.reshape(len(own), -1, 2).sum(axis=2)
        splits.insert(0, children < own)
        best = np.minimum(children, own)

    def leaves(superframe: int, depth: int, node: int) -> tuple[int, ...]:
        if depth == SPLITS or not splits[depth][superframe, node]:
            return (depth,)
        return leaves(superframe, depth + 1, 2 * node) + leaves(superframe, depth + 1, 2 * node + 1)

    return [leaves(superframe, 0, 0) for superframe in range(len(best))]


def transform(
    signal: Signal, first: int, depths: NDArray[np.int64], superframe: int, before: int, after: int
) -> dict[int, tuple[NDArray[np.int64], Signal]]:
    """Spectra of blocks in time order: by depth, (numbers of the blocks, float32 [channels, blocks, size]).

    first: sample of `signal` [channels, samples] at which the first block begins; before, after: sizes of the blocks
    outside, 0 where there is nothing to overlap with.
    """
    sizes = superframe >> depths
    starts = np.concatenate([[0], np.cumsum(sizes)])
    around = np.concatenate([[before], sizes, [after]])
    pad = superframe // 2
    work = signal[:, first - pad : first + starts[-1] + pad].copy()
    fold(work, starts + pad, np.minimum(around[:-1], around[1:]))
    out = {}
    for depth in np.unique(depths):
        numbers = np.flatnonzero(depths == depth)
        places = starts[numbers][:, None] + pad + np.arange(superframe >> depth)
        out[int(depth)] = (numbers, dct4(work[:, places]))
    return out


def hold_blocks(
    rms: dict[int, Signal], depths: NDArray[np.int64], modes: NDArray[np.int64], gain: int
) -> tuple[NDArray[np.bool_], dict[int, Signal]]:
    """Which blocks take over the modes and energies of the block before, and the amplitudes they share.

    A run of blocks of one size is grouped as long as the next block's band levels stay within a limit of the
    group's, on average; a group shares its mean energies. rms: band amplitudes [channels, bands] by block number;
    modes: [blocks, coarse bands].
    """
    held = np.zeros(len(depths), bool)
    limits = np.array(HOLD_LIMIT) * 2 ** (HOLD_EXPONENT * (gain - HOLD_GAIN) / c.OCTAVE) * c.ENERGY_STEP / c.OCTAVE
    shared: dict[int, Signal] = {}
    first = 0
    for number in range(1, len(depths) + 1):
        if number < len(depths) and depths[number] == depths[first] and (modes[number] == modes[first]).all():
            group = np.maximum(_mean(rms, first, number), LOG_FLOOR)
            apart = np.abs(np.log2(np.maximum(rms[number], LOG_FLOOR) / group))
            if apart.mean() < limits[depths[first]]:
                held[number] = True
                continue
        shared.update(dict.fromkeys(range(first, number), _mean(rms, first, number)))
        first = number
    return held, shared


def _mean(rms: dict[int, Signal], first: int, end: int) -> Signal:
    """Amplitudes of the mean energy of blocks first ... end - 1."""
    mean: Signal = np.sqrt(np.mean([rms[number] ** 2 for number in range(first, end)], axis=0))
    return mean


def energy_indices(rms: Signal) -> NDArray[np.int64]:
    """Energy indices of band amplitudes, in the same shape; 0 where there is nothing to hear."""
    log = c.OCTAVE * np.log2(np.maximum(rms, 1e-9))
    index = np.rint((log - c.ENERGY_FLOOR) / c.ENERGY_STEP).astype(np.int64) + 1
    return np.clip(index, 0, c.ENERGY_MAX)
