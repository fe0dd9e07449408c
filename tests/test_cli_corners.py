"""The command line where the surroundings are odd: names, locales, closed streams, devices, hostile tags."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_cli import one_line

import evc

COMMAND = [sys.executable, "-m", "evc.cli.main"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["encode", "track.wav", "none/a.evc"], "none/a.evc: cannot be written (no such file or directory)"),
        (["encode", "track.wav", "-o", "."], ".: is a folder"),
        (["decode", "track.evc", "track.wav/a.wav"], "track.wav/a.wav: cannot be written (not a directory)"),
        (["decode", "track.evc", "a.xyz"], "a.xyz: the extension is not that of a sound file, as .wav and .flac are"),
        (["encode", "-", "a.evc"], "standard input: not a sound file that can be read (it is empty)"),
    ],
)
def test_errors_name_the_file_that_is_at_fault(arguments, message, start_evc, folder):
    assert one_line(start_evc(*arguments, cwd=folder)).startswith(f"evc: {message}")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text(start_evc, tmp_path):
    name = os.fsdecode(b"a\xff")
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "a.wav").rename(tmp_path / f"{name}.wav")
    assert start_evc("encode", f"{name}.wav", f"{name}.evc", cwd=tmp_path).returncode == 0
    for arguments in (["info"], ["stats"], ["stats", "--csv"], ["verify"]):
        assert start_evc(*arguments, f"{name}.evc", cwd=tmp_path).returncode == 0
    assert json.loads(start_evc("info", "--json", f"{name}.evc", cwd=tmp_path).stdout)["frames"] == 800


def test_tags_cannot_pass_for_anything_else(start_evc, tmp_path):
    tags = {"length": "forever", "title": "one\ntwo\x1b[2Jthree", "artist": "Ärger"}
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros(800), 8000, tags=tags))
    lines = start_evc("info", "a.evc", cwd=tmp_path).stdout.decode().splitlines()
    assert "length    0.10 s (800 frames)" in lines and "length    forever" in lines
    assert "title     one two [2Jthree" in lines and "artist    Ärger" in lines
    assert json.loads(start_evc("info", "--json", "a.evc", cwd=tmp_path).stdout)["tags"]["title"] == tags["title"]


@pytest.mark.parametrize("command", ["info", "stats"])
def test_characters_that_the_locale_lacks(command, folder):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [*COMMAND, command, folder / "track.evc"], env=environment, capture_output=True, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("command", [["stats"], ["stats", "--csv"], ["stats", "--json"], ["info"]])
def test_reports_to_a_reader_that_is_gone(command, folder):
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*COMMAND, *command, folder / "track.evc"], stdout=writing, stderr=subprocess.PIPE, timeout=120
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell that closes streams")
@pytest.mark.parametrize(
    "arguments, message",
    [
        ("decode track.evc - >&-", "evc: standard output: closed\n"),
        ("info - <&-", "evc: standard input: closed\n"),
    ],
)
def test_streams_that_are_closed(arguments, message, folder):
    line = f'"{sys.executable}" -m evc.cli.main {arguments}'
    result = subprocess.run(["sh", "-c", line], cwd=folder, stderr=subprocess.PIPE, timeout=120)
    assert (result.returncode, result.stderr.decode()) == (1, message)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a null device")
def test_encoding_into_a_device(start_evc, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    result = start_evc("encode", "a.wav", "-o", "/dev/null", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, b"")
