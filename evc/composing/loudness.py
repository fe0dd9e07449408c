"""Loudness as ITU-R BS.1770 measures it, in LUFS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats

SILENT = -70.0  # LUFS: below, nothing is counted
_OFFSET = -0.691
_GATE = 10.0  # below the mean of what is counted at first, parts are not counted
# The two filters of BS.1770-4, at 48 kHz: a shelf for the head, and a high-pass.
_RATE = 48_000
_FILTERS = (
    ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
_BLOCK = 0.4  # s: what is shorter cannot be measured


def lufs(audio: NDArray[np.floating], samplerate: int) -> float:
    """The integrated loudness of audio [frames, channels]; -inf for silence, and for what is shorter than 0.4 s."""
    import pyloudnorm

    if len(audio) < _BLOCK * samplerate or not np.any(audio):
        return -np.inf
    with np.errstate(divide="ignore"):
        return float(pyloudnorm.Meter(samplerate).integrated_loudness(np.asarray(audio, np.float64)))


def weights(hertz: Floats) -> Floats:
    """What the power of each frequency [n] counts for loudness: the squared response of both filters."""
    turn = np.exp(-2j * np.pi * np.asarray(hertz, np.float64) / _RATE)
    powers = [np.abs(np.polyval(above[::-1], turn) / np.polyval(below[::-1], turn)) ** 2 for above, below in _FILTERS]
    return np.asarray(np.prod(powers, axis=0))


def lufs_of_powers(powers: Floats, seconds: Floats) -> float:
    """The loudness of a sound whose weighted power, summed over its channels, is powers [n], each for so many `seconds`
    [n]: gated as the standard says; -inf for silence."""

    def mean(of: NDArray[np.bool_]) -> float:
        return float((powers[of] * seconds[of]).sum() / seconds[of].sum()) if of.any() else 0.0

    heard = powers > 10 ** ((SILENT - _OFFSET) / 10)
    power = mean(heard & (powers > mean(heard) * 10 ** (-_GATE / 10)))
    return _OFFSET + 10 * float(np.log10(power)) if power else -np.inf
