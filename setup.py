"""The compiled kernels (evc/kernels), which are optional: without cffi or a compiler, the package has none."""

import runpy
import sys
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext


def say(reason: str) -> None:
    print(f"evc is built without compiled kernels, and will run in NumPy: {reason}", file=sys.stderr)


class BuildKernels(build_ext):
    def build_extension(self, ext: Any) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            say("they do not compile here")
            raise  # to setuptools, which goes on without what is optional


try:
    build = runpy.run_path("evc/kernels/build.py")
except ImportError as error:
    say(str(error))
    setup()
else:
    setup(
        ext_modules=[build["extension"]()],
        cmdclass={"build_ext": BuildKernels},
        options={"bdist_wheel": {"py_limited_api": "cp311"} if build["STABLE"] else {}},  # the oldest of pyproject.toml
    )
