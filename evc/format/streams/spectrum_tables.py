"""The frozen integers of the spectrum stream, read once from the package (spec/tables/spectrum.npz)."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

FILE = "spectrum.npz"


@lru_cache(maxsize=1)
def tables() -> dict[str, NDArray[np.integer]]:
    """All arrays of the file, by name."""
    with resources.files("evc.spec").joinpath("tables", FILE).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


@lru_cache(maxsize=2)
def psychoacoustics(layout: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(spreading loss [to band, from band], offset [bands]) in 1/64 octave, of the "fine" or "coarse" bands."""
    arrays = tables()
    return arrays[f"{layout}.spreading"].astype(np.int64), arrays[f"{layout}.offset"].astype(np.int64)
