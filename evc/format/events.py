"""The events of a whole file as integers: what its segments hold together, and what each of them is to hold."""

from __future__ import annotations

import numpy as np

from evc.format import constants as c
from evc.format.errors import InputError
from evc.format.header import Header, NetworkReference
from evc.format.streams.events import EventStream


def events_network(header: Header) -> NetworkReference | None:
    """The network of a file's events: the first that the header names (spec 3.2)."""
    return header.networks[0] if c.LAYERS[c.STREAM_EVENTS] in header.layers and header.networks else None


def in_file(stream: EventStream, header: Header, index: int) -> EventStream:
    """The events of segment `index`, with times from the start of the file."""
    return stream.later(header.segment_span(index)[0] << header.phase_bits)


def by_segment(events: EventStream, header: Header) -> dict[int, EventStream]:
    """Events with times from the start of the file, as the streams of the segments that have any, by number. Those that
    begin at once are put in order of pitch.

    Events outside the file are left out. Raises InputError for more events than a segment may hold.
    """
    ordered = events.chosen(np.lexsort((events.codes[:, 0], events.times)))
    starts = np.array([header.segment_span(index)[0] for index in range(header.segments)] + [header.known_frames])
    edges = np.searchsorted(ordered.times, starts << header.phase_bits)
    found = {}
    for index in range(header.segments):
        part = ordered.chosen(slice(edges[index], edges[index + 1]))
        if not len(part):
            continue
        limit = c.PLACED_PER_SUPERFRAME * -(-header.segment_span(index)[1] // c.superframe_length(header.samplerate))
        if len(part) > limit:
            raise InputError(f"segment {index} would have {len(part)} events; {limit} are allowed")
        found[index] = part.later(-(int(starts[index]) << header.phase_bits))
    return found
