"""Stereo of the spectrum layer: per coarse band left/right, mid/side, or the side predicted from the mid."""

from __future__ import annotations

import numpy as np

from evc.streams import spectrum_layout as L
from evc.streams.spectrum_steps import _tables

SWITCH_PENALTY = 12.0      # bits: changing a band's stereo mode
LOG_FLOOR = 2.0**-8
PREDICTIONS = np.array([0, 0, -0.75, -0.5, -0.25, 0.25, 0.5, 0.75], np.float32)   # of S from M, by mode


def choose_stereo(spectra_by_depth, blocks, geo, gain):
    """Stereo mode uint8 [blocks, coarse bands] of a channel pair: 0 left/right, 1 mid/side, 2... predicted side."""
    coarse_count = geo.coarse_bands
    costs = np.zeros((blocks, coarse_count, len(PREDICTIONS)), np.float32)
    for depth, (numbers, spectra) in spectra_by_depth.items():
        layout = geo.layouts[depth]
        small = geo.coarse
        edges = small.edges << (L.DEPTHS - 1 - depth)
        widths = np.diff(edges)
        _, offset = _tables(tuple(int(e) for e in small.edges))
        left, right = spectra[0, :, : edges[-1]], spectra[1, :, : edges[-1]]
        energy = np.add.reduceat(left**2 + right**2, edges[:-1], axis=-1) / (2 * widths)
        log_rms = 0.5 * np.log2(np.maximum(energy, LOG_FLOOR**2))
        inverse = np.repeat(2.0 ** -(gain / 64 + 6 + 0.7 * (log_rms - 6) + offset / 64), widths, axis=-1).astype(np.float32)
        left, right = left * inverse, right * inverse
        mid, side = (left + right) * np.float32(0.5**0.5), (left - right) * np.float32(0.5**0.5)
        def bits(x):
            return np.add.reduceat(np.log2(1 + np.abs(x)), edges[:-1], axis=-1)
        costs[numbers, :, 0] = bits(left) + bits(right)
        mid_bits = bits(mid)
        for mode in range(1, len(PREDICTIONS)):
            costs[numbers, :, mode] = mid_bits + bits(side - PREDICTIONS[mode] * mid)
    # Viterbi in time with a switching penalty, all bands at once
    total = costs[0]
    back = np.zeros(costs.shape, np.uint8)
    for t in range(1, blocks):
        best = total.argmin(axis=-1)
        value = np.take_along_axis(total, best[:, None], -1) + SWITCH_PENALTY
        stay = total <= value
        back[t] = np.where(stay, np.arange(costs.shape[-1]), best[:, None])
        total = np.minimum(total, value) + costs[t]
    modes = np.zeros((blocks, coarse_count), np.uint8)
    state = total.argmin(axis=-1)
    for t in range(blocks - 1, -1, -1):
        modes[t] = state
        state = np.take_along_axis(back[t], state[:, None], -1)[:, 0]
    return modes


def apply_stereo(spectra, modes, geo, depth):
    """[2, blocks, size] left/right to coded channels, by modes [blocks, coarse bands]."""
    small = geo.coarse
    widths = small.widths << (L.DEPTHS - 1 - depth)
    mode = np.repeat(modes, widths, axis=-1)
    bins = mode.shape[-1]
    left, right = spectra[0, :, :bins], spectra[1, :, :bins]
    mid, side = (left + right) * np.float32(0.5**0.5), (left - right) * np.float32(0.5**0.5)
    side = side - PREDICTIONS[mode] * mid
    plain = mode == 0
    return np.stack([np.where(plain, left, mid), np.where(plain, right, side)])


def undo_stereo(coded, modes, geo, depth):
    small = geo.coarse
    mode = np.repeat(modes, small.widths << (L.DEPTHS - 1 - depth), axis=-1)
    first, second = coded
    plain = mode == 0
    side = second + PREDICTIONS[mode] * first
    r = np.float32(0.5**0.5)
    return np.stack([np.where(plain, first, (first + side) * r), np.where(plain, second, (first - side) * r)])
