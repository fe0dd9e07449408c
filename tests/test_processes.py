"""Work in other processes, and a decomposition in pieces: neither changes what is found."""

from __future__ import annotations

import math
import operator
import os

import numpy as np
import pytest

from evc.format.header import Header
from evc.models import processes
from evc.models.events import decompose as module
from evc.models.events.decompose import decompose
from evc.models.processes import Processes
from evc.models.source import ArraySource

RATE = 22_050


def test_results_come_in_the_order_of_their_jobs() -> None:
    with Processes(2) as two:
        assert list(two.map(math.factorial, ((n,) for n in range(20)))) == [math.factorial(n) for n in range(20)]
        assert set(two.map(os.getpid, [()] * 4)) <= {process.pid for process in two._all}
        assert list(two.map(operator.add, [])) == []


def test_one_process_is_this_one() -> None:
    with Processes(1) as one:
        assert list(one.map(os.getpid, [()])) == [os.getpid()]


@pytest.mark.parametrize("command", [["false"], ["no-such-program"]])
def test_without_other_processes_the_work_is_done_here(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_COMMAND", command)
    with Processes(2) as none:
        assert list(none.map(os.getpid, [()] * 5)) == [os.getpid()] * 5


def test_a_process_that_dies_costs_nothing_but_time() -> None:
    with Processes(2) as two:
        assert list(two.map(operator.add, [(1, 2)])) == [3]
        two._all[0].kill()
        assert list(two.map(operator.add, [(n, n) for n in range(6)])) == [0, 2, 4, 6, 8, 10]


def test_errors_of_a_job_are_raised() -> None:
    with Processes(2) as two, pytest.raises(ZeroDivisionError):
        list(two.map(operator.truediv, [(1, 2), (1, 0)]))


def test_processes_end_with_the_block() -> None:
    with Processes(2) as two:
        started = list(two._all)
    assert all(process.poll() is not None for process in started)


@pytest.fixture(scope="module")
def plucks() -> ArraySource:
    """Decaying tones, one every 0.7 s: some begin in one piece and sound on in the next."""
    time = np.arange(21 * RATE) / RATE
    audio = np.zeros(len(time), np.float32)
    for number, at in enumerate(np.arange(0.2, 20, 0.7)):
        hertz = 220 * 2 ** ((number * 7 % 24) / 12)
        audio += np.where(time >= at, 0.3 * np.exp(-3 * (time - at)) * np.sin(2 * np.pi * hertz * (time - at)), 0)
    return ArraySource(audio, RATE)


def found(source: ArraySource, monkeypatch: pytest.MonkeyPatch, windows: int, count: int) -> tuple:
    monkeypatch.setattr(module, "PIECE_WINDOWS", windows)
    monkeypatch.setattr(module, "cores", lambda: count)
    calls: list[tuple[int, int]] = []
    events, gains = decompose(
        source, Header(RATE, 1, source.frames), 5, "cpu", lambda *call: calls.append(call), density=5.0
    )
    assert calls == sorted(calls) and calls[-1] == (source.frames, source.frames)
    return events, gains


@pytest.fixture(scope="module")
def in_pieces(plucks: ArraySource) -> tuple:
    """What is found in three pieces, one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        return found(plucks, patch, 2, 1)


def test_pieces_find_the_same_in_any_number_of_processes(
    plucks: ArraySource, in_pieces: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, gains = in_pieces
    others, same = found(plucks, monkeypatch, 2, 2)
    np.testing.assert_array_equal(events.times, others.times)
    np.testing.assert_array_equal(events.codes, others.codes)
    np.testing.assert_allclose(gains, same, rtol=1e-6)


def test_pieces_find_about_what_the_whole_does(
    plucks: ArraySource, in_pieces: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly that up to the end of the first piece, and hardly more behind it: no event is found twice."""
    whole, gains = found(plucks, monkeypatch, 1000, 1)
    pieces, others = in_pieces
    end = 2 * module._hop(RATE) << 5
    np.testing.assert_array_equal(pieces.times[pieces.times < end], whole.times[whole.times < end])
    assert len(pieces) == pytest.approx(len(whole), abs=3)
    assert others.sum() == pytest.approx(gains.sum(), rel=0.02)


@pytest.mark.parametrize("frames", [1, 7, 8, 9, 16, 23, 24, 25, 26, 63])
def test_every_window_belongs_to_one_piece(frames: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hop of 4 frames, pieces of 2 windows."""
    monkeypatch.setattr(module, "PIECE_WINDOWS", 2)
    searched = []
    for piece in module._pieces(frames, 4):
        blocks = [np.zeros((1, min(piece.end, frames) - piece.begin))]
        windows = [piece.begin + first for first, *_ in module.windows(blocks, 4)][: piece.windows]
        searched += [first for first in windows if first >= piece.start]
    assert searched == [first for first, *_ in module.windows([np.zeros((1, frames))], 4)]
