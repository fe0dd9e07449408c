"""The dictionary stream: the patterns that occurrences place (spec 7.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.changes import Changes
from evc.format.streams.integers import Numbers, Scales
from evc.format.streams.port import Port, ReadPort, WritePort


@dataclass(frozen=True)
class Excerpt:
    """`frames` frames of the decoded track itself, from frame `start` on."""

    start: int
    frames: int


@dataclass(frozen=True)
class Loop:
    """Where a waveform goes round: from `start` on for `length`, in 2**-phase_bits frames; there and back if it is
    ping-pong."""

    start: int
    length: int
    ping_pong: bool = False


@dataclass(frozen=True)
class Explicit:
    """A waveform of its own: `stream` holds a spectrum stream of `channels` and `frames`. With a loop it has no end."""

    channels: int
    frames: int
    stream: CodedStream
    loop: Loop | None = None

    def context(self, outer: StreamContext) -> StreamContext:
        """What the spectrum stream inside may know."""
        return StreamContext(outer.samplerate, self.channels, self.frames, outer.phase_bits)

    def decoder(self, account: bool = False) -> SymbolDecoder:
        """A decoder of the spectrum stream inside."""
        return SymbolDecoder(self.stream.words, self.stream.symbols, self.stream.checksum, account)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Complex cells of a short-time Fourier transform of 2**fft_log2 frames every 2**hop_log2 frames.

    levels      int64 [columns, bins], 0 to 255: nothing, or an amplitude of 2**((level - 128) / resolution)
    phases      int64 [columns, bins], in 2**-phase_bits turns, 0 where there is nothing
    carrier     phase of cell (0, 0), and its advance from column to column and from bin to bin, in 2**-16 turns;
                the phases are then what remains
    """

    fft_log2: int
    hop_log2: int
    resolution: int
    phase_bits: int
    levels: NDArray[np.int64]
    phases: NDArray[np.int64]
    carrier: tuple[int, int, int] | None = None

    @property
    def frames(self) -> int:
        """How long it sounds: its last column is a whole transform."""
        return (len(self.levels) - 1 << self.hop_log2) + (1 << self.fft_log2)

    def cells(self) -> NDArray[np.complex64]:
        """The complex cells [columns, bins]."""
        amplitudes = np.where(self.levels > 0, 2.0 ** ((self.levels - c.LATTICE_UNITY) / self.resolution), 0)
        turns = self.phases / (1 << self.phase_bits)
        if self.carrier:
            column, bin = np.indices(self.levels.shape)
            base, by_column, by_bin = self.carrier
            turns += (base + column * by_column + bin * by_bin) / (1 << c.LATTICE_CARRIER_BITS)
        cells: NDArray[np.complex64] = np.zeros(amplitudes.shape, np.complex64)
        cells[:] = amplitudes * np.exp(2j * np.pi * turns)
        return cells


Pattern = Excerpt | Explicit | Lattice

_ARRAY_FIELDS = [
    ("kind", "<U8"),
    ("start", "<f8"),
    ("duration", "<f8"),
    ("channels", "<i4"),
    ("columns", "<i4"),
    ("bins", "<i4"),
    ("loop_start", "<f8"),
    ("loop_length", "<f8"),
    ("ping_pong", "?"),
]


@dataclass
class DictionaryStream:
    """The entries of one DICT chunk, in the order of their numbers."""

    patterns: list[Pattern] = field(default_factory=list)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the entries; InputError where one breaks a limit (spec 7.3).

        `context.frames` is the length of the file, `context.patterns` the number of entries.
        """
        if len(self.patterns) != context.patterns:
            raise InputError("the dictionary has another number of entries than its chunk says")
        try:
            self._code(WritePort(encoder), context)
        except (FormatError, ValueError) as error:
            raise InputError(str(error)) from error

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no such entries."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    @property
    def explicit_samples(self) -> int:
        """Frames times channels of the explicit entries together."""
        return sum(each.frames * each.channels for each in self.patterns if isinstance(each, Explicit))

    def as_array(self, context: StreamContext) -> NDArray[np.void]:
        """The entries as a structured array [entries].

        Fields: kind ("excerpt", "explicit", "lattice"), start (s, of excerpts, otherwise NaN), duration (s),
        channels, columns and bins (of lattices, otherwise 0), loop_start and loop_length (s, of explicit entries that
        have a loop, otherwise NaN), ping_pong (whether it goes there and back).
        """
        array = np.zeros(len(self.patterns), _ARRAY_FIELDS)
        for row, pattern in zip(array, self.patterns, strict=True):
            row["kind"] = c.PATTERN_KINDS[_kind(pattern)]
            row["start"] = row["loop_start"] = row["loop_length"] = np.nan
            row["duration"] = pattern.frames / context.samplerate
            match pattern:
                case Excerpt():
                    row["start"], row["channels"] = pattern.start / context.samplerate, context.channels
                case Explicit():
                    row["channels"] = pattern.channels
                    if (loop := pattern.loop) is not None:
                        unit = context.samplerate << context.phase_bits
                        row["loop_start"], row["loop_length"] = loop.start / unit, loop.length / unit
                        row["ping_pong"] = loop.ping_pong
                case Lattice():
                    row["columns"], row["bins"] = pattern.levels.shape
                    row["channels"] = 1
        return array

    def _code(self, port: Port, context: StreamContext) -> None:
        port.reserve(context.patterns)
        coder = _PatternCoder(port, context)
        self.patterns = [
            coder.code(self.patterns[i] if port.writing else None) for i in range(context.patterns)
        ]


def _kind(pattern: Pattern) -> int:
    return [Excerpt, Explicit, Lattice].index(type(pattern))


class _PatternCoder:
    """Codes one entry after another (None when reading). Raises FormatError for what breaks a limit."""

    def __init__(self, port: Port, context: StreamContext) -> None:
        self._port = port
        self._context = context
        self._distances = Numbers("start", 2 * c.MAX_FRAMES)
        self._lengths = Numbers("length", c.MAX_SPAN)
        self._loop_starts, self._loop_lengths = Numbers("loop", c.MAX_LOOP), Numbers("loop", c.MAX_LOOP)
        self._end = 0  # of the last excerpt
        self._explicit_samples = 0

    def code(self, pattern: Pattern | None) -> Pattern:
        numbers = np.array([0 if pattern is None else _kind(pattern)])
        kind = int(self._port.uniform(numbers, len(c.PATTERN_KINDS), "header")[0])
        if kind == c.PATTERN_EXCERPT:
            return self._excerpt(pattern if isinstance(pattern, Excerpt) else Excerpt(0, 1))
        if kind == c.PATTERN_EXPLICIT:
            nothing = Explicit(1, 1, CodedStream(b"", 0, 0))
            return self._explicit(pattern if isinstance(pattern, Explicit) else nothing)
        return self._lattice(pattern if isinstance(pattern, Lattice) else None)

    def _excerpt(self, pattern: Excerpt) -> Excerpt:
        distance = pattern.start - self._end
        folded = self._distances.code(self._port, 2 * distance if distance >= 0 else -2 * distance - 1)
        start = self._end + (-((folded + 1) >> 1) if folded & 1 else folded >> 1)
        frames = self._lengths.code(self._port, pattern.frames)
        if start < 0 or not 1 <= frames <= self._context.frames - start:
            raise FormatError("an excerpt lies outside the file")
        self._end = start + frames
        return Excerpt(start, frames)

    def _explicit(self, pattern: Explicit) -> Explicit:
        port = self._port
        channels = 1 + port.field(pattern.channels - 1, c.EXPLICIT_CHANNELS_BITS)
        frames = 1 + port.number(pattern.frames - 1, c.EXPLICIT_FRAMES_ORDER)
        count = port.number(len(pattern.stream.words) // c.WORD_BYTES, c.EXPLICIT_WORDS_ORDER)
        symbols = port.number(pattern.stream.symbols, c.EXPLICIT_SYMBOLS_ORDER)
        checksum = port.field(pattern.stream.checksum, c.CHECKSUM_BITS)
        self._explicit_samples += frames * channels
        if channels > self._context.channels or self._explicit_samples > c.MAX_EXPLICIT_SAMPLES:
            raise FormatError("an explicit pattern has too many channels, or they are too long together")
        if frames > c.EXPLICIT_FRAMES_BASE + c.EXPLICIT_FRAMES_PER_WORD * count:
            raise FormatError("an explicit pattern is too long for its words")
        if symbols > c.SYMBOLS_BASE + c.SYMBOLS_PER_SAMPLE * frames * channels:
            raise FormatError("an explicit pattern claims too many symbols")
        loop = self._loop(pattern.loop, frames)
        port.reserve(2 * count)
        words = np.frombuffer(pattern.stream.words, "<u4") if port.writing else np.zeros(count, np.int64)
        words = port.bits(words, c.WORD_BYTES * 8, "explicit")
        return Explicit(channels, frames, CodedStream(words.astype("<u4").tobytes(), symbols, checksum), loop)

    def _loop(self, loop: Loop | None, frames: int) -> Loop | None:
        port, one = self._port, 1 << self._context.phase_bits
        if not port.field(int(loop is not None), 1):
            return None
        loop = loop or Loop(0, one)
        if loop.start < 0 or loop.length < one:
            raise FormatError("a loop lies outside its pattern")
        ping_pong = bool(port.field(int(loop.ping_pong), 1))
        start = self._loop_starts.code(port, loop.start)
        length = self._loop_lengths.code(port, loop.length)
        if length < one or start + length > frames * one:
            raise FormatError("a loop lies outside its pattern")
        return Loop(start, length, ping_pong)

    def _lattice(self, pattern: Lattice | None) -> Lattice:
        port = self._port
        nothing = np.zeros((1, 1), np.int64)
        old = pattern or Lattice(c.LATTICE_MIN_FFT_LOG2, 0, 1, 0, nothing, nothing)
        fft = c.LATTICE_MIN_FFT_LOG2 + port.field(old.fft_log2 - c.LATTICE_MIN_FFT_LOG2, c.LATTICE_LOG2_BITS)
        hop = port.field(old.hop_log2, c.LATTICE_LOG2_BITS)
        columns = 1 + port.field(old.levels.shape[0] - 1, c.LATTICE_SIDE_BITS)
        bins = 1 + port.field(old.levels.shape[1] - 1, c.LATTICE_SIDE_BITS)
        resolution = 1 + port.field(old.resolution - 1, c.LATTICE_RESOLUTION_BITS)
        phase_bits = port.field(old.phase_bits, c.LATTICE_PHASE_BITS_BITS)
        carrier = None
        if port.field(int(old.carrier is not None), 1):
            turns = port.bits(np.array(old.carrier or (0, 0, 0)), c.LATTICE_CARRIER_BITS, "phase")
            carrier = int(turns[0]), int(turns[1]), int(turns[2])
        if fft > c.LATTICE_MAX_FFT_LOG2 or hop > fft or columns * bins > c.MAX_LATTICE_CELLS:
            raise FormatError("a lattice pattern has an impossible shape")
        port.reserve(columns * bins)
        levels = old.levels.copy() if port.writing else np.zeros((columns, bins), np.int64)
        changes, before = Changes(0, c.MAX_LATTICE_LEVEL), np.full(bins, c.LATTICE_UNITY)
        for column in range(columns):
            before = levels[column] = changes.code(port, before, levels[column], "magnitude")
        some = levels > 0
        phases = np.zeros(levels.shape, np.int64)
        source = old.phases if port.writing else phases
        if carrier:
            _code_deviations(port, source, some, phases, phase_bits)
        else:
            phases[some] = port.bits(source[some], phase_bits, "phase")
        return Lattice(fft, hop, resolution, phase_bits, levels, phases, carrier)


def _code_deviations(
    port: Port, source: NDArray[np.int64], some: NDArray[np.bool_], phases: NDArray[np.int64], phase_bits: int
) -> None:
    """Code `source` where there are `some` into `phases`, all [columns, bins]; a call per column."""
    scales, turn = Scales(1), 1 << phase_bits
    if ((source[some] < 0) | (source[some] >= turn)).any():
        raise ValueError("a phase of a lattice pattern is out of range")
    for column in range(len(some) if phase_bits else 0):
        here = some[column]
        signed = (source[column, here] + turn // 2) % turn - turn // 2
        signed = scales.signed(port, signed, 0, "phase")
        if ((2 * signed >= turn) | (2 * signed < -turn)).any():
            raise FormatError("a phase of a lattice pattern is out of range")
        phases[column, here] = signed % turn
