"""The compiled kernels (evc/kernels), which are optional: without cffi or a compiler, the package has none."""

import runpy
import sys

from setuptools import setup

try:
    build = runpy.run_path("evc/kernels/build.py")
except ImportError as error:
    print(f"evc is built without compiled kernels: {error}", file=sys.stderr)
    setup()
else:
    setup(ext_modules=[build["extension"]()])
