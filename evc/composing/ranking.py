"""Sounds in an order, and a few of them that differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evc.composing.loudness import weights
from evc.format.errors import InputError
from evc.models.arrays import Floats

STRONG_DB = 15.0  # below the loudest, a partial is still strong
_LEAST = 1e-20
_ROUGHEST, _SLOPE, _BASE = 3.51, 5.75, 0.24  # of Plomp and Levelt's curve, as Sethares fits it (1993)
_BAND_PER_HERTZ, _LEAST_BAND = 0.0207, 18.96
_HEARD_HZ = 20.0

Score = Callable[[Floats, Floats, Floats], Floats]


def pitch(vectors: Floats, powers: Floats, hertz: Floats) -> Floats:
    """The lowest strong partial, in octaves above 1 Hz: the lowest peak that is not far below the highest."""
    levels = 10 * np.log10(np.maximum(powers, _LEAST))
    beside = np.pad(levels, ((0, 0), (1, 1)), constant_values=-np.inf)
    strong = (levels >= beside[:, :-2]) & (levels > beside[:, 2:])
    strong &= (levels >= levels.max(axis=1, keepdims=True) - STRONG_DB) & (hertz >= _HEARD_HZ)
    lowest = np.where(strong.any(axis=1), strong.argmax(axis=1), levels.argmax(axis=1))
    return np.asarray(np.log2(hertz[lowest]))


def brightness(vectors: Floats, powers: Floats, hertz: Floats) -> Floats:
    """The spectral centroid, in octaves above 1 Hz."""
    return np.asarray(powers @ np.log2(hertz) / np.maximum(powers.sum(axis=1), _LEAST))


def volume(vectors: Floats, powers: Floats, hertz: Floats) -> Floats:
    """In dB, as ears hear it: of sounds of one power, those are louder that have it where ears hear best."""
    return np.asarray(10 * np.log10(np.maximum(powers @ weights(hertz), _LEAST)))


def weirdness(vectors: Floats, powers: Floats, hertz: Floats) -> Floats:
    """How far from the middle of the space."""
    return np.asarray(np.linalg.norm(vectors, axis=1))


def roughness(vectors: Floats, powers: Floats, hertz: Floats) -> Floats:
    """How much partials beat with each other, by Plomp and Levelt's curve, from 0 to 1."""
    low, apart = np.minimum.outer(hertz, hertz), np.abs(np.subtract.outer(hertz, hertz))
    widths = _BASE * apart / (_BAND_PER_HERTZ * low + _LEAST_BAND)
    curve = np.exp(-_ROUGHEST * widths) - np.exp(-_SLOPE * widths)
    amplitudes = np.sqrt(powers)
    return np.asarray(((amplitudes @ curve) * amplitudes).sum(axis=1) / np.maximum(amplitudes.sum(axis=1), _LEAST) ** 2)


RANKINGS: dict[str, Score] = {
    "pitch": pitch, "brightness": brightness, "volume": volume, "weirdness": weirdness, "roughness": roughness,
}  # fmt: skip


def ranked(name: str, vectors: Floats, powers: Floats, hertz: Floats) -> NDArray[np.int64]:
    """Rows [n] in ascending order by a score of RANKINGS. Of each sound: vectors [n, dims], and its spectrum, powers
    [n, bins] at frequencies `hertz` [bins]. Raises InputError for a name that is not known."""
    if name not in RANKINGS:
        raise InputError(f"there is no order by {name}: there are {', '.join(RANKINGS)}")
    return np.argsort(RANKINGS[name](vectors, powers, hertz), kind="stable")


def differing(order: NDArray[np.int64], places: Floats, count: int) -> list[int]:
    """`count` rows of an `order` [n], one out of each of as many parts of it: of the first the one in its middle, of
    the others the one that is farthest from all taken so far, by `places` [rows, dims]. Raises InputError where there
    are fewer."""
    if len(order) < count:
        raise InputError(f"{len(order)} sounds are not enough for a song of {count}")
    parts = np.array_split(order, count)
    taken = [int(parts[0][len(parts[0]) // 2])]
    for part in parts[1:]:
        apart = np.linalg.norm(places[part][:, None] - places[taken][None], axis=2).min(axis=1)
        taken.append(int(part[apart.argmax()]))
    return taken
