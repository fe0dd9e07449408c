"""Processes that work on several files at a time, and end with their parent."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from typing import TypeVar

from evc.cli.signals import Ended, cleaning_up, end_by_parent
from evc.format.errors import EvcError

Item = TypeVar("Item")
Result = TypeVar("Result")


def worked(function: Callable[[Item], Result], items: Iterable[Item], count: int) -> Iterator[Result]:
    """What `function` makes of each item, in `count` processes, as it is done. Function, items and results have to be
    picklable. Raises EvcError if a process dies."""
    with _Workers(count) as workers:
        try:
            for future in as_completed([workers.submit(_call, function, item) for item in items]):
                yield future.result()
        except BrokenExecutor as error:
            raise EvcError("a worker process died, perhaps for want of memory: try fewer --jobs") from error


class _Workers(ProcessPoolExecutor):
    """Ends its processes if it is left by an exception."""

    def __init__(self, count: int) -> None:
        super().__init__(count, mp_context=get_context("spawn"), initializer=end_by_parent)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for child in active_children():
                child.terminate()
        self.shutdown(wait=True, cancel_futures=True)


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    """In a worker."""
    try:
        with cleaning_up():
            return function(item)
    except Ended as ended:
        os._exit(ended.status)  # the pool would go on to the next file
