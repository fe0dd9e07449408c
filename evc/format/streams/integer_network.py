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

_STEP = 8  # outputs that kernels compute at once

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
        self._integers = layers
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

    def packed(self) -> Packed | None:
        """What the kernels take; None for a network larger than they can run."""
        widest = max(max(weights.shape) for weights, _, _ in self._integers)
        return Packed(self._integers) if widest <= kernels.lib.EVC_WIDEST - _STEP else None


class Packed:
    """Layers as the kernels take them: `layers`, an array of evc_layer, and `first`, int32 [rows, outputs], the biases of
    the first layer if it has several rows of them."""

    def __init__(self, layers: list[Layer]) -> None:
        self._arrays: list[tuple[Any, Any]] = []
        structs = []
        for weights, biases, shift in layers:
            outputs, inputs = weights.shape
            wide = -(-outputs // _STEP) * _STEP
            pairs = np.zeros((inputs + inputs % 2, wide), np.int16)
            pairs[:inputs, :outputs] = weights.T
            own = np.zeros((*biases.shape[:-1], wide), np.int32)
            own[..., :outputs] = biases
            # Two inputs side by side for each output.
            pairs = np.ascontiguousarray(pairs.reshape(-1, 2, wide).swapaxes(1, 2))
            self._arrays.append((pairs, own))
            structs.append((inputs, wide, shift, *map(kernels.pointer, self._arrays[-1])))
        self.first = self._arrays[0][1]
        self.layers = kernels.ffi.new("evc_layer[]", structs)
        self.count = len(layers)
