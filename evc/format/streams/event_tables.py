"""The frozen integers of the event stream, read once from the package (spec/tables/events.npz; spec 7.1)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FILE = "events.npz"

Tables = dict[str, NDArray[np.int64]]


@lru_cache(maxsize=1)
def tables() -> Tables:
    """The arrays of spec 7.1, by name."""
    with (resources.files("evc.spec") / "tables" / FILE).open("rb") as file, np.load(file) as archive:
        return {name: archive[name].astype(np.int64) for name in archive.files}
