"""Ogg pages: literal bytes, packets cut into pages, and headers that change in place."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from metadata_tools import PICTURES, RATE, TAGS

from evc.format.metadata import Picture
from evc.sound import ogg
from evc.sound.ogg import Page, embed_ogg, ogg_crc, pages, paginated, read_ogg, read_page
from evc.sound.shifting import replace_bytes


def slow_crc(data: bytes) -> int:
    """As section 6 of RFC 3533 says it, bit by bit."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


@given(st.binary(max_size=300))
def test_crc(data):
    assert ogg_crc(data) == slow_crc(data)


def test_literal_bytes():
    page = Page(2, 5, 0x01020304, 6, b"\3", b"abc")
    data = bytes.fromhex("4f676753 00 02 0500000000000000 04030201 06000000 af163d58 01 03 616263")
    assert page.write() == data and slow_crc(data[:22] + bytes(4) + data[26:]) == 0x583D16AF
    assert read_page(io.BytesIO(b"x" + page.write()), 1) == page


packets = st.lists(st.sampled_from([0, 1, 254, 255, 256, 510, 65_024, 65_025, 65_026, 140_000]), min_size=1, max_size=4)


@given(packets, st.integers(0, 9))
def test_packets_come_back_from_pages(sizes, first):
    wanted = [bytes([i]) * size for i, size in enumerate(sizes)]
    made = list(paginated(wanted, 77, first))
    assert [page.sequence for page in made] == list(range(first, first + len(made)))
    whole = ogg._Packets()
    assert [packet for page in made for packet in whole.added(page)] == wanted
    file = io.BytesIO(b"".join(page.write() for page in made))
    assert [page for _, page in pages(file, 0, len(file.getvalue()))] == made
    before = b"\0"
    for page in made:
        assert bool(page.flags & ogg.CONTINUED) == (before[-1] == 255)
        assert page.granule == (0 if min(page.lacing) < 255 else (1 << 64) - 1)
        before = page.lacing


kinds = st.sampled_from([b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   "])


@given(st.binary(max_size=300), st.integers(0, 300), kinds)
def test_hostile_bytes(data, at, kind):
    read_ogg(io.BytesIO(data), 0, len(data))
    first = Page(2, 0, 1, 0, bytes([len(kind)]), kind).write()
    second = Page(0, 0, 1, 1, bytes([255, 9]), b"\x03vorbisOpusTags" + bytes(249)).write()
    whole = first + second
    at %= len(whole)
    file = io.BytesIO(whole[:at] + data[:5] + whole[at:] + data)
    read_ogg(file, 0, len(file.getvalue()))


def test_a_comment_without_an_end(monkeypatch):
    monkeypatch.setattr(ogg, "_MOST_HEADER_BYTES", 1 << 20)
    first = Page(2, 0, 1, 0, b"\x08", b"OpusHead").write()
    body = Page(1, 0, 1, 1, b"\xff" * 255, bytes(65_025)).write()
    file = io.BytesIO(first + body * 40)
    assert read_ogg(file, 0, len(file.getvalue())).problems == ["its comments are too long"]


def encoded(subtype: str, seconds: float = 2.0) -> bytes:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, (int(seconds * RATE), 1)).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, subtype, format="OGG")
    return file.getvalue()


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_headers_grow_and_shrink_and_the_sound_stays(subtype):
    plain = encoded(subtype)
    file = io.BytesIO(plain)
    large = [*PICTURES, Picture(np.random.default_rng(1).bytes(300_000), 3, "image/png")]
    for tags, pictures in ((TAGS, large), ({"title": "t"}, []), (TAGS, large), ({}, [])):
        embed_ogg(file, tags, pictures)
        found = read_ogg(file, 0, len(file.getvalue()))
        assert (found.metadata.tags, found.metadata.pictures, found.problems) == (tags, pictures, [])
        listed = [page for _, page in pages(file, 0, len(file.getvalue()))]
        assert [page.sequence for page in listed] == list(range(len(listed)))
        assert b"".join(page.write() for page in listed) == file.getvalue()  # CRCs
        sound = [(page.granule, page.lacing, page.body) for _, page in pages(io.BytesIO(plain), 0, len(plain))][2:]
        assert [(page.granule, page.lacing, page.body) for page in listed][-len(sound) :] == sound
        file.seek(0)
        audio, _ = soundfile.read(file)
        assert np.array_equal(audio, soundfile.read(io.BytesIO(plain))[0])


def test_what_is_no_stream_of_sound_takes_no_comments():
    for data in (b"", b"OggS", Page(2, 0, 1, 0, b"\x08", b"\x7fFLAC\1\0\0").write()):
        with pytest.raises(ValueError, match="takes no comments"):
            embed_ogg(io.BytesIO(data), {}, [])
    with pytest.raises(ValueError, match="not as it should be"):
        embed_ogg(io.BytesIO(Page(2, 0, 1, 0, b"\x08", b"OpusHead").write()), {}, [])


def test_comments_of_flac_in_ogg_and_of_speex():
    comments = bytes.fromhex("00000000 01000000 07000000") + b"TITLE=t"
    head = b"\x7fFLAC\1\0\0\2fLaC" + b"\0\0\0\x22" + bytes(34)
    picture = PICTURES[0].write()
    blocks = [b"\4" + len(comments).to_bytes(3, "big") + comments, b"\x86" + len(picture).to_bytes(3, "big") + picture]
    for first, others in ((head, blocks), (b"Speex   " + bytes(72), [comments])):
        begin = Page(2, 0, 9, 0, bytes([len(first)]), first).write()
        file = io.BytesIO(begin + b"".join(page.write() for page in paginated(others, 9, 1)))
        found = read_ogg(file, 0, len(file.getvalue()))
        assert found.metadata.tags == {"title": "t"} and not found.problems
        assert found.metadata.pictures == (PICTURES[:1] if len(others) > 1 else [])


def test_the_sound_of_several_streams_is_found():
    video = Page(2, 0, 1, 0, b"\x07", b"\x80theora").write()
    data = encoded("OPUS", 0.1)
    file = io.BytesIO(data)
    embed_ogg(file, TAGS, [])
    found = read_ogg(io.BytesIO(video + file.getvalue()), 0, len(video + file.getvalue()))
    assert found.metadata.tags == TAGS


@pytest.mark.parametrize("old, new", [(10, 3_000_000), (3_000_000, 10), (7, 7), (0, 1), (1, 0)])
def test_bytes_move_within_a_file(old, new, tmp_path):
    random = np.random.default_rng(0)
    before, behind, data = random.bytes(100), random.bytes(2_500_000), random.bytes(new)
    with open(tmp_path / "a", "w+b") as file:
        file.write(before + bytes(old) + behind)
        replace_bytes(file, 100, 100 + old, data)
    assert (tmp_path / "a").read_bytes() == before + data + behind
    with open(tmp_path / "a", "w+b") as file:
        file.write(before)
        replace_bytes(file, 100, 100, data)
    assert (tmp_path / "a").read_bytes() == before + data


def test_many_pages_take_no_time():
    file = io.BytesIO(encoded("VORBIS", 0.5) + Page(0, 0, 3, 0, b"", b"").write() * 20_000)
    begun = time.process_time()
    read_ogg(file, 0, len(file.getvalue()))
    assert time.process_time() - begun < 2
