"""A job that everything happens to: in the end every good file is there once, and the manifest is true."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import evc

pytest.importorskip("distributed", reason="evc[catalogue] is not installed")
pytest.importorskip("resource", reason="no limits of file sizes here")

from catalogue_tools import CHEAP, Fragile, Grid, limit_files, write_hostile, write_sounds  # noqa: E402
from distributed import Client  # noqa: E402

from evc.catalogue.cluster import Cluster  # noqa: E402
from evc.catalogue.job import Job, Totals  # noqa: E402
from evc.catalogue.manifest import DONE, MANIFEST, Manifest  # noqa: E402
from evc.catalogue.places import place  # noqa: E402
from evc.catalogue.plan import Plan, planned  # noqa: E402
from evc.catalogue.sources import inputs, outputs  # noqa: E402
from evc.catalogue.tasks import digest_of  # noqa: E402
from evc.catalogue.works import settings_text  # noqa: E402

GOOD = 35
SOUNDS = frozenset((".wav", ".flac"))


def plan_of(source: Path, destination: Path, manifest: Manifest) -> Plan:
    files = inputs([str(source)], SOUNDS)
    present = place(str(destination)).names(".evc")
    texts = [settings_text(CHEAP)] * len(files)
    return planned(files, outputs(files, SOUNDS, ".evc"), texts, manifest.known(), present)


class Breaker:
    """Breaks something each time that so many files more are done."""

    def __init__(self, grid: Grid) -> None:
        self.grid, self.left = grid, {5: self._kill_worker, 10: self._fill_disk, 20: grid.restart}

    def see(self, totals: Totals, row: object) -> None:
        if row is None and (due := [done for done in self.left if totals.done + totals.skipped >= done]):
            self.left.pop(due[0])()

    def _kill_worker(self) -> None:
        self.grid.workers[0].kill()

    def _fill_disk(self) -> None:
        """No file may grow beyond a few bytes, for a while."""
        client = Client(self.grid.address, set_as_default=False)
        client.run(limit_files, 100)

        def free() -> None:
            client.run(limit_files, -1)
            client.close()

        threading.Timer(0.7, free).start()


def test_a_job_that_everything_happens_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evc.catalogue.job._FIRST_PAUSE", 0.1)
    source, destination = tmp_path / "music", tmp_path / "encoded"
    good, hostile = write_sounds(source, GOOD), write_hostile(source / "hostile")
    manifest = Manifest(place(str(destination)))
    with Grid(3) as grid:
        breaker = Breaker(grid)
        # A second job for the same destination, at the same time.
        options = ["--scheduler", grid.address, *(f"--{name}={value}" for name, value in CHEAP.items())]
        command = ["catalogue", "encode", "music/album *", "--out", "encoded", *options]
        command = [sys.executable, "-m", "evc.cli.main", *command]
        second = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with Cluster(grid.address) as cluster:
            work = Fragile(place(str(destination)), manifest.job, manifest.workshop_name, least=0.1)
            totals = Job(work, plan_of(source, destination, manifest), manifest, breaker.see).run(cluster)
        _, errors = second.communicate(timeout=60)
    assert second.returncode == 0, errors.decode()
    assert not breaker.left and totals.lost_workers >= 2
    assert totals.done + totals.skipped == GOOD and totals.failed == len(hostile)
    check(source, destination, good, hostile)


def check(source: Path, destination: Path, good: list[Path], hostile: list[Path]) -> None:
    """Every good file is there once, as evc.encode makes it; the manifest tells so, and why the others are not."""
    manifest = Manifest(place(str(destination)))
    rows = manifest.table().set_index("input")
    assert sorted(rows.index) == sorted(map(str, good + hostile))
    made = {path.relative_to(destination) for path in destination.rglob("*") if path.is_file()}
    expected = {path.relative_to(source).with_suffix(".evc") for path in good}
    assert {path for path in made if path.parts[0] != MANIFEST} == expected
    assert all(path.suffix == ".parquet" for path in made - expected)  # and nothing half-done is left
    for path in good:
        row, output = rows.loc[str(path)], destination / path.relative_to(source).with_suffix(".evc")
        told = (DONE, output.stat().st_size, digest_of(str(path)), digest_of(str(output)))
        assert (row["status"], row["bytes"], row["digest"], row["output_digest"]) == told
        again = io.BytesIO()
        evc.encode_file(path, again, **CHEAP)
        assert output.read_bytes() == again.getvalue()
    reasons = [*["not a sound file that can be read"] * 3, "only finite samples can be encoded", "killed the worker"]
    for path, reason in zip(hostile, reasons):
        assert reason in rows.loc[str(path)]["error"]
