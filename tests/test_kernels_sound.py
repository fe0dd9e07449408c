"""The kernels of the spectrum layer's signal processing do what the NumPy code beside them does."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import evc
from evc import kernels
from evc.format import constants as c
from evc.format.sources import SoundSource
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.dictionary import Loop
from evc.models.patterns.sounding import Sounding, _add_weighted
from evc.models.patterns.timeline import delayed
from evc.models.patterns.waveforms import add_waveform
from evc.models.spectrum import analysis, mdct, stereo
from evc.models.spectrum.reconstruction import dequantise
from evc.samples import converted, turned

pytestmark = pytest.mark.skipif(kernels.lib is None, reason="evc is built without kernels")

SUPERFRAME = 4096
GEOMETRY = layout.geometry(SUPERFRAME, 20)
DEPTHS = range(c.BLOCK_DEPTHS)


@pytest.fixture(params=["wide", "narrow"], autouse=True)
def vectors(request: pytest.FixtureRequest) -> Iterator[None]:
    """All with the widest vectors, where the processor has them, and without."""
    if bool(kernels.lib.evc_widen(request.param == "wide")) != (request.param == "wide"):
        pytest.skip("this processor has no wider vectors")
    yield
    kernels.lib.evc_widen(1)


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return random(seed).normal(size=shape).astype(np.float32)


def both(function: Callable[[], Any]) -> tuple[Any, Any]:
    """What it returns with kernels and without."""
    found = function()
    with kernels.reference():
        return found, function()


def close(function: Callable[[], np.ndarray], tolerance: float) -> None:
    """The same but for rounding, `tolerance` being relative to the largest number."""
    found, expected = both(function)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(initial=0), 1e-30))


def partition(seed: int, superframes: int) -> np.ndarray:
    """Depths of the blocks of some superframes."""
    choices = random(seed)

    def leaves(depth: int) -> list[int]:
        if depth == c.BLOCK_DEPTHS - 1 or choices.random() < 0.4:
            return [depth]
        return leaves(depth + 1) + leaves(depth + 1)

    return np.array([depth for _ in range(superframes) for depth in leaves(0)])


# --- The lapped transform


@pytest.mark.parametrize("size", [1 << exponent for exponent in range(5, 15)])
def test_dct4(size: int) -> None:
    blocks = noise(2, 3, size, seed=size)
    close(lambda: mdct.dct4(blocks), 1e-6)
    assert np.array_equal(mdct.dct4(blocks)[1, 2], mdct.dct4(blocks[1, 2]))


@pytest.mark.parametrize("size", [64, 1024, 8192])
def test_dct4_is_as_precise_as_float32_can_be(size: int) -> None:
    block, place = noise(size), np.arange(size) + 0.5
    some = random(1).integers(0, size, 20)
    exact = np.sqrt(2 / size) * np.cos(np.pi / size * np.outer(place[some], place)) @ block.astype(float)
    assert np.abs(mdct.dct4(block)[some] - exact).max() < 2e-6


def test_wide_and_narrow_vectors_give_the_same_bits() -> None:
    blocks = noise(4, 2048)
    kernels.lib.evc_widen(0)
    narrow = mdct.dct4(blocks)
    kernels.lib.evc_widen(1)
    assert np.array_equal(mdct.dct4(blocks), narrow)


def test_dct4_to_places() -> None:
    blocks, starts = noise(2, 3, 128), np.array([256, 0, 700])

    def put() -> np.ndarray:
        signal = np.zeros((2, 900), np.float32)
        mdct.dct4_into(signal, blocks, starts)
        return signal

    close(put, 1e-6)
    for outside in (-1, 773):
        with pytest.raises(IndexError):
            mdct.dct4_into(np.zeros((2, 900), np.float32), blocks, np.array([0, 128, outside]))


@pytest.mark.parametrize("inverse", [False, True])
def test_fold(inverse: bool) -> None:
    boundaries, overlaps = np.array([128, 400, 1500, 3000]), np.array([256, 0, 1024, 2])

    def folded() -> np.ndarray:
        signal = noise(2, 4096)
        mdct.fold(signal, boundaries, overlaps, inverse)
        return signal

    found, expected = both(folded)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("boundary", [-1, 63, 961, 1 << 40])
def test_an_overlap_outside_the_signal_is_refused(boundary: int) -> None:
    with pytest.raises(IndexError):
        mdct.fold(np.zeros((1, 1024), np.float32), np.array([boundary]), np.array([128]))


@pytest.mark.parametrize("superframe", [1024, 16384])
@pytest.mark.parametrize("seed", range(4))
def test_transform(superframe: int, seed: int) -> None:
    depths = partition(seed, 3)
    signal = noise(1 + seed % 2, 5 * superframe, seed=seed)
    before, after = (superframe >> seed, 0) if seed % 2 else (0, superframe)
    found, expected = both(lambda: analysis.transform(signal, superframe, depths, superframe, before, after))
    assert list(found) == list(expected)
    for depth, (numbers, spectra) in expected.items():
        assert np.array_equal(found[depth][0], numbers)
        np.testing.assert_allclose(found[depth][1], spectra, rtol=0, atol=2e-5)
    with pytest.raises(IndexError):
        analysis.transform(signal[:, : 4 * superframe], superframe, depths, superframe, before, superframe)


@pytest.mark.parametrize("depth", DEPTHS)
def test_uniform_spectra_and_back(depth: int) -> None:
    signal, size = noise(2, 4 * SUPERFRAME), SUPERFRAME >> depth
    part = signal[:, 100:]  # not contiguous
    close(lambda: analysis.uniform_spectra(part, SUPERFRAME, 2 * SUPERFRAME, size), 1e-6)
    spectra = analysis.uniform_spectra(part, SUPERFRAME, 2 * SUPERFRAME, size)
    close(lambda: analysis.uniform_signal(spectra), 1e-6)
    assert analysis.uniform_spectra(part, SUPERFRAME, 0, size).shape == (2, 0, size)


# --- Coefficients


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("channels, coarse_bands", [(1, 1), (2, 20), (2, 23)])
def test_dequantise(depth: int, channels: int, coarse_bands: int) -> None:
    choices, bands = random(depth), layout.geometry(SUPERFRAME, coarse_bands).layouts[depth]
    of_bands = channels, 5, bands.bands
    coefficients = choices.integers(-3, 4, (channels, 5, bands.bins)) * choices.integers(0, 2, (1, 5, bands.bins))
    coefficients[..., bands.bins // 2 :] = 0
    energies, steps = choices.integers(0, c.ENERGY_MAX + 1, of_bands), choices.integers(-200, 700, of_bands)
    starts = np.array([0, 7, 4096, (1 << 29) - 5, (1 << 40) + 3])  # at which counters wrap
    found, expected = both(lambda: dequantise(coefficients, energies, steps, bands, starts, 6))
    assert found.dtype == expected.dtype == np.float32
    scale = np.exp2(np.maximum(layout.energy_log(energies), steps) / c.OCTAVE)[..., bands.band_of_bin]
    assert (np.abs(found - expected) <= 1e-6 * scale + 1e-6 * np.abs(expected)).all()
    assert np.array_equal(found == 0, expected == 0)


def test_absurd_steps_and_coefficients_leave_nothing_to_fill() -> None:
    bands = GEOMETRY.layouts[0]
    coefficients = np.zeros((1, 1, bands.bins), np.int32)
    coefficients[..., ::2] = c.MAX_MAGNITUDE
    coefficients[..., ::4] *= -1
    shape = 1, 1, bands.bands
    for step in np.full(shape, -4000), np.full(shape, 4100):
        with np.errstate(over="ignore"):
            found, expected = both(
                partial(dequantise, coefficients, np.full(shape, 47), step, bands, np.array([0]), 0)
            )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * 2.0 ** (step[0, 0, 0] / c.OCTAVE))
        assert np.isfinite(found).all()


@pytest.mark.parametrize("change", [("energies", -1), ("steps", 0), ("starts", 0)])
def test_shapes_that_do_not_go_together_are_refused(change: tuple[str, int]) -> None:
    bands, of_bands = GEOMETRY.layouts[0], (2, 3, GEOMETRY.layouts[0].bands)
    arrays = {
        "coefficients": np.zeros((2, 3, bands.bins), np.int32), "energies": np.zeros(of_bands, np.int64),
        "steps": np.zeros(of_bands, np.int64), "starts": np.zeros(3, np.int64),
    }  # fmt: skip
    dequantise(**arrays, bands=bands, channel=0)
    name, axis = change
    arrays[name] = np.delete(arrays[name], 0, axis)
    with pytest.raises(ValueError):
        dequantise(**arrays, bands=bands, channel=0)


@pytest.mark.parametrize("depth", DEPTHS)
def test_stereo(depth: int) -> None:
    pair, modes = noise(2, 16, SUPERFRAME >> depth), random(depth).integers(0, c.STEREO_MODES, (16, 20))
    coded, expected = both(lambda: stereo.apply_stereo(pair, modes, GEOMETRY, depth))
    assert np.array_equal(coded, expected)
    found, expected = both(lambda: stereo.undo_stereo(coded, modes, GEOMETRY, depth))
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError):
        stereo.undo_stereo(coded, modes[1:], GEOMETRY, depth)


@pytest.mark.parametrize("planes, mid_side", [(1, False), (2, False), (2, True)])
def test_what_patterns_add(planes: int, mid_side: bool) -> None:
    depth, edges = 2, np.array([0, 3, 10, 100, 256])
    spectra, gains = noise(2, 6, SUPERFRAME >> depth), noise(planes, 4, seed=1)
    gains[0, 1] = 0
    sounding = Sounding(None, 0, 0, 0, gains, gains != 0, mid_side, edges)  # type: ignore[arg-type]

    def added() -> np.ndarray:
        total = noise(2, 9, SUPERFRAME >> depth, seed=2)
        _add_weighted(total, np.array([8, 0, 3]), spectra, np.array([5, 2, 0]), sounding, depth)
        return total

    found, expected = both(added)
    assert np.array_equal(found, expected)
    with pytest.raises(ValueError):
        _add_weighted(spectra, np.array([0]), spectra, np.array([0]), sounding, 0)
    for row, block in ((6, 0), (-1, 0), (0, 6)):
        with pytest.raises(IndexError):
            _add_weighted(spectra.copy(), np.array([row]), spectra, np.array([block]), sounding, depth)


# --- What the encoder measures


def music(channels: int, superframes: int, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes, so that there are blocks of all sizes."""
    loud = np.exp2(np.cumsum(random(seed).normal(size=superframes * 16)) % 12).repeat(SUPERFRAME // 16)
    signal = noise(channels, len(loud), seed=seed) * loud.astype(np.float32)
    signal[-1] += 0.5 * signal[0]
    return signal


@pytest.mark.parametrize("channels, gain", [(1, -100), (2, 0), (2, 200)])
def test_partitions_and_what_they_cost(channels: int, gain: int) -> None:
    signal, count = music(channels, 12), 10
    found, expected = both(
        lambda: analysis.choose_partitions(signal, signal, SUPERFRAME, count, GEOMETRY, gain)
    )
    assert found == expected and len(set(found)) > 1
    for depth in DEPTHS:
        spectra = analysis.uniform_spectra(signal, SUPERFRAME, count * SUPERFRAME, SUPERFRAME >> depth)
        scales = np.exp2(random(depth).normal(size=(*spectra.shape[:2], 20)) * 10).astype(np.float32)
        edges = GEOMETRY.coarse.edges << (analysis.SPLITS - depth)
        close(partial(analysis._bits, spectra, scales, edges), 1e-6)
        close(partial(analysis.band_rms, spectra, GEOMETRY.layouts[depth]), 1e-6)


@pytest.mark.parametrize("depth", DEPTHS)
def test_costs_of_stereo_modes(depth: int) -> None:
    signal = music(2, 6)
    spectra = analysis.uniform_spectra(signal, SUPERFRAME, 4 * SUPERFRAME, SUPERFRAME >> depth)
    close(lambda: stereo._mode_costs(spectra, spectra, GEOMETRY, depth, 0), 1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_cheapest_modes(seed: int) -> None:
    costs = random(seed).integers(0, 30, (1 + 9 * seed, 7, c.STEREO_MODES)).astype(np.float32)
    found, expected = both(lambda: stereo._cheapest(costs.copy()))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("seed", range(5))
def test_held_blocks(seed: int) -> None:
    choices, depths = random(seed), partition(seed, 8)
    modes = choices.integers(0, 2, (len(depths), 1)) * (choices.random((len(depths), 1)) < 0.1)
    level = np.cumsum(choices.normal(size=len(depths)) * 0.3)
    rms = [
        np.exp2(at + choices.normal(size=(2, GEOMETRY.layouts[depth].bands)) * 0.2).astype(np.float32)
        for at, depth in zip(level, depths)
    ]
    rms[len(rms) // 2][:] = 0
    (held, shared), (expected_held, expected) = both(lambda: analysis.hold_blocks(rms, depths, modes, 100))
    assert np.array_equal(held, expected_held) and 0 < held.sum() < len(held)
    for one, other in zip(shared, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


# --- Samples


@pytest.mark.parametrize("count", [1, 63, 64, 1000])
def test_delays_by_fractions(count: int) -> None:
    signal = noise(2, 2000)
    found, expected = both(
        lambda: delayed(lambda start, length: signal[:, start : start + length], 500, count, (100 << 6) + 13, 6)
    )
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("fraction, own, count", [(0, 1, 1000), (13, 1, 1000), (13, 2, 70), (0, 3, 9)])
def test_waveforms_that_are_added(fraction: int, own: int, count: int) -> None:
    waveform, weights = noise(own, count), noise(2, own, seed=1)
    weights[0, -1] = 0
    source = SoundSource(0, 0, 0, (700 << 5) + fraction, 3, count - 2, 0)

    def added() -> np.ndarray:
        out = noise(2, 800, seed=2)
        add_waveform(out, 250, waveform, source, 5, weights)
        return out

    found, expected = both(added)
    assert np.array_equal(found, expected) and not np.array_equal(found, noise(2, 800, seed=2))
    with pytest.raises(ValueError):
        add_waveform(noise(2, 800), 250, waveform, source, 5, noise(2, own + 1))


@pytest.mark.parametrize("loop", [None, Loop(3000, 9001), Loop(0, 700, True)])
@pytest.mark.parametrize("rate", [1 << 16, 1 << 24, 9_999_999, 50_000_000])
def test_waveforms_that_are_transposed(rate: int, loop: Loop | None) -> None:
    source = SoundSource(0, 0, 0, (700 << 5) + 13, 20, 1500, 0, rate, loop)

    def added() -> np.ndarray:
        out = noise(2, 800, seed=2)
        add_waveform(out, 250, noise(2, 500), source, 5, noise(2, 2, seed=1))
        return out

    found, expected = both(added)
    assert np.array_equal(found, expected) and not np.array_equal(found, noise(2, 800, seed=2))


def test_samples_that_a_delay_lacks_are_not_made_up() -> None:
    with pytest.raises(IndexError):
        delayed(lambda start, length: noise(2, length - 1), 500, 100, 13, 6)


def test_samples_of_16_bits() -> None:
    audio = np.concatenate([
        noise(5000), np.arange(-70000, 70000, dtype=np.float32) / 65536, [1e30, -1e30, np.inf, -np.inf, 0.0],
    ]).astype(np.float32)  # fmt: skip
    found, expected = both(lambda: converted(audio, "int16"))
    assert found.dtype == np.int16 and np.array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 5), (2, 1001), (1001, 2), (5, 333), (2, 0)])
def test_turning(shape: tuple[int, int]) -> None:
    audio = noise(*shape)
    assert np.array_equal(turned(audio), audio.T) and turned(audio).flags.c_contiguous


# --- All together


@pytest.mark.parametrize("samplerate, channels, seconds", [(8000, 1, 2), (44100, 3, 1), (192000, 2, 0.5)])
def test_a_file_sounds_the_same(samplerate: int, channels: int, seconds: float) -> None:
    audio = 0.1 * noise(int(seconds * samplerate), channels)
    audio[len(audio) // 2 :] *= 0.01
    data, plain = both(lambda: evc.encode(audio, samplerate, quality=5))
    assert abs(len(data) - len(plain)) <= 0.001 * len(plain) + 2
    found, expected = both(lambda: evc.open(io.BytesIO(data)).read())
    np.testing.assert_allclose(found, expected, rtol=0, atol=2.0**-20)
