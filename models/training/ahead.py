"""Data while a network learns: made ahead in threads, or in processes, one per core, where they take long to make."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from threading import Lock
from typing import Any, Generic, Self, TypeVar

import torch
from threadpoolctl import threadpool_limits

from evc.format.cores import available_cores
from evc.format.errors import EvcError
from evc.models.device import one_thread
from evc.models.processes import follow_parent

Item = TypeVar("Item")
Order = TypeVar("Order")


def each(function: Callable[[Order], Item], orders: Sequence[Order]) -> Iterator[Item]:
    """What a function makes of each order, in one process per core; functions and orders go there pickled. Raises
    EvcError if a process dies."""
    processes = min(available_cores(), len(orders))
    if processes <= 1:
        yield from (_alone(function, order) for order in orders)
        return
    with workers(processes) as pool:
        try:
            yield from pool.map(function, orders)
        except BrokenExecutor as error:
            raise EvcError("a process that makes training data died, perhaps for want of memory") from error
        finally:
            pool.shutdown(cancel_futures=True)


class Store(Generic[Item]):
    """What a function makes of numbers; the last `kept` items are at hand. Items are made in the processes of a `pool`,
    those that `ahead` asks for before they are wanted; without one in this process, when they are, and are the same.
    Threads may share a store."""

    def __init__(self, make: Callable[[int], Item], kept: int, pool: Executor | None = None) -> None:
        self._make = make if pool is None else _Told(make)
        self._kept, self._pool = kept, pool
        self._items: OrderedDict[int, Future[Item]] = OrderedDict()
        self._lock = Lock()

    def ahead(self, numbers: Iterable[int]) -> None:
        """Begin with items that will be wanted soon."""
        if self._pool is not None:
            for number in numbers:
                self._begun(number)

    def get(self, number: int) -> Item:
        """Raises EvcError if a process has died."""
        try:
            return self._begun(number).result()
        except BrokenExecutor as error:
            raise EvcError("a process that makes training data died, perhaps for want of memory") from error

    def _begun(self, number: int) -> Future[Item]:
        with self._lock:
            if number not in self._items:
                self._items[number] = self._pool.submit(self._make, number) if self._pool else self._made(number)
            self._items.move_to_end(number)
            while len(self._items) > self._kept:
                self._items.popitem(last=False)
            return self._items[number]

    def _made(self, number: int) -> Future[Item]:
        future: Future[Item] = Future()
        future.set_result(_alone(self._make, number))
        return future


class Ahead(Generic[Item]):
    """Calls a function with the numbers from `first` up to `last`, in threads that are as many calls ahead."""

    def __init__(self, make: Callable[[int], Item], first: int, last: float, threads: int) -> None:
        self._make, self._number, self._last = make, first, last
        self._made: deque[Future[Item]] = deque()
        self.waited = 0.0  # seconds
        # A new thread would take all cores, whatever torch was told.
        self._pool = ThreadPoolExecutor(threads, "data", torch.set_num_threads, (torch.get_num_threads(),))
        self._threads = threads

    def __enter__(self) -> Self:
        for _ in range(self._threads):
            self._submit()
        return self

    def next(self) -> Item:
        begun = time.monotonic()
        made = self._made.popleft().result()
        self.waited += time.monotonic() - begun
        self._submit()
        return made

    def __exit__(self, *error: Any) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self) -> None:
        if self._number < self._last:
            self._made.append(self._pool.submit(self._make, self._number))
            self._number += 1


def _alone(function: Callable[[Order], Item], order: Order) -> Item:
    """In one thread, as processes do it: with several, sums are added up in another order."""
    with one_thread():
        return function(order)


class _Told(Generic[Item]):
    """A function as processes are told it: pickled by value, unpickled once in each. Tensors in it would otherwise be
    shared, by a file descriptor for every call."""

    def __init__(self, function: Callable[[int], Item]) -> None:
        self._pickled = pickle.dumps(function)

    def __call__(self, number: int) -> Item:
        made: Item = _unpickled(self._pickled)(number)
        return made


@lru_cache(maxsize=4)
def _unpickled(pickled: bytes) -> Any:
    return pickle.loads(pickled)


def workers(processes: int) -> ProcessPoolExecutor:
    """Processes that share the work; what they are to do goes there pickled."""
    return ProcessPoolExecutor(processes, get_context("spawn"), _begin)


def _begin() -> None:
    """One thread per process; interruptions are left to the parent, with which this ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    follow_parent(lambda: os._exit(1))
    torch.set_num_threads(1)
    threadpool_limits(1)
