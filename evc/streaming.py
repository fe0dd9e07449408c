"""Inputs and outputs that may be paths, open files or pipes, made seekable where that is needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from evc.format.errors import InputError
from evc.format.sharing import check_file
from evc.output import atomic_output, temporary_file, writing

PathOrFile = str | os.PathLike[str] | BinaryIO


UNNAMED = "input"  # what an open file is called in messages
UNNAMED_OUTPUT = "output"


def display_name(file: PathOrFile) -> str:
    """What to call `file` in a message."""
    return os.fspath(file) if isinstance(file, (str, os.PathLike)) else UNNAMED


def open_binary(path: str | os.PathLike[str]) -> BinaryIO:
    """The file at `path` for reading; raises InputError where there is none."""
    check_file(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {(error.strerror or str(error)).lower()}") from error


def check_readable(file: PathOrFile) -> None:
    """Raise InputError, with the system's reason, if `file` is no file, or the path of one that cannot be opened."""
    check_file(file)
    if isinstance(file, (str, os.PathLike)) and not is_special(file):
        open_binary(file).close()


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at `path` that is neither a file nor a folder: a pipe or a device."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextmanager
def seekable_input(file: PathOrFile) -> Iterator[BinaryIO]:
    """`file` for reading. What a pipe delivers goes to a temporary file first, so that memory stays
    bounded."""
    check_file(file)
    with ExitStack() as stack:
        if isinstance(file, (str, os.PathLike)):
            file = stack.enter_context(open_binary(file))
        if not file.seekable():
            spool = stack.enter_context(temporary_file())
            shutil.copyfileobj(file, spool)
            spool.seek(0)
            file = spool
        yield file


@contextmanager
def seekable_output(file: PathOrFile, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A readable and seekable file that becomes the file at a path when the block ends well, or is then
    copied to an open file. After an exception nothing appears."""
    check_file(file)
    if isinstance(file, (str, os.PathLike)) and not is_special(file):
        with atomic_output(file, overwrite) as output:
            yield output
        return
    with temporary_file() as spool:
        yield spool
        spool.seek(0)
        if isinstance(file, (str, os.PathLike)):
            with atomic_output(file, overwrite) as output:
                shutil.copyfileobj(spool, output)
        else:
            with writing(UNNAMED_OUTPUT):
                shutil.copyfileobj(spool, file)
                if hasattr(file, "flush"):
                    file.flush()
