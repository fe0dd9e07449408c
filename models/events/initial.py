"""Where learning starts: the codebooks of an event's vector and the tables that its parts select from.

All of it is float64 NumPy, from formulas; `Generator` holds it as tensors, which training moves.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]

PARTIALS = 8
ECHOES = 16

ATTACK_TIMES = np.array([1, 4, 10, 25, 60, 120, 250, 500]) * 1e-3
"""Seconds that the attacks of the codebook take to rise."""

LENGTHS = np.array([0.06, 0.12, 0.24, 0.48, 0.96, 1.92, 3.84, 6.0])
"""Seconds until the gate begins to close."""

DECAY_TIMES = np.geomspace(4e-3, 4.0, 16)
"""Time constants, in seconds."""

DECAY_SCALE, DECAY_CENTRE = 3.0, 0.13
LENGTH_SCALE, LENGTH_CENTRE = 2.3, 0.6

NOISE_BANDS = np.array([150, 400, 1000, 2200, 4500, 8000, 12500]) * 1.0
"""Centres of the noise filters, in Hz."""

NOISE_WIDTHS = np.array([0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25])
"""Their standard deviations, in natural logarithms of the frequency."""


def ring(count: int, places: int, radius: float) -> Table:
    """[count, 2]: the first `count` of `places` points evenly on a circle."""
    angles = 2 * np.pi * np.arange(count) / places
    return radius * np.stack([np.cos(angles), np.sin(angles)], -1)


def resonator_places() -> Table:
    """[32, 4]: the 24 shortest vectors of the lattice D4 and the 8 along the axes, coordinates -2 to 2.

    Two of them are sqrt(2) or more apart.
    """
    short = [place for place in product((-1, 0, 1), repeat=4) if sum(map(abs, place)) == 2]
    return np.concatenate([np.array(short), 2 * np.eye(4), -2 * np.eye(4)]).astype(np.float64)


def noise_places() -> Table:
    """[63, 3]: colour -3 to 3, level 1 to 3, decay -1 to 1, all combinations."""
    return np.array(list(product(range(-3, 4), (1, 2, 3), (-1, 0, 1))), np.float64)


def codebooks() -> dict[str, Table]:
    """The codebook [size, dimensions] of every part that is learned: all but pitch and phase.

    The first entry of deform, noise and room is the origin, as is that of every partial: none of it.
    """
    silent = np.zeros((1, 2))
    partial = np.concatenate([silent, ring(8, 8, 1.0)])
    return {
        "attack": ring(8, 9, 1.5),
        "decay": np.log(DECAY_TIMES / DECAY_CENTRE)[:, None] / DECAY_SCALE,
        "length": np.log(LENGTHS / LENGTH_CENTRE)[:, None] / LENGTH_SCALE,
        "resonator": resonator_places()[list(_PLACES)] / np.sqrt(2),
        **{f"partial{m}": partial for m in range(2, PARTIALS + 1)},
        "deform": np.concatenate([silent, ring(7, 7, 1.2)]),
        "noise": np.concatenate([np.zeros((1, 3)), noise_places()]),
        "room": np.concatenate([silent, ring(7, 7, 1.2)]),
    }


ATTENUATIONS = (
    (21, 19, 17, 20, 18, 19, 20),
    (13, 3, 17, 19, 16, 16, 13),
    (12, 19, 13, 14, 20, 21, 26),
    (0, 1, 5, 9, 9, 10, 10),
    (5, 15, 12, 10, 9, 9, 8),
    (17, 26, 28, 29, 33, 32, 36),
    (11, 8, 11, 8, 13, 16, 16),
    (6, 11, 5, 13, 10, 10, 16),
    (20, 23, 22, 21, 23, 26, 24),
    (12, 12, 19, 16, 17, 14, 10),
    (10, 14, 17, 20, 22, 24, 26),
    (5, 7, 9, 11, 13, 15, 17),
    (13, 16, 15, 22, 14, 23, 14),
    (18, 15, 25, 18, 21, 29, 25),
    (13, 24, 26, 26, 30, 33, 24),
    (6, 14, 20, 23, 23, 24, 27),
    (18, 10, 9, 9, 7, 11, 11),
    (7, 5, 3, 5, 3, 7, 5),
    (16, 9, 16, 12, 18, 15, 21),
    (28, 21, 21, 28, 28, 26, 23),
    (11, 21, 20, 23, 22, 23, 17),
    (23, 30, 25, 23, 25, 33, 32),
    (15, 13, 13, 22, 18, 19, 19),
    (15, 22, 24, 11, 20, 23, 22),
    (8, 12, 15, 18, 21, 23, 25),
    (8, 18, 19, 13, 15, 17, 16),
    (4, 10, 14, 15, 17, 20, 19),
    (10, 15, 8, 19, 17, 20, 12),
    (-3, -3, -2, 1, 1, 3, 4),
    (16, 18, 20, 20, 23, 20, 29),
    (1, 9, 14, 17, 18, 17, 17),
    (6, 8, 10, 12, 13, 14, 15),
)
"""Of partials 2 to 8, in dB below the first: centres of clusters of the partials of music (`fit_resonators`), but for
those that are not harmonic."""

_PLACES = (
    17, 26, 6, 18, 20, 28, 21, 8, 3, 15, 12, 22, 11, 9, 1, 0,
    16, 23, 13, 4, 31, 5, 27, 14, 25, 10, 7, 19, 24, 2, 29, 30,
)  # fmt: skip
"""Points of `resonator_places` by resonator: similar ones are neighbours, as far as four dimensions allow."""

_STIFFNESS = 4e-4
_INHARMONIC = {
    10: (1, 2.756, 5.404, 8.933, 13.34, 18.64, 24.81, 31.87),  # a bar free at both ends
    11: (1, 1.594, 2.136, 2.296, 2.653, 2.918, 3.156, 3.501),  # a circular membrane
    24: tuple(m * (1 + _STIFFNESS * m * m) ** 0.5 / (1 + _STIFFNESS) ** 0.5 for m in range(1, 9)),  # a stiff string
    31: (1, 2, 2.4, 3, 4, 5, 5.33, 6),  # a church bell above its hum
}
"""Frequency ratios of the resonators that are not harmonic."""


def resonators() -> dict[str, Table]:
    """Ratios, gains and decay factors of the initial set of resonators, each [32, 8], as natural logarithms."""
    m = np.arange(1, PARTIALS + 1)
    ratios = np.array([_INHARMONIC.get(row, tuple(m)) for row in range(len(_PLACES))], np.float64)
    gains = np.pad(np.array(ATTENUATIONS) * (-np.log(10) / 20), ((0, 0), (1, 0)))
    factors = np.broadcast_to(1 + 0.25 * (m - 1), ratios.shape)
    return {"ratios": np.log(ratios), "gains": gains, "decays": np.log(factors)}


def deformations() -> tuple[Table, Table]:
    """Time constants in seconds [7] and the gains of each partial in the second state [7, 8]."""
    rank = np.arange(PARTIALS)
    flat = np.ones(PARTIALS)
    gains = [0.6**rank, 0.6**rank, 1 + 0.5 * rank, 0.3 * flat, 0.3 * flat, 2.0 * flat, 0.1 * flat]
    return np.array([0.03, 0.15, 0.1, 0.04, 0.2, 0.15, 0.08]), np.array(gains)


def rooms() -> tuple[Table, Table]:
    """Echoes of the initial rooms, from small to large: delays in seconds and gains, each [7, ECHOES]."""
    random = np.random.default_rng(1)
    size = np.geomspace(0.03, 0.8, 7)[:, None]
    delays = np.sort(size * random.uniform(0.03, 1, (7, ECHOES)), axis=-1)
    gains = np.exp(-3 * delays / size) * random.choice([-1.0, 1.0], (7, ECHOES))
    return delays, gains / np.linalg.norm(gains, axis=-1, keepdims=True)
