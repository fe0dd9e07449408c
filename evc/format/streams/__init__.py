"""The streams of a segment and of a dictionary chunk: one dataclass each, with its own `write` and `read`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import Account, SymbolDecoder, SymbolEncoder
from evc.format.errors import UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.segment import StreamData

NOWHERE = np.zeros((0, 2), np.int64)


@dataclass(frozen=True, slots=True)
class StreamContext:
    """What every stream may know before its first symbol.

    `frames` is the length of the segment (for a dictionary: of the file), `patterns` the number of entries
    that occurrences may name (for a dictionary: of the entries in its chunk). `covered` int64 [n, 2] are the frames,
    from the start of the segment, between which patterns sound: its spectrum needs them. `networks` are those that the
    header names: the last of them has the probabilities of latents.
    """

    samplerate: int
    channels: int
    frames: int
    phase_bits: int = c.DEFAULT_PHASE_BITS
    patterns: int = 0
    covered: NDArray[np.int64] = field(default_factory=lambda: NOWHERE, compare=False)
    networks: tuple[NetworkReference, ...] = ()

    @classmethod
    def of_segment(cls, header: Header, index: int, patterns: int = 0) -> Self:
        """That of segment `index`, whose occurrences may name the first `patterns` entries."""
        frames = header.segment_span(index)[1]
        return cls(header.samplerate, header.channels, frames, header.phase_bits, patterns, networks=header.networks)

    @classmethod
    def of_dictionary(cls, header: Header, entries: int) -> Self:
        """That of a chunk with so many entries."""
        return cls(header.samplerate, header.channels, header.known_frames, header.phase_bits, entries)

    def with_covered(self, covered: NDArray[np.int64]) -> StreamContext:
        return replace(self, covered=covered)


class Stream(Protocol):
    """What every stream can do. `write` raises InputError where the stream breaks a limit; `read` raises
    DamagedError or FormatError where the words do not hold such a stream."""

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None: ...

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self: ...


def stream_class(kind: int) -> type[Stream]:
    """The class of the streams of `kind`, imported only now. UnsupportedError for an unknown kind."""
    if kind not in c.STREAM_NAMES:
        raise UnsupportedError(f"stream kind {kind} is not known to this version")
    module, name = c.STREAMS[kind].home.split(".")
    found: type[Stream] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def coded_stream(kind: int, stream: Stream, context: StreamContext) -> StreamData:
    """A stream as a segment or a dictionary chunk holds it. Raises InputError where it breaks a limit."""
    encoder = SymbolEncoder()
    stream.write(encoder, context)
    coded = encoder.finish()
    return StreamData(kind, coded.words, coded.symbols, coded.checksum)


def decoded_stream(data: StreamData, context: StreamContext, account: bool = False) -> tuple[Any, Account]:
    """The stream in the words of `data`, and what its symbols cost, empty unless asked for. Raises DamagedError or
    FormatError where they hold no such stream."""
    decoder = SymbolDecoder(data.words, data.symbols, data.checksum, account)
    stream = stream_class(data.kind).read(decoder, context)
    decoder.finish()
    return stream, decoder.account
