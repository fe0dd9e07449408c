"""The points of a whole file as integers: what its segments hold together, and what each of them is to hold."""

from __future__ import annotations

from evc.format import constants as c
from evc.format.header import Header, NetworkReference
from evc.format.streams.timbre import TimbreStream

TIMBRE = "timbre"  # the layer


def timbre_network(header: Header) -> NetworkReference | None:
    """The network of a file's timbres: the last that the header names but for that of latents (spec 3.2)."""
    others = header.networks[: -1 if c.LAYERS[c.STREAM_LATENT] in header.layers else None]
    return others[-1] if TIMBRE in header.layers and others else None


def in_file(stream: TimbreStream, header: Header, index: int) -> TimbreStream:
    """The points of segment `index`, with times from the start of the file."""
    start = index * header.segment_frames // c.superframe_length(header.samplerate)
    return TimbreStream(stream.times + start, stream.vectors, stream.levels, stream.widths, stream.step)


def by_segment(points: TimbreStream, header: Header) -> dict[int, TimbreStream]:
    """Points with times from the start of the file, as the streams of the segments that have any, by number. Those
    outside the file are left out."""
    superframe = c.superframe_length(header.samplerate)
    length = header.segment_frames // superframe
    found = {}
    for index in range(header.segments):
        start, frames = index * length, -(-header.segment_span(index)[1] // superframe)
        rows = slice(*points.times.searchsorted([start, start + frames]))
        if rows.start < rows.stop:
            parts = points.vectors[rows], points.levels[rows], points.widths[rows]
            found[index] = TimbreStream(points.times[rows] - start, *parts, points.step)
    return found
