"""Output files that appear under their final name only when they are complete."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

from evc.errors import InputError


@contextmanager
def atomic_output(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[BinaryIO]:
    """A binary file, readable and seekable, that becomes `path` when the block ends well.

    The bytes go to a temporary file in the same folder, reach the disk, and are then renamed; any
    exception removes the temporary file and leaves what was at `path` alone. What exists and is no
    regular file (a device, a named pipe) is written in place.

    Raises InputError where `path` exists and `overwrite` is false, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with _opened(target, os.O_WRONLY, "wb", path) as file:
            yield file
        return
    if target.is_dir():
        raise InputError(f"{os.fspath(path)}: is a folder")
    _check_free(target, overwrite, path)
    temporary = target.with_name(f".evc-{secrets.token_hex(8)}.part")
    file = _opened(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, "r+b", path)
    try:
        with file:
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_free(target, overwrite, path)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _opened(path: Path, flags: int, mode: Literal["wb", "r+b"], wanted: str | os.PathLike[str]) -> BinaryIO:
    """The file at `path`; `wanted` is what an error is about."""
    try:
        return os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666), mode)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{os.fspath(wanted)}: cannot be written ({reason})") from error


def _check_free(target: Path, overwrite: bool, wanted: str | os.PathLike[str]) -> None:
    if not overwrite and target.exists():
        raise InputError(f"{os.fspath(wanted)}: exists already")


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable where the system allows a folder to be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
