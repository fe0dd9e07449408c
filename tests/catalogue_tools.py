"""What tests of catalogues share: short sounds, a cluster that can be broken, work that can be slow or deadly."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from evc.catalogue.manifest import Record
from evc.catalogue.tasks import Item
from evc.catalogue.works import Encode

RATE = 8000
CHEAP = {"quality": 2.0, "patterns": "off"}


def write_sounds(folder: Path, count: int, seconds: float = 0.3) -> list[Path]:
    """Sounds of which no two are alike, in folders of ten."""
    paths = [folder / f"album {number // 10}" / f"{number:03}.wav" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(number)
        soundfile.write(path, random.normal(0, 0.1, round(RATE * seconds)).clip(-1, 1), RATE)
    return paths


def write_hostile(folder: Path) -> list[Path]:
    """Five inputs that cannot be encoded, the last of which kills whoever tries (`Fragile`)."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("empty.wav", "text.flac", "header.wav", "infinite.wav", "deadly.wav")
    empty, text, header, infinite, deadly = (folder / name for name in names)
    empty.write_bytes(b"")
    text.write_text("no sound\n" * 50)
    soundfile.write(header, np.zeros(500), RATE)
    header.write_bytes(header.read_bytes()[:40])
    samples = np.zeros(500, np.float32)
    samples[300] = np.inf
    soundfile.write(infinite, samples, RATE, "FLOAT")
    soundfile.write(deadly, np.zeros(500), RATE)
    return [empty, text, header, infinite, deadly]


@dataclass(frozen=True)
class Fragile(Encode):
    """Takes `least` seconds for a file, and dies of some."""

    least: float = 0.0

    def do(self, item: Item) -> Record:
        if "deadly" in item.input:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.least)
        return super().do(item)


def limit_files(size: int) -> None:
    """Files of this process grow no larger; -1: as large as they like."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def run_scheduler(port: int) -> None:
    """One death of a task is enough, as it is on workers of evc's own."""
    import dask
    from distributed import Scheduler

    async def serve() -> None:
        async with Scheduler(host="127.0.0.1", port=port, dashboard=False) as scheduler:
            await scheduler.finished()

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        asyncio.run(serve())


def run_worker(address: str) -> None:
    from distributed import Worker

    async def serve() -> None:
        async with Worker(address, nthreads=1, dashboard=False) as worker:
            await worker.finished()

    asyncio.run(serve())


class Grid:
    """A scheduler and workers as processes of their own. A context manager."""

    def __init__(self, workers: int) -> None:
        self._processes = multiprocessing.get_context("forkserver")  # which imports once for all of them
        self._processes.set_forkserver_preload(["distributed", "evc.models.pipeline", "catalogue_tools"])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._count = workers
        self.scheduler: Any = None
        self.workers: list[Any] = []

    def __enter__(self) -> Grid:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        for process in (self.scheduler, *self.workers):
            process.kill()
            process.join()

    def start(self) -> None:
        self.scheduler = self._run(run_scheduler, self._port)
        self.workers = [self._run(run_worker, self.address) for _ in range(self._count)]

    def restart(self) -> None:
        """Workers end when they lose their scheduler: whoever starts them again starts them all."""
        self.__exit__()
        self.start()

    def _run(self, function: Callable[..., None], *arguments: Any) -> Any:
        process = self._processes.Process(target=function, args=arguments, daemon=True)
        process.start()
        return process
