"""Which files a catalogue job does, what it says of them, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import evc
from evc.format.errors import EvcError

pandas = pytest.importorskip("pandas", reason="evc[catalogue] is not installed")
distributed = pytest.importorskip("distributed", reason="evc[catalogue] is not installed")
pytest.importorskip("resource", reason="no limits of file sizes here")

from catalogue_tools import CHEAP, write_hostile, write_sounds  # noqa: E402

from evc.catalogue import plan  # noqa: E402
from evc.catalogue.manifest import FAILED, Manifest  # noqa: E402
from evc.catalogue.places import place  # noqa: E402
from evc.catalogue.sources import Input, inputs, outputs  # noqa: E402
from evc.catalogue.tasks import Item, attempt, kind_of  # noqa: E402
from evc.catalogue.works import Check, Tell  # noqa: E402

SOUNDS, EVC = frozenset((".wav", ".flac")), frozenset((".evc",))
OPTIONS = [f"--{name}={value}" for name, value in CHEAP.items()]
Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a cluster within this process, whose workers are threads."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, worker_dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Six sounds, of which one is in a list with a bitrate of its own."""
    write_sounds(tmp_path / "music", 6)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


class TestSources:
    def test_the_tree_is_that_below_what_is_named(self, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(music)
        (music / "music/.hidden.wav").write_bytes(b"")
        (music / "music/notes.txt").write_text("none")

        def found(*sources: str) -> list[str]:
            return sorted(one.name for one in inputs(sources, SOUNDS))

        below = [f"album 0/{number:03}.wav" for number in range(6)]
        for source in ("music", f"file://{music}/music", "music/**/*.wav", "music/alb*"):
            assert found(source) == below
        assert found("mus*/*/*.wav") == [f"music/{name}" for name in below]
        assert found("music/album 0/00[12].wav") == ["001.wav", "002.wav"]
        assert found("music", "music/album 0/003.wav") == ["003.wav", *(f"music/{name}" for name in below)]
        for source, message in {"nowhere": "no such file or folder", "*.mp3": "no files here"}.items():
            with pytest.raises(EvcError, match=message):
                found(source)

    def test_lists_say_more_of_files(self, music: Path) -> None:
        rows = "path,quality,label,size\nmusic/album 0/001.wav,3,a,7\nmusic/album 0/gone.wav,,b,8\n"
        (music / "list.csv").write_text(rows)
        one, gone = inputs([str(music / "list.csv")], SOUNDS)
        assert one.name == "music/album 0/001.wav" and os.path.isfile(one.path) and one.size
        assert one.columns == {"quality": 3.0, "label": "a", "list_size": 7.0}
        assert (gone.size, gone.columns) == (0, {"label": "b", "list_size": 8.0})
        pandas.DataFrame({"path": [one.path, gone.path]}).to_parquet(music / "list.parquet")
        assert [each.name for each in inputs([str(music / "list.parquet")], SOUNDS)] == ["001.wav", "gone.wav"]
        (music / "list.jsonl").write_text('{"file": "x.wav"}\n')
        with pytest.raises(EvcError, match="has no column path, only file"):
            inputs([str(music / "list.jsonl")], SOUNDS)

    def test_lists_that_cannot_be_meant(self, music: Path) -> None:
        path = music / "list.csv"

        def listed(*rows: str) -> list[str]:
            path.write_text("\n".join(("path,label", *rows)) + "\n")
            return [one.name for one in inputs([str(path)], SOUNDS)]

        assert listed("music/a.wav,x", "./music/a.wav,x") == ["music/a.wav"]
        assert listed(f"file://{music}/music/a.wav,", f"file://{music}/music/../b/a.wav,") == ["music/a.wav", "b/a.wav"]
        with pytest.raises(EvcError, match="row 2 has no path"):
            listed("a.wav,", ",b")
        with pytest.raises(EvcError, match="name of a file or folder is empty"):
            inputs([""], SOUNDS)

    def test_outputs_of_one_name_keep_their_endings(self) -> None:
        files = [Input(name, name, 1, "") for name in ("a.wav", "a.flac", "b.wav", "c")]
        assert outputs(files, SOUNDS, ".evc") == ["a.wav.evc", "a.flac.evc", "b.evc", "c.evc"]
        with pytest.raises(EvcError, match="several inputs"):
            outputs([*files, files[0]._replace(path="other/a.wav")], SOUNDS, ".evc")
        assert outputs([Input("index.evc", "index.evc", 1, "")], EVC, ".html", ["index.html"]) == ["index.evc.html"]


class TestPlan:
    def test_costly_files_come_first_and_short_ones_together(self) -> None:
        sizes = [100_000] * 400 + [500_000_000, 50_000_000]
        items = [Item(f"{number}.wav", f"{number}.evc", size, "", "") for number, size in enumerate(sizes)]
        queue, tasks = plan.Queue(items, "job"), []
        while len(queue):
            tasks.append(queue.take(2))
        assert [task[0].size for task in tasks[:3]] == [500_000_000, 50_000_000, 100_000]
        assert [len(task) for task in tasks[:2]] == [1, 1] and len(tasks[2]) > 5 and len(tasks[-1]) == 1
        assert sorted(item.input for task in tasks for item in task) == sorted(item.input for item in items)
        assert abs(queue.seconds) < 1e-6
        other = plan.Queue(items, "another job")
        assert [other.take(2)[0] for _ in range(3)][2] != tasks[2][0]  # two jobs do not do the same

    def test_errors_are_of_few_kinds(self) -> None:
        assert kind_of("/a/b.wav: damaged near frame 12 (bad sync)") == kind_of("damaged near frame 997 (no end)")
        assert kind_of("not a sound file that can be read (it is empty)") == "not a sound file that can be read"


class TestAttempts:
    def test_what_cannot_be_read_fails_for_itself(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.wav")
        work = Check(place(str(tmp_path)), "job", "")
        for name, message in {"pipe.wav": "is no regular file", "\udcff.wav": "its name is not UTF-8"}.items():
            row = attempt(work, Item(str(tmp_path / name), name, 0, "", "")).record
            assert row["status"] == FAILED and row["error"].endswith(message)
            assert row["output"] == name.replace("\udcff", "\\udcff")


class TestManifest:
    def test_later_rows_count_but_a_failure_undoes_nothing(self, tmp_path: Path) -> None:
        first, second = Manifest(place(str(tmp_path))), Manifest(place(str(tmp_path)))
        row = {"input": "a", "output": "a.evc", "size": 1, "stamp": "1", "settings": "s", "status": "done", "bytes": 5}
        first.append([row | {"finished": 1.0}, row | {"output": "b.evc", "finished": 1.0, "label": 3.0}])
        assert second.news().keys() == {"a.evc", "b.evc"} and not second.news()
        second.append([row | {"finished": 2.0, "status": FAILED, "error": "full"}])
        second.append([row | {"output": "b.evc", "finished": 2.0, "status": FAILED, "stamp": "2", "label": "x"}])
        rows = Manifest(place(str(tmp_path))).table().set_index("output")
        assert rows["status"].to_dict() == {"a.evc": "done", "b.evc": "failed"}
        assert not first.known()["b.evc"].done and first.known()["a.evc"].done
        parts = len(names(tmp_path))
        second.put_together()
        assert len(names(tmp_path)) == parts - 1 and len(Manifest(place(str(tmp_path))).table()) == 2

    def test_many_parts_become_few(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("evc.catalogue.manifest._MOST_PARTS", 3)
        manifest = Manifest(place(str(tmp_path)))
        for number in range(9):
            manifest.append([{"output": f"{number}.evc", "status": "done", "finished": float(number)}])
        assert len(names(tmp_path)) == 3 and len(manifest.known()) == 9

    def test_files_of_others_are_told_of_and_left_alone(self, music: Path, run_evc: Run) -> None:
        def refused(*options: str) -> bytes:
            done = run_evc("catalogue", *options, cwd=music)
            assert done.returncode in (1, 2) and done.stderr.count(b"\n") == 1 + 3 * (done.returncode == 2), done.stderr
            return done.stderr

        encode = ("encode", "music", "--out")
        (music / "file").write_text("mine")
        assert b"is a file, and no folder" in refused(*encode, "file")
        assert b"the address is empty" in refused(*encode, "out", "--scheduler", "")
        assert b"name of a file or folder is empty" in refused(*encode, "")
        (music / "list.csv").write_text("path,bitrate\nmusic/album 0/000.wav,1e9\n")
        assert b"list.csv: music/album 0/000.wav: bitrate 1e+09" in refused("encode", "list.csv", "--out", "out")
        (music / "out/manifest.parquet").mkdir(parents=True)
        (music / "out/manifest.csv").write_text("mine")
        assert b"manifest.csv: exists already" in refused(*encode, "out", "--csv")
        (music / "album.evc").write_bytes(b"")
        (music / "out/index.html").write_text("mine")
        assert b"index.html: exists already" in refused("report", "album.evc", "--out", "out")
        pandas.DataFrame({"a": [1]}).to_parquet(music / "out/manifest.parquet/part-0.parquet")
        assert b"is no part of a manifest (it has no column digest): remove it" in refused(*encode, "out")
        assert names(music / "out") == ["index.html", "manifest.csv", "manifest.parquet/part-0.parquet"]


def test_encode_again_and_what_comes_of_it(music: Path, run_evc: Run, scheduler: str) -> None:
    """From the first job to the last: what is done is left alone, what has changed is done again."""

    def job(command: str, *arguments: str, code: int = 0) -> str:
        done = run_evc("catalogue", command, *arguments, "--scheduler", scheduler, cwd=music)
        assert done.returncode == code, done.stderr
        return done.stdout.decode()

    encode = ("music", "--out", "out", *OPTIONS)
    hostile = write_hostile(music / "music/hostile")[:4]
    (music / "music/hostile/deadly.wav").unlink()
    dry = job("encode", *encode, "--dry-run")
    assert dry.startswith("10 files to do") and not (music / "out").exists()
    assert job("encode", *encode, "--csv", code=3).startswith("6 encoded, 0 kept, 4 failed; ")
    for path in hostile:
        path.unlink()
    assert job("encode", *encode).startswith("0 encoded, 6 kept, 0 failed")
    rows = pandas.read_csv(music / "out/manifest.csv")
    assert len(rows) == 10 and set(rows[rows["status"] == "done"]["duration"]) == {0.3}
    assert pandas.read_parquet(music / "out/manifest.parquet").shape[0] == 10

    # Touched, but the same; another sound; another setting; gone.
    sounds = sorted((music / "music/album 0").iterdir())
    os.utime(sounds[0], ns=(1, 1))
    sounds[1].write_bytes(sounds[2].read_bytes())
    (music / "out/album 0/003.evc").unlink()
    lines = [json.loads(line) for line in job("encode", *encode, "--json").splitlines()]
    done = {Path(line["input"]).stem: line for line in lines if line["event"] == "file"}
    assert set(done) == {"000", "001", "003"} and lines[-1]["done"] == 3 and lines[-1]["kept"] == 3
    assert (music / "out/album 0/001.evc").read_bytes() == (music / "out/album 0/002.evc").read_bytes()
    assert job("encode", "music", "--out", "out", "--quality=3", "--patterns=off").startswith("6 encoded, 0 kept")

    # What a job did not make is kept.
    (music / "out/album 0/new.evc").write_bytes(b"something else")
    sounds[0].with_name("new.wav").write_bytes(sounds[0].read_bytes())
    again = ("music", "--out", "out", "--quality=3", "--patterns=off")
    assert job("encode", *again, code=3).startswith("0 encoded, 6 kept, 1 failed")
    assert (music / "out/album 0/new.evc").read_bytes() == b"something else"
    assert job("encode", *again, "--force").startswith("1 encoded, 6 kept, 0 failed")

    assert job("verify", "out").startswith("7 checked")
    assert job("decode", "out", "--out", "wav").startswith("7 decoded, 0 kept, 0 failed")
    audio = evc.decode((music / "out/album 0/004.evc").read_bytes())[0]
    assert len(audio) == 2400 and names(music / "wav")[:1] == ["album 0/000.wav"]
    told = json.loads(run_evc("catalogue", "stats", "out", "--json", cwd=music).stdout)
    assert told["files"] == 7 and told["folders"][0]["name"] == "album 0"
    size = sum(path.stat().st_size for path in (music / "out").rglob("*.evc"))
    assert told["bytes"] == size and abs(sum(layer["bytes"] for layer in told["layers"]) - size) < 1
    measured = json.loads(job("stats", "out", "--measure", "--json"))
    assert {name: measured[name] for name in ("files", "bytes")} == {name: told[name] for name in ("files", "bytes")}
    (music / "out/album 0/000.evc").write_bytes((music / "out/album 0/001.evc").read_bytes())
    (music / "out/album 0/001.evc").unlink()
    failed = run_evc("catalogue", "verify", "out", "--scheduler", scheduler, cwd=music)
    assert failed.returncode == 3 and failed.stderr.count(b"the manifest tells of") == 2


def test_without_the_extra_one_line_says_what_to_install(tmp_path: Path, run_evc: Run) -> None:
    with mock.patch("evc.catalogue.needed.find_spec", lambda name: None if name in ("dask", "pyarrow") else name):
        for arguments in (["encode", "x", "--out", "y"], ["stats", "x"], ["events", "x", "--parquet", "y"]):
            done = run_evc("catalogue", *arguments, cwd=tmp_path)
            line = b"evc: dask, pyarrow are needed and not installed: pip install 'evc[catalogue]'\n"
            assert (done.returncode, done.stderr) == (1, line)


def test_urls_and_the_events_of_many(
    tmp_path: Path, run_evc: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one place of fsspec's to another, with a list that says what each file is to be encoded with."""
    fsspec = pytest.importorskip("fsspec", reason="evc[catalogue] is not installed")
    memory = fsspec.filesystem("memory")
    time_ = np.arange(8000) / 8000
    for number, pitch in enumerate((220, 330)):
        path = write_sounds(tmp_path / str(number), 1)[0]
        import soundfile

        soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time_) * np.exp(-3 * time_), 8000)
        memory.pipe(f"/in/{number}.wav", path.read_bytes())
    memory.pipe("/in/list.csv", b"path,bitrate,label\n0.wav,12,a\n1.wav,3,b\n")
    made = run_evc("catalogue", "encode", "memory://in/list.csv", "--out", "memory://out", "--scheduler", scheduler)
    assert made.returncode == 0, made.stderr
    rows = Manifest(place("memory://out")).table().set_index("output")
    assert rows["label"].to_dict() == {"0.evc": "a", "1.evc": "b"}
    assert rows["kbps_events"].notna().tolist() == [False, True]
    assert len(memory.cat("/out/0.evc")) == rows["bytes"]["0.evc"]
    told = run_evc("catalogue", "events", "memory://out", "--parquet", tmp_path / "e", "--scheduler", scheduler)
    assert told.returncode == 0 and told.stdout.endswith(b" of 2 files\n"), told.stderr
    points = pandas.read_parquet(tmp_path / "e")
    with evc.open(memory.open("/out/1.evc")) as file:
        assert len(points) == len(file.events) > 0 and set(points["file"]) == {"memory://out/1.evc"}
        assert np.allclose(np.stack(points["vector"]), file.events.vectors)
        assert np.allclose(points["time"], file.events.times)
    (tmp_path / "none").mkdir()
    (tmp_path / "none/0.evc").write_bytes(memory.cat("/out/0.evc"))
    Tell(place(str(tmp_path / "f")), "events", "").write(str(tmp_path / "none/0.evc"), even_empty=True)
    nothing = pandas.read_parquet(tmp_path / "f")
    assert nothing.columns.tolist() == points.columns.tolist() and not len(nothing)


def test_interrupted_it_leaves_nothing_half_done_and_goes_on(tmp_path: Path, start_evc: Run) -> None:
    """On workers of its own, as users run it."""
    write_sounds(tmp_path / "music", 20, 2.0)
    command = ["catalogue", "encode", "music", "--out", "out", "--quality=7", "--patterns=off", "--workers=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "evc.cli.main", *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").rglob("*.evc")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and errors.splitlines()[-1] == b"evc: interrupted"
    made = [name for name in names(tmp_path / "out") if name.endswith(".evc")]
    told = Manifest(place(str(tmp_path / "out"))).table()
    assert sorted(told["output"]) == made and 0 < len(made) < 20
    assert {Path(name).suffix for name in names(tmp_path / "out")} == {".evc", ".parquet"}
    assert not list((tmp_path / "out/manifest.parquet").glob(".job-*"))
