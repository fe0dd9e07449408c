"""Whole files: writing."""

import io
from dataclasses import replace

import pytest
from container_tools import (
    DEPENDENCIES,
    DICTIONARIES,
    HEADER,
    LENGTH,
    SEGMENTS,
    TAGS,
    dictionary,
    opened,
    rescued,
    segment,
    small_file,
    write_parts,
)
from damage import closure

from evc.format import constants as c
from evc.format.errors import DamagedError, InputError
from evc.format.header import Header
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.writer import ContainerWriter


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
        (dictionary(1), "entry 1, not at 0"),
        (Dictionary(0, 0), "outside the limit"),
        (Dictionary(0, 1), "entries 0 to 0 are not there"),
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
    half = replace(DICTIONARIES[1].streams[0], symbols=c.MAX_DICTIONARY_SYMBOLS // 2 + 1)
    writer.add_dictionary(Dictionary(0, 1, (half,)))
    with pytest.raises(InputError, match="symbols"):
        writer.add_dictionary(Dictionary(1, 1, (half,)))
    monkeypatch.setattr(c, "MAX_DICTIONARY_BYTES", 1)
    with pytest.raises(InputError, match="more than 1 bytes"):
        writer.add_dictionary(dictionary(1))
