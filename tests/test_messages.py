"""What goes wrong in one line that says what helps, and nothing before it; and what the library says of arguments."""

from __future__ import annotations

import csv
import io
import json
import warnings

import numpy as np
import pytest
import soundfile
from damage import segment_places, with_flipped_bit
from test_cli import one_line

import evc
from evc.format.errors import InputError
from evc.sound.source import FileSource
from evc.streaming import check_readable

RATE = 8000
HINT = "(evc decode --salvage recovers what is whole)"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """good.evc, the same with a flipped bit, cut, with bytes behind it, and what is no .evc file."""
    folder = tmp_path_factory.mktemp("messages")
    data = evc.encode(np.random.default_rng(0).uniform(-0.3, 0.3, 30_000), RATE, patterns="off", quality=1)
    flipped = with_flipped_bit(data, segment_places(data)[0].offset + 60)
    for name, content in (
        ("good", data), ("flipped", flipped), ("cut", data[:-50]), ("longer", data + b"tail"), ("none", b"nothing"),
    ):  # fmt: skip
        (folder / f"{name}.evc").write_bytes(content)
    return folder


def test_damage_names_what_helps(files, run_evc, tmp_path):
    line = one_line(run_evc("decode", "flipped.evc", tmp_path / "a.wav", cwd=files))
    assert line == f"evc: flipped.evc: segment 0 is damaged {HINT}"


def test_damage_in_the_library(files):
    with pytest.raises(evc.DamagedError, match=r"end marker|past its end") as caught:
        evc.info(files / "cut.evc")
    assert str(caught.value).endswith("(salvage=True recovers what is whole)")
    assert "salvage" not in caught.value.message
    with evc.open(files / "flipped.evc", salvage=True) as file:
        file.read()
        assert [span.reason for span in file.damage] == ["missing or damaged"]
    with evc.open(files / "flipped.evc") as file, pytest.raises(evc.DamagedError) as caught:
        file.read()
    assert caught.value.segment == 0 and caught.value.args[1] == 0


@pytest.mark.parametrize("command", ["info", "stats"])
def test_commands_go_on_after_a_bad_file(command, files, run_evc):
    names = ("good.evc", "cut.evc", "none.evc", "missing.evc", "good.evc")
    result = run_evc(command, *names, cwd=files)
    lines = result.stderr.decode().splitlines()
    assert result.returncode == 1 and len(lines) == 3
    assert lines[0].startswith("evc: cut.evc: the file is cut short") and lines[0].endswith(HINT)
    assert lines[1:] == ["evc: none.evc: not an EVC file", "evc: missing.evc: no such file or directory"]
    assert result.stdout.count(b"good.evc") == 2


def test_json_and_csv_of_several_files_have_the_good_ones(files, run_evc):
    for command in ("info", "stats"):
        result = run_evc(command, "--json", "none.evc", "good.evc", cwd=files)
        assert result.returncode == 1 and [row["file"] for row in json.loads(result.stdout)] == ["good.evc"]
    result = run_evc("stats", "--csv", "good.evc", "none.evc", cwd=files)
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode())))
    assert result.returncode == 1 and {row["file"] for row in rows} == {"good.evc"}


def test_bytes_behind_the_end(files, run_evc, tmp_path):
    warning = "evc: warning: longer.evc: 4 bytes follow the end marker: ignored\n"
    result = run_evc("decode", "longer.evc", tmp_path / "a.wav", cwd=files)
    assert (result.returncode, result.stderr.decode()) == (0, warning)
    assert soundfile.info(tmp_path / "a.wav").frames == 30_000
    assert one_line(run_evc("verify", "longer.evc", cwd=files)) == "evc: longer.evc: 4 bytes follow the end marker"


def test_bytes_behind_the_end_in_the_library(files, tmp_path):
    good, longer = (files / "good.evc").read_bytes(), (files / "longer.evc").read_bytes()
    with pytest.warns(evc.EvcWarning, match="^4 bytes follow the end marker: ignored$"):
        audio, _ = evc.decode(longer)
    np.testing.assert_array_equal(audio, evc.decode(good)[0])
    with pytest.warns(evc.EvcWarning, match="1 byte follows"), evc.open(io.BytesIO(good + b"x")) as file:
        assert file.file_bytes == len(good) and file.stats().bits == 8 * len(good)
        with pytest.raises(evc.FormatError, match="1 byte follows the end marker"):
            file.verify()
    with pytest.warns(evc.EvcWarning, match="longer.evc: 4 bytes"):
        assert evc.info(files / "longer.evc").bytes == len(good)
    with pytest.warns(evc.EvcWarning, match="longer.evc: 4 bytes"):
        evc.edit_tags(files / "longer.evc", tmp_path / "a.evc", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evc.info(tmp_path / "a.evc").frames == 30_000
        with evc.open(io.BytesIO(longer), salvage=True) as file:
            assert file.damage == [] and len(file.read()) == 30_000


@pytest.mark.parametrize(
    "file, message",
    [
        ("", "the name of a file is empty"),
        ("a\0b", "the name of a file holds a null character"),
        (b"RIFF", r"bytes are no file: give a path, or io.BytesIO\(data\)"),
        (bytearray(b"RIFF"), "bytes are no file"),
        (io.StringIO("x"), "the file is open as text"),
        (7, "int is no file: give a path, or an open binary file"),
        (None, "NoneType is no file"),
    ],
)
def test_what_is_no_file(file, message, files, tmp_path):
    for function in (evc.open, evc.info, check_readable):
        with pytest.raises(evc.InputError, match=message):
            function(file)
    with pytest.raises(evc.InputError, match=message):
        evc.decode_file(files / "good.evc", file)
    with pytest.raises(evc.InputError, match=message):
        evc.encode_file(file, tmp_path / "a.evc")


def test_decode_takes_bytes():
    with pytest.raises(evc.InputError, match="takes the bytes of a file, not str: evc.open takes a path"):
        evc.decode("a.evc")  # type: ignore[arg-type]


def test_what_cannot_seek():
    class Pipe(io.BytesIO):
        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    with pytest.raises(evc.InputError, match=r"the input cannot seek: read all of it into an io.BytesIO first"):
        evc.open(Pipe(b"x"))


def test_an_empty_name(files, run_evc):
    assert one_line(run_evc("info", "", cwd=files)) == "evc: the name of a file is empty"


def test_absurdly_loud_floats(run_evc, tmp_path):
    audio = np.zeros((9000, 2), np.float32)
    audio[5000:, 1] = 1e30
    soundfile.write(tmp_path / "a.wav", audio, RATE, "FLOAT")
    line = one_line(run_evc("encode", "a.wav", "a.evc", cwd=tmp_path))
    where = "frame 5000 of channel 1 is 1e+30 times full scale"
    assert line == f"evc: a.wav: {where}: scale the audio down to 256 at most"
    assert not (tmp_path / "a.evc").exists()


def test_loud_arrays():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(evc.InputError, match=r"frame 3 of channel 0 is -257 times full scale"):
            evc.encode(np.array([0, 1, 256, -257.0]), RATE)
        with pytest.raises(evc.InputError, match=r"frame 0 of channel 0 is 1e\+30 times full scale"):
            evc.encode(np.full(9000, 1e30, np.float32), RATE, hints="noise")
        with pytest.raises(evc.InputError, match="infinite"):
            evc.encode(np.full(10, 1e300), RATE)
        assert evc.encode(np.full(100, 256.0), RATE)


SINE = np.sin(np.arange(2000) / 9) / 2


@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", ">u2", "<i4", ">i4", "<u4", ">f4", ">f8", "f2"])
def test_types_of_samples(dtype):
    kind = np.dtype(dtype)
    samples = SINE
    if kind.kind != "f":
        full = 2.0 ** (8 * kind.itemsize - 1)
        samples = np.rint(SINE * full) + (full if kind.kind == "u" else 0)
    audio, _ = evc.decode(evc.encode(samples.astype(kind), RATE, patterns="off", quality=10))
    assert np.abs(audio - SINE).max() < 0.02
    with pytest.raises(evc.InputError, match="transpose it"):
        evc.encode(np.zeros((2, 500), kind), RATE)


@pytest.mark.parametrize("dtype", ["i8", "u8", "?", "c8", "U3", "O"])
def test_types_that_are_no_samples(dtype):
    with pytest.raises(evc.InputError, match="floats, or integers of 8, 16 or 32 bits, are expected"):
        evc.encode(np.zeros(100).astype(dtype), RATE)


@pytest.mark.parametrize("shape", [(2, 44_100), (8, 9), (1, 500)])
def test_channels_first(shape):
    with pytest.raises(evc.InputError, match=rf"audio is \[{shape[0]}, {shape[1]}\].*transpose it, as by audio.T"):
        evc.encode(np.zeros(shape), RATE)


@pytest.mark.parametrize("audio", [np.zeros((2, 3, 4)), np.float32(3), [[1.0, 2.0], [3.0]]])
def test_shapes_that_are_no_audio(audio):
    with pytest.raises(evc.InputError, match=r"\[frames\] or \[frames, channels\] is expected"):
        evc.encode(audio, RATE)


@pytest.mark.parametrize("value", [1.5, 2.0, "3", None])
def test_places_are_whole_numbers(value, files):
    with evc.open(files / "good.evc") as file:
        for call in (file.seek, file.read, file.blocks):
            with pytest.raises(evc.InputError, match="is a whole number, not "):
                call(value)
        assert file.seek(np.int16(7)) == file.tell() == 7
        assert len(file.read(np.uint8(5))) == 5


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg", "opus", "m4a", "aiff"])
@pytest.mark.parametrize("content", [b"hello", b"a text\n" * 99, bytes(5000)])
def test_what_has_only_the_name_of_a_sound_file(ending, content, run_evc, tmp_path):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    told = run_evc("encode", path).stderr.decode()
    assert told.startswith(f"evc: {path}: not a sound file that can be read (Format not recognised)")
    assert told.count("\n") == 1 and not path.with_suffix(".evc").exists()


def test_flac_behind_rubbish_is_no_mp3(tmp_path):
    """In a pipe, where no extension says what it is."""
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(1).standard_normal((30_000, 2)) / 8, 44100, format="FLAC")
    try:
        with FileSource(io.BytesIO(b"xyz" * 100 + file.getvalue())) as source:
            assert source.frames == 30_000  # by a decoder that looks further
    except InputError as error:
        assert "not a sound file that can be read" in str(error)


def test_an_output_that_ends_as_a_folder(files, run_evc, tmp_path):
    data = (files / "good.evc").read_bytes()
    (tmp_path / "a.wav").write_bytes(run_evc("decode", "-", "-", stdin=data).stdout)
    result = run_evc("encode", tmp_path / "a.wav", "-o", f"{tmp_path}/no/")
    assert result.returncode == 1 and result.stderr.decode() == f"evc: {tmp_path}/no/: names a folder, not a file\n"
    assert not (tmp_path / "no").exists()
