"""The `evc` command, in a process of its own or in that of the tests, which saves it from starting."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from unittest import mock

from evc.cli import signals
from evc.cli.main import main

SURROUNDINGS = {"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}


def start(*arguments: object, cwd: Path | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """As users run it: all that its surroundings are to it counts."""
    command = [sys.executable, "-m", "evc.cli.main", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, input=stdin, capture_output=True, timeout=120, env=os.environ | SURROUNDINGS
    )


def run(*arguments: object, cwd: Path | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """By main() here, with streams that are no files. Not for commands that start workers, which would import what
    runs here: several files without --jobs 1."""
    out, err = io.BytesIO(), io.BytesIO()
    code = run_here([str(argument) for argument in arguments], cwd, stdin, out, err)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def run_here(arguments: list[str], cwd: Path | None, stdin: bytes, out: io.BytesIO, err: io.BytesIO) -> int:
    """Exit code of main(). What it changes for its process is as before afterwards."""
    output = io.TextIOWrapper(out, "utf-8", write_through=True)
    errors = output if err is out else io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True)
    streams = {"stdin": io.TextIOWrapper(io.BytesIO(stdin), "utf-8"), "stdout": output, "stderr": errors}
    with ExitStack() as stack:
        stack.enter_context(mock.patch.multiple(sys, argv=["evc", *arguments], **streams))
        stack.enter_context(mock.patch.dict(os.environ, SURROUNDINGS))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(_process_as_before())
        if cwd is not None:
            stack.enter_context(chdir(cwd))
        try:
            main()
        except SystemExit as ended:
            return ended.code if isinstance(ended.code, int) else 1
        finally:
            for stream in {output, errors}:
                stream.detach()  # or the bytes would be closed with it
    raise AssertionError("main() returns")


@contextmanager
def _process_as_before() -> Iterator[None]:
    interval, handlers = sys.getswitchinterval(), {number: signal.getsignal(number) for number in signals.ENDINGS}
    try:
        yield
    finally:
        sys.setswitchinterval(interval)
        for number, handler in handlers.items():
            signal.signal(number, handler)
