"""What the spectrum encoder decides before quantising: partition, stereo modes, band energies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc.streams import spectrum_layout as L
from evc.streams.spectrum_steps import _tables
from evc.models.residual.mdct import dct4, fold

BLOCK_PENALTY = 30.0       # bits: side information of one more block
LOG_FLOOR = 2.0**-8


def uniform_spectra(signal, first, count, size):
    """MDCT [channels, blocks, size] of `count` samples from `first` in equal blocks of `size`."""
    half = size // 2
    work = signal[:, first - half: first + count + half].copy()
    edges = np.arange(count // size + 1) * size + half
    fold(work, edges, np.full(len(edges), size))
    return dct4(work[:, half: half + count].reshape(len(work), -1, size))


def band_rms(spectra, layout):
    """RMS float32 [..., bands] of spectra [..., bins]."""
    sums = np.add.reduceat(np.square(spectra[..., : layout.bins]), layout.edges[:-1], axis=-1)
    return np.sqrt(sums / layout.widths.astype(np.float32))


def choose_partitions(signal, first, superframes, geo, gain):
    """Block sizes per superframe: list of tuples of depths. signal float32 [channels, samples] scaled to 16 bits."""
    N = geo.superframe
    count = superframes * N
    small = geo.coarse
    shortest = uniform_spectra(signal, first, count, N >> (L.DEPTHS - 1))
    rms = np.maximum(band_rms(shortest, small), LOG_FLOOR)
    _, offset = _tables(tuple(int(e) for e in small.edges))
    inverse = 2.0 ** (-2 * (gain / 64 + 6 + 0.6 * (np.log2(rms) - 6) + offset / 64))     # step ** -2
    costs = []
    for depth in range(L.DEPTHS):
        size = N >> depth
        blocks = count // size
        ratio = inverse.reshape(len(signal), blocks, -1, small.bands).mean(axis=2)
        scale = np.repeat(np.sqrt(ratio).astype(np.float32), small.widths << (L.DEPTHS - 1 - depth), axis=-1)
        spectra = shortest if depth == L.DEPTHS - 1 else uniform_spectra(signal, first, count, size)
        magnitude = np.abs(spectra[..., : scale.shape[-1]])
        magnitude *= scale
        magnitude += 1
        bits = np.log2(magnitude, out=magnitude).sum(axis=(0, 2)) + BLOCK_PENALTY
        costs.append(bits.reshape(superframes, 1 << depth))
    best = costs[-1]
    splits = []
    for depth in range(L.DEPTHS - 2, -1, -1):
        children = best.reshape(superframes, -1, 2).sum(axis=2)
        splits.append(children < costs[depth])
        best = np.minimum(children, costs[depth])
    splits = splits[::-1]
    return [partition_from_splits([s[i] for s in splits]) for i in range(superframes)]


def partition_from_splits(splits):
    def walk(depth, index):
        if depth < L.DEPTHS - 1 and splits[depth][index]:
            return walk(depth + 1, 2 * index) + walk(depth + 1, 2 * index + 1)
        return (depth,)
    return walk(0, 0)


def block_table(partitions, N):
    """(starts, depths) int arrays of all blocks in time order, starts relative to the first superframe."""
    depths = np.array([d for p in partitions for d in p])
    sizes = N >> depths
    return np.concatenate([[0], np.cumsum(sizes)[:-1]]), depths


def transform(signal, first, starts, depths, N, before, after):
    """MDCT spectra of the blocks: list by depth of (block numbers, float32 [channels, blocks, size]).
    before, after: size of the neighbouring blocks outside."""
    sizes = N >> depths
    total = int(starts[-1] + sizes[-1])
    edge_sizes = np.concatenate([[before], sizes, [after]])
    overlaps = np.minimum(edge_sizes[:-1], edge_sizes[1:])
    pad = N // 2
    work = signal[:, first - pad: first + total + pad].copy()
    fold(work, np.append(starts, total) + pad, overlaps)
    out = {}
    for depth in np.unique(depths):
        numbers = np.flatnonzero(depths == depth)
        index = starts[numbers][:, None] + pad + np.arange(N >> depth)
        out[int(depth)] = (numbers, dct4(work[:, index]))
    return out


def energy_indices(coded, layout):
    """Band energy indices int [channels, blocks, bands]."""
    log = 64 * np.log2(np.maximum(band_rms(coded, layout), 1e-9))
    index = np.rint((log - L.ENERGY_FLOOR) / L.ENERGY_STEP).astype(np.int64) + 1
    return np.clip(index, 0, L.ENERGY_MAX)
