"""Stereo of the spectrum layer: each coarse band of a block is left/right, or mid/side with the side predicted from
the mid (spec section 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.streams.spectrum_layout import Geometry
from evc.models.arrays import Signal
from evc.models.spectrum.analysis import SPLITS, band_energies, model_steps

SWITCH_PENALTY = 12.0  # bits: changing a band's mode from one block to the next
STEP_EXPONENT = 0.7  # of a step in its band's energy
PREDICTIONS = np.array(c.STEREO_PREDICTIONS, np.float32)  # of the side from the mid, by mode
HALF_ROOT = np.float32(0.5**0.5)
# The left and the right channel in all that modes may code: the two, the mid, the side less what is predicted of it.
_CODED = np.zeros((2, 16), np.float32)
_CODED[:, 0], _CODED[:, 1], _CODED[:, 2] = (1, 0), (0, 1), HALF_ROOT
_CODED[:, 3 : 2 + c.STEREO_MODES] = HALF_ROOT * np.stack([1 - PREDICTIONS[1:], -1 - PREDICTIONS[1:]])


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
    return _cheapest(costs)


def _cheapest(costs: Signal) -> NDArray[np.int64]:
    """The cheapest sequence of modes [blocks, coarse bands] by costs [blocks, coarse bands, modes], which are lost."""
    blocks, bands = costs.shape[:2]
    chosen = np.zeros((blocks, bands), np.int64)
    if kernels.lib is not None:
        work = np.empty(costs.shape, np.uint8)
        arrays = kernels.pointer(work), kernels.pointer(chosen)
        kernels.lib.evc_cheapest_modes(kernels.pointer(costs), blocks, bands, SWITCH_PENALTY, *arrays)
        return chosen
    total = costs[0]
    origin = np.zeros(costs.shape, np.int64)
    modes = np.arange(c.STEREO_MODES)
    for block in range(1, blocks):
        best = total.argmin(axis=-1)[:, None]
        switched = np.take_along_axis(total, best, -1) + SWITCH_PENALTY
        origin[block] = np.where(total <= switched, modes, best)
        total = np.minimum(total, switched) + costs[block]
    state = total.argmin(axis=-1)
    for block in range(blocks - 1, -1, -1):
        chosen[block] = state
        state = np.take_along_axis(origin[block], state[:, None], -1)[:, 0]
    return chosen


def _mode_costs(pair: Signal, heard: Signal, geometry: Geometry, depth: int, gain: int) -> Signal:
    """Bits [blocks, coarse bands, modes] of spectra [2, blocks, size], about."""
    edges = geometry.coarse.edges << (SPLITS - depth)
    widths = np.diff(edges)
    energy = band_energies(heard, edges).sum(axis=0) / (2 * widths).astype(np.float32)
    scales = 1 / model_steps(np.sqrt(energy), gain, STEP_EXPONENT)
    if kernels.lib is not None:
        pair = np.ascontiguousarray(pair)
        out = np.empty((*scales.shape, c.STEREO_MODES), np.float32)
        kernels.lib.evc_mode_bits(
            kernels.pointer(pair), len(scales), pair.shape[-1], kernels.pointer(scales), kernels.pointer(edges),
            len(widths), kernels.pointer(_CODED), kernels.pointer(out),
        )  # fmt: skip
        return out
    left, right = pair[..., : edges[-1]] * np.repeat(scales, widths, axis=-1)
    mid, side = mid_side(left, right)

    def bits(ratio: Signal) -> Signal:
        return np.add.reduceat(np.log2(1 + np.abs(ratio)), edges[:-1], axis=-1)

    of_mid = bits(mid)
    sides = [of_mid + bits(side - prediction * mid) for prediction in PREDICTIONS[1:]]
    return np.stack([bits(left) + bits(right), *sides], axis=-1)


def apply_stereo(pair: Signal, modes: NDArray[np.int64], geometry: Geometry, depth: int) -> Signal:
    """Left/right spectra [2, blocks, size] to coded ones [2, blocks, bins], by modes [blocks, coarse bands]."""
    if kernels.lib is not None:
        return _compiled(pair, modes, geometry, depth, geometry.layouts[depth].bins, False)
    mode = _mode_of_bin(modes, geometry, depth)
    left, right = pair[..., : mode.shape[-1]]
    mid, side = mid_side(left, right)
    plain = mode == 0
    return np.stack([np.where(plain, left, mid), np.where(plain, right, side - PREDICTIONS[mode] * mid)])


def undo_stereo(coded: Signal, modes: NDArray[np.int64], geometry: Geometry, depth: int) -> Signal:
    """The inverse of `apply_stereo`: coded spectra [2, blocks, bins] to [2, blocks, size]. What is added to the mid as
    noise thereby goes where the signal is."""
    if kernels.lib is not None:
        return _compiled(coded, modes, geometry, depth, geometry.superframe >> depth, True)
    mode = _mode_of_bin(modes, geometry, depth)
    first, second = coded
    side = second + PREDICTIONS[mode] * first
    left, right = mid_side(first, side)
    plain = mode == 0
    out = np.zeros((2, len(modes), geometry.superframe >> depth), np.float32)
    out[..., : mode.shape[-1]] = np.where(plain, first, left), np.where(plain, second, right)
    return out


def _compiled(
    pair: Signal, modes: NDArray[np.int64], geometry: Geometry, depth: int, size_out: int, inverse: bool
) -> Signal:
    """`apply_stereo`, or its inverse, to [2, blocks, size_out]."""
    pair, modes = np.ascontiguousarray(pair, np.float32), np.ascontiguousarray(modes, np.int64)
    edges = geometry.coarse.edges << (SPLITS - depth)
    _, blocks, size = pair.shape
    if size < edges[-1] or modes.shape != (blocks, geometry.coarse_bands):
        raise ValueError(f"modes {modes.shape} do not go with a pair {pair.shape}")
    out = np.empty((2, blocks, size_out), np.float32)
    kernels.lib.evc_stereo(
        kernels.pointer(pair), size, kernels.pointer(modes), blocks, kernels.pointer(edges), len(edges) - 1, inverse,
        kernels.pointer(out), size_out,
    )  # fmt: skip
    return out


def _mode_of_bin(modes: NDArray[np.int64], geometry: Geometry, depth: int) -> NDArray[np.int64]:
    return np.repeat(modes, geometry.coarse.widths << (SPLITS - depth), axis=-1)
