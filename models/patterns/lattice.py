"""Lattice patterns: complex cells on the grid of a short-time Fourier transform (spec 7.3).

A grid has a column every 2**hop_log2 frames and, per column, half as many bins as its transform has frames: bin k
stands for k / 2**fft_log2 periods per frame. A pattern is a small grid of its own; a placement writes it anywhere,
also between the cells, where each of its cells is shared out to the four nearest ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.errors import FormatError, InputError
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.reader import ContainerReader
from evc.format.segment import Dictionary, Segment
from evc.format.sources import decode_entry, sound_sources
from evc.format.streams import Stream, StreamContext, coded_stream
from evc.format.streams.dictionary import DictionaryStream, Lattice
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.writer import ContainerWriter

Cells = NDArray[np.complex64]
Audio = NDArray[np.float32]

_BLOCK_COLUMNS = 1024  # transformed at a time


def to_cells(audio: NDArray[np.floating], fft_log2: int, hop_log2: int) -> Cells:
    """The grid [columns, bins] of `audio` [frames], one column per hop that has begun; silence behind the end.

    Column n is a transform of the frames from n * hop on, under a sine window, with phases relative to the window's
    middle. A sinusoid of amplitude a on a bin has cells of 2 * a / pi.
    """
    size, hop = 1 << fft_log2, 1 << hop_log2
    columns = -(-len(audio) // hop)
    padded = np.zeros(columns * hop + size)
    padded[: len(audio)] = audio
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[: columns * hop : hop]
    cells = np.zeros((columns, size // 2), np.complex64)
    signs = 1 - 2 * (np.arange(size // 2) & 1)
    for start in range(0, columns, _BLOCK_COLUMNS):
        part = np.fft.rfft(frames[start : start + _BLOCK_COLUMNS] * _window(size))
        cells[start : start + len(part)] = 2 / size * signs * part[:, :-1]
    return cells


def to_audio(cells: NDArray[np.complexfloating], fft_log2: int, hop_log2: int) -> Audio:
    """Samples [(columns - 1) * hop + 2**fft_log2] of a grid [columns, 2**fft_log2 / 2], at full scale 1.

    The inverse of `to_cells` where hop is at most half of the transform, but for the first and last frames, which are
    not covered by as many windows as the others, and for the content of the bins beyond the last.
    """
    size, hop = 1 << fft_log2, 1 << hop_log2
    audio = np.zeros((len(cells) - 1) * hop + size)
    signs = 1 - 2 * (np.arange(size // 2) & 1)
    weights = hop * _window(size)  # times 2 / size of the transform, size / 2 of overlapping squared windows
    for start in range(0, len(cells), _BLOCK_COLUMNS):
        spectra = np.zeros((len(cells[start : start + _BLOCK_COLUMNS]), size // 2 + 1), np.complex128)
        spectra[:, :-1] = signs * cells[start : start + _BLOCK_COLUMNS]
        for column, frame in enumerate(np.fft.irfft(spectra, size) * weights, start):
            audio[column * hop : column * hop + size] += frame
    return audio.astype(np.float32)


def render_placement(pattern: Lattice, samplerate: int, shift_cells: float, rotation_turns: float) -> Audio:
    """The samples of `pattern` placed at frame 0, [its frames], at full scale 1 (spec 7.3).

    It is moved up by `shift_cells` bins, whole or not, round the end of the grid if need be, and the phase of all its
    cells turned by `rotation_turns`. It is the same at every `samplerate`. Fractions of time are not for here: whoever
    places the samples delays them.
    """
    size = 1 << pattern.fft_log2
    grid = np.zeros((len(pattern.levels), size // 2), np.complex128)
    turned = pattern.cells() * np.exp(2j * np.pi * rotation_turns)
    write_cells(grid, turned, 0, shift_cells)
    return to_audio(grid, pattern.fft_log2, pattern.hop_log2)


def write_cells(
    grid: NDArray[np.complexfloating],
    cells: NDArray[np.complexfloating],
    column: float,
    bin: float,
    first: float = 0,
) -> None:
    """Add `cells` [columns, bins] to `grid` [columns, bins], cell (0, 0) at position (`column`, `bin`).

    Between cells each is shared out to the four nearest ones in proportion to nearness. Bins go round the end of the
    grid. What would come before column `first`, or outside the grid, is left out.
    """
    whole, low = int(np.floor(column)), int(np.floor(bin))
    later, higher = column - whole, bin - low
    bins = (low + np.arange(cells.shape[1] + 1)) % grid.shape[1]
    blurred = np.zeros((len(cells) + 1, len(bins)), np.complex128)
    for i, at in ((0, 1 - later), (1, later)):
        for j, share in ((0, 1 - higher), (1, higher)):
            blurred[i : i + len(cells), j : j + cells.shape[1]] += at * share * cells
    columns = whole + np.arange(len(blurred))
    inside = (columns >= max(first, 0)) & (columns < len(grid))
    np.add.at(grid, (columns[inside, None], bins[None, :]), blurred[inside])


@dataclass(frozen=True, eq=False)
class LatticeModel:
    """A grid as a dictionary of lattice patterns, all of one transform and hop, and their placements.

    columns      length of the grid, in hops
    phase_bits   fraction bits of the placements' times and shifts
    placements   as in the one segment of a file; one plane and one band of gains

    What goes round the end of the grid in time is a second placement at time 0, of what is left of the pattern.
    """

    patterns: tuple[Lattice, ...]
    placements: OccurrenceStream
    columns: int
    phase_bits: int

    @property
    def bins(self) -> int:
        return 1 << self.patterns[0].fft_log2 - 1

    @property
    def frames(self) -> int:
        return self.columns << self.patterns[0].hop_log2

    @property
    def values(self) -> NDArray[np.complex128]:
        """Magnitude and phase of every placement [placements]."""
        stream = self.placements
        turns = stream.rotations / (1 << stream.rotation_bits)
        values: NDArray[np.complex128] = 2.0 ** (stream.placed.levels[:, 0, 0] / stream.gain_resolution) * np.exp(
            2j * np.pi * turns
        )
        return values

    @property
    def corners(self) -> NDArray[np.float64]:
        """Column and bin of every placement's cell (0, 0) [placements, 2], as numbers of cells."""
        stream, one = self.placements, 1 << self.phase_bits
        columns = (stream.times / one - stream.offsets) / (1 << self.patterns[0].hop_log2)
        return np.stack([columns, stream.shifts / one], axis=1)

    @property
    def centres(self) -> NDArray[np.complex128]:
        """The middle of every placement as unit complex numbers [placements, 2]: a turn is the grid's length in time,
        and its height in frequency."""
        sides = np.array([self.patterns[k].levels.shape for k in self.placements.patterns]).reshape(-1, 2)
        middles = self.corners + (sides - 1) / 2
        centres: NDArray[np.complex128] = np.exp(2j * np.pi * middles / [self.columns, self.bins])
        return centres

    @cached_property
    def grid(self) -> Cells:
        """The sum of all placements [columns, bins]."""
        grid = np.zeros((self.columns, self.bins), np.complex128)
        cells = [pattern.cells() for pattern in self.patterns]
        begins = self.placements.times / (1 << self.phase_bits + self.patterns[0].hop_log2)
        cut, values = self.placements.offsets > 0, self.values
        for row, (column, bin) in enumerate(self.corners):
            first = begins[row] if cut[row] else 0
            write_cells(grid, values[row] * cells[self.placements.patterns[row]], column, bin, first)
        return grid.astype(np.complex64)

    def audio(self) -> Audio:
        """Samples [frames] of the grid."""
        return to_audio(self.grid, self.patterns[0].fft_log2, self.patterns[0].hop_log2)[: self.frames]

    def bits(self, samplerate: int) -> float:
        """What the symbols of the two streams cost, without whole words and chunks."""
        context = self._context(samplerate)
        return sum(stream_bits(stream, context) for stream in self._streams())

    def write(self, file: BinaryIO, samplerate: int) -> int:
        """Write an .evc file of one channel that holds nothing else into an open file. Returns its size in bytes.

        Raises InputError where a limit of the format is broken: the grid must fit one segment.
        """
        context = self._context(samplerate)
        self._check(context)
        superframe = c.superframe_length(samplerate)
        segment_frames = -(-self.frames // superframe) * superframe
        header = Header(samplerate, 1, self.frames, "FLOAT", ("patterns",), segment_frames, phase_bits=self.phase_bits)
        with ContainerWriter(file, header) as writer:
            dictionary, occurrences = self._streams()
            entries = coded_stream(c.STREAM_DICTIONARY, dictionary, context)
            writer.add_dictionary(Dictionary(0, len(self.patterns), (entries,)))
            placed = len(self.placements.times) > 0
            streams = (coded_stream(c.STREAM_OCCURRENCES, occurrences, context),) if placed else ()
            writer.add_segment(Segment(0, (), streams))
        return writer.bytes_written

    def _streams(self) -> tuple[DictionaryStream, OccurrenceStream]:
        return DictionaryStream(list(self.patterns)), self.placements

    def _context(self, samplerate: int) -> StreamContext:
        return StreamContext(samplerate, 1, self.frames, self.phase_bits, len(self.patterns))

    def _check(self, context: StreamContext) -> None:
        try:
            sound_sources(self.placements, [decode_entry(p, context) for p in self.patterns], context, 0)
        except FormatError as error:
            raise InputError(str(error)) from error


def stream_bits(stream: Stream, context: StreamContext) -> float:
    """What the symbols of a stream cost."""
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, context)
    return sum(bits for _, bits in encoder.account.values())


def read_lattice(container: ContainerReader) -> LatticeModel | None:
    """The model in a file whose whole sound is placements of lattice patterns on one grid, in one segment and with
    one gain each; None for any other file. Raises DamagedError or FormatError."""
    header = container.header
    if header.layers != ("patterns",) or container.segments != 1 or container.lost:
        return None
    decoder = SegmentDecoder(container)
    patterns = [pattern for pattern in decoder.patterns if pattern is not None]
    lattices = [pattern for pattern in patterns if isinstance(pattern, Lattice)]
    stream = decoder.stream(0, c.STREAM_OCCURRENCES) or OccurrenceStream()
    hops = _only({(lattice.fft_log2, lattice.hop_log2) for lattice in lattices})
    if hops is None or len(lattices) < len(patterns) or (stream.patterns < 0).any():
        return None
    frames = stream_context(container, 0).frames
    plain = stream.placed.levels.shape[1:] == (1, 1) and not stream.lengths.any() and not stream.inverted.any()
    if not plain or frames % (1 << hops[1]):
        return None
    return LatticeModel(tuple(lattices), stream, frames >> hops[1], header.phase_bits)


def _only(values: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    """The one value there is; None where there are none or several."""
    found = list(values)
    return found[0] if len(found) == 1 else None


def _window(size: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.sin(np.pi * (np.arange(size) + 0.5) / size)
    return window
