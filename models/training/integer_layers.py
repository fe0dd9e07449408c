"""From trained float networks to the integer networks and frequency tables of probability models (spec 9.8)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.integer_network import EXACT, MOST_WEIGHT

Array = NDArray[Any]
Arrays = dict[str, Array]

FEATURE_SCALE = 1 / 32  # of integer features, where floats are trained
HIDDEN_SCALE = 64  # float activations 0 ... 4 become integers 0 ... 255
ROUNDING = 1 << 14  # what rounding may add to a sum
FINEST_SHIFT = 12
PRIOR_SYMBOLS = 40  # what prior probabilities count for


def rounded_layer(weights: Array, biases: Array, reach: int) -> tuple[Array, Array, int]:
    """Float weights [outputs, inputs] and biases [outputs] or [rows, outputs] as int32 with a shift: as many fractional
    bits, at most FINEST_SHIFT, as leave sums of inputs from -reach to reach exact in float32, weights in 16 bits."""
    sums, greatest = (np.abs(weights).sum(axis=1) * reach + np.abs(biases)).max(), np.abs(weights).max()
    limits = [limit / most for limit, most in ((EXACT - ROUNDING, sums), (MOST_WEIGHT, greatest)) if most]
    shift = min([FINEST_SHIFT, *(int(np.floor(np.log2(limit))) for limit in limits)])
    return np.rint(weights * 2**shift).astype(np.int32), np.rint(biases * 2**shift).astype(np.int32), shift


def integer_layers(layers: list[Any], scales: list[float], offsets: list[float]) -> Arrays:
    """Linear layers of torch with activations from 0 to 4 between them as arrays `w0`, `b0`, …, `shifts`. The outputs
    of the last are multiplied by `scales` and moved by `offsets`."""
    arrays: Arrays = {}
    shifts: list[int] = []
    reach, gain = c.FEATURE_LIMIT, FEATURE_SCALE
    for number, layer in enumerate(layers):
        weights, biases = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        last = number == len(layers) - 1
        out = np.array(scales) if last else np.full(biases.shape[-1], float(HIDDEN_SCALE))
        biases = biases * out + (np.array(offsets) if last else 0.5)
        arrays[f"w{number}"], arrays[f"b{number}"], shift = rounded_layer(weights * gain * out[:, None], biases, reach)
        shifts.append(shift)
        reach, gain = c.ACTIVATION_LIMIT, 1 / HIDDEN_SCALE
    arrays["shifts"] = np.array(shifts, np.int32)
    return arrays


def count_table(rows: Array, symbols: Array, shape: tuple[int, int], prior: Array) -> NDArray[np.uint16]:
    """Frequencies uint16 [rows, symbols] by counting, with `prior` probabilities [rows, symbols] worth 40 symbols."""
    counts = np.bincount(rows * shape[1] + symbols, minlength=shape[0] * shape[1]).reshape(shape)
    counts = counts + PRIOR_SYMBOLS * prior + 1e-3
    return np.maximum(np.rint(counts / counts.sum(axis=1, keepdims=True) * 65000), 1).astype(np.uint16)


def table_bits(table: Array, rows: Array, symbols: Array) -> float:
    """Mean bits of `symbols` [n] under the frequencies of their `rows` [n] in `table` [rows, symbols]."""
    probability = table / table.sum(axis=1, keepdims=True)
    return float(-np.log2(probability[rows, symbols]).mean())
