"""Kernels that are compiled twice (variants.h) give the same bits with wider vectors as without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evc import kernels
from evc.format.networks import weights
from evc.models.events.atoms import Atoms
from evc.models.events.fitting import EventFitter
from evc.models.events.moments import Moments
from evc.models.events.shapes import Shape
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.events.weighting import Weighting
from evc.models.latents import blocks, views
from evc.models.latents.layout import BANDS, BINS, FEATURES, HOP, WINDOW
from evc.models.patterns.products import Bands
from evc.models.spectrum import envelope

pytestmark = pytest.mark.skipif(kernels.lib is None, reason=kernels.what_runs())

EDGES = np.array([0, 1, 5, 20, 77, 84, 250], np.int64)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def latent_views() -> list[np.ndarray]:
    frames = 5
    spectra = views.spectrum(normal(0, 2, (frames - 1) * HOP + WINDOW), frames)
    over = views.envelope(spectra)
    features, power = np.zeros((frames, FEATURES), np.float32), np.zeros((frames, 2, BINS), np.float32)
    levels, heard = np.zeros((frames, 2 * BANDS), np.float32), spectra.copy()
    views.view(spectra, over, features, power, levels)
    said = normal(1, frames, 6 * BINS + 2 * BANDS)
    views.bend(heard, over.local, power, said, said[0].copy(), normal(2, frames, 2 * BANDS))
    return [spectra.view(np.float32), *over, features, power, levels, heard.view(np.float32), views.waveform(heard)]


def latent_layers() -> list[np.ndarray]:
    norm = blocks.Norm({"n.weight": normal(0, 45), "n.bias": normal(1, 45)}, "n")
    values = 3 * normal(2, 20, 45)
    near = blocks.near_norm(values, normal(3, 5, 45), normal(4, 45), norm)
    blocks.gelu(values, normal(5, 45))
    return [near, values]


def band_by_band() -> list[np.ndarray]:
    bands, one, other = Bands(EDGES, 256), 9 * normal(0, 2, 3, 256), normal(1, 4, 2, 3, 256)
    left, gains = one[0].copy(), normal(2, 4, 2, len(EDGES) - 1)
    bands.subtract(left, other[0, 0], gains[0, 0])
    bits = bands.left_bits(one, other, np.arange(4), gains, np.abs(gains[0]))
    return [bands.products(one, one), left, bits]


def under_envelopes() -> list[np.ndarray]:
    values = np.random.default_rng(1).integers(-4, 5, (6, 3))
    edges, sounds = np.array([18, 47, 105, 257], np.int64), (normal(0, 1, 7 * 256), normal(1, 2, 7 * 256))
    return [found(*told) for sound in sounds for found, *told in (
        (envelope.changes, sound, values, edges, 256), (envelope.levels, sound, edges, 256),
    )]  # fmt: skip


def filters() -> list[np.ndarray]:
    padded, taps, out = normal(0, 9 + 4, 7 + 2, 21), normal(1, 5, 3, 21), normal(2, 9, 7, 21)
    kernels.lib.evc_filter_cells(*map(kernels.pointer, (padded, taps, out)), 9, 7, 21, 1)
    return [out]


def events() -> list[Any]:
    rate, grid, frames = 22_050, 32 / 22_050, 30_000
    t = np.arange(frames) / rate
    tones = [np.sin(2 * np.pi * 220 * partial * t + partial) / partial for partial in range(1, 6)]
    residual = np.exp(-4 * t) * np.sum(tones, axis=0) * np.array([[0.3], [0.2]]) + 0.001 * normal(0, 2, frames)
    atoms = Atoms.of(SoundTables.load(weights(EVENTS_NETWORK)))
    fitter = EventFitter(atoms, rate, grid, Weighting(residual, rate), Moments(np.zeros(0)), frames)
    found = [fitter.fit(residual, Shape(0.02, 220.0 * k, 10, 6, 0.01), 1e-9) for k in (1, 2)]
    assert found[0] is not None
    return [array for event in found if event is not None for array in (event.codes, event.waveform)]


@pytest.mark.parametrize("results", [latent_views, latent_layers, band_by_band, under_envelopes, filters, events])
def test_wide_and_narrow_vectors_give_the_same_bits(results: Callable[[], list[np.ndarray]]) -> None:
    if not kernels.lib.evc_widen(1):
        pytest.skip("this processor has no wider vectors")
    wide = results()
    kernels.lib.evc_widen(0)
    try:
        narrow = results()
    finally:
        kernels.lib.evc_widen(1)
    assert len(wide) == len(narrow)
    for one, other in zip(wide, narrow, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.any(one)
