"""What a choice costs, in bits, before anything is quantised: the rate of what is left, and the noise it will have."""

from __future__ import annotations

import numpy as np

from evc.models.arrays import Signal

RATE_FACTOR = np.float32(6.0)  # bits of a coefficient: log2(1 + this * its power in squared steps) / 2
CODED_NOISE = np.float32(0.25)  # power of the noise of coded coefficients, in squared steps
NOISE_BITS = np.float32(8.0)  # what noise of one squared step more is worth
STEP_EXPONENT = np.float32(0.72)  # of a squared step in the power that it follows
FILLED = np.float32(1.5)  # power of the noise of a coefficient that is replaced by noise, by its own
FAINT = np.float32(0.25)  # of what is heard: what is brought does not fill a band
ENERGY_BITS = np.float32(0.8)  # of a band energy
UNCODED = np.float32(0.15)  # power, in squared steps, of what is not worth coding
QUIET = np.float32(0.1)  # squared steps, below which it does not matter how quiet a coefficient is


def rate(left: Signal, widths: Signal) -> Signal:
    """Bits of coding energies `left`, in squared steps, in bands of `widths` coefficients: those of Gaussian ones."""
    bits: Signal = np.log2(1 + RATE_FACTOR * np.maximum(left, 0) / widths) * (widths / 2)
    return bits


def plain_cost(heard: Signal, widths: Signal) -> Signal:
    """The same without patterns, for energies `heard`, with what the noise is worth."""
    noise = np.minimum(FILLED * np.maximum(heard, 0), CODED_NOISE * widths)
    total: Signal = rate(heard, widths) + NOISE_BITS * noise + ENERGY_BITS
    return total


def cost(left: Signal, heard: Signal, brought: Signal, widths: Signal) -> Signal:
    """The same where patterns have `brought` sound to a band and something is `left`.

    Steps should follow what is `heard`, and do follow what is left if that is louder. All are energies in the squared
    steps that they should have.
    """
    louder = left / np.maximum(heard, QUIET * widths)
    coded = CODED_NOISE * widths * np.maximum(louder, 1) ** STEP_EXPONENT
    # Where next to nothing is brought, its place would be filled with noise as well.
    faint = brought < FAINT * heard
    filled = np.where(faint, FILLED, np.float32(1)) * np.maximum(left, 0)
    energies = np.where(faint | (left > UNCODED * widths), ENERGY_BITS, np.float32(0))
    total: Signal = rate(left, widths) + NOISE_BITS * np.minimum(filled, coded) + energies
    return total
