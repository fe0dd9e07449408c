"""Integer networks in the kernels against float32 matrices, up to the limits of both."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_tools import Random, needs_kernels

from evc import kernels
from evc.format.constants import ACTIVATION_LIMIT, FEATURE_LIMIT
from evc.format.streams.integer_network import EXACT, LANES, MOST_WEIGHT, CompiledLayers, IntegerNetwork, Layer

pytestmark = needs_kernels


@pytest.fixture(params=["wide", "narrow"], autouse=True)
def vectors(request):
    """All with the widest vectors, where the processor has them, and without."""
    if bool(kernels.lib.evc_widen(request.param == "wide")) != (request.param == "wide"):
        pytest.skip("this processor has no wider vectors")
    yield
    kernels.lib.evc_widen(1)


def random_layer(random: Random, inputs: int, outputs: int, reach: int) -> Layer:
    """Weights and biases up to the limits: the sum of what a row can come to is just below 2**24 in some."""
    weights = random.laplace(0, 1, (outputs, inputs))
    weights[random.random(weights.shape) < random.choice([0, 0.5, 0.95])] = 0
    share = random.choice([0.001, 0.1, 0.99], (outputs, 1))  # of what sums may come to
    whole = np.abs(weights).sum(axis=1, keepdims=True) + 1e-9
    weights = np.trunc(weights / whole * share * (EXACT - 1) / reach)
    weights = np.clip(weights, -MOST_WEIGHT, MOST_WEIGHT).astype(np.int64)
    left = EXACT - 1 - np.abs(weights).sum(axis=1) * reach
    biases = np.where(random.random(outputs) < 0.3, left, random.integers(0, left + 1))
    return weights, biases * random.choice([-1, 1], outputs), int(random.choice([0, 1, 7, 12, 16, 24]))


def random_network(random: Random) -> tuple[list[Layer], int]:
    widths = [int(random.integers(1, 41))] + [
        int(random.choice([1, 7, 8, 9, 16, 23, 24, 32, 40, 57, 64, 512])) for _ in range(random.integers(1, 5))
    ]
    reaches = [FEATURE_LIMIT] + [ACTIVATION_LIMIT] * len(widths)
    layers = [random_layer(random, *sizes) for sizes in zip(widths, widths[1:], reaches)]
    return layers, widths[0]


def evaluated(layers: list[Layer], features: np.ndarray) -> np.ndarray:
    """By the kernel: int32 [rows, outputs]."""
    compiled, inputs = CompiledLayers(layers), features.shape[1]
    given = np.zeros((len(features), inputs + inputs % 2), np.int16)
    given[:, :inputs] = features
    outputs = len(layers[-1][0])
    found = np.full((len(features), -(-outputs // LANES) * LANES), -99, np.int32)
    kernels.lib.evc_network(compiled.struct, len(layers), kernels.pointer(given), len(features), kernels.pointer(found))
    assert not found[:, outputs:].any()  # the lanes that are none
    return found[:, :outputs]


def test_any_networks() -> None:
    clipped = between = 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        layers, inputs = random_network(random)
        rows = int(random.choice([0, 1, 2, 3, 17]))
        features = random.integers(-FEATURE_LIMIT, FEATURE_LIMIT + 1, (rows, inputs))
        if random.random() < 0.3:  # what the first row of weights makes most of
            features = np.broadcast_to(np.where(layers[0][0][0] < 0, -FEATURE_LIMIT, FEATURE_LIMIT), features.shape)
        expected = IntegerNetwork(layers)(features.astype(np.float32))
        found = evaluated(layers, features)
        np.testing.assert_array_equal(found, expected)
        clipped += int((np.abs(expected) > 1 << 22).any())
        between += int(len(layers) > 1 and len(np.unique(expected)) > 3)
    assert clipped > 10 and between > 30, (clipped, between)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_the_largest_weights(sign: int, inputs: int) -> None:
    """32767 in every place that it fits in beside the sum's limit."""
    weights = np.zeros((11, inputs), np.int64)
    weights[:, : 2 * ACTIVATION_LIMIT // FEATURE_LIMIT] = sign * MOST_WEIGHT
    spare = EXACT - 1 - np.abs(weights).sum(axis=1) * FEATURE_LIMIT
    last = np.full((5, 11), 0)
    last[:, 3] = last[:, 8] = -sign * MOST_WEIGHT
    layers = [(weights, spare * sign, 0), (last, np.full(5, EXACT - 1 - 2 * MOST_WEIGHT * ACTIVATION_LIMIT), 3)]
    features = np.full((3, inputs), FEATURE_LIMIT)
    features[1] *= -1
    for network in (layers, layers[:1]):
        expected = IntegerNetwork(network)(features.astype(np.float32))
        np.testing.assert_array_equal(evaluated(network, features), expected)
    assert np.abs(expected).max() == EXACT - 1


def test_rows_do_not_hang_on_those_beside() -> None:
    """Two rows are evaluated at a time: each comes out as it does alone, for any number of them."""
    random = np.random.default_rng(7)
    layers, inputs = random_network(random)
    features = random.integers(-FEATURE_LIMIT, FEATURE_LIMIT + 1, (9, inputs))
    whole = evaluated(layers, features)
    for row in range(9):
        np.testing.assert_array_equal(evaluated(layers, features[row : row + 1])[0], whole[row])


def test_a_hidden_layer_wider_than_the_room_is_refused() -> None:
    wide = kernels.lib.EVC_WIDEST + 1
    layers = [(np.ones((wide, 2), np.int64), np.zeros(wide, np.int64), 0),
              (np.ones((1, wide), np.int64), np.zeros(1, np.int64), 0)]  # fmt: skip
    with pytest.raises(ValueError, match="too wide"):
        CompiledLayers(layers)
    np.testing.assert_array_equal(evaluated(layers[:1], np.array([[3, 4]])), np.full((1, wide), 7))
