"""What is to be done, in which order and how many files at a time, by what it is expected to take."""

from __future__ import annotations

import math
import os
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evc.catalogue.manifest import DONE, Known, Record
from evc.catalogue.sources import Input
from evc.catalogue.tasks import Item

# Bytes of a second of sound, as files of these kinds usually have them.
_PLAIN, _LOSSLESS, _LOSSY, _EVC = 176_400.0, 100_000.0, 24_000.0, 6_000.0
_BYTES = dict.fromkeys((".flac", ".ape", ".tta", ".wv", ".mka"), _LOSSLESS)
_BYTES |= dict.fromkeys(".mp3 .mp1 .mp2 .ogg .oga .opus .m4a .m4b .aac .wma .ac3".split(), _LOSSY)
_BYTES[".evc"] = _EVC
_FILE_SECONDS = 0.02  # that every file takes, however short
_SPEED = 5.0  # seconds of sound a second, until it is known
_TASK_SECONDS = 10.0  # of work: long against what a task costs, short against what is lost with a worker
_MOST_FILES = 256  # in a task
_SHARES = 4  # a task is at most this part of what is left for each worker


@dataclass(frozen=True)
class Plan:
    """What is to be done, and how many files are done already."""

    todo: list[Item]
    kept: int


def planned(
    files: Sequence[Input],
    outputs: Sequence[str],
    settings: Iterable[str],
    known: Mapping[str, Known],
    present: Collection[str],
    by_digest: bool = False,
) -> Plan:
    """Which files are to be done: those whose outputs are not `present`, were made of another input, of one that has
    changed since (by size and time), or with other settings. With `by_digest` the worker looks whether the others have
    the same bytes as then."""
    todo, kept = [], 0
    for file, output, text in zip(files, outputs, settings, strict=True):
        path, _, size, stamp, columns = file
        before = known.get(output)
        digest = ""
        if before is not None and before.done and before.settings == text and output in present:
            if not by_digest and (before.size, before.stamp, before.input) == (size, stamp, path):
                kept += 1
                continue
            digest = before.digest
        todo.append(Item(path, output, size, stamp, text, digest, before is not None and before.done, columns))
    return Plan(todo, kept)


def seconds_of(path: str, size: int) -> float:
    """Of sound, that a file of so many bytes is likely to hold."""
    return size / _BYTES.get(os.path.splitext(path)[1].lower(), _PLAIN)


class Queue:
    """The files that are still to be done. Costly ones come first: those of about the same cost in an order of this
    job's own, so that two jobs for one destination do not do the same files at the same time."""

    def __init__(self, items: Iterable[Item], seed: str) -> None:
        chance = random.Random(seed)
        ranked = [(self._rank(item), chance.random(), item) for item in items]
        ranked.sort(key=lambda one: one[:2])
        self._waiting = deque(item for _, _, item in ranked)
        self._alone: deque[Item] = deque()  # that may have killed their worker
        self._sound = sum(seconds_of(item.input, item.size) for item in self._waiting)
        self._speed = _SPEED
        self._worked = self._heard = 0.0
        self._resumes = 0.0  # when there are tasks again, on the clock
        self.skip: Callable[[Item], bool] = lambda item: False  # what is not to be done any more
        self.skipped = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._alone)

    @staticmethod
    def _rank(item: Item) -> int:
        return -math.floor(math.log2(seconds_of(item.input, item.size) + 1))

    @property
    def seconds(self) -> float:
        """Of work that is left, as far as is known."""
        return self._sound / self._speed + _FILE_SECONDS * len(self)

    def learn(self, item: Item, record: Record) -> None:
        """Take note of how long a file took."""
        if record["status"] == DONE:
            self._worked += max(record.get("seconds") or 0.0, 1e-3)
            self._heard += seconds_of(item.input, item.size)
            self._speed = (self._heard + 10 * _SPEED) / (self._worked + 10)

    def take(self, workers: int) -> list[Item]:
        """The files of the next task; none if there are none left, or in a pause."""
        if time.monotonic() < self._resumes:
            return []
        if not self._waiting:
            return [self._counted_out(self._alone.popleft())] if self._alone else []
        most = min(_TASK_SECONDS, self.seconds / (_SHARES * max(workers, 1)))
        taken: list[Item] = []
        cost = 0.0
        while self._waiting and len(taken) < _MOST_FILES:
            if self.skip(self._waiting[0]):
                self._counted_out(self._waiting.popleft())
                self.skipped += 1
                continue
            cost += seconds_of(self._waiting[0].input, self._waiting[0].size) / self._speed + _FILE_SECONDS
            if taken and cost > most:
                break
            taken.append(self._counted_out(self._waiting.popleft()))
        return taken

    def put_back(self, item: Item, alone: bool = False) -> None:
        """A file is to be tried again, `alone` in its task, or as the last one."""
        (self._alone if alone else self._waiting).append(item)
        self._sound += seconds_of(item.input, item.size)

    def pause(self, seconds: float) -> None:
        """Give out no tasks for a while."""
        self._resumes = time.monotonic() + seconds

    def _counted_out(self, item: Item) -> Item:
        self._sound -= seconds_of(item.input, item.size)
        return item
