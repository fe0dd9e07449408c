"""Train the probability model of the spectrum stream on a folder of audio and freeze it as integers.

    python -m evc.models.spectrum.train_contexts FOLDER --out spec/tables/spectrum.npz [--start TABLES]

The encoder quantises excerpts at many rates (with the tables of `--start`, or by plain rounding for a first model);
a recording walk collects the features and symbols; small networks are trained to pick, for each symbol, one of a set
of learned distributions; weights are rounded to integers and the distributions refitted by counting. Needs torch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from evc.format import constants as c
from evc.format.streams import spectrum_contexts as contexts
from evc.format.streams.spectrum_model import BlockNetwork, SpectrumModel
from evc.format.streams.spectrum_walk import HALF_ENERGY
from evc.models.spectrum.training_data import Recorder, collect
from evc.models.training.integer_layers import (
    FEATURE_SCALE,
    HIDDEN_SCALE,
    count_table,
    integer_layers,
    table_bits,
)

Array = NDArray[Any]
Arrays = dict[str, Array]
Report = Callable[[str, int, float], None]

UNIT_HZ = 86.1328125  # of the smallest block at 44.1 kHz: steps take all sample rates for this one
UPWARD_DB, DOWNWARD_DB = 10.0, 25.0  # loss of spread energy per Bark, towards higher and lower bands
WIDTH_EXPONENT = 0.22  # of a step, in the width of its band
LOW_HZ, HIGH_HZ, TILT = 2000.0, 6000.0, 0.1875  # octaves by which steps get finer below, and coarser above, per octave
HIDDEN = (48, 24)
BATCH = 8192
LEARNING_RATE = 4e-3


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, *HIDDEN, outputs)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in list(self.layers)[:-1]:
            x = torch.clamp(layer(x), 0, c.ACTIVATION_LIMIT / HIDDEN_SCALE)
        return self.layers[-1](x)


class CoefficientModel(_Perceptron):
    """Features to a point on a grid of distributions (scales times shapes), interpolated while training."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 2)
        magnitudes = torch.arange(c.MAGNITUDE_SYMBOLS).float()
        scales = 2 ** torch.linspace(-4, 4, c.MAGNITUDE_SCALES)
        grid = -1.2 * magnitudes / scales[:, None]
        shape = torch.arange(c.MAGNITUDE_SHAPES)[:, None, None] * 0.02 * magnitudes
        self.grid = nn.Parameter(grid.repeat(c.MAGNITUDE_SHAPES, 1, 1) + shape)

    def place(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self(x)
        return out[:, 0] * 8 + c.MAGNITUDE_SCALES * 0.45, out[:, 1] + (c.MAGNITUDE_SHAPES - 1) / 2

    def bits(self, x: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
        scale, shape = self.place(x)
        scale, shape = scale.clamp(0, c.MAGNITUDE_SCALES - 1.001), shape.clamp(0, c.MAGNITUDE_SHAPES - 1.001)
        i, j = scale.detach().long(), shape.detach().long()
        f, g = (scale - i)[:, None], (shape - j)[:, None]
        logits = functional.log_softmax(self.grid, -1)
        mixed = (logits[j, i] * (1 - f) + logits[j, i + 1] * f) * (1 - g) + (
            logits[j + 1, i] * (1 - f) + logits[j + 1, i + 1] * f
        ) * g
        return functional.cross_entropy(mixed, symbols) / np.log(2)

    def integer(self) -> Arrays:
        # Rows are chosen by rounding: half a row is added to the floor of the integer network.
        return integer_layers(
            list(self.layers), [8.0, 1.0], [c.MAGNITUDE_SCALES * 0.45 + 0.5, (c.MAGNITUDE_SHAPES - 1) / 2 + 0.5]
        )


class EnergyModel(_Perceptron):
    """Features to a predicted energy and the scale of its error: a mixture of two discretised logistics."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 2)

    def place(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self(x)
        return out[:, 0] * 16, out[:, 1] * 2 + c.ENERGY_SCALES / 2

    def bits(self, x: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
        """difference: four times the energy less its reference."""
        centre, scale = self.place(x)
        error = (difference - centre) / 4
        width = 0.18 * torch.exp2(scale.clamp(0, c.ENERGY_SCALES - 1) / 2)

        narrow = torch.sigmoid((error + 0.5) / width) - torch.sigmoid((error - 0.5) / width)
        wide = torch.sigmoid((error + 0.5) / width / 3) - torch.sigmoid((error - 0.5) / width / 3)
        return -torch.log2(0.9 * narrow + 0.1 * wide + 1e-5).mean()

    def integer(self) -> Arrays:
        return integer_layers(list(self.layers), [16.0, 2.0], [0.5, c.ENERGY_SCALES / 2 + 0.5])


def fit(model: CoefficientModel | EnergyModel, features: Array, targets: Array, steps: int) -> None:
    """Train in place on int8 features [n, inputs] and targets [n]."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(0, len(targets), BATCH)
        x = torch.from_numpy(features[chosen].astype(np.float32) * FEATURE_SCALE)
        loss = model.bits(x, torch.from_numpy(targets[chosen]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def train(recorder: Recorder, steps: int, report: Report) -> Arrays:
    """All arrays of the tables file."""
    out: Arrays = psychoacoustic_tables()
    for channel in range(2):
        for stage in range(contexts.ENERGY_PASSES):
            name = f"energy{channel}{stage}"
            features, reference, energies = recorder.arrays("energy", channel, stage)
            energy = EnergyModel(features.shape[1])
            fit(energy, features, (4 * energies - reference).astype(np.float32), steps)
            arrays = energy.integer()
            raw = _evaluate(arrays, features).astype(np.int64)
            predicted = reference + raw[:, 0]
            rows = 4 * np.clip(raw[:, 1], 0, c.ENERGY_SCALES - 1) + (predicted & 3)
            symbols = np.clip(energies - (predicted >> 2) + HALF_ENERGY, 0, c.ENERGY_RESIDUALS - 1)
            table = count_table(rows, symbols, (4 * c.ENERGY_SCALES, c.ENERGY_RESIDUALS), _energy_prior())
            report(name, len(rows), table_bits(table, rows, symbols))
            out |= {f"{name}.{key}": value for key, value in arrays.items()} | {f"{name}.table": table}
        for stage in range(contexts.COEFFICIENT_PASSES):
            name = f"coefficient{channel}{stage}"
            features, symbols = recorder.arrays("coefficient", channel, stage)
            model = CoefficientModel(features.shape[1])
            fit(model, features, symbols.astype(np.int64), 2 * steps)
            arrays = model.integer()
            raw = _evaluate(arrays, features).astype(np.int64)
            rows = np.clip(raw[:, 0], 0, c.MAGNITUDE_SCALES - 1) + c.MAGNITUDE_SCALES * np.clip(
                raw[:, 1], 0, c.MAGNITUDE_SHAPES - 1
            )
            prior = functional.softmax(model.grid.detach(), -1).numpy().reshape(-1, c.MAGNITUDE_SYMBOLS)
            table = count_table(rows, symbols, prior.shape, prior)
            report(name, len(rows), table_bits(table, rows, symbols))
            out |= {f"{name}.{key}": value for key, value in arrays.items()} | {f"{name}.table": table}
    for name, rows_count, symbols_count in (
        ("band", contexts.BAND_ROWS, 2),
        ("stereo", (c.STEREO_MODES + 1) ** 2, c.STEREO_MODES),
        ("split", c.BLOCK_DEPTHS**2, 2),
        ("hold", 2 * c.BLOCK_DEPTHS, 2),
    ):
        rows, symbols = recorder.arrays(name)
        prior = np.full((rows_count, symbols_count), 1 / symbols_count)
        table = count_table(rows, symbols, prior.shape, prior)
        report(name, len(rows), table_bits(table, rows, symbols))
        out[f"{name}.table"] = table
    return out


def _evaluate(arrays: Arrays, features: Array) -> NDArray[np.float32]:
    """Outputs of the integer network for features that include the static ones."""
    network = BlockNetwork(
        [(arrays[f"w{i}"], arrays[f"b{i}"], int(arrays["shifts"][i])) for i in range(len(HIDDEN) + 1)]
    )
    static = features[:, : contexts.STATIC_FEATURES].astype(np.int64)
    before = static[:, -1] // 16 + static[:, :-1].argmax(axis=1)
    out = np.zeros((len(features), len(network.layers[-1][1])), np.float32)
    for depth in range(c.BLOCK_DEPTHS):
        for earlier in range(c.BLOCK_DEPTHS):
            chosen = np.flatnonzero((static[:, depth] > 0) & (before == earlier))
            out[chosen] = network.of_block(
                features[chosen, contexts.STATIC_FEATURES :].astype(np.float32), (depth, earlier)
            )
    return out


def _energy_prior() -> NDArray[np.float64]:
    """Discretised logistics [rows, residuals] by scale and quarter of an index."""
    scale, quarter = np.divmod(np.arange(4 * c.ENERGY_SCALES), 4)
    error = np.arange(c.ENERGY_RESIDUALS) - HALF_ENERGY - quarter[:, None] / 4
    width = 0.18 * 2 ** (scale[:, None] / 2)
    prior = 1 / (1 + np.exp(-(error + 0.5) / width)) - 1 / (1 + np.exp(-(error - 0.5) / width)) + 1e-5
    return prior / prior.sum(axis=1, keepdims=True)


def psychoacoustic_tables() -> Arrays:
    """Spreading losses of all bands, and offsets by their widths and places (spec section 9), in 1/64 octave."""
    out: Arrays = {}
    for name, edges in (("fine", c.FINE_EDGES), ("coarse", c.COARSE_EDGES)):
        hertz = np.array(edges) * UNIT_HZ
        centre = (hertz[1:] + hertz[:-1]) / 2
        bark = 26.81 * centre / (1960 + centre) - 0.53  # Traunmueller (1990)
        distance = bark[:, None] - bark
        loss = np.where(distance > 0, UPWARD_DB * distance, -DOWNWARD_DB * distance) / (20 * np.log10(2))
        out[f"{name}.spreading"] = np.rint(c.OCTAVE * loss).astype(np.int16)
        tilt = np.maximum(np.log2(centre / HIGH_HZ), 0) - np.maximum(np.log2(LOW_HZ / centre), 0)
        octaves = WIDTH_EXPONENT * np.log2(np.diff(hertz) / 100) + TILT * tilt
        out[f"{name}.offset"] = np.rint(c.OCTAVE * octaves).astype(np.int16)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sound files to train on")
    parser.add_argument("--out", type=Path, required=True, help="where to write the tables (.npz)")
    parser.add_argument("--start", type=Path, help="tables of an earlier round to encode the excerpts with")
    parser.add_argument("--steps", type=int, default=1200, help="of each small network")
    parser.add_argument("--per-file", type=int, default=2, help="excerpts of each file")
    parser.add_argument("--keep", type=float, default=0.2, help="share of the magnitudes to train on")
    parser.add_argument("--skip", action="append", default=[], help="leave out files whose name contains this")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    began = time.monotonic()

    def report(name: str, count: int, bits: float) -> None:
        print(f"{name:16s} {count:9d} symbols {bits:.4f} bits each  [{time.monotonic() - began:.0f} s]", flush=True)

    model = None
    if arguments.start:
        with np.load(arguments.start) as arrays:
            model = SpectrumModel(dict(arrays))
    recorder = collect(arguments.folder, model, arguments.per_file, arguments.keep, skip=tuple(arguments.skip))
    trained: dict[str, Any] = train(recorder, arguments.steps, report)
    np.savez_compressed(arguments.out, **trained)


if __name__ == "__main__":
    main()
