"""Files for readers in other people's pipelines: which there are, and each as an `EvcFile`, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from evc.catalogue.sources import inputs
from evc.file import EvcFile
from evc.format.errors import EvcError, InputError

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
_ENDINGS = frozenset([".evc"])


def evc_paths(paths: Paths) -> list[str]:
    """All .evc files, sorted, that `paths` names: files, folders, globs, lists, URLs. Raises InputError where there are
    none."""
    try:
        sources = [os.fspath(path) for path in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    except TypeError as error:
        raise InputError(f"{paths!r}: neither a path nor a list of paths") from error
    if not sources:
        raise InputError("no .evc files: the list of paths is empty")
    plain = [path for path in sources if path.endswith(".evc") and "*" not in path and not os.path.isdir(path)]
    others = [path for path in sources if path not in set(plain)]
    found = [file.path for file in inputs(others, _ENDINGS)] if others or not plain else []
    return sorted({*(path if "://" in path else os.path.abspath(path) for path in plain), *found})


@contextmanager
def opened(path: str) -> Iterator[EvcFile]:
    """An .evc file by path or URL; of one that is elsewhere only what is needed is fetched. Errors name it."""
    try:
        if "://" in path:
            from evc.catalogue.needed import check_installed

            check_installed("fsspec")
            import fsspec

            with fsspec.open(path, "rb") as binary, EvcFile(binary) as file:
                yield file
        else:
            with EvcFile(path) as file:
                yield file
    except EvcError as error:
        if path in str(error):
            raise
        raise EvcError(f"{path}: {error}") from error


def check_channels(channels: int | None) -> None:
    """Raise InputError unless so many channels can be made of one or two; None leaves them as they are."""
    if channels not in (None, 1, 2):
        raise InputError(f"{channels} channels: 1 or 2 can be made of any")


def with_channels(audio: NDArray[np.float32], channels: int | None, name: str) -> NDArray[np.float32]:
    """`audio` [any, frames] as [channels, frames]: the mean of all, or one twice. Raises InputError, which names the
    file, for two out of more."""
    if channels is None or len(audio) == channels:
        return audio
    if channels == 1:
        return audio.mean(0, keepdims=True)
    if len(audio) > 1:
        raise InputError(f"{name}: has {len(audio)} channels, of which {channels} cannot be made")
    return np.repeat(audio, channels, 0)
