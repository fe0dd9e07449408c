"""The kernels of the pattern encoder against NumPy: the same up to rounding, with gaps, silence and odd sizes."""

import numpy as np
import pytest

from evc import kernels
from evc.models.patterns import choose, cost
from evc.models.patterns.choose import Chooser
from evc.models.patterns.correlation import CELL, _scores
from evc.models.patterns.cost import Copied
from evc.models.patterns.delay import Refiner
from evc.models.patterns.matching import Matcher
from evc.models.patterns.products import Bands

pytestmark = pytest.mark.skipif(kernels.lib is None, reason="no compiled kernels")
EDGES = np.array([0, 1, 5, 20, 77, 84, 250], np.int64)
SIZE = 256


def spectra(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Of levels far apart, some of it silent."""
    level = 10.0 ** random.uniform(-3, 4, (*shape[:-1], 1)) * (random.uniform(size=(*shape[:-1], 1)) > 0.1)
    return (level * random.normal(size=shape)).astype(np.float32)


def close(found: np.ndarray, expected: np.ndarray, relative: float = 2e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * max(np.abs(expected).max(), 1e-6))


@pytest.mark.parametrize("seed", range(5))
def test_products(seed: int) -> None:
    random = np.random.default_rng(seed)
    bands = Bands(EDGES, SIZE)
    one, other = spectra(random, 7, 2, 2, SIZE), spectra(random, 2, 2, SIZE)
    one /= np.abs(one).max(axis=-1, keepdims=True) + 1
    found = bands.products(one, other)
    with kernels.reference():
        expected = bands.products(one, other)
    assert found.shape == (7, 2, 2, len(EDGES) - 1)
    scale = np.sqrt(bands.products(one, one) * bands.products(other, other)) + 1e-30
    assert (np.abs(found - expected) <= 1e-5 * scale).all()


@pytest.mark.parametrize("seed", range(5))
def test_subtract(seed: int) -> None:
    random = np.random.default_rng(seed)
    bands = Bands(EDGES, SIZE)
    left, other = spectra(random, 9, SIZE), spectra(random, 9, SIZE)
    gains = np.where(random.uniform(size=6) > 0.3, random.uniform(0, 2, 6), 0).astype(np.float32)
    expected = left.copy()
    with kernels.reference():
        bands.subtract(expected, other, gains)
    kept = left[:, EDGES[-1] :].copy()
    bands.subtract(left, other, gains)
    np.testing.assert_array_equal(left, expected)
    np.testing.assert_array_equal(left[:, EDGES[-1] :], kept)


@pytest.mark.parametrize("level", [1e-20, 1.0, 1e9])
def test_left_bits(level: float) -> None:
    random = np.random.default_rng(1)
    bands = Bands(EDGES, SIZE)
    residual, copies = spectra(random, 2, 2, SIZE), spectra(random, 5, 2, 2, SIZE)
    which = np.array([4, 0, 3])
    gains = random.uniform(0, 1.25, (3, 2, 6)).astype(np.float32)
    inverse = (level * 10 ** random.uniform(-4, 1, (2, 6))).astype(np.float32)
    inverse = np.minimum(inverse, np.float32(2**30) / (3 * max(np.abs(residual).max(), np.abs(copies).max())))
    found = bands.left_bits(residual, copies, which, gains, inverse)
    with kernels.reference():
        expected = bands.left_bits(residual, copies, which, gains, inverse)
    close(found, expected)


def test_bits_of_absurd_values_are_finite() -> None:
    bands = Bands(EDGES, SIZE)
    residual = np.full((1, 2, SIZE), 3e38, np.float32)
    found = bands.left_bits(residual, residual[None], np.array([0]), np.zeros((1, 1, 6), np.float32),
                            np.full((1, 6), 1e30, np.float32))  # fmt: skip
    assert np.isfinite(found).all() and (found > 0).all()


def copied(chooser: Chooser, random: np.random.Generator, planes: int, blocks: int) -> Copied:
    shape = (planes, blocks, chooser.fine.bands)
    own = (10 ** random.uniform(-4, 5, shape) * chooser.widths * (random.uniform(size=shape) > 0.1)).astype(np.float32)
    heard = np.where(random.uniform(size=shape) > 0.5, own, own * 10 ** random.uniform(0, 2, shape)).astype(np.float32)
    power = (10 ** random.uniform(-4, 5, shape) * (random.uniform(size=shape) > 0.1)).astype(np.float32)
    cross = (np.sqrt(own) * np.sqrt(power) * random.uniform(-1, 1, shape)).astype(np.float32)
    own_heard = (np.sqrt(own) * np.sqrt(heard) * random.uniform(0, 1, shape)).astype(np.float32)
    copy_heard = (np.sqrt(heard) * np.sqrt(power) * random.uniform(-1, 1, shape)).astype(np.float32)
    plain = chooser._plain_cost(own, heard, own_heard)
    return Copied(own, heard, cross, power, plain, own_heard, copy_heard)


@pytest.mark.parametrize("rate", [8000, 44_100, 192_000])
@pytest.mark.parametrize("planes", [1, 2, 5])
def test_saved(rate: int, planes: int) -> None:
    chooser = Chooser(rate, 2)
    random = np.random.default_rng(planes)
    whole = copied(chooser, random, planes, 12)
    for gains, per in ((choose.SEARCHED_GAINS, 2), (choose.GAINS, 12)):
        arguments = choose._gains(gains), per, chooser.firsts, chooser.widths
        found = whole.saved(*arguments)
        with kernels.reference():
            expected = whole.saved(*arguments)
        assert found.shape == (len(gains), planes, 12 // per, chooser.bands)
        size = np.abs(expected) + whole.plain.max()
        assert (np.abs(found - expected) <= 1e-5 * size).all()


def test_saved_where_a_copy_is_all_there_is() -> None:
    """A copy of the very same sound saves all that coding it costs."""
    chooser = Chooser(44_100, 1)
    own = np.full((1, 2, chooser.fine.bands), 100, np.float32) * chooser.widths
    plain = chooser._plain_cost(own, own, own)
    found = Copied(own, own, own, own, plain, own, own).saved(np.ones(1, np.float32), 2, chooser.firsts, chooser.widths)
    np.testing.assert_allclose(found[0, :, 0], plain.sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("superframes", [1, 2, 17])
def test_better_spans(superframes: int) -> None:
    random = np.random.default_rng(superframes)
    best = np.full((superframes, superframes + 1), -np.inf)
    which = np.zeros(best.shape, np.int64)
    expected, which_expected = best.copy(), which.copy()
    for number in range(6):
        saved = random.normal(0, 10, (len(choose.SEARCHED_GAINS), 2, superframes, 10)).astype(np.float32)
        choose._better_spans(saved, 20.0, number, best, which)
        with kernels.reference():
            choose._better_spans(saved, 20.0, number, expected, which_expected)
    np.testing.assert_allclose(best, expected, atol=1e-2)
    assert (which == which_expected).mean() > 0.99
    assert np.isneginf(best[np.tril_indices(superframes)]).all()


def test_scores() -> None:
    random = np.random.default_rng(1)
    sums = (random.normal(size=7 * CELL) + 1j * random.normal(size=7 * CELL)).astype(np.complex64)
    sums[: CELL + 3] = 0
    energies = random.exponential(size=7 * CELL).astype(np.float32)
    found = _scores(sums, energies, 0.1)
    with kernels.reference():
        expected = _scores(sums, energies, 0.1)
    for one, other in zip(found, expected, strict=True):
        close(one, other)


@pytest.mark.parametrize("length", [1000, 4096, 11_000])
def test_refined_lags(length: int) -> None:
    random = np.random.default_rng(length)
    signal = random.normal(0, 1000, length + 400).astype(np.float32)
    results = []
    for _ in range(2):
        refiner = Refiner(signal[200 : 200 + length], 16, 32)
        past = signal[197 - refiner.margin : 197 + length + refiner.margin]
        results.append(refiner.refine(past))
        with kernels.reference():
            refiner = Refiner(signal[200 : 200 + length], 16, 32)
            results.append(refiner.refine(past))
    assert all(one is not None and one.offset == -3 * 32 for one in results)
    np.testing.assert_allclose(results[0].bits, results[1].bits, rtol=1e-3)


@pytest.mark.parametrize("planes", [1, 2])
def test_matching(planes: int) -> None:
    """The same lags in the same order, each for about as many bits."""
    size = 1024
    random = np.random.default_rng(planes)
    signals = 3000 * random.normal(size=(8, planes, size + size // 2)).astype(np.float32)
    mixed = signals[1] + 0.6 * signals[2] + 0.3 * signals[3] + 20 * signals[4] / 3000
    lags = list(range(8))
    found = Matcher(size, -6).best(0, mixed, lags, lambda lag: signals[lag])
    with kernels.reference():
        expected = Matcher(size, -6).best(0, mixed, lags, lambda lag: signals[lag])
    assert [one.lag for one in found] == [one.lag for one in expected]
    assert [one.lag for one in found[:3]] == [1, 2, 3]
    np.testing.assert_allclose([one.bits for one in found], [one.bits for one in expected], rtol=1e-3)


def test_constants_of_the_cost() -> None:
    """Those that kernels are given are in the order of their declaration."""
    names = [name for name, _ in kernels.ffi.typeof("evc_costs").fields]
    assert [getattr(cost, name.upper()) for name in names] == list(cost._CONSTANTS)
