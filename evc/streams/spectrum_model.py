"""The frozen probability model of the spectrum stream: integer networks and frequency tables (spec section 9).

Each network is a small multilayer perceptron whose weights, biases and activations are integers. They are evaluated
as float32 matrices, which is exact in any order of summation because every partial sum stays below 2**24.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.coder import FrequencyTable, Integers
from evc.constants import (
    ACTIVATION_LIMIT,
    BLOCK_DEPTHS,
    ENERGY_SCALES,
    FEATURE_LIMIT,
    MAGNITUDE_SCALES,
    MAGNITUDE_SHAPES,
)
from evc.streams.spectrum_contexts import STATIC_FEATURES, static_features
from evc.streams.spectrum_tables import tables

_LAST_ROWS = np.array([MAGNITUDE_SCALES - 1, MAGNITUDE_SHAPES - 1])

# Rows multiplied at once. Above some size BLAS libraries start threads of their own, which get in the way of those
# that segments are coded in, and make such small products many times slower.
_ROWS = 192

Features = NDArray[np.float32]


class IntegerNetwork:
    """Two hidden layers; weights [outputs, inputs] and biases [outputs] are integers stored as float32.

    A hidden layer is clip(floor((W x + b) / 2**shift), 0, 255), the last floor((W x + b) / 2**shift). The first inputs
    are the static features, the same for a whole block.
    """

    def __init__(self, layers: list[tuple[Integers, Integers, int]]) -> None:
        self.layers: list[tuple[Features, Features]] = []
        reach = float(FEATURE_LIMIT)
        for weights, biases, shift in layers:
            if (np.abs(weights).sum(axis=1) * reach + np.abs(biases)).max() >= 2**24:
                raise ValueError("a layer of an integer network can exceed the exact range of float32")
            scale = 2.0**-shift
            # Scaling by a power of two is exact, so it is folded into the weights.
            self.layers.append(((weights.T * scale).astype(np.float32), (biases * scale).astype(np.float32)))
            reach = float(ACTIVATION_LIMIT)
        first_weights, first_biases = self.layers[0]
        self.first = np.ascontiguousarray(first_weights[STATIC_FEATURES:])
        self.biases = {
            (depth, before): first_biases + static_features(depth, before) @ first_weights[:STATIC_FEATURES]
            for depth in range(BLOCK_DEPTHS)
            for before in range(BLOCK_DEPTHS)
        }

    def __call__(self, features: Features, static: tuple[int, int]) -> NDArray[np.float32]:
        """Integer features float32 [n, inputs] of a block, with (depth, depth before), to float32 [n, outputs]."""
        values = _product(features, self.first)
        values += self.biases[static]
        for weights, biases in self.layers[1:]:
            np.floor(values, out=values)
            np.maximum(values, 0, out=values)
            np.minimum(values, ACTIVATION_LIMIT, out=values)
            values = _product(values, weights)
            values += biases
        return np.floor(values, out=values)


def _product(values: Features, weights: Features) -> Features:
    """values [n, inputs] @ weights [inputs, outputs], a few rows at a time."""
    inputs, outputs = weights.shape
    whole = len(values) - len(values) % _ROWS
    if not whole:
        return values @ weights
    out = np.empty((len(values), outputs), np.float32)
    np.matmul(values[:whole].reshape(-1, _ROWS, inputs), weights, out=out[:whole].reshape(-1, _ROWS, outputs))
    np.matmul(values[whole:], weights, out=out[whole:])
    return out


class SpectrumModel:
    """Networks and tables by use. energy[channel][pass], coefficient[channel][pass]."""

    def __init__(self, arrays: dict[str, Integers]) -> None:
        def network(name: str) -> IntegerNetwork:
            return IntegerNetwork(
                [
                    (
                        arrays[f"{name}.w{i}"].astype(np.int64),
                        arrays[f"{name}.b{i}"].astype(np.int64),
                        int(arrays[f"{name}.shifts"][i]),
                    )
                    for i in range(3)
                ]
            )

        def table(name: str) -> FrequencyTable:
            return FrequencyTable(arrays[name].astype(np.int64))

        pairs = [(channel, stage) for channel in range(2) for stage in range(3)]
        self.energy = {key: network(f"energy{key[0]}{key[1]}") for key in pairs}
        self.energy_table = {key: table(f"energy{key[0]}{key[1]}.table") for key in pairs}
        pairs = [(channel, stage) for channel in range(2) for stage in range(2)]
        self.coefficient = {key: network(f"coefficient{key[0]}{key[1]}") for key in pairs}
        self.coefficient_table = {key: table(f"coefficient{key[0]}{key[1]}.table") for key in pairs}
        self.band = table("band.table")
        self.stereo = table("stereo.table")
        self.split = table("split.table")
        self.hold = table("hold.table")

    def energy_rows(
        self, key: tuple[int, int], features: Features, reference: NDArray[np.int64], static: tuple[int, int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(predicted energy index int64 [n], table rows int64 [n])."""
        out = self.energy[key](features, static).astype(np.int64)
        predicted = reference + out[:, 0]
        scale = np.minimum(np.maximum(out[:, 1], 0), ENERGY_SCALES - 1)
        return predicted >> 2, 4 * scale + (predicted & 3)

    def coefficient_rows(
        self, key: tuple[int, int], features: Features, static: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Table rows int64 [n]."""
        out = self.coefficient[key](features, static).astype(np.int64)
        np.maximum(out, 0, out=out)
        np.minimum(out, _LAST_ROWS, out=out)
        return out[:, 0] + MAGNITUDE_SCALES * out[:, 1]


@lru_cache(maxsize=1)
def spectrum_model() -> SpectrumModel:
    """The model of version 1, loaded once."""
    return SpectrumModel(tables())
