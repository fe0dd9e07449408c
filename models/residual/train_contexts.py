"""Train the probability model of the spectrum stream on a folder of audio and freeze it as integers.

    python -m evc.models.residual.train_contexts FOLDER --out spec/tables/spectrum.npz [--start TABLES]

The encoder quantises excerpts at many rates (with the tables of `--start`, or by plain rounding for a first model);
a recording walk collects the features and symbols; small networks are trained to pick, for each symbol, one of a set
of learned distributions; weights are rounded to integers and the distributions refitted by counting. Needs torch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from evc.streams import spectrum_contexts as contexts
from evc.streams import spectrum_layout as layout
from evc.streams.spectrum import HALF_ENERGY, STEREO_MODES, Block, Group, Walk
from evc.streams.spectrum_model import (ACTIVATION_LIMIT, ENERGY_RESIDUALS, ENERGY_SCALES, SCALE_ROWS, SHAPE_ROWS, SYMBOLS,
                                        IntegerNetwork)

HIDDEN = (48, 24)
FEATURE_SCALE = 1 / 32
HIDDEN_SCALE = 64               # float activations 0 ... 4 become integers 0 ... 255
BATCH = 8192


class _Named:
    """Stands for a frequency table while recording."""

    def __init__(self, name: tuple) -> None:
        self.name = name


class Recorder:
    """Model and port of a walk at once: keeps every context with the symbol coded in it."""

    def __init__(self, keep: float, seed: int) -> None:
        self.rng, self.keep = np.random.default_rng(seed), keep
        self.data: dict[tuple, list[tuple[np.ndarray, ...]]] = {}
        pairs = [(c, s) for c in range(2) for s in range(3)]
        self.energy_table = {key: _Named(("energy", *key)) for key in pairs}
        self.coefficient_table = {key: _Named(("coefficient", *key)) for key in pairs}
        self.band, self.stereo, self.split = _Named(("band",)), _Named(("stereo",)), _Named(("split",))

    def energy_rows(self, key, features, reference, static):
        self.pending = self._whole(features, static), reference.astype(np.int16)
        return reference >> 2, reference & 3

    def coefficient_rows(self, key, features, static):
        self.pending = (features, static)
        return np.zeros(len(features), np.int64)

    def begin(self, block, steps, levels, bands):
        self.block, self.layout = block, bands

    def code(self, values, table, rows, kind):
        if kind == "energies":
            features, reference = self.pending
            self._store(table.name, features, reference, (values - HALF_ENERGY + (reference >> 2)).astype(np.int16))
        else:
            values = np.asarray(values)
            self._store(table.name, np.broadcast_to(np.asarray(rows), values.shape).astype(np.int32), values.astype(np.int32))
        return values

    def escape(self, values, kind):
        return values

    def bands(self, channel, at, table, rows):
        used = np.maximum.reduceat(np.abs(self.block.coefficients[channel]), self.layout.edges[:-1]) > 0
        self._store(table.name, rows.astype(np.int32), used[at].astype(np.int32))
        return used[at]

    def magnitudes(self, channel, bins, shifts, table, rows):
        symbols = np.minimum(np.abs(self.block.coefficients[channel, bins]) >> shifts, SYMBOLS - 1)
        chosen = self.rng.random(len(bins)) < self.keep
        self._store(table.name, self._whole(self.pending[0][chosen], self.pending[1]), symbols[chosen].astype(np.uint8))
        return symbols

    @staticmethod
    def _whole(features, static):
        """int8 [n, static and other features]."""
        shared = contexts.static_features(*static).astype(np.int8)
        return np.concatenate([np.broadcast_to(shared, (len(features), len(shared))), features.astype(np.int8)], axis=1)

    def _store(self, name, *arrays):
        self.data.setdefault(name, []).append(arrays)

    def record(self, group: Group, geo: layout.Geometry, channels: int) -> None:
        walk = Walk(geo, channels, group.gain, self)
        for blocks in group.superframes:
            walk.partition([block.depth for block in blocks], self)
            for block in blocks:
                walk.block(block, self)

    def arrays(self, name: tuple) -> list[np.ndarray]:
        return [np.concatenate(parts) for parts in zip(*self.data[name])]


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, *HIDDEN, outputs)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in list(self.layers)[:-1]:
            x = torch.clamp(layer(x), 0, ACTIVATION_LIMIT / HIDDEN_SCALE)
        return self.layers[-1](x)


class CoefficientModel(_Perceptron):
    """Features to a point on a grid of SCALE_ROWS x SHAPE_ROWS distributions, interpolated while training."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 2)
        magnitudes = torch.arange(SYMBOLS).float()
        scales = 2 ** torch.linspace(-4, 4, SCALE_ROWS)
        grid = -1.2 * magnitudes / scales[:, None]
        shape = torch.arange(SHAPE_ROWS)[:, None, None] * 0.02 * magnitudes
        self.grid = nn.Parameter(grid.repeat(SHAPE_ROWS, 1, 1) + shape)

    def place(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self(x)
        return out[:, 0] * 8 + SCALE_ROWS * 0.45, out[:, 1] + (SHAPE_ROWS - 1) / 2

    def bits(self, x: torch.Tensor, symbols: torch.Tensor) -> torch.Tensor:
        scale, shape = self.place(x)
        scale, shape = scale.clamp(0, SCALE_ROWS - 1.001), shape.clamp(0, SHAPE_ROWS - 1.001)
        i, j = scale.detach().long(), shape.detach().long()
        f, g = (scale - i)[:, None], (shape - j)[:, None]
        logits = functional.log_softmax(self.grid, -1)
        mixed = ((logits[j, i] * (1 - f) + logits[j, i + 1] * f) * (1 - g)
                 + (logits[j + 1, i] * (1 - f) + logits[j + 1, i + 1] * f) * g)
        return functional.cross_entropy(mixed, symbols) / np.log(2)

    def integer(self) -> dict[str, np.ndarray]:
        # Rows are chosen by rounding: half a row is added to the floor of the integer network.
        return _integer_layers(self.layers, [8.0, 1.0], [SCALE_ROWS * 0.45 + 0.5, (SHAPE_ROWS - 1) / 2 + 0.5])


class EnergyModel(_Perceptron):
    """Features to a predicted energy and the scale of its error: a mixture of two discretised logistics."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, 2)

    def place(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = self(x)
        return out[:, 0] * 16, out[:, 1] * 2 + ENERGY_SCALES / 2

    def bits(self, x: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
        """difference: four times the energy less its reference."""
        centre, scale = self.place(x)
        error = (difference - centre) / 4
        width = 0.18 * 2 ** (scale.clamp(0, ENERGY_SCALES - 1) / 2)

        def likelihood(w):
            return torch.sigmoid((error + 0.5) / w) - torch.sigmoid((error - 0.5) / w)
        return -torch.log2(0.9 * likelihood(width) + 0.1 * likelihood(3 * width) + 1e-5).mean()

    def integer(self) -> dict[str, np.ndarray]:
        return _integer_layers(self.layers, [16.0, 2.0], [0.5, ENERGY_SCALES / 2 + 0.5])


def _integer_layers(layers: nn.ModuleList, scales: list[float], offsets: list[float]) -> dict[str, np.ndarray]:
    """Round a float network to integers with as many fractional bits as float32 sums stay exact with."""
    arrays, shifts = {}, []
    reach, gain = 127.0, FEATURE_SCALE
    for number, layer in enumerate(layers):
        weights, biases = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        last = number == len(layers) - 1
        out = np.array(scales) if last else np.full(len(biases), float(HIDDEN_SCALE))
        weights = weights * gain * out[:, None]
        biases = biases * out + (np.array(offsets) if last else 0.5)
        most = (np.abs(weights).sum(axis=1) * reach + np.abs(biases)).max()
        shift = min(12, int(np.floor(np.log2((2**24 - 2**14) / most))))
        arrays[f"w{number}"] = np.rint(weights * 2**shift).astype(np.int32)
        arrays[f"b{number}"] = np.rint(biases * 2**shift).astype(np.int32)
        shifts.append(shift)
        reach, gain = float(ACTIVATION_LIMIT), 1 / HIDDEN_SCALE
    arrays["shifts"] = np.array(shifts, np.int32)
    return arrays


def fit(model, features: np.ndarray, targets: np.ndarray, steps: int, rate: float = 4e-3) -> None:
    """Train in place on int8 features [n, inputs] and targets [n]."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(0, len(targets), BATCH)
        x = torch.from_numpy(features[chosen].astype(np.float32) * FEATURE_SCALE)
        loss = model.bits(x, torch.from_numpy(targets[chosen]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


def count_table(rows: np.ndarray, symbols: np.ndarray, shape: tuple[int, int], prior: np.ndarray) -> np.ndarray:
    """Frequencies uint16 [rows, symbols] by counting, with `prior` probabilities [rows, symbols] worth 40 symbols."""
    counts = np.bincount(rows * shape[1] + symbols, minlength=shape[0] * shape[1]).reshape(shape) + 40 * prior + 1e-3
    return np.maximum(np.rint(counts / counts.sum(axis=1, keepdims=True) * 65000), 1).astype(np.uint16)


def table_bits(table: np.ndarray, rows: np.ndarray, symbols: np.ndarray) -> float:
    probability = table / table.sum(axis=1, keepdims=True)
    return float(-np.log2(probability[rows, symbols]).mean())


def train(recorder: Recorder, steps: int, report) -> dict[str, np.ndarray]:
    """All arrays of the tables file."""
    out: dict[str, np.ndarray] = {}
    for channel in range(2):
        for stage in range(contexts.ENERGY_PASSES):
            name = f"energy{channel}{stage}"
            features, reference, energies = recorder.arrays(("energy", channel, stage))
            model = EnergyModel(features.shape[1])
            fit(model, features, (4 * energies - reference).astype(np.float32), steps)
            arrays = model.integer()
            raw = _evaluate(arrays, features).astype(np.int64)
            predicted = reference + raw[:, 0]
            rows = 4 * np.clip(raw[:, 1], 0, ENERGY_SCALES - 1) + (predicted & 3)
            symbols = np.clip(energies - (predicted >> 2) + HALF_ENERGY, 0, ENERGY_RESIDUALS - 1)
            table = count_table(rows, symbols, (4 * ENERGY_SCALES, ENERGY_RESIDUALS), _energy_prior())
            report(name, len(rows), table_bits(table, rows, symbols))
            out |= {f"{name}.{key}": value for key, value in arrays.items()} | {f"{name}.table": table}
        for stage in range(contexts.COEFFICIENT_PASSES):
            name = f"coefficient{channel}{stage}"
            features, symbols = recorder.arrays(("coefficient", channel, stage))
            model = CoefficientModel(features.shape[1])
            fit(model, features, symbols.astype(np.int64), 2 * steps)
            arrays = model.integer()
            raw = _evaluate(arrays, features).astype(np.int64)
            rows = np.clip(raw[:, 0], 0, SCALE_ROWS - 1) + SCALE_ROWS * np.clip(raw[:, 1], 0, SHAPE_ROWS - 1)
            prior = functional.softmax(model.grid.detach(), -1).numpy().reshape(-1, SYMBOLS)
            table = count_table(rows, symbols, prior.shape, prior)
            report(name, len(rows), table_bits(table, rows, symbols))
            out |= {f"{name}.{key}": value for key, value in arrays.items()} | {f"{name}.table": table}
    for name, rows_count, symbols_count in (("band", contexts.BAND_ROWS, 2), ("stereo", (STEREO_MODES + 1) ** 2, STEREO_MODES),
                                            ("split", layout.DEPTHS**2, 2)):
        rows, symbols = recorder.arrays((name,))
        prior = np.full((rows_count, symbols_count), 1 / symbols_count)
        table = count_table(rows, symbols, prior.shape, prior)
        report(name, len(rows), table_bits(table, rows, symbols))
        out[f"{name}.table"] = table
    return out


def _evaluate(arrays: dict[str, np.ndarray], features: np.ndarray) -> np.ndarray:
    """Outputs of the integer network for features that include the static ones."""
    network = IntegerNetwork([(arrays[f"w{i}"], arrays[f"b{i}"], int(arrays["shifts"][i])) for i in range(len(HIDDEN) + 1)])
    static = features[:, : contexts.STATIC_FEATURES].astype(np.int64)
    before = static[:, -1] // 16 + static[:, :-1].argmax(axis=1)
    out = np.zeros((len(features), len(network.layers[-1][1])), np.float32)
    for depth in range(layout.DEPTHS):
        for earlier in range(layout.DEPTHS):
            chosen = np.flatnonzero((static[:, depth] > 0) & (before == earlier))
            out[chosen] = network(features[chosen, contexts.STATIC_FEATURES:].astype(np.float32), (depth, earlier))
    return out


def _energy_prior() -> np.ndarray:
    """Discretised logistics [rows, residuals] by scale and quarter of an index."""
    scale, quarter = np.divmod(np.arange(4 * ENERGY_SCALES), 4)
    error = np.arange(ENERGY_RESIDUALS) - HALF_ENERGY - quarter[:, None] / 4
    width = 0.18 * 2 ** (scale[:, None] / 2)
    prior = 1 / (1 + np.exp(-(error + 0.5) / width)) - 1 / (1 + np.exp(-(error - 0.5) / width)) + 1e-5
    return prior / prior.sum(axis=1, keepdims=True)
