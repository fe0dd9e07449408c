"""What a choice costs, in bits, before anything is quantised: the rate of what is left, and the noise it will have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Signal

RATE_FACTOR = np.float32(6.0)  # bits of a coefficient: log2(1 + this * its power in squared steps) / 2
CODED_NOISE = np.float32(0.25)  # power of the noise of coded coefficients, in squared steps
NOISE_BITS = np.float32(8.0)  # what noise of one squared step more is worth
STEP_EXPONENT = np.float32(0.72)  # of a squared step in the power that it follows
FILLED = np.float32(1.5)  # power of the noise of a coefficient that is replaced by noise, by its own
FILLING = np.float32(0.5)  # power of what is filled in, by that of what is missing
MISSING = np.float32(0.5)  # of what is heard: what lacks more is filled in
LEVEL = np.float32(1.0)  # what an error of the level is worth, by noise of the power of the difference of amplitudes
ENERGY_BITS = np.float32(0.8)  # of a band energy
UNCODED = np.float32(0.15)  # power, in squared steps, of what is not worth coding
QUIET = np.float32(0.1)  # squared steps, below which it does not matter how quiet a coefficient is


def rate(left: Signal, widths: Signal) -> Signal:
    """Bits of coding energies `left`, in squared steps, in bands of `widths` coefficients: those of Gaussian ones."""
    bits: Signal = np.log2(1 + RATE_FACTOR * np.maximum(left, 0) / widths) * (widths / 2)
    return bits


def plain_cost(heard: Signal, widths: Signal) -> Signal:
    """The same without patterns, for energies `heard`, with what the noise is worth."""
    return cost(heard, heard, np.zeros_like(heard), widths)


def uncoded_noise(left: Signal, heard: Signal, brought: Signal) -> Signal:
    """What is heard of the error in bands of which nothing is coded, as the power of noise: from the energies that are
    `left`, `heard` in the original, and `brought`.

    The level is heard more than the waveform there: noise that is not the same noise is no worse than what would be
    filled in, as long as it is as loud.
    """
    off = np.sqrt(heard) - np.sqrt(np.maximum(brought, 0))
    noise: Signal = np.minimum(left, FILLED * heard) + LEVEL * off * off
    return noise


def cost(left: Signal, heard: Signal, brought: Signal, widths: Signal) -> Signal:
    """The same where patterns have `brought` sound to a band and something is `left`: the lesser of that of coding it,
    and of not coding it, where what is missing may be filled in.

    Where something is coded, steps should follow what is `heard`, and do follow what is left if that is louder. All are
    energies in the squared steps that they should have.
    """
    left = np.maximum(left, 0)
    missing = np.maximum(heard - brought, 0)
    filled = np.minimum(left + FILLING * missing, FILLED * heard)
    fill = missing > MISSING * heard
    noise = np.where(fill, filled, uncoded_noise(left, heard, brought))
    uncoded = NOISE_BITS * noise + np.where(fill, ENERGY_BITS, np.float32(0))
    louder = left / np.maximum(heard, QUIET * widths)
    steps = CODED_NOISE * widths * np.maximum(louder, 1) ** STEP_EXPONENT
    total: Signal = np.minimum(uncoded, rate(left, widths) + NOISE_BITS * steps + ENERGY_BITS)
    return total


@dataclass(frozen=True, eq=False)
class Copied:
    """What a copy may do for the blocks of a segment, all float32 and energies in squared steps [planes, blocks, fine
    bands]: what is to be coded is its `own`, all that is `heard`, the `power` of the copy, and its inner product with
    the first, `cross`; the bits without it, `plain` [planes, blocks, bands]; and the inner products of what is heard
    with what is to be coded, `own_heard`, and with the copy, `copy_heard`."""

    own: Signal
    heard: Signal
    cross: Signal
    power: Signal
    plain: Signal
    own_heard: Signal
    copy_heard: Signal

    def part(self, blocks: slice) -> Copied:
        """Some of the blocks."""
        return Copied(*(np.ascontiguousarray(all_[:, blocks]) for all_ in vars(self).values()))

    def saved(self, gains: Signal, per: int, firsts: NDArray[np.int64], widths: Signal) -> Signal:
        """Bits saved [gains, planes, blocks / per, bands] by the copy at each of some gains. firsts [bands + 1]: fine
        bands with which bands begin; widths [fine bands]: of coefficients."""
        planes, blocks, bands = self.plain.shape
        if kernels.lib is None:
            all_gains = gains[:, None, None, None]
            left = self.own - 2 * all_gains * self.cross + all_gains * all_gains * self.power
            brought = self.heard - 2 * (self.own_heard - all_gains * self.copy_heard) + left
            saved = self.plain - np.add.reduceat(cost(left, self.heard, brought, widths), firsts[:-1], axis=-1)
            sums: Signal = saved.reshape(len(gains), planes, -1, per, bands).sum(axis=3)
            return sums
        out = np.empty((len(gains), planes, blocks // per, bands), np.float32)
        products = self.own, self.heard, self.cross, self.power, self.plain, self.own_heard, self.copy_heard
        arrays = firsts, widths, *products
        shape = planes, blocks, len(widths), bands
        copied = kernels.ffi.new("evc_copied *", (*shape, *(kernels.pointer(array) for array in arrays)))
        costs = kernels.ffi.new("evc_costs *", _CONSTANTS)
        kernels.lib.evc_saved(costs, copied, kernels.pointer(gains), len(gains), per, kernels.pointer(out))
        return out


# In the order of the kernels' evc_costs.
_CONSTANTS = (RATE_FACTOR, CODED_NOISE, NOISE_BITS, STEP_EXPONENT, FILLED, FILLING, MISSING, LEVEL, ENERGY_BITS, QUIET)
