"""Kernels in many threads at once: the same samples, whatever else runs, and nothing is freed that they point into."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from kernel_tools import needs_kernels, reads, spectrum_case, written

import evc
from evc import kernels
from evc.format.frequencies import FrequencyTable
from evc.format.lazy import cached_property, once

pytestmark = needs_kernels


@pytest.fixture
def often_switched():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("threads", [1, 2, 5, 8])
def test_a_file_decodes_to_the_same_samples_in_any_number_of_threads(threads, encoded, whole, often_switched) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for found in pool.map(lambda _: evc.decode(encoded)[0], range(8)):
            np.testing.assert_array_equal(found, whole)


def test_streams_of_all_kinds_are_read_and_written_side_by_side(often_switched) -> None:
    cases = [spectrum_case(np.random.default_rng([seed, 5]), (8_000, 22_050), 2) for seed in range(12)]
    with kernels.reference():
        expected = [written(*case) for case in cases]
        integers = [reads(coded, context) for coded, (_, context) in zip(expected, cases, strict=True)]

    def all_of_them(first: int) -> None:
        for number in range(first, first + len(cases)):
            at = number % len(cases)
            assert written(*cases[at]) == expected[at]
            assert reads(expected[at], cases[at][1]) == integers[at]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(all_of_them, range(0, 24, 3)))


def test_threads_that_compute_together_get_the_same() -> None:
    """What they get is what stays: kernels are given pointers into it."""
    together = threading.Barrier(4, timeout=60)

    class Owner:
        @cached_property
        def made(self) -> object:
            together.wait()
            return object()

    @once
    def made() -> object:
        together.wait()
        return object()

    owner = Owner()
    with ThreadPoolExecutor(4) as pool:
        for get in (lambda _: owner.made, lambda _: made()):
            found = list(pool.map(get, range(4)))
            assert len(set(map(id, found))) == 1 and get(0) is found[0]


def test_a_table_keeps_what_kernels_read_of_it() -> None:
    """Also after a garbage collection, and however many of its structs were made."""
    for seed in range(3):
        table = FrequencyTable(np.random.default_rng(seed).integers(0, 1000, (3, 50)))
        structs = [table.compiled.struct for _ in range(3)]
        gc.collect()
        starts = np.frombuffer(kernels.ffi.buffer(structs[0].starts, 4 * 3 * 51), np.uint32)
        np.testing.assert_array_equal(starts, table.starts.ravel())


FIRST_USE = """
import sys, threading
import numpy as np
from concurrent.futures import ThreadPoolExecutor
import evc
sys.setswitchinterval(1e-6)
data = open(sys.argv[1], "rb").read()
start = threading.Barrier(8)
def decoded(_):
    start.wait()
    return evc.decode(data)[0]
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(decoded, range(8)))
assert all(np.array_equal(found[0], other) for other in found[1:])
print(len(found[0]))
"""


def test_the_first_use_may_be_that_of_many_threads(folder) -> None:
    """Models, tables and geometries are made by all of them at the same time."""
    arguments = [sys.executable, "-c", FIRST_USE, str(folder / "track.evc")]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr, result.stdout) == (0, "", "160000\n")
