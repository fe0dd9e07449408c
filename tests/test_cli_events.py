"""`evc events` and `evc edit`, as processes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from test_cli import one_line, usage_error
from test_event_files import MELODY, foreign, written

import evc
from evc.format.header import NetworkReference


@pytest.fixture(scope="module")
def melody(tmp_path_factory: pytest.TempPathFactory, encoded: bytes) -> Path:
    """A folder with melody.evc, plain.evc, which has no events, and foreign.evc, whose network is not installed."""
    path = tmp_path_factory.mktemp("melody")
    (path / "melody.evc").write_bytes(written(MELODY, encoded))
    (path / "plain.evc").write_bytes(encoded)
    (path / "foreign.evc").write_bytes(foreign(MELODY[:2], NetworkReference("drums-1", bytes(8))))
    return path


def test_the_table(run_evc, melody):
    result = run_evc("events", "melody.evc", cwd=melody)
    assert (result.returncode, result.stderr) == (0, b"")
    lines = result.stdout.decode().splitlines()
    assert lines[0] == "melody.evc: 6 events in 10.00 s, 0.6 a second"
    assert lines[2].split() == ["number", "time", "note", "Hz", "level", "pan", "partials", "sound"]
    rows = [line.split() for line in lines[4:10]]
    assert [row[1] for row in rows] == ["0.100", "0.500", "2.000", "4.300", "4.300", "9.000"]
    assert [row[2] for row in rows] == ["C4", "E4", "G4+25", "C5", "E5", "C4"]
    assert rows[0][3:] == ["261.6", "-12.0", "-1.00", *"0 8 3 0 0 0 0".split()]
    assert all(len(line) < 80 for line in lines)


def test_json(run_evc, melody):
    found = json.loads(run_evc("events", "melody.evc", "--json", cwd=melody).stdout)
    assert (found["file"], found["duration"], found["network"]) == ("melody.evc", 10, "evc-events-1")
    with evc.open(melody / "melody.evc") as file:
        events = file.events
    assert [row["number"] for row in found["events"]] == list(range(6))
    for name, values in (("time", events.times), ("amplitude", events.amplitudes), ("frequency", events.frequencies)):
        np.testing.assert_allclose([row[name] for row in found["events"]], values, rtol=1e-4)
    np.testing.assert_allclose([row["vector"] for row in found["events"]], events.vectors, atol=1e-6)
    turns = np.array([row["phase"] for row in found["events"]])
    np.testing.assert_allclose(np.exp(2j * np.pi * turns), events.phases, atol=1e-4)
    assert [list(row["codes"].values()) for row in found["events"]] == events.codes.tolist()
    assert list(found["events"][0]["codes"])[:3] == ["pitch", "phase", "attack"]


def test_csv(run_evc, melody):
    text = run_evc("events", "melody.evc", "--csv", cwd=melody).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6 and rows[2]["name"] == "G4+25" and float(rows[2]["time"]) == pytest.approx(2, abs=1e-4)
    assert rows[0]["pitch"] == "3840" and list(rows[0])[-1] == "room"


def test_onsets(run_evc, melody):
    lines = run_evc("events", "melody.evc", "--onsets", cwd=melody).stdout.decode().splitlines()
    assert lines == ["0.1000", "0.5000", "2.0000", "4.3000", "9.0000"]


def test_a_file_without_events(run_evc, melody):
    assert run_evc("events", "plain.evc", cwd=melody).stdout.decode() == "plain.evc: no events\n"
    assert json.loads(run_evc("events", "--json", "plain.evc", cwd=melody).stdout)["events"] == []
    assert run_evc("events", "--csv", "plain.evc", cwd=melody).stdout.startswith(b"number,time,")
    assert run_evc("events", "--onsets", "plain.evc", cwd=melody).stdout == b""
    refused = run_evc("edit", "plain.evc", "x.evc", cwd=melody)
    assert one_line(refused) == "evc: plain.evc: has neither events nor timbres to edit"
    assert not (melody / "x.evc").exists()


def test_a_network_that_is_not_installed(run_evc, melody, tmp_path):
    assert b"2 events in 1.00 s" in run_evc("events", "foreign.evc", cwd=melody).stdout
    row = json.loads(run_evc("events", "--json", "foreign.evc", cwd=melody).stdout)["events"][1]
    assert row["vector"] is None and row["name"] == "E4"
    message = "evc: foreign.evc: the file needs networks that are not installed: drums-1"
    out = tmp_path / "x.evc"
    assert one_line(run_evc("edit", "foreign.evc", out, "--transpose", "1", cwd=melody)) == message
    assert one_line(run_evc("decode", "foreign.evc", tmp_path / "x.wav", cwd=melody)) == message
    assert not list(tmp_path.iterdir())
    assert run_evc("edit", "foreign.evc", out, "--shift", "0.2", cwd=melody).returncode == 0


def edited(run_evc, melody: Path, folder: Path, *options: str) -> evc.EventList:
    result = run_evc("edit", melody / "melody.evc", "out.evc", *options, "--force", cwd=folder)
    assert (result.returncode, result.stderr) == (0, b"")
    with evc.open(folder / "out.evc") as file:
        assert file.tags["title"] == "Grid" and file.layers == ("events", "spectrum")
        assert result.stdout.decode().startswith(f"out.evc: {len(file.events)} event")
        return file.events


def test_edits(run_evc, melody, tmp_path):
    def run(*options: str) -> evc.EventList:
        return edited(run_evc, melody, tmp_path, *options)

    with evc.open(melody / "melody.evc") as file:
        events = file.events
    np.testing.assert_array_equal(run().codes, events.codes)
    np.testing.assert_allclose(run("--transpose", "-12").notes, events.notes - 12, atol=1 / 128)
    np.testing.assert_allclose(run("--shift", "-0.2").times, events.times[1:] - 0.2, atol=1e-4)
    np.testing.assert_allclose(run("--from", "0.5", "--to", "4.3").times, events.times[1:3])
    other = run("--randomize-times", "--seed", "3")
    assert sorted(other.notes) == sorted(events.notes) and not np.allclose(other.times, events.times, atol=1e-3)
    np.testing.assert_array_equal(run("--randomize-times", "--seed", "3").times, other.times)
    other = run("--randomize-vectors", "--seed", "4")
    assert np.array_equal(other.times, events.times) and sorted(other.notes) == sorted(events.notes)
    assert not np.array_equal(other.notes, events.notes)
    moved = run("--perturb", "0.2").notes - events.notes
    np.testing.assert_allclose(moved, moved[0], atol=1 / 32)
    assert abs(moved[0]) > 0.05
    assert len(run("--shift", "0.1", "--merge", str(melody / "melody.evc"))) == 12


def test_the_edited_file_is_heard(run_evc, melody, tmp_path):
    edited(run_evc, melody, tmp_path, "--shift", "0.25", "--to", "0.2")
    with evc.open(melody / "melody.evc") as before, evc.open(tmp_path / "out.evc") as after:
        after.verify()
        one, other = before.render(events=[0]), after.render(layers=["events"])
    np.testing.assert_allclose(other[4000:20_000], one[:16_000], atol=1e-4)


def test_pipes(start_evc, melody):
    data = (melody / "melody.evc").read_bytes()
    result = start_evc("edit", "-", "-", "--shift", "0.5", stdin=data)
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"6 events" in start_evc("events", "-", stdin=result.stdout).stdout


def test_files_that_exist_are_kept(run_evc, melody, tmp_path):
    (tmp_path / "out.evc").write_bytes(b"mine")
    arguments = "edit", melody / "melody.evc", "out.evc", "--shift", "1"
    assert one_line(run_evc(*arguments, cwd=tmp_path)) == "evc: out.evc: exists already; --force replaces it"
    assert (tmp_path / "out.evc").read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["events", "nothing.evc"], "nothing.evc: no such file or directory"),
        (["edit", "nothing.evc", "out.evc"], "nothing.evc: no such file or directory"),
        (["edit", "melody.evc", "no/out.evc"], "no/out.evc: cannot be written (no such file or directory)"),
        (["edit", "melody.evc", "out.evc", "--merge", "nothing.evc"], "nothing.evc: no such file or directory"),
    ],
)
def test_data_errors(arguments, message, run_evc, melody):
    assert one_line(run_evc(*arguments, cwd=melody)) == f"evc: {message}"
    assert not (melody / "out.evc").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["events"], "Missing argument 'FILE'"),
        (["events", "melody.evc", "--json", "--csv"], "exclude each other"),
        (["edit", "melody.evc"], "Missing argument 'OUT'"),
        (["edit", "melody.evc", "melody.evc", "--force"], "is both input and output"),
        (["edit", "melody.evc", "out.evc", "--perturb", "-1"], "Invalid value for '--perturb'"),
        (["edit", "melody.evc", "out.evc", "--transpose", "x"], "Invalid value for '--transpose'"),
    ],
)
def test_usage_errors(arguments, message, run_evc, melody):
    assert message in usage_error(run_evc(*arguments, cwd=melody))
    assert not (melody / "out.evc").exists()
