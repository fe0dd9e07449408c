"""Networks that are installed: their weights by the id and digest of a file's header, and what needs no torch of them.

Weights lie in the package, in `models/<layer>/weights/<id>.safetensors`. A reference names an id and the first bytes of
the SHA-256 of such a file, so that a file never sounds with weights other than those it was made for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.events import PART_INDEX, PARTS, PITCH_MIDDLE, PITCH_PER_SEMITONE, VECTOR_DIMS
from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NETWORK_DIGEST_BYTES, NetworkReference

EVENTS_NETWORK = "evc-events-1"
LATENTS_NETWORK = "evc-latents-1"

_SUFFIX = ".safetensors"
_ENCODERS = "-encoder"
_CODEBOOK = "codebook."  # and the name of a part: the tensor [codes, dimensions] of its codebook
_STEPS_PER_OCTAVE = 12 * PITCH_PER_SEMITONE
_ROWS = 1 << 12  # vectors looked up at once

_other_folders: list[Path] = []


def installed() -> tuple[NetworkReference, ...]:
    """The networks whose weights are in the package, by id."""
    return tuple(reference_of(path) for path in _paths())


def reference_of(path: Path) -> NetworkReference:
    """How a file's header names the network with these weights."""
    stat = path.stat()
    return NetworkReference(path.name.removesuffix(_SUFFIX), _digest(path, stat.st_mtime_ns, stat.st_size))


def installed_network(id: str) -> NetworkReference:
    """How a new file names an installed network. Raises UnsupportedError if there is none of this id."""
    for path in _paths():
        if path.name == id + _SUFFIX:
            return reference_of(path)
    raise UnsupportedError(f"the network {id} is not installed")


def find(reference: NetworkReference) -> Path:
    """The weights of a network. Raises UnsupportedError, naming the id, if it is not installed or has other weights."""
    named = {path: reference_of(path) for path in _paths() if path.name == reference.id + _SUFFIX}
    for path, found in named.items():
        if found.digest == reference.digest:
            return path
    if not named:
        raise UnsupportedError(f"the file needs networks that are not installed: {reference.id}")
    others = ", ".join(found.digest.hex() for found in named.values())
    digests = f"{reference.digest.hex()} are needed, {others} are installed"
    raise UnsupportedError(f"the network {reference.id} has other weights: {digests}")


def check(references: Iterable[NetworkReference]) -> None:
    """Raise UnsupportedError unless all are installed, with the weights that are needed."""
    missing = {reference.id for reference in references} - {path.name.removesuffix(_SUFFIX) for path in _paths()}
    if missing:
        raise UnsupportedError(f"the file needs networks that are not installed: {', '.join(sorted(missing))}")
    for reference in references:
        find(reference)


@contextmanager
def installed_too(folder: Path) -> Iterator[None]:
    """For as long as this lasts, in all threads, the networks whose weights lie in `folder` count as installed, and go
    before those in the package: weights on trial, those of the conformance vectors."""
    _other_folders.insert(0, folder)
    try:
        yield
    finally:
        _other_folders.remove(folder)


def tensors(path: Path, prefix: str) -> dict[str, NDArray[Any]]:
    """The tensors in a file of weights whose names begin with `prefix`, by what follows it."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def _paths() -> list[Path]:
    """Weights that files can name; those that only an encoder needs are told by their name."""
    others = [path for folder in _other_folders for path in sorted(folder.glob(f"*{_SUFFIX}"))]
    found = Path(str(resources.files("evc.models"))).glob(f"*/weights/*{_SUFFIX}")
    return others + sorted(path for path in found if not path.stem.endswith(_ENCODERS))


@lru_cache(maxsize=16)
def _digest(path: Path, modified: int, size: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()[:NETWORK_DIGEST_BYTES]


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
    return Codebooks(tensors(path, _CODEBOOK))


def _analytic(name: str, codes: int) -> NDArray[np.float32]:
    """The codebook of a part that is not learned, otherwise an empty one."""
    steps = np.arange(codes)
    if name == "pitch":
        return ((steps[:, None] - PITCH_MIDDLE) / _STEPS_PER_OCTAVE).astype(np.float32)
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
