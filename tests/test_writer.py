"""Whole files: writing, strict and salvage reading, rewriting, atomic output."""

import io
import os
import stat
from dataclasses import replace

import pytest
from damage import closure
from hypothesis import given
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.format.container import ChunkReader, chunk_bytes
from evc.format.errors import DamagedError, EvcError, FormatError, InputError, UnsupportedError
from evc.format.header import Header
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, write_index
from evc.format.reader import ContainerReader
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.writer import ContainerWriter, rewrite
from evc.output import atomic_output

LENGTH = 1024
HEADER = Header(
    8_000, 1, 4 * LENGTH + 7, layers=("patterns", "spectrum"), segment_frames=LENGTH, reference_depth=2,
    reference_span=4,
)  # fmt: skip
TAGS = {"title": "Blue", "artist": ["A", "B"]}
DEPENDENCIES = [(), (), (0,), (), (0, 2)]
DICTIONARIES = [Dictionary(0, 2), Dictionary(2, 1, (StreamData(c.STREAM_DICTIONARY, b"wave", 2, 5),))]


def segment(index, dependencies=()):
    words = bytes([index]) * (3 + index)
    return Segment(index, dependencies, (StreamData(c.STREAM_SPECTRUM, words, index, index),))


SEGMENTS = [segment(i, d) for i, d in enumerate(DEPENDENCIES)]


def write_parts(writer):
    writer.add_optional(b"note", b"kept")
    writer.add_dictionary(DICTIONARIES[0])
    for part in SEGMENTS[:3]:
        writer.add_segment(part)
    writer.add_dictionary(DICTIONARIES[1])
    for part in SEGMENTS[3:]:
        writer.add_segment(part)


def small_file(header=HEADER, tags=TAGS) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, header, tags) as writer:
        write_parts(writer)
    return file.getvalue()


def file_with(*chunks: bytes, header=HEADER) -> bytes:
    """A file of the given chunks, with a right header and a right end marker around them."""
    body = c.SIGNATURE + chunk_bytes(b"HEAD", header.write()) + b"".join(chunks)
    segments = sum(chunk[:4] == b"SEGM" for chunk in chunks)
    size = len(body) + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return body + chunk_bytes(b"END ", End(segments, size, 0).write())


def opened(data: bytes, salvage=False) -> ContainerReader:
    return ContainerReader(io.BytesIO(data), salvage)


def check_all(data: bytes) -> None:
    opened(data).verify()


def rescued(reader: ContainerReader) -> dict[int, Segment]:
    return {i: reader.segment(i) for i in range(reader.segments) if reader.place(i) is not None}


def test_empty_file_literal_bytes():
    file = io.BytesIO()
    ContainerWriter(file, Header(8_000, 1, 0, segment_frames=1024)).close()
    assert file.getvalue() == bytes.fromhex(
        "894556430d0a1a0a"
        "48454144 01 1c000000 01 00 401f0000 01 0000000000000000 01 00 00040000 05 00 00000000 00 1dbd9c4d"
        "454e4420 01 14000000 00000000 5200000000000000 0000000000000000 680dc89c"
    )


def test_round_trip():
    reader = opened(small_file())
    assert reader.header == HEADER
    assert reader.tags == TAGS
    assert reader.dictionaries == DICTIONARIES
    assert rescued(reader) == dict(enumerate(SEGMENTS))
    assert [reader.dependencies(i) for i in range(5)] == DEPENDENCIES
    assert [reader.patterns_before(i) for i in range(5)] == [2, 2, 2, 3, 3]
    assert closure(reader, 4) == {0, 2, 4}
    assert closure(reader, 1) == {1}
    assert [p.type for p in reader.chunks] == (
        [b"HEAD", b"TAGS", b"note", b"DICT"] + [b"SEGM"] * 3 + [b"DICT"] + [b"SEGM"] * 2 + [b"INDX", b"END "]
    )
    assert not reader.damage and not reader.lost
    reader.verify()
    assert opened(small_file(), salvage=True).damage == []


def test_writing_from_an_offset_with_unknown_length():
    file = io.BytesIO(b"before")
    file.seek(0, io.SEEK_END)
    writer = ContainerWriter(file, replace(HEADER, frames=None), TAGS)
    write_parts(writer)
    writer.close(HEADER.frames)
    writer.close(HEADER.frames)
    assert file.getvalue() == b"before" + small_file()
    assert file.tell() == len(file.getvalue())
    assert writer.bytes_written == len(small_file())


class Pipe(io.BytesIO):
    def seekable(self):
        return False

    def seek(self, *args):
        raise io.UnsupportedOperation

    tell = seek


def test_writing_to_a_pipe():
    file = Pipe()
    with ContainerWriter(file, HEADER, TAGS) as writer:
        write_parts(writer)
    assert file.getvalue() == small_file()
    with pytest.raises(InputError, match="pipe"):
        ContainerWriter(Pipe(), replace(HEADER, frames=None))


def test_unfinished_file():
    file = io.BytesIO()
    writer = ContainerWriter(file, replace(HEADER, frames=None))
    write_parts(writer)
    with pytest.raises(DamagedError, match="cut short"):
        opened(file.getvalue())
    reader = opened(file.getvalue(), salvage=True)
    assert rescued(reader) == dict(enumerate(SEGMENTS))
    assert reader.header.frames == 5 * LENGTH


def test_exception_leaves_no_end_marker():
    file = io.BytesIO()
    with pytest.raises(KeyError), ContainerWriter(file, HEADER) as writer:
        write_parts(writer)
        raise KeyError
    assert b"END " not in file.getvalue()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (segment(1), "segment 1 comes where segment 0"),
        (Segment(0, (), (StreamData(c.STREAM_EVENTS, b"", 0, 0),)), "absent from the header"),
        (Segment(0, (), (StreamData(9, b"", 0, 0),)), "unknown kind"),
        (Dictionary(1, 1), "entry 1, not at 0"),
        (Dictionary(0, 0), "outside the limit"),
    ],
)
def test_writer_refuses(part, message):
    writer = ContainerWriter(io.BytesIO(), HEADER)
    with pytest.raises(InputError, match=message):
        writer.add_segment(part) if isinstance(part, Segment) else writer.add_dictionary(part)


def test_writer_refuses_long_chains_and_wrong_lengths(monkeypatch):
    writer = ContainerWriter(io.BytesIO(), HEADER)
    for index, dependencies in enumerate([(), (0,), (1,)]):
        writer.add_segment(segment(index, dependencies))
    with pytest.raises(InputError, match="too long"):
        writer.add_segment(segment(3, (2,)))
    writer.add_segment(segment(3))
    with pytest.raises(InputError, match="5 segments, not 4"):
        writer.close()
    with pytest.raises(InputError, match="frames, not"):
        writer.close(12)
    with pytest.raises(InputError, match="behind the end"):
        writer.add_segment(segment(4))
        writer.add_segment(segment(5))
    monkeypatch.setattr(c, "MAX_DICTIONARY_BYTES", 1)
    with pytest.raises(InputError, match="more than 1 bytes"):
        writer.add_dictionary(Dictionary(0, 1))


def test_any_flip_is_detected_and_harms_only_its_chunk():
    data = small_file()
    places = opened(data).chunks
    for bit in range(8 * len(data)):
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
        assert reader.lost == {i for i in range(5) if gone & closure(opened(data), i)}
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


def segm(index, dependencies=()):
    return chunk_bytes(b"SEGM", segment(index, dependencies).write())


ALL = [segm(i, d) for i, d in enumerate(DEPENDENCIES)]


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
        (file_with(chunk_bytes(b"DICT", Dictionary(1, 1).write()), *ALL), FormatError, "out of place"),
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
    monkeypatch.setattr(c, "MAX_DICTIONARY_BYTES", 5)
    chunks = [chunk_bytes(b"DICT", Dictionary(i, 1).write()) for i in range(2)]
    with pytest.raises(FormatError, match="more than 5 bytes"):
        opened(file_with(*chunks, *ALL))


def test_a_missing_dictionary_leaves_the_others_their_numbers():
    chunks = [chunk_bytes(b"DICT", Dictionary(i, 1).write()) for i in range(3)]
    reader = opened(file_with(chunks[0], chunks[2], *ALL), salvage=True)
    assert [d.first for d in reader.dictionaries] == [0, 2]
    assert reader.patterns_before(0) == 3


def test_missing_segment():
    reader = opened(file_with(*ALL[:2], *ALL[3:]), salvage=True)
    assert reader.lost == {2, 4}
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


def shuffled(data: bytes, choose) -> bytes:
    """A file made of whole chunks of `data`, chosen with repeats, some with changed payloads."""
    reader = ChunkReader(io.BytesIO(data))
    out = c.SIGNATURE
    for place in choose.draw(st.lists(st.sampled_from(reader.chunks), max_size=14)):
        payload = bytearray(reader.payload(place))
        if choose.draw(st.booleans()) and payload:
            payload[choose.draw(st.integers(0, len(payload) - 1))] = choose.draw(st.integers(0, 255))
        out += chunk_bytes(place.type, bytes(payload), place.critical)
    return out


@given(st.data())
def test_shuffled_chunks_with_right_crcs(data):
    mutated = shuffled(small_file(), data)
    for salvage in (False, True):
        try:
            reader = opened(mutated, salvage)
        except EvcError:
            continue
        for index in range(min(reader.segments, 20)):
            try:
                reader.segment(index)
                closure(reader, index)
            except EvcError:
                pass


def test_rewrite_keeps_everything_else():
    source = small_file()
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, {"title": "Another, longer title", "year": "2024"})
    old, new = opened(source), opened(target.getvalue())
    new.verify()
    assert new.tags == {"title": "Another, longer title", "year": "2024"}
    moved = (b"TAGS", b"INDX", b"END ")
    kept = [[r.raw(p) for p in r.chunks if p.type not in moved] for r in (old, new)]
    assert kept[0] == kept[1]
    assert [p.type for p in old.chunks] == [p.type for p in new.chunks]
    again = io.BytesIO()
    rewrite(target, again, TAGS)
    assert again.getvalue() == source


def test_rewrite_adds_and_removes_tags():
    source = small_file(tags=None)
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, TAGS)
    assert target.getvalue() == small_file()
    back = io.BytesIO()
    rewrite(target, back, {})
    assert back.getvalue() == source


def test_rewrite_keeps_chunks_of_later_minor_versions():
    header = replace(HEADER, minor=2, extra=b"more")
    extra = chunk_bytes(b"last", b"\0\1", critical=False)
    source = file_with(*ALL, extra, header=header)
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, TAGS)
    reader = opened(target.getvalue())
    reader.verify()
    assert reader.header == header
    assert reader.raw(reader.chunks[-2]) == extra


def test_rewrite_does_not_copy_damage():
    data = bytearray(small_file())
    data[data.index(b"kept")] ^= 1
    with pytest.raises(DamagedError):
        rewrite(io.BytesIO(bytes(data)), io.BytesIO(), {})


def test_tags_are_edited_in_place(tmp_path):
    path = tmp_path / "a.evc"
    path.write_bytes(small_file())
    path.chmod(0o640)
    evc.edit_tags(path, path, {"title": "New"})
    assert opened(path.read_bytes()).tags == {"title": "New"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.evc"]


def test_a_failed_edit_changes_nothing(tmp_path):
    path = tmp_path / "a.evc"
    path.write_bytes(small_file()[:-3])
    with pytest.raises(DamagedError):
        evc.edit_tags(path, path, {})
    assert path.read_bytes() == small_file()[:-3]
    assert os.listdir(tmp_path) == ["a.evc"]


def test_atomic_output_appears_when_complete(tmp_path):
    path = tmp_path / "out"
    with atomic_output(path) as file:
        file.write(b"abc")
        assert not path.exists()
        file.seek(0)
        assert file.read() == b"abc"
    assert path.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_output_leaves_nothing_after_an_error(tmp_path, error):
    with pytest.raises(error), atomic_output(tmp_path / "out") as file:
        file.write(b"abc")
        raise error
    assert os.listdir(tmp_path) == []


def test_atomic_output_does_not_overwrite_unasked(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(InputError, match="exists already"), atomic_output(path, overwrite=False) as file:
        file.write(b"new")
        path.write_bytes(b"old")
    with pytest.raises(InputError, match="exists already"), atomic_output(path, overwrite=False):
        pass
    assert path.read_bytes() == b"old"
    with atomic_output(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_atomic_output_refuses_folders_and_missing_folders(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "out"):
        with pytest.raises(InputError), atomic_output(path):
            pass


def test_atomic_output_follows_links(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_output(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_atomic_output_writes_devices_in_place():
    with atomic_output(os.devnull) as file:
        file.write(b"abc")
    assert not os.path.isfile(os.devnull)
