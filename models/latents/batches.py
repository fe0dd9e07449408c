"""Batches of crops of training pairs, varied so that networks hear more than there is.

All that is done to a crop is to add another one, to turn both up or down, and to exchange or join their channels. So a
batch is drawn as integers from the files and small matrices, and becomes samples on the device that it is used on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evc.models.latents.descriptions import FULL_SCALE, Samples
from evc.models.latents.pairs import Pairs
from evc.models.training.augmentation import decibels

Matrix = NDArray[np.floating]

LEAST_PEAK = 3e-3  # below which another crop is drawn,
ATTEMPTS = 5  # so often
_SAME = np.eye(2, dtype=np.float32)
_SWAPPED = _SAME[::-1]
_JOINED = np.full((2, 2), 0.5, np.float32)


class Crops(NamedTuple):
    """Crops int16 [crops, 3 (source, events, noise), 2 (left, right), frames] of full scale 32768, what is to be made
    of the channels of each [crops, 2, 2], and which item of the batch it is a part of [crops]."""

    samples: Samples
    channels: Matrix
    items: NDArray[np.int64]

    @classmethod
    def plain(cls, crop: Samples) -> Self:
        """One crop as it is."""
        return cls(crop[None], _SAME[None] / np.float32(FULL_SCALE), np.zeros(1, np.int64))

    def batch(self, device: torch.device) -> Tensor:
        """Float32 [items, 3 (source, known, noise), 2 (left, right), frames]; what is known is events and noise."""
        samples, channels, items = (_moved(array, device) for array in self)
        source, events, noise = samples.float().unbind(dim=1)
        crops = torch.stack([source, events + noise, noise], dim=1)
        varied = (channels[:, None, :, :, None] * crops[:, :, None]).sum(dim=3)
        count = int(self.items[-1]) + 1
        return varied.new_zeros(count, *varied.shape[1:]).index_add(0, items, varied)


@dataclass(frozen=True)
class Variety:
    """How crops differ from what is cached. Gains are in dB, chances from 0 to 1."""

    events_chance: float = 0.65  # of events and noise beside the source; otherwise noise alone
    gain: float = 12.0  # at most taken off
    mix_chance: float = 0.15
    mix_gain: tuple[float, float] = (-12.0, 0.0)  # of the second pair
    swap_chance: float = 0.5
    mono_chance: float = 0.1

    def draw(self, pairs: Pairs, random: np.random.Generator, size: int, frames: int) -> Crops:
        """A batch of `size` items. What the layers make of a mix is taken to be the sum of what they make of its
        parts."""
        found = [(part, item) for item in range(size) for part in self._item(pairs, random, frames)]
        samples, channels = zip(*(part for part, _ in found))
        items = np.array([item for _, item in found], np.int64)
        return Crops(np.stack(samples), (np.stack(channels) / FULL_SCALE).astype(np.float32), items)

    def _item(self, pairs: Pairs, random: np.random.Generator, frames: int) -> list[tuple[Samples, Matrix]]:
        """One crop or two, and what is made of their channels."""
        parts = [self._single(pairs, random, frames)]
        if random.random() < self.mix_chance:
            gain = decibels(random.uniform(*self.mix_gain))
            samples, channels = self._single(pairs, random, frames)
            parts.append((samples, gain * channels))
        joined = _JOINED if random.random() < self.mono_chance else _SAME
        gain = decibels(random.uniform(-self.gain, 0.0))
        return [(samples, gain * joined @ channels) for samples, channels in parts]

    def _single(self, pairs: Pairs, random: np.random.Generator, frames: int) -> tuple[Samples, Matrix]:
        for _ in range(ATTEMPTS):
            number, with_events = int(random.integers(len(pairs))), random.random() < self.events_chance
            samples = pairs.crop(number, with_events, frames, random)
            if max(int(samples[0].max()), -int(samples[0].min())) > LEAST_PEAK * FULL_SCALE:
                break
        channels = _SWAPPED if random.random() < self.swap_chance else _SAME
        return samples, -channels if random.random() < 0.5 else channels


def _moved(array: NDArray[Any], device: torch.device) -> Tensor:
    """On a GPU, without holding up what it computes meanwhile."""
    tensor = torch.from_numpy(array)
    return tensor.to(device) if device.type != "cuda" else tensor.pin_memory().to(device, non_blocking=True)


def mid_side(audio: Tensor) -> Tensor:
    """Left and right [..., 2, frames] to mid and side, half their sum and half their difference."""
    left, right = audio.unbind(dim=-2)
    return torch.stack([left + right, left - right], dim=-2) / 2


def left_right(planes: Tensor) -> Tensor:
    """Mid and side [..., 2, frames] to left and right."""
    mid, side = planes.unbind(dim=-2)
    return torch.stack([mid + side, mid - side], dim=-2)
