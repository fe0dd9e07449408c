"""The sources that an extension was built from, as a checksum: one built from others is not used."""

from __future__ import annotations

import os
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))
CONSTANTS = os.path.join(os.path.dirname(FOLDER), "format", "constants.py")


def digest() -> int | None:
    """Of the C sources beside this file and the constants they use; None where there are none, as in a wheel."""
    sources = sorted(name for name in os.listdir(FOLDER) if name.endswith((".c", ".h")))
    if not sources:
        return None
    found = 0
    for path in (*(os.path.join(FOLDER, name) for name in (*sources, "build.py")), CONSTANTS):
        with open(path, "rb", buffering=0) as file:
            found = zlib.crc32(file.read(), found)
    return found
