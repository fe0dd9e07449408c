"""Output files that appear under their final name only when they are complete, and say what kept them from it."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from evc.format.errors import InputError, OutputError


@contextmanager
def atomic_output(path: str | os.PathLike[str], overwrite: bool = True) -> Iterator[BinaryIO]:
    """A binary file, readable and seekable, that becomes `path` when the block ends well.

    The bytes go to a temporary file in the same folder, reach the disk, and are then renamed; any
    exception removes the temporary file and leaves what was at `path` alone. What exists and is no
    regular file (a device, a named pipe) is written in place.

    Raises OutputError where `path` cannot be written, also from the file's own methods in the block; InputError where
    it is a folder, or exists and `overwrite` is false.
    """
    name = os.fspath(path)
    target = Path(os.path.realpath(path))
    with writing(name):
        special = target.exists() and not target.is_file() and not target.is_dir()
    if target.is_dir():
        raise InputError(f"{name}: is a folder")
    if name.endswith(("/", os.sep)):
        raise InputError(f"{name}: names a folder, not a file")
    if special:
        with opened(target, name, os.O_WRONLY) as file:
            yield file
        return
    _check_free(target, overwrite, name)
    temporary = target.with_name(_part_name())
    try:  # from here on, since a signal may come as soon as the file is there
        with opened(temporary, name) as file:
            if target.exists():
                with writing(name):
                    temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            with writing(name):
                os.fsync(file.fileno())
        _check_free(target, overwrite, name)
        with writing(name):
            os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


@contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder, whose files move to the folder `path` when the block ends well; that is made where there is none.
    `opened` makes files in it.

    Any exception removes the new folder with all that is in it. Raises OutputError where `path` cannot be written.
    """
    name, target = os.fspath(path), Path(path).absolute()
    with writing(name):
        temporary = next(folder for folder in (target, *target.parents) if folder.exists()) / _part_name()
        temporary.mkdir()
    try:
        yield temporary
        with writing(name):
            target.mkdir(parents=True, exist_ok=True)
            files = sorted(temporary.iterdir())
            for file in files:  # before the first is moved
                if (target / file.name).is_dir():
                    raise OutputError(f"{os.path.join(name, file.name)}: is a folder")
            for file in files:
                os.replace(file, target / file.name)
            temporary.rmdir()
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_folder(target)


@contextmanager
def temporary_file() -> Iterator[BinaryIO]:
    """A file without a name, readable and writable, for what has to wait before it can be used. Raises OutputError,
    also from the file's own methods, where there is no room for it."""
    try:
        name = f"temporary file in {tempfile.gettempdir()}"
    except OSError as error:
        raise OutputError(f"no folder for temporary files: {_reason(error)}") from error
    with writing(name):
        unnamed = tempfile.TemporaryFile()
    with unnamed, _buffered(_Output(unnamed.fileno(), name, closefd=False)) as file:
        yield file


@contextmanager
def writing(name: str) -> Iterator[None]:
    """Turns what the system says against writing into an OutputError about `name`. A reader that has gone away
    (BrokenPipeError) is no error of the output."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{name}: cannot be written ({_reason(error)})") from error


class _Output(io.FileIO):
    """An open file whose errors are OutputErrors about `name`: the layer beneath the buffer, where all bytes pass,
    whenever they do."""

    def __init__(self, descriptor: int, name: str, mode: str = "r+b", closefd: bool = True) -> None:
        super().__init__(descriptor, mode, closefd)
        self._of = name

    def write(self, data: Any, /) -> int:
        with writing(self._of):
            return super().write(data)

    def close(self) -> None:
        with writing(self._of):
            super().close()


def _buffered(raw: _Output) -> BinaryIO:
    return cast(BinaryIO, io.BufferedRandom(raw) if raw.readable() else io.BufferedWriter(raw))


def opened(path: Path, name: str, flags: int = os.O_RDWR | os.O_CREAT | os.O_EXCL) -> BinaryIO:
    """The file at `path`, by default a new one, for writing and reading; errors are about `name`."""
    with writing(name):
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o666)
    return _buffered(_Output(descriptor, name, "r+b" if flags & os.O_RDWR else "wb"))


def _part_name() -> str:
    """Of what is not complete: nobody else has a file of this name."""
    return f".evc-{secrets.token_hex(8)}.part"


def _check_free(target: Path, overwrite: bool, name: str) -> None:
    if not overwrite and target.exists():
        raise InputError(f"{name}: exists already")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable where the system allows a folder to be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
