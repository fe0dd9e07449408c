"""Spectra compared band by band: inner products, what is left of one when another is taken from it, and its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Signal


class Bands:
    """Bands of spectra whose rows have `size` bins: band b from bin edges[b] to edges[b + 1]."""

    def __init__(self, edges: NDArray[np.int64], size: int) -> None:
        self.edges, self.size = np.ascontiguousarray(edges, np.int64), size
        self.widths = np.diff(self.edges)
        self.count = len(self.widths)

    def products(self, one: Signal, other: Signal) -> Signal:
        """Inner products [..., bands] of float32 [..., size], contiguous; `other` may lack the first axes."""
        if kernels.lib is None:
            bins = slice(0, self.edges[-1])
            sums: Signal = np.add.reduceat(one[..., bins] * other[..., bins], self.edges[:-1], axis=-1)
            return sums
        out = np.empty((*one.shape[:-1], self.count), np.float32)
        kernels.lib.evc_band_products(
            self._layout(), kernels.pointer(one), one.size // self.size,
            kernels.pointer(other), other.size // self.size, kernels.pointer(out),
        )  # fmt: skip
        return out

    def subtract(self, left: Signal, other: Signal, gains: Signal) -> None:
        """Take `other` times gains float32 [bands] from `left`, both float32 [rows, size] and contiguous."""
        if kernels.lib is None:
            left[:, : self.edges[-1]] -= self.on_bins(gains) * other[:, : self.edges[-1]]
            return
        kernels.lib.evc_subtract(
            self._layout(), kernels.pointer(left), kernels.pointer(other), len(left),
            kernels.pointer(np.ascontiguousarray(gains)),
        )  # fmt: skip

    def left_bits(
        self, residual: Signal, spectra: Signal, which: NDArray[np.int64], gains: Signal, inverse: Signal
    ) -> Signal:
        """Bits [which, planes, bands], about, of `residual` [planes, blocks, size] without gains [which, planes, bands]
        times each of those signals of `spectra` [signals, planes, blocks, size]; inverse [planes, bands]: of their
        steps."""
        if kernels.lib is None:
            bins = slice(0, self.edges[-1])
            left = residual[..., bins] - self.on_bins(gains)[..., None, :] * spectra[which][..., bins]
            bits = np.log2(np.abs(left) * self.on_bins(inverse)[:, None] + 1)
            sums: Signal = np.add.reduceat(bits.sum(axis=-2), self.edges[:-1], axis=-1)
            return sums
        planes, blocks = residual.shape[:2]
        out = np.empty(gains.shape, np.float32)
        kernels.lib.evc_left_bits(
            self._layout(), planes, blocks, kernels.pointer(residual), kernels.pointer(spectra),
            kernels.pointer(np.ascontiguousarray(which, np.int64)), len(which),
            kernels.pointer(np.ascontiguousarray(gains)), kernels.pointer(np.ascontiguousarray(inverse)),
            kernels.pointer(out),
        )  # fmt: skip
        return out

    def on_bins(self, values: Signal) -> Signal:
        """Values [..., bands] on bins."""
        return np.repeat(values, self.widths, axis=-1)

    def _layout(self) -> Any:
        return kernels.ffi.new("evc_bands *", (self.size, self.count, kernels.pointer(self.edges)))
