"""How the command and its workers end: interrupted, terminated, left by their terminal or by their parent, they leave
nothing half-written behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer, main_thread
from types import FrameType

_TEXTS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "the terminal is gone"}
ENDINGS = {getattr(signal, name): text for name, text in _TEXTS.items() if hasattr(signal, name)}
_HANGUP = getattr(signal, "SIGHUP", None)
_AGAIN_SECONDS = 0.01
_LONGEST_SECONDS = 120.0  # of cleaning up, once the parent is lost


class Ended(SystemExit):
    """What these signals raise. A KeyboardInterrupt that passes through an import would make Python end by the signal
    afterwards, even though it was caught."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.status, self.reason = 128 + number, ENDINGS[signal.Signals(number)]


def end_by_signals() -> None:
    """In the command. What is started by nohup goes on when its terminal is gone."""
    for number in ENDINGS:
        if number != _HANGUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def end_by_parent() -> None:
    """In a worker: what a terminal sends to all is left to the parent, which ends its workers; if the parent is lost,
    they end themselves."""
    from evc.models.processes import follow_parent

    for number in ENDINGS:
        signal.signal(number, _leave if number == signal.SIGTERM else signal.SIG_IGN)
    follow_parent(_orphaned)


@contextmanager
def cleaning_up() -> Iterator[None]:
    """In a worker that has a file to do: only meanwhile there is something to clean up, and what is raised elsewhere
    would get into the hands of the pool."""
    signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, _leave)


def _leave(*_: object) -> None:
    os._exit(128 + signal.SIGTERM)


def _orphaned() -> None:
    _send(signal.SIGTERM)
    time.sleep(_LONGEST_SECONDS)
    _leave()


def _send(number: int) -> None:
    """From another thread. The main thread alone handles signals, and has to be woken where it waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _end(number: int, frame: FrameType | None) -> None:
    if _would_be_lost(frame):
        again = Timer(_AGAIN_SECONDS, _send, [number])
        again.daemon = True
        again.start()
        return
    for other in ENDINGS:
        signal.signal(other, signal.SIG_IGN)  # while we clean up
    raise Ended(number)


def _would_be_lost(frame: FrameType | None) -> bool:
    """Whether libsndfile is calling, through which no exception passes: what is raised in its callbacks is printed and
    forgotten."""
    while frame is not None:
        code = frame.f_code
        if code.co_name.startswith("vio_") and os.path.basename(code.co_filename) == "soundfile.py":
            return True
        frame = frame.f_back
    return False
