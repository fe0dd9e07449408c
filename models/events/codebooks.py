"""Codes of an event to its vector and back, by the codebooks of a network: NumPy alone, no torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NetworkReference
from evc.format.networks import find, tensors
from evc.models.events.vectors import PART_INDEX, PARTS, PITCH_MIDDLE, STEPS_PER_OCTAVE, VECTOR_DIMS

CODEBOOK = "codebook."  # and the name of a part: the tensor [codes, dimensions] of its codebook
_ROWS = 1 << 12  # vectors looked up at once


class Codebooks:
    """What each part of an event vector may be: `tables`, float32 [codes, dimensions] by name of the part."""

    def __init__(self, tables: dict[str, NDArray[np.float32]]) -> None:
        """`tables` of the parts that are learned; pitch and phase follow from formulas. Raises InputError for tables
        that are missing or have other dimensions."""
        self._tables = [_analytic(part.name, part.codes) for part in PARTS]
        for index, part in enumerate(PARTS):
            if self._tables[index].size:
                continue
            table = np.asarray(tables.get(part.name, ()), np.float32)
            if table.ndim != 2 or table.shape[1] != part.dims.stop - part.dims.start or not 1 <= len(table) <= 1 << 16:
                raise InputError(f"the codebook of {part.name} is missing or has another shape")
            self._tables[index] = table

    @classmethod
    def of(cls, reference: NetworkReference | None) -> Codebooks:
        """Those of an installed network. Raises UnsupportedError if it is not."""
        if reference is None:
            raise UnsupportedError("the file names no network for its events")
        return cls.load(find(reference))

    @classmethod
    def load(cls, path: Path) -> Codebooks:
        """Those in a file of weights."""
        return _load(path, path.stat().st_mtime_ns)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many codes each part has."""
        return tuple(map(len, self._tables))

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        """The codebook of a part: [codes, dimensions]."""
        return self._tables[PART_INDEX[name]]

    def codes_to_vectors(self, codes: NDArray[np.integer]) -> NDArray[np.float32]:
        """[events, parts] to float32 [events, 32]. Raises UnsupportedError for codes that are not of these books."""
        vectors = np.zeros((len(codes), VECTOR_DIMS), np.float32)
        if codes.shape[1:] != (len(PARTS),) or ((codes < 0) | (codes >= np.array(self.sizes))).any():
            raise UnsupportedError("the events have codes that their network does not know")
        for part, table, column in zip(PARTS, self._tables, codes.T, strict=True):
            vectors[:, part.dims] = table[column]
        return vectors

    def vectors_to_codes(self, vectors: NDArray[np.floating]) -> NDArray[np.int64]:
        """[events, 32] to [events, parts]: of each part the entry at the least Euclidean distance."""
        columns = [_nearest(vectors[:, part.dims], table) for part, table in zip(PARTS, self._tables, strict=True)]
        return np.stack(columns, axis=1)


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> Codebooks:
    return Codebooks(tensors(path, CODEBOOK))


def _analytic(name: str, codes: int) -> NDArray[np.float32]:
    """The codebook of a part that is not learned, otherwise an empty one."""
    steps = np.arange(codes)
    if name == "pitch":
        return ((steps[:, None] - PITCH_MIDDLE) / STEPS_PER_OCTAVE).astype(np.float32)
    if name == "phase":
        angles = 2 * np.pi * steps / codes
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    return np.zeros((0, 0), np.float32)


def _nearest(points: NDArray[np.floating], table: NDArray[np.float32]) -> NDArray[np.int64]:
    """Row of the table [codes, dimensions] nearest to each of the points [events, dimensions]."""
    exact = table.astype(np.float64)
    if table.shape[1] == 1 and (np.diff(exact[:, 0]) > 0).all():
        middles = (exact[1:, 0] + exact[:-1, 0]) / 2
        return np.searchsorted(middles, points[:, 0].astype(np.float64)).astype(np.int64)
    nearest = np.zeros(len(points), np.int64)
    for start in range(0, len(points), _ROWS):
        some = points[start : start + _ROWS].astype(np.float64)
        distances = np.square(some[:, None, :] - exact).sum(axis=2)
        nearest[start : start + _ROWS] = distances.argmin(axis=1)
    return nearest
