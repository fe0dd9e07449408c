"""The two networks of `inference`: what one sees in spectra, what the other makes of latents."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from evc.models.latents.blocks import Block, Linear, Norm
from evc.models.latents.layout import (
    BANDS,
    CHANNELS,
    CODED,
    FEATURES,
    FRAMES_PER_COLUMN,
    HOP,
    LATENT_SCALE,
    WINDOW,
    LatentConfig,
)
from evc.models.latents.views import Envelope, Spectra, bend, view
from evc.models.latents.weights import Tensors

Floats = NDArray[np.float32]

AT_ONCE = 192  # spectra: they stay in a cache, and matrix products are fastest in multiples of this
AROUND = -(-WINDOW // (2 * HOP))  # spectra on each side that a sample may be a part of


class Encoder:
    """What it makes of features [frames, FEATURES] once they have entered: what there is in a column [columns,
    channels], of the columns that need no others."""

    def __init__(self, config: LatentConfig, tensors: Tensors) -> None:
        self.enter, self._fine = Linear(tensors, "encoder.enter"), Block(tensors, "encoder.fine")
        self._join, self._norm = Linear(tensors, "encoder.join"), Norm(tensors, "encoder.norm")
        self._coarse = [Block(tensors, f"encoder.coarse.{number}") for number in range(config.encoder_blocks)]

    def __call__(self, values: Floats) -> Floats:
        values = self._fine(values)
        values = self._join(values.reshape(-1, FRAMES_PER_COLUMN * values.shape[1]))
        return self._norm(_through(self._coarse, values))


class Decoder:
    """Latents and y to the spectra of x_hat."""

    def __init__(self, config: LatentConfig, tensors: Tensors) -> None:
        self._enter, self._part = Linear(tensors, "decoder.enter"), Linear(tensors, "decoder.part")
        self._coarse = [Block(tensors, f"decoder.coarse.{number}") for number in range(config.coarse_blocks)]
        self._fine = [Block(tensors, f"decoder.fine.{number}") for number in range(config.fine_blocks)]
        self._look, self._norm = Linear(tensors, "decoder.look"), Norm(tensors, "decoder.norm")
        heads = [Linear(tensors, f"decoder.{name}") for name in ("gains", "contrast", "added")]
        self._said = np.concatenate([head.weights for head in heads])
        self._biases = np.concatenate([head.biases for head in heads])
        self._shape = tensors["shape"]

    def __call__(
        self, columns: int, integers: Floats, steps: Floats, known: Floats, spectra: Spectra, over: Envelope
    ) -> Spectra:
        """x_hat in all spectra that the samples of some `columns` are a part of. There are latents, step sizes [..., 1]
        and E(y | y) of as many more as are needed, spectra, which are changed, and envelopes of fewer."""
        coded, learned = integers[:, :CODED], integers[:, CODED:] * steps / np.float32(LATENT_SCALE)
        values = self._enter(np.concatenate([np.log1p(np.abs(coded)), learned, known, np.log2(steps) / 4], axis=1))
        values = self._part(_through(self._coarse, values))
        power = np.empty(over.scale.shape, np.float32)
        looked = looked_at(self._look, spectra, over, power=power)
        looked += values.reshape(looked.shape)
        values = _through(self._fine, looked)
        frames = columns * FRAMES_PER_COLUMN + 2 * AROUND
        louder: Floats = np.matmul(learned, self._shape).reshape(-1, CHANNELS * BANDS)
        local, found = over.local, spectra
        values, found, local, power, louder = (trimmed(part, frames) for part in (values, found, local, power, louder))
        self._bend(self._norm(values), found, local, power, louder)
        return found

    def _bend(self, values: Floats, spectra: Spectra, local: Floats, power: Floats, louder: Floats) -> None:
        said = np.empty((min(AT_ONCE, len(values)), len(self._said)), np.float32)
        for start in range(0, len(values), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            one = np.matmul(values[part], self._said.T, out=said[: len(values[part])])
            bend(spectra[part], local[part], power[part], one, self._biases, louder[part])


def looked_at(
    look: Linear, spectra: Spectra, over: Envelope, power: Floats | None = None, levels: Floats | None = None
) -> Floats:
    """What a layer makes of the features of spectra [frames, outputs]; `power` and `levels` become those of `view`."""
    values = np.empty((len(spectra), len(look.biases)), np.float32)
    features = np.empty((min(AT_ONCE, len(spectra)), FEATURES), np.float32)
    for start in range(0, len(spectra), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        seen = features[: len(spectra[part])]
        given = (None if array is None else array[part] for array in (power, levels))
        view(spectra[part], over.part(part), seen, *given)
        look.product(seen, values[part])
    values += look.biases
    return values


def trimmed(rows: NDArray, count: int) -> NDArray:
    """So many rows from the middle."""
    around = (len(rows) - count) // 2
    return rows[around : around + count]


def _through(blocks: list[Block], values: Floats) -> Floats:
    return reduce(lambda values, block: block(values), blocks, values)
