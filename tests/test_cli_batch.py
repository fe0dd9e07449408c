"""Many files at once: which are inputs, where their outputs go, what is said of them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile

import evc
from evc.cli import batch
from evc.cli.common import BITRATE, SHIFT, TIME

Run = Callable[..., subprocess.CompletedProcess[bytes]]
FAST = ("--patterns", "off")


def write_sound(path: Path, seconds: float = 0.1, level: float = 0.1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, level, round(8000 * seconds)).clip(-1, 1), 8000)
    return path


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with a tree of sound files, and things that are none."""
    for name in ("b.wav", "a.flac", "deep/c.WAV", "deep/er/d.ogg", ".hidden/e.wav", "deep/.f.wav"):
        write_sound(tmp_path / "music" / name)
    (tmp_path / "music/notes.txt").write_text("none")
    (tmp_path / "music/folder.wav").mkdir()
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def planned(*paths: str, ending: str = ".evc", **options: object) -> list[tuple[str, str]] | str:
    """What is planned, or the message of why nothing is."""
    defaults: dict[str, object] = dict.fromkeys(batch.Options.__dataclass_fields__)
    kind = batch.Kind(
        batch.SOUND_ENDINGS, ending, lambda path: path == "-" or path.endswith(ending), "sounds", "doing", "done"
    )
    try:
        plan = batch.planned(paths, kind, batch.Options(**(defaults | options)))  # type: ignore[arg-type]
    except (click.UsageError, evc.EvcError) as error:
        return str(error)
    return [(job.source, job.target) for job in plan.jobs]


def test_where_files_go(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(music)
    assert planned("x.wav") == [("x.wav", "x.evc")]
    assert planned("d/x.WAV", "y") == [("d/x.WAV", "d/x.evc"), ("y", "y.evc")]
    assert planned("Track 1.5", "x.wav") == [("Track 1.5", "Track 1.5.evc"), ("x.wav", "x.evc")]
    assert planned("x.wav", "z.evc") == [("x.wav", "z.evc")]
    assert planned("x.wav", "-") == [("x.wav", "-")]
    assert planned("-", "-") == [("-", "-")]
    assert planned("x.wav", output="z") == [("x.wav", "z")]
    assert planned("d/x.wav", out_dir="out") == [("d/x.wav", "out/x.evc")]
    assert planned("music") == [("music/a.flac", "music/a.evc"), ("music/b.wav", "music/b.evc")]
    assert planned("music", out_dir="out", recursive=True) == [
        ("music/a.flac", "out/a.evc"),
        ("music/b.wav", "out/b.evc"),
        ("music/deep/c.WAV", "out/deep/c.evc"),
        ("music/deep/er/d.ogg", "out/deep/er/d.evc"),
    ]
    assert planned("./music/b.wav", "music") == [("music/b.wav", "music/b.evc"), ("music/a.flac", "music/a.evc")]


@pytest.mark.parametrize(
    "paths, options, message",
    [
        (("-",), {}, "standard input has no name"),
        (("-", "x.wav"), {}, "standard input has no name"),
        (("/dev/null",), {}, "/dev/null is no file"),
        (("x.wav", "y.wav", "z.evc"), {}, "2 inputs cannot become one file, z.evc"),
        (("x.wav", "y.wav"), {"output": "z"}, "2 inputs cannot become one file, z"),
        (("music", "z.evc"), {}, "a folder cannot become one file, z.evc"),
        (("x.wav", "z.evc"), {"out_dir": "out"}, "exclude each other"),
        (("x.wav",), {"out_dir": "out", "output": "z"}, "exclude each other"),
        (("x.wav",), {"force": True, "skip_existing": True}, "--force and --skip-existing exclude each other"),
        (("x.wav", "x.flac"), {}, "x.wav and x.flac would both become x.evc"),
        (("music/b.wav",), {"output": "music/b.wav"}, "music/b.wav is both input and output"),
        (("x.wav", "-"), {"keep_times": True}, "have no times"),
        (("music/folder.wav",), {}, "music/folder.wav: no sounds here; --recursive looks into the folders within"),
        (("music/folder.wav",), {"recursive": True}, "music/folder.wav: no sounds here"),
    ],
)
def test_what_cannot_be_planned(
    paths: tuple[str, ...], options: dict[str, object], message: str, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(music)
    assert message in planned(*paths, **options)


def test_no_output_is_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sound(tmp_path / "x.wav")
    (tmp_path / "x.evc").symlink_to("x.wav")
    assert "x.wav is both input and output" in planned("x.wav")
    assert "is an input too" in planned("y.wav", "x", ending=".wav")


def test_there_and_back(start_evc: Run, music: Path) -> None:
    os.utime(music / "music/b.wav", ns=(10**18, 10**18 + 7 * 10**9))
    arguments = ("music", "-r", "--out-dir", "encoded", "--keep-times", "--jobs", "2", *FAST)
    result = start_evc("encode", *arguments, cwd=music)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().splitlines()[-1].startswith("4 encoded, 0 skipped, 0 failed; ")
    assert names(music / "encoded") == ["a.evc", "b.evc", "deep/c.evc", "deep/er/d.evc"]
    kept = (music / "encoded/b.evc").stat()
    assert (kept.st_atime_ns, kept.st_mtime_ns) == (10**18, 10**18 + 7 * 10**9)
    (music / "encoded/a.evc").write_bytes(b"nothing")
    result = start_evc("decode", "encoded", "-r", "--out-dir", "decoded", "--format", "flac", cwd=music)
    assert result.returncode == 1 and result.stderr == b"evc: encoded/a.evc: not an EVC file\n"
    assert "3 decoded, 0 skipped, 1 failed; " in result.stdout.decode()
    assert names(music / "decoded") == ["b.flac", "deep/c.flac", "deep/er/d.flac"]
    assert soundfile.info(music / "decoded/b.flac").format == "FLAC"


def test_names_without_an_output(run_evc: Run, start_evc: Run, tmp_path: Path) -> None:
    before = [write_sound(tmp_path / name).read_bytes() for name in ("a.wav", "b.wav")]
    assert start_evc("encode", "a.wav", "b.wav", *FAST, cwd=tmp_path).returncode == 0
    assert names(tmp_path) == ["a.evc", "a.wav", "b.evc", "b.wav"]
    assert [(tmp_path / name).read_bytes() for name in ("a.wav", "b.wav")] == before
    kept = run_evc("decode", "a.evc", cwd=tmp_path)
    assert (kept.returncode, kept.stderr) == (1, b"evc: a.wav: exists already; --force replaces it\n")
    skipped = run_evc("decode", "a.evc", "b.evc", "--skip-existing", cwd=tmp_path)
    assert (skipped.returncode, skipped.stdout) == (0, b"0 decoded, 2 skipped, 0 failed\n")
    result = run_evc("decode", "a.evc", "-f", cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert (tmp_path / "a.wav").read_bytes() != before[0]
    assert run_evc("decode", "a.evc", "-o", "c.wav", cwd=tmp_path).returncode == 0


def test_quiet_is_quiet(run_evc: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", 1.0, 0)
    (tmp_path / "b.wav").write_bytes(b"nothing")
    result = run_evc("encode", "a.wav", "-q", "--bitrate", "48k", *FAST, cwd=tmp_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    result = run_evc("encode", "a.wav", "b.wav", "-q", "-f", "--jobs", "1", *FAST, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"evc: b.wav: not a sound file") and result.stderr.count(b"\n") == 1


def test_bitrates_that_are_missed_are_said(run_evc: Run, start_evc: Run, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write_sound(tmp_path / name, 1.0, 0)
    result = run_evc("encode", "a.wav", "--bitrate", "48", *FAST, cwd=tmp_path)
    lines = result.stderr.decode().splitlines()
    assert result.returncode == 0 and len(lines) == 1
    assert lines[0].startswith("evc: warning: a.wav: the file has ")
    assert lines[0].endswith(" kbit/s, not the 48 asked for: this sound needs no more")
    options = "-f", "--jobs", "2", "--json", "--bitrate", "48", *FAST
    result = start_evc("encode", "a.wav", "b.wav", *options, cwd=tmp_path)
    lines = sorted(result.stderr.decode().splitlines())
    assert len(lines) == 3 and lines[0].startswith("2 encoded") and "warning: b.wav: the file" in lines[2]
    assert [summary["source"] for summary in json.loads(result.stdout)] == ["a.wav", "b.wav"]


def test_bitrates_of_the_library() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    with pytest.warns(evc.EvcWarning, match="not the 6 asked for: this is as near as it comes"):
        evc.encode(noise[:80], 8000, bitrate=6, hints="spectrum", patterns="off")
    with pytest.warns(evc.EvcWarning, match="not the 1500 asked for: this sound needs no more"):
        evc.encode(noise, 8000, bitrate=1500, patterns="off")


@pytest.mark.filterwarnings("error::evc.EvcWarning")
def test_bitrates_that_are_met_are_not_said(track: np.ndarray) -> None:
    evc.encode(track[:80_000], 16_000, bitrate=32, patterns="off")


def test_bitrates_beyond_sense(run_evc: Run, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav")
    for text, hint in (("5000", "did you mean 5? --force-bitrate if not"), ("48000k", "did you mean 48?")):
        result = run_evc("encode", "a.wav", "--bitrate", text, cwd=tmp_path)
        assert result.returncode == 2 and hint in result.stderr.decode()
    forced = run_evc("encode", "a.wav", "--bitrate", "5000", "--force-bitrate", *FAST, cwd=tmp_path)
    assert forced.returncode == 0 and b"not the 5000 asked for" in forced.stderr


@pytest.mark.parametrize(
    "text, seconds",
    [("90", 90), ("1.5", 1.5), ("1:30.5", 90.5), ("1:02:03", 3723), ("90:00", 5400), ("0:00:00.25", 0.25), (".5", 0.5)],
)
def test_times(text: str, seconds: float) -> None:
    assert TIME.convert(text, None, None) == seconds
    assert SHIFT.convert(f"-{text}", None, None) == -seconds


@pytest.mark.parametrize("text", ["", "1:", ":30", "1:5", "1:60", "1:60:00", "1:2:3:4", "nan", "inf", "1h", "-1"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(click.BadParameter):
        TIME.convert(text, None, None)


def test_bitrates() -> None:
    texts = ("48", "48k", "48K", "48kbps", "48 kbit/s", "48.0kb/s")
    assert [BITRATE.convert(text, None, None) for text in texts] == [48] * len(texts)
    for text in ("", "k", "48M", "fast"):
        with pytest.raises(click.BadParameter):
            BITRATE.convert(text, None, None)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["encod", "a.wav"], "No such command 'encod'. Did you mean encode or decode?"),
        (["xyz"], "No such command 'xyz'. There are encode, decode, "),
        (["train", "event", "."], "No such command 'event'. Did you mean events?"),
        (["encode", "a.wav", "--bitrat", "4"], "--bitrate"),
        (["encode", "a.wav", "out.dat"], "out.dat does not exist; an output ends in .evc, or is named with -o"),
        (["encode", "a.wav", "-q", "--json"], "--quiet and --json exclude each other"),
        (["decode", "a.evc", "b.wav", "--format", "flac"], "is for outputs without a name of their own"),
        (["decode", "a.evc", "--format", "xyz"], "not a format that can be written"),
    ],
)
def test_what_is_meant_is_told(arguments: list[str], message: str, run_evc: Run, tmp_path: Path) -> None:
    result = run_evc(*arguments, cwd=tmp_path)
    assert result.returncode == 2 and message in result.stderr.decode()


COMMANDS = [
    "encode", "decode", "play", "stats", "patterns", "events", "edit", "cut", "join", "train", "heatmap", "report",
    "info", "tag", "verify",
]  # fmt: skip


@pytest.mark.parametrize("command", [[], *([one] for one in COMMANDS), ["train", "events"], ["train", "latents"]])
def test_help_ends_with_examples(command: list[str], run_evc: Run) -> None:
    lines = [line.strip() for line in run_evc(*command, "--help").stdout.decode().rstrip().splitlines()]
    shown = lines[lines.index("Examples:") + 1 :]
    assert len(shown) >= 2 and all(line.startswith(" ".join(["evc", *command])) for line in shown)


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-m", "evc", "--version"]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert printed.startswith(f"evc {evc.__version__} ")


def completions(words: str, count: int) -> list[str]:
    environment = os.environ | {"_EVC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    result = subprocess.run([sys.executable, "-m", "evc"], env=environment, capture_output=True, check=True)
    return result.stdout.decode().split()


def test_shells_complete() -> None:
    environment = os.environ | {"_EVC_COMPLETE": "zsh_source"}
    script = subprocess.run([sys.executable, "-m", "evc"], env=environment, capture_output=True, check=True).stdout
    assert b"_EVC_COMPLETE=zsh_complete" in script
    assert completions("evc en", 1) == ["plain,encode"]
    assert completions("evc encode --bit", 2) == ["plain,--bitrate"]
    assert completions("evc encode so", 2) == ["file,so"]
    assert completions("evc train la", 2) == ["plain,latents"]


def test_notes_of_libraries_are_not_shown(start_evc: Run, tmp_path: Path) -> None:
    """libmpg123 writes some to file descriptor 2."""
    soundfile.write(tmp_path / "a.mp3", np.random.default_rng(0).normal(0, 0.1, 20_000).clip(-1, 1), 44_100)
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 700] = bytes(700)
    for name in ("a.mp3", "b.mp3"):
        (tmp_path / name).write_bytes(data)
    for inputs in (["a.mp3"], ["a.mp3", "b.mp3", "--jobs", "2"]):
        lines = start_evc("encode", *inputs, "-f", *FAST, cwd=tmp_path).stderr.decode().splitlines()
        assert all(line.startswith("evc: ") for line in lines) and len(lines) < len(inputs) + 1


def test_standard_error_still_is_a_terminal_and_takes_tracebacks() -> None:
    code = (
        "import os, sys; from evc.cli import main; main._silence_libraries(); os.write(2, b'note')\n"
        "print(sys.stderr.isatty(), os.get_terminal_size(sys.__stderr__.fileno()).columns, file=sys.stderr); 1 / 0"
    )
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", code], stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # how Linux says that the other side has closed
            pass
    os.close(ours)
    assert process.returncode == 1 and b"note" not in shown
    assert shown.startswith(b"True ") and b"ZeroDivisionError" in shown
