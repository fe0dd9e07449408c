"""The conformance vectors, and what the specification quotes of them and of the frozen tables."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evc.format.errors import DamagedError, FormatError, UnsupportedError
from evc.spec import broken, damaged, refused, vectors
from evc.spec.containers import DAMAGED, MALFORMED, UNSUPPORTED


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


def test_broken_files_are_refused_and_salvaged_as_they_should_be() -> None:
    assert broken.problems(vectors.FOLDER) == []
    for name, least in (("refused", 60), ("damaged", 15)):
        files = sorted(path.stem for path in (vectors.FOLDER / name).glob("*.evc"))
        assert files == sorted(json.loads((vectors.FOLDER / f"{name}.json").read_text())) and len(files) >= least


def test_broken_files_are_those_that_the_generator_makes() -> None:
    for name, cases in (("refused", refused.cases()), ("damaged", damaged.cases())):
        for stem, case in cases.items():
            assert (vectors.FOLDER / name / f"{stem}.evc").read_bytes() == case[-1], stem


def test_errors_are_of_the_kind_that_the_specification_tells() -> None:
    """Of all but values of spectra out of range, which the reference calls damage."""
    kinds = {MALFORMED: FormatError, DAMAGED: DamagedError, UNSUPPORTED: UnsupportedError}
    wrong = {name for name, (kind, _, data) in refused.cases().items() if type(broken.refusal(data)) is not kinds[kind]}
    assert wrong <= {"bandwidth"}


def test_a_file_accepted_or_salvaged_otherwise_is_reported(tmp_path: Path) -> None:
    shutil.copytree(vectors.FOLDER, tmp_path / "vectors", ignore=shutil.ignore_patterns("*.flac", "*.safetensors"))
    shutil.copy(vectors.FOLDER / "mono.evc", tmp_path / "vectors" / "refused" / "signature.evc")
    shutil.copy(vectors.FOLDER / "mono.evc", tmp_path / "vectors" / "damaged" / "byte.evc")
    found = broken.problems(tmp_path / "vectors")
    assert found[0] == "refused/signature: accepted" and all("damaged/byte: " in problem for problem in found[1:])
    assert len(found) > 3


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
