"""The spectrum stream, and files with patterns, against decoders written from the specification alone."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from reference_coder import ReferenceDecoder
from reference_sources import Entry, allowed, covered, dependencies, sources
from reference_spectrum import COARSE, spectrum
from reference_streams import occurrences

import evc
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.dictionary import Excerpt, Explicit, Lattice
from evc.format.streams.event_tables import tables as event_tables
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.models import sequencer
from evc.spec.envelope import enveloped
from evc.spec.patterned import pattern_file
from evc.spec.signals import FOLDER
from evc.spec.synthesis import synthesise

FRAMES = 2048
EVENT_TABLES = {name: array.tolist() for name, array in event_tables().items()}


def music(channels: int) -> np.ndarray:
    """Two superframes at 8 kHz that begin with an attack."""
    return sequencer.track(10.0, 8000)[63_800 : 63_800 + FRAMES, :channels]


def agrees(stream: SpectrumStream, words: bytes, context: StreamContext) -> ReferenceDecoder:
    """Whether the reference decodes the integers of `stream` from `words`; the decoder, to compare its sums."""
    decoder = ReferenceDecoder(words)
    compare(stream, spectrum(decoder, context.samplerate, context.channels, context.frames))
    return decoder


def compare(stream: SpectrumStream, found: list[dict[str, Any]]) -> None:
    assert len(found) == len(stream.groups)
    for expected, group in zip(stream.groups, found, strict=True):
        assert (expected.gain, expected.coarse_bands) == (group["gain"], group["coarse_bands"])
        assert len(expected.superframes) == len(group["superframes"])
        offsets = expected.offsets or [0] * len(expected.superframes)
        for offset, blocks, others in zip(offsets, expected.superframes, group["superframes"], strict=True):
            assert {other["offset"] for other in others} == {offset}
            assert [block.depth for block in blocks] == [other["depth"] for other in others]
            for block, other in zip(blocks, others, strict=True):
                assert (block.held, block.alone) == (other["held"], other.get("alone", False))
                for name in ("modes", "energies", "coefficients"):
                    assert getattr(block, name).tolist() == other[name]


@pytest.mark.parametrize("channels, quality", [(1, 9.0), (2, 5.0)])
def test_a_file_of_the_encoder(channels: int, quality: float) -> None:
    data = evc.encode(music(channels), 8000, quality=quality)
    stream = ContainerReader(io.BytesIO(data)).segment(0).streams[0]
    context = StreamContext(8000, channels, FRAMES)
    expected = SpectrumStream.read(SymbolDecoder(stream.words, stream.symbols, stream.checksum), context)
    decoder = agrees(expected, stream.words, context)
    assert (decoder.symbols, decoder.checksum) == (stream.symbols, stream.checksum)


def random_group(
    samplerate: int, channels: int, frames: int, coarse_bands: int, gain: int, seed: int, alone: float = 0.0
) -> Group:
    """Blocks of all sizes, all stereo modes, energies that jump, coefficients with escapes and low bits. `alone`: the
    share of blocks that copies leave alone."""
    random = np.random.default_rng(seed)
    superframe = c.superframe_length(samplerate)
    geometry = layout.geometry(superframe, coarse_bands)
    partitions = [[0], [1, 2, 3, 4, 4], [4, 4, 3, 2, 1], [2, 2, 2, 2]]
    superframes = []
    last: Block | None = None
    for number in range(-(-frames // superframe)):
        blocks = []
        for depth in partitions[number % 4]:
            bands = geometry.layouts[depth]
            energies = random.integers(0, c.ENERGY_MAX + 1, (channels, bands.bands))
            scale = 10.0 ** random.integers(-1, 6, (channels, bands.bins))
            coefficients = np.rint(random.laplace(0, scale)).astype(np.int32)
            coefficients[(random.random((channels, bands.bands)) < 0.7)[:, bands.band_of_bin]] = 0
            coefficients[(energies == 0)[:, bands.band_of_bin]] = 0
            modes = random.integers(0, c.STEREO_MODES, coarse_bands) * (channels == 2)
            block = Block(depth, modes.astype(np.int32), energies, coefficients)
            if last is not None and last.depth == depth and random.random() < 0.5:
                block = replace(block, modes=last.modes, energies=last.energies, held=True)
                block.coefficients[(block.energies == 0)[:, bands.band_of_bin]] = 0
            block.alone = bool(random.random() < alone)
            if random.random() < 0.6:
                block.rises = random.integers(-9, 10, energies.shape)
            blocks.append(block)
            last = block
        superframes.append(blocks)
    return Group(gain, coarse_bands, superframes)


def test_any_integers() -> None:
    """Three channels: a pair, a channel alone; and silence in place of a pair."""
    context = StreamContext(8000, 3, 3500)
    pair = random_group(8000, 2, 3500, 14, -700, seed=1)
    alone = replace(random_group(8000, 1, 3500, 2, -2048, seed=2), offsets=[3, 3, 15, 0])
    for groups in ([pair, alone], [Group(0, 0), alone]):
        encoder = SymbolEncoder()
        SpectrumStream(groups).write(encoder, context)
        coded = encoder.finish()
        decoder = agrees(SpectrumStream(groups), coded.words, context)
        assert (decoder.symbols, decoder.checksum) == (coded.symbols, coded.checksum)


def gain_bands(samplerate: int, stride: int) -> int:
    """Section 6.5."""
    units = c.superframe_length(samplerate) // 16
    highest = max(edge for edge in COARSE if edge <= units)
    return len([edge for edge in COARSE if edge < highest][:: stride or 100])


def reference_entry(pattern: Any, samplerate: int) -> Entry:
    if isinstance(pattern, Lattice):
        frames = (len(pattern.levels) - 1 << pattern.hop_log2) + (1 << pattern.fft_log2)
        return Entry(None, frames, lattice_cells=pattern.levels.size)
    if isinstance(pattern, Excerpt):
        return Entry(pattern.start, pattern.frames)
    decoder = ReferenceDecoder(pattern.stream.words)
    spectrum(decoder, samplerate, pattern.channels, pattern.frames)
    assert (decoder.symbols, decoder.checksum) == (pattern.stream.symbols, pattern.stream.checksum)
    return Entry(None, pattern.frames, looped=isinstance(pattern, Explicit) and pattern.loop is not None)


@pytest.mark.parametrize("name", ["copies", "placements", "one-shots", "lattices", "borders", "left-over"])
def test_a_file_with_patterns(name: str) -> None:
    compare_file((FOLDER / f"{name}.evc").read_bytes())


@pytest.mark.parametrize("seed", range(4))
def test_any_copies(seed: int) -> None:
    """Energies, gains and lags without sense; blocks alone, held, both and neither, in groups that copies cover."""
    random = np.random.default_rng(seed)
    channels, frames = (1, 2, 3, 3)[seed], 3 * 1024
    header = Header(8000, channels, 2 * frames, layers=("patterns", "spectrum"), segment_frames=frames,
                    reference_depth=1, reference_span=1)  # fmt: skip
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for index in range(2):
        sizes = [min(2, channels - first) for first in range(0, channels, 2)]
        bands = [int(random.integers(1, 15)) for _ in sizes]
        groups = [random_group(8000, size, frames, coarse, -300 + 400 * index, seed + 10 * number, 0.3 * index)
                  for number, (size, coarse) in enumerate(zip(sizes, bands, strict=True))]  # fmt: skip
        segments.append((None, SpectrumStream(groups)))
    nothing = np.zeros(4, np.int64)
    gains = random.integers(-20, 20, (4, channels if seed % 2 else 1, gain_bands(8000, 2)))
    gains[random.random(gains.shape) < 0.3] = OFF
    copies = OccurrenceStream(
        np.sort(random.integers(0, 2000 * 32, 4)), nothing + COPY, random.integers(2064 * 32, 4000 * 32, 4), nothing,
        random.integers(1, 1200, 4), nothing, nothing, nothing,
        copied=Gains(gains, 2, mid_side=channels == 2),
    )  # fmt: skip
    segments[1] = copies, segments[1][1]
    compare_file(pattern_file(header, [], segments))


@pytest.mark.parametrize("channels", [1, 2])
def test_a_loop_of_the_encoder(channels: int) -> None:
    """Integers by the reference, and samples in double precision within the tolerance of section 11.2 for depth 0."""
    once = sequencer.track(10.0, 8000)[-6_000:, :channels]
    data = evc.encode(np.tile(once, (4, 1)), 8000, quality=6)
    compare_file(data)
    container = ContainerReader(io.BytesIO(data))
    decoded = SegmentDecoder(container).decode(range(container.segments))
    blocks = [block for streams in decoded.values() for blocks in streams[2].groups[0].superframes for block in blocks]
    assert len(decoded[0][0].times) and any(block.held for block in blocks)
    spectra, copies, envelopes = ({i: s[kind] for i, s in decoded.items() if kind in s} for kind in (2, 0, 7))
    wanted = enveloped(container.header, synthesise(container.header, spectra, copies), envelopes)
    found = evc.decode(data)[0].reshape(-1, channels).T
    assert np.abs(found - wanted).max() <= 2**-17


def test_the_vector_of_copies_has_every_kind_of_block() -> None:
    """Predicted and held, alone, alone and held, held behind an alone one."""
    container = ContainerReader(io.BytesIO((FOLDER / "copies.evc").read_bytes()))
    (group,) = SegmentDecoder(container).decode([1])[1][2].groups
    blocks = [block for frame in group.superframes for block in frame]
    kinds = {(block.alone, block.held) for block in blocks}
    assert kinds == {(False, False), (False, True), (True, False), (True, True)}
    assert any(one.alone and not other.alone and other.held for one, other in pairwise(blocks))
    assert all((block.energies == 0).any() and block.energies.any() for block in blocks)


def compare_file(data: bytes) -> None:
    """Dependencies, occurrences, the blocks that they cover, and so all integers."""
    container = ContainerReader(io.BytesIO(data))
    header, decoder = container.header, SegmentDecoder(container)
    expected = decoder.decode(range(container.segments))
    superframe, bits = c.superframe_length(header.samplerate), header.phase_bits
    patterns = [entry.pattern for entry in decoder.entries if entry is not None]
    entries = [reference_entry(pattern, header.samplerate) for pattern in patterns]
    for index in range(container.segments):
        segment, context = container.segment(index), stream_context(container, index)
        start, frames = header.segment_span(index)
        streams = {stream.kind: stream for stream in segment.streams}
        found: dict[str, Any] = {}
        if 0 in streams:
            found = occurrences(
                ReferenceDecoder(streams[0].words), context, lambda s: gain_bands(header.samplerate, s), EVENT_TABLES
            )
            assert expected[index][0].times.tolist() == found["times"]
        here = sources(found, entries, start, bits, superframe) if found else []
        placed = found["placed"][0] if found else []
        assert allowed(here, superframe, bits, len(placed[0][0]) if placed else 1)
        assert dependencies(here, superframe, bits, index, header.segment_frames) == set(segment.dependencies)
        if 2 not in streams:
            continue
        reference = ReferenceDecoder(streams[2].words)
        spans = covered(here, start)
        compare(expected[index][2], spectrum(reference, header.samplerate, header.channels, frames, spans))
        assert (reference.symbols, reference.checksum) == (streams[2].symbols, streams[2].checksum)
