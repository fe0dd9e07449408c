"""How many threads and processes are worth it."""

from __future__ import annotations

import os


def available_cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


WORKERS = min(8, available_cores())  # at most so many at a time: each has segments in memory

# After so many seconds the interpreter goes on with another thread that can: kernels are called thousands of times a
# second, and who comes out of one would wait for the default of 5 ms. For a process of ours only, such as a command.
SWITCH_SECONDS = 1e-4
