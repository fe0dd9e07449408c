"""Work in processes of their own, for what the interpreter would not let run side by side in threads.

The processes are started as `python -m evc.models.processes`, not by multiprocessing, which would run the program of
whoever uses this library again in each of them. Where they cannot be started, or die, the work is done here.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import parent_process
from multiprocessing.connection import wait
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from evc.format.cores import WORKERS

_COMMAND = [sys.executable, "-m", "evc.models.processes"]


def cores() -> int:
    """How many processes are worth it: one where this process is one of several already."""
    return 1 if parent_process() is not None else WORKERS


def follow_parent(end: Callable[[], object]) -> None:
    """In a process that multiprocessing started: call `end`, in a thread, when its parent is gone, however that ended.
    Otherwise nothing would tell it, and it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:

        def watch(sentinel: int) -> None:
            wait([sentinel])
            end()

        Thread(target=watch, args=(parent.sentinel,), name="parent", daemon=True).start()


class Processes:
    """A context manager. `count` processes, none if that is 1; they end with it."""

    def __init__(self, count: int) -> None:
        self._count, self._stopped = count, False
        self._all: list[subprocess.Popen[bytes]] = []
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()

    def __enter__(self) -> Self:
        for _ in range(self._count if self._count > 1 else 0):
            try:
                process = subprocess.Popen(
                    _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            except OSError:
                break
            self._all.append(process)
            self._idle.put(process)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for process in self._all:
            process.kill()
            process.communicate()

    def map(self, function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """function(*job) of each job, in their order; a few jobs are taken ahead. The function has to be one of a
        module of this package, and all it takes and returns has to be picklable."""
        if not self._all:
            yield from (function(*job) for job in jobs)
            return
        with ThreadPoolExecutor(len(self._all)) as threads:
            ahead: deque[Future[Any]] = deque()
            try:
                for job in jobs:
                    ahead.append(threads.submit(self._run, function, job))
                    if len(ahead) > len(self._all):
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            except BaseException:
                self.__exit__()
                raise

    def _run(self, function: Callable[..., Any], job: tuple[Any, ...]) -> Any:
        """In a thread: let an idle process do a job. None stands for a process that is lost."""
        process = self._idle.get()
        if process is not None and process.stdin is not None and process.stdout is not None:
            try:
                pickle.dump((function, job), process.stdin)
                process.stdin.flush()
                result = pickle.load(process.stdout)
                self._idle.put(process)
                return result
            except (OSError, EOFError, pickle.UnpicklingError):
                pass
        self._idle.put(None)
        if self._stopped:
            raise InterruptedError
        return function(*job)


def _serve() -> None:
    """Do the jobs that come on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this
    results = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever is printed is no result
    jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
    Thread(target=_receive, args=(jobs,), daemon=True).start()
    while True:
        function, job = jobs.get()
        pickle.dump(function(*job), results)
        results.flush()


def _receive(jobs: SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    """In a thread: the input ends with the parent, and so does this process, in the midst of a job."""
    try:
        while True:
            jobs.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve()
