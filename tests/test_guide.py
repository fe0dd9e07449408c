"""Every command of docs/guide.md does what the guide shows, on a shorter track."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import soundfile

from evc.models import sequencer

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 1.3
WARNING = "evc: warning: "


def test_every_command(tmp_path: Path) -> None:
    """Errors are those shown, whatever their figures, and so are warnings, of which a short track may bring more."""
    spec = importlib.util.spec_from_file_location("outputs", ROOT / "docs/outputs.py")
    assert spec is not None and spec.loader is not None
    outputs = importlib.util.module_from_spec(spec)
    sys.modules["outputs"] = outputs
    spec.loader.exec_module(outputs)
    lines = (ROOT / "docs/guide.md").read_text(encoding="utf-8").splitlines()
    commands = outputs.commands(lines)
    assert len(commands) == sum(line.startswith("$ ") for line in lines) - 4  # those that train or play
    for command in commands:
        result = outputs.run(command.text, tmp_path)
        shown, printed = (said(text) for text in (lines[command.begin : command.end], result.stdout.splitlines()))
        failures = [line for line in shown if not line.startswith(WARNING)]
        assert [line for line in printed if not line.startswith(WARNING)] == failures, command.text
        assert set(shown) <= set(printed), command.text
        code = 0 if not failures else 2 if failures[0].startswith("Error: ") else 1
        assert result.returncode == code, f"{command.text}\n{result.stdout}"
        assert "Traceback" not in result.stdout
        if command is commands[0]:
            soundfile.write(tmp_path / "demo.wav", sequencer.track(SECONDS, 44_100), 44_100, "PCM_16")


def said(lines: list[str]) -> list[str]:
    """The lines that tell of errors, without their figures."""
    return [re.sub(r"[\d.]+", "#", line) for line in lines if line.startswith(("evc: ", "Error: "))]
