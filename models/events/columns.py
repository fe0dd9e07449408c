"""Events as a renderer takes them: floating-point columns, whose vectors are known."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from evc.format.header import NetworkReference
from evc.format.streams.events import EventStream
from evc.models.events.codebooks import Codebooks
from evc.models.events.noise_source import event_keys


class EventColumns(NamedTuple):
    """Events in order of time: times in seconds, linear amplitudes, pans from -1 to 1, vectors [events, 32], keys of
    noise (`event_keys`)."""

    times: NDArray[Any]
    amplitudes: NDArray[Any]
    pans: NDArray[Any]
    vectors: NDArray[Any]
    keys: NDArray[Any]

    @classmethod
    def of(cls, events: EventStream, samplerate: int, phase_bits: int, network: NetworkReference | None) -> Self:
        """What integers stand for; times count from where those of `events` do. Raises UnsupportedError if the network
        is not installed, or does not know the codes."""
        times = events.times / (1 << phase_bits) / samplerate
        vectors = Codebooks.of(network).codes_to_vectors(events.codes)
        return cls(times, events.linear_amplitudes(), events.unit_pans(), vectors, event_keys(events.codes))

    @classmethod
    def joined(cls, parts: list[EventColumns]) -> Self:
        """All events of at least one part, one part after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def within(self, begin: float, end: float) -> Self:
        """Those that start from `begin` on and before `end`, in seconds."""
        rows = slice(*np.searchsorted(self.times, [begin, end]))
        return type(self)(*(column[rows] for column in self))


class Heard(Protocol):
    """Events that are to be heard in a file."""

    def columns(self, network: NetworkReference) -> EventColumns:
        """As a renderer with the generator of `network` takes them. Raises UnsupportedError where a network that they
        need is not installed."""
