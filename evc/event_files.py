"""Event streams of whole files: out of all segments, and into those of a copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import BinaryIO

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.events import events_network
from evc.format.header import Header, NetworkReference
from evc.format.networks import installed_network
from evc.format.segment import Segment
from evc.format.streams import Stream, coded_stream
from evc.format.streams.events import EventStream
from evc.format.writer import ContainerWriter
from evc.models.events.vectors import EVENTS_NETWORK

_KIND = c.STREAM_EVENTS
_LAYER = c.LAYERS[_KIND]


def event_streams(decoder: SegmentDecoder) -> dict[int, EventStream]:
    """Those of a file that have events, by segment; in salvage mode without damaged ones."""
    return {index: stream for index, stream in decoder.streams(_KIND) if len(stream)}


def with_events(header: Header, network: NetworkReference | None) -> Header:
    """The header with a layer of events and, as the first, their network: its own, else `network`, else the installed
    one. Raises UnsupportedError if there is none of these."""
    first = events_network(header) or network or installed_network(EVENTS_NETWORK)
    others = [other for other in header.networks if other.id != first.id]
    layers = (*header.layers, *(() if _LAYER in header.layers else (_LAYER,)))
    return replace(header, layers=layers, networks=(first, *others))


def write_link(
    output: BinaryIO, streams: Mapping[int, Stream], header: Header, decoder: SegmentDecoder, kind: int = _KIND
) -> None:
    """Write the file, or the link of a chain, of `decoder` with another `header`, and with these streams of one `kind`,
    those of events if no other is named, by segment, in place of its own. Unknown optional chunks are left out."""
    container = decoder.container
    metadata = container.tags, container.speakers, container.pictures, container.foreign
    edits = () if container.edits is None else container.edits.stretches
    with ContainerWriter(output, header, *metadata, edits) as writer:
        if container.adaptation is not None:
            writer.add_adaptation(container.adaptation)
        dictionaries = iter(container.dictionaries)
        for index in range(container.segments):
            while writer.patterns < container.patterns_before(index):
                writer.add_dictionary(next(dictionaries))
            segment = decoder.segment(index)
            kept = [data for data in segment.streams if data.kind != kind]
            if index in streams:
                kept.append(coded_stream(kind, streams[index], stream_context(container, index)))
            kept.sort(key=lambda data: data.kind)
            writer.add_segment(Segment(index, segment.dependencies, tuple(kept)))
