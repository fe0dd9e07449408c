"""The latents of a segment in compiled kernels.

What they code is what `LatentStream` codes (latent.py), which tests compare them with symbol by symbol.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.errors import FormatError
from evc.format.frequencies import FrequencyTable, Integers
from evc.format.streams.integer_network import CompiledLayers, Layer
from evc.format.words import check

Latents = NDArray[np.int64]


class CompiledLatents:
    """A model of latents: its `passes`, the places `look` [dimensions, features], the `layers` of its network, `centre`
    of its predicted dimensions, and the tables of magnitudes and differences."""

    def __init__(
        self,
        passes: list[NDArray[np.int64]],
        look: Integers,
        layers: list[Layer],
        centre: Layer,
        tables: tuple[FrequencyTable, FrequencyTable],
    ) -> None:
        at = np.concatenate(passes)
        self.dimensions, first = len(at), len(at) - len(centre[0])
        (weights, biases, shift), *others = layers
        network = CompiledLayers([(weights, np.broadcast_to(biases, (len(at), len(weights)))[at], shift), *others])
        centres = [CompiledLayers([_rows(centre, of_pass[of_pass >= first] - first)]) for of_pass in passes]
        arrays = [np.array([len(one) for one in passes]).cumsum(), at, look[at]]
        compiled = [table.compiled for table in tables]
        self._kept = network, centres, [np.ascontiguousarray(array, np.int32) for array in arrays], compiled
        self._centres = kernels.ffi.new("evc_layer[]", [one.struct[0] for one in centres])
        self._struct = kernels.ffi.new("evc_latent_model *", {
            "dimensions": len(at), "predicted": len(centre[0]), "passes": len(passes), "looked": look.shape[1],
            "layers": len(layers), "network": network.struct, "first": network.struct[0].biases,
            "centres": self._centres, "magnitudes": compiled[0].struct, "differences": compiled[1].struct,
            **dict(zip(("ends", "at", "look"), map(kernels.pointer, self._kept[2]), strict=True)),
        })  # fmt: skip

    @staticmethod
    def fits(look: Integers, layers: list[Layer]) -> bool:
        """Whether the kernels can run such a network."""
        widest = max(look.shape[1] + 1, *(len(weights) for weights, _, _ in layers))
        lib = kernels.lib
        return bool(widest <= lib.EVC_WIDEST and len(layers) <= lib.EVC_MOST_LATENT_LAYERS)

    def read(self, port: Any, step: int, columns: int) -> Latents:
        """The latents of so many columns, of those whose signs come last magnitudes. Raises DamagedError or FormatError
        where there are none."""
        latents = np.zeros((columns, self.dimensions), np.int64)
        beyond = kernels.lib.evc_latents_read(self._struct, port, step, columns, kernels.pointer(latents))
        check(port)
        if beyond:
            raise FormatError("a latent is out of range")
        return latents

    def write(self, port: Any, step: int, latents: Latents) -> None:
        """Record what `read` is to find."""
        latents = np.ascontiguousarray(latents, np.int64)
        kernels.lib.evc_latents_write(self._struct, port, step, len(latents), kernels.pointer(latents))
        check(port)

    def bits(self, step: int, latents: Latents) -> NDArray[np.float64]:
        """What each column costs."""
        latents, bits = np.ascontiguousarray(latents, np.int64), np.zeros(len(latents))
        pointers = kernels.pointer(latents), kernels.pointer(bits)
        _checked(kernels.lib.evc_latents_bits(self._struct, step, len(latents), *pointers))
        return bits

    def choose(self, step: int, wanted: NDArray[np.float32], rounding: float, worth: float) -> Latents:
        """Of latents `wanted` in steps, the integers of least squared error plus `worth` for each bit, where others are
        rounded by `rounding`."""
        wanted, chosen = np.ascontiguousarray(wanted, np.float32), np.zeros(wanted.shape, np.int64)
        pointers = kernels.pointer(wanted), rounding, worth, kernels.pointer(chosen)
        _checked(kernels.lib.evc_latents_choose(self._struct, step, len(wanted), *pointers))
        return chosen


def _rows(layer: Layer, rows: NDArray[np.int64]) -> Layer:
    """Some outputs of a layer."""
    weights, biases, shift = layer
    return weights[rows], biases[rows], shift


def _checked(error: int) -> None:
    if error:
        raise MemoryError
