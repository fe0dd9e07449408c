"""Events as a layer of a file, at any span of it.

What an event sounds like depends on nothing but its integers, so events of earlier segments sound on without the sound
of these segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.event_files import events_network, in_file
from evc.events import EventList
from evc.format import constants as c
from evc.format.errors import UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.lazy import cached_property
from evc.format.networks import EVENTS_NETWORK, Codebooks, find, installed_network
from evc.format.streams.events import EventStream
from evc.models.source import Read

if TYPE_CHECKING:
    from evc.models.events.rendering import EventRenderer

LONGEST_EVENT = 6.05  # seconds until an event has died away (spec 7.1)


class SoundingEvents(NamedTuple):
    """Events as the renderer takes them: times in seconds, linear amplitudes, pans, vectors [n, 32], keys of noise."""

    times: NDArray[Any]
    amplitudes: NDArray[Any]
    pans: NDArray[Any]
    vectors: NDArray[Any]
    keys: NDArray[Any]

    @classmethod
    def of(cls, events: EventList, reference: NetworkReference) -> SoundingEvents:
        """Vectors that no file has had yet get the keys of the codes next to them."""
        from evc.models.events.noise_source import event_keys

        codes = events.codes
        if codes is None:
            codes = Codebooks.of(reference).vectors_to_codes(events.vectors)
        return cls(events.times, events.amplitudes, events.pans, events.vectors, event_keys(codes))

    def within(self, begin: float, end: float) -> SoundingEvents:
        """Those that start from `begin` on and before `end`, in seconds."""
        rows = slice(*np.searchsorted(self.times, [begin, end]))
        return SoundingEvents(*(column[rows] for column in self))


class EventLayer:
    """See `overlay.OverlayLayer`. `events` sound in place of the file's own."""

    stream = c.STREAM_EVENTS
    one_thread = True  # threads of small products would only slow down those that units are rendered in

    def __init__(self, header: Header, events: EventList | None = None) -> None:
        self._header, self._events = header, events
        self.before, self.after = int(LONGEST_EVENT * header.samplerate) + 1, 0

    def kept(self, index: int, stream: EventStream) -> SoundingEvents | None:
        header = self._header
        if self._events is not None or not len(stream.times):
            return None
        coded = in_file(stream, header, index)
        events = EventList.from_coded(coded, header.samplerate, header.phase_bits, self._network)
        return SoundingEvents.of(events, self._network)

    def source(self, near: Mapping[int, SoundingEvents], start: int, end: int) -> Read | None:
        found = list(near.values()) if self._replacement is None else self._replacement
        begin, until = start / self._header.samplerate - LONGEST_EVENT, end / self._header.samplerate
        parts = [events.within(begin, until) for events in found]
        if not any(len(part.times) for part in parts):
            return None
        together = SoundingEvents(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        return partial(self._renderer.render, *together)

    @cached_property
    def _replacement(self) -> list[SoundingEvents] | None:
        """What takes the place of the file's own events."""
        return None if self._events is None else [SoundingEvents.of(self._events, self._network)]

    @cached_property
    def _network(self) -> NetworkReference:
        """That of the file's events, or the installed one where events come to a file that has none."""
        if network := events_network(self._header):
            return network
        if self._events is None:
            raise UnsupportedError("the file names no network for its events")
        return installed_network(EVENTS_NETWORK)

    @cached_property
    def _renderer(self) -> EventRenderer:
        return event_renderer(self._network, self._header)


def event_renderer(network: NetworkReference, header: Header) -> EventRenderer:
    """The renderer of a file's events. Raises UnsupportedError if the network is not installed."""
    from evc.models.events.generator import Generator
    from evc.models.events.rendering import EventRenderer

    return EventRenderer(Generator.load(find(network)), header.samplerate, header.channels)
