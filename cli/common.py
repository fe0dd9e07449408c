"""What the commands share: standard streams as files, progress, numbers for people."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from evc.errors import SALVAGE, EvcError, OutputError
from evc.streaming import UNNAMED, UNNAMED_OUTPUT

if TYPE_CHECKING:
    from evc.file import EvcFile

Progress = Callable[[float, float], None]

STANDARD = "-"
_SALVAGE = SALVAGE, SALVAGE.replace("salvage=True", "evc decode --salvage")
EXIT_DATA, EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_PIPE = 1, 130, 143, 141


def input_file(path: str) -> str | BinaryIO:
    """The path, or standard input for "-"."""
    if path != STANDARD:
        return path
    if sys.stdin is None:
        raise EvcError("standard input: closed")
    return sys.stdin.buffer


def output_file(path: str, force: bool) -> str | BinaryIO:
    """The path, or standard output for "-". Refuses a terminal, and (unless `force`) a file that exists."""
    if path == STANDARD:
        if sys.stdout is None:
            raise EvcError("standard output: closed")
        if sys.stdout.isatty():
            raise click.UsageError("standard output is a terminal: redirect it or name a file")
        return sys.stdout.buffer
    if not force and os.path.isfile(path):
        raise EvcError(f"{path}: exists already; --force replaces it")
    return path


@contextmanager
def naming(source: str, target: str | None = None) -> Iterator[None]:
    """Puts the name of the input in front of the message of an error, where it does not begin with the name
    of the input or the output already."""
    name = "standard input" if source == STANDARD else source
    try:
        yield
    except OutputError as error:  # names what could not be written
        path, _, reason = str(error).partition(": ")
        raise OutputError(f"{'standard output' if path == UNNAMED_OUTPUT else path}: {reason}") from error
    except EvcError as error:
        message = str(error).removeprefix(f"{UNNAMED}: ").replace(*_SALVAGE)
        named = not name or message.startswith((f"{name}: ", f"{target}: "))
        raise EvcError(message if named else f"{name}: {message}") from error


def refuse_same(source: str, target: str) -> None:
    """Raise unless `source` and `target` are different files."""
    if STANDARD not in (source, target) and os.path.exists(target) and os.path.exists(source):
        if os.path.samefile(source, target):
            raise click.UsageError(f"{source} is both input and output")


@contextmanager
def progress_bar(label: str, files: bool = False) -> Iterator[Progress | None]:
    """A bar on standard error with elapsed and remaining time and speed; None where that is no terminal.

    The callback takes what is done and what there is in all: seconds of audio, or `files`.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}"),
        parts.BarColumn(),
        parts.TaskProgressColumn(),
        parts.TextColumn("elapsed"),
        parts.TimeElapsedColumn(),
        parts.TextColumn("remaining"),
        parts.TimeRemainingColumn(),
        parts.TextColumn("{task.fields[speed]}"),
    )
    # Text that goes to a file or a pipe must not pass through the bar, which writes to the terminal.
    bar = parts.Progress(
        *columns, console=Console(stderr=True), redirect_stdout=sys.stdout.isatty(), transient=True
    )
    with bar:
        number = bar.add_task(label, total=None, speed="")
        task = bar.tasks[number]

        def update(done: float, total: float) -> None:
            speed = "" if files or not task.elapsed else f"{done / task.elapsed:.1f}x real time"
            bar.update(number, completed=done, total=total, speed=speed)

        yield update


def print_json(value: Any, to_stderr: bool = False) -> None:
    """`value` as indented JSON, in ASCII: whatever the locale, it can be printed and read."""
    click.echo(json.dumps(value, indent=2), err=to_stderr)


def size_text(count: float) -> str:
    """A number of bytes for people: 812 B, 31.4 kB, 2.56 MB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.3g} {unit}"
    return f"{count / 1000:.3g} GB"


def time_text(seconds: float) -> str:
    """Seconds for people: 12.35 s, 3:07.2, 2:04:11."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds, 1), 60)
    if minutes < 60:
        return f"{int(minutes)}:{rest:04.1f}"
    return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{int(rest):02d}"


def patterns_text(file: EvcFile) -> str:
    """How much of a file its patterns make: "3 patterns sound 14 times again, in 21.30 s of 30.00 s"."""
    end = frames = 0
    for begin, length in zip(file.uses["frame"].tolist(), file.uses["frames"].tolist(), strict=True):
        frames += max(0, begin + length - max(begin, end))
        end = max(end, begin + length)
    patterns, uses = len(file.patterns), len(file.uses)
    return (
        f"{patterns} pattern{' sounds' if patterns == 1 else 's sound'} {uses} time{'' if uses == 1 else 's'} again, "
        f"in {time_text(frames / file.samplerate)} of {time_text(file.duration)}"
    )


def channels_text(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
