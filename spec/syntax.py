"""The conformance vectors whose integers are set by hand: what no encoder chooses, or none writes yet."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.header import Header, NetworkReference
from evc.format.segment import Dictionary, Segment
from evc.format.streams import Stream, StreamContext, coded_stream
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Explicit, Lattice
from evc.format.streams.events import EventStream
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.noise import NoisePlane, NoiseStream, hops
from evc.format.streams.noise_changes import COLOUR, plane_kinds
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.format.writer import ContainerWriter


def syntax() -> bytes:
    """Integers that no encoder would choose: all block sizes and modes, energies that jump, huge coefficients."""
    random = np.random.default_rng(3)
    geometry = layout.geometry(1024, 14)
    superframes: list[list[Block]] = []
    for partition in ([0], [1, 2, 3, 4, 4], [4, 4, 3, 2, 1], [2, 2, 2, 2]):
        superframes.append([_random_block(random, geometry, depth) for depth in partition])
    first, second = superframes[3][:2]
    second = replace(second, modes=first.modes, energies=first.energies, held=True)
    second.coefficients[(first.energies == 0)[:, geometry.layouts[2].band_of_bin]] = 0
    superframes[3][1] = second
    header = Header(8000, 2, 4000, layers=("spectrum",), segment_frames=4096)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        stream = SpectrumStream([Group(-700, 14, superframes)])
        writer.add_segment(Segment(0, (), (coded_stream(c.STREAM_SPECTRUM, stream, StreamContext(8000, 2, 4000)),)))
    return target.getvalue()


def _random_block(random: np.random.Generator, geometry: layout.Geometry, depth: int) -> Block:
    bands = geometry.layouts[depth]
    energies = random.integers(0, c.ENERGY_MAX + 1, (2, bands.bands))
    scale = 10.0 ** random.integers(-1, 6, (2, bands.bins))
    coefficients = np.rint(random.laplace(0, scale)).astype(np.int32)
    coefficients[(random.random((2, bands.bands)) < 0.7)[:, bands.band_of_bin]] = 0
    coefficients[(energies == 0)[:, bands.band_of_bin]] = 0
    return Block(depth, random.integers(0, c.STEREO_MODES, geometry.coarse_bands), energies, coefficients)


def layers() -> bytes:
    """Every stream that version 1 has and its first encoder does not write."""
    header = Header(
        16_000, 2, 8192, layers=("patterns", "events", "noise"), segment_frames=2048,
        reference_depth=2, reference_span=2, networks=(NetworkReference("example", bytes(range(8))),),
    )  # fmt: skip
    whole = StreamContext(16_000, 2, 8192, header.phase_bits, 3)
    context = StreamContext(16_000, 2, 2048, header.phase_bits, 3)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        dictionary = coded_stream(c.STREAM_DICTIONARY, _dictionary(), whole)
        writer.add_dictionary(Dictionary(0, 3, (dictionary,)))
        streams: list[Stream] = [_occurrences(context), _events(), _noise(context)]
        kinds = (c.STREAM_OCCURRENCES, c.STREAM_EVENTS, c.STREAM_NOISE)
        found = tuple(coded_stream(kind, stream, context) for kind, stream in zip(kinds, streams, strict=True))
        writer.add_segment(Segment(0, ()))
        writer.add_segment(Segment(1, ()))
        writer.add_segment(Segment(2, (0, 1), found))
        others = coded_stream(c.STREAM_EVENTS, _other_events(), context)
        writer.add_segment(Segment(3, (2,), (others,)))
    return target.getvalue()


def _dictionary() -> DictionaryStream:
    encoder = SymbolEncoder()
    SpectrumStream([Group(0, 0)]).write(encoder, StreamContext(16_000, 1, 100))
    levels = np.arange(12).reshape(3, 4) * 20
    lattice = Lattice(8, 6, 4, 3, levels, np.where(levels > 0, levels % 8, 0))
    return DictionaryStream([Excerpt(100, 500), Explicit(1, 100, encoder.finish()), lattice])


def _occurrences(context: StreamContext) -> OccurrenceStream:
    times = np.array([0, 1000, 20_001, 300, 40_000])
    n = len(times)
    stream = OccurrenceStream(
        times=times, patterns=np.array([0, 1, 0, COPY, COPY]), lags=np.array([0, 0, 0, 96_000, 96_000]),
        offsets=np.array([0, 7, 0, 0, 0]), lengths=np.array([0, 50, 400, 500, 700]),
        inverted=np.array([0, 1, 0, 0, 1]), shifts=np.zeros(n, np.int64), rotations=np.zeros(n, np.int64),
        placed=Gains(stride=4), copied=Gains(stride=2), polarity=True, spans=True,
    )  # fmt: skip
    for gains, count in ((stream.placed, 3), (stream.copied, 2)):
        bands = len(gains.edges(context.samplerate)) - 1
        gains.levels = np.arange(count * bands).reshape(count, 1, bands) % 7 - 3
    stream.placed.levels[1, 0, 0] = OFF
    return stream


def _events() -> EventStream:
    partials = [3, 0, 8, 0, 0, 0, 1]
    first = [69 * 64 + 5, 7, 0, 15, 4, 11, *partials, 0, 0, 0]
    return EventStream(
        times=np.array([5, 8000, 8000, 16_000, 65_000]), amplitudes=np.array([-3, -40, -4, -3, 5]),
        pans=np.array([0, -3, 3, -3, 1]),
        codes=np.array([first, [76 * 64, *first[1:]], [*first[:1], 9, *first[2:]], [0] * 16,
                        [8191, 31, 7, 15, 7, 31, *[8] * 7, 7, 63, 7]]),
        pan_steps=3,
    )  # fmt: skip


def _other_events() -> EventStream:
    """Vectors of other parts than the usual ones."""
    return EventStream(
        times=np.array([0, 1, 31_999]), amplitudes=np.array([0, 100, -923]), pans=np.array([-3, 3, 0]),
        codes=np.array([[4000, 1, 200, 0], [4010, 1, 200, 0], [4001, 4, 9, 0]]),
        sizes=(8192, 5, 256, 1), amplitude_step=1, pan_steps=3,
    )  # fmt: skip


def hiss() -> bytes:
    """Noise with and without colours, and a segment without noise."""
    frames, samplerate, length = 15_000, 8000, 4096
    header = Header(samplerate, 2, frames, layers=("noise",), segment_frames=length)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index in range(4):
            context = StreamContext(samplerate, 2, min(length, frames - index * length))
            noise = _noise(context, 14, index, colour=index % 2)
            streams = () if index == 2 else (coded_stream(c.STREAM_NOISE, noise, context),)
            writer.add_segment(Segment(index, (), streams))
    return target.getvalue()


def _noise(context: StreamContext, loudest: int = 40, seed: int = 4, colour: int = 1) -> NoiseStream:
    """Planes of random levels: stretches joined or not, held or not."""
    random = np.random.default_rng(seed)
    strides = 3, 15, 0, colour
    planes = []
    for stride, kind in zip(strides, plane_kinds(context.channels), strict=True):
        lengths = np.array([1, 7, 7, 20] if stride or kind.row < COLOUR.row else [], np.int64)
        lengths[-1:] += hops(context) - lengths.sum()
        least, most = max(kind.least, -loudest), min(kind.most, loudest)
        starts, ends = random.integers(least, most + 1, (2, len(lengths), kind.bands(context.samplerate, stride)))
        starts[2:3], ends[1:2] = ends[1:2], starts[1:2]
        planes.append(NoisePlane(lengths, starts, ends, stride))
    return NoiseStream(planes, 23)
