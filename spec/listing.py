"""The bytes of a small file with their meaning, as the Markdown tables of section 13 of the specification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import FrequencyTable, SymbolDecoder
from evc.format.errors import FormatError
from evc.format.header import Header
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.envelope import EnvelopeStream
from evc.format.streams.spectrum import SpectrumStream

_LINE = 16  # bytes of words in a row
_SYMBOLS = 24  # symbols in a row
_CALLS = {"bands": "band flags", "coefficients": "magnitudes"}  # other names than the statistics have


class _RecordingDecoder(SymbolDecoder):
    """Keeps (kind, symbols) of every call."""

    def __init__(self, stream: StreamData) -> None:
        super().__init__(stream.words, stream.symbols, stream.checksum)
        self.calls: list[tuple[str, list[int]]] = []

    @property
    def port(self) -> None:
        """Nothing for kernels to read from, which would not come here for their symbols."""

    def decode(self, table: FrequencyTable, rows: Any, count: int | None = None, kind: str = "") -> NDArray[np.int32]:
        symbols = super().decode(table, rows, count, kind)
        self.calls.append((kind, symbols.tolist()))
        return symbols

    def decode_uniform(self, size: Any, count: int | None = None, kind: str = "") -> NDArray[np.int32]:
        symbols = super().decode_uniform(size, count, kind)
        self.calls.append((kind, symbols.tolist()))
        return symbols


class _Rows:
    """Walks over the bytes of a file and explains them, row by row."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.lines = ["| offset | bytes | meaning |", "|---|---|---|"]

    def take(self, count: int, meaning: str) -> int:
        """The next bytes, as an integer; `{}` in the meaning stands for it."""
        part = self.data[self.offset : self.offset + count]
        number = int.from_bytes(part, "little")
        self.lines.append(f"| {self.offset} | `{part.hex(' ').upper()}` | {meaning.format(number)} |")
        self.offset += count
        return number

    def varint(self, meaning: str) -> int:
        """The next varint."""
        number, count = 0, 0
        while not count or self.data[self.offset + count - 1] & 0x80:
            number |= (self.data[self.offset + count] & 0x7F) << 7 * count
            count += 1
        part = self.data[self.offset : self.offset + count]
        self.lines.append(f"| {self.offset} | `{part.hex(' ').upper()}` | {meaning.format(number)} |")
        self.offset += count
        return number


def listing(data: bytes) -> str:
    """All bytes of a file of a single segment with a spectrum stream and perhaps an envelope, then the symbols in their
    words."""
    rows = _Rows(data)
    rows.take(8, "signature")
    streams: tuple[StreamData, ...] = ()
    header: Header | None = None
    while rows.offset < len(data):
        kind = data[rows.offset : rows.offset + 4]
        rows.take(4, f'"{kind.decode()}"')
        rows.take(1, "critical" if kind != c.CHUNK_INDX else "optional")
        length = rows.take(4, "{} bytes of payload")
        payload = data[rows.offset : rows.offset + length]
        if kind == c.CHUNK_HEAD:
            header = Header.read(payload)
            _header_rows(rows, header)
        elif kind == c.CHUNK_SEGM:
            if header is None:
                raise FormatError("a segment comes before the header")
            streams = Segment.read(payload, header).streams
            _segment_rows(rows, streams)
        elif kind == c.CHUNK_INDX:
            rows.varint("one segment")
            rows.varint("its SEGM is at offset {}")
            rows.take(1, "and has no dependencies")
        else:
            rows.take(4, "one segment")
            rows.take(8, "{} bytes in all")
            rows.take(8, "INDX is at offset {}")
        rows.take(4, "CRC-32")
    if header is None or not streams:
        raise FormatError("a file with a header and a stream is needed")
    context = StreamContext(header.samplerate, header.channels, header.known_frames)
    return "\n\n".join(["\n".join(rows.lines), *(_SYMBOLS_OF[stream.kind](stream, context) for stream in streams)])


def _header_rows(rows: _Rows, header: Header) -> None:
    rows.take(1, "major version {}")
    rows.take(1, "minor version {}")
    rows.take(4, "{} Hz")
    rows.take(1, "{} channel")
    rows.take(8, "{} frames")
    rows.take(1, f"the source was {header.subtype}")
    rows.take(1, f"layers: {', '.join(header.layers)}")
    rows.take(4, "segments of {} frames")
    rows.take(1, "{} fraction bits in times")
    rows.take(1, "depth of dependencies: {}")
    rows.take(4, "span of dependencies: {}")
    rows.take(1, "no networks")


def _segment_rows(rows: _Rows, streams: Sequence[StreamData]) -> None:
    rows.varint("segment {}")
    rows.take(1, "no dependencies")
    rows.take(1, "streams: {}")
    names = [c.STREAM_NAMES[stream.kind] for stream in streams]
    for name in names:
        rows.take(1, f"of kind {{}}: {name}")
        rows.varint("{} bytes of words")
        rows.varint("{} symbols")
        rows.take(4, "CRC-32 of the symbols")
    for name, stream in zip(names, streams, strict=True):
        for start in range(0, len(stream.words), _LINE):
            rows.take(min(_LINE, len(stream.words) - start), f"words of the {name}" if start == 0 else "")


def _spectrum_symbols(stream: StreamData, context: StreamContext) -> str:
    """The symbols of every call, and what they come to."""
    decoder = _RecordingDecoder(stream)
    read = SpectrumStream.read(decoder, context)
    decoder.finish()
    names = ["gain + 2048", "C", "graded", *(_CALLS.get(kind, kind) for kind, _ in decoder.calls[3:])]
    return _calls(names, decoder) + "\n\n" + _integers(read).rstrip()


def _envelope_symbols(stream: StreamData, context: StreamContext) -> str:
    decoder = _RecordingDecoder(stream)
    read = EnvelopeStream.read(decoder, context)
    decoder.finish()
    _, hops, bands = read.values.shape
    calls = _calls(["present", *["class"] * bands, *["gains + 4"] * hops], decoder)
    return f"The envelope has the symbols\n\n{calls}"


_SYMBOLS_OF = {c.STREAM_SPECTRUM: _spectrum_symbols, c.STREAM_ENVELOPE: _envelope_symbols}


def _calls(names: Sequence[str], decoder: _RecordingDecoder) -> str:
    """The symbols of every call as a table."""
    lines = ["| symbols | call | values |", "|---|---|---|"]
    place = 0
    for name, (_, symbols) in zip(names, decoder.calls, strict=True):
        for start in range(0, len(symbols), _SYMBOLS):
            part = symbols[start : start + _SYMBOLS]
            span = f"{place}" if len(part) == 1 else f"{place} to {place + len(part) - 1}"
            lines.append(f"| {span} | {name if start == 0 else ''} | {' '.join(map(str, part))} |")
            place += len(part)
    return "\n".join(lines)


def _integers(stream: SpectrumStream) -> str:
    """What the symbols come to, in words."""
    (group,) = stream.groups
    (blocks,) = group.superframes
    text = f"The gain is {group.gain}; {group.coarse_bands} coarse bands are coded."
    for number, block in enumerate(blocks):
        (values,) = block.coefficients
        energies = " ".join(map(str, block.energies[0]))
        found = ", ".join(f"{values[k]:+d} at {k}" for k in np.flatnonzero(values))
        text += f"\n\nBlock {number} has depth {block.depth}. Its energies are {energies}. Its coefficients are "
        text += f"{found} and 0 at the other bins." if found else "all 0."
    return text + "\n"
