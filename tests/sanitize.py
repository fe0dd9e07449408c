"""Runs Python with compiled kernels in which the address and undefined-behaviour sanitizers watch every access.

    python tests/sanitize.py -m pytest -q tests/test_kernels_coder.py tests/test_kernels_spectrum.py
    python tests/sanitize.py tests/benchmarks/fuzz.py --kernels --cases 20000

They are built beside a copy of the sources in build/sanitized, where the command runs; the checkout's own stay as they
are. For GCC on Linux. The first finding ends the process, and says where it is.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "sanitized"
PARTS = ("evc", "models", "spec", "cli", "tests", "pyproject.toml")
FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
FLAGS += ["-std=c11", "-ffp-contract=off", "-Wall", "-Wextra"]
# Python leaves memory behind when it ends, and its own allocator would hide where blocks end.
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "PYTHONMALLOC": "malloc",
}


def copy_sources() -> None:
    """The packages and tests, without extensions that were built before."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_file():
            shutil.copy(ROOT / part, COPY)
        else:
            shutil.copytree(ROOT / part, COPY / part, ignore=shutil.ignore_patterns("__pycache__", "_native*"))


def build() -> None:
    """The extension, into the copy."""
    os.chdir(COPY)
    extension = runpy.run_path("evc/kernels/build.py")["extension"]("build", FLAGS)
    extension.optional = False
    command = Distribution({"ext_modules": [extension]}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = ".", "build"
    command.ensure_finalized()
    command.run()


def main() -> int:
    copy_sources()
    build()
    compiler = os.environ.get("CC", "cc")
    library = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = os.environ | ENVIRONMENT | {"LD_PRELOAD": library.stdout.strip(), "PYTHONPATH": str(COPY)}
    return subprocess.run([sys.executable, *sys.argv[1:]], cwd=COPY, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
