"""The network of timbres without torch: values of spectra to places in its space, and back (spec 10.11)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import InputError
from evc.format.networks import tensors
from evc.models.arrays import Floats, Signal
from evc.models.timbre.layout import BLOCKS, DECODER, ENCODER, HIDDEN, LENGTHS, POOLED, shapes

BATCH = 16  # spectra that are computed at once
_MOVE = 0.5  # standard deviations
_RIDGE = 0.004  # what a squared standard deviation counts, against squared values
_ROUNDS = 4


class TimbreNetwork:
    """A trained network. Spectra go through it as their values (`spectra.values_of`)."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """`weights` by name. Raises InputError where one is missing or has another shape."""
        if {name: tensor.shape for name, tensor in weights.items()} != shapes():
            raise InputError("the tensors make no network of timbres")
        self.weights = {name: tensor.astype(np.float32) for name, tensor in weights.items()}

    @classmethod
    def load(cls, path: Path) -> TimbreNetwork:
        """That in a file of weights. Raises InputError if there is none."""
        return _load(path, path.stat().st_mtime_ns)

    def encoded(self, values: NDArray[np.floating]) -> Signal:
        """Values [n, CELLS] to places in the space, float32 [n, 32], in standard deviations of its prior."""
        return self._batched(self._encode, values, c.TIMBRE_DIMENSIONS)

    def decoded(self, vectors: NDArray[np.floating]) -> Signal:
        """Places [n, 32] to values, float32 [n, CELLS], which may lie a little outside 0 ... 1."""
        return self._batched(self._decode, vectors, c.TIMBRE_CELLS)

    def refined(self, values: NDArray[np.floating]) -> Signal:
        """As `encoded`, and then moved to where decoding comes nearest to the values: some rounds of least squares, as
        if decoding were linear. Float32 [n, 32]."""
        slopes = self.weights["synthesis"]
        inverse = np.linalg.inv(slopes.T @ slopes + _RIDGE * np.eye(slopes.shape[1], dtype=np.float32))
        places = self.encoded(values)
        best, least = places, self._misses(values, places)[1]
        for _ in range(_ROUNDS):
            missed, _ = self._misses(values, places)
            places = (places + (missed @ slopes - _RIDGE * places) @ inverse).astype(np.float32)
            found = self._misses(values, places)[1]
            better = found < least
            best, least = np.where(better[:, None], places, best), np.where(better, found, least)
        return best

    def _misses(self, values: NDArray[np.floating], places: Signal) -> tuple[Signal, Signal]:
        """What decoding lacks of the values [n, CELLS], and the sums of the squares [n]."""
        missed = (values - np.clip(self.decoded(places), 0, 1)).astype(np.float32)
        return missed, np.square(missed).sum(axis=1)

    @property
    def sensitivity(self) -> Floats:
        """Squared dB, mean over cells, by which a spectrum in the middle of the space changes with a standard deviation
        of each dimension: float64 [32]."""
        moves = _MOVE * np.eye(c.TIMBRE_DIMENSIONS)
        middle, *moved = self.decoded(np.concatenate([0 * moves[:1], moves])).astype(np.float64)
        return np.square(c.TIMBRE_RANGE_DB / _MOVE * (np.stack(moved) - middle)).mean(axis=1)

    @staticmethod
    def _batched(function: Any, rows: NDArray[np.floating], width: int) -> Signal:
        rows = np.asarray(rows, np.float32)
        parts = [function(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
        return np.concatenate([np.zeros((0, width), np.float32), *parts])

    def _encode(self, values: Signal) -> Signal:
        centred = values - self.weights["mean"]
        x = (centred * self.weights["scale"])[:, None]
        for number in range(BLOCKS):
            x = _pooled(self._block(f"{ENCODER}.{number}", x))
        x = np.maximum(self._convolved(f"{ENCODER}.join", x), 0)
        learned = self._linear(f"{ENCODER}.leave", x.reshape(len(x), -1))
        return np.asarray(learned + centred @ self.weights["analysis"].T)

    def _decode(self, vectors: Signal) -> Signal:
        x = np.maximum(self._linear(f"{DECODER}.enter", vectors), 0).reshape(-1, HIDDEN, POOLED)
        x = np.maximum(self._convolved(f"{DECODER}.join", x), 0)
        for number, length in enumerate(LENGTHS[-2::-1]):
            x = self._block(f"{DECODER}.{number}", _enlarged(x, length))
        straight = vectors @ self.weights["synthesis"].T + self.weights["mean"]
        found = straight + self._convolved(f"{DECODER}.leave", x)[:, 0]
        return np.minimum(found, np.float32(c.TIMBRE_MOST_VALUE), out=found)

    def _block(self, name: str, x: Signal) -> Signal:
        """Two convolutions, and what came in beside them."""
        inner = np.maximum(self._convolved(f"{name}.first", x), 0)
        return np.maximum(self._convolved(f"{name}.second", inner) + self._convolved(f"{name}.beside", x), 0)

    def _convolved(self, name: str, x: Signal) -> Signal:
        """[n, inputs, length] to [n, outputs, length]; beyond the ends there are zeros."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        outputs, inputs, taps = weight.shape
        padded = np.pad(x, ((0, 0), (0, 0), (taps // 2, taps // 2)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, taps, axis=2)
        columns = windows.transpose(0, 1, 3, 2).reshape(len(x), inputs * taps, -1)
        return np.asarray(weight.reshape(outputs, -1) @ columns + bias[:, None])

    def _linear(self, name: str, x: Signal) -> Signal:
        return np.asarray(x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"])


def _pooled(x: Signal) -> Signal:
    """Means of pairs; an odd last one is left out."""
    even = x[..., : x.shape[-1] // 2 * 2]
    return (even[..., ::2] + even[..., 1::2]) * np.float32(0.5)


def _enlarged(x: Signal, length: int) -> Signal:
    """Each value twice, and zeros up to the length."""
    return np.pad(np.repeat(x, 2, axis=-1), ((0, 0), (0, 0), (0, length - 2 * x.shape[-1])))


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> TimbreNetwork:
    try:
        return TimbreNetwork(tensors(path, ""))
    except InputError as error:
        raise InputError(f"{path.name} does not hold the weights of a network of timbres") from error
