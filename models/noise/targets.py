"""What the noise of a segment should be like: amplitudes in bands of what the other layers leave over."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.noise import noise_hop
from evc.format.streams.noise_changes import LEVEL
from evc.models.arrays import Floats, Signal
from evc.models.noise.colour import band_begins
from evc.models.noise.spectra import Spectra, spectra

LEVEL_STRIDE = 3
BALANCE_STRIDE = 6
ANGLE_STRIDE = 12
COLOUR_STRIDE = 8
COLOUR_GRID = 64  # hops over which colours are averaged
NARROW = 4  # bins: the amplitudes of narrower bands are smoothed
QUIET = 10 ** (-96 / 20)  # what is below is not worth a thing
HEADROOM_DB = 6  # below the mean power of its band, a bin has colour 0


@dataclass(frozen=True)
class NoiseTargets:
    """levels     amplitude float64 [channels, hops, bands], of white noise of such density, full scale 1
    known      the same of what other layers render
    balances   the same in the bands of balances
    angles     of the correlation of two channels, in half turns [hops, bands]
    powers     of both channels there, their geometric mean
    colours    dB [rows, bands] above HEADROOM_DB below the mean of the band of levels
    """

    levels: Floats
    known: Floats
    balances: Floats
    angles: Floats
    powers: Floats
    colours: Floats


def targets(original: NDArray[np.floating], rendered: NDArray[np.floating], samplerate: int) -> NoiseTargets:
    """The targets of a span of whole hops: both signals [channels, frames] have `margin(samplerate)` frames more on
    either side, and full scale 1."""
    hop, edge = noise_hop(samplerate), margin(samplerate)
    cut = slice(edge - hop // 2, original.shape[-1] - edge + hop // 2)
    whole, known = spectra(original[:, cut], hop), spectra(rendered[:, cut], hop)
    amplitude = _missing(whole, known) / np.sqrt(hop)
    levels = _bands(amplitude, samplerate, LEVEL_STRIDE)
    others = _bands(np.abs(known) / np.sqrt(hop), samplerate, LEVEL_STRIDE)
    nothing = np.zeros((0, 0))
    balances = angles = powers = nothing
    if len(original) == 2:
        rest = whole - known
        cross = (rest[0] * rest[1].conj()).real / hop
        means = _bands(np.stack([cross, *(np.square(np.abs(rest)) / hop)]), samplerate, ANGLE_STRIDE)
        powers = np.sqrt(means[1] * means[2])
        angles = np.arccos(np.clip(means[0] / np.maximum(powers, 1e-30), -1, 1)) / np.pi
        balances = _bands(amplitude, samplerate, BALANCE_STRIDE)
    return NoiseTargets(levels, others, balances, angles, powers, _colours(original, rendered, samplerate))


def margin(samplerate: int) -> int:
    """Frames needed on either side."""
    return c.superframe_length(samplerate) // 4


def _missing(whole: Spectra, known: Spectra) -> Signal:
    """Amplitudes of bins that make the sum with what is known as strong as the whole, and that are no more than what is
    left over."""
    missing = np.maximum(_power(whole) - _power(known), 0)
    amplitude: Signal = np.sqrt(np.minimum(missing, _power(whole - known)))
    return amplitude


def _power(values: Spectra) -> NDArray[np.float32]:
    power: NDArray[np.float32] = np.square(values.real) + np.square(values.imag)
    return power


def _colours(original: NDArray[np.floating], rendered: NDArray[np.floating], samplerate: int) -> Floats:
    step = c.superframe_length(samplerate) // 2
    blocks = -(-(original.shape[-1] - step) // step)
    missing = (blocks + 1) * step - original.shape[-1]
    original, rendered = (np.pad(signal, ((0, 0), (0, missing))) for signal in (original, rendered))
    amplitude = _missing(spectra(original, step), spectra(rendered, step))
    amplitude = np.sqrt(np.square(amplitude).mean(axis=0))
    rows = COLOUR_GRID * noise_hop(samplerate) // step
    at = np.arange(0, blocks, rows)
    means = np.add.reduceat(amplitude, at, axis=0) / np.diff(at, append=blocks)[:, None]
    begins = band_begins(samplerate, LEVEL_STRIDE)
    widths = np.diff(begins, append=means.shape[1])
    power = np.repeat(np.add.reduceat(means**2, begins, axis=1) / widths, widths, axis=1)
    rise = 10 * np.log10((means**2 + 1e-20) / (power + 1e-20)) + HEADROOM_DB
    return np.maximum(rise[:, : c.NOISE_COLOURS * COLOUR_STRIDE], 0).astype(np.float64)


def _bands(bins: Signal, samplerate: int, stride: int) -> Floats:
    """Means over bands [..., hops, bands] of values of bins; smoothed over time where bands are narrow."""
    share, narrow = _shares(samplerate, stride)
    means: Floats = bins.astype(np.float64) @ share.T
    padded = np.concatenate([means[..., :1, :], means, means[..., -1:, :]], axis=-2)
    smooth = (padded[..., :-2, :] + 2 * means + padded[..., 2:, :]) / 4
    return np.where(narrow, smooth, means)


@lru_cache(maxsize=8)
def _shares(samplerate: int, stride: int) -> tuple[Floats, NDArray[np.bool_]]:
    """What each bin counts for in the mean of each band [bands, bins], and which bands are narrow."""
    hop = noise_hop(samplerate)
    edges = LEVEL.edges(samplerate, stride) / (samplerate / 2) * hop
    share = np.zeros((len(edges) - 1, hop + 1))
    for one, low, high in zip(share, edges[:-1], edges[1:], strict=True):
        one[int(np.ceil(low)) : int(high) + 1] = 1
        one[[int(np.ceil(low)), int(high)]] /= 2  # a bin at the edge belongs to both bands
    return share / share.sum(axis=1, keepdims=True), np.diff(edges) < NARROW
