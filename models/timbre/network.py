"""The network of timbres in torch, for training: a variational autoencoder of values of spectra.

A straight line leads through it beside the convolutions, on both sides, so that it starts as the best linear one and
the convolutions learn what that lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional

from evc.format import constants as c
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import BLOCKS, CHANNELS, DECODER, ENCODER, HIDDEN, JOIN_TAPS, LENGTHS, POOLED, TAPS

_MOST_LOG_VARIANCE = 2.0
FIRST_LOG_VARIANCE = -4.0


class Block(nn.Module):
    """Two convolutions, and what came in beside them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, outputs, TAPS, padding=TAPS // 2)
        self.second = nn.Conv1d(outputs, outputs, TAPS, padding=TAPS // 2)
        self.beside = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(functional.relu(self.first(x))) + self.beside(x))


class Encoder(nn.ModuleList):
    """Blocks, each at half the length of the one before; a last convolution; means and logarithms of variances."""

    def __init__(self) -> None:
        super().__init__(Block(*sizes) for sizes in zip((1, *CHANNELS), CHANNELS, strict=False))
        self.join = nn.Conv1d(CHANNELS[-1], HIDDEN, JOIN_TAPS, padding=JOIN_TAPS // 2)
        self.leave = nn.Linear(HIDDEN * POOLED, c.TIMBRE_DIMENSIONS)
        self.spread = nn.Linear(HIDDEN * POOLED, c.TIMBRE_DIMENSIONS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for block in list(self)[:BLOCKS]:
            x = functional.avg_pool1d(block(x), 2)
        x = functional.relu(self.join(x)).flatten(1)
        return self.leave(x), self.spread(x)


class Decoder(nn.ModuleList):
    """The encoder turned round."""

    def __init__(self) -> None:
        turned = CHANNELS[::-1]
        super().__init__(Block(*sizes) for sizes in zip((turned[0], *turned), turned, strict=False))
        self.enter = nn.Linear(c.TIMBRE_DIMENSIONS, HIDDEN * POOLED)
        self.join = nn.Conv1d(HIDDEN, CHANNELS[-1], JOIN_TAPS, padding=JOIN_TAPS // 2)
        self.leave = nn.Conv1d(CHANNELS[0], 1, TAPS, padding=TAPS // 2)

    def forward(self, z: Tensor) -> Tensor:
        x = functional.relu(self.enter(z)).unflatten(1, (HIDDEN, POOLED))
        x = functional.relu(self.join(x))
        for block, length in zip(list(self)[:BLOCKS], LENGTHS[-2::-1], strict=True):
            x = x.repeat_interleave(2, dim=-1)
            x = block(functional.pad(x, (0, length - x.shape[-1])))
        out: Tensor = self.leave(x)[:, 0]
        return out


class TimbreAutoencoder(nn.Module):
    """Values [n, CELLS] to places [n, 32], with how uncertain each is, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()
        cells, dimensions = c.TIMBRE_CELLS, c.TIMBRE_DIMENSIONS
        self.register_buffer("mean", torch.zeros(cells))
        self.register_buffer("scale", torch.ones(1))
        self.analysis = nn.Parameter(torch.zeros(dimensions, cells))
        self.synthesis = nn.Parameter(torch.zeros(cells, dimensions))

    def start(self, values: NDArray[np.floating]) -> None:
        """Begin as the best linear autoencoder of values [n, CELLS], the convolutions adding nothing yet."""
        mean = values.mean(axis=0)
        _, sizes, axes = np.linalg.svd(values - mean, full_matrices=False)
        count = c.TIMBRE_DIMENSIONS
        spread = sizes[:count] / np.sqrt(len(values))
        with torch.no_grad():
            self.get_buffer("mean").copy_(torch.from_numpy(mean))
            self.get_buffer("scale").fill_(1 / float((values - mean).std()))
            self.analysis.copy_(torch.from_numpy(axes[:count] / spread[:, None]))
            self.synthesis.copy_(torch.from_numpy(axes[:count].T * spread))
            for layer in (self.encoder.leave, self.encoder.spread, self.decoder.leave):
                for parameter in layer.parameters():
                    parameter.mul_(0.05)
            self.encoder.spread.bias.fill_(FIRST_LOG_VARIANCE)

    def encode(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Places and logarithms of their variances [n, 32]."""
        centred = values - self.get_buffer("mean")
        place, spread = self.encoder((centred * self.get_buffer("scale"))[:, None])
        return place + centred @ self.analysis.T, spread.clamp(-12, _MOST_LOG_VARIANCE)

    def decode(self, places: Tensor) -> Tensor:
        """Values [n, CELLS]."""
        found: Tensor = places @ self.synthesis.T + self.get_buffer("mean") + self.decoder(places)
        return found

    def load(self, path: Path) -> None:
        """Go on from a file of weights; how uncertain places are is not in it. Raises InputError if it is none."""
        network = TimbreNetwork.load(path)
        self.load_state_dict({name: torch.from_numpy(array) for name, array in network.weights.items()}, strict=False)

    def tensors(self, order: NDArray[np.integer] | None = None) -> dict[str, NDArray[np.float16]]:
        """Those of a file of weights. `order` [32]: which dimension is to be first, second, …"""
        rows = np.arange(c.TIMBRE_DIMENSIONS) if order is None else order
        found = {name: tensor.detach().cpu().numpy() for name, tensor in self.state_dict().items()}
        found = {name: array for name, array in found.items() if not name.startswith(f"{ENCODER}.spread.")}
        for name in ("analysis", f"{ENCODER}.leave.weight", f"{ENCODER}.leave.bias"):
            found[name] = found[name][rows]
        for name in ("synthesis", f"{DECODER}.enter.weight"):
            found[name] = found[name][:, rows]
        return {name: np.ascontiguousarray(array, np.float16) for name, array in found.items()}


def save(tensors: Mapping[str, NDArray[np.float16]], path: Path, about: Mapping[str, str] | None = None) -> None:
    """Write a file of weights."""
    save_file(dict(tensors), path, dict(about or {}))
