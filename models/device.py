"""Where networks run."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from threading import Lock, local
from typing import Any

from threadpoolctl import threadpool_limits

from evc.format.errors import InputError


def torch_device(name: str) -> str:
    """The device of torch for "auto", "cpu" or "cuda". Raises InputError where there is no GPU to be had."""
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is at hand: leave out --device, or use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


def encoding_device(name: str) -> str:
    """The same where networks run without torch, which costs longer to import than a GPU saves: a GPU is used only if
    it is asked for."""
    return torch_device(name) if name == "cuda" else "cpu"


class _OneThread:
    """Limits that hold for the process and, in torch, for each thread: set by the first thread that is inside, lifted
    by the last. Each thread may be inside more than once."""

    def __init__(self) -> None:
        self._lock, self._threads = Lock(), 0
        self._before: int | None = None
        self._depth = local()

    def __enter__(self) -> None:
        self._depth.value = getattr(self._depth, "value", 0) + 1
        if self._depth.value > 1:
            return
        torch = _torch()
        # A thread takes on the number of the process when it first asks, whatever it was told before.
        threads = torch.get_num_threads() if torch is not None else None
        with self._lock:
            if not self._threads:
                self._before, self._limits = threads, threadpool_limits(1)
            self._threads += 1
        if torch is not None:
            torch.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        self._depth.value -= 1
        if self._depth.value:
            return
        torch = _torch()
        if torch is not None and self._before is not None:
            torch.set_num_threads(self._before)
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._limits.restore_original_limits()


def _torch() -> Any:
    """The package, if somebody has imported it, and not only begun to: then its threads count."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "set_num_threads") else None


_ONE_THREAD = _OneThread()


def one_thread() -> AbstractContextManager[None]:
    """Run NumPy, and torch if it is there, in one thread: with small arrays several only wait for each other. It holds
    for the whole process; however many threads enter and leave, all is as it was when the last has left."""
    return _ONE_THREAD
