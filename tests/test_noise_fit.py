"""The levels of noise that cost least: the kernel against NumPy, and both against every other choice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from evc import kernels
from evc.format.streams.noise_changes import plane_kinds
from evc.models.noise.fit import _trellis, change_bits

pytestmark = pytest.mark.skipif(kernels.lib is None, reason="there are no compiled kernels")


def problem(random: np.random.Generator, stretches: int, bands: int, levels: float):
    """Squared errors that are least near random levels, and contexts of changes."""
    kind = plane_kinds(2)[0]
    weights = random.uniform(0.5, 2, (2, stretches, bands))
    wanted = random.uniform(20, 20 + levels, (2, stretches, bands))
    cross = random.uniform(0, 0.2, (stretches, bands))
    quadratic = np.stack([weights[0], cross, weights[1], *(weights * wanted)])
    around = random.integers(-2, 3, (2, stretches, bands))
    shape = change_bits(kind, 1).shape
    contexts = random.integers(0, shape[0], (2, stretches, bands)), random.integers(0, shape[1], (2, stretches, bands))
    return quadratic, around, contexts, kind, float(random.uniform(0.1, 3))


@pytest.mark.parametrize("seed", range(8))
def test_the_kernel_finds_what_numpy_finds(seed: int) -> None:
    random = np.random.default_rng(seed)
    arguments = problem(random, int(random.integers(1, 20)), int(random.integers(1, 9)), 30)
    with kernels.reference():
        expected = _trellis(*arguments)
    assert np.array_equal(_trellis(*arguments), expected)


def test_no_other_levels_cost_less() -> None:
    quadratic, around, contexts, kind, price = problem(np.random.default_rng(9), 2, 1, 3)
    found = _trellis(quadratic, around, contexts, kind, price)
    bits = price * change_bits(kind, 80)

    def cost(levels: tuple[int, ...]) -> float:
        total, before = 0.0, 0
        for n in range(2):
            start, end = levels[2 * n : 2 * n + 2]
            ss, se, ee, s, e = quadratic[:, n, 0]
            total += ss * start**2 + 2 * se * start * end + ee * end**2 - 2 * s * start - 2 * e * end
            for side, change in enumerate((start - before, end - start)):
                at = contexts[0][side, n, 0], contexts[1][side, n, 0]
                total += bits[*at, change - around[side, n, 0] + 80]
            before = end
        return total

    best = min(itertools.product(range(16, 28), repeat=4), key=cost)
    assert cost(tuple(found[:, :, 0].T.ravel().tolist())) == pytest.approx(cost(best))
