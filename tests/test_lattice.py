"""Lattice patterns: writing between cells, the sound of a grid, and fits of grids whose patterns are known."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_tools import assert_same

from evc.format.errors import InputError
from evc.format.reader import ContainerReader
from evc.format.streams.dictionary import Lattice
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.patterns.lattice import (
    LatticeModel,
    read_lattice,
    render_placement,
    to_audio,
    to_cells,
    write_cells,
)
from evc.models.patterns.lattice_fit import Fit, refined, unit
from evc.models.patterns.lattice_training import fit_lattice, improved, pruned, synthetic_grid, with_ids

SHAPE = (48, 32)


def snr(target, found):
    return 10 * np.log10(np.square(np.abs(target)).sum() / np.square(np.abs(target - found)).sum())


def planted(seed, occurrences=8, patterns=2, sides=(6, 5)):
    """Random patterns anywhere on a grid of SHAPE, over its edges too."""
    random = np.random.default_rng(seed)

    def noise(*shape):
        return torch.from_numpy((random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64))

    cells = unit(noise(patterns, *sides))
    ids = torch.from_numpy(random.integers(0, patterns, occurrences))
    corners = torch.from_numpy((random.uniform(0, 1, (occurrences, 2)) * SHAPE).astype(np.float32))
    magnitudes = torch.from_numpy(np.exp(random.normal(0, 0.3, occurrences)).astype(np.float32))
    return Fit(cells, ids, corners, magnitudes * torch.sgn(noise(occurrences)))


def pattern(seed=0, columns=3, bins=4, fft_log2=6, hop_log2=5):
    random = np.random.default_rng(seed)
    shape = columns, bins
    return Lattice(fft_log2, hop_log2, 4, 5, random.integers(110, 130, shape), random.integers(0, 32, shape))


def model(times, shifts, columns=40, phase_bits=2, offsets=None):
    """Placements of two patterns, with gains and rotations."""
    n = len(times)
    nothing = np.zeros(n, np.int64)
    offsets = nothing if offsets is None else np.array(offsets)
    stream = OccurrenceStream(
        np.array(times), np.arange(n) % 2, nothing, offsets, nothing, nothing, np.array(shifts), np.arange(n) % 8,
        Gains((np.arange(n) % 3 - 1)[:, None, None]), spans=bool(offsets.any()), lattice=True, rotation_bits=3,
    )  # fmt: skip
    return LatticeModel((pattern(0), pattern(1, 4, 5)), stream, columns, phase_bits)


def written(found):
    data = io.BytesIO()
    size = found.write(data, 8000)
    assert size == len(data.getvalue())
    return ContainerReader(data)


# --- Writing cells ----------------------------------------------------------------------------------


@given(st.floats(0, 46), st.floats(-40, 40), st.integers(0, 9))
def test_a_cell_is_shared_out_to_the_four_nearest(column, bin, seed):
    grid = np.zeros((48, 8), np.complex128)
    write_cells(grid, np.array([[2j]]), column, bin)
    n, k = int(np.floor(column)), int(np.floor(bin))
    a, b = column - n, bin - k
    expected = np.zeros_like(grid)
    for i, j, share in ((0, 0, (1 - a) * (1 - b)), (1, 0, a * (1 - b)), (0, 1, (1 - a) * b), (1, 1, a * b)):
        expected[n + i, (k + j) % 8] += 2j * share
    np.testing.assert_allclose(grid, expected, atol=1e-12)
    assert grid.sum() == pytest.approx(2j)


def test_bins_go_round_the_end_and_columns_end_there():
    grid = np.zeros((4, 8), np.complex128)
    write_cells(grid, np.ones((2, 3)), 3, 6)
    assert grid[3].tolist() == [1, 0, 0, 0, 0, 0, 1, 1] and not grid[:3].any()
    grid[:] = 0
    write_cells(grid, np.ones((2, 3)), -1.25, 0, first=0)
    np.testing.assert_allclose(grid[0, :3], 0.75)


@pytest.mark.parametrize("seed", range(3))
def test_fit_and_file_write_the_same(seed):
    """Over the end of the grid as well, where the file needs a second placement."""
    fit = planted(seed)
    fit = replace(fit, corners=torch.round(fit.corners * 8) / 8)
    expected = np.zeros((3 * SHAPE[0], SHAPE[1]), np.complex128)
    for number, (column, bin), value in zip(fit.ids, fit.corners.tolist(), fit.values.numpy()):
        write_cells(expected, value * fit.patterns[number].numpy(), column, bin)
    expected[: SHAPE[0]] += expected[SHAPE[0] : 2 * SHAPE[0]]
    np.testing.assert_allclose(fit.grid(SHAPE).numpy(), expected[: SHAPE[0]], atol=1e-5)


def test_gradients_reach_positions():
    fit = planted(2)
    target = fit.grid(SHAPE)
    moved = replace(fit, corners=fit.corners.floor() + 0.25 + 0.5 * (fit.corners - fit.corners.floor()))
    assert moved.snr(target) < 20 < 40 < refined(target, moved, {"corners"}, 60).snr(target)


# --- Sound ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fft_log2, hop_log2", [(6, 5), (8, 6), (10, 7)])
def test_cells_and_back(fft_log2, hop_log2):
    """But for the ends, and the highest bin, which the grid lacks."""
    time = np.arange(5000)
    audio = np.sin(0.3 * time) + np.sin(1.7 * time + 1) * np.cos(0.002 * time)
    cells = to_cells(audio, fft_log2, hop_log2)
    assert cells.shape == (-(-5000 // (1 << hop_log2)), 1 << fft_log2 - 1)
    found = to_audio(cells, fft_log2, hop_log2)[:5000]
    edge = 1 << fft_log2
    assert snr(audio[edge:-edge], found[edge:-edge]) > 45


def test_a_sinusoid_has_cells_of_its_phase_in_the_middle_of_the_window():
    audio = 0.5 * np.cos(2 * np.pi * 8 / 64 * (np.arange(640) - 32) + 0.7)
    np.testing.assert_allclose(to_cells(audio, 6, 5)[3, 8], 0.5 * 2 / np.pi * np.exp(0.7j), atol=2e-3)


@pytest.mark.parametrize("shift, turns", [(0, 0), (5.25, 0.3), (-2.5, 0.5), (31, 0)])
def test_a_placement_sounds_as_specified(shift, turns):
    lattice = pattern(3)
    size, hop = 64, 32
    expected = np.zeros(2 * hop + size)
    for x, column in enumerate(lattice.cells()):
        for y, cell in enumerate(column * np.exp(2j * np.pi * turns)):
            low = int(np.floor(shift))
            for k, share in ((low + y, 1 - shift + low), (low + y + 1, shift - low)):
                u = np.arange(size)
                wave = np.real(cell * share * np.exp(2j * np.pi * (k % 32) * (u - 32) / size))
                wave *= (0.5 if k % 32 == 0 else 1) * np.sin(np.pi * (u + 0.5) / size) * 2 * hop / size
                expected[x * hop : x * hop + size] += wave
    found = render_placement(lattice, 44100, shift, turns)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_sound_of_a_model_is_that_of_its_placements():
    found = model([0, 32 * 4 * 7, 32 * 4 * 7], [0, 9, 60])
    expected = np.zeros(found.frames)
    for row in range(3):
        lattice = found.patterns[row % 2]
        part = render_placement(lattice, 8000, found.corners[row, 1], row / 8) * 2.0 ** ((row % 3 - 1) / 4)
        start = int(found.corners[row, 0]) * 32
        expected[start : start + len(part)] += part
    np.testing.assert_allclose(found.audio(), expected, atol=1e-5)


# --- Files ------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 40 * 32 * 4 - 1), st.integers(-200, 200)), max_size=8), st.booleans())
@settings(max_examples=30)
def test_files_keep_every_integer(places, cut):
    times, shifts = [sorted(time for time, _ in places), [shift for _, shift in places]]
    found = model(times, shifts, offsets=[7 * cut] * len(times))
    again = read_lattice(written(found))
    assert_same(list(again.patterns), list(found.patterns))
    assert (again.columns, again.bins) == (found.columns, found.bins)
    np.testing.assert_array_equal(again.grid, found.grid)
    if times:
        assert_same(again.placements, found.placements)
        assert again.phase_bits == found.phase_bits


def test_centres_are_unit_complex_numbers():
    found = model([32 * 4 * 20 - 32 * 4], [-6])
    np.testing.assert_allclose(np.abs(found.centres), 1)
    np.testing.assert_allclose(found.centres[0], np.exp(2j * np.pi * np.array([20 / 40, 0])), atol=1e-12)
    np.testing.assert_allclose(found.values, [2**-0.25])


def test_other_files_are_no_lattices(encoded):
    assert read_lattice(ContainerReader(io.BytesIO(encoded))) is None


def test_what_does_not_fit_a_file():
    with pytest.raises(InputError, match="segment length"):
        model([0], [0], columns=2**14).write(io.BytesIO(), 8000)


# --- Fits -------------------------------------------------------------------------------------------


def test_the_synthetic_grid_is_four_exponentials():
    grid = synthetic_grid()
    n, k = np.arange(256)[:, None] / 256, np.arange(64) / 64
    expected = np.sin(2 * np.pi * (3 * n + 2 * k)) + 1j * np.sin(2 * np.pi * (3 * n - 2 * k))
    np.testing.assert_allclose(grid, expected, atol=1e-6)
    for seed in range(3):
        spectrum = np.abs(np.fft.fft2(synthetic_grid(seed)))
        assert (spectrum > 1).sum() == 4


def test_the_synthetic_grid_in_less_than_four_kilobits():
    """30 dB with everything counted: a whole file."""
    grid = synthetic_grid(1, 128, 32)
    found = fit_lattice(grid, 4, (32, 16))
    data = io.BytesIO()
    found.write(data, 44100)
    assert snr(grid, read_lattice(ContainerReader(data)).grid) >= 30
    assert 8 * len(data.getvalue()) <= 4000
    assert len(found.patterns) == 4


def test_noise_is_not_fitted():
    random = np.random.default_rng(0)
    noise = 0.05 * (random.normal(size=(128, 32)) + 1j * random.normal(size=(128, 32)))
    grid = synthetic_grid(0, 128, 32)
    found = fit_lattice(grid + noise, 4, (32, 16), snr=20)
    assert snr(grid, found.grid) > 30 and found.bits(8000) < 4000


def test_planted_patterns_are_found():
    """30 dB for what 60 cells and half a dozen occurrences take, and independent of the scale."""
    grid = 1000 * planted(5, 4).grid(SHAPE).numpy()
    found = fit_lattice(grid, 2, (6, 5), 6)
    assert snr(grid, found.grid) >= 30
    assert found.bits(8000) < 2 * 30 * (7 + 7 + 4) + 7 * 50
    again = read_lattice(written(found))
    np.testing.assert_array_equal(again.grid, found.grid)
    assert_same(again.placements, found.placements)


def test_ids_are_learnt():
    true = planted(2)
    target = true.grid(SHAPE)
    wrong = replace(true, ids=1 - true.ids)
    assert wrong.snr(target) < 3
    found = with_ids(target, with_ids(target, wrong))
    assert torch.equal(found.ids, true.ids)
    assert improved(target, found, 30, len(true.ids)).snr(target) > 40


def test_soft_gates_let_go_of_what_is_not_needed_only():
    true = planted(5)
    target = true.grid(SHAPE)
    idle = planted(6, 4)
    both = Fit(
        true.patterns,
        torch.cat([true.ids, idle.ids]),
        torch.cat([true.corners, idle.corners]),
        torch.cat([true.values, 1e-4 * idle.values]),
    )
    found = pruned(target, both, 30)
    assert len(found.ids) == len(true.ids) and torch.equal(found.corners, true.corners)
    silenced = replace(true, values=true.values * torch.tensor([0.0, *[1.0] * 7]))
    assert refined(target, silenced, {"values"}, 40, 1e-6).snr(target) > 40


@pytest.mark.parametrize(
    "grid, sides, message",
    [
        (np.ones((20, 12)), (2, 2), "12 bins"),
        (np.ones((20, 16)), (2, 17), "do not fit"),
        (np.zeros((20, 16)), (2, 2), "empty"),
        (np.full((20, 16), np.nan), (2, 2), "not finite"),
    ],
)
def test_grids_that_cannot_be_fitted(grid, sides, message):
    with pytest.raises(InputError, match=message):
        fit_lattice(grid.astype(np.complex64), 1, sides)
