"""The float model that the probabilities of latents are trained as, and what each latent's scale follows from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evc.format import constants as c
from evc.format.streams.latent_model import (
    AGE,
    BEFORE_LAST,
    BLOCKS,
    LAST,
    NOW,
    SHARED,
    SLOW,
    SLOWER,
    STEP,
    ZERO,
)
from evc.models.latents.entropy import UNIT_SCALE, WIDE
from evc.models.latents.layout import COEFFICIENTS, LEARNED, SIDE_COEFFICIENTS
from evc.models.training.integer_layers import FEATURE_SCALE, Arrays, integer_layers, rounded_layer

GROUPS = (COEFFICIENTS, SIDE_COEFFICIENTS, LEARNED)  # in each, dimensions are in order of frequency
# What a scale follows from: levels of dimensions so far away in the same group, by block …
NEAR = (
    (LAST, (0, -1, 1, -2, 2, -3, 3, -4, 4)), (BEFORE_LAST, (0, -1, 1)), (SLOW, (0, -1, 1, -2, 2)), (SLOWER, (0, -1, 1)),
    (NOW, (-1, 1, -2, 2, -3, 3, -5, 5)),
)  # fmt: skip
OTHER = (LAST, BEFORE_LAST, SLOW, NOW)  # … and in the other one of the first two groups, of the same number

HIDDEN = (24, 12)
LEAST = 1e-9  # probability
_SCALE_UNIT, _SCALE_ZERO = 8.0, 17.0  # of the first output
_SHARE_SLOPE, _SHARE_ZERO = 2.0, -3.0  # of the second


def passes(groups: Sequence[int]) -> NDArray[np.int64]:
    """The pass of each dimension: neighbours, and the same place in the first two groups, are in different ones. The
    last group, the predicted one, has its own passes."""
    last = len(groups) - 1
    parts = [(np.arange(size) + (number == 1)) % 2 + 2 * (number == last) for number, size in enumerate(groups)]
    return np.concatenate(parts)


def looks(groups: Sequence[int]) -> NDArray[np.int64]:
    """Places of the features of each dimension among what is known: [dimensions, features]."""
    total, start, rows = sum(groups), 0, []
    end = BLOCKS * total + groups[-1]
    for number, size in enumerate(groups):
        for place in range(size):
            row = [
                block * total + start + place + offset if 0 <= place + offset < size else end + ZERO
                for block, offsets in NEAR
                for offset in offsets
            ]
            there = number < 2 and place < groups[1 - number]
            other = (1 - number) * groups[0] + place
            row += [block * total + other if there else end + ZERO for block in OTHER]
            row += [BLOCKS * total + place if number == len(groups) - 1 else end + ZERO]
            rows.append([*row, end + STEP, end + AGE])
        start += size
    return np.array(rows)


class ContextModel(nn.Module):
    """The integer model in floats: a small network that gives every latent a scale and a shape, and a linear layer that
    predicts the last dimensions."""

    def __init__(self, order: NDArray[np.int64], look: NDArray[np.int64], predicted: int) -> None:
        super().__init__()
        self.dimensions, self.predicted = len(order), predicted
        stages = [np.flatnonzero(order == stage) for stage in range(order.max() + 1)]
        self.stages = [(torch.from_numpy(at), torch.from_numpy(look[at])) for at in stages]
        sizes = (look.shape[1], *HIDDEN, 2)
        self.linear = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
        self.linear[0].bias = nn.Parameter(self.linear[0].bias.detach().repeat(len(order), 1))
        self.layers = nn.ModuleList(self.linear)
        self.centre = nn.Linear(3 * predicted, predicted)
        nn.init.zeros_(self.centre.weight)
        nn.init.zeros_(self.centre.bias)
        own = torch.from_numpy(order[len(order) - predicted :])
        self.mask = torch.cat([torch.ones(predicted, 2 * predicted), (own[:, None] > own).float()], dim=1)

    def bits(self, features: Tensor, values: Tensor, latents: Tensor) -> Tensor:
        """Mean bits of latents [n, dimensions], of rounded Laplace distributions with a share of wider ones; signs only
        of what is predicted. `features` and `values` as in `Known`, with all of the columns; features are changed."""
        now = features[:, NOW * self.dimensions : BLOCKS * self.dimensions]
        whole, total = now.clone(), torch.zeros(())
        now.zero_()
        first = self.dimensions - self.predicted
        centres = nn.functional.linear(values, self.centre.weight * self.mask, self.centre.bias)
        features[:, BLOCKS * self.dimensions : -SHARED] = (
            torch.log2(1 + c.LATENT_QUARTERS * centres.detach().abs()) * c.LATENT_LEVEL_OCTAVE * FEATURE_SCALE
        )
        for at, look in self.stages:
            x = features[:, look] @ self.linear[0].weight.T + self.linear[0].bias[at]
            for layer in self.linear[1:]:
                x = layer(torch.clamp(x, 0, 4))
            if at[0] < first:
                probability = _of_magnitudes(latents[:, at].abs(), *_distribution(x))
            else:
                probability = _of_differences((latents[:, at] - centres[:, at - first]).abs(), *_distribution(x))
            total = total - torch.log2(probability + LEAST).sum()
            now[:, at] = whole[:, at]
        return total / latents.numel()

    def integer(self) -> Arrays:
        """The layers in integers. Rows are chosen and centres are made by rounding, so half of one is added."""
        arrays = integer_layers(self.linear, [_SCALE_UNIT, 1.0], [_SCALE_ZERO + 0.5, 1.5])
        weights = (self.centre.weight * self.mask).detach().double().numpy() * c.LATENT_QUARTERS
        biases = self.centre.bias.detach().double().numpy() * c.LATENT_QUARTERS + 0.5
        arrays["centre.w"], arrays["centre.b"], shift = rounded_layer(weights, biases, c.LATENT_REACH)
        return arrays | {"centre.shift": np.array([shift])}


def _distribution(out: Tensor) -> tuple[Tensor, Tensor]:
    """Parameters of Laplace distributions, and the shares of wider ones, from outputs of the network [..., 2]."""
    scale = (_SCALE_UNIT * out[..., 0] + _SCALE_ZERO).clamp(-6, c.MOST_LATENT_SCALE)
    parameter = 0.5 / torch.asinh(0.5 * torch.exp2((UNIT_SCALE - scale) / c.LATENT_RESOLUTION))
    return parameter, torch.sigmoid(_SHARE_SLOPE * out[..., 1] + _SHARE_ZERO)


def _of_magnitudes(magnitudes: Tensor, parameter: Tensor, share: Tensor) -> Tensor:
    def rounded(parameter: Tensor) -> Tensor:
        least = torch.exp((0.5 - magnitudes) / parameter)  # at least this magnitude
        return torch.where(magnitudes > 0, least * -torch.expm1(-1 / parameter), 1 - torch.exp(-0.5 / parameter))

    return (1 - share) * rounded(parameter) + share * rounded(WIDE * parameter)


def _of_differences(distance: Tensor, parameter: Tensor, share: Tensor) -> Tensor:
    """Of an interval of 1 whose middle is at this distance from the centre."""

    def rounded(parameter: Tensor) -> Tensor:
        outside = torch.exp((0.5 - distance).clamp_max(0) / parameter) * -torch.expm1(-1 / parameter) / 2
        near = torch.exp((distance - 0.5).clamp_max(0) / parameter) + torch.exp(-(distance + 0.5) / parameter)
        return torch.where(distance > 0.5, outside, 1 - near / 2)

    return (1 - share) * rounded(parameter) + share * rounded(WIDE * parameter)
