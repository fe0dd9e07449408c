"""The compiled kernels as a part of the package: built where they can be, missed where they cannot, never stale; and
what an installation without torch does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

import evc
from evc import kernels
from evc.format.constants import VERSION_MAJOR, VERSION_MINOR
from evc.models import sequencer

ROOT = Path(__file__).resolve().parent.parent
VERSION = f"evc {evc.__version__} (format {VERSION_MAJOR}.{VERSION_MINOR}, "
MISSING = "evc is built without compiled kernels, and will run in NumPy: "

needs_kernels = pytest.mark.skipif(kernels.lib is None, reason=kernels.what_runs())
needs_a_shell = pytest.mark.skipif(os.name == "nt", reason="a compiler that is a shell script")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what an installation is made of, but for the weights."""
    copy, left_out = tmp_path / "checkout", shutil.ignore_patterns("__pycache__", "weights", "vectors")
    for folder in ("evc", "models", "cli", "spec"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=left_out)
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def run(
    arguments: list[str], folder: Path, before: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Python in `folder`, where modules of the folder `before` go before all others."""
    environment = {name: value for name, value in os.environ.items() if name != "EVC_KERNELS"} | variables
    if before is not None:
        environment["PYTHONPATH"] = str(before)
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def command(*arguments: str) -> list[str]:
    return ["-P", "-m", "evc.cli.main", *arguments]


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


# Which of the two runs


@pytest.mark.skipif(os.environ.get("EVC_KERNELS") == "0", reason="EVC_KERNELS=0")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler")
def test_where_there_is_a_compiler_there_are_kernels() -> None:
    """Else the tests that compare the two paths would compare nothing."""
    assert kernels.what_runs() == "compiled kernels"


@needs_kernels
def test_the_version_says_that_kernels_run(tmp_path: Path) -> None:
    assert run(command("--version"), tmp_path).stdout == f"{VERSION}compiled kernels)\n"


def test_the_version_says_that_numpy_runs(tmp_path: Path) -> None:
    assert run(command("--version"), tmp_path, EVC_KERNELS="0").stdout == f"{VERSION}NumPy: EVC_KERNELS=0)\n"


@needs_kernels
def test_what_a_wheel_must_pass(tmp_path: Path) -> None:
    result = run([str(ROOT / "tests" / "smoke.py")], tmp_path)
    assert result.stdout == f"evc {evc.__version__}: compiled kernels\n", result.stderr


def test_without_the_extension_all_runs_in_numpy(checkout: Path, tmp_path: Path) -> None:
    for built in (checkout / "evc" / "kernels").glob("_native*"):
        built.unlink()
    result = run(command("--version"), tmp_path, checkout)
    assert (result.stdout, result.stderr) == (f"{VERSION}NumPy: no compiled kernels)\n", "")
    soundfile.write(tmp_path / "a.wav", sequencer.track(0.5, 16_000), 16_000)
    result = run(command("encode", "a.wav", "--verify"), tmp_path, checkout)
    assert result.returncode == 0, result.stderr
    assert len(evc.decode((tmp_path / "a.evc").read_bytes())[0]) == 8000


@needs_kernels
@pytest.mark.parametrize("changed", ["kernels/port.c", "kernels/port.h", "format/constants.py"])
def test_kernels_that_are_older_than_their_sources_do_not_run(checkout: Path, tmp_path: Path, changed: str) -> None:
    with open(checkout / "evc" / changed, "a") as file:
        file.write("\n")
    result = run(command("--version"), tmp_path, checkout)
    assert result.stdout == f"{VERSION}NumPy: the compiled kernels are older than their sources)\n"
    assert result.stderr == "evc: warning: the compiled kernels are older than their sources: install evc again\n"
    assert run(command("--version"), tmp_path, checkout, EVC_KERNELS="0").stderr == ""


# Building


def test_no_compiler_is_no_failure(checkout: Path) -> None:
    shutil.rmtree(checkout / "build", ignore_errors=True)
    result = run(["setup.py", "-q", "build", "--build-lib", "out"], checkout, CC="false", LDSHARED="false")
    assert result.returncode == 0, result.stderr
    assert [line for line in lines_of(result.stderr) if line.startswith(MISSING)] == [
        f"{MISSING}they do not compile here"
    ]
    assert (checkout / "out" / "evc" / "kernels" / "__init__.py").exists()
    assert not list((checkout / "out" / "evc" / "kernels").glob("_native*"))


def test_no_cffi_is_no_failure(checkout: Path, tmp_path: Path) -> None:
    hidden = without("cffi", tmp_path / "hidden")
    result = run(["setup.py", "-q", "build", "--build-lib", "out"], checkout, hidden)
    assert result.returncode == 0, result.stderr
    assert lines_of(result.stderr)[0] == f"{MISSING}No module named 'cffi'"
    assert not list((checkout / "out" / "evc" / "kernels").glob("_native*"))


def without(module: str, folder: Path) -> Path:
    """A folder for PYTHONPATH that makes importing a module fail as if it were not installed."""
    folder.mkdir()
    message = f"No module named '{module}'"
    (folder / f"{module}.py").write_text(f"raise ModuleNotFoundError({message!r}, name={module!r})\n")
    return folder


@pytest.fixture
def compiler(tmp_path: Path) -> dict[str, str]:
    """Variables for a compiler that makes empty files, at once."""
    script = tmp_path / "cc"
    script.write_text('#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" = -o ] && : > "$2"; shift; done\n')
    script.chmod(0o755)
    return {"CC": str(script), "LDSHARED": str(script)}


BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])('dist')"


@needs_a_shell
def test_a_wheel_has_the_extension_and_no_sources(checkout: Path, compiler: dict[str, str]) -> None:
    for built in (checkout / "evc" / "kernels").glob("_native*"):
        built.unlink()
    (checkout / "dist").mkdir()
    result = run(["-c", BUILD, "build_wheel"], checkout, checkout, **compiler)
    assert result.returncode == 0, result.stderr
    (wheel,) = (checkout / "dist").iterdir()
    assert "-cp311-abi3-" in wheel.name  # one for all versions of Python
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name for name in archive.namelist() if name.startswith("evc/kernels/")}
    assert names == {"__init__.py", "build.py", "sources.py", "_native.abi3.so"}


def test_a_source_distribution_has_the_sources_and_no_extension(checkout: Path) -> None:
    (checkout / "dist").mkdir()
    result = run(["-c", BUILD, "build_sdist"], checkout)
    assert result.returncode == 0, result.stderr
    (sdist,) = (checkout / "dist").iterdir()
    with tarfile.open(sdist) as archive:
        names = {Path(name).name for name in archive.getnames() if Path(name).parent.match("evc/kernels")}
    there = {path.name for path in (ROOT / "evc" / "kernels").iterdir() if path.is_file()}
    assert names == {name for name in there if not name.startswith("_native")}
    assert {"kernels.h", "network.c"} <= names


# An installation without torch

NEEDS_TORCH = "evc: this needs torch, which is not installed: pip install 'evc[train]'\n"


@pytest.fixture
def no_torch(tmp_path: Path) -> Path:
    return without("torch", tmp_path / "hidden")


@pytest.mark.parametrize(
    "options",
    [
        ["--quality", "4", "--patterns", "off"],
        [],
        ["--hints", "noise", "--bitrate", "4"],
        ["--hints", "latent", "--bitrate", "6"],
    ],
)
def test_files_without_torch(options: list[str], no_torch: Path, tmp_path: Path) -> None:
    rate = 32_000 if "latent" in options else 16_000
    soundfile.write(tmp_path / "a.wav", sequencer.track(2.5, rate), rate)
    for arguments in (
        ["encode", "a.wav", "a.evc", *options], ["decode", "a.evc", "b.wav"], ["verify", "a.evc"], ["stats", "a.evc"],
    ):  # fmt: skip
        result = run(command(*arguments), tmp_path, no_torch)
        assert result.returncode == 0, result.stderr
    decoded, _ = soundfile.read(tmp_path / "b.wav")
    assert len(decoded) == 2.5 * rate and np.std(decoded) > 0.01


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "events", ".", "--out", "run"],
        ["train", "latents", ".", "--out", "run"],
        ["train", "track", "a.wav"],
        ["encode", "a.wav", "--hints", "noise", "--device", "cuda"],
        ["encode", "a.wav", "--hints", "latent", "--adapt"],
        ["encode", "a.wav", "b.wav", "--hints", "noise", "--device", "cuda"],
    ],
)  # fmt: skip
def test_what_needs_torch_says_so(arguments: list[str], no_torch: Path, tmp_path: Path) -> None:
    rate = 32_000 if "latent" in arguments else 16_000
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, sequencer.track(0.5, rate), rate)
    result = run(command(*arguments), tmp_path, no_torch)
    assert (result.returncode, result.stderr) == (1, NEEDS_TORCH)
    assert not list(tmp_path.glob("*.evc"))
