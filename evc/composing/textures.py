"""Wind, rain, waves and thunder: slow random levels of noise, which the noise layer of a file holds as they are.

A texture is a list of moments, and at each the level of every band; between them levels move in straight lines. They
are drawings of what such sounds do over time, not recordings: noise has no drops and no birds in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from evc.composing.loudness import lufs_of_powers, weights
from evc.format.errors import InputError
from evc.format.streams.noise_changes import LEVEL
from evc.models.arrays import Floats

SAMPLERATE = 44_100
STRIDE = 3  # fine bands of the spectrum in a band of levels
QUIET_DB = -108.0
_GRID = 0.2  # s, on which loudness is measured


@dataclass(frozen=True)
class Texture:
    """times   float64 [n], ascending, in seconds, from the beginning of the song to its end
    levels  float64 [n, bands]: dB of white noise as dense as the noise of each band, in each of two channels
    """

    times: Floats
    levels: Floats

    def at(self, times: Floats) -> Floats:
        """Levels [times, bands] on the lines."""
        return np.stack([np.interp(times, self.times, band) for band in self.levels.T], axis=1)

    def lufs(self) -> float:
        """Its loudness."""
        end = self.times[-1]
        moments = np.linspace(0, end, int(end / _GRID) + 2)
        powers = 2 * 10 ** (self.at(moments) / 10) @ _band_weights()  # of two channels
        return lufs_of_powers(powers, np.full(len(moments), _GRID))

    def at_loudness(self, lufs: float) -> Texture:
        """The same, as loud as this."""
        return replace(self, levels=self.levels + (lufs - self.lufs()))


@lru_cache(maxsize=1)
def middles() -> Floats:
    """Of the bands, in Hz [bands]."""
    edges = LEVEL.edges(SAMPLERATE, STRIDE)
    return np.asarray((edges[1:] + edges[:-1]) / 2)


@lru_cache(maxsize=1)
def _band_weights() -> Floats:
    """What the power of white noise counts in each band [bands], as levels are spread over frequencies: linearly
    between the middles of bands."""
    hertz = np.linspace(0, SAMPLERATE / 2, 2048)
    spread = np.stack([np.interp(hertz, middles(), one) for one in np.eye(len(middles()))])
    return np.asarray(spread @ weights(hertz) / len(hertz))


def _octaves(hertz: float | Floats) -> Floats:
    """Of each band above a frequency, or above one for each moment: [n, bands]."""
    return np.log2(middles()[None] / np.atleast_1d(hertz)[:, None])


def _moments(random: np.random.Generator, seconds: float, apart: tuple[float, float]) -> Floats:
    """From 0 to the end, so many seconds apart."""
    steps = random.uniform(*apart, int(seconds / apart[0]) + 2)
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return np.append(times[times < seconds], seconds)


def _wandering(random: np.random.Generator, count: int, pull: float = 0.35) -> Floats:
    """A slow random course [count] around 0, of deviation 1: each value remembers the one before."""
    course, drawn = np.empty(count), random.standard_normal(count)
    course[0] = drawn[0]
    for number in range(1, count):
        course[number] = (1 - pull) * course[number - 1] + np.sqrt(1 - (1 - pull) ** 2) * drawn[number]
    return course


def wind(random: np.random.Generator, seconds: float) -> Texture:
    """Gusts: louder and higher together, about a hump that moves."""
    times = _moments(random, seconds, (1.5, 4.0))
    gusts = _wandering(random, len(times))
    above = _octaves(220 * 2 ** (0.5 * gusts + 0.25 * _wandering(random, len(times), 0.15)))
    return Texture(times, 5.0 * gusts[:, None] - np.where(above > 0, 6.5, 4.0) * np.abs(above))


def rain(random: np.random.Generator, seconds: float) -> Texture:
    """A broad hiss that comes nearer and goes, brighter as it is denser."""
    times = _moments(random, seconds, (4.0, 9.0))
    density = _wandering(random, len(times), 0.25)
    above = _octaves(3000 * 2 ** (0.3 * density))
    patter = 0.8 * random.standard_normal((len(times), len(middles())))
    return Texture(times, 2.5 * density[:, None] - np.where(above > 0, 3.0, 2.0) * np.abs(above) + patter)


def waves(random: np.random.Generator, seconds: float) -> Texture:
    """Swells, each with its height: a rumble that grows, breaks brightly and draws back with a hiss."""
    times: list[float] = []
    rows: list[Floats] = []
    start = -random.uniform(0, 8)
    while start < seconds + 14:  # until none is missing at the end
        period, height = random.uniform(8, 14), random.normal(0, 2)
        for share, level, slope in ((0.0, -20, 5), (0.2, -12, 6), (0.36, 0, 3.5), (0.5, -5, 2.5), (0.75, -14, 3.5)):
            times.append(start + share * period)
            above = _octaves(300)[0]
            rows.append(height + level - np.where(above > 0, slope, 2.0) * np.abs(above))
        start += period
    return _within(np.array(times), np.stack(rows), seconds)


def thunder(random: np.random.Generator, seconds: float) -> Texture:
    """Far away: low rolls that swell again as they die."""
    times, rows = [0.0], [np.full(len(middles()), QUIET_DB)]
    start = random.uniform(2, 12)
    while start < seconds:
        length, distance = random.uniform(6, 12), random.uniform(7, 11)
        roll = -distance * np.maximum(_octaves(110)[0], 0) + random.normal(0, 3)
        course = [(0.0, -50.0), (0.05, -4.0), (0.12, 0.0)]
        course += [(share, -28 * share + random.normal(0, 3)) for share in (0.25, 0.4, 0.55, 0.7)] + [(1.0, -50.0)]
        times += [start + share * length for share, _ in course]
        rows += [np.maximum(roll + level, QUIET_DB) for _, level in course]
        start += length + random.uniform(8, 30)
    times.append(max(seconds, times[-1] + 1))
    rows.append(rows[-1])
    return _within(np.array(times), np.stack(rows), seconds)


def _within(times: Floats, levels: Floats, seconds: float) -> Texture:
    """From 0 to the end, of moments that reach beyond both."""
    inside = times[(times > 0) & (times < seconds)]
    whole = np.concatenate([[0.0], inside, [seconds]])
    return Texture(whole, Texture(times, levels).at(whole))


TEXTURES: dict[str, Callable[[np.random.Generator, float], Texture]] = {
    "wind": wind, "rain": rain, "waves": waves, "thunder": thunder,
}  # fmt: skip


def texture(name: str, random: np.random.Generator, seconds: float) -> Texture:
    """One of TEXTURES. Raises InputError for a name that is not among them."""
    if name not in TEXTURES:
        raise InputError(f"there is no effect {name}: there are {', '.join(TEXTURES)}, and folders of recordings")
    return TEXTURES[name](random, seconds)
