"""Stereo of the spectrum layer: each coarse band of a block is left/right, or mid/side with the side predicted from
the mid (spec section 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.spectrum_layout import Geometry
from evc.models.arrays import Signal
from evc.models.spectrum.analysis import SPLITS, model_steps

SWITCH_PENALTY = 12.0  # bits: changing a band's mode from one block to the next
STEP_EXPONENT = 0.7  # of a step in its band's energy
PREDICTIONS = np.array(c.STEREO_PREDICTIONS, np.float32)  # of the side from the mid, by mode
HALF_ROOT = np.float32(0.5**0.5)


def mid_side(first: Signal, second: Signal) -> tuple[Signal, Signal]:
    """Left and right as mid and side of the same energy, and back."""
    return (first + second) * HALF_ROOT, (first - second) * HALF_ROOT


def choose_stereo(
    spectra: dict[int, tuple[NDArray[np.int64], Signal]],
    heard: dict[int, tuple[NDArray[np.int64], Signal]],
    blocks: int,
    geometry: Geometry,
    gain: int,
) -> NDArray[np.int64]:
    """Modes [blocks, coarse bands] of a channel pair.

    The cheapest sequence of modes in each band, by sum(log2(1 + |X| / step)) of both coded channels and
    SWITCH_PENALTY per change (Viterbi). spectra: as `analysis.transform` returns them; heard: those of all that is
    heard, which steps follow.
    """
    costs = np.zeros((blocks, geometry.coarse_bands, c.STEREO_MODES), np.float32)
    for depth, (numbers, pair) in spectra.items():
        costs[numbers] = _mode_costs(pair, heard[depth][1], geometry, depth, gain)
    total = costs[0]
    origin = np.zeros(costs.shape, np.int64)
    modes = np.arange(c.STEREO_MODES)
    for block in range(1, blocks):
        best = total.argmin(axis=-1)[:, None]
        switched = np.take_along_axis(total, best, -1) + SWITCH_PENALTY
        origin[block] = np.where(total <= switched, modes, best)
        total = np.minimum(total, switched) + costs[block]
    chosen = np.zeros((blocks, geometry.coarse_bands), np.int64)
    state = total.argmin(axis=-1)
    for block in range(blocks - 1, -1, -1):
        chosen[block] = state
        state = np.take_along_axis(origin[block], state[:, None], -1)[:, 0]
    return chosen


def _mode_costs(pair: Signal, heard: Signal, geometry: Geometry, depth: int, gain: int) -> Signal:
    """Bits [blocks, coarse bands, modes] of spectra [2, blocks, size], about."""
    widths = geometry.coarse.widths << (SPLITS - depth)
    edges = geometry.coarse.edges[:-1] << (SPLITS - depth)
    left, right = heard[..., : geometry.coarse.bins << (SPLITS - depth)]
    energy = np.add.reduceat(left**2 + right**2, edges, axis=-1) / (2 * widths).astype(np.float32)
    inverse = np.repeat(1 / model_steps(np.sqrt(energy), gain, STEP_EXPONENT), widths, axis=-1)
    left, right = pair[..., : inverse.shape[-1]] * inverse
    mid, side = mid_side(left, right)

    def bits(ratio: Signal) -> Signal:
        return np.add.reduceat(np.log2(1 + np.abs(ratio)), edges, axis=-1)

    of_mid = bits(mid)
    sides = [of_mid + bits(side - prediction * mid) for prediction in PREDICTIONS[1:]]
    return np.stack([bits(left) + bits(right), *sides], axis=-1)


def apply_stereo(pair: Signal, modes: NDArray[np.int64], geometry: Geometry, depth: int) -> Signal:
    """Left/right spectra [2, blocks, size] to coded ones [2, blocks, bins], by modes [blocks, coarse bands]."""
    mode = _mode_of_bin(modes, geometry, depth)
    left, right = pair[..., : mode.shape[-1]]
    mid, side = mid_side(left, right)
    plain = mode == 0
    return np.stack([np.where(plain, left, mid), np.where(plain, right, side - PREDICTIONS[mode] * mid)])


def undo_stereo(coded: Signal, modes: NDArray[np.int64], geometry: Geometry, depth: int) -> Signal:
    """The inverse of `apply_stereo`. What is added to the mid as noise thereby goes where the signal is."""
    mode = _mode_of_bin(modes, geometry, depth)
    first, second = coded
    side = second + PREDICTIONS[mode] * first
    left, right = mid_side(first, side)
    plain = mode == 0
    return np.stack([np.where(plain, first, left), np.where(plain, second, right)])


def _mode_of_bin(modes: NDArray[np.int64], geometry: Geometry, depth: int) -> NDArray[np.int64]:
    return np.repeat(modes, geometry.coarse.widths << (SPLITS - depth), axis=-1)
