"""Chunks of WAV, RF64 and AIFF files beside their sound: LIST INFO in any encoding, foreign chunks, sizes."""

from __future__ import annotations

import io
import struct
import time

import numpy as np
import pytest
import soundfile
from hypothesis import example, given
from hypothesis import strategies as st
from metadata_tools import FOREIGN, RATE, chunk, wave

from evc.format import constants as c
from evc.format.metadata import Foreign
from evc.sound.comments import Found
from evc.sound.metadata import read_metadata
from evc.sound.riff import aiff_name, embed_aiff, embed_wave, info_name, read_aiff, read_wave


def read(data: bytes):
    return read_wave(io.BytesIO(data), len(data))


def sound(format: str, subtype: str = "PCM_16", frames: int = 101) -> io.BytesIO:
    """A file of libsndfile, odd in length where that can be."""
    file = io.BytesIO()
    soundfile.write(file, np.arange(frames) / 200, RATE, subtype, format=format)
    return file


def info(*entries: tuple[bytes, bytes], order: str = "<") -> bytes:
    return chunk(b"LIST", b"INFO" + b"".join(chunk(name, text, order) for name, text in entries), order)


def test_info_is_read_in_any_encoding():
    found = read(wave(info((b"INAM", b"Gr\xf6\xdfe\0"), (b"IART", "Größe".encode() + b"\0junk"), (b"ICMT", b"\x80"))))
    assert found.metadata.tags == {"title": "Größe", "artist": "Größe", "comment": "€"} and not found.problems


def test_names_of_info():
    entries = [(b"ITRK", b"7"), (b"IPRT", b"7"), (b"IPRT", b"8"), (b"IDIT", b"now"), (b"iart", b"A"), (b"IGNR", b"\0")]
    found = read(wave(info(*entries, (b"ISFT", b"x (libsndfile-1.2.2)"))))
    assert found.metadata.tags == {"tracknumber": ["7", "8"], "info_idit": "now", "artist": "A", "encoder": "x"}
    assert (info_name("tracknumber"), info_name("info_idit"), info_name("lyrics")) == ("ITRK", "IDIT", None)
    assert (aiff_name("title"), aiff_name("lyrics")) == ("NAME", None)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9)
chunks = st.lists(
    st.builds(Foreign, st.just("RIFF"), st.sampled_from(["bext", "cue ", "smpl", "iXML", "id3x"]),
              st.binary(max_size=30)), max_size=3,
)  # fmt: skip
tags = st.dictionaries(st.sampled_from(["title", "artist", "comment", "date", "info_abcd"]), texts, max_size=3)


@given(tags, chunks, st.sampled_from([("WAV", "PCM_U8"), ("WAV", "FLOAT"), ("WAVEX", "PCM_16"), ("RF64", "PCM_U8")]))
def test_what_is_written_is_read(tags, chunks, kind):
    file = sound(*kind)
    before = soundfile.read(io.BytesIO(file.getvalue()))[0]
    embed_wave(file, tags, chunks)
    data = file.getvalue()
    found = read(data)
    assert (found.metadata.tags, found.metadata.foreign, found.problems) == (tags, chunks, [])
    assert np.array_equal(soundfile.read(io.BytesIO(data))[0], before)
    declared = data[20:28] if kind[0] == "RF64" else data[4:8]
    if tags or chunks:
        assert int.from_bytes(declared, "little") == len(data) - 8


aiff_tags = st.dictionaries(st.sampled_from(["title", "artist", "copyright"]), texts, max_size=3)


@given(aiff_tags, st.lists(texts, max_size=3))
def test_aiff(tags, comments):
    file = sound("AIFF", "PCM_16")
    every = tags | ({"comment": comments} if comments else {})
    foreign = [Foreign("AIFF", "MARK", b"\0\0"), Foreign("AIFF", "ABCD", b"odd")]
    embed_aiff(file, every, foreign)
    data = file.getvalue()
    found = read_aiff(file, len(data))
    expected = tags | ({"comment": comments if len(comments) > 1 else comments[0]} if comments else {})
    assert (found.metadata.tags, found.metadata.foreign, found.problems) == (expected, foreign, [])
    assert int.from_bytes(data[4:8], "big") == len(data) - 8
    assert len(soundfile.read(io.BytesIO(data))[0]) == 101


def test_aiff_text_of_a_macintosh():
    file = sound("AIFF")
    file.seek(0, 2)
    file.write(chunk(b"NAME", b"Gr\x9a\xa7e", ">"))
    assert read_aiff(file, len(file.getvalue())).metadata.tags == {"title": "Größe"}


def test_what_describes_the_samples_is_not_kept():
    extra = b"".join(chunk(name, b"1234") for name in (b"fact", b"PEAK", b"JUNK", b"bext", b"LIST"))
    found = read(wave(extra))
    assert [each.name for each in found.metadata.foreign] == ["bext", "LIST 1234"]


def test_big_endian_files():
    form = struct.pack(">HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form, ">") + info((b"INAM", b"t"), order=">") + chunk(b"smpl", bytes(36), ">")
    data = b"RIFX" + struct.pack(">I", len(body)) + body
    found = read(data)
    assert found.metadata.tags == {"title": "t"} and found.metadata.foreign == [Foreign("RIFX", "smpl", bytes(36))]


def test_chunks_behind_sound_of_more_than_32_bits():
    file = sound("RF64")
    assert file.getvalue()[:4] == b"RF64" and file.getvalue()[12:16] == b"ds64"
    embed_wave(file, {}, FOREIGN[:1])
    assert read(file.getvalue()).metadata.foreign == FOREIGN[:1]


@given(st.binary(max_size=150), st.integers(0, 400))
def test_hostile_bytes(data, at):
    whole = wave(info((b"INAM", b"t"), (b"IART", b"u")) + chunk(b"smpl", bytes(60)) + data)
    at %= len(whole)
    for read_it in (read_wave, read_aiff):
        for hostile in (data, whole, whole[:at] + data[:4] + whole[at + 4 :], b"FORM0000AIFF" + data):
            read_it(io.BytesIO(hostile), len(hostile))


def test_what_is_declared_is_not_allocated():
    found = read(wave(b"bext" + struct.pack("<I", 0xFFFFFFF0) + b"abc"))
    assert found.problems == ["the chunk bext goes on past the end, and is left out"]
    short = chunk(b"LIST", b"INFOIART" + struct.pack("<I", 1 << 31) + b"ab" * 4)
    found = read(wave(info((b"INAM", b"t")) + short))
    assert found.metadata.tags == {"title": "t"} and "LIST INFO is malformed" in found.problems[0]
    large = wave(chunk(b"bext", bytes(c.MAX_FOREIGN_BYTES + 1)))
    assert "is too large" in read(large).problems[0]
    assert len(read(wave(chunk(b"abcd", b"") * 10_000)).metadata.foreign) < 5000


def test_wave64():
    file = sound("W64")
    content = FOREIGN[0].data
    file.seek(0, 2)
    file.write(bytes(-file.tell() % 8))
    for name, content in ((b"bext", FOREIGN[0].data), (b"LIST", b"INFO" + chunk(b"INAM", b"t")), (b"odd!", b"")):
        tail = bytes.fromhex("f3acd3118cd100c04f8edb8a") if name != b"odd!" else bytes(12)
        file.write(name + tail + struct.pack("<Q", 24 + len(content)) + content + bytes(-len(content) % 8))
    found = read_metadata(file, file.tell(), {"artist": "A"})
    assert found.metadata.tags == {"artist": "A", "title": "t"} and found.metadata.foreign == FOREIGN[:1]
    assert not found.problems


@given(st.binary(max_size=100))
@example(b"abcd" + bytes(12) + b"\xff" * 8)
def test_hostile_wave64(data):
    file = io.BytesIO(sound("W64", frames=0).getvalue() + data)
    read_metadata(file, len(file.getvalue()), {})


def test_many_entries_take_no_time():
    entries = b"".join(chunk(b"ICMT", b"%08d" % number) for number in range(200_000))
    begun = time.process_time()
    found = read(wave(chunk(b"LIST", b"INFO" + entries)))
    assert len(found.metadata.tags["comment"]) == 4096 and time.process_time() - begun < 3


def test_no_more_is_read_than_a_file_can_hold(monkeypatch):
    monkeypatch.setattr("evc.sound.riff.Found", lambda: Found(left=1000))
    found = read(wave(chunk(b"bext", bytes(600)) + chunk(b"iXML", bytes(600)) + chunk(b"cue ", bytes(300))))
    assert [part.id for part in found.metadata.foreign] == ["bext", "cue "]
    assert found.problems == ["the chunk iXML of 600 bytes is too large, and left out"]


def test_files_without_room():
    file = sound("WAV")

    class Huge(io.BytesIO):
        def seek(self, offset: int, whence: int = 0) -> int:
            return super().seek(offset, whence) + ((1 << 32) - 100 if whence == 2 else 0)

    with pytest.raises(ValueError, match="too large for its format"):
        embed_wave(Huge(file.getvalue()), {"title": "t"}, [])
    broken = io.BytesIO(b"RF64" + file.getvalue()[4:])
    with pytest.raises(ValueError, match="no ds64"):
        embed_wave(broken, {"title": "t"}, [])
