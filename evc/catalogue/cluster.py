"""Dask: a cluster of this machine's own, or one that is running, and tasks on it whatever happens to its workers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from evc.catalogue.needed import check_installed
from evc.catalogue.plan import Queue
from evc.catalogue.tasks import Item, Result, Work, stop, work_through
from evc.format.cores import available_cores
from evc.format.errors import EvcError
from evc.version import __version__

if TYPE_CHECKING:
    from distributed import Client, Future

_TICK_SECONDS = 0.5  # after which a caller is called though nothing was done
_CONNECT_SECONDS = 10.0
_RETURN_SECONDS = 600.0  # that we wait for a scheduler to come back
_ENDING_SECONDS = 20.0  # that tasks have to end

Outcome = tuple[Sequence[Item], list[Result] | None]  # files of a task, and how they went; None: it killed its worker


class Cluster:
    """A context manager. Without the address of a `scheduler`, `workers` processes of this machine (None: one for each
    core), which share its memory and end with this process. Raises EvcError where a scheduler is not to be reached, or
    its workers have another version of EVC."""

    def __init__(self, scheduler: str | None = None, workers: int | None = None) -> None:
        check_installed()
        self._scheduler, self._count = scheduler, workers or available_cores()
        self._own: Any = None
        self._client: Client
        self._threads, self._asked = 0, 0.0
        self._begin()

    def __enter__(self) -> Self:
        for name in ("distributed", "distributed.nanny", "distributed.worker", "distributed.scheduler", "asyncio",
                     "distributed.core", "distributed.client", "distributed.batched", "tornado"):  # fmt: skip
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if self._scheduler is None:
            self._start()
        self._connect(_CONNECT_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception):
            self._client.close(timeout=2)
        if self._own is not None:
            with suppress(Exception):
                self._own.close(timeout=5)

    @property
    def dashboard(self) -> str | None:
        """Its address, where there is one."""
        from importlib.util import find_spec

        if self._own is not None and find_spec("bokeh") is None:
            return None
        return self._client.dashboard_link or None

    @property
    def threads(self) -> int:
        """That work, in all. Asked for once a second at most."""
        if time.monotonic() - self._asked > 1:
            self._threads, self._asked = sum(self._client.nthreads().values()), time.monotonic()
        return self._threads

    def run(self, work: Work, queue: Queue) -> Iterator[Outcome]:
        """Do all files of a queue, to which more may be added meanwhile. No more tasks are out than there are threads:
        whatever a worker had when it died is what it was doing. Now and then yields ([], [])."""
        self._begin()
        while True:
            try:
                self._hand_out(work, queue)
                if not self._running and not len(queue):
                    return
                outcome = self._next()
            except (OSError, asyncio.CancelledError, TimeoutError, _Lost):
                for items in self._running.values():
                    for item in items:
                        queue.put_back(item)
                self._begin()
                outcome = [], []
                self._connect(_RETURN_SECONDS)
            yield outcome

    def _begin(self) -> None:
        self._running: dict[Future, list[Item]] = {}
        self._finished: SimpleQueue[Future] = SimpleQueue()

    def _hand_out(self, work: Work, queue: Queue) -> None:
        """As many tasks as there are threads without one."""
        threads = self.threads
        while len(self._running) < threads and (items := queue.take(threads)):
            try:
                future = self._client.submit(work_through, work, items, pure=False)
            except BaseException:
                for item in items:
                    queue.put_back(item)
                raise
            self._running[future] = items
            future.add_done_callback(self._finished.put)

    def _next(self) -> Outcome:
        """How a task went, or ([], []) if none ends soon."""
        try:
            future = self._finished.get(timeout=_TICK_SECONDS)
        except Empty:
            if self._client.status != "running":
                raise _Lost from None
            return [], []
        results = self._result(future)
        return self._running.pop(future), results

    def end(self, job: str) -> Iterator[Outcome]:
        """Make what is running of a job end, and wait for that, though not for long: what was done before."""
        from distributed import wait

        with suppress(Exception):
            self._client.run(stop, job, on_error="ignore")
            wait(list(self._running), timeout=_ENDING_SECONDS)
        for future, items in self._running.items():
            if future.status == "finished":
                with suppress(Exception):
                    yield items, self._result(future)

    def _result(self, future: Future) -> list[Result] | None:
        from distributed.scheduler import KilledWorker

        if future.status == "finished":
            found: list[Result] = future.result(timeout=_CONNECT_SECONDS)
            return found
        if future.status != "error":
            raise _Lost
        error = future.exception(timeout=_CONNECT_SECONDS)
        if isinstance(error, KilledWorker):
            return None
        raise EvcError(f"a worker cannot do its work ({type(error).__name__}: {error})") from error

    def _start(self) -> None:
        import dask
        from distributed import LocalCluster
        from distributed.system import MEMORY_LIMIT

        dask.config.set({
            "distributed.scheduler.allowed-failures": 0,
            # Dask would have memory given back at once, which costs the encoder as much time as its work; and other
            # numbers of threads, on which its floats and so its bytes hang.
            "distributed.nanny.pre-spawn-environ": {},
            # On a busy machine an answer may take long; who has died is known otherwise.
            "distributed.comm.timeouts.connect": "60s",
            "distributed.comm.timeouts.tcp": "300s",
            "distributed.scheduler.worker-ttl": None,
            # What Dask does on the side, for tasks that are thousands of times shorter than these.
            "distributed.worker.profile.enabled": False,
            "distributed.worker.memory.monitor-interval": "500ms",
            "distributed.admin.tick.interval": "500ms",
            "distributed.admin.system-monitor.interval": "2s",
        })  # fmt: skip
        try:
            self._own = LocalCluster(
                n_workers=self._count, threads_per_worker=1, memory_limit=MEMORY_LIMIT // self._count,
                host="127.0.0.1", dashboard_address="127.0.0.1:8787", silence_logs=logging.CRITICAL,
            )  # fmt: skip
        except (OSError, RuntimeError, TimeoutError) as error:
            raise EvcError(f"workers cannot be started ({' '.join(str(error).split())})") from error

    def _connect(self, seconds: float) -> None:
        from distributed import Client

        deadline = time.monotonic() + seconds
        while True:
            if hasattr(self, "_client"):
                with suppress(Exception):
                    self._client.close(timeout=1)
            try:
                self._client = Client(self._own or self._scheduler, timeout=_CONNECT_SECONDS)
                self._asked = 0.0
                break
            except (OSError, ValueError, TimeoutError) as error:
                if time.monotonic() > deadline or isinstance(error, ValueError):
                    why = " ".join(str(error).split())
                    where = self._scheduler or "workers of this machine"
                    raise EvcError(f"{where}: no scheduler is to be reached there ({why})") from error
                time.sleep(0.5)
        if self._scheduler is not None:
            self._check_versions()

    def _check_versions(self) -> None:
        versions = self._client.run(version, on_error="return")
        for worker, told in versions.items():
            if told != __version__:
                has = f"EVC {told}" if isinstance(told, str) else f"no EVC that can be used ({told})"
                raise EvcError(f"the worker {worker} has {has}, not {__version__} as here")


class _Lost(Exception):
    """The scheduler is gone, and the tasks with it."""


def version() -> str:
    """Of EVC, where this runs."""
    return __version__
