"""Where anything begins, by the proposer's weights, without torch: of its outputs `proposer.Proposer` the onsets alone.

Layers have their linear parts as matrix products and the filters of single channels as a compiled kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.errors import InputError
from evc.format.networks import tensors
from evc.models.arrays import Signal
from evc.models.events.cells import CELLS, CHANNELS, HOP, SAMPLERATE, cell_features

HARMONICS = (-24, -19, -12, 12, 19, 24, 28, 31, 34, 36)  # semitones to partials 2 to 8, and to what one is partial of
DILATIONS = (1, 1, 2, 4, 1)  # along time, of the blocks
GATHERING = (0, 2)  # blocks that look at the harmonics
FILTER = (5, 3)  # hops and cells
_REACH = max(map(abs, HARMONICS))
_SEEN = 2 * sum(DILATIONS) + 1  # hops on either side of one that matter for it, beside the levels of `cells`
_TINY = 1e-6


class OnsetNetwork:
    """The proposer as far as onsets go."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """`weights` by name. Raises InputError where one is missing or does not fit the others."""
        self._weights = {name: np.ascontiguousarray(weight, np.float32) for name, weight in weights.items()}
        for name, shape in _shapes(self._weights).items():
            if name not in self._weights or self._weights[name].shape != shape:
                raise InputError(f"{name} of a proposer is missing or has another shape")

    @classmethod
    def load(cls, path: Path) -> Self:
        """That of a file of weights. Raises InputError if they are not a proposer's."""
        try:
            return cls(tensors(path, ""))
        except InputError as error:
            raise InputError(f"{path.name} does not hold the weights of a proposer") from error

    def onset(self, audio: Signal, begin: int, end: int) -> Signal:
        """Probabilities float32 [hops] that anything begins in hops [begin, end) of a waveform [frames] at 22.05 kHz;
        hop t is centred at frame t HOP."""
        features = cell_features(audio)
        first, last = max(0, begin - _SEEN), min(len(features), end + _SEEN)
        logits = self._logits(features[first:last])[begin - first :][: end - begin]
        return np.asarray(1 / (1 + np.exp(-logits)))

    def _logits(self, features: Signal) -> Signal:
        height = np.broadcast_to(np.linspace(-1, 1, CELLS, dtype=np.float32)[:, None], (len(features), CELLS, 1))
        x = np.maximum(self._linear("enter", np.concatenate([features, height], axis=2)), 0)
        for number, dilation in enumerate(DILATIONS):
            x = x + self._block(f"blocks.{number}", x, dilation)
        pooled = np.concatenate([x.mean(axis=1), x.max(axis=1)], axis=1)
        around = np.lib.stride_tricks.sliding_window_view(np.pad(pooled, ((1, 1), (0, 0))), 3, axis=0)
        first, last = self._weights["onset.0.weight"], self._weights["onset.2.weight"]
        hidden = around.reshape(len(pooled), -1) @ first.reshape(len(first), -1).T + self._weights["onset.0.bias"]
        return np.asarray(np.maximum(hidden, 0) @ last[0, :, 0] + self._weights["onset.2.bias"])

    def _block(self, name: str, x: Signal, dilation: int) -> Signal:
        """What a residual block adds to x [hops, cells, channels]."""
        inner = self._linear(f"{name}.enter", self._filtered(f"{name}.filter", x, dilation))
        if f"{name}.gather.weight" in self._weights:
            few = np.pad(self._linear(f"{name}.reduce", x), ((0, 0), (_REACH, _REACH), (0, 0)))
            around = [few[:, _REACH + shift : _REACH + shift + x.shape[1]] for shift in HARMONICS]
            inner += self._linear(f"{name}.gather", np.concatenate(around, axis=2))
        return self._linear(f"{name}.leave", np.maximum(inner, 0, out=inner))

    def _linear(self, name: str, x: Signal) -> Signal:
        weight = self._weights[f"{name}.weight"]
        out: Signal = x.reshape(-1, x.shape[-1]) @ weight.T
        out += self._weights[f"{name}.bias"]
        return out.reshape(*x.shape[:-1], len(weight))

    def _filtered(self, name: str, x: Signal, dilation: int) -> Signal:
        """Each channel's own filter, dilated along time."""
        taps = np.ascontiguousarray(self._weights[f"{name}.weight"][:, 0].transpose(1, 2, 0))  # [5, 3, channels]
        hops, cells, channels = x.shape
        reach = dilation * (FILTER[0] // 2)
        padded = np.pad(x, ((reach, reach), (1, 1), (0, 0)))
        out = np.empty_like(x)
        out[:] = self._weights[f"{name}.bias"]
        if kernels.lib is not None:
            arrays = (kernels.pointer(array) for array in (padded, taps, out))
            kernels.lib.evc_filter_cells(*arrays, hops, cells, channels, dilation)
            return out
        for i, row in enumerate(taps):
            for j, tap in enumerate(row):
                out += padded[i * dilation : i * dilation + hops, j : j + cells] * tap
        return out


def peaks_of_curve(onset: Signal, threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in seconds [n], ascending, of the local maxima of probabilities [hops] above a threshold, between hops by a
    parabola through the logits, and the maxima [n]."""
    curve = np.pad(np.log(onset + _TINY) - np.log(1 - onset + _TINY), 1, mode="edge").astype(np.float64)
    before, at, after = curve[:-2], curve[1:-1], curve[2:]
    hops = np.flatnonzero((onset > threshold) & (at > before) & (at >= after))
    bend = (2 * at - before - after)[hops]
    times = (hops + 0.5 * (after - before)[hops] / np.maximum(bend, _TINY)) * HOP / SAMPLERATE
    return times, onset[hops].astype(np.float64)


def downmix(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """[channels, frames] -> [frames]: mid, or side where that is louder, of the first two channels."""
    if len(audio) < 2:
        return np.ascontiguousarray(audio[0], np.float32)
    mid, side = (audio[0] + audio[1]) / 2, (audio[0] - audio[1]) / 2
    louder = mid if np.square(mid).sum() >= np.square(side).sum() else side
    return np.ascontiguousarray(louder, np.float32)


def _shapes(weights: Mapping[str, Signal]) -> dict[str, tuple[int, ...]]:
    """What the weights of a network of some width have to look like."""
    width = len(weights["enter.weight"]) if weights.get("enter.weight", np.zeros(0)).ndim == 2 else 0
    reduced = weights.get(f"blocks.{GATHERING[0]}.reduce.bias", np.zeros(0)).size
    shapes: dict[str, tuple[int, ...]] = {"enter.weight": (width, CHANNELS + 1), "enter.bias": (width,)}
    for number in range(len(DILATIONS)):
        name = f"blocks.{number}"
        shapes |= {f"{name}.filter.weight": (width, 1, *FILTER), f"{name}.filter.bias": (width,)}
        for layer in ("enter", "leave"):
            shapes |= {f"{name}.{layer}.weight": (width, width), f"{name}.{layer}.bias": (width,)}
        if number in GATHERING:
            shapes |= {f"{name}.reduce.weight": (reduced, width), f"{name}.reduce.bias": (reduced,)}
            shapes |= {f"{name}.gather.weight": (width, reduced * len(HARMONICS)), f"{name}.gather.bias": (width,)}
    shapes |= {"onset.0.weight": (width, 2 * width, 3), "onset.0.bias": (width,)}
    return shapes | {"onset.2.weight": (1, width, 1), "onset.2.bias": (1,)}
