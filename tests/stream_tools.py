"""What the tests of all streams share."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import numpy as np
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.errors import EvcError
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext
from evc.format.writer import ContainerWriter

contexts = st.builds(
    StreamContext,
    samplerate=st.sampled_from([8000, 22050, 44100, 48000, 96000, 192000]),
    channels=st.integers(1, 8),
    frames=st.sampled_from([1, 63, 5000, 30_000]),
    phase_bits=st.sampled_from([0, 5, 16]),
    patterns=st.sampled_from([1, 2, 40, 65536]),
)
STEREO = StreamContext(samplerate=44100, channels=2, frames=196608, phase_bits=5, patterns=10)


def coded(stream: Any, context: StreamContext) -> CodedStream:
    encoder = SymbolEncoder()
    stream.write(encoder, context)
    return encoder.finish()


def read(kind: type, stream: CodedStream, context: StreamContext) -> Any:
    decoder = SymbolDecoder(stream.words, stream.symbols, stream.checksum)
    result = kind.read(decoder, context)
    decoder.finish()
    return result


def assert_same(one: Any, other: Any) -> None:
    """Equal dataclasses, but for fields that these do not compare; arrays and lists included."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif dataclasses.is_dataclass(one):
        for part in (part for part in dataclasses.fields(one) if part.compare):
            assert_same(getattr(one, part.name), getattr(other, part.name))
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def assert_round_trip(stream: Any, context: StreamContext) -> None:
    assert_same(read(type(stream), coded(stream, context), context), stream)


words = st.binary(max_size=400).map(lambda data: data[: len(data) // 4 * 4])


def assert_harmless(kind: type, data: bytes, symbols: int, context: StreamContext) -> CodedStream | None:
    """Any words either raise EvcError, or are a stream that can be written and read again: that one is returned, as it
    is written. Words at random are rarely a stream: what is one needs `assert_changes_are_harmless`."""
    try:
        stream = kind.read(SymbolDecoder(data, symbols, 0), context)  # type: ignore[attr-defined]
    except EvcError:
        return None
    assert_round_trip(stream, context)
    return coded(stream, context)


def assert_changes_are_harmless(stream: Any, context: StreamContext, changes: int = 60, spare: int = 300) -> None:
    """The words of a stream with a bit changed somewhere, or with other words from somewhere on. Some of them have to
    be streams, and not this one; `spare` symbols more than it has let them be longer."""
    coding = coded(stream, context)
    others = 0
    for number in range(changes):
        random = np.random.default_rng(number)
        position = int(random.integers(8 * len(coding.words)))
        if number % 2:
            data = flipped(coding.words, position)
        else:
            kept = coding.words[: position // 32 * 4]
            data = kept + random.bytes(len(coding.words) - len(kept))
        found = assert_harmless(type(stream), data, coding.symbols + spare, context)
        others += found is not None and found != coding
    assert others >= changes // 10


def without_envelopes(data: bytes) -> bytes:
    """A file with segments that lack this stream."""
    reader, target = ContainerReader(io.BytesIO(data)), io.BytesIO()
    with ContainerWriter(target, reader.header, reader.tags) as writer:
        for index in range(reader.segments):
            segment = reader.segment(index)
            kept = tuple(stream for stream in segment.streams if stream.kind != c.STREAM_ENVELOPE)
            writer.add_segment(dataclasses.replace(segment, streams=kept))
    return target.getvalue()


def flipped(data: bytes, position: int) -> bytes:
    """`data` with one bit changed."""
    changed = bytearray(data)
    changed[position // 8 % len(data)] ^= 1 << position % 8
    return bytes(changed)
