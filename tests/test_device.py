"""Threads of torch are lent, not taken."""

from __future__ import annotations

from threading import Barrier, Thread

import torch

from evc.models.device import one_thread


def test_limits_are_lifted_by_the_last_thread() -> None:
    """Two threads inside at once, of which the first to come is the first to leave."""
    before = torch.get_num_threads()
    steps = [Barrier(2, timeout=60) for _ in range(3)]
    inside: list[int] = []
    outside: list[int] = []

    def first() -> None:
        with one_thread():
            steps[0].wait()
            steps[1].wait()
        steps[2].wait()
        outside.append(torch.get_num_threads())

    def second() -> None:
        steps[0].wait()
        with one_thread():
            steps[1].wait()
            steps[2].wait()
            inside.append(torch.get_num_threads())
        outside.append(torch.get_num_threads())

    threads = [Thread(target=first), Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == [1]
    assert outside == [before] * 2 and torch.get_num_threads() == before


def test_a_thread_may_be_inside_twice() -> None:
    before = torch.get_num_threads()
    with one_thread():
        with one_thread():
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
