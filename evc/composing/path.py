"""The course of a song through the space of timbres: straight lines, and the wiggler that coils them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats


def walked(corners: NDArray[np.floating], places: Floats) -> Floats:
    """Points float64 [n, dims] at `places` [n], 0 being the first of the `corners` [steps, dims] and steps - 1 the
    last: on straight lines from each to the next, slowly where one begins and ends, so that no corner is a jolt."""
    corners = np.asarray(corners, np.float64)
    last = len(corners) - 1
    places = np.clip(places, 0, last)
    legs = np.minimum(places.astype(np.int64), max(last - 1, 0))
    share = (places - legs)[:, None]
    eased = share**2 * (3 - 2 * share)
    walked: Floats = corners[legs] * (1 - eased) + corners[np.minimum(legs + 1, last)] * eased
    return walked


@dataclass(frozen=True)
class Wiggler:
    """u·sin t + v·cos t, which makes a helix of a line: `u` and `v` float64 [dims] are orthogonal, and t turns once in
    `turn` seconds."""

    u: Floats
    v: Floats
    turn: float

    @classmethod
    def drawn(cls, random: np.random.Generator, dims: int, depth: float, turn: float) -> Self:
        """One of random directions whose radius is `depth`. In the document they are orthogonal only nearly, as random
        vectors of many dimensions are; here they are made so."""
        u, v = np.linalg.qr(random.standard_normal((dims, 2)))[0].T
        return cls(depth * u, depth * v, turn)

    def at(self, seconds: Floats) -> Floats:
        """What is added to the points at these times [n]: float64 [n, dims]."""
        angle = (2 * np.pi / self.turn * seconds)[:, None]
        return np.asarray(self.u * np.sin(angle) + self.v * np.cos(angle))
