"""The sources that an extension was built from, as a checksum: one built from others is not used."""

from __future__ import annotations

import zlib
from pathlib import Path

FOLDER = Path(__file__).parent


def digest() -> int | None:
    """Of the C sources beside this file and the constants they use; None where there are none, as in a wheel."""
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in (".c", ".h"))
    if not sources:
        return None
    found = 0
    for path in (*sources, FOLDER / "build.py", FOLDER.parent / "format" / "constants.py"):
        found = zlib.crc32(path.read_bytes(), found)
    return found
