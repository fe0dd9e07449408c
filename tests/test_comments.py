"""Vorbis comments: literal bytes, round trips, and what is malformed."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metadata_tools import PICTURES, TAGS
from test_metadata import pictures

from evc.format import constants as c
from evc.format.metadata import Foreign, Picture
from evc.sound.comments import Found, has_field_name, limited, read_comments, write_comments
from evc.sound.text import decoded

names = st.from_regex("[ -<>-@\\[-}]{1,8}", fullmatch=True).filter(has_field_name)
values = st.text(st.characters(codec="utf-8"), max_size=12)
tags = st.dictionaries(names, values | st.lists(values, min_size=2, max_size=3), max_size=4)


def read(data: bytes) -> tuple[Found, bytes]:
    found = Found()
    return found, read_comments(data, found)


def test_literal_bytes():
    data = bytes.fromhex("03000000 787978 02000000 08000000 4152544953543d41 09000000 4152544953543dc384")
    assert write_comments(b"xyx", {"artist": ["A", "Ä"]}) == data
    found, vendor = read(data)
    assert vendor == b"xyx" and found.metadata.tags == {"artist": ["A", "Ä"]} and not found.problems


@settings(max_examples=30)
@given(st.binary(max_size=10), tags, st.lists(pictures, max_size=2))
def test_what_is_written_is_read(vendor, tags, pictures):
    found, back = read(write_comments(vendor, tags, pictures))
    assert back == vendor and found.metadata.tags == tags and found.metadata.pictures == pictures


@given(st.binary(max_size=100), st.integers(0, 100))
def test_hostile_bytes(data, at):
    read(data)
    good = write_comments(b"v", TAGS, PICTURES[:1])
    at %= len(good)
    limited(read(good[:at] + data[:3] + good[at + 3 :])[0])


@given(st.binary(max_size=100), st.integers(0, 70))
def test_hostile_pictures(data, at):
    found = Found()
    found.add_picture(data)
    block = PICTURES[0].write()
    found.add_picture(block[:at] + data[:4] + block[at + 4 :])
    assert len(found.metadata.pictures) + len(found.problems) == 2


def test_what_is_declared_is_not_allocated():
    huge = b"\xff\xff\xff\x7f"
    begun = time.process_time()
    for data in (huge, b"\0\0\0\0" + huge, b"\0\0\0\0\1\0\0\0" + huge + b"A=B", b""):
        assert not read(data)[0].metadata.tags
    assert "malformed" in read(huge)[0].problems[0]
    many = b"\0\0\0\0" + (1 << 20).to_bytes(4, "little") + b"\3\0\0\0A=B" * (1 << 17)
    found = read(many)[0]
    assert len(found.metadata.tags["a"]) == 1 << 16 and "those behind the first 65536" in found.problems[0]
    assert time.process_time() - begun < 5


def test_what_is_well_formed_is_kept():
    data = write_comments(b"", {"a": "1", "b": "2"})
    found = read(data[:-1])[0]
    assert found.metadata.tags == {"a": "1"} and found.problems[0].startswith("its comments are malformed")
    raw = [b"no name", b"=x", b"T\xe4g=Gr\xf6\xdfe", b"TITLE=Gr\xf6\xdfe=1", b"METADATA_BLOCK_PICTURE=!!", b"X="]
    data = b"\0\0\0\0" + len(raw).to_bytes(4, "little") + b"".join(len(r).to_bytes(4, "little") + r for r in raw)
    found = read(data)[0]
    assert found.metadata.tags == {"täg": "Größe", "title": "Größe=1", "x": ""}
    assert sorted(set(found.problems)) == [
        "a comment without a name is left out", "a picture is left out (its base64 is wrong)",
    ]  # fmt: skip


def test_texts_of_pictures_may_be_in_latin_1():
    block = Picture(b"abc", 4, "image/xx", "xx").write().replace(b"image/xx", b"image\xff/x")
    block = block.replace(b"xx", b"\xe4\xfc")
    found = Found()
    found.add_picture(block)
    assert found.metadata.pictures == [Picture(b"abc", 4, "image/x", "äü")]


def test_names_that_comments_cannot_have():
    assert all(map(has_field_name, ("title", "a b", "}", "info_idit")))
    assert not any(map(has_field_name, ("", "a=b", "größe", "a~", "a\n", "metadata_block_picture")))


@pytest.mark.parametrize(
    "data, text",
    [(b"Gr\xc3\xb6\xc3\x9fe", "Größe"), (b"Gr\xf6\xdfe", "Größe"), (b"\x80 \x93", "€ “"), (b"\x81\xe4", "\x81ä")],
)
def test_text_of_other_encodings(data, text):
    assert decoded(data) == text


def test_more_than_a_file_can_hold():
    found = Found()
    found.metadata.tags = {"title": "t", "long": "x" * (1 << 20), "control": "\0" * (1 << 18), "artist": "a"}
    found.metadata.pictures = [Picture(bytes(15 << 20))] * 5 + [Picture(b"")] * 70
    found.metadata.foreign = [Foreign("RIFF", "bext", bytes(5 << 20))] + [Foreign("RIFF", "abcd", b"")] * 300
    metadata = limited(found).metadata
    assert metadata.tags == {"title": "t", "artist": "a"} and len(metadata.pictures) == 4 and not metadata.foreign
    assert found.problems == [
        "the tag control is too long, and left out", "the tag long is too long, and left out",
        "71 pictures are too many, or too large, and left out", "301 chunks are too many, or too large, and left out",
    ]  # fmt: skip
    found = Found()
    found.metadata.pictures, found.metadata.foreign = [Picture(b"")] * 65, [Foreign("RIFF", "abcd", b"")] * 257
    metadata = limited(found).metadata
    assert len(metadata.pictures) == c.MAX_PICTURES and len(metadata.foreign) == c.MAX_FOREIGN


def test_base64_of_pictures_may_have_no_padding():
    picture = Picture(b"", description="xx")
    text = b"METADATA_BLOCK_PICTURE=" + base64.b64encode(picture.write()).rstrip(b"=")
    assert len(picture.write()) % 3
    found = read(b"\0\0\0\0\1\0\0\0" + len(text).to_bytes(4, "little") + text)[0]
    assert found.metadata.pictures == [picture]
