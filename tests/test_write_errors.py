"""What cannot be written: full disks, protected folders, formats that lack something. One line, and nothing is left."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from test_cli import one_line

import evc
from evc.format.metadata import Metadata
from evc.output import atomic_folder
from evc.soundfile_checks import BROKEN, CheckedFile
from evc.soundfiles import SoundWriter
from evc.streaming import check_readable, seekable_input

resource = pytest.importorskip("resource", reason="the system has no limits of file sizes")

LIMIT = 2000  # bytes that a file may have
RATE = 16_000


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a second of noise as a.wav and a.evc, a repetition as loop.evc."""
    folder = tmp_path_factory.mktemp("small")
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (RATE, 2)).astype(np.float32)
    soundfile.write(folder / "a.wav", noise, RATE)
    (folder / "a.evc").write_bytes(evc.encode(noise, RATE, patterns="off"))
    (folder / "loop.evc").write_bytes(evc.encode(np.tile(noise[:12_000], (2, 1)), RATE, effort=1))
    return folder


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


def run_limited(*arguments, cwd, stdin=b"", stdout=subprocess.PIPE, optimise=False, **variables):
    command = [sys.executable, *(["-O"] if optimise else []), "-m", "evc.cli.main", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, input=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=120, preexec_fn=limited,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,  # Python would keep what it could write of it
    )  # fmt: skip


@pytest.mark.parametrize(
    "command, optimise",
    [
        (("encode", "a.wav", "out.evc", "--patterns", "off"), False),
        (("decode", "a.evc", "out.wav"), False),
        (("decode", "a.evc", "out.flac"), True),
        (("patterns", "loop.evc", "--export", "out"), False),
    ],
)
def test_a_full_disk(command, optimise, small, tmp_path):
    command = [small / name if name in ("a.wav", "a.evc", "loop.evc") else name for name in command]
    line = one_line(run_limited(*command, cwd=tmp_path, optimise=optimise))
    name = line.split(": ")[1] if command[0] == "patterns" else command[2]
    assert command[0] != "patterns" or name.startswith("out/000-at-")
    assert line == f"evc: {name}: cannot be written (file too large)"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_what_was_there(small, tmp_path):
    command = "patterns", small / "loop.evc", "--export", "out", "--force"
    name = one_line(run_limited(*command, cwd=tmp_path)).split(": ")[1]
    (tmp_path / "out").mkdir()
    (tmp_path / name).write_bytes(b"mine")
    one_line(run_limited(*command, cwd=tmp_path))
    found = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))]
    assert found == ["out", name]
    assert (tmp_path / name).read_bytes() == b"mine"


def test_a_full_folder_of_temporary_files(small, tmp_path):
    for command, stdin in (("decode", "a.evc", "-"), b""), (("info", "-"), (small / "a.evc").read_bytes()):
        result = run_limited(*command, cwd=small, stdin=stdin, TMPDIR=str(tmp_path))
        assert one_line(result) == f"evc: temporary file in {tmp_path}: cannot be written (file too large)"
        assert result.stdout == b""


def test_no_folder_for_temporary_files(monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(evc.OutputError, match="no folder for temporary files: no usable"):
        with seekable_input(os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb")) as _, seekable_input(Pipe()):
            pass


class Pipe(io.BytesIO):
    def seekable(self):
        return False


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize(
    "command, reason",
    [
        (("decode", "a.evc", "-"), "cannot be written (no space left on device)"),
        (("info", "a.evc"), "no space left on device"),
    ],
)
def test_standard_output_on_a_full_disk(command, reason, small):
    with open("/dev/full", "wb") as full:
        words = [sys.executable, "-m", "evc.cli.main", *command]
        result = subprocess.run(words, cwd=small, stdout=full, stderr=subprocess.PIPE, timeout=120)
    assert one_line(result) == f"evc: standard output: {reason}"


class Full(io.BytesIO):
    """Holds so many bytes and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "AIFF", "MP3"])
def test_the_library_raises_one_error(format, small):
    with pytest.raises(evc.OutputError, match=r"output: cannot be written \(no space left on device\)"):
        evc.decode_file(small / "a.evc", Full(3000), format=format)
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(format, "PCM_16")
    noise = np.random.default_rng(0).uniform(-1, 1, (90_000, 1)).astype(np.float32)
    with pytest.raises(OSError, match="No space"):  # a file that is no output of ours keeps its error
        with SoundWriter(Full(3000), format, subtype, RATE, 1, len(noise), Metadata()) as out:
            out.write(noise)


def test_interruptions_below_libsndfile_are_not_lost():
    class Interrupted(io.BytesIO):
        def write(self, data):
            raise KeyboardInterrupt

    file = CheckedFile(Interrupted())
    assert file.write(b"x") == 0 and file.seek(3) == 0 and file.tell() == 0 and file.read(3) == b""
    with pytest.raises(KeyboardInterrupt):
        file.check()


@pytest.fixture
def unprivileged():
    """This process has no rights of the superuser while the test runs."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs the superuser, who may become another")
    os.seteuid(65534)
    yield
    os.seteuid(0)


def test_protected_files(small, tmp_path, request):
    tmp_path.chmod(0o700)
    source = io.BytesIO((small / "a.evc").read_bytes())
    evc.decode_file(source, io.BytesIO())  # so that all modules are there
    request.getfixturevalue("unprivileged")
    with pytest.raises(evc.OutputError) as caught:
        evc.decode_file(source, tmp_path / "a.wav")
    assert str(caught.value) == f"{tmp_path}/a.wav: cannot be written (permission denied)"
    for function, name in ((evc.open, "a.evc"), (evc.info, "a.evc"), (check_readable, "a.wav")):
        with pytest.raises(evc.InputError) as refused:
            function(small / name)
        assert str(refused.value) == f"{small / name}: permission denied"
    with pytest.raises(evc.InputError, match="a.wav: permission denied"):
        evc.encode_file(small / "a.wav", io.BytesIO())


def written(format: str, subtype: str, channels: int, frames: int) -> io.BytesIO:
    file = io.BytesIO()
    with SoundWriter(file, format, subtype, 48_000, channels, frames, Metadata({"title": "x"})) as out:
        out.write(np.full((frames, channels), 0.3, np.float32))
    file.seek(0)
    return file


COMBINATIONS = [
    (format, subtype)
    for format in soundfile.available_formats()
    for subtype in soundfile.available_subtypes(format)
    if format != "RAW" and subtype not in BROKEN
]


@pytest.mark.parametrize("format, subtype", COMBINATIONS)
def test_short_files_of_every_format(format, subtype, tmp_path, monkeypatch):
    """Those that are written are read again with as many frames, but for what comes in blocks of frames."""
    monkeypatch.chdir(tmp_path)
    blocks = subtype.startswith(("IMA", "MS_", "VOX", "NMS", "GSM", "G72"))
    for channels in (1, 2, 3):
        for frames in range(6):
            try:
                file = written(format, subtype, channels, frames)
            except (evc.InputError, evc.OutputError) as error:
                assert "\n" not in str(error) and str(error)
                continue
            assert file.getbuffer().nbytes
            if format == "MP3":
                continue  # libsndfile knows many only by their name
            with soundfile.SoundFile(file) as found:
                assert found.frames == frames or blocks and found.frames > frames > 0
                audio = found.read(frames, always_2d=True)
            if not blocks:
                assert len(audio) == frames and np.abs(audio - 0.3).max(initial=0) < 0.3
    assert list(tmp_path.iterdir()) == []  # nothing beside


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_U8", "ULAW", "ALAW"])
def test_odd_aiff_of_one_byte_samples(subtype, tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.full(4411, 0.25, np.float32), 44_100, subtype="PCM_U8"))
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.aiff", subtype=subtype)
    audio, _ = soundfile.read(tmp_path / "a.aiff")
    assert len(audio) == 4411 and np.abs(audio).max() < 0.5
    data = (tmp_path / "a.aiff").read_bytes()
    assert len(data) % 2 == 0 and data[-1] == 0 and data.count(b"SSND" + (8 + 4411).to_bytes(4, "big")) == 1


def test_formats_that_cannot_be_empty(run_evc, tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((0, 2)), 48_000))
    line = one_line(run_evc("decode", "a.evc", "a.flac", cwd=tmp_path))
    assert line == "evc: a.evc: FLAC cannot hold a sound of no length: choose another format, such as WAV"
    for format in ("mp3", "opus"):
        with pytest.raises(evc.InputError, match=f"{format.upper()} cannot hold a sound of no length"):
            evc.decode_file(tmp_path / "a.evc", tmp_path / f"a.{format}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.evc"]
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.ogg")
    assert soundfile.info(tmp_path / "a.ogg").frames == 0


def test_what_libsndfile_writes_wrong_is_refused(tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((9, 2)), 48_000))
    with pytest.raises(evc.InputError, match="libsndfile writes ALAC_24 with errors"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.caf", subtype="ALAC_24")
    with pytest.raises(evc.InputError, match="SDS cannot hold"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.sds")
    assert [path.name for path in tmp_path.iterdir()] == ["a.evc"]


def test_opus(run_evc, tmp_path):
    audio = np.sin(np.arange(9600) / 20).astype(np.float32)[:, None] * np.ones(2, np.float32) / 3
    for rate in (44_100, 48_000):
        (tmp_path / f"{rate}.evc").write_bytes(evc.encode(audio, rate, patterns="off"))
    line = one_line(run_evc("decode", "44100.evc", "a.opus", cwd=tmp_path))
    only = "Opus has no 44100 Hz, only 8000, 12000, 16000, 24000, 48000: choose another format"
    assert line == f"evc: 44100.evc: {only}" and not (tmp_path / "a.opus").exists()
    evc.decode_file(tmp_path / "48000.evc", tmp_path / "a.opus")
    found = soundfile.info(tmp_path / "a.opus")
    assert (found.format, found.subtype, found.frames) == ("OGG", "OPUS", 9600)
    with pytest.raises(evc.InputError, match="OPUS files have no subtype VORBIS"):
        evc.decode_file(tmp_path / "48000.evc", tmp_path / "b.opus", subtype="VORBIS")


def test_opus_where_libsndfile_has_none(tmp_path, monkeypatch):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((9, 2)), 48_000))
    monkeypatch.setattr(soundfile, "check_format", lambda *_: False)
    with pytest.raises(evc.InputError, match="cannot write Opus: choose .ogg for Vorbis"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.opus")


def test_of_several_files_none_is_replaced_where_one_cannot_be(tmp_path):
    (tmp_path / "a").write_text("before")
    (tmp_path / "b").mkdir()
    with pytest.raises(evc.EvcError, match="b: is a folder"), atomic_folder(tmp_path) as new:
        for name in "ab":
            (new / name).write_text("after")
    assert (tmp_path / "a").read_text() == "before" and len(list(tmp_path.iterdir())) == 2
