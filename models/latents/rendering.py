"""What latents bring to a file: their decoder's output less what it starts from, at any span.

Both run over units on a grid from the file's start, with a margin on either side beyond which nothing matters, so that
a span has the same samples however it was come to. Outside the file, and in segments that are lost, latents are zero,
in the coarsest steps; where all other layers are silent, so is this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import InputError
from evc.format.header import Header, NetworkReference
from evc.format.networks import find
from evc.format.segment import StreamData
from evc.format.streams.difference import decoded_difference
from evc.format.streams.latent_model import LatentModel
from evc.models.adaptation.parts import adapted
from evc.models.device import one_thread
from evc.models.latents.inference import ArrayNetwork, LatentInference
from evc.models.latents.layout import DIMENSIONS, SAMPLES_PER_COLUMN
from evc.models.latents.planes import from_planes, to_planes
from evc.models.latents.weights import read_weights
from evc.models.overlay import Decode, Parallel
from evc.models.source import Read, padded
from evc.models.units import Audio, Units

UNIT_COLUMNS = (1 << 18) // SAMPLES_PER_COLUMN
UNITS_AHEAD = 4  # rendered together, at most
COARSEST = 2.0 ** (((1 << c.LATENT_STEP_BITS) - 1) / c.LATENT_STEPS_PER_OCTAVE)  # where there are no latents (spec 8.2)

# Integers [columns, DIMENSIONS] and step sizes [columns].
SteppedLatents = tuple[NDArray[np.float32], NDArray[np.float32]]


class UnitSpan(NamedTuple):
    """A unit with its margins, in columns: those of the unit are [start, end), with the margins [first, last)."""

    first: int
    start: int
    end: int
    last: int

    @classmethod
    def of(cls, number: int, columns: int, margin: int) -> Self:
        """Unit `number` of a file of so many columns."""
        start = number * UNIT_COLUMNS
        end = min(start + UNIT_COLUMNS, columns)
        return cls(start - margin, start, end, end + margin)

    @classmethod
    def all(cls, columns: int, margin: int) -> Iterator[Self]:
        """All units of a file of so many columns."""
        return (cls.of(number, columns, margin) for number in range(-(-columns // UNIT_COLUMNS)))

    def inner(self, values: NDArray[Any], per_column: int = 1) -> NDArray[Any]:
        """What belongs to the unit itself, of values [..., columns * per_column] of the whole span."""
        return values[..., (self.start - self.first) * per_column : (self.end - self.first) * per_column]

    def ends(self, columns: int) -> tuple[int, int]:
        """Where a file of so many columns begins and ends, counted from the first column of the span."""
        return -self.first, columns - self.first

    def read(self, read: Read, channels: int, frames: int) -> Audio:
        """The samples [channels, ...] of the span, silence outside the file of so many frames; `read` is asked only
        inside."""
        start, count = self.first * SAMPLES_PER_COLUMN, (self.last - self.first) * SAMPLES_PER_COLUMN
        return padded(read, channels, frames, start, count)


class LatentRenderer:
    """Renders the layer of a file: what its decoder changes of what is `known`, all other layers together and noise
    alone (`Synthesiser.known`), by `network`. Units are rendered in `parallel`, a function like map."""

    def __init__(
        self, header: Header, decode: Decode, known: Read, network: LatentInference, parallel: Parallel = map
    ) -> None:
        self._header, self._decode, self._known, self._parallel = header, decode, known, parallel
        self._network = network
        self._units = Units(UNIT_COLUMNS * SAMPLES_PER_COLUMN, header.known_frames, UNITS_AHEAD, self._render_all)
        self.fetch, self.ready, self.prepare = self._units.fetch, self._units.ready, self._units.prepare

    def together(self, frame: int) -> int:
        """The end of what is rendered together with a frame, at most."""
        length = UNIT_COLUMNS * SAMPLES_PER_COLUMN
        return (frame // length + UNITS_AHEAD) * length

    def _render_all(self, numbers: list[int]) -> Iterable[Audio]:
        columns, margin = columns_of(self._header), self._network.config.margin
        spans = [UnitSpan.of(number, columns, margin) for number in numbers]
        latents = latents_of(self._header, self._decode, spans)
        channels, frames = self._header.channels, self._header.known_frames
        known = [span.read(self._known, 2 * channels, frames) for span in spans]
        work = list(zip(spans, known, latents, strict=True))
        with one_thread():
            return list(self._parallel(lambda work: self._render(*work), work))

    def _render(self, span: UnitSpan, others: Audio, latents: SteppedLatents) -> Audio:
        """The contribution [channels, frames] to a unit."""
        channels = self._header.channels
        y, noise = (to_planes(part) for part in (others[:channels], others[channels:]))
        changed = span.inner(y, SAMPLES_PER_COLUMN)
        if y.any():
            ends = span.ends(columns_of(self._header))
            changed = self._network.decode(*latents, y, noise, ends) - changed
        return from_planes(changed, channels)[:, : self._header.known_frames - span.start * SAMPLES_PER_COLUMN]


def latents_of(header: Header, decode: Decode, spans: list[UnitSpan]) -> list[SteppedLatents]:
    """The latents of each span."""
    per_segment = header.segment_frames // SAMPLES_PER_COLUMN
    most = header.segments
    needed = {
        index
        for span in spans
        for index in range(max(0, span.first) // per_segment, min(-(-span.last // per_segment), most))
    }
    streams = {
        index: found[c.STREAM_LATENT] for index, found in decode(sorted(needed)).items() if c.STREAM_LATENT in found
    }
    return [_gathered(span, streams, per_segment) for span in spans]


def _gathered(span: UnitSpan, streams: Mapping[int, Any], per_segment: int) -> SteppedLatents:
    count = span.last - span.first
    values, steps = np.zeros((count, DIMENSIONS), np.float32), np.full(count, COARSEST, np.float32)
    for index, stream in streams.items():
        begin = index * per_segment
        low, high = max(begin, span.first), min(begin + len(stream.latents), span.last)
        if low < high:
            values[low - span.first : high - span.first] = stream.latents[low - begin : high - begin]
            steps[low - span.first : high - span.first] = step_size(stream.step)
    return values, steps


def step_size(index: int) -> float:
    """Of a step index (spec 8.2), in units of the finest."""
    return float(2.0 ** (index / c.LATENT_STEPS_PER_OCTAVE))


def columns_of(header: Header) -> int:
    """How many columns a file has."""
    return -(-header.known_frames // SAMPLES_PER_COLUMN)


def latent_network(header: Header, device: str = "cpu", adaptation: StreamData | None = None) -> LatentInference:
    """The network of a file's latents, the last that its header names (spec 3.2), with what the file changes of it.
    Raises UnsupportedError if it is not installed, InputError if its weights do not make sound of latents, DamagedError
    or FormatError for changes that are none."""
    return _loaded(header.networks[-1], device, adaptation)


@lru_cache(maxsize=3)
def _loaded(reference: NetworkReference, device: str, adaptation: StreamData | None = None) -> LatentInference:
    path = find(reference)
    if LatentModel.load(path).dimensions != DIMENSIONS:
        raise InputError(f"{path.name} does not hold the weights of a latent network")
    config, tensors = read_weights(path)
    if adaptation is not None:
        tensors = adapted(tensors, config, decoded_difference(adaptation)[0])
    if device == "cpu":
        return ArrayNetwork(config, tensors)
    from evc.models.latents.network import LatentNetwork
    from evc.models.latents.on_device import DeviceNetwork

    return DeviceNetwork(LatentNetwork.of(config, tensors), device)
