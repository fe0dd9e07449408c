"""Events as a layer of a file, at any span of it.

What an event sounds like depends on nothing but its integers, so events of earlier segments sound on without the sound
of these segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from evc.format import constants as c
from evc.format.errors import UnsupportedError
from evc.format.events import events_network, in_file
from evc.format.header import Header, NetworkReference
from evc.format.lazy import cached_property
from evc.format.networks import find, installed_network
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.models.events.columns import EventColumns, Heard
from evc.models.events.rendering import EventRenderer
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.source import Read

LONGEST_EVENT = 6.05  # seconds until an event has died away (spec 10.9)


class EventLayer:
    """See `overlay.OverlayLayer`. `events` sound in place of the file's own."""

    stream = c.STREAM_EVENTS
    one_thread = True  # threads of small products would only slow down those that units are rendered in

    def __init__(self, header: Header, events: Heard | None = None) -> None:
        self._header, self._events = header, events
        self.before, self.after = int(LONGEST_EVENT * header.samplerate) + 1, 0

    def kept(self, index: int, stream: EventStream) -> EventColumns | None:
        header = self._header
        if self._events is not None or not len(stream):
            return None
        if stream.sizes != USUAL_SIZES:
            raise UnsupportedError("this version makes no sound of events whose parts are not the usual ones")
        return EventColumns.of(in_file(stream, header, index), header.samplerate, header.phase_bits, self._network)

    def source(self, near: Mapping[int, EventColumns], start: int, end: int) -> Read | None:
        found = list(near.values()) if self._replacement is None else [self._replacement]
        begin, until = start / self._header.samplerate - LONGEST_EVENT, end / self._header.samplerate
        parts = [events.within(begin, until) for events in found]
        if not any(len(part.times) for part in parts):
            return None
        return partial(self._renderer.render, *EventColumns.joined(parts))

    @cached_property
    def _replacement(self) -> EventColumns | None:
        """What takes the place of the file's own events."""
        return None if self._events is None else self._events.columns(self._network)

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
    return EventRenderer(SoundTables.load(find(network)), header.samplerate, header.channels)
