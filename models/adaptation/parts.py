"""What of the decoder of latents a file may change (spec 10.13): which numbers there are, and what they do to weights.

Weights are merged once, before anything is decoded. `merged` serves NumPy, which decodes, and torch, which fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams.difference import DifferenceStream
from evc.models.latents.layout import BANDS, CHANNELS, LatentConfig
from evc.models.latents.views import band_triangles
from evc.models.latents.weights import blocks, shapes

Floats = NDArray[np.float32]

GAINS, BIASES, BAND_VALUES, OUTPUTS, INPUTS = range(c.DIFFERENCE_GROUPS)  # groups of numbers, each with a step


class Part(NamedTuple):
    """Numbers of one `group` [shape] that change the tensor, or of OUTPUTS and INPUTS the layer, called `target`."""

    target: str
    group: int
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


def parts(config: LatentConfig, rank: int) -> list[Part]:
    """All there are, in the order of the stream: group by group."""
    found = [*_gains_and_biases(config), *_band_values(), *_low_rank(config, rank)]
    return sorted(found, key=lambda part: part.group)


def _blocks(config: LatentConfig) -> list[str]:
    return [name for name in blocks(config) if name.startswith("decoder.")]


def _gains_and_biases(config: LatentConfig) -> Iterator[Part]:
    channels = (config.channels,)
    for block in _blocks(config):
        yield from (Part(f"{block}.{name}", GAINS, channels) for name in ("near.weight", "norm.weight", "share"))
        yield from (Part(f"{block}.{name}.bias", BIASES, channels) for name in ("near", "norm", "narrow"))
        yield Part(f"{block}.wide.bias", BIASES, (config.expansion * config.channels,))
    yield Part("decoder.norm.weight", GAINS, channels)
    yield Part("decoder.norm.bias", BIASES, channels)


def _band_values() -> Iterator[Part]:
    yield from (Part(f"decoder.{name}.bias", BAND_VALUES, (CHANNELS * BANDS,)) for name in ("gains", "contrast"))


def _low_rank(config: LatentConfig, rank: int) -> Iterator[Part]:
    names = [f"decoder.{name}" for name in ("enter", "part", "look", "gains", "contrast", "added")]
    names += [f"{block}.{name}" for block in _blocks(config) for name in ("wide", "narrow")]
    tensors = shapes(config)
    for name in names if rank else ():
        outputs, inputs = tensors[f"{name}.weight"]
        yield Part(name, OUTPUTS, (outputs, rank))
        yield Part(name, INPUTS, (rank, inputs))


@lru_cache(maxsize=32)
def start(rank: int, inputs: int) -> Floats:
    """What the inputs of a layer begin with [rank, inputs]: 1 and -1, from a linear congruential generator."""
    found = np.empty(rank * inputs, np.float32)
    state = 0
    for number in range(len(found)):
        state = (1664525 * state + 1013904223) % (1 << 32)
        found[number] = 1 - 2 * (state >> 31)
    return found.reshape(rank, inputs)


def input_scale(inputs: int) -> float:
    """About one over the root of their number."""
    return 2.0 ** -(inputs.bit_length() // 2)


def numbers_of(difference: DifferenceStream, config: LatentConfig) -> dict[Part, Floats]:
    """What a stream tells, in the shapes and sizes that a network takes. Raises FormatError if it is for another."""
    wanted = parts(config, difference.rank)
    counts = [sum(part.numbers for part in wanted if part.group == group) for group in range(c.DIFFERENCE_GROUPS)]
    if counts != [len(values) for values in difference.values]:
        raise FormatError("the adapted weights do not fit the network of the file")
    found, at = {}, [0] * c.DIFFERENCE_GROUPS
    for part in wanted:
        values = difference.values[part.group][at[part.group] :][: part.numbers]
        found[part] = (values * step_size(difference.steps[part.group])).astype(np.float32).reshape(part.shape)
        at[part.group] += part.numbers
    return found


def stream_of(integers: Mapping[Part, NDArray[np.integer]], steps: Sequence[int], rank: int) -> DifferenceStream:
    """The inverse of `numbers_of`, from integers."""
    groups: list[list[NDArray[np.integer]]] = [[] for _ in range(c.DIFFERENCE_GROUPS)]
    for part, values in integers.items():
        groups[part.group].append(values.ravel())
    return DifferenceStream(rank, tuple(steps), tuple(np.concatenate(group).astype(np.int64) for group in groups))


def step_size(index: int) -> float:
    """Of a step index (spec 8.5)."""
    return math.ldexp(4 + index % 4, index // 4 - 10)


def adapted(tensors: Mapping[str, Floats], config: LatentConfig, difference: DifferenceStream) -> dict[str, Floats]:
    """The tensors of a network with what a file changes, float32. Raises FormatError if that is for another one."""
    return dict(tensors) | merged(tensors, numbers_of(difference, config), band_triangles(), start)


def merged(tensors: Mapping[str, Any], numbers: Mapping[Part, Any], triangles: Any, starts: Any) -> dict[str, Any]:
    """The tensors that numbers change, as they become: arrays, or torch's. `triangles` are the bands [BANDS, BINS],
    `starts` makes what `start` does."""
    found = {}
    outputs = {part.target: values for part, values in numbers.items() if part.group == OUTPUTS}
    for part, values in numbers.items():
        if part.group == INPUTS:
            name = f"{part.target}.weight"
            right = (starts(*part.shape) + values) * input_scale(part.shape[1])
            found[name] = tensors[name] + outputs[part.target] @ right
        elif part.group == GAINS:
            tensor = tensors[part.target]
            found[part.target] = tensor * (1 + values).reshape(-1, *(1 for _ in tensor.shape[1:]))
        elif part.target == "decoder.gains.bias":
            found[part.target] = tensors[part.target] + (values.reshape(-1, BANDS) @ triangles).reshape(-1)
        elif part.group != OUTPUTS:
            found[part.target] = tensors[part.target] + values
    return found
