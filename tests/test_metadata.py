"""Pictures, foreign chunks and loops in .evc files: their bytes, limits and damage, and who hands them on."""

from __future__ import annotations

import io
import json
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata_tools import FOREIGN, FRAMES, PICTURES, TAGS, png, silent, smpl

import evc
from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.errors import DamagedError, FormatError, InputError
from evc.format.images import image_facts
from evc.format.metadata import Foreign, Metadata, Picture, check_amount
from evc.format.reader import ContainerReader
from evc.format.rewriting import rewrite
from evc.format.tags import folded
from evc.loops import Cue, Loop, cues_of, loops_of, part_of, smpl_chunk

ALL = Metadata(TAGS, PICTURES, FOREIGN)


def opened(data: bytes, salvage: bool = False) -> ContainerReader:
    return ContainerReader(io.BytesIO(data), salvage)


def rewritten(data: bytes, **changes: object) -> bytes:
    target = io.BytesIO()
    rewrite(io.BytesIO(data), target, **changes)  # type: ignore[arg-type]
    return target.getvalue()


# --- Bytes -------------------------------------------------------------------------------------------


def test_literal_bytes_of_a_picture():
    payload = bytes.fromhex(
        "00000003 00000009 696d6167652f706e67 00000002 c3a4 00000001 00000002 00000018 00000000 00000003 010203"
    )
    picture = Picture(b"\1\2\3", 3, "image/png", "ä", 1, 2, 24)
    assert picture.write() == payload and Picture.read(payload) == picture
    assert chunk_bytes(b"PICT", payload) in silent(Metadata(pictures=[picture]))
    assert chunk_bytes(b"PICT", payload) == bytes.fromhex("50494354002e000000") + payload + bytes.fromhex("1c1d8515")


def test_literal_bytes_of_a_foreign_chunk():
    foreign = Foreign("RIFF", "iXML", b"<a/>")
    expected = bytes.fromhex("4652474e 00 0c000000 52494646 69584d4c 3c612f3e a0bb3bcd")
    assert chunk_bytes(b"FRGN", b"RIFFiXML<a/>") == expected and expected in silent(Metadata(foreign=[foreign]))
    assert foreign.write() == b"RIFFiXML<a/>" and Foreign.read(foreign.write()) == foreign


def test_the_specification_states_the_limits():
    from test_spec import WORDS

    for what, number in (("payload of a PICT", c.MAX_PICTURE_BYTES), ("payload of a FRGN", c.MAX_FOREIGN_BYTES + 8)):
        assert f"| {what} | {number:,} bytes |".replace(",", " ") in WORDS
    for type, what, most in (("PICT", "picture (3.5)", c.MAX_PICTURES), ("FRGN", "foreign chunk (3.6)", c.MAX_FOREIGN)):
        assert f"| `{type}` | {what} | no | 0 to {most} |" in WORDS
    assert f"PICT and FRGN chunks together | {c.MAX_METADATA_BYTES >> 20} MiB |" in WORDS


texts = st.text(st.characters(codec="utf-8"), max_size=20)
pictures = st.builds(
    Picture, st.binary(max_size=60), st.integers(0, (1 << 32) - 1), st.from_regex("[ -~]{0,12}", fullmatch=True), texts,
    *[st.integers(0, (1 << 32) - 1)] * 4,
)  # fmt: skip
names = st.from_regex("[ -~]{4}", fullmatch=True)
foreigns = st.builds(Foreign, names, names, st.binary(max_size=80))


@given(pictures, foreigns)
def test_what_is_written_is_read(picture, foreign):
    assert Picture.read(picture.write()) == picture and Foreign.read(foreign.write()) == foreign
    json.dumps([picture.as_dict(), foreign.as_dict()])


@pytest.mark.parametrize("kind", [Picture, Foreign])
def test_any_bytes_are_a_picture_or_an_error(kind):
    came, right = Counter(), {Picture: PICTURES[0], Foreign: FOREIGN[0]}[kind].write()

    @given(st.binary(max_size=200), st.integers(0, len(right) - 1), st.integers(0, 255))
    def read(data, place, byte):
        for payload in (data, right[:place] + bytes([byte]) + right[place + 1 :]):
            try:
                found = kind.read(payload)
            except FormatError:
                came["refused"] += 1
            else:
                assert found.write() == payload
                came["read"] += 1

    read()
    assert came["read"] > 5 and came["refused"] > 5


@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF"]), st.binary(max_size=60))
def test_any_image_is_looked_at(start, rest):
    image_facts(start + rest)


def test_sizes_of_images():
    jpeg = bytes.fromhex("ffd8 ffe0 0004 0000 ffc2 000b 08 0014 001e 03 01")
    assert image_facts(jpeg) == ("image/jpeg", 30, 20, 24) and image_facts(png(5, 7)) == ("image/png", 5, 7, 24)
    assert image_facts(b"GIF89a\x02\0\x03\0\xf7") == ("image/gif", 2, 3, 8)
    assert image_facts(b"RIFF\0\0\0\0WEBP") == ("image/webp", 0, 0, 0) and image_facts(b"<svg/>") is None
    bmp = b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 4, -5, 1, 24)
    assert image_facts(bmp) == ("image/bmp", 4, 5, 24)
    with pytest.raises(InputError, match="not a picture"):
        Picture.of(b"text")


# --- Files -------------------------------------------------------------------------------------------


def test_a_file_holds_all_of_it():
    reader = opened(silent(ALL))
    assert (reader.tags, reader.pictures, reader.foreign) == (TAGS, PICTURES, FOREIGN)
    assert [place.type for place in reader.chunks][:9] == [b"HEAD", b"TAGS", *[b"PICT"] * 2, *[b"FRGN"] * 4, b"SEGM"]
    reader.verify()


@pytest.mark.parametrize(
    "type, payload, message",
    [
        (b"PICT", b"\0\0\0\3", "too short"),
        (b"PICT", PICTURES[0].write() + b"\0", "too many"),
        (b"PICT", Picture(b"", 3, "a").write().replace(b"a", b"\n"), "not printable"),
        (b"PICT", Picture(b"", 3, "", "a").write().replace(b"a", b"\xff"), "not valid"),
        (b"FRGN", b"RIFFbex", "too short"),
        (b"FRGN", b"RIFFbe\nt", "not four printable"),
    ],
)
def test_malformed_chunks(type, payload, message):
    data = silent(Metadata({"title": "kept"}))
    at = data.index(b"SEGM")
    data = rewritten(data, tags={"title": "kept"})
    whole = rebuilt(data[:at] + chunk_bytes(type, payload) + data[at:])
    reader = opened(whole)  # what is not asked for does no harm
    with pytest.raises(FormatError, match=message):
        reader.pictures, reader.foreign  # noqa: B018
    with pytest.raises(FormatError, match=message):
        reader.verify()
    salvaged = opened(whole, salvage=True)
    assert salvaged.pictures == salvaged.foreign == [] and salvaged.damage and not salvaged.lost
    assert salvaged.tags == {"title": "kept"}


def rebuilt(data: bytes) -> bytes:
    """A file with its index left out and its end marker made anew."""
    from evc.format.index import End

    data = data[: data.index(b"INDX")]
    return data + chunk_bytes(b"END ", End(data.count(b"SEGM"), len(data) + 33, 0).write())


def test_damaged_pictures_leave_the_rest(tmp_path):
    data = bytearray(silent(ALL))
    data[data.index(b"no picture")] ^= 1
    reader = opened(bytes(data))
    with pytest.raises(DamagedError, match="PICT chunk at byte"):
        reader.pictures  # noqa: B018
    with evc.open(io.BytesIO(bytes(data)), salvage=True) as file:
        assert file.pictures == PICTURES[:1] and file.foreign == FOREIGN and not file.damage
    found = evc.info(io.BytesIO(bytes(data)), salvage=True)
    assert len(found.pictures) == 1 and found.frames == FRAMES


def test_too_many_too_large_or_too_late():
    small = Picture(b"")
    with pytest.raises(InputError, match="65 pictures; 64 are allowed"):
        silent(Metadata(pictures=[small] * 65))
    with pytest.raises(InputError, match="257 foreign chunks; 256 are allowed"):
        silent(Metadata(foreign=[Foreign("RIFF", "bext", b"")] * 257))
    with pytest.raises(InputError, match="over the limit"):
        Picture(bytes(1 << 24))
    large = Foreign("RIFF", "data", bytes(c.MAX_FOREIGN_BYTES))
    with pytest.raises(InputError, match="67108"):
        check_amount([], [large] * 5)
    data = silent(Metadata(pictures=[small]))
    one = chunk_bytes(b"PICT", small.write())
    with pytest.raises(FormatError, match="more PICT chunks than are allowed"):
        opened(rebuilt(data.replace(one, one * 65)))
    with pytest.raises(FormatError, match="out of place"):
        opened(rebuilt(data.replace(one, b"").replace(b"INDX", one + b"INDX")))
    header = struct.pack("<4sBI", b"FRGN", 0, c.MAX_FOREIGN_BYTES + 9)
    with pytest.raises(DamagedError, match="cut short"):  # nothing is allocated for what is not there
        opened(data[: data.index(b"PICT")] + header)


def test_editors_keep_what_they_do_not_change():
    data = silent(ALL)
    assert rewritten(data) == data
    reader = opened(rewritten(data, tags={"title": "New"}))
    assert (reader.tags, reader.pictures, reader.foreign) == ({"title": "New"}, PICTURES, FOREIGN)
    reader = opened(rewritten(data, pictures=PICTURES[1:]))
    assert (reader.tags, reader.pictures, reader.foreign) == (TAGS, PICTURES[1:], FOREIGN)
    reader = opened(rewritten(data, pictures=[], foreign=[]))
    assert (reader.tags, reader.pictures, reader.foreign) == (TAGS, [], [])
    assert rewritten(rewritten(data, tags={}, pictures=[], foreign=[]), tags=TAGS, pictures=PICTURES,
                     foreign=FOREIGN) == data  # fmt: skip


def test_edited_events_leave_it_alone(tmp_path):
    (tmp_path / "a.evc").write_bytes(silent(ALL))
    with evc.open(tmp_path / "a.evc") as file:
        evc.write_events(tmp_path / "b.evc", file.events, file)
    with evc.open(tmp_path / "b.evc") as file:
        assert (file.tags, file.pictures, file.foreign) == (TAGS, PICTURES, FOREIGN)


def test_arrays_are_encoded_with_it():
    data = evc.encode(np.zeros(100), 8000, tags={"artist": ["A", "B"]}, pictures=PICTURES, foreign=FOREIGN)
    with evc.open(io.BytesIO(data)) as file:
        assert file.tags["artist"] == ["A", "B"] and file.pictures == PICTURES and file.foreign == FOREIGN
        assert file.stats(symbols=False).overhead["pictures"] == 8 * sum(13 + len(p.write()) for p in PICTURES)


def test_pictures_come_on_top_of_a_bitrate(track):
    audio = track[:12_000, 0]
    plain = evc.encode(audio, 16_000, bitrate=32, patterns="off")
    data = evc.encode(audio, 16_000, bitrate=32, patterns="off", pictures=[Picture(bytes(5000))])
    assert 0 <= len(data) - (len(plain) + 5000 + 32 + 13) <= 2  # the index counts from the start of the file
    assert evc.info(io.BytesIO(data)).kbps == pytest.approx(evc.info(io.BytesIO(plain)).kbps, rel=1e-3)
    noise = np.random.default_rng(0).integers(32, 127, 4000).astype(np.uint8).tobytes().decode()
    long = evc.encode(audio, 16_000, bitrate=32, patterns="off", tags={"lyrics": noise})
    assert len(long) > len(plain) + 2000  # the sound gives up no more than a part of its bits for them


def test_the_encoder_of_the_source_stays_behind_ours():
    data = evc.encode(np.zeros(100), 8000, tags={"encoder": ["evc 0.0.1, quality 5", "Lavf"]})
    values = evc.info(io.BytesIO(data)).tags["encoder"]
    assert len(values) == 2 and values[0].startswith(f"evc {evc.__version__}") and values[1] == "Lavf"


# --- Loops -------------------------------------------------------------------------------------------


def test_loops_of_smpl_are_exact():
    rows = smpl((0, 1000, 4999, 0), (1, 10, 10, 3), (2, 0, FRAMES, 0), (7, FRAMES, FRAMES + 5, 0))
    with evc.open(io.BytesIO(silent(Metadata(foreign=[Foreign("RIFF", "smpl", rows)])))) as file:
        assert file.loops.dtype.names == ("start", "frames", "kind", "plays")
        assert file.loops.tolist() == [
            (1000, 4000, "forward", 0), (10, 1, "alternating", 3), (0, FRAMES, "backward", 0),
        ]  # fmt: skip
    assert evc.info(io.BytesIO(silent())).loops == ()


@pytest.mark.parametrize(
    "tags, expected",
    [
        ({"loopstart": "1000", "looplength": "20"}, [Loop(1000, 20)]),
        ({"loopstart": " 7 "}, [Loop(7, FRAMES - 7)]),
        ({"loopstart": ["1", "2"], "looplength": ["3"]}, [Loop(1, 3)]),
        ({"loopstart": "9999", "looplength": "20"}, []),
        ({"loopstart": "-1"}, []),
        ({"loopstart": "1", "looplength": "x"}, []),
        ({"loopstart": "9" * 400}, []),
        ({"looplength": "3"}, []),
        ({"loopstart": []}, []),
    ],
)
def test_loops_of_tags(tags, expected):
    assert loops_of(tags, [], FRAMES) == expected


def test_tags_go_before_smpl():
    chunks = [smpl_chunk([Loop(1, 2), Loop(3, 4)], 8000)]
    assert loops_of({"loopstart": "1", "looplength": "2"}, chunks, 100) == [Loop(1, 2), Loop(3, 4)]
    assert loops_of({"loopstart": "5", "looplength": "2"}, chunks, 100) == [Loop(5, 2)]


@given(st.binary(max_size=120), st.sampled_from(["smpl", "cue ", "LIST", "bext"]), st.sampled_from(["RIFF", "RIFX"]))
def test_any_chunk_is_looked_at_and_cut(data, name, origin):
    metadata = Metadata({}, [], [Foreign(origin, name, b"adtl" + data if name == "LIST" else data)])
    for loop in loops_of({}, metadata.foreign, 1000):
        assert loop.frames > 0 and 0 <= loop.start < loop.start + loop.frames <= 1000
    cues_of(metadata.foreign, 1000)
    part, _ = part_of(metadata, 10, 100, 1000)
    assert all(loop.start + loop.frames <= 100 for loop in loops_of({}, part.foreign, 100))


def cue_chunks(*points: tuple[int, int, str, int]) -> list[Foreign]:
    """Cue points: name, frame, label, frames."""
    rows = b"".join(struct.pack("<II4sIII", n, at, b"data", 0, 0, at) for n, at, _, _ in points)
    listed = b"adtl"
    for number, _, label, frames in points:
        text = label.encode("latin-1") + b"\0"
        listed += struct.pack("<4sII", b"labl", 4 + len(text), number) + text + b"\0" * (len(text) % 2)
        listed += struct.pack("<4sIII4s8x", b"ltxt", 20, number, frames, b"rgn ")
    return [Foreign("RIFF", "cue ", struct.pack("<I", len(points)) + rows), Foreign("RIFF", "LIST", listed)]


def test_cue_points_have_labels_and_lengths():
    chunks = cue_chunks((1, 500, "zwei", 0), (2, 100, "größe", 50))
    assert cues_of(chunks, 1000) == [Cue(100, 50, "größe"), Cue(500, 0, "zwei")]
    with evc.open(io.BytesIO(silent(Metadata(foreign=chunks)))) as file:
        assert file.cues.tolist() == [(100, 50, "größe"), (500, 0, "zwei")]
    assert evc.open(io.BytesIO(silent())).cues.tolist() == []


def test_a_part_has_its_own_loops_and_cue_points():
    chunks = [*FOREIGN, *cue_chunks((1, 500, "out", 0), (2, 1500, "in", 0))]
    part, lost = part_of(Metadata({"title": "t"}, PICTURES, chunks), 1000, 4000, FRAMES)
    assert loops_of(part.tags, part.foreign, 4000) == [Loop(0, 4000)] and lost == ["CUES"]
    assert cues_of(part.foreign, 4000) == [Cue(500, 0, "in")] and part.pictures == PICTURES
    bext = next(chunk for chunk in part.foreign if chunk.id == "bext")
    assert struct.unpack("<Q", bext.data[338:346]) == (2000,)
    part, lost = part_of(Metadata({}, [], FOREIGN[:2]), 1001, 4000, FRAMES)
    assert loops_of({}, part.foreign, 4000) == [] and lost == ["1 of 1 loops"]
    looped = Metadata({"loopstart": "100", "looplength": "50", "title": "t"})
    assert part_of(looped, 40, 110, FRAMES)[0].tags == {"title": "t", "loopstart": "60", "looplength": "50"}
    assert part_of(looped, 40, 109, FRAMES) == (Metadata({"title": "t"}), ["1 of 1 loops"])
    assert part_of(looped, 0, FRAMES, FRAMES) == (looped, [])


def test_capitals_make_no_difference_in_names():
    data = evc.encode(np.zeros(5000, np.float32), 44100, tags={"LOOPSTART": "100", "LoopLength": "200", "ARTIST": "A"})
    with evc.open(io.BytesIO(data)) as f:
        assert f.loops.tolist() == [(100, 200, "forward", 0)]
        tags = part_of(Metadata(f.tags), 50, 1000, 5000)[0].tags
    del tags["encoder"]
    assert tags == {"artist": "A", "loopstart": "50", "looplength": "200"}
    assert folded({"ARTIST": "A", "artist": ["B", "C"], "Title": "T"}) == {"artist": ["A", "B", "C"], "title": "T"}
