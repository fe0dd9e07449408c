"""The latent networks as training runs them: from x to x_hat and bits, with gradients where quantisation has none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from evc.models.latents.encoder import MOST, SILENT
from evc.models.latents.layout import SAMPLES_PER_COLUMN
from evc.models.latents.network import Known, LatentNetwork
from evc.models.latents.quantise import ROUNDING
from evc.models.latents.rate import RateModel


@dataclass
class LatentBatch:
    """Sources, what other layers render of them, and the noise in that: mid and side [batch, 2, frames]; step sizes
    [batch]."""

    source: Tensor
    known: Tensor
    noise: Tensor
    step: Tensor


class Autoencoder(nn.Module):
    """The networks, with the rate model that is trained beside them and thrown away."""

    def __init__(self, network: LatentNetwork) -> None:
        super().__init__()
        self.network, self.rate = network, RateModel()

    def forward(self, batch: LatentBatch, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """What is heard [batch, 2, frames] with quantised latents, and bits [batch, columns, DIMENSIONS]: of the
        integers, or with `random` of latents with noise of a step added, as differentiable as their size is (Ballé et
        al. 2017). Quantisation has the gradient of the identity."""
        known = self.network.known(batch.known)
        levels = levels_of(self.network, batch, known)
        integers = levels + (quantised(levels) - levels).detach()
        coded = integers
        if random is not None:
            dither = torch.rand(levels.shape, generator=random, device=random.device) - 0.5
            coded = torch.sign(levels) * functional.relu(levels.abs() - (0.5 - ROUNDING)) + dither
        heard = self.network.decode(integers, batch.step, batch.known, batch.noise, known)
        return heard, self._bits(coded, batch.step)

    def bits(self, batch: LatentBatch) -> Tensor:
        """Of the integers, [batch, columns, DIMENSIONS], with gradients for the rate model alone."""
        with torch.no_grad():
            levels = levels_of(self.network, batch)
        return self._bits(quantised(levels), batch.step)

    def _bits(self, coded: Tensor, step: Tensor) -> Tensor:
        with torch.autocast(coded.device.type, enabled=False):
            bits: Tensor = self.rate(coded.float(), step)
        return bits


def levels_of(network: LatentNetwork, batch: LatentBatch, known: Known | None = None) -> Tensor:
    """Latents in steps [batch, columns, DIMENSIONS], limited as an encoder limits them; zero where other layers are
    silent."""
    sounds = batch.known.abs().amax(dim=1).unflatten(-1, (-1, SAMPLES_PER_COLUMN)).amax(dim=-1) > SILENT
    near = functional.max_pool1d(sounds.float(), 3, stride=1, padding=1)
    latents = network.encode(batch.source, batch.known, batch.noise, known).clamp(-MOST, MOST)
    return near[..., None] * latents / batch.step[:, None, None]


def quantised(levels: Tensor) -> Tensor:
    """The nearest integers, but for a dead zone around 0: what is less than that is worth no bits."""
    return torch.sign(levels) * torch.floor(levels.abs() + ROUNDING)
