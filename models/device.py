"""Where networks run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from evc.format.errors import InputError


def torch_device(name: str) -> str:
    """The device for "auto", "cpu" or "cuda". Raises InputError where there is no GPU to be had."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is at hand: leave out --device, or use --device cpu")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and NumPy in one thread: with small arrays several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
