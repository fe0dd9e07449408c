"""Whole files: strict and salvage reading."""

import io
import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from container_tools import (
    ALL,
    DEPENDENCIES,
    HEADER,
    LENGTH,
    SEGMENTS,
    TAGS,
    check_all,
    dictionary,
    file_with,
    opened,
    rescued,
    segm,
    segment,
    small_file,
)
from damage import closure
from hypothesis import given
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.container import ChunkReader, chunk_bytes
from evc.format.errors import DamagedError, EvcError, FormatError, UnsupportedError
from evc.format.header import Header
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, write_index
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.writer import ContainerWriter


def test_any_flip_is_detected_and_harms_only_its_chunk():
    data = small_file()
    places = opened(data).chunks
    for bit in range(0, 8 * len(data), 3):  # in every byte, and every bit of eight bytes in a row
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvcError):
            check_all(bytes(broken))
        hit = next((p for p in places if p.offset <= bit // 8 < p.end), None)
        if hit is not None and hit.type == b"HEAD":
            with pytest.raises(EvcError):
                opened(bytes(broken), salvage=True)
            continue
        reader = opened(bytes(broken), salvage=True)
        gone = {i for i in range(5) if hit is not None and places[i + 4 + (i > 2)] == hit}
        assert rescued(reader) == {i: s for i, s in enumerate(SEGMENTS) if i not in gone}
        assert reader.lost == gone
        assert reader.damage and reader.segments == (
            5 if 4 not in gone or bit // 8 < places[-1].offset else 4
        )
        assert reader.tags == ({} if hit is not None and hit.type == b"TAGS" else TAGS)


def test_every_cut_yields_the_segments_before_it():
    data = small_file()
    ends = [opened(data).place(i).end for i in range(5)]
    head_end = opened(data).chunks[0].end
    for cut in range(len(data)):
        with pytest.raises(EvcError):
            opened(data[:cut])
        if cut < head_end:
            with pytest.raises(EvcError):
                opened(data[:cut], salvage=True)
            continue
        reader = opened(data[:cut], salvage=True)
        whole = sum(end <= cut for end in ends)
        assert rescued(reader) == dict(enumerate(SEGMENTS[:whole]))
        assert reader.header.frames == min(whole * LENGTH, HEADER.frames)


def long_file() -> tuple[bytes, Header]:
    header = replace(HEADER, frames=c.HEAD_COPY_SEGMENTS * LENGTH)
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        for index in range(c.HEAD_COPY_SEGMENTS):
            writer.add_segment(Segment(index))
    return file.getvalue(), header


def test_second_header_replaces_a_damaged_one():
    data, header = long_file()
    check_all(data)
    heads = [p for p in opened(data).chunks if p.type == b"HEAD"]
    assert len(heads) == 2
    broken = bytearray(data)
    broken[20] ^= 1
    with pytest.raises(DamagedError, match="HEAD"):
        opened(bytes(broken))
    reader = opened(bytes(broken), salvage=True)
    assert reader.header == header
    assert reader.lost == frozenset()


def test_headers_that_contradict():
    other = chunk_bytes(b"HEAD", replace(HEADER, channels=2).write())
    with pytest.raises(FormatError, match="contradict"):
        opened(file_with(other))


def test_unfinished_or_huge_claims_are_bounded_in_salvage():
    huge = replace(HEADER, frames=LENGTH * c.MAX_SEGMENTS)
    reader = opened(file_with(chunk_bytes(b"SEGM", segment(0).write()), header=huge), salvage=True)
    assert (reader.segments, reader.header.frames) == (1, LENGTH)
    far = chunk_bytes(b"SEGM", Segment(5000).write())
    reader = opened(file_with(far, header=huge), salvage=True)
    assert (reader.segments, len(reader.damage)) == (0, 1)


def with_index(entries) -> bytes:
    body = file_with(*ALL)[: -END_PAYLOAD_BYTES - c.CHUNK_OVERHEAD_BYTES]
    index = chunk_bytes(b"INDX", write_index(entries))
    size = len(body) + len(index) + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return body + index + chunk_bytes(b"END ", End(5, size, len(body)).write())


def true_entries() -> list[IndexEntry]:
    places = [p for p in opened(file_with(*ALL)).chunks if p.type == b"SEGM"]
    return [IndexEntry(p.offset, d) for p, d in zip(places, DEPENDENCIES, strict=True)]


def test_index_is_optional_and_checked():
    without = opened(file_with(*ALL))
    without.verify()
    assert [without.dependencies(i) for i in range(5)] == DEPENDENCIES
    check_all(with_index(true_entries()))
    shifted = true_entries()
    shifted[1] = replace(shifted[1], offset=shifted[1].offset + 1)
    with pytest.raises(FormatError, match="index does not fit"):
        opened(with_index(shifted))
    wrong = true_entries()
    wrong[1] = replace(wrong[1], dependencies=(0,))
    with pytest.raises(FormatError, match="contradicts"):
        check_all(with_index(wrong))
    with pytest.raises(FormatError, match="index does not fit"):
        opened(with_index(true_entries()[:-1]))


@pytest.mark.filterwarnings("ignore::evc.format.errors.EvcWarning")
@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (file_with(*ALL[:4]), FormatError, "contradict"),
        (file_with(*ALL, segm(4)), FormatError, "contradict"),
        (file_with(ALL[1], ALL[0], *ALL[2:]), FormatError, "contradicts its place"),
        (file_with(*ALL, chunk_bytes(b"NEWS", b"", critical=True)), UnsupportedError, "NEWS"),
        (file_with(ALL[0], chunk_bytes(b"TAGS", b""), *ALL[1:]), FormatError, "out of place"),
        (file_with(chunk_bytes(b"TAGS", b"{}"), *ALL), FormatError, "zstandard"),
        (file_with(chunk_bytes(b"DICT", dictionary(1).write()), *ALL), FormatError, "out of place"),
        (file_with(chunk_bytes(b"INDX", b"\0"), *ALL), FormatError, "out of place"),
        (file_with(*ALL, chunk_bytes(b"INDX", b"\0"), chunk_bytes(b"INDX", b"\0")), FormatError, "out of"),
        (file_with(*ALL, chunk_bytes(b"HEAD", b"")), FormatError, "contradict"),
        (file_with(segm(0), *(segm(i, (i - 1,)) for i in range(1, 5))), FormatError, "too long"),
        (file_with(*ALL, header=replace(HEADER, frames=None)), DamagedError, "never finished"),
        (c.SIGNATURE + ALL[0] + file_with(*ALL)[8:], FormatError, "start with its header"),
        (c.SIGNATURE + chunk_bytes(b"END ", End(0, 41, 0).write()), DamagedError, "header is lost"),
        (file_with(*ALL) + b"xy", FormatError, "2 bytes follow the end"),
    ],
)
def test_strict_refuses(data, error, message):
    with pytest.raises(error, match=message):
        check_all(data)


def test_salvage_still_refuses_unknown_critical_chunks():
    with pytest.raises(UnsupportedError):
        opened(file_with(chunk_bytes(b"NEWS", b"", critical=True), *ALL), salvage=True)


def test_dictionaries_are_limited_together(monkeypatch):
    monkeypatch.setattr(c, "MAX_DICTIONARY_BYTES", 19)
    chunks = [chunk_bytes(b"DICT", dictionary(i).write()) for i in range(2)]
    with pytest.raises(FormatError, match="more than 19 bytes"):
        opened(file_with(*chunks, *ALL))
    monkeypatch.undo()
    check_all(file_with(*chunks, *ALL))


def test_symbols_of_dictionaries_are_limited_together():
    def chunks(symbols):
        claims = (Dictionary(i, 1, (StreamData(c.STREAM_DICTIONARY, b"", symbols, 0),)) for i in range(2))
        return [chunk_bytes(b"DICT", claim.write()) for claim in claims]

    opened(file_with(*chunks(c.MAX_DICTIONARY_SYMBOLS // 2), *ALL))
    with pytest.raises(FormatError, match="symbols"):
        opened(file_with(*chunks(c.MAX_DICTIONARY_SYMBOLS // 2 + 1), *ALL))


def test_a_missing_dictionary_leaves_the_others_their_numbers():
    chunks = [chunk_bytes(b"DICT", dictionary(i).write()) for i in range(3)]
    reader = opened(file_with(chunks[0], chunks[2], *ALL), salvage=True)
    assert [d.first for d in reader.dictionaries] == [0, 2]
    assert reader.patterns_before(0) == 3


def test_missing_segment():
    reader = opened(file_with(*ALL[:2], *ALL[3:]), salvage=True)
    assert reader.lost == {2}
    with pytest.raises(DamagedError, match="segment 2 is missing") as caught:
        reader.segment(2)
    assert caught.value.segment == 2


def test_damage_found_on_reading_names_the_segment():
    data = bytearray(small_file())
    data[opened(bytes(data)).place(3).end - 5] ^= 1
    with pytest.raises(DamagedError, match="segment 3 is damaged") as caught:
        opened(bytes(data)).segment(3)
    assert caught.value.segment == 3


def test_damage_in_an_unknown_chunk_is_left_to_verify():
    data = bytearray(small_file())
    data[data.index(b"kept")] ^= 1
    reader = opened(bytes(data))
    with pytest.raises(DamagedError, match="note"):
        reader.verify()


@given(st.binary(max_size=200), st.booleans())
def test_random_bytes(data, salvage):
    for start in (b"", c.SIGNATURE):
        with pytest.raises(EvcError):
            opened(start + data, salvage)


def shuffled(data: bytes, random: np.random.Generator) -> bytes:
    """`data` with up to three changes to its chunks: a byte of a payload, a chunk less, twice or elsewhere; with right
    CRCs."""
    reader = ChunkReader(io.BytesIO(data))
    chunks = [(place.type, bytearray(reader.payload(place)), place.critical) for place in reader.chunks]
    for _ in range(random.integers(1, 4)):
        chosen = int(random.integers(len(chunks)))
        change = random.choice(["byte", "byte", "byte", "less", "twice", "elsewhere"])
        if change == "byte":
            payload = chunks[chosen][1]
            payload[random.integers(len(payload))] = random.choice([0, 1, 2, 255, int(random.integers(256))])
            continue
        moved = chunks[chosen] if change == "twice" else chunks.pop(chosen)
        if change != "less":
            chunks.insert(int(random.integers(len(chunks) + 1)), moved)
    return c.SIGNATURE + b"".join(chunk_bytes(type, bytes(payload), critical) for type, payload, critical in chunks)


@pytest.mark.filterwarnings("ignore::evc.format.errors.EvcWarning")
def test_changed_and_shuffled_chunks_with_right_crcs():
    """Strictly or not, a file is opened or refused, and so is each of its segments."""
    came = Counter()
    for seed, salvage in itertools.product(range(200), (False, True)):
        try:
            reader = opened(shuffled(small_file(), np.random.default_rng(seed)), salvage)
        except EvcError:
            came["refused"] += 1
            continue
        came["salvaged" if salvage else "opened"] += 1
        for index in range(min(reader.segments, 20)):
            try:
                reader.segment(index)
                closure(reader, index)
                came["segments"] += 1
            except EvcError:
                came["segments refused"] += 1
    assert all(came[kind] > 10 for kind in ("opened", "salvaged", "refused", "segments", "segments refused")), came
