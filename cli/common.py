"""What the commands share: standard streams as files, progress, warnings, numbers for people and from them."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from evc.format.errors import SALVAGE, EvcError, EvcWarning, OutputError
from evc.format.sharing import check_file
from evc.models.progress import Progress
from evc.streaming import UNNAMED, UNNAMED_OUTPUT

if TYPE_CHECKING:
    from evc.file import EvcFile

STANDARD = "-"
_SALVAGE = SALVAGE, SALVAGE.replace("salvage=True", "evc decode --salvage")
EXIT_DATA, EXIT_FAILURES, EXIT_INTERRUPTED, EXIT_PIPE = 1, 3, 130, 141
# Names of files, which a shell completes; whether they can be read is found out where they are.
PATH = click.Path(readable=False, allow_dash=True)


class _Time(click.ParamType):
    """Seconds: 90, 1:30.5 or 1:02:03."""

    name = "time"

    def __init__(self, negative: bool = False) -> None:
        self._negative = negative

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = value if isinstance(value, float) else _seconds(str(value).strip())
        if seconds is None:
            self.fail(f"{value!r} is no time: 90, 1:30.5 and 1:02:03 are.", param, ctx)
        if seconds < 0 and not self._negative:
            self.fail(f"{value} is before the beginning.", param, ctx)
        return seconds


def _seconds(text: str) -> float | None:
    if ":" not in text:
        try:
            seconds = float(text)
        except ValueError:
            return None
        return seconds if math.isfinite(seconds) else None
    match = re.fullmatch(r"(-?)(?:(\d+):(?=\d\d:))?(\d+):(\d\d(?:\.\d*)?)", text)
    if match is None:
        return None
    hours, minutes, seconds = int(match[2] or 0), int(match[3]), float(match[4])
    if seconds >= 60 or (match[2] and minutes >= 60):
        return None
    return (3600 * hours + 60 * minutes + seconds) * (-1 if match[1] else 1)


class _Bitrate(click.ParamType):
    """kbit/s: 48, 48k or 48kbps."""

    name = "bitrate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = re.sub(r"\s*k(b|bps|bit|bits|bit/s|b/s)?\s*$", "", str(value), flags=re.IGNORECASE)
        try:
            return float(number)
        except ValueError:
            self.fail(f"{value!r} is no bitrate: 48, 48k and 48kbps are.", param, ctx)


class SuggestingGroup(click.Group):
    """Names the commands that are spelt like one that is unknown."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in (names := self.list_commands(ctx)) and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], names)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(names)}."
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


TIME, SHIFT, BITRATE = _Time(), _Time(negative=True), _Bitrate()


def examples(*lines: str) -> str:
    """What the help of a command ends with."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


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


def output_folder(path: str) -> Path:
    """The folder of this name; that may be new."""
    if path == STANDARD:
        raise click.UsageError("several files do not go to standard output: name a folder")
    check_file(path)
    return Path(path)


@contextmanager
def naming(source: str, target: str | None = None) -> Iterator[None]:
    """Puts the name of the input in front of the message of an error, where it does not begin with the name
    of the input or the output already."""
    try:
        yield
    except OutputError as error:  # names what could not be written
        path, _, reason = str(error).partition(": ")
        raise OutputError(f"{'standard output' if path == UNNAMED_OUTPUT else path}: {reason}") from error
    except EvcError as error:
        message = _named(in_command(str(error)), source, target)
        if message == str(error):
            raise
        raise EvcError(message) from error


@contextmanager
def gathered_warnings(source: str, target: str | None = None) -> Iterator[list[str]]:
    """What the block warns of, a line each, with the name of the input in front: not printed, so that nothing stands
    before the line of an error, and a worker can hand it on."""
    lines: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", EvcWarning)
        yield lines
    lines += dict.fromkeys(_named(" ".join(str(one.message).split()), source, target) for one in found)


def show_warning(message: Warning | str) -> None:
    click.echo(f"evc: warning: {' '.join(str(message).split())}", err=True)


def _named(message: str, source: str, target: str | None) -> str:
    name = "standard input" if source == STANDARD else source
    message = message.removeprefix(f"{UNNAMED}: ")
    if not name or message.startswith((f"{name}: ", f"{'standard output' if target == STANDARD else target}: ")):
        return message
    return f"{name}: {message}"


def in_command(message: str) -> str:
    """The library's message as the command says it."""
    return message.replace(*_SALVAGE)


def refuse_same(source: str, target: str) -> None:
    """Raise unless `source` and `target` are different files."""
    if STANDARD not in (source, target) and os.path.exists(target) and os.path.exists(source):
        if os.path.samefile(source, target):
            raise click.UsageError(f"{source} is both input and output")


@contextmanager
def progress_bar(label: str, files: bool = False, quiet: bool = False) -> Iterator[Progress | None]:
    """A bar on standard error with elapsed and remaining time and speed; None where that is no terminal, or if `quiet`.

    The callback takes what is done and what there is in all: seconds of audio, or `files`.
    """
    if quiet or sys.stderr is None or not sys.stderr.isatty():
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
        f"in {time_text(frames / file.samplerate)} of {time_text(file.coded_frames / file.samplerate)}"
    )
