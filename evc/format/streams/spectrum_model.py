"""The frozen probability model of the spectrum stream: integer networks and frequency tables (spec section 9)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format.coder import FrequencyTable, Integers
from evc.format.constants import (
    ALONE_WEIGHTS,
    BLOCK_DEPTHS,
    ENERGY_SCALES,
    MAGNITUDE_SCALES,
    MAGNITUDE_SHAPES,
    SAME_OFFSET_WEIGHT,
    SPECTRUM_OFFSETS,
)
from evc.format.streams.integer_network import Features, IntegerNetwork, Layer
from evc.format.streams.spectrum_contexts import STATIC_FEATURES, static_features
from evc.format.streams.spectrum_tables import tables

ALONE = FrequencyTable(ALONE_WEIGHTS)
# The offset of a superframe, by that of the one before.
OFFSETS = FrequencyTable(1 + (SAME_OFFSET_WEIGHT - 1) * np.eye(SPECTRUM_OFFSETS, dtype=np.int64))
_LAST_ROWS = np.array([MAGNITUDE_SCALES - 1, MAGNITUDE_SHAPES - 1])


class BlockNetwork(IntegerNetwork):
    """A network with two hidden layers. Its first inputs are the static features, the same for a whole block."""

    def __init__(self, layers: list[Layer]) -> None:
        super().__init__(layers)
        weights, biases = self.layers[0]
        self.layers[0] = np.ascontiguousarray(weights[STATIC_FEATURES:]), biases
        self._biases = {
            (depth, before): biases + static_features(depth, before) @ weights[:STATIC_FEATURES]
            for depth in range(BLOCK_DEPTHS)
            for before in range(BLOCK_DEPTHS)
        }

    def of_block(self, features: Features, static: tuple[int, int]) -> Features:
        """Integer features float32 [n, inputs] of a block, with (depth, depth before), to float32 [n, outputs]."""
        return self(features, self._biases[static])


class SpectrumModel:
    """Networks and tables by use. energy[channel][pass], coefficient[channel][pass]."""

    def __init__(self, arrays: dict[str, Integers]) -> None:
        def network(name: str) -> BlockNetwork:
            return BlockNetwork(
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
        out = self.energy[key].of_block(features, static).astype(np.int64)
        predicted = reference + out[:, 0]
        scale = np.minimum(np.maximum(out[:, 1], 0), ENERGY_SCALES - 1)
        return predicted >> 2, 4 * scale + (predicted & 3)

    def coefficient_rows(
        self, key: tuple[int, int], features: Features, static: tuple[int, int]
    ) -> NDArray[np.int64]:
        """Table rows int64 [n]."""
        out = self.coefficient[key].of_block(features, static).astype(np.int64)
        np.maximum(out, 0, out=out)
        np.minimum(out, _LAST_ROWS, out=out)
        return out[:, 0] + MAGNITUDE_SCALES * out[:, 1]


@lru_cache(maxsize=1)
def spectrum_model() -> SpectrumModel:
    """The model of version 1, loaded once."""
    return SpectrumModel(tables())
