"""The command line, as processes: what users type, what they get, and how it fails."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from damage import segment_places, with_flipped_bit

import evc
from evc.cli.common import size_text, time_text
from evc.cli.stats import sparkline


def one_line(result, code=1):
    """The single line of an error report."""
    assert result.returncode == code, result.stderr.decode()
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("evc: "), lines
    return lines[0]


def usage_error(result):
    assert result.returncode == 2
    text = result.stderr.decode()
    assert "Traceback" not in text and "Error: " in text
    return text.split("Error: ")[1]


def test_encode_and_decode(start_evc, folder, tmp_path):
    encoded = start_evc("encode", folder / "track.wav", "a.evc", "--patterns", "off", "--verify", cwd=tmp_path)
    assert encoded.returncode == 0 and encoded.stderr == b""
    summary = encoded.stdout.decode()
    assert "a.evc: 640 kB to" in summary and "spectrum" in summary and "overhead" in summary
    assert "real time" in summary and "decoded again and checked" in summary
    decoded = start_evc("decode", "a.evc", "a.flac", cwd=tmp_path)
    assert (decoded.returncode, decoded.stdout, decoded.stderr) == (0, b"", b"")
    found = soundfile.info(tmp_path / "a.flac")
    assert (found.format, found.subtype, found.frames, found.channels) == ("FLAC", "PCM_16", 160_000, 2)
    with soundfile.SoundFile(tmp_path / "a.flac") as file:
        assert file.title == "Grid"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.evc", "a.flac"]


def test_encode_summary_as_json(run_evc, folder, tmp_path):
    options = "--bitrate", "24", "--patterns", "off", "--json"
    result = run_evc("encode", folder / "track.wav", "a.evc", *options, cwd=tmp_path)
    summary = json.loads(result.stdout)
    assert summary["bytes"] == (tmp_path / "a.evc").stat().st_size
    assert summary["source_bytes"] == (folder / "track.wav").stat().st_size
    assert summary["kbps"] == pytest.approx(24, rel=0.02) and summary["duration"] == 10
    assert sum(summary["layers"].values()) == 8 * summary["bytes"]


def test_pipes(start_evc, folder):
    encoded = start_evc("encode", "-", "-", "--patterns", "off", stdin=(folder / "track.wav").read_bytes())
    assert encoded.returncode == 0 and b"standard output: " in encoded.stderr
    with evc.open(io.BytesIO(encoded.stdout)) as file:
        assert file.frames == 160_000 and file.tags["title"] == "Grid"
        expected = file.read(dtype="int16").astype(int)
    decoded = start_evc("decode", "-", "-", "--start", "1", "--duration", "0.5", stdin=encoded.stdout)
    assert (decoded.returncode, decoded.stderr) == (0, b"")
    audio, rate = soundfile.read(io.BytesIO(decoded.stdout), dtype="int16")
    assert rate == 16_000
    np.testing.assert_allclose(audio, expected[16_000:24_000], atol=1)  # floats of another process, rounded
    for command in ("info", "stats", "verify"):
        assert start_evc(command, "-", stdin=encoded.stdout).returncode == 0


def test_several_files_in_parallel(start_evc, folder, tmp_path):
    soundfile.write(tmp_path / "b.flac", np.zeros((4000, 1)), 8000)
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    sources = [folder / "track.wav", "b.flac", "broken.wav"]
    options = "--out-dir", "out", "--jobs", "2", "--patterns", "off", "--json"
    result = start_evc("encode", *sources, *options, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.decode().startswith("evc: broken.wav: not a sound file that can be read")
    assert {summary["target"] for summary in json.loads(result.stdout)} == {
        os.path.join("out", "track.evc"),
        os.path.join("out", "b.evc"),
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.evc", "track.evc"]
    again = start_evc("encode", "b.flac", "--out-dir", "out", cwd=tmp_path)
    assert "out/b.evc: exists already; --force replaces it" in one_line(again)
    assert start_evc("encode", "b.flac", "--out-dir", "out", "--force", cwd=tmp_path).returncode == 0


def test_outputs_are_kept_unless_forced(run_evc, folder, tmp_path):
    for command, source, target, *options in [
        ("encode", "track.wav", "a.evc", "--patterns", "off"),
        ("decode", "track.evc", "a.wav"),
    ]:
        (tmp_path / target).write_bytes(b"mine")
        message = one_line(run_evc(command, folder / source, target, cwd=tmp_path))
        assert message == f"evc: {target}: exists already; --force replaces it"
        assert (tmp_path / target).read_bytes() == b"mine"
        assert run_evc(command, folder / source, target, *options, "--force", cwd=tmp_path).returncode == 0
        assert (tmp_path / target).stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["encode", "a.wav", "b.wav", "c.evc"], "2 inputs cannot become one file, c.evc"),
        (["encode"], "Missing argument"),
        (["encode", "a.wav", "b.evc", "--bitrate", "0.03"], "at least 0.05 kbit/s"),
        (["encode", "a.wav", "b.evc", "--bitrate", "nan"], "at least 0.05 kbit/s"),
        (["encode", "a.wav", "b.evc", "--quality", "11"], "not within 0 to 10"),
        (["encode", "a.wav", "b.evc", "--quality", "5", "--bitrate", "64"], "exclude each other"),
        (["encode", "a.wav", "b.evc", "--device", "abacus"], "'abacus' is not one of"),
        (["encode", "x/a.wav", "y/a.flac", "--out-dir", "out"], "would both become"),
        (["encode", "-", "--out-dir", "out"], "standard input has no name"),
        (["encode", "track.wav", "-o", "track.wav", "--force"], "is both input and output"),
        (["decode", "track.evc", "-o", "track.evc", "--force"], "is both input and output"),
        (["decode", "track.evc", "a.wav", "--start", "-1"], "'--start'"),
        (["decode", "track.evc", "a.wav", "--start", "nan"], "'nan' is no time"),
        (["stats", "track.evc", "--json", "--csv"], "exclude each other"),
        (["stats"], "Missing argument"),
        (["transcode"], "No such command"),
        (["decode", "track.evc", "a.wav", "--loud"], "No such option"),
    ],
)
def test_usage_errors(arguments, message, run_evc, folder):
    assert message in usage_error(run_evc(*arguments, cwd=folder))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["encode", "none.wav", "a.evc"], "none.wav: no such file or directory"),
        (["encode", "track.evc", "a.evc"], "track.evc: not a sound file that can be read"),
        (["encode", "track.wav", "no/folder/a.evc"], "no/folder"),
        (["decode", "none.evc", "a.wav"], "none.evc: no such file or directory"),
        (["decode", "track.wav", "a.wav"], "track.wav: not an EVC file"),
        (["decode", "track.evc", "a.xyz"], "a.xyz: the extension is not that of a sound file"),
        (["decode", "track.evc", "a.wav", "--start", "11"], "track.evc: the file has 10 seconds"),
        (["info", "track.wav"], "track.wav: not an EVC file"),
        (["stats", "none.evc"], "none.evc: no such file or directory"),
        (["verify", "track.wav"], "track.wav: not an EVC file"),
        (["info", "."], "is a directory"),
        (["info", "-"], "standard input: not an EVC file"),
    ],
)
def test_errors_are_one_line(arguments, message, run_evc, folder):
    before = sorted(folder.iterdir())
    assert message in one_line(run_evc(*arguments, cwd=folder))
    assert sorted(folder.iterdir()) == before


def test_samples_that_are_not_finite_are_named(run_evc, tmp_path):
    audio = np.zeros(9000, np.float32)
    audio[7777] = np.nan
    soundfile.write(tmp_path / "a.wav", audio, 8000, "FLOAT")
    message = one_line(run_evc("encode", "a.wav", "a.evc", cwd=tmp_path))
    assert "a.wav: frame 7777 of channel 0 is NaN" in message
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_an_empty_file_is_a_file(run_evc, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 2)), 44_100)
    for arguments in (["encode", "a.wav", "a.evc"], ["decode", "a.evc", "b.wav"], ["stats", "a.evc"]):
        assert run_evc(*arguments, cwd=tmp_path).returncode == 0
    assert soundfile.info(tmp_path / "b.wav").frames == 0


@pytest.mark.parametrize(
    "rate, channels, message", [(4000, 1, "outside 8000 to 192000 Hz"), (44_100, 9, "split it into several")]
)
def test_formats_that_do_not_fit_are_explained(rate, channels, message, run_evc, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((100, channels)), rate)
    assert message in one_line(run_evc("encode", "a.wav", "a.evc", cwd=tmp_path))


def test_info(run_evc, folder):
    text = run_evc("info", "track.evc", cwd=folder).stdout.decode()
    for part in (
        "EVC 1.0",
        "16000 Hz, stereo, PCM_16",
        "10.00 s (160000 frames)",
        "spectrum",
        "Grid",
        "A; B",
    ):
        assert part in text
    found = json.loads(run_evc("info", "--json", "track.evc", cwd=folder).stdout)
    assert found["frames"] == 160_000 and found["tags"]["artist"] == ["A", "B"]
    both = json.loads(run_evc("info", "--json", "track.evc", "track.evc", cwd=folder).stdout)
    assert both == [found, found]


def test_stats(run_evc, folder):
    text = run_evc("stats", "track.evc", cwd=folder).stdout.decode()
    for part in ("total", "payload", "spectrum", "overhead", "bits/symbol", "per second", "100.0 %"):
        assert part in text
    report = json.loads(run_evc("stats", "--json", "track.evc", cwd=folder).stdout)
    assert report["bytes"] == (folder / "track.evc").stat().st_size and len(report["seconds"]) == 10
    rows = list(
        csv.DictReader(io.StringIO(run_evc("stats", "--csv", "track.evc", cwd=folder).stdout.decode()))
    )
    assert len(rows) == len(report["rows"]) and rows[0]["layer"] == "total"
    assert int(rows[0]["bits"]) == 8 * report["bytes"]


@pytest.fixture
def damaged(folder, tmp_path):
    """A copy of the track with a flipped bit in its second segment."""
    data = (folder / "track.evc").read_bytes()
    (tmp_path / "damaged.evc").write_bytes(with_flipped_bit(data, segment_places(data)[1].offset + 60))
    return tmp_path


def test_verify(run_evc, folder, damaged):
    assert b"ok, 4 segments" in run_evc("verify", folder / "track.evc").stdout
    assert run_evc("verify", "--decode", folder / "track.evc").returncode == 0
    result = run_evc("verify", "damaged.evc", folder / "track.evc", cwd=damaged)
    assert "damaged.evc: segment 1 is damaged" in one_line(result) and b"track.evc: ok" in result.stdout


def test_salvage(run_evc, damaged):
    assert "damaged.evc: segment 1" in one_line(run_evc("decode", "damaged.evc", "a.wav", cwd=damaged))
    assert not (damaged / "a.wav").exists()
    result = run_evc("decode", "--salvage", "damaged.evc", "a.wav", cwd=damaged)
    assert result.returncode == 0
    assert "lost 3.07 s to 6.14 s (frames 49152 to 98304)" in result.stderr.decode()
    audio, _ = soundfile.read(damaged / "a.wav")
    assert len(audio) == 160_000 and not audio[49_152:98_304].any() and audio[:48_000].any()


def test_salvage_of_a_file_cut_short(run_evc, folder, tmp_path):
    data = (folder / "track.evc").read_bytes()
    (tmp_path / "cut.evc").write_bytes(data[: len(data) // 2])
    assert "cut short" in one_line(run_evc("info", "cut.evc", cwd=tmp_path))
    result = run_evc("decode", "--salvage", "cut.evc", "a.wav", cwd=tmp_path)
    assert result.returncode == 0 and "to 10.00 s" in result.stderr.decode()
    assert soundfile.info(tmp_path / "a.wav").frames % 49_152 == 0


def test_help_names_every_command(run_evc):
    text = run_evc("--help").stdout.decode()
    for command in ("encode", "decode", "stats", "info", "verify"):
        assert command in text
        own = run_evc(command, "--help")
        assert own.returncode == 0 and b"Usage: evc " + command.encode() in own.stdout
    assert run_evc("--version").stdout.decode().startswith(f"evc {evc.__version__} (format ")


def test_a_reader_that_goes_away_is_no_drama(folder):
    command = [sys.executable, "-m", "evc.cli.main", "decode", str(folder / "track.evc"), "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(100)
        process.stdout.close()
        told = process.stderr.read()
    assert told.splitlines() in ([], [b"evc: warning: WAV has one value of a tag: those of artist are joined"])
    assert process.returncode == 141


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption_leaves_nothing_behind(number, code, tmp_path):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (20 * 44_100, 2))
    soundfile.write(tmp_path / "long.wav", np.tile(noise, (15, 1)), 44_100)
    command = [sys.executable, "-m", "evc.cli.main", "encode", "long.wav", "a.evc"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(number)
        message = process.stderr.read().decode()
    assert process.returncode == code and "Traceback" not in message
    assert [path.name for path in tmp_path.iterdir()] == ["long.wav"]


def test_progress_is_shown_on_a_terminal_only(folder, tmp_path):
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "evc.cli.main", "encode", str(folder / "track.wav"), "a.evc", "--patterns", "off"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=terminal, env=environment
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(main, 4096):
                shown += part
        except OSError:  # how Linux says that the other side has closed
            pass
        summary = process.stdout.read()
    os.close(main)
    assert process.returncode == 0 and summary.startswith(b"a.evc: ")
    for word in (b"encoding", b"elapsed", b"remaining", b"x real time"):
        assert word in shown


def test_standard_output_must_not_be_a_terminal(folder):
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "evc.cli.main", "decode", str(folder / "track.evc"), "-"]
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE) as process:
        os.close(terminal)
        message = process.stderr.read().decode()
    os.close(main)
    assert process.returncode == 2 and "standard output is a terminal" in message


def test_numbers_for_people():
    assert [size_text(n) for n in (0, 999, 1000, 31_400, 2_560_000, 7e9)] == [
        "0 B", "999 B", "1 kB", "31.4 kB", "2.56 MB", "7 GB",
    ]  # fmt: skip
    assert [time_text(s) for s in (0, 12.345, 59.999, 187.21, 7451)] == [
        "0.00 s", "12.35 s", "60.00 s", "3:07.2", "2:04:11",
    ]  # fmt: skip


def test_sparkline():
    assert sparkline([]) == "" and sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert len(sparkline(range(10_000))) == 72
