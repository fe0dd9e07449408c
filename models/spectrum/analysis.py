"""What the spectrum encoder decides before quantising: the partition into blocks, and the band energies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.streams.spectrum_layout import BandLayout, Geometry
from evc.format.streams.spectrum_tables import psychoacoustics
from evc.models.arrays import Signal
from evc.models.spectrum.mdct import compiled, dct4, fold, lapped

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
    if compiled(size):
        starts = first + size * np.arange(count // size)
        overlaps = np.full(len(starts), size)
        return lapped(signal, starts, overlaps, overlaps, size)
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
    return np.sqrt(band_energies(spectra, bands.edges) / bands.widths.astype(np.float32))


def band_energies(spectra: Signal, edges: NDArray[np.int64]) -> Signal:
    """Sums of squares [..., bands] of spectra [..., bins]."""
    if kernels.lib is None:
        return np.add.reduceat(np.square(spectra[..., : edges[-1]]), edges[:-1], axis=-1)
    if spectra.shape[-1] < edges[-1]:
        raise IndexError("bands reach beyond the spectra")
    spectra, edges = np.ascontiguousarray(spectra, np.float32), np.ascontiguousarray(edges, np.int64)
    out = np.empty((*spectra.shape[:-1], len(edges) - 1), np.float32)
    size, bands = spectra.shape[-1], out.shape[-1]
    kernels.lib.evc_energies(
        kernels.pointer(spectra), out.size // bands, size, kernels.pointer(edges), bands, kernels.pointer(out)
    )
    return out


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
    same = signal is heard
    signal = np.ascontiguousarray(signal)
    heard = signal if same else np.ascontiguousarray(heard)
    shortest = uniform_spectra(heard, first, count, geometry.superframe >> SPLITS)
    precision = model_steps(band_rms(shortest, geometry.coarse), gain, PARTITION_EXPONENT) ** -2
    penalty = BLOCK_PENALTY * 2 ** (PENALTY_EXPONENT * max(0.0, gain - PENALTY_GAIN) / c.OCTAVE)
    costs = []
    for depth in range(c.BLOCK_DEPTHS):
        size = geometry.superframe >> depth
        mean = precision.reshape(len(signal), count // size, -1, geometry.coarse.bands).mean(axis=2)
        spectra = shortest if depth == SPLITS and same else uniform_spectra(signal, first, count, size)
        bits = _bits(spectra, np.sqrt(mean), geometry.coarse.edges << (SPLITS - depth)).sum(axis=0) + penalty
        costs.append(bits.reshape(superframes, 1 << depth))
    return _cheapest(costs)


def _bits(spectra: Signal, scales: Signal, edges: NDArray[np.int64]) -> Signal:
    """Sums of log2(1 + |X| * scale) [channels, blocks] of spectra [channels, blocks, size], with a scale [channels,
    blocks, bands] for each band between `edges`."""
    if kernels.lib is None:
        ratio = np.abs(spectra[..., : edges[-1]]) * np.repeat(scales, np.diff(edges), axis=-1)
        ratio += 1
        return np.log2(ratio, out=ratio).sum(axis=-1)
    size, bands = spectra.shape[-1], scales.shape[-1]
    out, work = np.empty(spectra.shape[:-1], np.float32), np.empty(size + 16, np.float32)
    kernels.lib.evc_bits(
        kernels.pointer(spectra), out.size, size, kernels.pointer(np.ascontiguousarray(scales)),
        kernels.pointer(edges), bands, kernels.pointer(work), kernels.pointer(out),
    )  # fmt: skip
    return out


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
    overlaps = np.minimum(around[:-1], around[1:])
    if compiled(int(sizes.min())):
        out = {}
        signal = np.ascontiguousarray(signal)
        for depth in np.unique(depths):
            numbers = np.flatnonzero(depths == depth)
            spans = first + starts[numbers], overlaps[numbers], overlaps[numbers + 1]
            out[int(depth)] = (numbers, lapped(signal, *spans, superframe >> int(depth)))
        return out
    pad = superframe // 2
    work = signal[:, first - pad : first + starts[-1] + pad].copy()
    fold(work, starts + pad, overlaps)
    out = {}
    for depth in np.unique(depths):
        numbers = np.flatnonzero(depths == depth)
        places = starts[numbers][:, None] + pad + np.arange(superframe >> depth)
        out[int(depth)] = (numbers, dct4(work[:, places]))
    return out


def hold_blocks(
    rms: list[Signal], depths: NDArray[np.int64], modes: NDArray[np.int64], gain: int
) -> tuple[NDArray[np.bool_], list[Signal]]:
    """Which blocks take over the modes and energies of the block before, and the amplitudes they share.

    A run of blocks of one size is grouped as long as the next block's band levels stay within a limit of the
    group's, on average; a group shares its mean energies. rms: band amplitudes [channels, bands] of each block; modes:
    [blocks, coarse bands].
    """
    apart = np.ones(len(depths), bool)
    apart[1:] = (depths[1:] != depths[:-1]) | (modes[1:] != modes[:-1]).any(axis=1)
    limits = np.array(HOLD_LIMIT) * 2 ** (HOLD_EXPONENT * (gain - HOLD_GAIN) / c.OCTAVE) * c.ENERGY_STEP / c.OCTAVE
    if kernels.lib is not None:
        return _hold_compiled(rms, apart, limits[depths].astype(np.float32))
    held = np.zeros(len(depths), bool)
    shared: list[Signal] = []
    first = 0
    for number in range(1, len(depths) + 1):
        if number < len(depths) and not apart[number]:
            group = np.maximum(_mean(rms[first:number]), LOG_FLOOR)
            distance = np.abs(np.log2(np.maximum(rms[number], LOG_FLOOR) / group))
            if distance.mean() < limits[depths[first]]:
                held[number] = True
                continue
        shared += [_mean(rms[first:number])] * (number - first)
        first = number
    return held, shared


def _hold_compiled(
    rms: list[Signal], apart: NDArray[np.bool_], limits: Signal
) -> tuple[NDArray[np.bool_], list[Signal]]:
    """`hold_blocks` by whether blocks cannot be held, and the limits of each."""
    amplitudes = np.concatenate([of_block.ravel() for of_block in rms])
    lengths = np.array([of_block.size for of_block in rms])
    places = np.concatenate([[0], np.cumsum(lengths)])
    held, work = np.zeros(len(rms), bool), np.empty(int(lengths.max()), np.float32)
    kernels.lib.evc_hold(
        kernels.pointer(amplitudes), kernels.pointer(places), kernels.pointer(apart), kernels.pointer(limits),
        len(rms), LOG_FLOOR, kernels.pointer(work), kernels.pointer(held),
    )  # fmt: skip
    ends = places.tolist()
    return held, [amplitudes[at:end].reshape(of_block.shape) for of_block, at, end in zip(rms, ends, ends[1:])]


def _mean(rms: list[Signal]) -> Signal:
    """Amplitudes of the mean energy of blocks."""
    mean: Signal = np.sqrt(np.mean(np.square(rms), axis=0))
    return mean


def energy_indices(rms: Signal) -> NDArray[np.int64]:
    """Energy indices of band amplitudes, in the same shape; 0 where there is nothing to hear."""
    log = c.OCTAVE * np.log2(np.maximum(rms, 1e-9))
    index = np.rint((log - c.ENERGY_FLOOR) / c.ENERGY_STEP).astype(np.int64) + 1
    return np.clip(index, 0, c.ENERGY_MAX)
