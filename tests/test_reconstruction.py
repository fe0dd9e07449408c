"""From decoded integers to coefficients: dequantisation, noise filling, stereo, and the blocks' places in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis_tools import DecodedSegments, with_steps

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.models.spectrum.analysis import band_rms, energy_indices
from evc.models.spectrum.reconstruction import dequantise, noise
from evc.models.spectrum.stereo import apply_stereo, choose_stereo, undo_stereo
from evc.models.synthesis import Synthesiser

GEO = layout.geometry(4096, 18)
BANDS = GEO.layouts[0]
STARTS = np.array([0, 4096, 8192])


def values_of(
    coefficients: np.ndarray, energies: np.ndarray, steps: np.ndarray, starts: np.ndarray = STARTS, channel: int = 0
) -> np.ndarray:
    return dequantise(coefficients, energies, steps, BANDS, starts, channel)


@st.composite
def contents(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients [2, 3, bins], energies and steps [2, 3, bands]."""
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    largest = draw(st.sampled_from([0, 1, 2, 100]))
    coefficients = random.integers(-largest, largest + 1, (2, 3, BANDS.bins), np.int32)
    density = draw(st.sampled_from([0.01, 0.5, 1.0]))
    coefficients[random.random(coefficients.shape) > density] = 0
    energies = random.integers(0, c.ENERGY_MAX + 1, (2, 3, BANDS.bands))
    steps = random.integers(-200, 1200, (2, 3, BANDS.bands))
    return coefficients, energies, steps


def of_bins(per_band: np.ndarray) -> np.ndarray:
    return per_band[..., BANDS.band_of_bin]


# Noise


def test_noise_is_uniform_white_and_of_unit_power() -> None:
    values = noise(np.arange(200_000, dtype=np.uint32))
    assert values.dtype == np.float32
    assert np.abs(values).max() <= 3**0.5 * 1.0001
    assert np.mean(values) == pytest.approx(0, abs=0.01)
    assert np.mean(np.square(values)) == pytest.approx(1, abs=0.01)
    assert np.mean(values**4) == pytest.approx(9 / 5, abs=0.03)
    for lag in (1, 2, 8, 4096):
        assert np.mean(values[lag:] * values[:-lag]) == pytest.approx(0, abs=0.02)


def test_noise_is_frozen() -> None:
    """The integer hash of the spec, by its definition in Python's integers."""

    def value(x: int) -> float:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        x ^= x >> 16
        return (x - 2**31) * 3**0.5 / 2**31

    counters = [0, 1, 7, 8, 12345, 2**31, 2**32 - 1]
    np.testing.assert_allclose(noise(np.array(counters, np.uint32)), [value(x) for x in counters], rtol=1e-5, atol=1e-6)


def test_noise_differs_between_blocks_channels_and_bins() -> None:
    nothing, loud = np.zeros((2, 3, BANDS.bins), int), np.full((2, 3, BANDS.bands), 20)
    values = values_of(nothing, loud, loud)
    rows = values.reshape(6, -1)
    likeness = np.corrcoef(rows)
    assert np.abs(likeness[~np.eye(6, dtype=bool)]).max() < 0.1
    other_pair = values_of(nothing, loud, loud, channel=2).reshape(6, -1)
    assert np.abs(np.corrcoef(np.concatenate([rows, other_pair]))[:6, 6:]).max() < 0.1


# Dequantisation


@settings(max_examples=30)
@given(contents())
def test_dequantisation_is_deterministic_and_close(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coefficients, energies, steps = case
    values = values_of(coefficients, energies, steps)
    assert values.dtype == np.float32 and values.shape == coefficients.shape
    assert np.array_equal(values, values_of(coefficients, energies, steps))
    coded = coefficients != 0
    step = of_bins(np.exp2(steps / c.OCTAVE))
    error = np.abs(values / step - coefficients)[coded]
    assert error.max(initial=0) <= max(c.SHRINK_ONE, c.SHRINK_LARGE) * 1.01 + 1e-4
    assert (np.abs(values / step)[coded] <= np.abs(coefficients)[coded] * 1.0001).all()
    assert (np.sign(values) == np.sign(coefficients))[coded].all()


@settings(max_examples=30)
@given(contents())
def test_noise_beside_coefficients_never_exceeds_its_cap(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    coefficients, energies, steps = case
    values = values_of(coefficients, energies, steps)
    used = np.add.reduceat(coefficients != 0, BANDS.edges[:-1], axis=-1) > 0
    filled = of_bins(used) & (coefficients == 0)
    cap = c.FILL_CAP * 3**0.5 * of_bins(np.exp2(steps / c.OCTAVE))
    assert (np.abs(values) <= cap * 1.0001)[filled].all()
    # Far below half a step: noise is never louder than what rounding to zero takes away.
    assert c.FILL_CAP * 3**0.5 < 0.5


@settings(max_examples=30)
@given(contents())
def test_a_used_band_keeps_about_its_energy(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Noise adds no more than what the coefficients leave of the band's energy."""
    coefficients, energies, steps = case
    energies = np.maximum(energies, 1)
    values = values_of(coefficients, energies, steps).astype(np.float64)
    coded = np.where(coefficients != 0, values, 0)
    power = np.add.reduceat(np.square(values), BANDS.edges[:-1], axis=-1)
    of_coded = np.add.reduceat(np.square(coded), BANDS.edges[:-1], axis=-1)
    whole = np.exp2(2 * layout.energy_log(energies) / c.OCTAVE) * BANDS.widths
    peak = 3 * max(c.FILL_EMPTY, c.FILL_PARTLY) ** 2  # of uniform noise, against its mean power
    assert (power <= (of_coded + peak * np.maximum(whole - of_coded, 0)) * 1.001 + 1e-9).all()


@pytest.mark.parametrize("index", [1, 10, 30, c.ENERGY_MAX])
def test_a_band_without_coefficients_is_noise_of_its_energy(index: int) -> None:
    energies = np.full((2, 3, BANDS.bands), index)
    values = values_of(np.zeros((2, 3, BANDS.bins), int), energies, np.zeros_like(energies))
    amplitude = c.FILL_EMPTY * 2 ** (layout.energy_log(np.array(index)) / c.OCTAVE)
    assert np.sqrt(np.mean(np.square(values.astype(np.float64)))) == pytest.approx(amplitude, rel=0.03)
    wide = values[..., BANDS.edges[-2] :].astype(np.float64)
    assert np.sqrt(np.mean(np.square(wide))) == pytest.approx(amplitude, rel=0.05)


def test_no_energy_is_exact_silence() -> None:
    nothing = np.zeros((2, 3, BANDS.bins), int)
    values = values_of(nothing, np.zeros((2, 3, BANDS.bands), int), np.full((2, 3, BANDS.bands), 500))
    assert not values.any()


@given(st.integers(0, 999), st.floats(0.01, 20_000))
def test_energies_are_those_of_the_spectrum(seed: int, amplitude: float) -> None:
    """Within half a step of the scale, where the scale does not end."""
    spectrum = (amplitude * np.random.default_rng(seed).normal(size=(2, BANDS.bins))).astype(np.float32)
    amplitudes = band_rms(spectrum, BANDS)
    indices = energy_indices(amplitudes)
    assert indices.shape == (2, BANDS.bands) and indices.min() >= 0 and indices.max() <= c.ENERGY_MAX
    inside = (indices > 0) & (indices < c.ENERGY_MAX)
    error = c.OCTAVE * np.log2(amplitudes) - layout.energy_log(indices)
    assert np.abs(error[inside]).max(initial=0) <= c.ENERGY_STEP / 2 + 0.1
    assert not energy_indices(np.zeros((1, BANDS.bands), np.float32)).any()


# Stereo


def pair(depth: int, blocks: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, blocks, GEO.superframe >> depth)).astype(np.float32)


@given(st.integers(0, c.BLOCK_DEPTHS - 1), st.integers(0, 999))
@settings(max_examples=30)
def test_stereo_modes_invert(depth: int, seed: int) -> None:
    modes = np.random.default_rng(seed).integers(0, c.STEREO_MODES, (3, GEO.coarse_bands))
    spectra = pair(depth, seed=seed)
    coded = apply_stereo(spectra, modes, GEO, depth)
    bins = GEO.layouts[depth].bins
    assert coded.shape == (2, 3, bins) and coded.dtype == np.float32
    np.testing.assert_allclose(undo_stereo(coded, modes, GEO, depth)[..., :bins], spectra[..., :bins], atol=1e-5)


@pytest.mark.parametrize("mode, name", [(0, "left/right"), (1, "mid/side")])
def test_plain_modes_keep_energy(mode: int, name: str) -> None:
    spectra = pair(0)
    coded = apply_stereo(spectra, np.full((3, GEO.coarse_bands), mode), GEO, 0)
    bins = coded.shape[-1]
    assert np.square(coded).sum() == pytest.approx(np.square(spectra[..., :bins]).sum(), rel=1e-4)
    if name == "left/right":
        assert np.array_equal(coded, spectra[..., :bins])


@pytest.mark.parametrize("mode", range(1, c.STEREO_MODES))
def test_a_panned_source_leaves_nothing_in_its_predicted_side(mode: int) -> None:
    prediction = c.STEREO_PREDICTIONS[mode]
    mid = pair(0)[0]
    spectra = np.stack([mid * (1 + prediction), mid * (1 - prediction)]) * np.float32(0.5**0.5)
    coded = apply_stereo(spectra, np.full((3, GEO.coarse_bands), mode), GEO, 0)
    assert np.abs(coded[1]).max() < 1e-5 * np.abs(coded[0]).max()


@pytest.mark.parametrize("left, right, allowed", [(1, 0.0, {0}), (1, 1, {1}), (1, -0.0, {0})])
def test_the_encoder_finds_the_mode_of_a_simple_source(left: float, right: float, allowed: set[int]) -> None:
    source = 3000 * pair(0, blocks=6)[0]
    spectra = np.stack([source * np.float32(left), source * np.float32(right)])
    both = {0: (np.arange(6), spectra)}
    modes = choose_stereo(both, both, 6, GEO, 0)
    assert modes.shape == (6, GEO.coarse_bands) and set(np.unique(modes)) <= allowed


# Blocks in time


def silent_block(depth: int) -> Block:
    bands = GEO.layouts[depth]
    return Block(depth, np.zeros(18, int), np.zeros((1, bands.bands), int), np.zeros((1, bands.bins), int))


def tone_group(superframes: int, seed: int) -> Group:
    """Random coefficients in random blocks of one channel."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(superframes):
        blocks = [silent_block(depth) for depth in [(0,), (1, 1), (1, 2, 2), (4,) * 16][random.integers(4)]]
        for block in blocks:
            block.energies[:] = 12
            block.coefficients[:] = random.integers(-3, 4, block.coefficients.shape)
        frames.append(blocks)
    return Group(0, 18, frames)


def rendered(groups: dict[int, Group], start: int, frames: int, total: int) -> np.ndarray:
    header = Header(44_100, 1, total, layers=("spectrum",), segment_frames=4 * 4096)
    streams = {index: {c.STREAM_SPECTRUM: SpectrumStream([with_steps(group)])} for index, group in groups.items()}
    return Synthesiser(DecodedSegments(header, streams)).render(start, frames)


@given(st.integers(0, 99), st.data())
@settings(max_examples=25)
def test_a_part_is_the_same_part_of_the_whole(seed: int, data: st.DataObject) -> None:
    groups = {0: tone_group(4, seed), 1: tone_group(3, seed + 1)}
    total = 7 * 4096 - 100
    whole = rendered(groups, 0, total, total)
    start = data.draw(st.integers(0, total))
    frames = data.draw(st.integers(0, total - start))
    part = rendered(groups, start, frames, total)
    assert part.shape == (1, frames) and part.dtype == np.float32
    np.testing.assert_array_equal(part, whole[:, start : start + frames])


def test_a_missing_group_changes_only_what_overlaps_it() -> None:
    groups = {index: tone_group(4, index) for index in range(3)}
    total = 12 * 4096
    whole = rendered(groups, 0, total, total)
    without = rendered({0: groups[0], 2: groups[2]}, 0, total, total)
    assert np.array_equal(without[:, : 4 * 4096 - 2048], whole[:, : 4 * 4096 - 2048])
    assert np.array_equal(without[:, 8 * 4096 + 2048 :], whole[:, 8 * 4096 + 2048 :])
    assert not without[:, 4 * 4096 + 2048 : 8 * 4096 - 2048].any()


def test_silent_blocks_are_exact_silence() -> None:
    group = Group(100, 18, [[silent_block(0)], [silent_block(1), silent_block(1)], [silent_block(4)] * 16])
    assert not rendered({0: group}, 0, 3 * 4096, 3 * 4096).any()
    assert not rendered({0: Group(0, 0)}, 0, 3 * 4096, 3 * 4096).any()
