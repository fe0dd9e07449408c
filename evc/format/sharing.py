"""One reader in several threads, and in both processes after a fork.

A fork copies memory and the one thread that forks: locks that other threads held stay locked in the child, pools lack
their threads, caches may be half written. And it shares what the system keeps: the position of an open file.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, BinaryIO, Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakSet

from evc.format.errors import InputError


class Forkable:
    """Whoever inherits this is told of a fork in the child, before anything else happens there. To be initialised when
    all that `after_fork` uses is there."""

    _all: WeakSet[Forkable] = WeakSet()

    def __init__(self) -> None:
        Forkable._all.add(self)

    def after_fork(self) -> None:
        """Make anew what a fork does not copy."""

    @staticmethod
    def _tell() -> None:
        for one in list(Forkable._all):
            one.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Forkable._tell)


class _Locked(Protocol):
    @property
    def _lock(self) -> threading.RLock: ...


Owner = TypeVar("Owner", bound=_Locked)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def alone(
    method: Callable[Concatenate[Owner, Arguments], Result],
) -> Callable[Concatenate[Owner, Arguments], Result]:
    """Makes calls of a method, and of all others of the object that are made so, wait for each other (`_lock`)."""

    @wraps(method)
    def locked(self: Owner, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


def check_file(file: object) -> None:
    """Raise InputError, with what is expected, unless `file` is a path that is not empty or looks like a binary
    file."""
    if isinstance(file, (str, os.PathLike)):
        if not os.fspath(file):
            raise InputError("the name of a file is empty")
        if "\0" in os.fspath(file):
            raise InputError("the name of a file holds a null character")
    elif isinstance(file, (bytes, bytearray, memoryview)):
        raise InputError("bytes are no file: give a path, or io.BytesIO(data)")
    elif isinstance(file, io.TextIOBase):
        raise InputError('the file is open as text: open it as binary, as by open(path, "rb")')
    elif not all(hasattr(file, name) for name in ("read", "seek", "seekable")) and not hasattr(file, "write"):
        raise InputError(f"{type(file).__name__} is no file: give a path, or an open binary file")


class PositionedFile(Forkable):
    """A binary file of `size` bytes that is read at given places by any thread, and by both processes after a fork.

    Where there is a real file beneath, reads do not touch its position. Where there is none, threads take turns; a fork
    copies what is in memory, but of a file of another kind (one that unpacks another, say) only the process that opened
    it can read.

    Raises InputError for what is no binary file, cannot seek, is closed, or cannot be read.
    """

    def __init__(self, file: BinaryIO) -> None:
        check_file(file)
        self.name = getattr(file, "name", None)
        self._file = file
        self._plain = _plain_file(file)
        self._lock = threading.Lock()
        self._foreign = False
        try:
            if file.writable():
                file.flush()  # what waits in memory is not in the file yet
            self.size = file.seek(0, io.SEEK_END)
        except (AttributeError, io.UnsupportedOperation, OSError) as error:
            raise InputError("the input cannot seek: read all of it into an io.BytesIO first") from error
        super().__init__()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._foreign = self._plain is None and not isinstance(self._file, io.BytesIO)

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes at `offset`; fewer only at the end of the file."""
        parts: list[bytes] = []
        try:
            while count > 0 and (part := self._part(offset, count)):
                parts.append(part)
                offset += len(part)
                count -= len(part)
        except ValueError as error:
            raise InputError("the file is closed") from error
        except OSError as error:
            raise InputError(f"the file cannot be read ({(error.strerror or str(error)).lower()})") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, offset: int, count: int) -> bytes:
        if self._plain is not None:
            return os.pread(self._plain.fileno(), count, offset)
        if self._foreign:
            raise InputError("a file of this kind is read by the process that opened it alone: open it again by path")
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count) or b""


def _plain_file(file: BinaryIO) -> Any:
    """The real file that `file` is, without anything between them but a buffer; None where it is another kind of
    file, or the system has no reads at a place."""
    inner = getattr(file, "file", file)  # as of tempfile.NamedTemporaryFile
    raw = getattr(inner, "raw", inner)
    buffered = type(inner) in (io.BufferedReader, io.BufferedRandom, io.FileIO)
    return inner if buffered and isinstance(raw, io.FileIO) and hasattr(os, "pread") else None
