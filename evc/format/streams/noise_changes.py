"""What the planes of the noise hold, and the frozen tables of their contexts (spec 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.bands import band_edges
from evc.format.streams.changes import Changes

FILE = "noise.npz"
SYMBOLS = "noise"  # what the symbols are for, in the report of bits
FIRST, START, END = range(3)  # what changes: the first levels of a segment, those at the start and end of a stretch


@dataclass(frozen=True)
class PlaneKind:
    """What a plane holds: its row in the tables, and the range of its levels."""

    row: int
    least: int
    most: int

    def edges(self, samplerate: int, stride: int) -> NDArray[np.float64]:
        """Edges of the bands in Hz [bands + 1]; `stride` as the stream gives it."""
        if self is COLOUR:
            bands = np.arange(c.NOISE_COLOURS * stride + 1, dtype=np.float64)
            return bands * samplerate / c.superframe_length(samplerate)
        return band_edges(samplerate, stride, fine=True)

    def bands(self, samplerate: int, stride: int) -> int:
        return len(self.edges(samplerate, stride)) - 1


LEVEL = PlaneKind(0, 0, c.MAX_NOISE_LEVEL)
BALANCE = PlaneKind(1, -c.MAX_NOISE_BALANCE, c.MAX_NOISE_BALANCE)
ANGLE = PlaneKind(2, 0, c.NOISE_ANGLES)
COLOUR = PlaneKind(3, 0, c.MAX_NOISE_COLOUR)


def plane_kinds(channels: int) -> list[PlaneKind]:
    """The planes of a stream, in their order."""
    return [LEVEL, BALANCE, ANGLE, COLOUR] if channels == 2 else [LEVEL] * channels + [COLOUR]


@lru_cache(maxsize=1)
def tables() -> dict[str, NDArray[np.integer]]:
    """The frozen integers of the noise (spec/tables/noise.npz): `noise` int8 [NOISE_TABLE], the sound that is shaped;
    `scales` [kinds, contexts] and `signs` [kinds, contexts], what the contexts begin with."""
    with resources.files("evc.spec").joinpath("tables", FILE).open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


def noise_changes(kind: PlaneKind) -> Changes:
    """A coder of the levels of a plane, whose contexts begin with those of the tables."""
    scales, signs = (tables()[name][kind.row].astype(np.int64) for name in ("scales", "signs"))
    return Changes(kind.least, kind.most, settled=(scales, signs))
