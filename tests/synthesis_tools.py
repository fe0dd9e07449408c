"""Files that exist only as decoded streams, for tests of synthesis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from evc.format import constants as c
from evc.format.header import Header
from evc.format.segment import StreamData
from evc.format.sources import Entry
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.bands import band_count
from evc.format.streams.envelope import EnvelopeStream
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_steps import step_logs
from evc.models.synthesis import Choice, Synthesiser

RATE = 8_000
N = c.superframe_length(RATE)
PER_SEGMENT = 4
SEGMENT = PER_SEGMENT * N
ONE = 1 << c.DEFAULT_PHASE_BITS
LEAST = c.least_lag(RATE)
COARSE = layout.most_coarse_bands(RATE)
PARTITIONS = [(0,), (1, 1), (1, 2, 2), (3, 3, 2, 1), (4,) * 16]
COPIES, SPECTRUM = c.STREAM_OCCURRENCES, c.STREAM_SPECTRUM


class DecodedSegments:
    """Streams by kind, by segment; those that are missing are lost. `asked` lists what was decoded, in order."""

    def __init__(self, header: Header, streams: Mapping[int, Mapping[int, Any]], entries: Sequence[Entry | None] = ()):
        self.header, self.streams, self.entries = header, streams, entries
        self.lost = set(range(header.segments)) - streams.keys()
        self.adaptation: StreamData | None = None
        self.asked: list[int] = []

    def decode(self, indices: Iterable[int]) -> dict[int, Mapping[int, Any]]:
        wanted = sorted(set(indices))
        self.asked += wanted
        return {index: self.streams[index] for index in wanted if index in self.streams}

    def occurrences(self, index: int) -> OccurrenceStream | None:
        return self.streams.get(index, {}).get(c.STREAM_OCCURRENCES)

    def envelope(self, index: int) -> EnvelopeStream | None:
        return self.streams.get(index, {}).get(c.STREAM_ENVELOPE)


def with_steps(group: Group) -> Group:
    """The same group, its blocks with the step sizes that they have without patterns."""
    for blocks in group.superframes:
        for block in blocks:
            block.steps = step_logs(layout.energy_log(block.energies), group.gain, block.depth)
    return group


def occurrence_stream(rows: Sequence[Mapping[str, Any]], samplerate: int, **settings: Any) -> OccurrenceStream:
    """Occurrences from the values of their columns, in the order of the stream; what is left out is 0, the pattern a
    copy, and the gains are 1. `stride` and `mid_side` are those of the gains of both lists; without a stride there is
    a single band."""
    stride, mid_side = settings.pop("stride", 0), settings.pop("mid_side", False)
    unity = np.zeros((1, band_count(samplerate, stride, fine=False)), np.int64)
    names = ("times", "patterns", "lags", "offsets", "lengths", "inverted", "shifts", "rotations",
             "semitones", "fine")  # fmt: skip
    columns = {name: np.array([row.get(name, COPY if name == "patterns" else 0) for row in rows]) for name in names}
    gains = [
        Gains(np.stack(levels), stride, mid_side) if levels else Gains()
        for levels in (
            [row.get("gains", unity) for row in rows if (row.get("patterns", COPY) == COPY) == copied]
            for copied in (False, True)
        )
    ]
    return OccurrenceStream(**columns, placed=gains[0], copied=gains[1], **settings)


def random_spectrum(
    superframes: int, channels: int, seed: int, zeros: float = 0.5, alone: float = 0.0
) -> SpectrumStream:
    """Anything that a spectrum stream may hold: blocks, modes and coefficients at random, a share of them 0; a share of
    the blocks are alone."""
    random = np.random.default_rng(seed)

    def block(depth: int, count: int) -> Block:
        bands = layout.geometry(N, COARSE).layouts[depth]
        modes = random.integers(0, c.STEREO_MODES, COARSE) if count == 2 else np.zeros(COARSE, np.int64)
        values = random.integers(-4, 5, (count, bands.bins)) * (random.random((count, bands.bins)) > zeros)
        return Block(depth, modes, random.integers(22, 28, (count, bands.bands)), values)

    groups = []
    for part in channel_groups(channels):
        partitions = [PARTITIONS[random.integers(len(PARTITIONS))] for _ in range(superframes)]
        frames = [[block(depth, part.stop - part.start) for depth in depths] for depths in partitions]
        for one in (block for blocks in frames for block in blocks):
            one.alone = bool(alone and random.random() < alone)
        groups.append(with_steps(Group(100, COARSE, frames)))
    return SpectrumStream(groups)


def a_file(
    segments: int, channels: int, rows: dict[int, list[dict[str, Any]]], silent: tuple[int, ...] = (), **options: Any
) -> DecodedSegments:
    """Random spectra, none in `silent` segments; copies and placements by segment. `options`: entries, the share of
    blocks that are alone, those of the occurrence streams and of the header."""
    frames = options.pop("frames", segments * SEGMENT)
    entries = options.pop("entries", ())
    span, alone = options.pop("span", segments), options.pop("alone", 0.0)
    layers = ("patterns", "spectrum")
    header = Header(RATE, channels, frames, "PCM_16", layers, SEGMENT, reference_depth=8, reference_span=span)
    streams: dict[int, dict[int, Any]] = {}
    for index in range(header.segments):
        superframes = -(-header.segment_span(index)[1] // N)
        streams[index] = {}
        if index not in silent:
            streams[index] = {SPECTRUM: random_spectrum(superframes, channels, index, alone=alone)}
        if rows.get(index):
            streams[index][COPIES] = occurrence_stream(rows[index], RATE, **options)
    return DecodedSegments(header, streams, entries)


def whole(file: DecodedSegments, choice: Choice | None = None) -> np.ndarray:
    return Synthesiser(file, choice).render(0, file.header.known_frames)


def a_copy(start: int, lag: float, length: int, **more: Any) -> dict[str, Any]:
    return {"times": start * ONE, "lags": round(lag * ONE), "lengths": length, **more}
