"""The conformance vectors, and what the specification quotes of them and of the frozen tables."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evc.spec import vectors


@pytest.mark.parametrize("name", vectors.FILES)
def test_a_vector_decodes_as_it_should(name: str) -> None:
    assert vectors.problems(name) == []


def test_the_tolerance_of_a_file_is_that_of_its_layers() -> None:
    files = {name: (vectors.FOLDER / f"{name}.evc").read_bytes() for name in ("events", "described")}
    found = {name: vectors.tolerances(data) for name, data in files.items()}
    assert found == {"events": (2.0**-17, 2.0**-20), "described": (2.0**-13, 2.0**-16)}


def test_every_vector_is_small() -> None:
    found = sorted(path.stem for path in vectors.FOLDER.glob("*.evc"))
    assert found == sorted(vectors.FILES)
    assert all((vectors.FOLDER / f"{name}.evc").stat().st_size < 12_000 for name in found)


def test_the_documents_quote_the_present_vectors_and_tables() -> None:
    for path, text in vectors.quoted().items():
        assert path.read_text() == text, path.name


def test_a_difference_is_reported(tmp_path: Path) -> None:
    """Another file's integers and sound in place of a vector's own."""
    for suffix in ("json", "flac"):
        shutil.copy(vectors.FOLDER / f"mono.{suffix}", tmp_path)
    shutil.copy(vectors.FOLDER / "sample.evc", tmp_path / "mono.evc")
    found = "\n".join(vectors.problems("mono", tmp_path))
    assert "segments differs" in found and "peak" in found
    data = bytearray((vectors.FOLDER / "mono.evc").read_bytes())
    data[90] ^= 1
    (tmp_path / "mono.evc").write_bytes(data)
    assert "damaged" in vectors.problems("mono", tmp_path)[0]


def test_the_command() -> None:
    command = [sys.executable, "-m", "evc.spec.vectors", "--check", "mono", "empty"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "2 vectors are as they should be\n", "")
