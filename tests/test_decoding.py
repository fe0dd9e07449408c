"""Decoding of segments that lean on others: in any order, and where something is missing."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from damage import closure, segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_tools import planted
from stream_tools import assert_same

import evc
from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolEncoder
from evc.format.container import ChunkReader
from evc.format.decoding import DecodedStreams, SegmentDecoder
from evc.format.errors import DamagedError, EvcError, FormatError
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Explicit, Pattern
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import SpectrumStream
from evc.format.writer import ContainerWriter
from evc.spec.patterned import pattern_file, placements, tones

N = 1024
SEGMENTS = 14
SPAN = 5


def copies(lags: list[int]) -> OccurrenceStream:
    """Copies in mono, from the start of a segment on."""
    nothing = np.zeros(len(lags), np.int64)
    gains = np.zeros((len(lags), 1, 1), np.int64)
    return OccurrenceStream(
        nothing, nothing + COPY, np.array(lags) * 32, nothing, nothing + 1500, nothing, nothing, nothing,
        copied=Gains(gains),
    )


@lru_cache
def chained() -> bytes:
    """Segments of two superframes; some are copies of copies, two of them nothing else."""
    header = Header(
        8_000, 1, SEGMENTS * 2 * N - 100, layers=("patterns", "spectrum"), segment_frames=2 * N,
        reference_depth=SEGMENTS, reference_span=SPAN,
    )  # fmt: skip
    random = np.random.default_rng(0)
    lags: list[list[int]] = [[] for _ in range(SEGMENTS)]
    lags[2], lags[4], lags[5], lags[7], lags[8] = [3 * N], [4 * N + 5], [2 * N + 16], [5 * N, 2500], [4 * N]
    lags[10], lags[11], lags[13] = [3 * N], [6 * N], [4 * N]
    segments: list[tuple[OccurrenceStream | None, SpectrumStream | None]] = []
    for number, own in enumerate(lags):
        spectrum = None if number in (4, 8) else tones(random, 1, 2, 27 - 6 * bool(own))
        segments.append((copies(own) if own else None, spectrum))
    return pattern_file(header, [], segments)


def reader(data: bytes, salvage: bool = False) -> ContainerReader:
    return ContainerReader(io.BytesIO(data), salvage)


def rewritten(data: bytes, change: Callable[[Segment], Segment]) -> bytes:
    """The file with each segment changed."""
    container, target = reader(data), io.BytesIO()
    with ContainerWriter(target, container.header) as writer:
        for dictionary in container.dictionaries:
            writer.add_dictionary(dictionary)
        for index in range(container.segments):
            writer.add_segment(change(container.segment(index)))
    return target.getvalue()


@lru_cache
def all_at_once() -> dict[int, DecodedStreams]:
    decoder = SegmentDecoder(reader(chained()))
    return decoder.decode(range(SEGMENTS))


def assert_decoded(found: DecodedStreams, expected: DecodedStreams) -> None:
    assert found.keys() == expected.keys()
    for kind in found:
        assert_same(found[kind], expected[kind])


def test_the_file_is_what_it_should_be() -> None:
    container = reader(chained())
    assert container.dependencies(5) == (2, 3, 4) and container.dependencies(11) == (6, 7, 8, 9, 10)
    assert len(closure(container, 13)) > 2 * SPAN


@given(st.lists(st.lists(st.integers(0, SEGMENTS - 1), max_size=3), max_size=6), st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_in_any_order(calls: list[list[int]], keep: int) -> None:
    decoder = SegmentDecoder(reader(chained()), keep)
    try:
        for indices in calls:
            found = decoder.decode(indices)
            assert sorted(found) == sorted(set(indices))
            for index, streams in found.items():
                assert_decoded(streams, all_at_once()[index])
    finally:
        decoder.close()


def test_accounts() -> None:
    decoder = SegmentDecoder(reader(chained()))
    for index in (7, 2, 8):
        found = decoder.accounted(index)
        assert_decoded(found.streams, all_at_once()[index])
        assert found.accounts.keys() == all_at_once()[index].keys()
        for data in decoder.segment(index).streams:
            bits = sum(bits for _, bits in found.accounts[data.kind].values())
            assert bits == pytest.approx(8 * len(data.words), abs=64)


def test_a_missing_dependency_is_refused() -> None:
    for index in (2, 5, 7):
        for missing in reader(chained()).dependencies(index):

            def without(segment: Segment) -> Segment:
                if segment.index != index:  # noqa: B023
                    return segment
                return replace(segment, dependencies=tuple(d for d in segment.dependencies if d != missing))  # noqa: B023

            decoder = SegmentDecoder(reader(rewritten(chained(), without)))
            with pytest.raises(FormatError, match="does not depend on"):
                decoder.decode([index])
            assert 1 in decoder.decode([1])


def test_more_dependencies_than_needed_do_no_harm() -> None:
    def everything(segment: Segment) -> Segment:
        return replace(segment, dependencies=tuple(range(max(0, segment.index - SPAN), segment.index)))

    decoder = SegmentDecoder(reader(rewritten(chained(), everything)))
    for index, streams in decoder.decode(range(SEGMENTS)).items():
        assert_decoded(streams, all_at_once()[index])


@pytest.mark.parametrize("damaged", [0, 3, 4])
def test_a_damaged_segment_takes_no_others_along(damaged: int) -> None:
    """The integers of all others are what they are; those that repeat its sound are impaired."""
    place = segment_places(chained())[damaged]
    data = with_flipped_bit(chained(), place.offset + 20)
    with pytest.raises(DamagedError):
        SegmentDecoder(reader(data)).decode(range(SEGMENTS))
    decoder = SegmentDecoder(reader(data, salvage=True))
    found = decoder.decode(range(SEGMENTS))
    assert set(found) == set(range(SEGMENTS)) - {damaged} and set(decoder.lost) == {damaged}
    for index, streams in found.items():
        assert_decoded(streams, all_at_once()[index])
    whole = reader(chained())
    leaning = {index for index in range(SEGMENTS) if damaged in closure(whole, index)} - {damaged}
    assert decoder.impaired() == dict.fromkeys(leaning, damaged) and leaning
    with pytest.raises(EvcError):
        decoder.accounted(damaged)


def test_integers_of_a_segment_need_no_others() -> None:
    """In strict mode as well: whoever wants its sound meets what is wrong with those that it repeats."""
    data = with_flipped_bit(chained(), segment_places(chained())[3].offset + 20)
    assert_decoded(SegmentDecoder(reader(data)).decode([5])[5], all_at_once()[5])
    with evc.open(io.BytesIO(data)) as file:
        file.seek(5 * 2 * N)
        with pytest.raises(DamagedError, match="segment 3"):
            file.read(100)


def test_symbols_that_are_wrong_take_no_others_along() -> None:
    """The chunk is intact, its stream is not."""

    def spoilt(segment: Segment) -> Segment:
        if segment.index != 3:
            return segment
        return replace(segment, streams=tuple(replace(stream, checksum=7) for stream in segment.streams))

    decoder = SegmentDecoder(reader(rewritten(chained(), spoilt), salvage=True))
    assert not decoder.impaired()  # nothing is known yet
    assert set(decoder.decode(range(SEGMENTS))) == set(range(SEGMENTS)) - {3}
    assert set(decoder.impaired().values()) == {3}


def test_a_flipped_byte_anywhere_silences_one_segment_at_most() -> None:
    """Of a file made of copies: what repeats the lost sound still sounds, what does not is what it was."""
    data, length, margin = chained(), 2 * N, 3 * N // 2
    container = reader(data)
    whole = evc.decode(data)[0]
    first, last = segment_places(data)[0].offset, segment_places(data)[-1].end
    random = np.random.default_rng(0)
    places = {*random.integers(first, len(data), 60).tolist()}
    for place in segment_places(data)[::3]:  # headers of chunks, and what tells where a segment belongs
        places |= set(range(place.offset, place.offset + 16, 3))
    outcomes = set()
    for place in sorted(places):
        with evc.open(io.BytesIO(with_flipped_bit(data, place, place % 8)), salvage=True) as file:
            audio = file.read()
            lost = [segment.index for segment in file.segments if segment.damaged]
            impaired = [segment.index for segment in file.segments if segment.impaired]
            spans = file.damage
        assert len(audio) == len(whole) and len(lost) == (first <= place < last)
        assert impaired == [i for i in range(SEGMENTS) if set(lost) & set(closure(container, i)) - {i}]
        assert sum(span.frames for span in spans if not span.impaired) <= length
        assert sum(span.frames for span in spans) == sum(container.header.segment_span(i)[1] for i in lost + impaired)
        changed = np.zeros(len(whole), bool)
        for index in lost + impaired:
            changed[max(index * length - margin, 0) : (index + 1) * length + margin] = True
        np.testing.assert_array_equal(audio[~changed], whole[~changed])
        for index in lost:
            assert not audio[index * length : (index + 1) * length].any()
        assert all(audio[index * length : (index + 1) * length].any() for index in impaired if index not in (4, 8))
        outcomes.add((len(lost), bool(impaired)))
    assert outcomes == {(0, False), (1, False), (1, True)}


def test_a_lost_dictionary_takes_the_segments_that_use_it() -> None:
    data = placements()
    place = next(place for place in ChunkReader(io.BytesIO(data)).chunks if place.type == c.CHUNK_DICT)
    damaged = with_flipped_bit(data, place.offset + 40)
    with pytest.raises(EvcError):
        SegmentDecoder(reader(damaged)).decode([0])
    decoder = SegmentDecoder(reader(damaged, salvage=True))
    assert decoder.decode(range(3)) == {}
    assert set(decoder.lost) == {0, 1, 2}


def test_a_dictionary_with_wrong_symbols() -> None:
    """Its chunk is intact. What does not use it still decodes."""
    container, target = reader(placements()), io.BytesIO()
    with ContainerWriter(target, container.header) as writer:
        (dictionary,) = container.dictionaries
        (stream,) = dictionary.streams
        writer.add_dictionary(replace(dictionary, streams=(replace(stream, checksum=7),)))
        writer.add_segment(Segment(0, ()))
        for index in (1, 2):
            writer.add_segment(container.segment(index))
    with pytest.raises(DamagedError):
        _ = SegmentDecoder(reader(target.getvalue())).entries
    decoder = SegmentDecoder(reader(target.getvalue(), salvage=True))
    assert decoder.patterns == decoder.entries == [None] * 3
    assert set(decoder.decode(range(3))) == {0} and set(decoder.lost) == {1, 2}


def test_explicit_entries_are_limited_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all dictionaries; salvage loses what is behind the limit."""
    entries: list[list[Pattern]]
    entries = [[Explicit(1, 600, CodedStream(b"", 0, 0))], [Excerpt(0, 9)], [Explicit(1, 500, CodedStream(b"", 0, 0))]]
    data = planted(1, {}, *entries)
    monkeypatch.setattr(c, "MAX_EXPLICIT_SAMPLES", 1100)
    assert len(SegmentDecoder(reader(data)).patterns) == 3
    monkeypatch.setattr(c, "MAX_EXPLICIT_SAMPLES", 1099)
    with pytest.raises(FormatError, match="too long together"):
        _ = SegmentDecoder(reader(data)).patterns
    assert SegmentDecoder(reader(data, salvage=True)).patterns == [*entries[0], *entries[1], None]


@given(st.integers(0, 1 << 16), st.booleans())
@settings(max_examples=40, deadline=None)
def test_changed_symbols_are_harmless(position: int, salvage: bool) -> None:
    """Any change to the words of a stream is noticed, or gives streams of another file."""
    index = position % SEGMENTS

    def changed(segment: Segment) -> Segment:
        if segment.index != index or not segment.streams:
            return segment
        first, *rest = segment.streams
        words = with_flipped_bit(first.words, position // 8 % len(first.words), position % 8)
        return replace(segment, streams=(replace(first, words=words), *rest))

    decoder = SegmentDecoder(reader(rewritten(chained(), changed), salvage))
    try:
        decoder.decode(range(SEGMENTS))
    except EvcError:
        assert not salvage
    finally:
        decoder.close()


@pytest.mark.parametrize("wrong", [0, 1])
def test_verifying_decodes_entries_that_nothing_uses(wrong):
    header = Header(8_000, 1, 1024, layers=("patterns",), segment_frames=1024)
    encoder = SymbolEncoder()
    DictionaryStream([Excerpt(0, 100)]).write(encoder, StreamContext.of_dictionary(header, 1))
    coded = encoder.finish()
    data = StreamData(c.STREAM_DICTIONARY, coded.words, coded.symbols, coded.checksum ^ wrong)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        writer.add_dictionary(Dictionary(0, 1, (data,)))
        writer.add_segment(Segment(0, (), ()))
    file = evc.open(target)
    assert not file.read().any()
    with pytest.raises(DamagedError, match="checksum") if wrong else nullcontext():
        file.verify()
