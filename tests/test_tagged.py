"""Tags of MP3 and MP4: what is told without mutagen, and what is read and written with it."""

from __future__ import annotations

import io
import struct
import subprocess

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from metadata_tools import FOREIGN, PICTURES, RATE, TAGS, chunk, decoded, png, source_of, wave

from evc.format.metadata import Metadata, Picture
from evc.sound import ffmpeg, tagged

has_mutagen = pytest.mark.skipif(not tagged.available(), reason="mutagen is not installed")
has_ffmpeg = pytest.mark.skipif(not ffmpeg.available(), reason="ffmpeg is not installed")


def id3(*frames: tuple[bytes, bytes], version: int = 4) -> bytes:
    """An ID3v2 tag."""
    body = b""
    for name, content in frames:
        length = size7(len(content)) if version == 4 else struct.pack(">I", len(content))
        body += name + (length[1:] if version == 2 else length + b"\0\0") + content
    return b"ID3" + bytes([version, 0, 0]) + size7(len(body)) + body


def size7(value: int) -> bytes:
    return bytes(value >> 7 * place & 0x7F for place in (3, 2, 1, 0))


def mp3(tag: bytes) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(20_000), RATE, format="MP3")
    data = file.getvalue()
    return tag + data[data.index(b"\xff\xfb") :]


def box(name: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I4s", len(content) + 8, name) + content


def mp4_tag(*items: bytes) -> bytes:
    return box(b"ftyp", b"M4A ") + box(b"moov", box(b"udta", box(b"meta", bytes(4), box(b"ilst", *items))))


def unread(data: bytes) -> str:
    return tagged.unread(io.BytesIO(data), len(data))


@pytest.mark.parametrize(
    "tag, told",
    [
        (id3((b"TIT2", b"\3a"), (b"TPE1", b"\3b"), (b"TSSE", b"\3LAME")), ""),
        (id3((b"TIT2", b"\3a\0"), (b"TPE1", b"\1\xff\xfeb\0\0\0")), ""),
        (id3((b"TPE1", b"\3a\0b"), (b"APIC", b"\0")), "its ID3 tag has more (APIC, TPE1)"),
        (id3((b"TXXX", b"\3a\0b"), version=3), "its ID3 tag has more (TXXX)"),
        (id3((b"TT2", b"\0a"), (b"PIC", b"\0"), version=2), "its ID3 tag has more (PIC)"),
        (b"ID3", ""),
        (id3((b"TIT2", b"\3a")) + b"x", ""),
        (b"RIFF", ""),
        (mp4_tag(box(b"\xa9nam", box(b"data", b"x"))), ""),
        (mp4_tag(box(b"covr", box(b"data", b"x")), box(b"\xa9ART", box(b"data"), box(b"data"))),
         "its MP4 tag has more (cover, ©ART)"),
    ],
)  # fmt: skip
def test_what_only_mutagen_reads_is_noticed(tag, told):
    assert unread(tag) == told


@given(st.binary(max_size=80), st.sampled_from([b"ID3\2\0\0", b"ID3\3\0\x40", b"ID3\4\0\x40", b"\0\0\0\x0cftypM4A "]))
def test_hostile_bytes(data, start):
    unread(start + data)
    whole = mp4_tag(box(b"covr", box(b"data")))
    at = len(data) % len(whole)
    unread(whole[:at] + data + whole[at:])


def test_without_mutagen_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(tagged, "available", lambda: False)
    (tmp_path / "a.mp3").write_bytes(mp3(id3((b"TIT2", b"\3Title"), (b"TPE2", b"\3Band"))))
    found, notes = source_of(tmp_path / "a.mp3")
    assert found.tags["title"] == "Title" and "albumartist" not in found.tags
    assert notes == ['its ID3 tag has more (TPE2): pip install "evc[tags]" lets evc read it']
    (tmp_path / "b.mp3").write_bytes(mp3(id3((b"TIT2", b"\3Title"))))
    assert source_of(tmp_path / "b.mp3")[1] == []
    (tmp_path / "a.wav").write_bytes(wave(chunk(b"id3 ", id3((b"TPE2", b"\3Band")))))
    found, notes = source_of(tmp_path / "a.wav")
    assert "(TPE2) is kept, but not read" in notes[0] and found.foreign[0].id == "id3 "


def test_without_mutagen_libsndfile_writes_what_it_can(tmp_path, monkeypatch):
    monkeypatch.setattr(tagged, "available", lambda: False)
    told = decoded(Metadata({"title": "a", "artist": ["b", "c"], "lyrics": "d"}), tmp_path / "a.mp3")
    assert told == ["MP3 cannot hold the tag lyrics: left out; it has one value of a tag: those of artist are joined"]
    tags = source_of(tmp_path / "a.mp3")[0].tags
    assert (tags["title"], tags["artist"]) == ("a", "b; c")


@has_mutagen
def test_id3_there_and_back(tmp_path):
    texts = {name: value for name, value in TAGS.items() if name not in ("empty", "lyrics")} | {
        "tracknumber": "3", "tracktotal": "12", "discnumber": "1", "genre": ["A", "B"], "lyrics": "one\ntwo 三",
        "comment": "c", "musicbrainz_albumid": "x", "comment:other": "d", "date": "2001-02-03", "bpm": "120",
    }  # fmt: skip
    told = decoded(Metadata(texts, PICTURES, FOREIGN), tmp_path / "a.mp3")
    assert told == ["MP3 cannot hold the chunks bext, APPL, CUES: left out"]
    found, notes = source_of(tmp_path / "a.mp3")
    assert not notes and found.tags == texts | {"loopstart": "1000", "looplength": "4000"}
    assert [(p.data, p.type, p.mime, p.description) for p in found.pictures] == [
        (p.data, p.type, p.mime, p.description) for p in PICTURES
    ]


@has_mutagen
def test_id3_of_a_wave_file_is_read_and_kept(tmp_path):
    tag = id3((b"TIT2", b"\3other"), (b"TPE2", b"\3Band"), (b"APIC", b"\0image/png\0\3\0" + png()))
    info = chunk(b"LIST", b"INFO" + chunk(b"INAM", b"title"))
    (tmp_path / "a.wav").write_bytes(wave(info + chunk(b"id3 ", tag)))
    found, notes = source_of(tmp_path / "a.wav")
    assert found.tags == {"title": "title", "albumartist": "Band"} and not notes
    assert found.pictures == [Picture.of(png())] and found.foreign[0].data == tag


@has_mutagen
def test_damaged_tags_do_no_harm(tmp_path):
    good = mp3(id3((b"TIT2", b"\3Title"), (b"APIC", b"\0image/png\0\3\0" + png()), (b"PRIV", b"x\0y")))
    (tmp_path / "a.mp3").write_bytes(good)
    found, notes = source_of(tmp_path / "a.mp3")
    assert notes == ["its ID3 frames PRIV are left out"] and found.tags["title"] == "Title"
    (tmp_path / "a.wav").write_bytes(wave(chunk(b"id3 ", b"no tag")))
    assert "its ID3 tag cannot be read" in source_of(tmp_path / "a.wav")[1][0]


@given(st.binary(max_size=60), st.integers(0, 200))
@has_mutagen
def test_hostile_tags(data, at):
    tag = id3((b"TIT2", b"\3Title"), (b"TRCK", b"\0001/2"), (b"APIC", b"\0image/png\0\3\0" + png()), (b"UFID", b"x\0y"))
    at %= len(tag)
    tagged.read_id3(io.BytesIO(tag[:at] + data + tag[at:]), tagged.Found())


@has_mutagen
@has_ffmpeg
def test_mp4(tmp_path):
    from mutagen.mp4 import MP4, MP4Cover

    soundfile.write(tmp_path / "a.wav", np.zeros(20_000), RATE)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-metadata", "title=Größe", tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    file = MP4(tmp_path / "a.m4a")
    file["\xa9ART"], file["trkn"], file["covr"] = ["A", "B"], [(3, 12)], [MP4Cover(png(), MP4Cover.FORMAT_PNG)]
    file["----:com.apple.iTunes:MusicBrainz Album Id"], file["cpil"] = [b"x"], True
    file.save()
    found, notes = source_of(tmp_path / "a.m4a")
    assert not notes and found.pictures == [Picture.of(png())]
    assert {name: value for name, value in found.tags.items() if name != "encoder"} == {
        "title": "Größe", "artist": ["A", "B"], "tracknumber": "3", "tracktotal": "12", "musicbrainz_albumid": "x",
        "compilation": "1",
    }  # fmt: skip


@has_ffmpeg
def test_mp4_without_mutagen(tmp_path, monkeypatch):
    monkeypatch.setattr(tagged, "available", lambda: False)
    soundfile.write(tmp_path / "a.wav", np.zeros(20_000), RATE)
    (tmp_path / "a.png").write_bytes(png(32, 32))
    tags = ("title=Größe", "album_artist=B", "track=3/12", "lyrics=la")
    options = [part for tag in tags for part in ("-metadata", tag)]
    inputs = ["-i", tmp_path / "a.wav", "-i", tmp_path / "a.png", "-map", "0", "-map", "1", "-c:v", "copy"]
    command = ["ffmpeg", "-v", "error", *inputs, "-disposition:v:0", "attached_pic", *options, tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    found, notes = source_of(tmp_path / "a.m4a")
    assert notes == ['its MP4 tag has more (cover): pip install "evc[tags]" lets evc read it']
    expected = {"title": "Größe", "albumartist": "B", "tracknumber": "3", "tracktotal": "12", "lyrics": "la"}
    assert {name: value for name, value in found.tags.items() if name != "encoder"} == expected
