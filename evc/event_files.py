"""Events of whole files: from the streams of all segments to one list, and from a list to a new file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from evc.events import CodedEvents, EventList, joined
from evc.format import constants as c
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.errors import InputError
from evc.format.header import Header, NetworkReference
from evc.format.networks import EVENTS_NETWORK, Codebooks, installed_network
from evc.format.reader import ContainerReader
from evc.format.segment import Segment
from evc.format.streams import coded_stream
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.format.writer import ContainerWriter
from evc.streaming import PathOrFile, seekable_output

if TYPE_CHECKING:
    from evc.file import EvcFile

_KIND = c.STREAM_EVENTS
_LAYER = c.LAYERS[_KIND]


def events_network(header: Header) -> NetworkReference | None:
    """The network of a file's events: the first that the header names (spec 3.2)."""
    return header.networks[0] if _LAYER in header.layers and header.networks else None


def read_events(decoder: SegmentDecoder) -> EventList:
    """All events of a file. In salvage mode those of damaged segments are missing."""
    header, network = decoder.container.header, events_network(decoder.container.header)
    parts = [
        EventList.from_coded(in_file(stream, header, index), header.samplerate, header.phase_bits, network)
        for index, stream in _streams(decoder).items()
    ]
    if not parts:
        none = np.zeros((0, len(USUAL_SIZES)), np.int64)
        return EventList([], [], [], None, header.samplerate, codes=none, network=network)
    return joined(parts)


def _streams(decoder: SegmentDecoder) -> dict[int, EventStream]:
    """The event streams of a file by segment; in salvage mode without damaged ones."""
    return {index: stream for index, stream in decoder.streams(_KIND) if len(stream.times)}


def in_file(stream: EventStream, header: Header, index: int) -> CodedEvents:
    """The events of segment `index`, with times from the start of the file."""
    times = stream.times + (header.segment_span(index)[0] << header.phase_bits)
    columns = times, stream.amplitudes, stream.pans, stream.codes
    return CodedEvents(*columns, stream.sizes, stream.amplitude_step, stream.pan_steps)


def event_streams(events: CodedEvents, header: Header) -> dict[int, EventStream]:
    """The streams of the segments that have events, by number. Events that begin at once are put in order of pitch.

    Events outside the file are left out. Raises InputError for more events than a segment may hold.
    """
    order = np.lexsort((events.codes[:, 0], events.times))
    ordered = events.chosen(order)
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
        times = part.times - (int(starts[index]) << header.phase_bits)
        columns = times, part.amplitudes, part.pans, part.codes
        found[index] = EventStream(*columns, part.sizes, part.amplitude_step, part.pan_steps)
    return found


def coded_events(events: EventList, header: Header, like: EventStream | None = None) -> CodedEvents:
    """The nearest integers that a file of this header can hold, with the steps of `like`. Silent events are left out.

    Raises UnsupportedError where vectors need codes of a network that is not installed.
    """
    like = like or EventStream(pan_steps=c.DEFAULT_PAN_STEPS)
    events = events[events.amplitudes != 0]
    seconds = np.clip(events.times, -1, header.known_frames / header.samplerate + 1)  # those outside are left out later
    times = np.rint(seconds * header.samplerate * (1 << header.phase_bits)).astype(np.int64)
    decibels = 20 * np.log10(np.abs(events.amplitudes))
    levels = np.rint(decibels * c.AMPLITUDE_UNITS_PER_DB / like.amplitude_step).astype(np.int64)
    least = levels.max(initial=-c.MAX_AMPLITUDE_LEVEL) - (1 << c.AMPLITUDE_COUNT_BITS) + 1
    levels = np.clip(levels, max(least, -c.MAX_AMPLITUDE_LEVEL), c.MAX_AMPLITUDE_LEVEL)
    pans = np.rint(np.clip(events.pans, -1, 1) * like.pan_steps).astype(np.int64)
    codes, sizes = events.codes, like.sizes
    if codes is None or events.network != events_network(header):
        books = Codebooks.of(events_network(header))
        codes, sizes = books.vectors_to_codes(events.vectors), books.sizes
    return CodedEvents(times, levels, pans, codes, sizes, like.amplitude_step, like.pan_steps)


def write_events(target: PathOrFile, events: EventList, like: EvcFile, overwrite: bool = True) -> None:
    """Write an .evc file with `events` in place of those of `like`, and all else that is in it: length, tags, patterns,
    spectrum, noise. Unknown optional chunks are left out, and so are events that begin outside the file.
    Times are those of the coded timeline; an edit list stays.

    `target` is a path, where the file appears when it is complete, or an open binary file. Raises UnsupportedError if
    the network of the events is not installed, InputError for more events than a segment may hold.
    """
    with seekable_output(target, overwrite) as output:
        for container, start in zip(like.chain.links, like.chain.starts, strict=True):
            _write_link(output, events.shifted(-start / like.samplerate), container)


def _write_link(output: BinaryIO, events: EventList, container: ContainerReader) -> None:
    """A link with other events, whose times count from its start."""
    decoder = SegmentDecoder(container)
    found = _streams(decoder)
    header = _with_events(container.header, events)
    coded = coded_events(events, header, next(iter(found.values()), None))
    streams = event_streams(coded, header)
    metadata = container.tags, container.speakers, container.pictures, container.foreign
    edits = () if container.edits is None else container.edits.stretches
    with ContainerWriter(output, header, *metadata, edits) as writer:
        dictionaries = iter(container.dictionaries)
        for index in range(container.segments):
            while writer.patterns < container.patterns_before(index):
                writer.add_dictionary(next(dictionaries))
            segment = decoder.segment(index)
            kept = [data for data in segment.streams if data.kind != _KIND]
            if index in streams:
                kept.append(coded_stream(_KIND, streams[index], stream_context(container, index)))
            kept.sort(key=lambda data: data.kind)
            writer.add_segment(Segment(index, segment.dependencies, tuple(kept)))


def _with_events(header: Header, events: EventList) -> Header:
    """The header with a layer of events, and their network as the first."""
    network = events_network(header) or events.network or installed_network(EVENTS_NETWORK)
    others = [other for other in header.networks if other.id != network.id]
    layers = (*header.layers, *(() if _LAYER in header.layers else (_LAYER,)))
    return replace(header, layers=layers, networks=(network, *others))
