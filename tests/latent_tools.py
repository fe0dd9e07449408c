"""A small latent network with random weights, and files that need it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evc.format import constants as c
from evc.format.header import Header, NetworkReference
from evc.format.networks import installed_network, installed_too
from evc.format.streams.latent import LatentStream
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.network import DIMENSIONS, LATENTS_NETWORK, LatentConfig, LatentNetwork

SMALL = LatentConfig(channels=24, expansion=2, encoder_blocks=1, coarse_blocks=1, fine_blocks=1)


def random_network(seed: int = 0) -> LatentNetwork:
    """A network whose decoder hears latents, and whose latents are large enough to be coded."""
    torch.manual_seed(seed)
    network = LatentNetwork(SMALL).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


@contextmanager
def network_installed(folder: Path, network: LatentNetwork) -> Iterator[NetworkReference]:
    """In place of the package's network of latents."""
    network.save(folder / f"{LATENTS_NETWORK}.safetensors", untrained_entropy(DIMENSIONS))
    with installed_too(folder):
        yield installed_network(LATENTS_NETWORK)


def latent_header(samplerate: int, channels: int, frames: int, **fields: Any) -> Header:
    """Of a file of events, noise and latents."""
    networks = (installed_network(EVENTS_NETWORK), installed_network(LATENTS_NETWORK))
    fields = {"layers": ("events", "noise", "latent"), "networks": networks} | fields
    return Header(samplerate, channels, frames, **fields)


def random_latents(header: Header, seed: int = 0, size: float = 2.0) -> dict[int, LatentStream]:
    """For each segment, in steps that differ."""
    random = np.random.default_rng(seed)
    found = {}
    for index in range(header.segments):
        columns = -(-header.segment_span(index)[1] // c.LATENT_HOP)
        values = np.rint(random.laplace(0, size, (columns, DIMENSIONS))).astype(np.int64)
        found[index] = LatentStream(values, int(random.integers(20, 60)))
    return found
