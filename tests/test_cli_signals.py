"""How the command ends before it is done: whoever sends the signal, no half-written file and no process remains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evc
from evc.cli import signals

COMMAND = [sys.executable, "-m", "evc", "encode", "--patterns", "off"]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other systems differ")


@pytest.fixture(scope="module")
def long_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sound files that take many seconds each."""
    folder = tmp_path_factory.mktemp("long")
    noise = np.random.default_rng(0).normal(0, 0.1, (1 << 23, 1)).clip(-1, 1)
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, noise, 44_100, "PCM_16")
    return folder


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".evc-*.part"))


def heeding() -> None:
    """The tests may themselves run in something that ignores the end of its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def started(
    arguments: list[str], folder: Path, wanted: int, before: Callable[[], object] = heeding
) -> subprocess.Popen[bytes]:
    """The command in a session of its own, once it writes `wanted` files."""
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=before,
    )  # fmt: skip
    end = time.monotonic() + 150
    while len(parts(folder)) < wanted and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None
    return process


def left(folder: Path) -> list[str]:
    """What lies there but for outputs that were done before, on a busy machine: these are whole, and are taken away."""
    for path in folder.glob("*.evc"):
        with evc.open(path) as file:
            file.container.verify()
        path.unlink()
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=[["a.wav"], ["a.wav", "b.wav", "--jobs", "2"]], ids=["one", "jobs"])
def running(request: pytest.FixtureRequest, long_files: Path) -> Iterator[subprocess.Popen[bytes]]:
    """One file is being encoded, or two at a time."""
    process = started(request.param, long_files, 1 if len(request.param) == 1 else 2)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_everything(number: signal.Signals, running: subprocess.Popen[bytes], long_files: Path) -> None:
    """The terminal sends two of them to all processes at once."""
    if number == signal.SIGTERM:
        running.send_signal(number)
    else:
        os.killpg(running.pid, number)
    output, message = running.communicate(timeout=150)  # the end of the output: no process has it any more
    assert running.returncode == 128 + number and output == b""
    assert message.decode() == f"evc: {signals.ENDINGS[number]}\n"
    assert left(long_files) == ["a.wav", "b.wav"]


def test_workers_end_with_a_parent_that_is_killed(long_files: Path) -> None:
    process = started(["a.wav", "b.wav", "--jobs", "2"], long_files, 2)
    process.kill()
    process.communicate(timeout=150)
    assert left(long_files) == ["a.wav", "b.wav"]


def test_a_command_that_shall_outlive_its_terminal_does(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 300_000), 44_100)
    process = started(["a.wav"], tmp_path, 1, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    _, message = process.communicate(timeout=150)
    assert (process.returncode, message) == (0, b"")


def test_helpers_end_with_a_parent_that_is_killed() -> None:
    """Those of evc/models/processes.py, in the midst of a job."""
    code = (
        "import os, time; from evc.models.processes import Processes\n"
        "with Processes(2) as two:\n"
        "    print(*(process.pid for process in two._all), flush=True)\n"
        "    list(two.map(time.sleep, [(60,), (60,)]))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        helpers = [int(text) for text in process.stdout.readline().split()]
        time.sleep(0.5)
        process.kill()
    assert len(helpers) == 2
    end = time.monotonic() + 20
    while any(alive(helper) for helper in helpers):
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(process: int) -> bool:
    """Whether there is such a process, other than one that has ended and was not waited for."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(found) and not found.startswith("Z")


def test_a_signal_while_libsndfile_calls_is_not_lost(tmp_path: Path) -> None:
    """An exception would end there: what the callback raises is printed and forgotten."""
    code = (
        "import os, signal, sys, soundfile; from evc.cli import signals\n"
        "class Target(__import__('io').BytesIO):\n"
        "    def write(self, data):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        return super().write(data)\n"
        "signals.end_by_signals()\n"
        "try:\n"
        "    with soundfile.SoundFile(Target(), 'w', 8000, 1, 'PCM_16', format='WAV') as out: out.write([0.0] * 9)\n"
        "    __import__('time').sleep(20)\n"
        "except signals.Ended as ended:\n"
        "    print(ended.status)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (result.stdout, result.stderr) == (b"143\n", b"")
