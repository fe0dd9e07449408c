"""Where files lie: folders of this machine, or URLs that fsspec opens (s3://, gs://, sftp://, memory://, ...)."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from evc.format.errors import EvcError, InputError
from evc.output import atomic_output, writing

# Where nothing can be seen of an object before all of it is there.
_OBJECT_STORES = frozenset("abfs abfss adl az gcs gs memory oci oss r2 s3 s3a".split())


class Found(NamedTuple):
    """A file: its name below the place, bytes, and what changes when it is written again (mtime in ns, an ETag)."""

    name: str
    size: int
    stamp: str


@dataclass(frozen=True)
class Place(ABC):
    """A folder, or what an URL has in its place. Names within are relative, with slashes. It can be pickled."""

    root: str

    @abstractmethod
    def files(self, endings: frozenset[str] | None = None) -> Iterator[Found]:
        """All files below, but for hidden ones, in no order; of some `endings`, in lower case, only. None if there is
        nothing here."""

    def names(self, ending: str) -> set[str]:
        """Names of all files below with an ending, in lower case."""
        return {one.name for one in self.files(frozenset([ending]))}

    @abstractmethod
    def found(self, name: str) -> Found | None:
        """One file, if it is there."""

    @abstractmethod
    def fetched(self, name: str) -> Any:
        """Context manager: the path of a file of this machine with the same bytes. Raises InputError."""

    @abstractmethod
    def bytes_of(self, name: str) -> bytes:
        """All of a small file. Raises FileNotFoundError."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """A small file, complete or not at all."""

    @abstractmethod
    def publish(self, path: str, name: str) -> None:
        """Let the complete file at `path` become `name`, at once, in place of what was there."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """A file that may be gone already."""

    @abstractmethod
    def workshop(self, name: str) -> str:
        """A folder of this machine for what is not complete; it is made if it is not there."""

    def holds(self, path: str, name: str) -> bool:
        """Whether `name` has the same bytes as the file at `path`."""
        with self.fetched(name) as mine:
            return filecmp.cmp(path, mine, shallow=False)

    def full(self, name: str) -> str:
        """Path or URL of a file."""
        return f"{self.root.rstrip('/')}/{name}"


@dataclass(frozen=True)
class LocalPlace(Place):
    def files(self, endings: frozenset[str] | None = None) -> Iterator[Found]:
        for below, entry in self._entries(endings):
            try:
                told = entry.stat()
            except OSError:  # gone since, or a link to nowhere
                continue
            if stat.S_ISREG(told.st_mode):
                yield Found(below + entry.name, told.st_size, str(told.st_mtime_ns))

    def names(self, ending: str) -> set[str]:
        return {below + entry.name for below, entry in self._entries(frozenset([ending]))}

    def _entries(self, endings: frozenset[str] | None) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """All that is no folder, with the folder it is in, as part of a name. Nothing is asked of the files: there may
        be millions."""
        folders = [""]
        while folders:
            below = folders.pop()
            try:
                entries = os.scandir(self.root + os.sep + below)
            except OSError as error:
                if not below and isinstance(error, (FileNotFoundError, NotADirectoryError)):
                    return
                raise InputError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from error
            with entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{below}{name}/")
                    elif endings is None or os.path.splitext(name)[1].lower() in endings:
                        yield below, entry

    def found(self, name: str) -> Found | None:
        try:
            told = os.stat(self.full(name))
        except (OSError, ValueError):  # a name that no file can have
            return None
        return Found(name, told.st_size, str(told.st_mtime_ns))

    @contextmanager
    def fetched(self, name: str) -> Iterator[str]:
        path = self.full(name)
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):  # to open a pipe waits for ever
            raise InputError(f"{path}: is no regular file")
        yield path

    def bytes_of(self, name: str) -> bytes:
        return Path(self.full(name)).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        self._make_folder(name)
        with atomic_output(self.full(name)) as file:
            file.write(data)

    def publish(self, path: str, name: str) -> None:
        self._make_folder(name)
        with writing(self.full(name)):
            os.replace(path, self.full(name))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self.full(name))

    def workshop(self, name: str) -> str:
        path = self.full(name)
        with writing(path):
            os.makedirs(path, exist_ok=True)
        return path

    def _make_folder(self, name: str) -> None:
        folder = os.path.dirname(self.full(name))
        with writing(folder):
            os.makedirs(folder, exist_ok=True)


@dataclass(frozen=True)
class RemotePlace(Place):
    @property
    def _system(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        from fsspec.core import url_to_fs

        try:
            return url_to_fs(self.root)
        except (ImportError, ValueError) as error:  # a protocol that is unknown, or needs another package
            raise InputError(f"{self.root}: cannot be opened ({' '.join(str(error).split())})") from error

    def _at(self, name: str) -> tuple[Any, str]:
        system, root = self._system
        return system, f"{root.rstrip('/')}/{name}"

    def files(self, endings: frozenset[str] | None = None) -> Iterator[Found]:
        system, root = self._system
        system.invalidate_cache()
        start = len(root.rstrip("/")) + 1
        try:
            listed = system.find(root, detail=True)
        except FileNotFoundError:
            return
        for path, told in listed.items():
            name = path[start:]
            if endings is not None and os.path.splitext(name)[1].lower() not in endings:
                continue
            if name and not any(part.startswith(".") for part in name.split("/")):
                yield Found(name, told.get("size") or 0, _stamp(told))

    def found(self, name: str) -> Found | None:
        system, path = self._at(name)
        try:
            told = system.info(path, refresh=True) if "s3" in system.protocol else system.info(path)
        except FileNotFoundError:
            return None
        return Found(name, told.get("size") or 0, _stamp(told))

    @contextmanager
    def fetched(self, name: str) -> Iterator[str]:
        system, path = self._at(name)
        with tempfile.TemporaryDirectory(prefix="evc-") as folder:
            local = os.path.join(folder, os.path.basename(name))
            try:
                system.get_file(path, local)
            except FileNotFoundError as error:
                raise InputError(f"{self.full(name)}: no such file") from error
            yield local

    def bytes_of(self, name: str) -> bytes:
        system, path = self._at(name)
        return system.cat_file(path)

    def write(self, name: str, data: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="evc-") as folder:
            local = os.path.join(folder, "file")
            Path(local).write_bytes(data)
            self.publish(local, name)

    def publish(self, path: str, name: str) -> None:
        system, target = self._at(name)
        protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
        with writing(self.full(name)):
            system.makedirs(os.path.dirname(target), exist_ok=True)
            if protocols & _OBJECT_STORES:
                system.put_file(path, target)
            else:
                part = os.path.join(os.path.dirname(target), f".{os.path.basename(path)}.part")
                system.put_file(path, part)
                system.mv(part, target)

    def remove(self, name: str) -> None:
        system, path = self._at(name)
        with suppress(FileNotFoundError):
            system.rm_file(path)

    def workshop(self, name: str) -> str:
        path = os.path.join(tempfile.gettempdir(), f"evc-{os.path.basename(name)}")
        with writing(path):
            os.makedirs(path, exist_ok=True)
        return path


def place(path: str) -> Place:
    """The place at a path, or at an URL. Raises EvcError where fsspec, which URLs need, is not installed; InputError
    for an empty name."""
    if not path:
        raise InputError("the name of a file or folder is empty")
    scheme, colon, rest = path.partition("://")
    if not colon:
        return LocalPlace(os.path.abspath(path))
    if scheme in ("file", "local"):
        return LocalPlace(os.path.abspath(rest))
    return RemotePlace(path.rstrip("/"))


def split(path: str) -> tuple[Place, str]:
    """The folder of a file by path or URL, and its name in there."""
    if path and "://" not in path:
        path = os.path.abspath(path)
    folder, _, name = path.rpartition("/")
    if not name:
        raise EvcError(f"{path}: names a folder, not a file" if path else "the name of a file or folder is empty")
    return place(folder or "/"), name


def readable(name: str) -> str:
    """A name as it can be written anywhere: bytes of it that are no UTF-8 as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def check_ours(there: Place, name: str, sign: re.Pattern[bytes]) -> None:
    """Raise InputError where there is a file `name` that does not have the `sign` of what we write under this name."""
    if there.found(name) is None:
        return
    try:
        ours = sign.search(there.bytes_of(name)) is not None
    except OSError:  # a folder
        ours = False
    if not ours:
        raise InputError(f"{there.full(name)}: exists already and is another; --force replaces it")


def empty_folder(path: str) -> None:
    """Remove a folder of this machine with all that is in it, if it is there."""
    shutil.rmtree(path, ignore_errors=True)


def _stamp(told: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "mtime", "last_modified", "LastModified", "modified", "created"):
        if told.get(key):
            return str(told[key])
    return ""
