"""What a worker does: a few files one after the other, each of which succeeds or fails for itself."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import tempfile
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from evc.catalogue.manifest import DONE, FAILED, Record
from evc.catalogue.places import LocalPlace, Place, readable, split
from evc.format.errors import EvcError, EvcWarning, InputError, OutputError
from evc.models.progress import Progress
from evc.version import __version__

_stopped: set[str] = set()  # jobs that are to end here
_MOST_WORDS = 12  # of an error's kind


class Item(NamedTuple):
    """A file to do. `settings` are those asked for, as text; `digest` is that of what `output` was made from, if it was
    made with these settings; `owned` tells whether a job made what is at `output`, if anything is."""

    input: str
    output: str
    size: int
    stamp: str
    settings: str
    digest: str = ""
    owned: bool = False
    columns: dict[str, Any] | None = None


class Result(NamedTuple):
    """The row of a file, and whether another try may end otherwise: a disk was full, a network away."""

    record: Record
    again: bool = False


class Stopped(BaseException):
    """The job ends in the midst of a file."""


@dataclass(frozen=True)
class Work(ABC):
    """What is to be done to every file of a job, the same everywhere. `workshop` names the folder for what is not
    complete, in the destination; with `force` outputs that nobody knows are replaced; with `trial` nothing appears."""

    destination: Place
    job: str
    workshop: str
    force: bool = False
    trial: bool = False

    @abstractmethod
    def make(self, source: str, target: str, item: Item, progress: Progress) -> Record:
        """Make the file `target` of the file `source`: what the manifest is to tell of it."""

    def tell(self, path: str) -> Record:
        """The same of an output that was made before."""
        return {}

    def do(self, item: Item) -> Record:
        """One file: what the manifest is to tell."""
        folder, name = split(item.input)
        before = folder.found(name)
        with folder.fetched(name) as source:
            digest = digest_of(source)
            row: Record = {"digest": digest, "size": os.path.getsize(source)}
            row["stamp"] = before.stamp if before else ""
            if digest == item.digest and not self.trial and self.destination.found(item.output):
                with self.destination.fetched(item.output) as path:
                    return row | self.tell(path) | {"output_digest": digest_of(path)}
            with self._target(item) as target:
                row |= self._made(source, target, item)
                if folder.found(name) != before:
                    raise InputError("changed while it was read")
                if not self.trial and self._is_free(target, item):
                    self.destination.publish(target, item.output)
        return row

    @contextmanager
    def _target(self, item: Item) -> Iterator[str]:
        """Path for what is made. It has the ending of the output, which may choose the format."""
        self._go_on()  # before there is a folder that nobody would remove
        name = secrets.token_hex(8) + os.path.splitext(item.output)[1]
        if self.trial:
            with tempfile.TemporaryDirectory(prefix="evc-") as folder:
                yield os.path.join(folder, name)
            return
        target = os.path.join(self.destination.workshop(self.workshop), name)
        try:
            yield target
        finally:
            with suppress(OSError):
                os.unlink(target)

    def _go_on(self, *_: float) -> None:
        if self.job in _stopped:
            raise Stopped

    @property
    def marks(self) -> bool:
        """Whether there is a folder that all processes see, to mark in it which files are being done."""
        return bool(self.workshop) and not self.trial and isinstance(self.destination, LocalPlace)

    def mark(self, item: Item) -> str:
        """Path of what is there while a file is being done."""
        name = hashlib.sha256(readable(item.output).encode()).hexdigest()[:32]
        return os.path.join(self.destination.full(self.workshop), f"{name}.begun")

    def _made(self, source: str, target: str, item: Item) -> Record:
        try:
            found = self.make(source, target, item, self._go_on)
        except EvcError as error:
            text = str(error).replace(target, self.destination.full(item.output)).replace(source, item.input)
            raise type(error)(text) from error
        return found | {"bytes": os.path.getsize(target), "output_digest": digest_of(target)}

    def _is_free(self, target: str, item: Item) -> bool:
        """Whether the file at `target` is to become the output; not where it is there already, the same."""
        if self.force or item.owned or self.destination.found(item.output) is None:
            return True
        if self.destination.holds(target, item.output):
            return False
        raise InputError(f"{self.destination.full(item.output)}: exists already and is another; --force replaces it")


def work_through(work: Work, items: Sequence[Item]) -> list[Result]:
    """Do some files. Fewer results where the job was stopped meanwhile."""
    results: list[Result] = []
    with suppress(Stopped):
        for item in items:
            if work.marks:
                with suppress(OSError, EvcError):  # what it says is a help, no more
                    open(work.mark(item), "wb").close()
            results.append(attempt(work, item))
            if work.marks:
                with suppress(OSError, EvcError):
                    os.unlink(work.mark(item))
    return results


def attempt(work: Work, item: Item) -> Result:
    """Do a file, and tell how it went, whatever happens."""
    begun, again = time.monotonic(), False
    row = _begun(item)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", EvcWarning)
        try:
            if row["input"] != item.input:  # neither a manifest nor an .evc file could tell of it
                raise InputError("its name is not UTF-8")
            row |= work.do(item) | {"status": DONE}
        except Exception as error:  # the job goes on
            message = _message(error, item)
            row |= {"status": FAILED, "error": message, "kind": kind_of(message)}
            again = isinstance(error, OutputError) or (isinstance(error, OSError) and not _is_final(error))
    told = dict.fromkeys(" ".join(str(one.message).split()).removeprefix(f"{item.input}: ") for one in noted)
    row |= {"warnings": "; ".join(told) or None, "worker": f"{socket.gethostname()}:{os.getpid()}"}
    row |= {"settings": item.settings, "seconds": time.monotonic() - begun, "finished": time.time()}
    return Result(row | {"job": work.job, "version": __version__}, again)


def stop(job: str) -> None:
    """Make a job end in this process, soon."""
    _stopped.add(job)


def set_aside(work: Work, item: Item, reason: str) -> Record:
    """The row of a file that is not to be tried again."""
    row = _begun(item)
    row |= {"settings": item.settings, "status": FAILED, "error": reason, "kind": kind_of(reason)}
    return row | {"finished": time.time(), "job": work.job, "version": __version__}


def _begun(item: Item) -> Record:
    names = {"input": readable(item.input), "output": readable(item.output)}
    return names | {"size": item.size, "stamp": item.stamp} | (item.columns or {})


def digest_of(path: str) -> str:
    """SHA-256 of a file, as sha256sum prints it."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error


def kind_of(message: str) -> str:
    """What errors have in common that differ in names, figures and details."""
    text = re.sub(r"\([^()]*\)", "", message.split(": ")[-1] if message.count(": ") == 1 else message)
    text = re.sub(r"\S*[/\\]\S*", "…", re.sub(r"\d[\d.]*", "#", text))
    return " ".join(text.split()[:_MOST_WORDS]).strip(" :;,")


def _message(error: Exception, item: Item) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, EvcError):
        return " ".join(str(error).split()).removeprefix(f"{item.input}: ")
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return f"{type(error).__name__}: {' '.join(str(error).split())}"  # a mistake of ours


def _is_final(error: OSError) -> bool:
    return isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError))
