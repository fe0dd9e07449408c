"""From samples to the levels of noise: of what a segment holds beyond what the other layers render."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.noise import NoiseStream, noise_hop
from evc.format.streams.noise_changes import ANGLE, BALANCE, COLOUR, LEVEL
from evc.models.arrays import Floats
from evc.models.noise.fit import Target, fit
from evc.models.noise.targets import (
    ANGLE_STRIDE,
    BALANCE_STRIDE,
    COLOUR_GRID,
    COLOUR_STRIDE,
    LEVEL_STRIDE,
    QUIET,
    NoiseTargets,
    margin,
    targets,
)

DETAIL = 60.0  # squared error in dB, of a band over a hop, that a bit must save
ANGLE_DB = 1.5  # an error of a step of the angle counts as that of so many dB
COLOUR_DB = 0.75  # the same of a step of colour
UNHEARD = 10 ** (-12 / 20)  # noise so much below what is known in a band is not missed, nor is it heard
LEAST_SHARE = 0.1  # of the error of a level that hardly matters
BALANCE_GRID = 16
BALANCE_WEIGHT = 0.5
SLIGHT = 1e-3  # weight of what is too quiet to matter


class NoiseEncoder:
    """Finds the noise streams of a file, segment by segment."""

    def __init__(
        self, samplerate: int, channels: int, detail: float = DETAIL, step: int = c.DEFAULT_NOISE_STEP
    ) -> None:
        self.margin = margin(samplerate)
        self._hop = noise_hop(samplerate)
        self._samplerate, self._channels = samplerate, channels
        self._detail, self._step = detail, step

    def encode(self, original: NDArray[np.floating], rendered: NDArray[np.floating]) -> NoiseStream | None:
        """The noise of a segment; None where there is none.

        original: the source's samples of the segment, with `margin` frames on either side (zeros outside the file);
        rendered: the same span as the other layers render it. Both [channels, frames + 2 * margin], full scale 1.
        """
        return self.fit(self.prepare(original, rendered), self._detail)

    def prepare(self, original: NDArray[np.floating], rendered: NDArray[np.floating]) -> NoiseTargets:
        """What the noise should be like; the arguments are those of `encode`."""
        missing = -(original.shape[-1] - 2 * self.margin) % self._hop  # whole hops
        original, rendered = (np.pad(signal, ((0, 0), (0, missing))) for signal in (original, rendered))
        return targets(original, rendered, self._samplerate)

    def fit(self, wanted: NoiseTargets, detail: float) -> NoiseStream | None:
        """The noise stream for some targets and `detail`, in squared dB per bit: the larger, the fewer bits."""
        if wanted.levels.max(initial=0) < QUIET:
            return None
        unit = self._step / c.NOISE_UNITS_PER_DB
        planes = self._levels(wanted, unit) + [self._colours(wanted, unit)]
        return NoiseStream([fit(plane, detail / unit**2) for plane in planes], self._step)

    def _levels(self, wanted: NoiseTargets, unit: float) -> list[Target]:
        """Levels, balances and angles; `unit`: dB in a step."""
        if self._channels != 2:
            return [_level(one, known, unit) for one, known in zip(wanted.levels, wanted.known, strict=True)]
        left, right = np.maximum(_rows(wanted.balances, BALANCE_GRID), QUIET)
        balance = 20 * np.log10(left / right) / unit
        heard = np.where(np.maximum(left, right) > QUIET, BALANCE_WEIGHT * BALANCE_GRID, SLIGHT)
        hops = wanted.levels.shape[1]
        angle = wanted.angles * c.NOISE_ANGLES
        weights = np.where(wanted.powers > QUIET**2, (ANGLE_DB / unit) ** 2, SLIGHT)
        return [
            _level(_together(wanted.levels), _together(wanted.known), unit),
            Target(BALANCE, BALANCE_STRIDE, balance, heard, hops, BALANCE_GRID),
            Target(ANGLE, ANGLE_STRIDE, angle, weights, len(angle)),
        ]

    def _colours(self, wanted: NoiseTargets, unit: float) -> Target:
        values = np.minimum(wanted.colours / c.NOISE_COLOUR_DB, c.MAX_NOISE_COLOUR)
        weights = np.full(values.shape, (COLOUR_DB / unit) ** 2 * COLOUR_GRID)
        return Target(COLOUR, COLOUR_STRIDE, values, weights, wanted.levels.shape[1], COLOUR_GRID)


def _together(amplitudes: Floats) -> Floats:
    """Root of the mean power of all channels."""
    amplitude: Floats = np.sqrt(np.square(amplitudes).mean(axis=0))
    return amplitude


def _rows(values: Floats, grid: int) -> Floats:
    """Means of every `grid` hops: [..., hops, bands] to [..., rows, bands]."""
    at = np.arange(0, values.shape[-2], grid)
    counts = np.diff(at, append=values.shape[-2])[:, None]
    means: Floats = np.add.reduceat(values, at, axis=-2) / counts
    return means


def _level(amplitudes: Floats, known: Floats, unit: float) -> Target:
    """Levels of noise beside what is `known`: an error counts as much as it changes the sum, about."""
    amplitudes = np.maximum(amplitudes, UNHEARD * known)
    decibels = 20 * np.log10(np.maximum(amplitudes, QUIET)) - c.NOISE_FLOOR_DB
    values = np.where(amplitudes > QUIET, decibels, 0) / unit
    share = np.square(amplitudes) / np.maximum(np.square(amplitudes) + np.square(known), QUIET**2)
    weights = np.where(amplitudes > QUIET, np.maximum(share**2, LEAST_SHARE), 1)
    return Target(LEVEL, LEVEL_STRIDE, values, weights, len(values))
