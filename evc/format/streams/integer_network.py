"""Small networks whose weights, biases and activations are integers (spec 9.8), for probability models.

They are evaluated as float32 matrices, which is exact in any order of summation because every partial sum stays below
2**24. Weights fit 16 bits, for those who compute in integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.coder import Integers
from evc.format.constants import ACTIVATION_LIMIT, FEATURE_LIMIT

Features = NDArray[np.float32]
Layer = tuple[Integers, Integers, int]  # weights [outputs, inputs], biases [outputs] or [rows, outputs], shift

EXACT = 1 << 24  # below it float32 holds every integer
MOST_WEIGHT = (1 << 15) - 1

LANES = 8  # outputs of a layer that kernels compute at once

# Rows multiplied at once. Above some size BLAS libraries start threads of their own, which get in the way of those
# that segments are coded in, and make such small products many times slower.
_ROWS = 192


def exact_layer(weights: Integers, biases: Integers, shift: int, reach: int) -> tuple[Features, Features]:
    """A layer for inputs from -reach to reach, as float32 weights [inputs, outputs] and biases of the shape given, both
    scaled by 2**-shift. Raises ValueError for weights beyond 16 bits, or if a partial sum could be inexact."""
    weights, biases = weights.astype(np.int64), biases.astype(np.int64)
    if (weights > MOST_WEIGHT).any() or (weights < -MOST_WEIGHT).any():
        raise ValueError("a weight of an integer network does not fit 16 bits")
    largest = np.abs(weights).sum(axis=1) * reach + np.abs(biases.astype(np.float64))
    if not 0 <= shift <= 24 or largest.max(initial=0) >= EXACT:
        raise ValueError("a layer of an integer network can exceed the exact range of float32")
    scale = 2.0**-shift
    # Scaling by a power of two is exact.
    return np.ascontiguousarray(weights.T * scale, np.float32), np.ascontiguousarray(biases * scale, np.float32)


def product(values: Features, weights: Features) -> Features:
    """values [n, inputs] @ weights [inputs, outputs], a few rows at a time."""
    inputs, outputs = weights.shape
    whole = len(values) - len(values) % _ROWS
    if not whole:
        return values @ weights
    out = np.empty((len(values), outputs), np.float32)
    np.matmul(values[:whole].reshape(-1, _ROWS, inputs), weights, out=out[:whole].reshape(-1, _ROWS, outputs))
    np.matmul(values[whole:], weights, out=out[whole:])
    return out


class IntegerNetwork:
    """Some hidden layers and a last one.

    A hidden layer is clip(floor((W x + b) / 2**shift), 0, 255), the last floor((W x + b) / 2**shift). Features are
    from -127 to 127.
    """

    def __init__(self, layers: list[Layer]) -> None:
        """Raises ValueError for weights beyond 16 bits, or if a layer could be inexact."""
        reaches = [FEATURE_LIMIT] + [ACTIVATION_LIMIT] * (len(layers) - 1)
        self.layers = [exact_layer(*layer, reach) for layer, reach in zip(layers, reaches, strict=True)]

    def __call__(self, features: Features, biases: Features | None = None) -> Features:
        """Integer features float32 [n, inputs] to float32 [n, outputs]. `biases`, [outputs] or [n, outputs], are those
        of the first layer if it has more than one row of them, or another."""
        weights, own = self.layers[0]
        values = product(features, weights)
        values += own if biases is None else biases
        for weights, own in self.layers[1:]:
            np.floor(values, out=values)
            np.maximum(values, 0, out=values)
            np.minimum(values, ACTIVATION_LIMIT, out=values)
            values = product(values, weights)
            values += own
        return np.floor(values, out=values)


class CompiledLayers:
    """Layers of an integer network as the kernels take them, `struct`. Their outputs are padded to a multiple of LANES,
    their inputs to one of two. ValueError where a hidden layer is wider than kernels have room for."""

    def __init__(self, layers: list[Layer]) -> None:
        if any(len(weights) > kernels.lib.EVC_WIDEST for weights, _, _ in layers[:-1]):
            raise ValueError("a layer of an integer network is too wide")
        self.struct = kernels.ffi.new("evc_layer[]", len(layers))
        self._kept = [self._fill(struct, *layer) for struct, layer in zip(self.struct, layers, strict=True)]

    @staticmethod
    def _fill(struct: Any, weights: Integers, biases: Integers, shift: int) -> tuple[Any, Any]:
        outputs, inputs = weights.shape
        pairs, wide = -(-inputs // 2), -(-outputs // LANES) * LANES
        of_pairs = np.zeros((wide, 2 * pairs), np.int16)
        of_pairs[:outputs, :inputs] = weights
        of_rows = np.zeros((*biases.shape[:-1], wide), np.int32)
        of_rows[..., :outputs] = biases
        kept = np.ascontiguousarray(of_pairs.reshape(wide, pairs, 2).transpose(1, 0, 2)), of_rows
        struct.inputs, struct.outputs, struct.shift = 2 * pairs, wide, shift
        struct.weights, struct.biases = map(kernels.pointer, kept)
        return kept
