"""Builds the extension from the C sources beside this file: run by setup.py, with cffi.

Literal numbers of the format come from evc/format/constants.py, as macros: ENERGY_STEP is EVC_ENERGY_STEP there.
"""

from __future__ import annotations

import os
import re
import runpy
import sysconfig
from pathlib import Path
from typing import Any

from cffi import FFI

FOLDER = Path(__file__).parent
# The headers whose functions Python calls.
DECLARED = ("kernels.h", "sound.h", "patterns.h", "latents.h", "events.h")
CONSTANTS = FOLDER.parent / "format" / "constants.py"
# No fused multiply-adds and no reordering: what is computed in floats is to be the same under every compiler. Nobody
# asks for the exceptions of float operations, which would keep choices between two values out of vectors.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
FLAGS += ["-Wall", "-Wextra"]
# One extension serves all versions of Python, but those without the interpreter's lock.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")


def extension(folder: str = "build/kernels", flags: list[str] | None = None) -> Any:
    """A setuptools extension that may fail to build; what is generated goes to `folder`. `flags`: for the compiler,
    in place of FLAGS."""
    os.makedirs(folder, exist_ok=True)
    header = Path(folder, "constants.h")
    header.write_text(f"#define EVC_SOURCES {digest()}u\n" + macros(runpy.run_path(str(CONSTANTS))))
    if flags is None:
        flags = ["/O2", "/fp:precise"] if os.name == "nt" else FLAGS
    builder = FFI()
    for name in DECLARED:
        builder.cdef(re.sub(r"^#.*$", "", (FOLDER / name).read_text(), flags=re.M))
    builder.set_source(
        "evc.kernels._native",
        "\n".join(f'#include "{name}"' for name in DECLARED),
        sources=sorted(os.path.relpath(path) for path in FOLDER.glob("*.c")),
        include_dirs=[os.path.relpath(FOLDER), folder],
        extra_compile_args=flags,
        extra_link_args=[flag for flag in flags if flag.startswith("-fsanitize")],
        define_macros=[] if STABLE else [("_CFFI_NO_LIMITED_API", None)],
        py_limited_api=STABLE,
        depends=[os.path.relpath(path) for path in (*FOLDER.glob("*.h"), header)],
    )
    found = builder.distutils_extension(folder)
    found.optional = True
    return found


def digest() -> int:
    """The checksum of all sources, which tells whether an extension was built from them."""
    found: int = runpy.run_path(str(FOLDER / "sources.py"))["digest"]()
    return found


def macros(constants: dict[str, Any]) -> str:
    """Numbers and tuples of numbers as macros."""
    lines = []
    for name, value in constants.items():
        if isinstance(value, int | float):
            lines.append(f"#define EVC_{name} {value}")
        elif isinstance(value, tuple) and all(isinstance(item, int | float) for item in value):
            lines.append(f"#define EVC_{name} {{{', '.join(map(str, value))}}}")
    return "\n".join(lines) + "\n"
