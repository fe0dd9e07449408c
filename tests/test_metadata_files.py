"""Metadata from sound files into .evc files and back, as other programs see it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import warnings

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from metadata_tools import FOREIGN, FRAMES, PICTURES, RATE, TAGS, chunk, decoded, png, silent, smpl, source_of, wave
from sound_tools import CASES, needs_cases

import evc
from evc.format.errors import EvcWarning
from evc.format.metadata import Foreign, Metadata, Picture
from evc.sound.flac import embed_flac, hidden_metadata, is_cuesheet, read_flac

ALL = Metadata(TAGS, PICTURES, FOREIGN)
LOOPED = TAGS | {"loopstart": "1000", "looplength": "4000"}


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def output(*command: object) -> str:
    run = subprocess.run([str(part) for part in command], capture_output=True, check=True, timeout=60)
    return run.stdout.decode()


@pytest.mark.parametrize("name, subtype", [("a.flac", None), ("a.ogg", "VORBIS"), ("a.ogg", "OPUS")])
def test_comments_hold_all_tags_and_pictures(tmp_path, name, subtype):
    path = tmp_path / name
    told = decoded(ALL, path, subtype)
    chunks = "bext" if name == "a.flac" else "bext, APPL, CUES"
    assert told == [f"{name[2:].upper()} cannot hold the chunk{'s' * (',' in chunks)} {chunks}: left out"]
    found, notes = source_of(path)
    assert found.tags == LOOPED and found.pictures == PICTURES and not notes
    assert found.foreign == (FOREIGN[2:] if name == "a.flac" else [])
    evc.encode_file(path, tmp_path / "b.evc", patterns="off")
    with evc.open(tmp_path / "b.evc") as file:
        assert {name: value for name, value in file.tags.items() if name != "encoder"} == LOOPED
        assert file.pictures == PICTURES and file.loops.tolist() == [(1000, 4000, "forward", 0)]


@pytest.mark.parametrize("suffix", ["wav", "rf64"])
def test_wave_files_hold_chunks_and_some_tags(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    told = decoded(ALL, path)
    left = "the tags albumartist, replaygain_track_gain, musicbrainz_trackid, lyrics, empty, 2 pictures"
    assert told == [
        f"{suffix.upper()} cannot hold {left} and the chunks APPL, CUES: left out; "
        "it has one value of a tag: those of artist are joined"
    ]
    found, notes = source_of(path)
    assert found.tags == {"title": "Größe", "artist": "A; B; C"} and found.foreign == FOREIGN[:2] and not notes


def test_loops_become_chunks_and_tags(tmp_path):
    assert decoded(Metadata({"loopstart": "1000", "looplength": "4000"}), tmp_path / "a.wav") == []
    found, _ = source_of(tmp_path / "a.wav")
    assert [part.id for part in found.foreign] == ["smpl"] and not found.tags
    evc.encode_file(tmp_path / "a.wav", tmp_path / "a.evc")
    with evc.open(tmp_path / "a.evc") as file:
        assert file.loops.tolist() == [(1000, 4000, "forward", 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.flac")
    assert source_of(tmp_path / "a.flac")[0].tags == {"loopstart": "1000", "looplength": "4000"}
    evc.encode_file(tmp_path / "a.flac", tmp_path / "b.evc")
    evc.decode_file(tmp_path / "b.evc", tmp_path / "b.wav")
    assert source_of(tmp_path / "b.wav")[0].foreign == found.foreign


def test_more_than_tags_can_tell_of_a_loop_is_told(tmp_path):
    two = Metadata(foreign=[Foreign("RIFF", "smpl", smpl((0, 1, 9, 0), (0, 20, 29, 0)))])
    once = Metadata(foreign=[Foreign("RIFF", "smpl", smpl((1, 1, 9, 2)))])
    note = Metadata(foreign=[Foreign("RIFF", "smpl", smpl((0, 1, 9, 0), note=64))])
    more = Metadata(foreign=[Foreign("RIFF", "smpl", smpl((0, 1, 9, 0), extra=b"abcd"))])
    for metadata in (two, once, note, more):
        assert decoded(metadata, tmp_path / "a.flac") == [
            "FLAC cannot hold the chunk smpl but for its first loop: left out"
        ]


def test_a_tag_that_is_no_loop_gives_way_to_one(tmp_path):
    chunks = [Foreign("RIFF", "smpl", smpl((0, 1, 9, 0)))]
    assert decoded(Metadata({"loopstart": "soon"}, [], chunks), tmp_path / "a.flac") == []
    assert source_of(tmp_path / "a.flac")[0].tags == {"loopstart": "1", "looplength": "9"}


def test_changed_loops_go_into_the_chunk_that_was_there(tmp_path):
    chunks = [Foreign("RIFF", "smpl", smpl((0, 1, 9, 0), note=64))]
    assert decoded(Metadata({"loopstart": "5", "looplength": "10"}, [], chunks), tmp_path / "a.wav") == []
    data = source_of(tmp_path / "a.wav")[0].foreign[0].data
    assert data == smpl((0, 5, 14, 0), note=64)[:36] + bytes(8) + smpl((0, 5, 14, 0))[44:]


def test_a_part_says_what_it_leaves_out(tmp_path):
    told = decoded(ALL, tmp_path / "a.flac", start=0.05, duration=0.1)
    assert told[0] == "the part leaves out 1 of 1 loops, CUES" and len(told) == 2
    assert "loopstart" not in source_of(tmp_path / "a.flac")[0].tags
    decoded(ALL, tmp_path / "b.wav", start=900 / RATE)
    with evc.open(io.BytesIO(encoded(tmp_path / "b.wav"))) as file:
        assert file.loops.tolist() == [(100, 4000, "forward", 0)]


def encoded(path) -> bytes:
    target = io.BytesIO()
    evc.encode_file(path, target)
    return target.getvalue()


def test_salvage_says_which_metadata_is_lost(tmp_path):
    data = bytearray(silent(Metadata(TAGS, PICTURES)))
    data[data.index(b"no picture")] ^= 1
    with pytest.warns(EvcWarning, match="^damaged and left out: PICT$"):
        evc.decode_file(io.BytesIO(bytes(data)), tmp_path / "a.flac", salvage=True)
    assert source_of(tmp_path / "a.flac")[0] == Metadata(TAGS, PICTURES[:1])


@pytest.mark.parametrize("suffix", ["aiff", "caf", "au"])
def test_other_formats_say_what_they_cannot_hold(tmp_path, suffix):
    told = decoded(ALL, tmp_path / f"a.{suffix}")
    assert len(told) == 1 and told[0].startswith(f"{suffix.upper()} cannot hold the tag")
    assert "2 pictures and the chunks bext, smpl, APPL, CUES: left out" in told[0]
    known = {"title": "Größe", "artist": "A; B; C"} if suffix != "au" else {}
    assert ("title" not in told[0]) == bool(known) and source_of(tmp_path / f"a.{suffix}")[0].tags == known


def test_aiff_keeps_its_own_chunks(tmp_path):
    chunks = [Foreign("AIFF", "MARK", b"\0\0"), Foreign("AIFF", "INST", bytes(20))]
    metadata = Metadata({"title": "t", "comment": ["a", "b"]}, [], chunks)
    assert decoded(metadata, tmp_path / "a.aiff") == []
    assert source_of(tmp_path / "a.aiff")[0] == metadata


def test_nothing_to_say_where_there_is_nothing(tmp_path):
    for suffix in ("wav", "flac", "ogg", "aiff", "au", "caf"):
        assert decoded(Metadata({"encoder": "evc 0.1.0, quality 6"}), tmp_path / f"a.{suffix}") == []
        found, notes = source_of(tmp_path / f"a.{suffix}")
        assert (found, notes) == (Metadata(), [])


def test_headers_of_flac_grow_and_shrink(tmp_path):
    path = tmp_path / "a.flac"
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000)
    soundfile.write(path, audio, RATE)
    before = soundfile.read(path)[0]
    large = [Picture(bytes(3_000_000), 3, "image/png"), *PICTURES]
    for tags, pictures, foreign in ((TAGS, large, FOREIGN[2:]), ({}, [], []), (TAGS, PICTURES, [])):
        with open(path, "r+b") as file:
            embed_flac(file, tags, pictures, foreign)
            found = read_flac(file, 0, path.stat().st_size)
        assert found.metadata == Metadata(tags, pictures, foreign) and not found.problems
        assert np.array_equal(soundfile.read(path)[0], before)


def test_malformed_blocks_are_passed_over(tmp_path):
    path = tmp_path / "a.flac"
    decoded(ALL, path)
    data = bytearray(path.read_bytes())
    at = data.index(b"TITLE=")
    data[at - 4 : at] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    found, notes = source_of(path)
    assert notes == ["its comments are malformed: those from the first bad one on are left out"]
    assert found.pictures == PICTURES
    at = data.index(b"image/png") - 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    found, notes = source_of(path)
    assert found.pictures == PICTURES[1:] and "a picture is left out" in notes[0]


@given(st.binary(max_size=60), st.integers(0, 2000), st.sampled_from([2, 4, 5, 6]))
def test_hostile_blocks(data, at, type):
    blocks = ((4, b"\0" * 8), (6, PICTURES[0].write()), (5, FOREIGN[3].data), (type, data))
    whole = b"fLaC" + b"".join(bytes([kind]) + len(block).to_bytes(3, "big") + block for kind, block in blocks)
    at %= len(whole)
    for hostile in (whole, whole[:at] + data, whole[:at] + data + whole[at:]):
        file = io.BytesIO(hostile)
        read_flac(file, 0, len(hostile))
        list(hidden_metadata(file, len(hostile)))
    assert is_cuesheet(FOREIGN[3].data) and not is_cuesheet(data)


def test_chunks_of_files_with_broken_lengths(tmp_path):
    data = bytearray(wave(chunk(b"bext", b"abc"), frames=100))
    at = data.index(b"data") + 4
    data[at : at + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(data)
    found, notes = source_of(tmp_path / "a.wav")
    assert len(notes) == 1 and "declares 0 frames, but 100 are there" in notes[0]
    assert [each.id for each in found.foreign] == ["bext"]


def test_encode_puts_tags_in_place_of_the_source_s(tmp_path):
    decoded(ALL, tmp_path / "a.flac")
    evc.encode_file(tmp_path / "a.flac", tmp_path / "a.evc", tags={"artist": "X"})
    found = evc.info(tmp_path / "a.evc")
    assert found.tags["artist"] == "X" and found.tags["lyrics"] == TAGS["lyrics"] and len(found.pictures) == 2
    json.dumps(found.as_dict())


# --- Other programs ----------------------------------------------------------------------------------


@needs("metaflac")
def test_metaflac_reads_it(tmp_path):
    decoded(ALL, tmp_path / "a.flac")
    listed = output("metaflac", "--no-utf8-convert", "--export-tags-to=-", tmp_path / "a.flac")
    assert "TITLE=Größe\nARTIST=A\nARTIST=B; C\nALBUMARTIST=D\n" in listed and "LOOPLENGTH=4000\n" in listed
    output("metaflac", f"--export-picture-to={tmp_path / 'p.png'}", tmp_path / "a.flac")
    assert (tmp_path / "p.png").read_bytes() == PICTURES[0].data
    output("metaflac", "--remove-tag=TITLE", "--set-tag=X=y", tmp_path / "a.flac")
    found, _ = source_of(tmp_path / "a.flac")
    assert found.tags["x"] == "y" and "title" not in found.tags and found.pictures == PICTURES


@needs("flac")
def test_flac_checks_the_sound(tmp_path):
    decoded(ALL, tmp_path / "a.flac")
    output("flac", "-s", "-t", tmp_path / "a.flac")


@needs("vorbiscomment")
def test_vorbiscomment_reads_and_changes_it(tmp_path):
    decoded(Metadata(TAGS, PICTURES), tmp_path / "a.ogg")
    listed = output("vorbiscomment", "-l", "-R", tmp_path / "a.ogg")
    assert "TITLE=Größe\nARTIST=A\nARTIST=B; C\n" in listed and "METADATA_BLOCK_PICTURE=" in listed
    output("vorbiscomment", "-a", "-R", "-t", "NEW=x", tmp_path / "a.ogg", tmp_path / "b.ogg")
    found, _ = source_of(tmp_path / "b.ogg")
    assert found.tags == TAGS | {"new": "x"} and found.pictures == PICTURES


@needs("opusinfo")
def test_opusinfo_finds_nothing_wrong(tmp_path):
    large = [Picture.of(png() + np.random.default_rng(0).bytes(200_000)), PICTURES[0]]
    decoded(Metadata(TAGS, large), tmp_path / "a.ogg", "OPUS")
    told = output("opusinfo", tmp_path / "a.ogg")
    assert "TITLE=Größe" in told and "WARNING" not in told


@needs("ffprobe")
@pytest.mark.parametrize("suffix", ["flac", "ogg", "wav", "aiff", "rf64"])
def test_ffmpeg_reads_it(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    decoded(ALL, path)
    told = json.loads(output("ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", path))
    texts = [text for part in (told["format"], *told["streams"]) for text in part.get("tags", {}).values()]
    assert "Größe" in texts and float(told["streams"][0]["duration"]) == pytest.approx(FRAMES / RATE, abs=0.01)
    covers = [stream for stream in told["streams"] if stream.get("disposition", {}).get("attached_pic")]
    assert bool(covers) == (suffix in ("flac", "ogg"))


@needs("sox")
def test_sox_reads_the_sound(tmp_path):
    for suffix in ("wav", "flac", "ogg", "aiff"):
        decoded(ALL, tmp_path / f"a.{suffix}")
        assert output("soxi", "-s", tmp_path / f"a.{suffix}").strip() == str(FRAMES)


# --- Files that programs write -----------------------------------------------------------------------


@needs_cases
def test_case_tags(tmp_path):
    before, _ = source_of(CASES / "05_tags.flac")
    assert before.tags["artist"] == ["A", "B"] and before.pictures[0].mime == "image/png"
    evc.encode_file(CASES / "05_tags.flac", tmp_path / "a.evc", patterns="off")
    for suffix in ("flac", "ogg"):
        with warnings.catch_warnings():
            warnings.simplefilter("error", EvcWarning)
            evc.decode_file(tmp_path / "a.evc", tmp_path / f"a.{suffix}")
        assert source_of(tmp_path / f"a.{suffix}")[0] == before


@needs_cases
def test_case_loop(tmp_path):
    evc.encode_file(CASES / "05_smpl_loop.wav", tmp_path / "a.evc", patterns="off")
    with evc.open(tmp_path / "a.evc") as file:
        assert file.loops.tolist() == [(1000, 19_001, "forward", 0)]
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.wav")
    assert (CASES / "05_smpl_loop.wav").read_bytes()[-68:] == (tmp_path / "a.wav").read_bytes()[-68:]
    evc.decode_file(tmp_path / "a.evc", tmp_path / "a.flac")
    assert source_of(tmp_path / "a.flac")[0].tags == {"loopstart": "1000", "looplength": "19001"}


@needs_cases
def test_case_latin_1(tmp_path):
    assert source_of(CASES / "06_latin1_info.wav") == (Metadata({"title": "Größe"}), [])


def test_the_sound_of_a_silent_file_is_silent(tmp_path):
    decoded(ALL, tmp_path / "a.wav")
    assert not soundfile.read(tmp_path / "a.wav")[0].any() and silent(ALL)


def test_a_picture_is_no_part_of_a_bitrate(recwarn):
    audio = np.random.default_rng(0).normal(0, 0.1, (48_000, 1)).astype(np.float32)
    evc.encode(audio, 48_000, bitrate=48, patterns="off", pictures=[evc.Picture(bytes(200_000), mime="image/x-test")])
    assert [str(each.message) for each in recwarn if issubclass(each.category, evc.EvcWarning)] == []
