"""Conformance vectors of spectra and patterns drawn at random, as `stress` has them of other streams."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.streams import coded_stream
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.format.writer import ContainerWriter
from evc.spec.patterned import pattern_file
from evc.spec.stress import RATE, SUPERFRAME, Random, contexts, drawn_lattice


def loud_spectrum() -> bytes:
    """Five channels: a group that is silent in one segment and narrow in another, steps of the least and the greatest
    gain, so that coefficients have up to 20 low bits, of all block sizes."""
    header = Header(RATE, 5, 4500, layers=("spectrum",), segment_frames=2 * SUPERFRAME)
    random = np.random.default_rng(16)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index, context in enumerate(contexts(header)):
            groups = []
            for number, channels in enumerate((2, 2, 1)):
                coarse = [[14, 3, 14], [0, 14, 1], [9, 0, 0]][number][index]
                gain = [[-2048, 2047, -2048], [0, -1400, -900], [-700, 0, 0]][number][index]
                geometry = layout.geometry(SUPERFRAME, coarse) if coarse else None
                superframes = [[] if geometry is None else
                               [_block(random, geometry, channels, depth) for depth in _partition(random)]
                               for _ in range(-(-context.frames // SUPERFRAME))]  # fmt: skip
                offsets = random.integers(0, 16, len(superframes)).tolist() if number == 0 and coarse else None
                groups.append(Group(gain, coarse, superframes if coarse else [], offsets or []))
            writer.add_segment(Segment(index, (), (coded_stream(c.STREAM_SPECTRUM, SpectrumStream(groups), context),)))
    return target.getvalue()


def borders() -> bytes:
    """Copies in the last block of segments whose next one begins with blocks of another length."""
    header = Header(
        RATE, 1, 7000, layers=("patterns", "spectrum"), segment_frames=SUPERFRAME, reference_depth=6, reference_span=6
    )
    random = np.random.default_rng(17)
    geometry = layout.geometry(SUPERFRAME, 12)
    partitions = [[0], [1, 1], [0], [4, 4, 3, 2, 1], [0], [3, 3, 2, 1], [1, 2, 2]]
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for index, partition in enumerate(partitions):
        blocks = [_block(random, geometry, 1, depth, quiet=True) for depth in partition]
        copies = None
        if index > 2:
            one = np.zeros(1, np.int64)
            lag = np.array([(2 * SUPERFRAME + 16 + 100 * index) * 32 + 5 * index])
            copies = OccurrenceStream(one, one + COPY, lag, one, one + SUPERFRAME, one, one, one,
                                     copied=Gains(one[:, None, None]))  # fmt: skip
        segments.append((copies, SpectrumStream([Group(0, geometry.coarse_bands, [blocks])])))
    return pattern_file(header, [], segments)


def left_over() -> bytes:
    """Two channels under copies: energies from the least to the greatest, bands and blocks without, blocks alone and
    held, segments of other bandwidths and of none."""
    header = Header(
        RATE, 2, 9000, layers=("patterns", "spectrum"), segment_frames=SUPERFRAME, reference_depth=8, reference_span=8
    )
    random = np.random.default_rng(19)
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for index in range(header.segments):
        coarse, copies = (14, 12, 0, 14, 14, 0, 9, 14, 14)[index], None
        if index > 2:
            many = np.arange(index - 2)
            nothing = 0 * many
            gains = random.integers(-40, 41, (len(many), 2, 4))
            gains[random.random(gains.shape) < 0.2] = OFF
            copies = OccurrenceStream(
                100 * 32 * many, nothing + COPY, (2 * SUPERFRAME + 16) * 32 + 9999 * many, nothing,
                nothing + SUPERFRAME, nothing, nothing, nothing, copied=Gains(gains, 4, bool(index % 2)),
                gain_resolution=8,
            )  # fmt: skip
        blocks = _left_blocks(random, layout.geometry(SUPERFRAME, coarse), index > 2) if coarse else []
        segments.append((copies, SpectrumStream([Group(-500, coarse, [blocks] if coarse else [])])))
    return pattern_file(header, [], segments)


def _left_blocks(random: Random, geometry: layout.Geometry, covered: bool) -> list[Block]:
    """A superframe of blocks of two channels, some held, some alone."""
    blocks: list[Block] = []
    for depth in _partition(random):
        block = _block(random, geometry, 2, depth)
        block.energies[random.random(block.energies.shape) < random.choice([0, 0.4, 1.1])] = 0
        if blocks and blocks[-1].depth == depth and random.random() < 0.5:
            block = replace(block, modes=blocks[-1].modes, energies=blocks[-1].energies, held=True)
        block.coefficients[(block.energies == 0)[:, geometry.layouts[depth].band_of_bin]] = 0
        rises = random.integers(-30, 31, block.energies.shape) if random.random() < 0.6 else None
        blocks.append(replace(block, alone=covered and bool(random.random() < 0.3), rises=rises))
    return blocks


def turned() -> bytes:
    """Lattices moved up beyond the last bin, and down below the first."""
    header = Header(RATE, 1, 3000, layers=("patterns",), segment_frames=3 * SUPERFRAME)
    random = np.random.default_rng(18)
    pattern = replace(drawn_lattice(random, None), levels=random.integers(100, 112, (20, 11)))
    shifts = np.array([25 * 32 + 7, -5 * 32, 2**25 - 100])
    nothing = 0 * shifts
    placed = OccurrenceStream(
        np.array([100, 1000, 2000]) * 32 + 9, nothing, nothing, nothing, nothing, nothing, shifts, np.array([0, 3, 1]),
        Gains(nothing[:, None, None]), lattice=True, rotation_bits=2,
    )  # fmt: skip
    return pattern_file(header, [pattern], [(placed, None)])


def _partition(random: Random, depth: int = 0) -> list[int]:
    """Depths of the blocks of a superframe, cut at random."""
    if depth == 4 or random.random() < 0.4:
        return [depth]
    return _partition(random, depth + 1) + _partition(random, depth + 1)


def _block(random: Random, geometry: layout.Geometry, channels: int, depth: int, quiet: bool = False) -> Block:
    bands = geometry.layouts[depth]
    energies = random.choice([0, 1, 20, 46, 47], (channels, bands.bands)) - random.integers(0, 2, bands.bands)
    sizes = 2.0 ** random.integers(-2, 23, (channels, bands.bins))
    if quiet:
        energies, sizes = random.integers(18, 26, energies.shape), np.ones_like(sizes)
    energies = np.clip(energies, 0, c.ENERGY_MAX)
    values = np.rint(random.uniform(-sizes, sizes)).astype(np.int32)
    values[(random.random((channels, bands.bands)) < 0.7)[:, bands.band_of_bin]] = 0
    values[(energies == 0)[:, bands.band_of_bin]] = 0
    modes = random.integers(0, c.STEREO_MODES, geometry.coarse_bands) * (channels == 2)
    return Block(depth, modes, energies, values)


# As in `signals.FILES`.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "huge": ("coefficients of up to 20 low bits, groups silent by segments, blocks of all sizes", loud_spectrum),
    "borders": ("copies at ends of segments, of blocks beside others of another length", borders),
    "left-over": ("what is left over under copies, drawn at random; segments of other and of no bandwidth", left_over),
    "turned": ("lattices whose shifts lead round the ends of the bins", turned),
}
