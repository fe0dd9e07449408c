"""A small latent network with random weights, and files that need it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from test_events_pipeline import planted

from evc.format import constants as c
from evc.format.events import by_segment
from evc.format.header import Header, NetworkReference
from evc.format.networks import installed_network, installed_too
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.latent import LatentStream
from evc.format.writer import ContainerWriter
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.layout import DIMENSIONS, LATENTS_NETWORK, LatentConfig
from evc.models.latents.network import LatentNetwork
from evc.models.noise.encoder import NoiseEncoder

RATE = 32_000
SEGMENT = 12 * c.superframe_length(RATE)  # 0.77 s
FRAMES = 4 * SEGMENT + 3333
UNIT = 7  # columns: in tests, so that there are many
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


def streams_of(header: Header) -> dict[int, dict[int, Any]]:
    """Events, noise and latents of every segment."""
    found: dict[int, dict[int, Any]] = {index: {} for index in range(header.segments)}
    for index, stream in by_segment(planted(40, header.known_frames), header).items():
        found[index][c.STREAM_EVENTS] = stream
    encoder, random = NoiseEncoder(header.samplerate, header.channels), np.random.default_rng(2)
    for index, latents in random_latents(header).items():
        frames = header.segment_span(index)[1] + 2 * encoder.margin
        hiss = 0.02 * random.standard_normal((header.channels, frames))
        found[index][c.STREAM_NOISE] = encoder.encode(hiss, np.zeros_like(hiss))
        found[index][c.STREAM_LATENT] = latents
    return found


def file_of(streams: dict[int, dict[int, Any]], header: Header, adaptation: StreamData | None = None) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        if adaptation is not None:
            writer.add_adaptation(adaptation)
        for index in range(header.segments):
            frames = header.segment_span(index)[1]
            context = StreamContext(header.samplerate, header.channels, frames, networks=header.networks)
            coded = [coded_stream(kind, stream, context) for kind, stream in sorted(streams[index].items())]
            writer.add_segment(Segment(index, streams=tuple(coded)))
    return file.getvalue()


def music(seconds: float, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """Decaying tones over noise: float32 [frames, channels]."""
    random, time = np.random.default_rng(5), np.arange(int(seconds * rate)) / rate
    tones = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-6 * ((time - at) % 0.5)) for hertz, at in ((220, 0), (660, 0.2))
    )
    return (0.2 * tones[:, None] + 0.02 * random.standard_normal((len(time), channels))).astype(np.float32)
