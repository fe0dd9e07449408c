"""The latent networks on a GPU, by torch, as encoders and decoders use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evc.models.latents.layout import COLUMN, Ends
from evc.models.latents.network import LatentNetwork

Floats = NDArray[np.float32]


class DeviceNetwork:
    """A `LatentInference` of torch's."""

    def __init__(self, network: LatentNetwork, device: str) -> None:
        self.config, self._network, self._device = network.config, network.to(device), device

    @classmethod
    def load(cls, path: Path, device: str) -> DeviceNetwork:
        """The network in a file of weights. Raises InputError if it holds something else."""
        return cls(LatentNetwork.load(path), device)

    def encode(self, x: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """As `LatentInference` says."""
        source, others, hiss = self._moved(x, y, noise)
        with torch.inference_mode():
            found: Floats = self._network.encode(source, others, hiss, ends=ends)[0].cpu().numpy()
        return found[self.config.margin : len(found) - self.config.margin]

    def decode(self, integers: Floats, steps: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """As `LatentInference` says."""
        values, sizes, others, hiss = self._moved(integers, steps, y, noise)
        with torch.inference_mode():
            heard: Floats = self._network.decode(values, sizes, others, hiss, ends=ends)[0].cpu().numpy()
        around = self.config.margin * COLUMN
        return heard[:, around : heard.shape[1] - around]

    def _moved(self, *arrays: Floats) -> list[Tensor]:
        """As batches of one."""
        return [torch.from_numpy(np.ascontiguousarray(array))[None].to(self._device) for array in arrays]
