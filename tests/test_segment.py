"""SEGM, DICT, INDX and END payloads: literal bytes, round trips, limits."""

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.binary import varint
from evc.format.errors import EvcError, FormatError, InputError, UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, read_index, write_index
from evc.format.segment import Dictionary, Segment, StreamData

HEADER = Header(
    48_000, 2, 4096 * 1000, layers=c.LAYERS, segment_frames=4096, reference_depth=9, reference_span=500,
    networks=tuple(NetworkReference(name, bytes(8)) for name in ("first", "middle", "last")),
)  # fmt: skip
SPECTRUM = StreamData(c.STREAM_SPECTRUM, b"\x11\x22\x33\x44", 300, 0xDEADBEEF)
EVENTS = StreamData(c.STREAM_EVENTS, b"", 0, 0)
SEGMENT = Segment(301, (1, 300), (EVENTS, SPECTRUM))
LITERAL = bytes.fromhex(
    "ad02"  # segment 301
    "02 01 ac02"  # depends on the segments 1 and 300 back
    "02"  # two streams
    "01 00 00 00000000"  # events: no bytes, no symbols
    "02 04 ac02 efbeadde"  # spectrum: 4 bytes, 300 symbols
    "11223344"
)


def test_literal_bytes():
    assert SEGMENT.write() == LITERAL
    assert Segment.read(LITERAL, HEADER) == SEGMENT
    assert SEGMENT.stream(c.STREAM_SPECTRUM) == SPECTRUM
    assert SEGMENT.stream(c.STREAM_NOISE) is None


def test_silence_is_three_bytes():
    assert Segment(0).write() == bytes(3)


def stream(kinds):
    return st.builds(
        StreamData, kinds, st.binary(max_size=40), st.integers(0, 90_000), st.integers(0, (1 << 32) - 1)
    )


def streams(kinds):
    some = st.lists(stream(kinds), max_size=c.MAX_STREAMS_PER_SEGMENT, unique_by=lambda s: s.kind)
    return some.map(lambda found: tuple(sorted(found, key=lambda s: s.kind)))


optional = st.integers(c.OPTIONAL_STREAM, 255)
layered = st.sampled_from([kind for kind in c.STREAM_NAMES if c.STREAMS[kind].layer is not None])


@st.composite
def segments(draw):
    index = draw(st.integers(0, 999))
    earlier = st.integers(max(0, index - HEADER.reference_span), index - 1) if index else st.nothing()
    dependencies = tuple(sorted(draw(st.sets(earlier, max_size=20)))) if index else ()
    return Segment(index, dependencies, draw(streams(layered | optional)))


@given(segments())
def test_round_trip(segment):
    assert Segment.read(segment.write(), HEADER) == segment


def test_mutations():
    came = Counter()

    @given(segments(), st.data())
    def read(segment, data):
        payload = bytearray(segment.write())
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        try:
            found = Segment.read(bytes(payload), HEADER)
        except EvcError:
            came["refused"] += 1
        else:
            assert found.write() == payload
            came["another"] += found != segment

    read()
    assert came["another"] > 5 and came["refused"] > 5


READERS = {
    "segment": (lambda data: Segment.read(data, HEADER), Segment.write),
    "dictionary": (lambda data: Dictionary.read(data, HEADER), Dictionary.write),
    "index": (lambda data: read_index(data, HEADER), write_index),
    "end": (End.read, End.write),
}


@pytest.mark.parametrize("kind", READERS)
def test_random_bytes(kind):
    """They are refused, or are what is written for what they say: short ones of small numbers, and any."""
    came, (read, write) = Counter(), READERS[kind]
    random = np.random.default_rng(0)
    short = [bytes(found) for length in range(7) for found in itertools.product((0, 1, 2, 255), repeat=length)]
    entry = (b"\0\1\1\5" + payload for payload in short)  # one stream, of a dictionary
    for payload in itertools.chain(short, entry, map(random.bytes, [*range(60), *[END_PAYLOAD_BYTES] * 60])):
        try:
            found = read(payload)
        except EvcError:
            came["refused"] += 1
        else:
            assert write(found) == payload
            came["read"] += 1
    assert came["read"] > 3 and came["refused"] > 50


def test_too_short_and_too_long():
    for cut in range(len(LITERAL)):
        with pytest.raises(FormatError):
            Segment.read(LITERAL[:cut], HEADER)
    with pytest.raises(FormatError, match="too many"):
        Segment.read(LITERAL + b"\0", HEADER)


def test_index_is_limited():
    with pytest.raises(FormatError, match="behind the end"):
        Segment.read(Segment(1000).write(), HEADER)
    with pytest.raises(FormatError, match="behind the end"):
        Segment.read(Segment(c.MAX_SEGMENTS).write(), replace(HEADER, frames=None))


@pytest.mark.parametrize("distances", [[0], [2, 2], [3, 2], [501], [602]])
def test_dependencies_are_limited(distances):
    payload = varint(601) + bytes([len(distances)]) + b"".join(map(varint, distances)) + b"\0"
    with pytest.raises(FormatError, match="not allowed"):
        Segment.read(payload, HEADER)


def test_no_dependencies_where_the_header_says_none():
    with pytest.raises(FormatError, match="not allowed"):
        Segment.read(LITERAL, replace(HEADER, reference_depth=0, reference_span=0))


@pytest.mark.parametrize("dependencies", [(5,), (6,), (3, 3), (3, 2), tuple(range(-300, 0))])
def test_writing_refuses_dependencies(dependencies):
    with pytest.raises(InputError):
        Segment(5, dependencies).write()


def test_symbols_are_limited_by_the_length_of_the_segment():
    most = c.SYMBOLS_PER_SAMPLE * 4096 * 2 + c.SYMBOLS_BASE
    for symbols in (most, most + 1):
        payload = Segment(0, (), (replace(SPECTRUM, symbols=symbols),)).write()
        if symbols == most:
            Segment.read(payload, HEADER)
        else:
            with pytest.raises(FormatError, match="symbols"):
                Segment.read(payload, HEADER)


def test_words_beyond_the_payload_are_refused_without_allocating():
    payload = bytes(2) + b"\x01\x02" + varint(1 << 62) + b"\x00" + bytes(4)
    with pytest.raises(FormatError, match="too short"):
        Segment.read(payload, HEADER)


def test_stream_order_and_number():
    with pytest.raises(InputError):
        Segment(0, (), (SPECTRUM, EVENTS)).write()
    with pytest.raises(InputError):
        Segment(0, (), (EVENTS, EVENTS)).write()
    descriptor = bytes([c.STREAM_EVENTS]) + bytes(6)
    with pytest.raises(FormatError, match="ascending"):
        Segment.read(bytes(2) + b"\x02" + descriptor * 2, HEADER)
    with pytest.raises(FormatError, match="17 streams"):
        Segment.read(bytes(2) + b"\x11" + descriptor * 17, HEADER)


def test_stream_kinds():
    def read(kind, header=HEADER):
        return Segment.read(Segment(0, (), (replace(EVENTS, kind=kind),)).write(), header)

    assert read(c.OPTIONAL_STREAM).streams[0].kind == c.OPTIONAL_STREAM
    for kind in (9, 127):
        with pytest.raises(UnsupportedError, match="unknown kind"):
            read(kind)
    with pytest.raises(FormatError, match="dictionary"):
        read(c.STREAM_DICTIONARY)
    with pytest.raises(FormatError, match="absent from the header"):
        read(c.STREAM_LATENT, replace(HEADER, layers=("spectrum",)))


DICTIONARY = Dictionary(2, 130, (StreamData(c.STREAM_DICTIONARY, b"\xaa", 7, 1),))
DICTIONARY_BYTES = bytes.fromhex("02 8201 01 05 01 07 01000000 aa")


def test_dictionary_literal_bytes():
    assert DICTIONARY.write() == DICTIONARY_BYTES
    assert Dictionary.read(DICTIONARY_BYTES, HEADER) == DICTIONARY
    assert DICTIONARY.stream() == DICTIONARY.streams[0]


@given(
    st.integers(0, c.MAX_PATTERNS - 1), st.integers(1, 99), stream(st.just(c.STREAM_DICTIONARY)), streams(optional)
)
def test_dictionary_round_trip(first, entries, coded, others):
    streams = (coded, *others[:-1])
    dictionary = Dictionary(first, min(entries, c.MAX_PATTERNS - first), streams)
    assert Dictionary.read(dictionary.write(), HEADER) == dictionary


@pytest.mark.parametrize(
    "dictionary",
    [
        replace(DICTIONARY, entries=0),
        replace(DICTIONARY, streams=()),
        replace(DICTIONARY, first=c.MAX_PATTERNS - 129),
        replace(DICTIONARY, streams=(EVENTS,)),
        replace(DICTIONARY, streams=(replace(DICTIONARY.streams[0], symbols=c.MAX_DICTIONARY_SYMBOLS + 1),)),
    ],
)
def test_dictionary_limits(dictionary):
    with pytest.raises(FormatError):
        Dictionary.read(dictionary.write(), HEADER)


def test_a_dictionary_needs_patterns():
    with pytest.raises(FormatError, match="no patterns"):
        Dictionary.read(DICTIONARY_BYTES, replace(HEADER, layers=("spectrum",)))


def test_dictionary_unknown_stream():
    with pytest.raises(UnsupportedError):
        Dictionary.read(replace(DICTIONARY, streams=(replace(EVENTS, kind=9),)).write(), HEADER)


INDEX = [IndexEntry(60), IndexEntry(500, (0,)), IndexEntry(530, (0, 1))]
INDEX_BYTES = bytes.fromhex("03 3c00 b803 0101 1e 020102")


def test_index_literal_bytes():
    assert write_index(INDEX) == INDEX_BYTES
    assert read_index(INDEX_BYTES, HEADER) == INDEX


def test_index_limits(monkeypatch):
    with pytest.raises(FormatError, match="larger"):
        read_index(varint(c.MAX_SEGMENTS + 1), HEADER)
    with pytest.raises(FormatError, match="too many"):
        read_index(INDEX_BYTES + b"\0", HEADER)
    monkeypatch.setattr(c, "MAX_INDEX_BYTES", len(INDEX_BYTES) - 1)
    with pytest.raises(FormatError, match="larger"):
        read_index(INDEX_BYTES, HEADER)


def test_end_literal_bytes():
    end = End(3, 1000, 900)
    assert end.write() == bytes.fromhex("03000000 e803000000000000 8403000000000000")
    assert End.read(end.write()) == end
    with pytest.raises(FormatError):
        End.read(end.write() + b"\0")
