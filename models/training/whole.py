"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what becomes `path` once it is complete, in place of what was there."""
    partial = path.with_name(f"{path.name}.partial")
    yield partial
    os.replace(partial, path)
