"""Networks that are installed: their weights, by the id and digest of a file's header.

A reference names an id and the first bytes of the SHA-256 of `<id>.safetensors`, so that a file never sounds with
weights other than those it was made for. Such files lie in the package's folder `weights`. Before it come the folders
that the environment variable EVC_NETWORKS lists as PATH does its own: weights on trial, those of conformance vectors.
The variable is read whenever a network is looked for, and reaches processes that are started.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NETWORK_DIGEST_BYTES, NetworkReference

SEARCH_PATH = "EVC_NETWORKS"

_PACKAGE = Path(__file__).resolve().parent.parent / "weights"
_SUFFIX = ".safetensors"


def reference_of(path: Path) -> NetworkReference:
    """How a file's header names the network with these weights."""
    stat = path.stat()
    return NetworkReference(path.name.removesuffix(_SUFFIX), _digest(path, stat.st_mtime_ns, stat.st_size))


def weights(id: str) -> Path:
    """The weights of an installed network. Raises UnsupportedError if there is none of this id."""
    for path in _paths(id):
        return path
    raise UnsupportedError(f"the network {id} is not installed")


def installed_network(id: str) -> NetworkReference:
    """How a new file names an installed network. Raises UnsupportedError if there is none of this id."""
    return reference_of(weights(id))


def find(reference: NetworkReference) -> Path:
    """The weights of a network. Raises UnsupportedError, naming the id, if it is not installed or has other weights."""
    named = {path: reference_of(path) for path in _paths(reference.id)}
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
    missing = sorted(reference.id for reference in references if not any(_paths(reference.id)))
    if missing:
        raise UnsupportedError(f"the file needs networks that are not installed: {', '.join(missing)}")
    for reference in references:
        find(reference)


@contextmanager
def installed_too(folder: Path) -> Iterator[None]:
    """For as long as this lasts, `folder` is the first of EVC_NETWORKS."""
    before = os.environ.get(SEARCH_PATH)
    os.environ[SEARCH_PATH] = os.pathsep.join([str(folder), *([before] if before else [])])
    try:
        yield
    finally:
        del os.environ[SEARCH_PATH]
        if before is not None:
            os.environ[SEARCH_PATH] = before


def tensors(path: Path, prefix: str) -> dict[str, NDArray[Any]]:
    """The tensors in a file of weights whose names begin with `prefix`, by what follows it. Raises InputError if it
    is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]
            return {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, TypeError) as error:  # TypeError: of types that NumPy does not have
        raise InputError(f"{path.name} does not hold the weights of a network") from error


def _paths(id: str) -> Iterator[Path]:
    """Weights of this id. An id may come from a file: it is compared with names, never made a part of a path."""
    others = [Path(folder) for folder in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if folder]
    for folder in (*others, _PACKAGE):
        yield from (path for path in folder.glob(f"*{_SUFFIX}") if path.name == id + _SUFFIX and path.is_file())


@lru_cache(maxsize=16)
def _digest(path: Path, modified: int, size: int) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()[:NETWORK_DIGEST_BYTES]
