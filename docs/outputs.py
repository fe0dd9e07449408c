"""Runs every command shown in docs/guide.md and puts what it really prints under it.

In the blocks marked "console" a line that starts with "$ " is a command; the lines up to the next one are its
output. All run in one folder, in order, except those of a block under a line `<!-- not run -->`. Run it from the root
of the repository: python docs/outputs.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path("docs/guide.md")
COMMAND = "$ "
NOT_RUN = "<!-- not run -->"


@dataclass(frozen=True)
class Command:
    """A command, and the lines [begin, end) of the guide that are shown as its output."""

    text: str
    begin: int
    end: int


def commands(lines: list[str]) -> list[Command]:
    """Those that are to be run."""
    found: list[Command] = []
    inside, start = False, 0
    for number, line in enumerate(lines):
        starts = inside and line.startswith(COMMAND)
        if start and (starts or line.startswith("```")):
            found.append(Command(lines[start - 1].removeprefix(COMMAND), start, number))
            start = 0
        if line.startswith("```"):
            inside = line == "```console" and lines[number - 1] != NOT_RUN
        elif starts:
            start = number + 1
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command in a shell, errors among its output, with the `evc` and `python` of this interpreter."""
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def refreshed(lines: list[str], folder: Path) -> list[str]:
    """The lines of the guide with fresh outputs."""
    result: list[str] = []
    done = 0
    for command in commands(lines):
        shown = run(command.text, folder).stdout
        if "Traceback" in shown:
            raise SystemExit(f"{command.text}\n{shown}")
        result += lines[done : command.begin] + [line.rstrip() for line in shown.rstrip().splitlines()]
        done = command.end
    return result + lines[done:]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        text = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text("\n".join(refreshed(text.splitlines(), Path(name))) + "\n", encoding="utf-8")
