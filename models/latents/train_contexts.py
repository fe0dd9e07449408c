"""Fit the probability model of latents to latents of music, and put it into the weights of their network.

    python -m evc.models.latents.train_contexts LATENTS.npz ... --weights WEIGHTS.safetensors

Such a file has integers `q_0`, `q_1`, … [columns, dimensions], each of consecutive columns, and `step` [items], the
index of the step size of each. A float model is trained on them, rounded to integers, and its tables are counted.
Needs torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evc.format import constants as c
from evc.format.streams.latent_model import PREFIX, Known, LatentModel
from evc.models.device import one_thread
from evc.models.latents.contexts import GROUPS, ContextModel, looks, passes
from evc.models.latents.entropy import prior_differences, prior_magnitudes, stored
from evc.models.training.integer_layers import FEATURE_SCALE, Arrays, count_table

Item = tuple[NDArray[np.int64], int]  # latents [columns, dimensions], step index
Report = Callable[[str], None]

BATCH = 48  # columns
STEPS = 2400
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 1e-4
MOST_COLUMNS = 60_000
HELD_OUT = 8  # one item of so many


def fit(
    latents: Sequence[Item],
    seed: int = 0,
    steps: int = STEPS,
    report: Report | None = None,
    groups: Sequence[int] = GROUPS,
) -> Arrays:
    """The tables `entropy.*` for a weights file, from items of consecutive columns. Raises ValueError if there are
    none, or their dimensions are not those of the groups."""
    items = [(np.asarray(item, np.int64), int(step)) for item, step in latents]
    if not items or any(item.shape[1:] != (sum(groups),) for item, _ in items):
        raise ValueError(f"the model is fitted to latents of {sum(groups)} dimensions")
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    items = _limited(items, random)
    order, look = passes(groups), looks(groups)
    model = ContextModel(order, look, groups[-1])
    with one_thread():
        _train(model, items, random, steps, report)
    return stored(_counted(model.integer() | {"order": order, "look": look}, items))


def _train(
    model: ContextModel, items: Sequence[Item], random: np.random.Generator, steps: int, report: Report | None
) -> None:
    whole = [_known(latents, model.predicted, step) for latents, step in items]
    features, values = (np.concatenate(parts) for parts in zip(*whole, strict=True))
    latents = np.concatenate([latents for latents, _ in items]).astype(np.int16)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    mean = 0.0
    for number in range(steps):
        chosen = random.integers(0, len(latents), BATCH)
        parts = [torch.from_numpy(part[chosen].astype(np.float32)) for part in (features, values, latents)]
        loss = model.bits(parts[0] * FEATURE_SCALE, *parts[1:])
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        mean += max(0.02, 1 / (number + 1)) * (loss.item() - mean)
        if report and (number + 1) % 400 == 0:
            report(f"step {number + 1}: {mean:.4f} bits per latent, signs apart")


def _known(latents: NDArray[np.int64], predicted: int, step: int) -> tuple[NDArray[np.int8], NDArray[np.int16]]:
    """What is known in front of each column, features and values, with all of the column itself."""
    known, first = Known.before(latents, predicted, step), latents.shape[1] - predicted
    for at in np.split(np.arange(latents.shape[1]), [first]):
        known.add(at, latents[:, at])
    return known.features.astype(np.int8), known.values.astype(np.int16)


def _limited(items: list[Item], random: np.random.Generator) -> list[Item]:
    """A random choice of the items, of about MOST_COLUMNS."""
    chosen: list[Item] = []
    for number in random.permutation(len(items)):
        chosen.append(items[number])
        if sum(len(latents) for latents, _ in chosen) >= MOST_COLUMNS:
            break
    return chosen


def _counted(arrays: Arrays, items: Sequence[Item]) -> Arrays:
    """The arrays with tables of what is found under each row."""
    priors = {"magnitudes": prior_magnitudes(), "differences": prior_differences()}
    model = LatentModel(arrays | {name: np.ones(prior.shape, np.int64) for name, prior in priors.items()})
    found: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {name: [] for name in priors}
    for latents, step in items:
        for stage, predicted in enumerate(model.predictions(latents, step)):
            symbols = model.symbols(stage, latents[:, model.passes[stage]], predicted)[1]
            name = "differences" if model.signed(stage) else "magnitudes"
            found[name].append((predicted.row.reshape(-1), symbols.reshape(-1)))
    for name, prior in priors.items():
        rows, symbols = (np.concatenate(parts) for parts in zip(*found[name], strict=True))
        arrays[name] = count_table(rows, symbols, prior.shape, prior)
    return arrays


def raw_bits(items: Sequence[Item]) -> float:
    """Bits of all latents as indices of fixed length: as many as the range of a dimension takes, by octave of steps."""
    return sum(_by_step(items, lambda q: len(q) * np.ceil(np.log2(q.max(axis=0) - q.min(axis=0) + 1)).sum()))


def static_bits(items: Sequence[Item]) -> float:
    """Bits of all latents under their own frequencies in each dimension and octave of steps: entropy of order zero."""

    def entropy(q: NDArray[np.int64]) -> float:
        counts = [np.unique(column, return_counts=True)[1] for column in q.T]
        return -sum(float((count * np.log2(count / len(q))).sum()) for count in counts)

    return sum(_by_step(items, entropy))


def _by_step(items: Sequence[Item], measure: Callable[[NDArray[np.int64]], float]) -> list[float]:
    """A measure of all latents [columns, dimensions] whose step sizes are in the same octave, for each octave."""
    octaves = [step // c.LATENT_STEPS_PER_OCTAVE for _, step in items]
    return [
        float(measure(np.concatenate([q for (q, _), other in zip(items, octaves, strict=True) if other == octave])))
        for octave in sorted(set(octaves))
    ]


def load(path: Path) -> list[Item]:
    """The items of one file of latents."""
    with np.load(path) as arrays:
        steps = arrays["step"].reshape(-1)
        return [(arrays[f"q_{number}"].astype(np.int64), int(step)) for number, step in enumerate(steps)]


def install(entropy: Arrays, weights: Path) -> None:
    """Put the tables into a weights file in place of those that are there; all else in it stays."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(weights, framework="np") as file:
        metadata = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys() if not name.startswith(PREFIX)}
    save_file(arrays | entropy, weights, metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("latents", type=Path, nargs="+", help="files of latents (.npz)")
    parser.add_argument("--weights", type=Path, help="put the tables into this file")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    items = [item for path in arguments.latents for item in load(path)]
    held_out = items[HELD_OUT - 1 :: HELD_OUT]
    training = [item for number, item in enumerate(items) if number % HELD_OUT != HELD_OUT - 1]
    entropy = fit(training, steps=arguments.steps, report=print)
    model = LatentModel({name.removeprefix(PREFIX): array for name, array in entropy.items()})
    found = sum(float(model.bits(latents, step).sum()) for latents, step in held_out)
    count = sum(latents.size for latents, _ in held_out)
    raw, static = raw_bits(held_out), static_bits(held_out)
    print(f"bits per latent: raw {raw / count:.4f}, static {static / count:.4f}, this model {found / count:.4f}")
    print(f"against raw {found / raw - 1:+.1%}, against static {found / static - 1:+.1%}")
    if arguments.weights:
        install(entropy, arguments.weights)


if __name__ == "__main__":
    main()
