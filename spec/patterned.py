"""The conformance vectors with patterns, and with steps that change between superframes."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np

from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.header import Header
from evc.format.segment import Dictionary, Segment
from evc.format.sources import covered_frames, decode_entry, needed_segments, sound_sources
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Explicit, Lattice, Loop, Pattern
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.format.writer import ContainerWriter


def copies() -> bytes:
    """A pair: copies by whole and by fractional lags, in part, turned over, in mid and side, and of copies. Blocks that
    they leave alone, and energies of what they leave over, held ones among them."""
    header = Header(
        8000, 2, 12_000, layers=("patterns", "spectrum"), segment_frames=4096, reference_depth=2, reference_span=2
    )
    random = np.random.default_rng(6)
    first, second = tones(random, 2, 4, 28), _left_over(random, tones(random, 2, 4, 18), LEFT_KINDS)
    common: dict[str, Any] = {"polarity": True}
    middle = _copied(random, [0, 900, 2600], [2100 * 32, 2500 * 32 + 13, 2064 * 32], [1500, 2000, 9000], common)
    last = _copied(random, [10, 10], [4096 * 32, 5000 * 32 + 31], [2000, 4096], common)
    middle.inverted[1] = 1
    return pattern_file(header, [], [(None, first), (middle, second), (last, SpectrumStream([Group(0, 0)]))])


# Of the blocks of four superframes of `tones`, in order of time.
LEFT_KINDS = [[""], ["", "alone", "alone", "", "held"], ["alone", "held"], ["alone", "alone held", "", ""]]


def _left_over(random: np.random.Generator, stream: SpectrumStream, kinds: list[list[str]]) -> SpectrumStream:
    """The stream of a group, of which little is left in some bands; blocks are alone or held as `kinds` tells."""
    frames = stream.groups[0].superframes
    last: Block | None = None
    for blocks, names in zip(frames, kinds, strict=True):
        for number, (block, name) in enumerate(zip(blocks, names, strict=True)):
            block.energies[random.random(block.energies.shape) < 0.4] = 0
            if last is not None and "held" in name:
                block = replace(block, modes=last.modes, energies=last.energies, held=True)
            band_of_bin = layout.geometry(1024, len(block.modes)).layouts[block.depth].band_of_bin
            block.coefficients[(block.energies == 0)[:, band_of_bin]] = 0
            rises = random.integers(-3, 4, block.energies.shape) if random.random() < 0.7 else None
            blocks[number] = last = replace(block, alone="alone" in name, rises=rises)
    return stream


def _copied(
    random: np.random.Generator, frames: list[int], lags: list[int], lengths: list[int], settings: dict[str, Any]
) -> OccurrenceStream:
    """Copies in a pair's segment, some bands off."""
    nothing = np.zeros(len(frames), np.int64)
    gains = random.integers(-4, 2, (len(frames), 2, 5))
    gains[random.random(gains.shape) < 0.2] = OFF
    return OccurrenceStream(
        np.array(frames) * 32 + 7, nothing + COPY, np.array(lags), nothing, np.array(lengths),
        nothing.copy(), nothing, nothing, copied=Gains(gains, 3, True), **settings,
    )  # fmt: skip


def placements() -> bytes:
    """Three channels: waveforms of one and of two channels, and an excerpt, placed at whole and fractional times, whole
    and in part."""
    header = Header(
        8000, 3, 11_000, layers=("patterns", "spectrum"), segment_frames=4096, reference_depth=2, reference_span=2
    )
    random = np.random.default_rng(7)
    patterns: list[Pattern] = [_explicit(tones(random, 1, 1, 28), 1, 900), _explicit(tones(random, 2, 2, 28), 2, 1700)]
    patterns.append(Excerpt(700, 1800))
    spectra = [tones(random, 3, 4, 21), tones(random, 3, 4, 18), None]
    plans = [
        ([0, 1500 * 32 + 9, 3900 * 32], [0, 1, 1], [0, 0, 0], [0, 0, 0]),
        ([5, 1000 * 32 + 5, 2000 * 32 + 16], [1, 2, 0], [196, 100, 0], [0, 1000, 4000]),
        ([100 * 32, 1024 * 32 + 1, 1500 * 32 + 8], [2, 2, 1], [0, 0, 333], [0, 700, 1000]),
    ]
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for spectrum, (times, numbers, offsets, lengths) in zip(spectra, plans, strict=True):
        nothing = np.zeros(len(times), np.int64)
        gains = random.integers(-8, 3, (len(times), 3, 2))
        gains[random.random(gains.shape) < 0.2] = OFF
        columns = np.array(times), np.array(numbers), nothing, np.array(offsets), np.array(lengths)
        rest = nothing, nothing, nothing, Gains(gains, 8)
        occurrences = OccurrenceStream(*columns, *rest, gain_resolution=8, spans=True)
        segments.append((occurrences, spectrum))
    return pattern_file(header, patterns, segments)


def one_shots() -> bytes:
    """A pair: sounds of one channel, panned in one band and at many pitches, two of them with loops, beside a copy in
    mid and side; some go on over a border."""
    header = Header(
        8000, 2, 9000, layers=("patterns", "spectrum"), segment_frames=4096, reference_depth=1, reference_span=1
    )
    random = np.random.default_rng(10)
    loops = None, Loop(300 * 32 + 11, 200 * 32 + 5), Loop(99 * 32, 600 * 32 + 21, ping_pong=True)
    patterns: list[Pattern] = [
        replace(_explicit(tones(random, 1, 1, 28), 1, 900), loop=loop) for loop in loops
    ]
    plans = [
        # Time, pattern, offset, length, semitones, parts of one; of the copy its lag.
        [(7, 0, 0, 0, 0, 0), (7, 1, 0, 3000, -7, 0), (900 * 32, 0, 200, 500, 12, 0), (1111 * 32 + 9, 2, 0, 2500, 0, 0),
         (2000 * 32, 1, 0, 6000, 5, -100), (3700 * 32 + 1, 0, 0, 0, -24, 1)],
        [(0, 1, 2096, 3904, 5, -100), (1, 0, 396, 0, -24, 1), (600 * 32, 0, 0, 300, -24, 0),
         (700 * 32, 2, 1, 1, -96, 0), (1500 * 32 + 5, 2, 4000, 900, 24, 4096),
         (1024 * 32, COPY, 4096 * 32, 2000, 0, 0)],
        [(5, 2, 70, 800, -5, -2048)],
    ]  # fmt: skip
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for plan, spectrum in zip(plans, (None, tones(random, 2, 4, 18), None), strict=True):
        times, numbers, offsets, lengths, semitones, fine = np.array(plan, np.int64).T
        copied, nothing = numbers == COPY, 0 * times
        levels = random.integers(-12, 1, (len(plan), 2, 5))
        pan, mid_side = Gains(levels[~copied, :, :1]), Gains(levels[copied], 3, mid_side=True)
        occurrences = OccurrenceStream(
            times, numbers, np.where(copied, offsets, 0), np.where(copied, 0, offsets), lengths, nothing, nothing,
            nothing, pan, mid_side if copied.any() else Gains(), spans=True, rates=True, fine_rates=True,
            semitones=semitones, fine=fine,
        )  # fmt: skip
        segments.append((occurrences, spectrum))
    return pattern_file(header, patterns, segments)


def lattices() -> bytes:
    """Lattices, placed beside a copy and without one: they cover no blocks, but one that is alone lacks them."""
    header = Header(
        8000, 1, 7000, layers=("patterns", "spectrum"), segment_frames=4096, reference_depth=1, reference_span=1
    )
    random = np.random.default_rng(9)
    levels = random.integers(100, 118, (9, 30)) * (random.random((9, 30)) < 0.5)
    phases = random.integers(-8, 8, levels.shape) % 256 * (levels > 0)
    lattice = Lattice(7, 5, 4, 8, levels, phases, (1000, 60_000, 333))
    first = tones(random, 1, 4, 26)
    second = _left_over(random, tones(random, 1, 3, 18), [["alone"], ["", "alone", "", "alone", "held"], ["", "held"]])
    plain: dict[str, Any] = {"lattice": True, "rotation_bits": 4}
    alone = _in_part(random, [(700 * 32, 0, 0, 0), (1500 * 32 + 5, 0, 3 * 32 + 9, 5)], plain)
    beside = _in_part(random, [(0, 0, 2**20 + 1, 15), (2200 * 32, 0, 0, 1), (3, COPY, 4000, 1800)], plain)
    return pattern_file(header, [lattice], [(alone, first), (beside, second)])


def _in_part(
    random: np.random.Generator, rows: list[tuple[int, int, int, int]], settings: dict[str, Any]
) -> OccurrenceStream:
    """In one channel: rows of time, pattern, and shift and rotation, of a copy lag and length in frames."""
    times, patterns, third, fourth = np.array(rows, np.int64).T
    copied = patterns == COPY
    gains = random.integers(-3, 1, (len(rows), 1, 2))
    return OccurrenceStream(
        times, patterns, np.where(copied, third * 32, 0), 0 * times, np.where(copied, fourth, 0), 0 * times,
        np.where(copied, 0, third), np.where(copied, 0, fourth), Gains(gains[~copied], 8),
        Gains(gains[copied], 8) if copied.any() else Gains(), **settings,
    )  # fmt: skip


def _explicit(stream: SpectrumStream, channels: int, frames: int) -> Explicit:
    encoder = SymbolEncoder()
    stream.write(encoder, StreamContext(8000, channels, frames))
    return Explicit(channels, frames, encoder.finish())


def graded() -> bytes:
    header = Header(8000, 1, 5000, layers=("spectrum",), segment_frames=5 * 1024)
    stream = tones(np.random.default_rng(8), 1, 5, 28)
    stream.groups[0].offsets = [0, 3, 3, 15, 1]
    context = StreamContext(8000, 1, 5000)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        writer.add_segment(Segment(0, (), (coded_stream(c.STREAM_SPECTRUM, stream, context),)))
    return target.getvalue()


def tones(random: np.random.Generator, channels: int, superframes: int, energy: int) -> SpectrumStream:
    """Small coefficients here and there, in blocks of all sizes at 8000 Hz, below 2600 Hz."""
    geometry = layout.geometry(1024, 12)
    partitions = [[0], [1, 2, 3, 4, 4], [1, 1], [3, 3, 2, 1]]
    groups = []
    for first in range(0, channels, 2):
        count = min(2, channels - first)
        frames = [[_tone_block(random, geometry, count, depth, energy) for depth in partitions[(first + n) % 4]]
                  for n in range(superframes)]  # fmt: skip
        groups.append(Group(0, geometry.coarse_bands, frames))
    return SpectrumStream(groups)


def _tone_block(
    random: np.random.Generator, geometry: layout.Geometry, channels: int, depth: int, energy: int
) -> Block:
    bands = geometry.layouts[depth]
    energies = np.clip(energy - np.arange(bands.bands) // 3 + random.integers(-4, 3, (channels, bands.bands)), 0, None)
    coefficients = np.rint(random.laplace(0, 0.8, (channels, bands.bins))).astype(np.int32)
    coefficients[(random.random((channels, bands.bands)) < 0.6)[:, bands.band_of_bin]] = 0
    coefficients[(energies == 0)[:, bands.band_of_bin]] = 0
    modes = random.integers(0, c.STEREO_MODES, geometry.coarse_bands) * (channels == 2)
    return Block(depth, modes, energies, coefficients)


def pattern_file(
    header: Header,
    patterns: list[Pattern],
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]],
) -> bytes:
    """A file with a dictionary and, segment by segment, occurrences and what they leave over."""
    whole = StreamContext(header.samplerate, header.channels, header.known_frames, header.phase_bits, len(patterns))
    entries = [decode_entry(pattern, whole) for pattern in patterns]
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        if patterns:
            stream = coded_stream(c.STREAM_DICTIONARY, DictionaryStream(patterns), whole)
            writer.add_dictionary(Dictionary(0, len(patterns), (stream,)))
        for index, (occurrences, spectrum) in enumerate(segments):
            start, frames = header.segment_span(index)
            context = replace(whole, frames=frames)
            occurrences = occurrences or OccurrenceStream()
            sources = sound_sources(occurrences, [*entries], context, start)
            needed = needed_segments(sources, header.samplerate, header.phase_bits, start, header.segment_frames)
            context = context.with_covered(covered_frames(sources, [*entries], start))
            streams = [coded_stream(c.STREAM_OCCURRENCES, occurrences, context)] if sources else []
            if spectrum is not None:
                streams.append(coded_stream(c.STREAM_SPECTRUM, spectrum, context))
            writer.add_segment(Segment(index, tuple(sorted(needed)), tuple(streams)))
    return target.getvalue()
