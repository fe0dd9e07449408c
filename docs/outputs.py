"""Runs every command shown in docs/guide.md and puts what it really prints under it.

In the blocks marked "console" a line that starts with "$ " is a command; the lines up to the next one are its
output. All run in one folder, in order. Run it from the root of the repository: python docs/outputs.py
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

GUIDE = Path("docs/guide.md")
COMMAND = "$ "


def output_of(command: str, folder: str) -> list[str]:
    """What a shell prints for `command`, errors included, with the `evc` and `python` of this interpreter."""
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    result = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if "Traceback" in result.stdout:
        raise SystemExit(f"{command}\n{result.stdout}")
    return [line.rstrip() for line in result.stdout.rstrip().splitlines()]


def refreshed(lines: list[str], folder: str) -> list[str]:
    """The lines of the guide with fresh outputs."""
    result: list[str] = []
    inside = stale = False
    for line in lines:
        if line.startswith("```"):
            inside, stale = line == "```console", False
        if inside and line.startswith(COMMAND):
            result += [line, *output_of(line.removeprefix(COMMAND), folder)]
            stale = True
        elif not stale:
            result.append(line)
    return result


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        text = GUIDE.read_text(encoding="utf-8")
        GUIDE.write_text("\n".join(refreshed(text.splitlines(), name)) + "\n", encoding="utf-8")
