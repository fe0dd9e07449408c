"""`evc heatmap`, as users see it, and the levels behind it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from evc.format.errors import InputError
from evc.format.streams.dictionary import Lattice
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.heatmap import FLOOR_DB, audio_maps, grid_maps
from evc.models.patterns.lattice import LatticeModel

RATE = 16_000


@pytest.fixture(scope="session")
def lattice(tmp_path_factory):
    """A file of 64 columns and 16 bins: one pattern of 8 x 4 cells, at column 8 and bin 4, and round the top."""
    pattern = Lattice(5, 4, 4, 0, np.full((8, 4), 128), np.zeros((8, 4), np.int64))
    nothing = np.zeros(2, np.int64)
    stream = OccurrenceStream(
        np.array([8 * 16, 32 * 16]), nothing, nothing, nothing, nothing, nothing, np.array([4, 14]), nothing,
        Gains(np.zeros((2, 1, 1), np.int64)), lattice=True,
    )  # fmt: skip
    model = LatticeModel((pattern,), stream, 64, 0)
    folder = tmp_path_factory.mktemp("lattice")
    with (folder / "lattice.evc").open("wb") as file:
        model.write(file, 8000)
    soundfile.write(folder / "lattice.wav", model.audio(), 8000, "FLOAT")
    return folder


def shown(result):
    """The lines of each map, by its name; the axis, and the scale."""
    assert result.returncode == 0, result.stderr
    assert result.stderr == b"" and b"\x1b" not in result.stdout
    maps, lines = {}, result.stdout.decode().splitlines()
    for line in lines[:-2]:
        if not line.startswith(" "):
            name = line.split(":")[0]
            maps[name] = []
        else:
            maps[name].append(line)
    return maps, lines[-2], lines[-1]


def one_line(result, code=1):
    assert result.returncode == code and result.stdout == b""
    lines = result.stderr.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("evc: "), lines
    return lines[0]


def test_three_maps_on_one_scale(run_evc, folder):
    size = ("--width", 60, "--height", 6)
    maps, axis, scale = shown(run_evc("heatmap", "track.evc", "--against", "track.wav", *size, cwd=folder))
    assert list(maps) == ["target", "reconstruction", "difference"]
    assert all(len(lines) == 6 and {len(line) for line in lines} == {69} for lines in maps.values())
    assert maps["target"][-1].startswith("    0 Hz ")
    assert axis.split() == ["0.00", "s", "10.00", "s"]
    low, high = (int(word) for word in scale.split() if word.strip("-").isdigit())
    assert high - low == 60 and "[ .:-=+*#%@]" in scale

    def weight(name):
        return sum(" .:-=+*#%@".index(letter) for line in maps[name] for letter in line[9:])

    assert 0 < weight("difference") < 0.6 * weight("target")
    assert weight("reconstruction") == pytest.approx(weight("target"), rel=0.1)


def test_numbers_are_the_same_as_the_picture(run_evc, folder):
    arguments = ("heatmap", "track.evc", "--against", "track.wav", "--width", 40, "--height", 5)
    found = json.loads(run_evc(*arguments, "--json", cwd=folder).stdout)
    maps, _, scale = shown(run_evc(*arguments, cwd=folder))
    assert found["scale_db"][1] - found["scale_db"][0] == 60 and f"{found['scale_db'][0]:.0f} dB" in scale
    for name, lines in maps.items():
        levels = np.array(found[name])
        assert levels.shape == (5, 40)
        shades = np.clip((levels - found["scale_db"][0]) / 6, 0, 9).astype(int)[::-1]
        drawn = [[" .:-=+*#%@".index(letter) for letter in line[9:]] for line in lines]
        assert np.abs(shades - drawn).max() <= 1 and (shades != drawn).mean() < 0.05  # rounded to 0.1 dB
    assert len(found["times"]) == 41 and len(found["rows"]) == 6 and found["unit"] == "Hz"
    assert 5 < found["snr_db"] < 60


def test_a_part_of_the_file(run_evc, folder):
    arguments = ("heatmap", "track.evc", "--start", 2.5, "--seconds", 1, "--width", 20, "--height", 4)
    maps, axis, _ = shown(run_evc(*arguments, cwd=folder))
    assert list(maps) == ["reconstruction"] and axis.split() == ["2.50", "s", "3.50", "s"]
    found = json.loads(run_evc(*arguments, "--json", cwd=folder).stdout)
    assert found["target"] is None and found["difference"] is None and found["snr_db"] is None
    assert found["times"][0] == 2.5 and found["times"][-1] == 3.5


def test_a_layer_against_the_whole(run_evc, folder):
    found = json.loads(run_evc("heatmap", "track.evc", "--layer", "spectrum", "--json", cwd=folder).stdout)
    whole = json.loads(run_evc("heatmap", "track.evc", "--json", cwd=folder).stdout)
    assert found["target"] == whole["reconstruction"]
    assert np.shape(found["reconstruction"]) == np.shape(found["difference"]) == np.shape(found["target"])


def test_lattices_are_shown_cell_by_cell(run_evc, lattice):
    found = json.loads(run_evc("heatmap", "lattice.evc", "--json", "--width", 64, "--height", 16, cwd=lattice).stdout)
    levels = np.array(found["reconstruction"])
    assert found["unit"] == "bin" and levels.shape == (16, 64)
    full = np.full((16, 64), FLOOR_DB)
    full[4:8, 8:16] = full[[14, 15, 0, 1], 32:40] = 0
    np.testing.assert_array_equal(levels, full)
    maps, _, scale = shown(run_evc("heatmap", "lattice.evc", "--height", 16, "--width", 64, cwd=lattice))
    assert maps["reconstruction"][11].rstrip() == "   bin 4 " + " " * 8 + "@" * 8 and scale.endswith("@] 0 dB")
    against = run_evc("heatmap", "lattice.evc", "--against", "lattice.wav", "--json", cwd=lattice)
    assert json.loads(against.stdout)["snr_db"] > 0


def test_errors(run_evc, folder, lattice, tmp_path):
    soundfile.write(tmp_path / "other.wav", np.zeros((100, 2)), 44100)
    soundfile.write(tmp_path / "short.wav", np.zeros((100, 2)), RATE)
    track = folder / "track.evc"
    for arguments, words in (
        (["none.evc"], "no such file"),
        ([folder / "track.wav"], "EVC"),
        ([track, "--start", 11], "nothing to show"),
        ([track, "--seconds", 0], "nothing to show"),
        ([lattice / "lattice.evc", "--layer", "spectrum"], "no layer spectrum"),
        ([track, "--against", "none.wav"], "evc: none.wav: "),
        ([track, "--against", track], "not a sound file"),
        ([track, "--against", "other.wav"], "evc: other.wav: 44100 Hz"),
        ([track, "--against", "short.wav"], "evc: short.wav: 100 frames"),
    ):
        assert words in one_line(run_evc("heatmap", *arguments, cwd=tmp_path))
    for arguments in (["a.evc", "--layer", "silence"], ["a.evc", "--width", 1], ["-", "--against", "-"], []):
        result = run_evc("heatmap", *arguments, cwd=tmp_path)
        assert result.returncode == 2 and b"Error: " in result.stderr


def on_a_terminal(folder, **environment):
    main, terminal = pty.openpty()
    command = [sys.executable, "-m", "evc.cli.main", "heatmap", "lattice.evc"]
    variables = os.environ | {"COLUMNS": "60", "LINES": "40", "PYTHONIOENCODING": "utf-8"} | environment
    with subprocess.Popen(command, cwd=folder, stdout=terminal, stderr=subprocess.PIPE, env=variables) as process:
        os.close(terminal)
        text = b""
        try:
            while part := os.read(main, 4096):
                text += part
        except OSError:  # how Linux says that the other side has closed
            pass
        assert process.wait() == 0, process.stderr.read()
    os.close(main)
    return text.decode()


def test_colours_on_a_terminal_that_has_them(lattice):
    coloured = on_a_terminal(lattice, TERM="xterm-256color")
    assert "\x1b[38;5;" in coloured and "▀" in coloured
    for variables in ({"TERM": "xterm-256color", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        plain = on_a_terminal(lattice, **variables)
        assert "\x1b" not in plain and "▀" not in plain and "[ .:-=+*#%@]" in plain


# --- Levels -----------------------------------------------------------------------------------------


def reader(audio):
    return lambda start, count: audio[:, start : start + count]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_full_scale_sinusoid_has_0_db_where_it_is(channels):
    time = np.arange(RATE) / RATE
    audio = np.stack([np.sin(2 * np.pi * 1000 * time)] * channels)
    maps = audio_maps(None, reader(audio), (0, RATE), RATE, (8, 10))
    row = int(np.searchsorted(maps.rows, 1000)) - 1
    np.testing.assert_allclose(maps.reconstruction[row, 1:-1], 0, atol=0.1)
    assert np.delete(maps.reconstruction, row, 0)[:, 1:-1].max() < -25


def test_the_difference_is_that_of_the_samples():
    random = np.random.default_rng(0)
    target = random.normal(0, 0.1, (1, RATE))
    found = target + random.normal(0, 0.001, (1, RATE))
    maps = audio_maps(reader(target), reader(found), (0, RATE), RATE, (4, 5))
    assert maps.snr == pytest.approx(40, abs=0.2)
    np.testing.assert_allclose(maps.target - maps.difference, 40, atol=2)
    same = audio_maps(reader(target), reader(target), (0, RATE), RATE, (4, 5))
    assert same.snr == np.inf and same.difference.max() == FLOOR_DB


def test_pieces_make_no_difference(monkeypatch):
    audio = np.random.default_rng(0).normal(size=(2, 3 * RATE))
    whole = audio_maps(None, reader(audio), (100, 2 * RATE + 7), RATE, (6, 9))
    monkeypatch.setattr("evc.models.heatmap._WINDOWS_AT_ONCE", 7)
    pieces = audio_maps(None, reader(audio), (100, 2 * RATE + 7), RATE, (6, 9))
    np.testing.assert_allclose(pieces.reconstruction, whole.reconstruction)


@pytest.mark.parametrize("frames", [1, 5, 300])
def test_short_and_silent_files(frames):
    maps = audio_maps(None, reader(np.zeros((1, frames))), (0, frames), 8000, (4, 80))
    assert maps.reconstruction.shape == (4, min(frames, 80)) and (maps.reconstruction == FLOOR_DB).all()
    assert maps.scale == (FLOOR_DB, FLOOR_DB + 60)
    with pytest.raises(InputError):
        audio_maps(None, reader(np.zeros((1, 0))), (0, 0), 8000, (4, 80))


def test_grids_are_pooled_by_power():
    grid = np.zeros((6, 8), complex)
    grid[2, 4] = 2j
    maps = grid_maps(grid, np.zeros((6, 8)), (0.0, 3.0), (4, 3))
    assert maps.target.shape == (4, 3) and maps.snr == 0
    assert maps.target[2, 1] == pytest.approx(0) and (np.delete(maps.target.ravel(), 7) == FLOOR_DB).all()
    np.testing.assert_array_equal(maps.target, maps.difference)
    assert maps.times.tolist() == [0, 1, 2, 3] and maps.rows.tolist() == [0, 2, 4, 6, 8]
