"""Every command of docs/guide.md does what the guide shows, on a shorter track."""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
import sys
from contextlib import chdir, redirect_stdout
from functools import partial
from pathlib import Path
from unittest import mock

from command_tools import run_here

from evc.models import sequencer

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 1.3
WARNING = "evc: warning: "
# What the shell is needed for, and in how many commands at least: a name that it puts in place of others, a pipe.
SHELL, IN_SHELL = re.compile(r"^(?!evc )|[|<>;&*?$`]"), 20
ONE_BY_ONE = {"encode", "decode"}  # several files of these are done by workers, which have to be a command's


def test_every_command(tmp_path: Path) -> None:
    """Errors are those shown, whatever their figures, and so are warnings, of which a short track may bring more."""
    spec = importlib.util.spec_from_file_location("outputs", ROOT / "docs/outputs.py")
    assert spec is not None and spec.loader is not None
    outputs = importlib.util.module_from_spec(spec)
    sys.modules["outputs"] = outputs
    spec.loader.exec_module(outputs)
    lines = (ROOT / "docs/guide.md").read_text(encoding="utf-8").splitlines()
    commands = outputs.commands(lines)
    # Not those that train, play, start workers, or make albums.
    assert len(commands) == sum(line.startswith("$ ") for line in lines) - 15
    in_shell = 0
    for command in commands:
        if command is commands[0]:
            code, output = 0, made(shlex.split(command.text), tmp_path)
        elif needs_shell(command.text):
            result = outputs.run(command.text, tmp_path)
            code, output, in_shell = result.returncode, result.stdout, in_shell + 1
        else:
            both = io.BytesIO()
            code = run_here(shlex.split(command.text)[1:], tmp_path, b"", both, both)
            output = both.getvalue().decode()
        shown, printed = (said(text) for text in (lines[command.begin : command.end], output.splitlines()))
        failures = [line for line in shown if not line.startswith(WARNING)]
        assert [line for line in printed if not line.startswith(WARNING)] == failures, command.text
        assert set(shown) <= set(printed), command.text
        expected = 0 if not failures else 2 if failures[0].startswith("Error: ") else 1
        assert code == expected, f"{command.text}\n{output}"
        assert "Traceback" not in output
    assert in_shell >= IN_SHELL


def made(words: list[str], folder: Path) -> str:
    """What the first command prints, which makes the track."""
    assert words[:3] == ["python", "-m", "evc.models.sequencer"]
    output, short = io.StringIO(), partial(sequencer.track, SECONDS)
    with mock.patch.object(sys, "argv", words[2:]), mock.patch.object(sequencer, "track", short):
        with chdir(folder), redirect_stdout(output):
            sequencer.main()
    return output.getvalue()


def needs_shell(command: str) -> bool:
    """Whether it has to run as it stands. What is `evc` with words alone runs here, and need not start."""
    words = shlex.split(command)
    return bool(SHELL.search(command)) or (words[1] in ONE_BY_ONE and "--recursive" in words)


def said(lines: list[str]) -> list[str]:
    """The lines that tell of errors, without their figures."""
    return [re.sub(r"[\d.]+", "#", line) for line in lines if line.startswith(("evc: ", "Error: "))]
