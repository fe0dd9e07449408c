"""What codes the symbols of the spectrum stream: networks that are exact, contexts, bands and steps, all integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_spectrum_stream import RATES, streams

from evc.format import constants as c
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_contexts as contexts
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.integer_network import EXACT, MOST_WEIGHT, exact_layer
from evc.format.streams.spectrum import SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_model import BlockNetwork, spectrum_model
from evc.format.streams.spectrum_steps import step_logs
from evc.format.streams.spectrum_tables import tables
from evc.format.streams.spectrum_walk import Walk
from evc.models.training.integer_layers import FINEST_SHIFT, rounded_layer

# Networks and contexts


def network_layers(name: str) -> list[tuple[np.ndarray, np.ndarray, int]]:
    arrays = tables()
    shifts = arrays[f"{name}.shifts"]
    return [(arrays[f"{name}.w{i}"], arrays[f"{name}.b{i}"], int(shift)) for i, shift in enumerate(shifts)]


def in_integers(layers: list[tuple[np.ndarray, np.ndarray, int]], features: np.ndarray) -> np.ndarray:
    """What the spec says: int64 [n, inputs], the static features first, to int64 [n, outputs]."""
    values = features.astype(np.int64)
    for number, (weights, biases, shift) in enumerate(layers):
        values = (values @ weights.astype(np.int64).T + biases.astype(np.int64)) >> shift
        if number < len(layers) - 1:
            values = np.clip(values, 0, c.ACTIVATION_LIMIT)
    return values


NETWORKS = [
    *(f"energy{channel}{stage}" for channel in range(2) for stage in range(contexts.ENERGY_PASSES)),
    *(f"coefficient{channel}{stage}" for channel in range(2) for stage in range(contexts.COEFFICIENT_PASSES)),
]


def test_a_weight_beyond_16_bits_is_refused() -> None:
    least = np.array([[-MOST_WEIGHT, 1]])
    exact_layer(least, np.zeros(1, np.int64), 0, c.FEATURE_LIMIT)
    for beyond in (least - [[1, 0]], least + [[0, MOST_WEIGHT]], np.array([[-(2**63), 1]])):
        with pytest.raises(ValueError, match="16 bits"):
            exact_layer(beyond, np.zeros(1, np.int64), 0, c.FEATURE_LIMIT)
    with pytest.raises(ValueError, match="exact range"):
        exact_layer(least, np.array([-(2**63)]), 0, c.FEATURE_LIMIT)


@pytest.mark.parametrize("size", [1e-3, 1.0, 9.0, 300.0])
def test_training_rounds_to_weights_that_are_read(size: float) -> None:
    random = np.random.default_rng(3)
    floats, biases = size * random.standard_normal((4, 2)), random.standard_normal(4)
    weights, offsets, shift = rounded_layer(floats, biases, c.FEATURE_LIMIT)
    exact_layer(weights, offsets, shift, c.FEATURE_LIMIT)
    np.testing.assert_allclose(weights * 2.0**-shift, floats, atol=2.0 ** (-shift - 1))
    # Twice as fine would not do, or is finer than need be.
    sums = np.abs(2 * weights).sum(axis=1) * c.FEATURE_LIMIT + np.abs(2 * offsets)
    assert shift == FINEST_SHIFT or np.abs(2 * weights).max() >= MOST_WEIGHT or sums.max() > 0.99 * EXACT


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_exact_in_float32(name: str) -> None:
    layers = network_layers(name)
    network = BlockNetwork([(w.astype(np.int64), b.astype(np.int64), shift) for w, b, shift in layers])
    inputs = layers[0][0].shape[1] - contexts.STATIC_FEATURES
    random = np.random.default_rng(0)
    features = random.integers(-c.FEATURE_LIMIT, c.FEATURE_LIMIT + 1, (400, inputs))
    features[:100] = c.FEATURE_LIMIT * random.choice([-1, 1], (100, inputs))
    for depth, before in [(0, 0), (2, 4), (4, 0)]:
        static = np.broadcast_to(contexts.static_features(depth, before), (400, contexts.STATIC_FEATURES))
        exact = in_integers(layers, np.concatenate([static, features], axis=1))
        found = network.of_block(features.astype(np.float32), (depth, before))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, exact)
        # One row alone, or in reverse order, gives the same: sums of any order are exact.
        np.testing.assert_array_equal(network.of_block(features[::-1].astype(np.float32), (depth, before))[::-1], exact)
        np.testing.assert_array_equal(network.of_block(features[:1].astype(np.float32), (depth, before)), exact[:1])


def test_a_network_that_can_be_inexact_is_refused() -> None:
    layers = [(w.astype(np.int64), b.astype(np.int64), shift) for w, b, shift in network_layers(NETWORKS[0])]
    weights, biases, shift = layers[1]
    layers[1] = (weights, biases + (1 << 24), shift)
    with pytest.raises(ValueError, match="exact range"):
        BlockNetwork(layers)


def test_static_features_are_integers_within_the_limit() -> None:
    for depth in range(c.BLOCK_DEPTHS):
        for before in range(c.BLOCK_DEPTHS):
            features = contexts.static_features(depth, before)
            assert np.array_equal(features, np.rint(features)) and np.abs(features).max() <= c.FEATURE_LIMIT


class CheckingModel:
    """The real model, which checks that all it is asked with is whole and within the limits."""

    def __init__(self) -> None:
        self.real = spectrum_model()
        self.asked = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def energy_rows(self, key, features, reference, static):
        assert reference.dtype == np.int64
        self._check(features)
        return self.real.energy_rows(key, features, reference, static)

    def coefficient_rows(self, key, features, static):
        self._check(features)
        rows = self.real.coefficient_rows(key, features, static)
        assert rows.dtype == np.int64 and rows.min() >= 0 and rows.max() < self.real.coefficient_table[key].rows
        return rows

    def _check(self, features: np.ndarray) -> None:
        assert np.array_equal(features, np.rint(features)) and np.abs(features).max() <= c.FEATURE_LIMIT
        self.asked += 1


class CheckingPort:
    """Passes given blocks through and checks the rows that they are coded with."""

    def __init__(self) -> None:
        self.block: Block

    def begin(self, block, steps, levels, bands):
        assert steps.dtype.kind == levels.dtype.kind == "i"
        self.block, self.layout = block, bands

    def symbols(self, values, table, rows, kind):
        rows = np.asarray(rows)
        assert rows.dtype.kind == "i" and (not rows.size or 0 <= rows.min() <= rows.max() < table.rows)
        return values

    def golomb(self, values, order, kind):
        assert values.min() >= 0
        return values

    def bands(self, channel, at, table, rows):
        used = np.maximum.reduceat(np.abs(self.block.coefficients[channel]), self.layout.edges[:-1]) > 0
        return self.symbols(used[at], table, rows, "bands")

    def magnitudes(self, channel, bins, shifts, table, rows):
        magnitudes = np.abs(self.block.coefficients[channel, bins]) >> shifts
        return self.symbols(np.minimum(magnitudes, c.MAGNITUDE_SYMBOLS - 1), table, rows, "coefficients")


@given(streams())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_contexts_are_integers_and_rows_exist(case: tuple[SpectrumStream, StreamContext]) -> None:
    stream, context = case
    model, port = CheckingModel(), CheckingPort()
    superframe = c.superframe_length(context.samplerate)
    for group, channels in zip(stream.groups, channel_groups(context.channels)):
        if not group.coarse_bands:
            continue
        geometry = layout.geometry(superframe, group.coarse_bands)
        walk = Walk(geometry, channels.stop - channels.start, group.gain, model)
        for blocks in group.superframes:
            assert walk.superframe(0, [block.depth for block in blocks], port)[1] == [block.depth for block in blocks]
            for block in blocks:
                walk.block(block, port)
        assert model.asked > 0


# Bands and steps


@pytest.mark.parametrize("rate", RATES + [11_025, 16_000, 24_000, 32_000, 88_200])
def test_the_widest_layout_reaches_half_the_sample_rate(rate: int) -> None:
    superframe = c.superframe_length(rate)
    for bands in range(1, layout.most_coarse_bands(rate) + 1):
        geometry = layout.geometry(superframe, bands)
        for depth, found in enumerate(geometry.layouts):
            assert found.edges[0] == 0 and (found.widths > 0).all() and found.bins <= superframe >> depth
            assert np.array_equal(found.band_of_bin, np.repeat(np.arange(found.bands), found.widths))
            assert found.bins == geometry.layouts[0].bins >> depth
        assert set(geometry.layouts[-1].edges << (c.BLOCK_DEPTHS - 1)) <= set(geometry.layouts[0].edges)
        assert len(geometry.coarse.widths) == bands
    assert geometry.layouts[0].bins == superframe


def test_layouts_change_by_integer_means() -> None:
    geometry = layout.geometry(4096, 18)
    fine, coarse = geometry.layouts[0], geometry.layouts[-1]
    values = np.random.default_rng(0).integers(-100, 200, fine.bands)
    down = layout.change_layout(values, fine, coarse)
    for band in range(coarse.bands):
        part = values[coarse.fine[band] : coarse.fine[band + 1]]
        assert down[band] == part.sum() // len(part)
    assert np.array_equal(layout.change_layout(layout.change_layout(down, coarse, fine), fine, coarse), down)
    assert layout.change_layout(values, fine, geometry.layouts[1]) is values


@given(st.integers(0, 99), st.integers(-500, 500), st.integers(0, c.BLOCK_DEPTHS - 1))
def test_steps_are_integers_that_follow_gain_and_energy(seed: int, gain: int, depth: int) -> None:
    geometry = layout.geometry(4096, 18)
    random = np.random.default_rng(seed)
    indices = random.integers(0, c.ENERGY_MAX + 1, (2, geometry.layouts[depth].bands))
    steps = step_logs(layout.energy_log(indices), 0, depth)
    assert steps.dtype == np.int64 and steps.shape == indices.shape
    np.testing.assert_array_equal(step_logs(layout.energy_log(indices), gain, depth), steps + gain)
    band = int(random.integers(0, indices.shape[1]))
    louder = indices.copy()
    louder[:, band] = c.ENERGY_MAX
    assert (step_logs(layout.energy_log(louder), 0, depth) >= steps).all()
