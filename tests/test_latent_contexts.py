"""Fitting of the integer model of latents to latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evc.format.errors import InputError
from evc.format.streams.latent_model import (
    BLOCKS,
    DIFFERENCE_ROWS,
    LAST,
    MAGNITUDE_ROWS,
    PREFIX,
    SHARED,
    Known,
    LatentModel,
)
from evc.models.latents.contexts import ContextModel, looks, passes
from evc.models.latents.entropy import prior_differences, prior_magnitudes, untrained_entropy
from evc.models.latents.train_contexts import fit, install, load, raw_bits, static_bits
from evc.models.training.integer_layers import FEATURE_SCALE, Arrays

GROUPS = (10, 6, 4)


def items(seed: int, count: int = 6, columns: int = 120) -> list[tuple[np.ndarray, int]]:
    """Latents that get smaller towards high dimensions and are loud or quiet together; the last ones change slowly."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        step = int(random.choice([20, 50]))
        loud = np.repeat(2 ** random.normal(0, 1.5, -(-columns // 10)), 10)[:columns, None]
        spread = 6 * 0.7 ** np.concatenate([np.arange(size) for size in GROUPS]) * loud * 2 ** ((20 - step) / 16)
        values = random.laplace(0, spread)
        values[:, -GROUPS[-1] :] = np.cumsum(random.laplace(0, 0.3, (columns, GROUPS[-1])), axis=0)
        found.append((np.rint(values).astype(np.int64), step))
    return found


def model_of(entropy: Arrays) -> LatentModel:
    return LatentModel({name.removeprefix(PREFIX): array for name, array in entropy.items()})


def cost(model: LatentModel, others: list[tuple[np.ndarray, int]]) -> float:
    return sum(float(model.bits(latents, step).sum()) for latents, step in others)


def test_a_fitted_model_is_better_than_what_knows_less() -> None:
    others = items(1)
    found = cost(model_of(fit(items(0), steps=250, groups=GROUPS)), others)
    assert found < 0.85 * cost(model_of(untrained_entropy(sum(GROUPS))), others)
    assert found < 0.9 * static_bits(others) < raw_bits(others)


def test_a_seed_gives_the_same_model() -> None:
    one, other, third = (fit(items(0, 2), seed=seed, steps=20, groups=GROUPS) for seed in (3, 3, 4))
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert any((one[name] != third[name]).any() for name in one)


def test_other_dimensions_are_refused() -> None:
    for latents in ([], [(np.zeros((9, 19), np.int64), 3)]):
        with pytest.raises(ValueError, match="20 dimensions"):
            fit(latents, steps=1, groups=GROUPS)


def test_integers_are_near_the_floats() -> None:
    """Scales and centres of the integer network, in its own units, beside those of the network it is made of."""
    torch.manual_seed(1)
    order, look = passes(GROUPS), looks(GROUPS)
    model = ContextModel(order, look, GROUPS[-1])
    torch.nn.init.normal_(model.centre.weight, std=0.2)
    arrays = model.integer() | {"order": order, "look": look}
    ones = {
        "magnitudes": np.ones(prior_magnitudes().shape, int),
        "differences": np.ones(prior_differences().shape, int),
    }
    integers, (latents, step) = LatentModel(arrays | ones), items(2, 1)[0]
    known = Known.before(latents, GROUPS[-1], step)
    for stage, at in enumerate(integers.passes):
        predicted = integers.predict(stage, known)
        x = torch.from_numpy(known.features[:, look[at]] * FEATURE_SCALE)
        x = x @ model.linear[0].weight.T + model.linear[0].bias[at]
        for layer in model.linear[1:]:
            x = layer(torch.clamp(x, 0, 4))
        scale = 8 * x[..., 0].detach().numpy() + 17
        rows = predicted.row // 4 if integers.signed(stage) else predicted.row % 31
        assert np.abs(rows + 3 * predicted.low_bits - np.clip(scale, 0, 54)).max() < 0.8
        if integers.signed(stage):
            weights = (model.centre.weight * model.mask).detach().numpy()
            centre = known.values @ weights.T + model.centre.bias.detach().numpy()
            quarters = 4 * predicted.centre + predicted.row % 4
            assert np.abs(quarters / 4 - centre[:, at - sum(GROUPS[:-1])]).max() < 0.25
        known.add(at, latents[:, at])


def test_what_is_looked_at() -> None:
    order, look = passes(GROUPS), looks(GROUPS)
    total, end = sum(GROUPS), BLOCKS * sum(GROUPS) + GROUPS[-1]
    assert look.min() >= 0 and look.max() < end + SHARED
    assert (look[:, 0] == LAST * total + np.arange(total)).all()
    assert set(order[: -GROUPS[-1]]) == {0, 1} and set(order[-GROUPS[-1] :]) == {2, 3}
    for start, size in ((0, 10), (10, 6), (16, 4)):
        assert (np.diff(order[start : start + size]) != 0).all()
    assert (order[:6] != order[10:16]).all()


def test_priors_are_probabilities() -> None:
    for prior, rows in ((prior_magnitudes(), MAGNITUDE_ROWS), (prior_differences(), DIFFERENCE_ROWS)):
        assert len(prior) == rows and prior.min() >= 0
        np.testing.assert_allclose(prior.sum(axis=1), 1)


def test_tables_are_put_into_weights(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    path, fitted = tmp_path / "network.safetensors", fit(items(0, 2), steps=5, groups=GROUPS)
    network = {"decoder.weight": np.arange(6, dtype=np.float16).reshape(2, 3), "entropy.old": np.zeros(3, np.int32)}
    save_file(network, path, {"config": "{}"})
    with pytest.raises(InputError, match="probabilities of latents"):
        LatentModel.load(path)
    install(fitted, path)
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"config": "{}"}
        assert set(file.keys()) == {"decoder.weight", *fitted}
        np.testing.assert_array_equal(file.get_tensor("decoder.weight"), network["decoder.weight"])
    others = items(1)
    assert cost(LatentModel.load(path), others) == cost(model_of(fitted), others)


def test_files_of_latents(tmp_path: Path) -> None:
    made = items(5, 3)
    arrays = {f"q_{number}": latents.astype(np.int16) for number, (latents, _) in enumerate(made)}
    np.savez(tmp_path / "latents.npz", step=np.array([step for _, step in made]), **arrays)
    for (latents, step), (other, other_step) in zip(load(tmp_path / "latents.npz"), made, strict=True):
        np.testing.assert_array_equal(latents, other)
        assert step == other_step


def test_plain_costs() -> None:
    latents = np.array([[0, 3], [1, 3], [0, 3], [1, 3]])
    assert raw_bits([(latents, 5)]) == 4 and static_bits([(latents, 5)]) == 4
    assert raw_bits([(latents, 5), (latents + 100, 5)]) == 8 * (7 + 7)
    assert raw_bits([(latents, 5), (latents + 100, 16)]) == 8
