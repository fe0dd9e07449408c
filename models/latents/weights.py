"""Files of weights of latent networks: their sizes, and tensors of the shapes that these ask for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.models.latents.layout import (
    BANDS,
    BINS,
    CHANNELS,
    CODED,
    CONFIG,
    ENTROPY,
    FEATURES,
    FRAMES_PER_COLUMN,
    LEARNED,
    LatentConfig,
)

Tensors = dict[str, NDArray[np.float32]]
_MOST = 1 << 12  # of a size: what is larger is no network that anybody runs


def read_weights(path: Path) -> tuple[LatentConfig, Tensors]:
    """The sizes and the tensors in a file of weights, without those of the entropy coder. Raises InputError if it holds
    something else, or tensors of other shapes."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            config = LatentConfig(**json.loads((file.metadata() or {})[CONFIG]))
            names = [name for name in file.keys() if not name.startswith(ENTROPY)]
            tensors = {name: file.get_tensor(name).astype(np.float32) for name in names}
        _check(config, tensors)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise InputError(f"{path.name} does not hold the weights of a latent network") from error
    return config, tensors


def _check(config: LatentConfig, tensors: Tensors) -> None:
    sizes = asdict(config)
    if any(type(size) is not int or not 0 <= size <= _MOST for size in sizes.values()):
        raise ValueError("sizes that make no network")
    if not config.channels or config.kernel % 2 == 0:
        raise ValueError("sizes that make no network")
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes(config):
        raise ValueError("tensors that do not make a network of its sizes")


def shapes(config: LatentConfig) -> dict[str, tuple[int, ...]]:
    """Those of all tensors of a network, by their names (spec 10.10)."""
    channels = config.channels
    found: dict[str, tuple[int, ...]] = {
        "measure": (FRAMES_PER_COLUMN * CHANNELS * BANDS, LEARNED),
        "shape": (LEARNED, FRAMES_PER_COLUMN * CHANNELS * BANDS),
        "ceiling": (CODED,),
        "detail.slope": (CODED,),
        "detail.tilt": (CODED,),
    }
    for name, outputs, inputs in (
        ("encoder.enter", channels, FEATURES),
        ("encoder.join", channels, FRAMES_PER_COLUMN * channels),
        ("leave", LEARNED, channels),
        ("detail.guess", CODED, channels),
        ("decoder.enter", channels, CODED + 2 * LEARNED + 1),
        ("decoder.part", FRAMES_PER_COLUMN * channels, channels),
        ("decoder.look", channels, FEATURES),
        ("decoder.gains", CHANNELS * BINS, channels),
        ("decoder.contrast", CHANNELS * BANDS, channels),
        ("decoder.added", 2 * CHANNELS * BINS, channels),
    ):
        found |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    for name in ("encoder.norm", "decoder.norm"):
        found |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    for name in blocks(config):
        found |= _block(name, config)
    return found


def blocks(config: LatentConfig) -> Iterator[str]:
    """The names of all blocks (spec 10.10)."""
    yield "encoder.fine"
    yield from (f"encoder.coarse.{number}" for number in range(config.encoder_blocks))
    yield from (f"decoder.coarse.{number}" for number in range(config.coarse_blocks))
    yield from (f"decoder.fine.{number}" for number in range(config.fine_blocks))


def _block(name: str, config: LatentConfig) -> dict[str, tuple[int, ...]]:
    channels, wide = config.channels, config.expansion * config.channels
    return {
        f"{name}.near.weight": (channels, 1, config.kernel),
        f"{name}.near.bias": (channels,),
        f"{name}.norm.weight": (channels,),
        f"{name}.norm.bias": (channels,),
        f"{name}.wide.weight": (wide, channels),
        f"{name}.wide.bias": (wide,),
        f"{name}.narrow.weight": (channels, wide),
        f"{name}.narrow.bias": (channels,),
        f"{name}.share": (channels,),
    }
