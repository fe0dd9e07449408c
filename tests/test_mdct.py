"""The lapped transform: orthonormal, perfectly reconstructing, and what the spec says it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc.format import constants as c
from evc.models.spectrum.analysis import transform
from evc.models.spectrum.mdct import dct4, fold, slope

SIZES = [64, 128, 1024, 4096]
PRECISION = 1e-4  # of signals of unit power: float32, transforms of up to 16384 samples


@st.composite
def block_depths(draw: st.DrawFn) -> np.ndarray:
    """Depths of the blocks of one to five superframes, each cut by a random tree."""
    random = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    share = draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))

    def leaves(depth: int) -> list[int]:
        if depth == c.BLOCK_DEPTHS - 1 or random.random() >= share:
            return [depth]
        return leaves(depth + 1) + leaves(depth + 1)

    return np.array([depth for _ in range(draw(st.integers(1, 5))) for depth in leaves(0)])


def signal(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(channels, samples)).astype(np.float32)


def spectra_of(work: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Fold a copy and transform each block."""
    folded, starts = work.copy(), np.cumsum([0, *sizes[:-1]])
    fold(folded, starts[1:], np.minimum(sizes[:-1], sizes[1:]))
    return [dct4(folded[:, at : at + size]) for at, size in zip(starts, sizes)]


def restored(spectra: list[np.ndarray], sizes: np.ndarray) -> np.ndarray:
    starts = np.cumsum([0, *sizes[:-1]])
    out = np.concatenate([dct4(spectrum) for spectrum in spectra], axis=1)
    fold(out, starts[1:], np.minimum(sizes[:-1], sizes[1:]), inverse=True)
    return out


@pytest.mark.parametrize("size", [2, 8, 64, 256])
def test_dct4_is_what_its_definition_says(size: int) -> None:
    place = np.arange(size) + 0.5
    matrix = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(place, place))
    blocks = signal(3, size)
    np.testing.assert_allclose(dct4(blocks), blocks @ matrix, atol=PRECISION)


@pytest.mark.parametrize("size", SIZES)
def test_dct4_is_its_own_inverse_and_keeps_energy(size: int) -> None:
    blocks = signal(2, 3 * size).reshape(2, 3, size)
    spectra = dct4(blocks)
    assert spectra.dtype == np.float32 and spectra.shape == blocks.shape
    np.testing.assert_allclose(dct4(spectra), blocks, atol=PRECISION)
    np.testing.assert_allclose(np.square(spectra).sum(-1), np.square(blocks).sum(-1), rtol=PRECISION)


@pytest.mark.parametrize("overlap", [2, 64, 4096])
def test_the_slope_is_a_rotation_that_falls_outwards(overlap: int) -> None:
    cosines, sines = slope(overlap)
    assert len(cosines) == len(sines) == overlap // 2
    np.testing.assert_allclose(cosines.astype(float) ** 2 + sines.astype(float) ** 2, 1, atol=1e-6)
    assert (np.diff(sines) <= 0).all() and (cosines > sines).all()


@given(st.lists(st.sampled_from(SIZES), min_size=2, max_size=6), st.integers(0, 1000))
def test_unfolding_undoes_folding(sizes: list[int], seed: int) -> None:
    starts = np.cumsum([0, *sizes[:-1]])
    overlaps = np.minimum(sizes[:-1], sizes[1:])
    work = signal(2, sum(sizes), seed)
    folded = work.copy()
    fold(folded, starts[1:], overlaps)
    np.testing.assert_allclose(np.square(folded).sum(), np.square(work).sum(), rtol=PRECISION)
    fold(folded, starts[1:], overlaps, inverse=True)
    np.testing.assert_allclose(folded, work, atol=PRECISION)


def test_folding_leaves_alone_what_is_outside_the_overlap() -> None:
    work = signal(1, 1024)
    folded = work.copy()
    fold(folded, np.array([512]), np.array([128]))
    inside = np.zeros(1024, bool)
    inside[512 - 64 : 512 + 64] = True
    assert np.array_equal(folded[:, ~inside], work[:, ~inside])
    assert (folded[:, inside] != work[:, inside]).all()


@settings(max_examples=40)
@given(block_depths(), st.integers(1, 2), st.sampled_from([1024, 4096]))
def test_any_partition_reconstructs_perfectly(depths: np.ndarray, channels: int, superframe: int) -> None:
    sizes = superframe >> depths
    work = signal(channels, int(sizes.sum()))
    spectra = spectra_of(work, sizes)
    power = sum(float(np.square(spectrum).sum()) for spectrum in spectra)
    assert power == pytest.approx(float(np.square(work).sum()), rel=PRECISION)
    np.testing.assert_allclose(restored(spectra, sizes), work, atol=PRECISION)


@settings(max_examples=20)
@given(block_depths(), st.sampled_from([0, 64, 256, 1024]), st.sampled_from([0, 64, 1024]))
def test_blocks_are_transformed_in_their_surroundings(depths: np.ndarray, before: int, after: int) -> None:
    """With neighbours of any size outside (0: the file ends there), all but the overlap with them is restored."""
    superframe = 1024
    sizes = superframe >> depths
    total = int(sizes.sum())
    work = signal(2, total + 2 * superframe)
    spectra: list[np.ndarray] = [np.zeros(0)] * len(depths)
    for depth, (numbers, found) in transform(work, superframe, depths, superframe, before, after).items():
        assert found.shape == (2, len(numbers), superframe >> depth)
        for i, number in enumerate(numbers):
            spectra[number] = found[:, i]
    out = restored(spectra, sizes)
    inside = slice(min(before, sizes[0]) // 2, total - min(after, sizes[-1]) // 2)
    np.testing.assert_allclose(out[:, inside], work[:, superframe : superframe + total][:, inside], atol=PRECISION)
