"""Where networks run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from threading import Lock, local

import torch
from threadpoolctl import threadpool_limits

from evc.format.errors import InputError


def torch_device(name: str) -> str:
    """The device for "auto", "cpu" or "cuda". Raises InputError where there is no GPU to be had."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is at hand: leave out --device, or use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


class _OneThread:
    """Limits that hold for the process and, in torch, for each thread: set by the first thread that is inside, lifted
    by the last. Each thread may be inside more than once."""

    def __init__(self) -> None:
        self._lock, self._threads, self._before = Lock(), 0, 1
        self._depth = local()

    def __enter__(self) -> None:
        self._depth.value = getattr(self._depth, "value", 0) + 1
        if self._depth.value > 1:
            return
        # A thread takes on the number of the process when it first asks, whatever it was told before.
        threads = torch.get_num_threads()
        with self._lock:
            if not self._threads:
                self._before, self._limits = threads, threadpool_limits(1)
            self._threads += 1
        torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        self._depth.value -= 1
        if self._depth.value:
            return
        torch.set_num_threads(self._before)
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._limits.restore_original_limits()


_ONE_THREAD = _OneThread()


def one_thread() -> AbstractContextManager[None]:
    """Run torch and NumPy in one thread: with small arrays several only wait for each other. It holds for the whole
    process; however many threads enter and leave, all is as it was when the last has left."""
    return _ONE_THREAD
