"""Tables and sentences fit the terminal, and no figure in them is ever cut."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import evc
from evc.cli.tables import Column, sentence, table

WIDTHS = (40, 57, 80, 120, 200)
RATE = 16_000


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (12_000, 2)).astype(np.float32)
    (folder / "loop.evc").write_bytes(evc.encode(np.tile(noise, (2, 1)), RATE, effort=1))
    tone = 0.5 * np.sin(np.arange(8000) / 8) * np.exp(-np.arange(8000) / 2000)
    (folder / "tone.evc").write_bytes(evc.encode(tone, RATE, hints="noise", bitrate=4, effort=0))
    return folder


@pytest.mark.parametrize("command, file", [("stats", "loop"), ("patterns", "loop"), ("events", "tone")])
def test_every_line_fits_and_is_whole(command, file, files, monkeypatch):
    """A narrow table has some of the words of a wide one, in their order, and no others."""
    from click.testing import CliRunner

    from evc.cli.main import evc_command

    monkeypatch.chdir(files)
    outputs = {}
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        result = CliRunner().invoke(evc_command, [command, f"{file}.evc"])
        assert result.exit_code == 0
        outputs[width] = result.output.splitlines()
        assert max(map(len, outputs[width])) <= width and "…" not in result.output
    whole = {word for line in outputs[200] for word in line.split()}
    for width in WIDTHS:
        words = [word for line in outputs[width] for word in line.split() if not set(word) <= set("▁▂▃▄▅▆▇█─")]
        assert set(words) <= whole
        assert sum("─" in line for line in outputs[width]) == sum("─" in line for line in outputs[200])
    assert len(outputs[40]) >= len(outputs[200]) and len(outputs[40]) < len(outputs[200]) + 4


def test_a_command_of_a_pipe_is_not_narrowed(files):
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "evc.cli.main", "stats", "loop.evc"]
    result = subprocess.run(command, cwd=files, env=environment, capture_output=True, timeout=120)
    assert b"bits/symbol" in result.stdout and b"model" in result.stdout and result.stderr == b""


def test_columns_are_left_out_by_rank(monkeypatch):
    columns = [Column("name", left=True), Column("most"), Column("less", 1), Column("least", 2)]
    rows = [["one", "1", "22", "333"], ["second", "4444", "5", "6"]]
    headings = {}
    for width in (20, 28, 40, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = table(columns, rows, bold=[0]).splitlines()
        headings[width] = lines[1].split()
        assert lines[3].split()[0] == "one" and lines[4].split()[:2] == ["second", "4444"]
    assert headings == {
        20: ["name", "most"], 28: ["name", "most", "less"], 40: ["name", "most", "less", "least"],
        80: ["name", "most", "less", "least"],
    }  # fmt: skip


def test_what_always_stays_is_never_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    text = table([Column("name", left=True), Column("figure")], [["something", "1234567890"]])
    assert "something" in text and "1234567890" in text and "…" not in text


def test_sentences_keep_figures_with_their_units(monkeypatch):
    text = "a.evc: 49.9 kB, 6.00 s, 44100 Hz, stereo, 66.58 kbit/s"
    monkeypatch.setenv("COLUMNS", "80")
    assert sentence(text) == text
    for width in range(12, 54):
        monkeypatch.setenv("COLUMNS", str(width))
        lines = sentence(text).splitlines()
        assert " ".join(line.strip() for line in lines) == text and max(map(len, lines)) <= max(width, 14)
        assert not {line.split()[0] for line in lines} & {"kB,", "s,", "Hz,", "kbit/s"}


@pytest.mark.parametrize("width, column", [(40, 10), (120, 28)])
def test_long_names_of_tags_leave_room_for_figures(width, column, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from evc.cli.main import evc_command

    monkeypatch.setenv("COLUMNS", str(width))
    name = "musicbrainz_albumartistid_"
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((9, 8)), 192_000, subtype="DOUBLE", tags={name: "x"}))
    monkeypatch.chdir(tmp_path)
    lines = CliRunner().invoke(evc_command, ["info", "a.evc"]).output.splitlines()
    assert f"{name}  x" in lines and f"{'layers':<{column}}spectrum" in lines
    assert max(len(line) for line in lines if not line.startswith((name, "encoder"))) <= width
