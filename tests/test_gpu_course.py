"""The course for a machine with a GPU: what each call does, and that the next one goes on from there. The whole course
runs by `python tests/gpu.py run --rehearse`."""

from __future__ import annotations

from pathlib import Path

import gpu
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from evc.models.latents.train import WEIGHTS_FILE


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the course does, in place of which names are noted; training takes two calls."""
    done: list[str] = []
    (tmp_path / "music").mkdir()
    (tmp_path / "run").mkdir()

    def tests(results: Path) -> None:
        done.append("tests")
        results.write_text("3 passed")

    def train(steps: gpu.Course, minutes: float, pause: float) -> bool:
        done.append("train")
        (steps.training / WEIGHTS_FILE).write_bytes(b"without tables")
        return done.count("train") == 2

    def tables(steps: gpu.Course) -> None:
        done.append("tables")
        (steps.home / "tables").mkdir()
        (steps.home / "tables" / WEIGHTS_FILE).write_bytes(b"with tables")

    for name, function in (("run_tests", tests), ("train", train), ("fit_tables", tables)):
        monkeypatch.setattr(gpu, name, function)
    return done


def test_each_call_goes_on_where_the_last_one_ended(tmp_path: Path, calls: list[str]) -> None:
    expected = (["tests", "train"], ["tests", "train", "train", "tables"], ["tests", "train", "train", "tables"])
    for number, done in enumerate(expected):
        found = CliRunner().invoke(gpu.main, ["run", "--home", str(tmp_path)], catch_exceptions=False)
        assert calls == done
        assert ("there is more to do" if number == 0 else "all is done") in found.output
        weights = (tmp_path / "out" / WEIGHTS_FILE).read_bytes()
        assert weights == (b"without tables" if number == 0 else b"with tables")
    assert (tmp_path / "out" / "tests.txt").read_text() == "3 passed"


def test_what_there_is_comes_back_when_a_step_fails(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "log.jsonl").write_text("{}")

    def fails(*_: object) -> bool:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu, "train", fails)
    found = CliRunner().invoke(gpu.main, ["run", "--home", str(tmp_path)])
    assert found.exit_code and sorted(path.name for path in (tmp_path / "out").iterdir()) == ["log.jsonl", "tests.txt"]


def test_music_that_travels_fits_and_leaves_out_what_is_measured(tmp_path: Path) -> None:
    for folder, names in (("all", "abcd"), ("measured", "b")):
        (tmp_path / folder).mkdir()
        for name in names:
            soundfile.write(tmp_path / folder / f"{name}.wav", np.zeros(5000), 8000, subtype="PCM_16")
    count = gpu.chosen_music(tmp_path / "all", tmp_path / "music", tmp_path / "measured", 0.021)
    chosen = {path.stem for path in (tmp_path / "music").iterdir()}
    assert count == len(chosen) == 2 and chosen < set("acd")


def test_without_music_it_says_what_to_do(tmp_path: Path) -> None:
    found = CliRunner().invoke(gpu.main, ["run", "--home", str(tmp_path)])
    assert found.exit_code == 1 and "prepare it first" in found.output
