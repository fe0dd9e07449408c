"""How many bits latents take, differentiable: what training uses in place of the entropy coder (spec 8.2).

A latent is a logistic variable. How wide it is, small networks guess from what the coder would know by then: the two
columns before, and, of the coefficients with odd numbers, their neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from evc.models.latents.layout import CODED, COEFFICIENTS, LEARNED, SIDE_COEFFICIENTS

_NARROWEST = 0.03
_LEAST = 1e-6  # probability
_FEATURES = 10


class RateModel(nn.Module):
    """Bits of integers [batch, columns, DIMENSIONS]."""

    odd: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.coded = nn.Sequential(
            nn.Linear(_FEATURES, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(-2)
        )
        self.coded_usual, self.coded_steps = nn.Parameter(torch.full((CODED,), -1.0)), nn.Parameter(torch.zeros(CODED))
        self.learned = nn.Sequential(nn.Linear(2 * LEARNED + 1, 96), nn.ReLU(), nn.Linear(96, LEARNED))
        self.register_buffer("odd", (torch.arange(CODED) % 2).float(), persistent=False)

    def forward(self, values: Tensor, step: Tensor) -> Tensor:
        """Bits [batch, columns, DIMENSIONS] of values near integers, coded with step sizes [batch]."""
        levels = torch.log1p(values.detach().abs())
        before = functional.pad(levels, (0, 0, 1, 0))[:, :-1]
        earlier = functional.pad(levels, (0, 0, 2, 0))[:, :-2]
        steps = (torch.log2(step) / 4)[:, None, None].expand(*values.shape[:2], 1)
        now, last = levels[..., :CODED], before[..., :CODED]
        coded = self.coded(self._features(now, last, earlier[..., :CODED], steps))
        coded = coded + self.coded_usual + self.coded_steps * steps
        learned = self.learned(torch.cat([before[..., CODED:], earlier[..., CODED:], steps], dim=-1))
        width = 0.5 * functional.softplus(torch.cat([coded, learned], dim=-1)) + _NARROWEST
        size = values.abs()
        chance = torch.sigmoid((0.5 - size) / width) - torch.sigmoid((-0.5 - size) / width)
        return -torch.log2(chance.clamp_min(_LEAST))

    def _features(self, now: Tensor, last: Tensor, earlier: Tensor, steps: Tensor) -> Tensor:
        """[batch, columns, CODED, _FEATURES] from logarithmic magnitudes [batch, columns, CODED]."""
        count = last.shape[-1]
        wide, near = functional.pad(last, (2, 2)), functional.pad(now, (1, 1))
        around = [wide[..., shift : shift + count] for shift in range(5)]
        beside = (near[..., :-2] + near[..., 2:]) * self.odd
        mid = torch.cat([torch.zeros_like(now[..., :COEFFICIENTS]), now[..., :SIDE_COEFFICIENTS]], dim=-1)
        flags = [self.odd.expand_as(now), steps.expand_as(now)]
        return torch.stack([*around, earlier, beside, mid, *flags], dim=-1)
