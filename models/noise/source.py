"""Seeded noise by absolute position: the same samples whatever span is asked for (spec 10.8).

The noise is a frozen table, white and with short-time spectra that fluctuate little, read in pieces of its length. Each
piece begins at another place of the table, so that nothing returns before long.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.noise_changes import tables


@lru_cache(maxsize=1)
def table() -> NDArray[np.float32]:
    """The frozen noise float32 [NOISE_TABLE], of unit power."""
    integers = tables()["noise"]
    return integers.astype(np.float32) / np.float32(np.sqrt(np.square(integers, dtype=np.float64).mean()))


def noise(start: int, frames: int, source: int) -> NDArray[np.float32]:
    """Frames [start, start + frames) of the noise number `source` (0 to 7); frames before the file are 0."""
    out = np.zeros(frames, np.float32)
    at = max(start, 0)
    while at < start + frames:
        piece, place = divmod(at, c.NOISE_TABLE)
        count = min(c.NOISE_TABLE - place, start + frames - at)
        turn = c.NOISE_TURN * (c.MAX_CHANNELS * piece + source) % c.NOISE_TABLE
        out[at - start : at - start + count] = table().take(np.arange(place + turn, place + turn + count), mode="wrap")
        at += count
    return out
