"""The walk of the spectrum stream in compiled kernels.

What they code is what `Walk` codes (spectrum_walk.py), which tests compare them with symbol by symbol.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder
from evc.format.frequencies import CompiledTable, FrequencyTable
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.integer_network import CompiledLayers
from evc.format.streams.integers import frozen_tables
from evc.format.streams.spectrum_blocks import BlockArrays
from evc.format.streams.spectrum_contexts import STATIC_FEATURES, static_features
from evc.format.streams.spectrum_model import ALONE, OFFSETS, SpectrumModel, spectrum_model
from evc.format.streams.spectrum_tables import psychoacoustics, tables
from evc.format.words import check


def _network(name: str) -> CompiledLayers:
    """A network of blocks: its first inputs are the same for a whole block, and become biases."""
    arrays = tables()
    weights = [arrays[f"{name}.w{layer}"].astype(np.int64) for layer in range(3)]
    biases = [arrays[f"{name}.b{layer}"].astype(np.int64) for layer in range(3)]
    static = [static_features(depth, before) for depth in range(c.BLOCK_DEPTHS) for before in range(c.BLOCK_DEPTHS)]
    biases[0] = biases[0] + np.array(static).astype(np.int64) @ weights[0][:, :STATIC_FEATURES].T
    weights[0] = weights[0][:, STATIC_FEATURES:]
    return CompiledLayers(list(zip(weights, biases, map(int, arrays[f"{name}.shifts"]), strict=True)))


class _Model:
    """The frozen model of version 1."""

    def __init__(self, model: SpectrumModel) -> None:
        self.struct = kernels.ffi.new("evc_spectrum_model *")
        self._adaptive = frozen_tables()
        self._kept: list[CompiledLayers | CompiledTable] = []  # that the struct points into
        for (channel, stage), table in model.energy_table.items():
            self._put(self.struct.energy[channel][stage], f"energy{channel}{stage}")
            self.struct.energy_tables[channel][stage] = self._table(table)
        for (channel, stage), table in model.coefficient_table.items():
            self._put(self.struct.coefficient[channel][stage], f"coefficient{channel}{stage}")
            self.struct.coefficient_tables[channel][stage] = self._table(table)
        for name in ("band", "stereo", "split", "hold"):
            setattr(self.struct, name, self._table(getattr(model, name)))
        self.struct.alone, self.struct.offsets = self._table(ALONE), self._table(OFFSETS)
        self.struct.adaptive = self._adaptive.struct[0]

    def _put(self, target: Any, name: str) -> None:
        found = _network(name)
        self._kept.append(found)
        for place, layer in enumerate(found.struct):
            target[place] = layer

    def _table(self, table: FrequencyTable) -> Any:
        found = table.compiled
        self._kept.append(found)
        return found.struct[0]


@lru_cache(maxsize=1)
def _model() -> _Model:
    return _Model(spectrum_model())


@lru_cache(maxsize=64)
def _geometry(superframe: int, coarse_bands: int) -> Any:
    geometry = layout.geometry(superframe, coarse_bands)
    struct = kernels.ffi.new("evc_geometry *")
    struct.superframe, struct.coarse_bands, struct.fine_bands = superframe, coarse_bands, geometry.fine_bands
    for depth, bands in enumerate(geometry.layouts):
        struct.bands[depth] = bands.bands
        struct.edges[depth] = bands.edges.tolist()
        struct.fine[depth] = bands.fine.tolist()
    for number, name in enumerate(("fine", "coarse")):
        spreading, offset = psychoacoustics(name)
        struct.offset[number] = offset.tolist()
        struct.spreading[number] = spreading.tolist()
    return struct


class CompiledWalk:
    """A walk through the superframes of one channel group; the arguments are those of `Walk`."""

    def __init__(
        self, geometry: layout.Geometry, channels: int, gain: int, graded: bool, covered: NDArray[np.int64]
    ) -> None:
        frames = np.ascontiguousarray(covered, np.int64)
        self._keeps = _model(), _geometry(geometry.superframe, geometry.coarse_bands)
        model, struct = self._keeps
        begun = kernels.lib.evc_walk_begin(
            model.struct, struct, channels, gain, graded, kernels.pointer(frames), len(frames)
        )
        if not begun:
            raise MemoryError
        self.walk = kernels.ffi.gc(begun, kernels.lib.evc_walk_end)
        self._arrays: list[BlockArrays] = []  # that the walk points into

    def read(self, port: Any, arrays: BlockArrays, bits: NDArray[np.float64] | None) -> None:
        """Decode superframes, but for what follows the walk. What each costs is added to `bits` [superframes]; None:
        nothing is accounted for."""
        self._arrays.append(arrays)
        places = kernels.ffi.NULL if bits is None else kernels.pointer(bits)
        kernels.lib.evc_walk_read(self.walk, port, _pointers(arrays), 0, arrays.count, places)
        check(port)

    def write(self, port: Any, arrays: BlockArrays) -> None:
        """Record superframes, but for what follows the walk. ValueError where an offset is out of range."""
        self._arrays.append(arrays)
        _check_offsets(arrays)
        kernels.lib.evc_walk_write(self.walk, port, _pointers(arrays), 0, arrays.count)
        check(port)

    def search(
        self,
        port: Any,
        arrays: BlockArrays,
        how: Any,
        spectra: NDArray[np.float32],
        heard: NDArray[np.int32] | None = None,
    ) -> None:
        """Decide the coefficients of superframes. spectra: what is to be quantised, like the coefficients; heard: where
        patterns sound, energies of all that is heard, like the energies."""
        _check_offsets(arrays)
        pointers = kernels.pointer(spectra), kernels.ffi.NULL if heard is None else kernels.pointer(heard)
        kernels.lib.evc_walk_search(self.walk, port, _pointers(arrays), 0, arrays.count, how, *pointers)
        check(port)


def _check_offsets(arrays: BlockArrays) -> None:
    """Kernels look up what they are given in tables: all else of a block is limited by `BlockArrays.put` or by them."""
    if arrays.count and not 0 <= arrays.offsets.min() <= arrays.offsets.max() < c.SPECTRUM_OFFSETS:
        raise ValueError("an offset is out of range")


def _pointers(arrays: BlockArrays) -> Any:
    struct = kernels.ffi.new("evc_blocks *")
    for name in ("offsets", "counts", "depths", "held", "alone", "rising",
                 "modes", "energies", "rises", "steps", "coefficients"):  # fmt: skip
        setattr(struct, name, kernels.pointer(getattr(arrays, name)))
    return struct


def write_rest(walks: list[CompiledWalk], port: Any) -> None:
    """Record what follows all walks of a stream."""
    kernels.lib.evc_walks_write_rest([walk.walk for walk in walks], len(walks), port)
    check(port)


# Kinds of symbols, as the kernels number them.
KINDS = ("partition", "offsets", "alone", "hold", "stereo", "energies", "bands", "coefficients", "escapes", "low bits",
         "signs")  # fmt: skip


class Reading:
    """A spectrum stream as kernels decode it from a decoder, and account for it if that does."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        self.port, self._decoder = decoder.port, decoder

    def rest(self, walks: list[CompiledWalk]) -> float:
        """Decode what follows all walks of a stream; returns its ideal bits."""
        before = self._spent
        kernels.lib.evc_walks_complete([walk.walk for walk in walks], len(walks), self.port, self._decoder.accounting)
        check(self.port)
        return self._spent - before

    @property
    def _spent(self) -> float:
        return sum(self.port.charges)

    def account(self) -> None:
        """Tell the decoder what was decoded."""
        for kind, count, bits in zip(KINDS, self.port.counts, self.port.charges, strict=True):
            if count:
                self._decoder.charge(kind, count, bits)
