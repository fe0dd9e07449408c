"""The probability model of latents before it is trained, and what training starts its tables from (spec 8.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.latent_model import DIFFERENCE_ROWS, DIFFERENCES, MAGNITUDE_ROWS, MAGNITUDES, NOW, PREFIX
from evc.models.training.integer_layers import Arrays

UNIT_SCALE = 23  # of latents whose magnitudes are 1 on average
WIDE = 4.0  # every distribution has a share of another one that is so much wider; by shape:
WIDE_SHARES = tuple(1 / (1 + np.exp(3 - 2 * (shape - 1))) for shape in range(c.LATENT_SHAPES))
_PASSES = 2


def laplace_parameter(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """The parameter of the Laplace distribution whose rounded values have the mean magnitude of a scale."""
    mean = 2 ** ((scale - UNIT_SCALE) / c.LATENT_RESOLUTION)
    parameter: NDArray[np.float64] = 0.5 / np.arcsinh(0.5 / mean)  # mean = 1 / (2 sinh(1 / (2 parameter)))
    return parameter


def prior_magnitudes() -> NDArray[np.float64]:
    """Probabilities [rows, symbols] of the magnitudes of rounded Laplace distributions, by shape and scale."""
    parameter = laplace_parameter(np.arange(c.LATENT_SCALES, dtype=np.float64))[:, None]
    found = np.stack(
        [(1 - share) * _magnitudes(parameter) + share * _magnitudes(WIDE * parameter) for share in WIDE_SHARES]
    )
    return found.reshape(MAGNITUDE_ROWS, MAGNITUDES)


def _magnitudes(parameter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares [scales, symbols] of a distribution that are rounded to each magnitude; the last has all beyond."""
    beyond = np.exp(-(np.arange(MAGNITUDES) - 0.5) / parameter)  # a magnitude of at least this one
    beyond[:, 0] = 1
    found: NDArray[np.float64] = beyond - np.pad(beyond[:, 1:], ((0, 0), (0, 1)))
    return found


def prior_differences() -> NDArray[np.float64]:
    """Probabilities [rows, symbols] of differences from a centre, of the middle shape, by scale and quarter."""
    scale, quarter = np.divmod(np.arange(DIFFERENCE_ROWS), c.LATENT_QUARTERS)
    parameter = laplace_parameter(scale.astype(np.float64))[:, None]
    difference = np.arange(DIFFERENCES) - c.LATENT_ESCAPE - quarter[:, None] / c.LATENT_QUARTERS
    share = WIDE_SHARES[1]
    return (1 - share) * _between(difference, parameter) + share * _between(difference, WIDE * parameter)


def _between(difference: NDArray[np.float64], parameter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The shares [rows, symbols] of a distribution that are rounded to each difference; the ends have all beyond."""

    def below(x: NDArray[np.float64]) -> NDArray[np.float64]:
        tail = 0.5 * np.exp(-np.abs(x) / parameter)
        return np.where(x < 0, tail, 1 - tail)

    lower, upper = below(difference - 0.5), below(difference + 0.5)
    lower[:, 0], upper[:, -1] = 0, 1
    return upper - lower


def untrained_entropy(dimensions: int) -> Arrays:
    """Tables `entropy.*` for any network of so many latents: scales follow from a dimension's own past, and nothing is
    predicted."""
    own = np.arange(NOW) * dimensions + np.arange(dimensions)[:, None]
    # Hidden: twice the weighted level x of the past, and twice what it lacks to 12, the level of 1. The scale is
    # 23 + x / 4 - (14 / 12) * lack.
    arrays = {
        "order": np.arange(dimensions) % _PASSES,
        "look": own,
        "w0": np.array([[2, 1, 3, 2], [-2, -1, -3, -2]]),
        "b0": np.tile([0, 24 * 4], (dimensions, 1)),
        "w1": np.array([[32, -150], [0, 0]]),
        "b1": np.array([23 * 256 + 128, 256]),
        "shifts": np.array([2, 8]),
        "centre.w": np.zeros((0, 0)),
        "centre.b": np.zeros(0),
        "centre.shift": np.zeros(1),
        "magnitudes": weights_of(prior_magnitudes()),
        "differences": weights_of(prior_differences()),
    }
    return stored(arrays)


def weights_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """As the weights of a frequency table that fit into 16 bits."""
    return np.maximum(np.rint(probabilities * 32_000), 1)


def stored(arrays: Arrays) -> Arrays:
    """Arrays under the names, and in the types, that a file of weights has them in: int16 where that is enough."""
    found = {}
    for name, array in arrays.items():
        small = np.abs(array).max(initial=0) < 1 << 15
        found[PREFIX + name] = np.ascontiguousarray(array, np.int16 if small else np.int32)
    return found
