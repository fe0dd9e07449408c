"""Decoded integers to coefficients: dequantisation and noise filling (spec section 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout


def noise(counters: NDArray[np.uint32]) -> NDArray[np.float32]:
    """Uniform noise float32 of unit power from uint32 counters (spec 10.2)."""
    return (hashed(counters).astype(np.float32) - np.float32(2**31)) * np.float32(3**0.5 * 2.0**-31)


def hashed(counters: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The integer hash of uint32 counters (spec 10.2)."""
    x = counters ^ (counters >> np.uint32(16))
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    x ^= x >> np.uint32(16)
    return x


def dequantise(
    coefficients: NDArray[np.integer],
    energies: NDArray[np.integer],
    steps: NDArray[np.integer],
    bands: layout.BandLayout,
    starts: NDArray[np.int64],
    channel: int,
) -> NDArray[np.float32]:
    """Coefficients float32 [channels, blocks, bins] with noise filled in.

    coefficients int [channels, blocks, bins]; energies, steps int [channels, blocks, bands]: indices, and logs in
    1/64 octave;
    starts int [blocks]: first sample of each block in the file; channel: number of the first channel.
    """
    if kernels.lib is not None:
        return _compiled(coefficients, energies, steps, bands, starts, channel)
    edges, widths = bands.edges[:-1], bands.widths.astype(np.float32)
    step = np.exp2(steps / c.OCTAVE).astype(np.float32)
    rms = np.where(energies > 0, np.exp2(layout.energy_log(energies) / c.OCTAVE), 0).astype(np.float32)
    magnitude = np.abs(coefficients).astype(np.float32)
    shrink = np.where(magnitude == 1, np.float32(c.SHRINK_ONE), np.float32(c.SHRINK_LARGE))
    zero = coefficients == 0
    value = np.sign(coefficients).astype(np.float32) * (magnitude - shrink) * step[..., bands.band_of_bin]
    with np.errstate(over="ignore"):  # absurd steps: what is infinite leaves nothing to fill
        coded = np.add.reduceat(np.square(value), edges, axis=-1)
    zeros = np.add.reduceat(zero.astype(np.float32), edges, axis=-1)
    left = np.sqrt(np.maximum(rms * rms * widths - coded, 0) / np.maximum(zeros, 1))
    level = np.where(zeros == widths, c.FILL_EMPTY * rms, np.minimum(c.FILL_PARTLY * left, c.FILL_CAP * step)).astype(
        np.float32
    )
    # Every coefficient of a file has its own sample number: that of its block plus that of its bin.
    number = (starts[:, None] + np.arange(bands.bins)).astype(np.uint32) * np.uint32(8)
    counters = number + (channel + np.arange(len(coefficients), dtype=np.uint32))[:, None, None]
    filling = noise(counters) * level[..., bands.band_of_bin]
    return value + np.where(zero, filling, 0)


def _compiled(
    coefficients: NDArray[np.integer],
    energies: NDArray[np.integer],
    steps: NDArray[np.integer],
    bands: layout.BandLayout,
    starts: NDArray[np.integer],
    channel: int,
) -> NDArray[np.float32]:
    """`dequantise`, compiled."""
    channels, blocks = coefficients.shape[:2]
    out = np.empty((channels, blocks, bands.bins), np.float32)
    of_bands = channels, blocks, bands.bands
    if coefficients.shape != out.shape or energies.shape != of_bands or steps.shape != of_bands:
        raise ValueError(f"energies {energies.shape} and steps {steps.shape} do not go with {coefficients.shape}")
    if len(starts) != blocks:
        raise ValueError(f"there are {blocks} blocks, but not as many starts")
    integers = [np.ascontiguousarray(values, np.int64) for values in (energies, steps, starts, bands.edges)]
    coefficients = np.ascontiguousarray(coefficients, np.int32)
    of_energies, of_steps, of_starts, edges = map(kernels.pointer, integers)
    kernels.lib.evc_dequantise(
        kernels.pointer(coefficients), of_energies, of_steps, of_starts, channels, blocks, edges, bands.bands, channel,
        kernels.pointer(out),
    )  # fmt: skip
    return out
