"""`evc patterns`, and what the other commands tell of patterns, as processes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from damage import segment_places, with_flipped_bit
from pattern_tools import LOOP_FRAMES, LOOP_RATE, LOOP_TIMES, encoded_loop, loop_audio
from test_cli import one_line, usage_error

import evc
from evc.format.edits import Stretch
from evc.format.rewriting import rewrite


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with loop.wav, loop.evc and plain.evc, which has no patterns."""
    path = tmp_path_factory.mktemp("loops")
    soundfile.write(path / "loop.wav", loop_audio(), LOOP_RATE)
    (path / "loop.evc").write_bytes(encoded_loop())
    noise = np.random.default_rng(1).normal(0, 0.1, 8000)
    (path / "plain.evc").write_bytes(evc.encode(noise, 8000, quality=1, patterns="off"))
    return path


def test_the_table(run_evc, loops):
    result = run_evc("patterns", "loop.evc", cwd=loops)
    assert (result.returncode, result.stderr) == (0, b"")
    heading, *_ = lines = result.stdout.decode().splitlines()
    assert heading.startswith("loop.evc: ") and heading.endswith(" of 12.00 s") and " again, in " in heading
    assert lines[2].split() == ["number", "kind", "start", "duration", "uses", "in", "all"]
    number, kind, start, unit, duration, *_ = lines[4].split()
    assert (number, kind, unit) == ("000", "excerpt", "s") and 1 < float(duration) < 2.1
    assert float(start) < 2
    assert not list(loops.glob("pattern*"))


def test_json(run_evc, loops):
    with evc.open(loops / "loop.evc") as file:
        found = json.loads(run_evc("patterns", "loop.evc", "--json", cwd=loops).stdout)
        assert (found["file"], found["samplerate"], found["duration"]) == ("loop.evc", LOOP_RATE, 12)
        assert [row["number"] for row in found["patterns"]] == list(range(len(file.patterns)))
        for row, pattern in zip(found["patterns"], file.patterns, strict=True):
            assert len(row["uses"]) == pattern["uses"] and row["frames"] == pattern["frames"]
            assert row["seconds"] == pytest.approx(sum(use["duration"] for use in row["uses"]))


def test_export(run_evc, loops, tmp_path):
    result = run_evc("patterns", loops / "loop.evc", "--export", "out/loops", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, b"")
    folder = tmp_path / "out" / "loops"
    index = json.loads((folder / "index.json").read_text())
    count = len(index["patterns"])
    assert result.stdout.decode().splitlines()[-1].startswith(f"out/loops: {count} WAV file")
    names = {"index.json", "instrument.sfz"} | {row[kind] for row in index["patterns"] for kind in ("wav", "json")}
    assert index["patterns"][0]["wav"].startswith("000-at-") and len(names) == 2 * count + 2
    assert (folder / "instrument.sfz").read_text().count("<region>") == count
    assert {path.name for path in folder.iterdir()} == names
    with evc.open(loops / "loop.evc") as file:
        everything = file.read(dtype="int16")
        for row in index["patterns"]:
            audio, rate = soundfile.read(folder / row["wav"], dtype="int16")
            assert rate == LOOP_RATE and soundfile.info(folder / row["wav"]).subtype == "PCM_16"
            whole = everything[row["frame"] : row["frame"] + row["frames"]].astype(int)
            np.testing.assert_allclose(audio, whole, atol=1)  # floats of another process, rounded
            details = json.loads((folder / row["json"]).read_text())
            assert {name: details[name] for name in row} == row
            wanted = np.flatnonzero(file.occurrences["pattern"] == row["number"])
            assert [one["occurrence"] for one in details["occurrences"]] == wanted.tolist()
            for one, occurrence in zip(details["occurrences"], file.occurrences[wanted], strict=True):
                for name in ("time", "frame", "lag", "offset", "length", "use"):
                    assert one[name] == occurrence[name]
                assert np.exp(2j * np.pi * one["phase"]) == pytest.approx(occurrence["phase"])
                assert one["planes"] == "all channels" and len(one["bands"]) == len(one["gains"][0]) + 1
                np.testing.assert_allclose(one["gains"], occurrence["gains"], atol=1e-6)
    assert 0.5 * LOOP_FRAMES < index["patterns"][0]["frames"] < 1.05 * LOOP_FRAMES
    assert len(index["patterns"][0]["uses"]) >= LOOP_TIMES - 2


def test_exported_files_are_kept_unless_forced(run_evc, loops, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "index.json").write_bytes(b"mine")
    arguments = "patterns", loops / "loop.evc", "--export", folder
    assert one_line(run_evc(*arguments)) == f"evc: {folder / 'index.json'}: exists already; --force replaces it"
    assert [path.name for path in folder.iterdir()] == ["index.json"]
    assert run_evc(*arguments, "--force").returncode == 0
    first = json.loads((folder / "index.json").read_text())["patterns"][0]
    (folder / first["wav"]).write_bytes(b"mine")
    assert f"{first['wav']}: exists already" in one_line(run_evc(*arguments))
    assert (folder / first["wav"]).read_bytes() == b"mine"


def test_only_some(run_evc, loops, tmp_path):
    whole = json.loads(run_evc("patterns", "loop.evc", "--json", cwd=loops).stdout)["patterns"]
    result = run_evc("patterns", "loop.evc", "--min-seconds", "1", "--min-uses", "3", "--json", cwd=loops)
    some = [row for row in whole if row["duration"] >= 1 and len(row["uses"]) >= 3]
    assert json.loads(result.stdout)["patterns"] == some
    none = run_evc("patterns", loops / "loop.evc", "--min-seconds", "1000", "--export", "out", cwd=tmp_path)
    assert none.returncode == 0 and none.stdout.decode().splitlines()[1:] == [f"{len(whole)} not shown"]
    assert not list(tmp_path.iterdir())


def test_a_file_without_patterns(run_evc, loops, tmp_path):
    result = run_evc("patterns", loops / "plain.evc", "--export", tmp_path / "out")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == f"{loops / 'plain.evc'}: no patterns\n"
    assert not list(tmp_path.iterdir())
    assert json.loads(run_evc("patterns", "plain.evc", "--json", cwd=loops).stdout)["patterns"] == []


def test_standard_input(start_evc, loops):
    result = start_evc("patterns", "-", stdin=(loops / "loop.evc").read_bytes())
    assert result.returncode == 0 and result.stdout.startswith(b"-: ")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing.evc"], "nothing.evc: no such file or directory"),
        (["loop.wav"], "loop.wav: not an EVC file"),
        (["loop.evc", "--export", "loop.wav/out"], "loop.wav/out: cannot be written (not a directory)"),
    ],
)
def test_data_errors(arguments, message, run_evc, loops):
    assert message in one_line(run_evc("patterns", *arguments, cwd=loops))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "Missing argument 'FILE'"),
        (["loop.evc", "--export", "loop.wav"], "is a file"),
        (["loop.evc", "--min-uses", "-1"], "Invalid value for '--min-uses'"),
        (["loop.evc", "--min-seconds", "x"], "Invalid value for '--min-seconds'"),
    ],
)
def test_usage_errors(arguments, message, run_evc, loops):
    assert message in usage_error(run_evc("patterns", *arguments, cwd=loops))


def test_a_damaged_file(run_evc, loops, tmp_path):
    data = (loops / "loop.evc").read_bytes()
    (tmp_path / "a.evc").write_bytes(with_flipped_bit(data, segment_places(data)[1].offset + 40))
    line = one_line(run_evc("patterns", "a.evc", cwd=tmp_path))
    assert line == "evc: a.evc: segment 1 is damaged (evc decode --salvage recovers what is whole)"


def test_salvage_tells_what_is_lost_from_what_is_impaired(run_evc, loops, tmp_path):
    """What repeats a lost segment still sounds."""
    data = (loops / "loop.evc").read_bytes()
    first, second = segment_places(data)[:2]
    (tmp_path / "a.evc").write_bytes(with_flipped_bit(data, first.offset + 40))
    assert second.end < len(data)
    lines = run_evc("decode", "--salvage", "a.evc", "a.wav", cwd=tmp_path).stderr.decode().splitlines()
    assert lines[0].startswith("lost 0.00 s to ") and " (frames 0 to " in lines[0]
    assert len(lines) > 1 and all(line.startswith("impaired ") for line in lines[1:])
    assert all(line.endswith(": repeats sound of segment 0, which is lost") for line in lines[1:])


def test_stats_tell_of_patterns(run_evc, loops):
    text = run_evc("stats", "loop.evc", cwd=loops).stdout.decode()
    table = text[text.index("pattern  ") :].splitlines()
    assert table[0].split() == ["pattern", "start", "duration", "uses", "in", "all", "bits", "saved"]
    assert table[2].split()[:2] == ["000", "excerpt"] and any(line.split()[:1] == ["all"] for line in table)
    report = json.loads(run_evc("stats", "--json", "loop.evc", cwd=loops).stdout)
    listed = json.loads(run_evc("patterns", "--json", "loop.evc", cwd=loops).stdout)["patterns"]
    assert [row["uses"] for row in report["patterns"]] == [len(row["uses"]) for row in listed]
    assert sum(row["saved_bits"] for row in report["patterns"]) > 0
    assert "saved" not in run_evc("stats", "plain.evc", cwd=loops).stdout.decode()


def test_encode_tells_of_patterns(run_evc, loops, tmp_path):
    soundfile.write(tmp_path / "short.wav", loop_audio()[: 5 * LOOP_FRAMES // 2], LOOP_RATE)
    arguments = "encode", "short.wav", "a.evc", "--quality", "1", "--effort", "1"
    text = run_evc(*arguments, cwd=tmp_path).stdout.decode()
    assert " again, in " in text and text.rstrip().endswith(" of 5.00 s")
    summary = json.loads(run_evc(*arguments, "--json", "--force", cwd=tmp_path).stdout)
    assert summary["patterns"] in text
    plain = json.loads(run_evc(*arguments, "--json", "--force", "--patterns", "off", cwd=tmp_path).stdout)
    assert plain["patterns"] is None


def test_of_damage_that_is_played_thousands_of_times_some_is_shown(run_evc, loops, tmp_path):
    with evc.open(loops / "loop.evc") as file:
        starts = [segment.start for segment in file.segments[:2]]
    edited = io.BytesIO()
    rewrite(io.BytesIO((loops / "loop.evc").read_bytes()), edited, edits=[Stretch(at, 1) for at in starts] * 150)
    data = edited.getvalue()
    (tmp_path / "a.evc").write_bytes(with_flipped_bit(data, segment_places(data)[1].offset + 40))
    lines = run_evc("decode", "--salvage", "a.evc", "a.wav", cwd=tmp_path).stderr.decode().splitlines()
    assert len(lines) == 101 and all(line.startswith("lost ") for line in lines)
    assert lines[-1] == "lost in 50 more places, 50 frames in all"
