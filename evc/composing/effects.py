"""What lies under a song: textures or recordings that give way to each other slowly, as noise streams of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.composing.textures import QUIET_DB, STRIDE, Texture, texture
from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.noise import NoisePlane, NoiseStream, noise_hop
from evc.format.streams.noise_changes import plane_kinds
from evc.models.arrays import Floats

LOUDNESS = -30.0  # LUFS
STEP = 12  # of levels: 3 dB
ANGLE = 3  # of 8 in half a turn: how far apart the noises of both channels are
_CLOSEST = 0.35  # s: moments nearer to each other are one
_FADE_GRID = 2.0  # s between moments of a fade
_HOLD, _CHANGE = (25.0, 45.0), 14.0  # s for which an effect is alone, and in which it gives way to the next


@dataclass(frozen=True)
class Turn:
    """An effect's time: it comes from `start` to `full`, and goes from `fade` to `end`, in seconds."""

    effect: int
    start: float
    full: float
    fade: float
    end: float

    def share(self, times: Floats) -> Floats:
        """Of power, at each moment [n]."""
        return np.interp(times, [self.start, self.full, self.fade, self.end], [0.0, 1.0, 1.0, 0.0])


def turns(random: np.random.Generator, places: Floats, seconds: float) -> list[Turn]:
    """Which effect sounds when. `places` [effects, dims] tell which are alike: one drawn at random is the first, each
    gives way to the most similar one that was not heard yet, and after the last all may come again."""
    count, found, at = len(places), list[Turn](), 0.0
    current = int(random.integers(count))
    left = set(range(count)) - {current}
    start, full = -1.0, 0.0
    while True:
        fade = at + (seconds if count == 1 else random.uniform(*_HOLD))
        if fade + _CHANGE >= seconds:
            return [*found, Turn(current, start, full, seconds, seconds + 1)]
        found.append(Turn(current, start, full, fade, fade + _CHANGE))
        start, full = fade, fade + _CHANGE
        at = full
        left = left or set(range(count)) - {current}
        before = places[current]
        current = min(sorted(left), key=lambda other: float(np.linalg.norm(places[other] - before)))
        left.discard(current)


def texture_bed(names: Sequence[str], random: np.random.Generator, seconds: float) -> Texture:
    """Our own textures one after the other, each as loud as LOUDNESS. Raises InputError for unknown names."""
    made = [texture(name, random, seconds).at_loudness(LOUDNESS) for name in names]
    places = np.stack([one.levels.mean(axis=0) for one in made])
    order = turns(random, places, seconds)
    corners = [np.array([0.0, seconds])]
    for turn in order:
        own = made[turn.effect].times
        corners.append(own[(own > turn.start) & (own < turn.end)])
        half = (turn.start + turn.full) / 2  # there both are half as strong
        corners.append(np.array([turn.start, half, turn.full]))
    times = _thinned(np.unique(np.clip(np.concatenate(corners), 0, seconds)))
    power = np.full((len(times), made[0].levels.shape[1]), 10 ** (QUIET_DB / 10))
    for turn in order:
        power += turn.share(times)[:, None] * 10 ** (made[turn.effect].at(times) / 10)
    return Texture(times, 10 * np.log10(power))


def faded(bed: Texture, envelope: Callable[[Floats], Floats]) -> Texture:
    """Under an envelope, which gives gains [n] at moments [n]: where it moves, moments come in between."""
    end = bed.times[-1]
    fine = np.linspace(0, end, int(end / _FADE_GRID) + 2)
    gains = envelope(fine)
    moving = np.abs(np.diff(gains)) > 0
    times = _thinned(np.unique(np.concatenate([bed.times, fine[:-1][moving], fine[1:][moving]])))
    levels = bed.at(times) + 20 * np.log10(np.maximum(envelope(times), 1e-6))[:, None]
    return Texture(times, np.maximum(levels, QUIET_DB))


def noise_streams(bed: Texture, header: Header) -> dict[int, NoiseStream]:
    """The streams of a file of two channels that has this noise, by segment; silent ones are left out."""
    hop = noise_hop(header.samplerate)
    unit = STEP / c.NOISE_UNITS_PER_DB
    found = {}
    for index in range(header.segments):
        start, frames = header.segment_span(index)
        hops = -(-frames // hop)
        inside = np.rint(bed.times * header.samplerate / hop).astype(np.int64) - start // hop
        corners = np.unique(np.concatenate([[0], inside[(inside > 0) & (inside < hops)], [hops]]))
        decibels = bed.at((corners * hop + start) / header.samplerate) - c.NOISE_FLOOR_DB
        levels = np.clip(np.rint(decibels / unit), 0, c.MAX_NOISE_LEVEL).astype(np.int64)
        if levels.any():
            found[index] = _stream(np.diff(corners), levels, header)
    return found


def _stream(lengths: NDArray[np.int64], levels: NDArray[np.int64], header: Header) -> NoiseStream:
    """Levels [stretches + 1, bands] over stretches, of one balance and one width, without finer colour."""
    level, balance, angle, colour = plane_kinds(header.channels)
    planes = [NoisePlane(lengths, levels[:-1], levels[1:], STRIDE)]
    for kind, value in ((balance, 0), (angle, ANGLE)):
        flat = np.full((1, kind.bands(header.samplerate, 0)), value, np.int64)
        planes.append(NoisePlane(lengths.sum(keepdims=True), flat, flat, 0))
    nothing = np.zeros((0, colour.bands(header.samplerate, 0)), np.int64)
    planes.append(NoisePlane(np.zeros(0, np.int64), nothing, nothing, 0))
    return NoiseStream(planes, STEP)


def _thinned(times: Floats) -> Floats:
    """Without those that follow another too closely; the first and the last stay."""
    kept = [times[0]]
    for time in times[1:-1]:
        if time - kept[-1] >= _CLOSEST and times[-1] - time >= _CLOSEST:
            kept.append(time)
    return np.array([*kept, times[-1]])
