"""The conformance vectors with envelopes, drawn at random: gains and classes that no encoder would choose."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.header import Header
from evc.format.segment import Segment, StreamData
from evc.format.sources import covered_frames, needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams import envelope as stream
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.port import WritePort
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.writer import ContainerWriter

Random = np.random.Generator


def envelopes() -> bytes:
    """Three channels: groups with gains and without, of all classes, a segment without the stream, an end within a hop.
    Gains stand in silence too."""
    header = Header(22_050, 3, 13_000, layers=("spectrum",), segment_frames=4096)
    random = np.random.default_rng(22)
    classes: list[list[list[int] | None] | None] = [
        [[0, 1, 2], [3, 2, 1]], [None, [1, 0, 3]], None, [[2, 3, 0], None],
    ]  # fmt: skip
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index, chosen in enumerate(classes):
            context = StreamContext.of_segment(header, index)
            spectrum = _hiss(random, context, 26, 2 * index, silent=index == 1)
            streams = [coded_stream(c.STREAM_SPECTRUM, spectrum, context)]
            if chosen is not None:
                streams.append(_drawn(random, context, chosen))
            writer.add_segment(Segment(index, (), tuple(streams)))
    return target.getvalue()


def beneath() -> bytes:
    """Two channels and two bands, the upper one a single bin. Copies of what is under an envelope, under others."""
    header = Header(
        8000, 2, 8000, layers=("patterns", "spectrum"), segment_frames=4096, reference_depth=1, reference_span=1
    )
    random = np.random.default_rng(23)
    one = np.zeros(2, np.int64)
    copies = OccurrenceStream(
        np.array([0, 900 * 32 + 5]), one + COPY, np.array([3000 * 32, 4444 * 32 + 16]), one, one + 2000, one, one, one,
        copied=Gains(one[:, None, None]),
    )  # fmt: skip
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        first = StreamContext.of_segment(header, 0)
        spectrum = coded_stream(c.STREAM_SPECTRUM, _hiss(random, first, 28, 0), first)
        writer.add_segment(Segment(0, (), (spectrum, _drawn(random, first, [[3, 1]]))))
        second = StreamContext.of_segment(header, 1)
        begin = header.segment_span(1)[0]
        sources = sound_sources(copies, [], second, begin)
        needed = needed_segments(sources, header.samplerate, header.phase_bits, begin, header.segment_frames)
        second = second.with_covered(covered_frames(sources, [], begin))
        repeated = coded_stream(c.STREAM_OCCURRENCES, copies, second)
        writer.add_segment(Segment(1, tuple(sorted(needed)), (repeated, _drawn(random, second, [[0, 2]]))))
    return target.getvalue()


_PARTITIONS = [[1, 2, 2], [0], [0], [2, 2, 2, 2], [2, 2, 1]]


def _hiss(random: Random, context: StreamContext, energy: int, begin: int, silent: bool = False) -> SpectrumStream:
    """Noise in all bands, in blocks of many sizes, from superframe `begin` of the file on; the first group may be
    silent."""
    geometry = layout.geometry(c.superframe_length(context.samplerate), layout.most_coarse_bands(context.samplerate))
    superframes = -(-context.frames // c.superframe_length(context.samplerate))
    groups: list[Group] = []
    for channels in channel_groups(context.channels):
        if silent and not groups:
            groups.append(Group(0, 0))
            continue
        count = channels.stop - channels.start
        frames = [[_block(random, geometry, count, depth, energy) for depth in _PARTITIONS[(begin + number) % 5]]
                  for number in range(superframes)]  # fmt: skip
        groups.append(Group(0, geometry.coarse_bands, frames))
    return SpectrumStream(groups)


def _block(random: Random, geometry: layout.Geometry, channels: int, depth: int, energy: int) -> Block:
    bands = geometry.layouts[depth]
    energies = energy + random.integers(-2, 1, (channels, bands.bands))
    modes = np.zeros(geometry.coarse_bands, np.int64)
    return Block(depth, modes, energies, np.zeros((channels, bands.bins), np.int32))


def _drawn(random: Random, context: StreamContext, classes: list[list[int] | None] | list[list[int]]) -> StreamData:
    """Gains of every size for the groups that have classes."""
    encoder = SymbolEncoder()
    port = WritePort(encoder)
    _, hops, bands = stream.shape(context)
    for chosen in classes:
        if port.field(int(chosen is not None), 1):
            gains: NDArray[np.int64] = random.integers(-c.MOST_ENVELOPE, c.MOST_ENVELOPE + 1, (hops, bands))
            gains //= random.choice([1, 3], gains.shape)
            for one in chosen or []:
                port.field(one, c.ENVELOPE_CLASS_BITS)
            rows = stream.rows(gains, np.array(chosen))
            port.symbols((gains + c.MOST_ENVELOPE).ravel(), stream.table(), rows.ravel(), stream.VALUES)
    found = encoder.finish()
    return StreamData(c.STREAM_ENVELOPE, found.words, found.symbols, found.checksum)


# As in `signals.FILES`.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "envelopes": (
        "envelopes drawn at random, of all classes: three channels, a group and a segment without, an end within a hop",
        envelopes,
    ),
    "beneath": ("copies of what is under an envelope, under other envelopes; two bands", beneath),
}
