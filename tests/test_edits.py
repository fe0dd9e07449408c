"""Edit lists: which stretches of the coded timeline a file plays (spec 3.7)."""

from __future__ import annotations

import io
import pickle
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from damage import with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.edits import EditList, Stretch, read_edits, write_edits
from evc.format.errors import DamagedError, EvcError, EvcWarning, FormatError, InputError
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.rewriting import rewrite
from evc.format.writer import ContainerWriter
from evc.spec.signals import FOLDER

HEADER = Header(8000, 1, 300, layers=("spectrum",), segment_frames=1024)


@cache
def vector(name: str) -> bytes:
    return (FOLDER / f"{name}.evc").read_bytes()


@cache
def decoded(name: str) -> np.ndarray:
    return evc.open(io.BytesIO(vector(name))).read(always_2d=True)


def edited(data: bytes, stretches: list[tuple[int, int]]) -> bytes:
    target = io.BytesIO()
    rewrite(io.BytesIO(data), target, edits=[Stretch(*one) for one in stretches])
    return target.getvalue()


def opened(data: bytes, salvage: bool = False) -> evc.EvcFile:
    return evc.open(io.BytesIO(data), salvage)


def with_chunk(payload: bytes, data: bytes | None = None, times: int = 1) -> bytes:
    """A file without segments of its own, or `data`, with EDIT chunks of this payload behind its header."""
    data = vector("mono") if data is None else data
    head = len(c.SIGNATURE) + c.CHUNK_OVERHEAD_BYTES + 28
    extra = chunk_bytes(b"EDIT", payload) * times
    end = data.rindex(b"END ")
    index = data.rindex(b"INDX")
    # Without an index nothing but the size of the file depends on places.
    marker = struct.pack("<IQQ", int.from_bytes(data[end + 9 : end + 13], "little"), index + 33 + len(extra), 0)
    return data[:head] + extra + data[head:index] + chunk_bytes(b"END ", marker)


# --- Bytes ----------------------------------------------------------------------------------------


def test_literal_bytes():
    # 100 frames from frame 200 on; 199 back from their end: frame 101 on, 2; one back: frame 102 on, 1.
    payload = bytes.fromhex("03 9003 64  8d03 02  01 01")
    assert write_edits([Stretch(200, 100), Stretch(101, 2), Stretch(102, 1)], 300, 1024) == payload
    assert read_edits(payload, HEADER).stretches == ((200, 100), (101, 2), (102, 1))
    data = edited(vector("mono"), [(200, 100), (101, 2), (102, 1)])
    chunk = b"EDIT\1" + bytes.fromhex("09000000 03 9003 64 8d03 02 01 01 8bdf8378")
    assert chunk in data and len(data) == len(vector("mono")) + len(chunk)


stretches_of_300 = st.lists(
    st.integers(0, 299).flatmap(lambda start: st.tuples(st.just(start), st.integers(1, 300 - start))), min_size=1
)


@given(stretches_of_300)
def test_what_is_written_is_read(stretches):
    found = [Stretch(*one) for one in stretches]
    assert list(read_edits(write_edits(found, 300, 1024), HEADER).stretches) == found


@given(st.binary(max_size=40))
def test_whatever_is_read_can_be_written_again(payload):
    try:
        found = read_edits(payload, HEADER)
    except FormatError as error:
        assert "\n" not in str(error)
        return
    assert write_edits(found.stretches, 300, 1024) == payload


MOST = b"\xff" * 9 + b"\1"  # 2^64 - 1
MALFORMED = {
    "nothing": (b"", "too short"),
    "no stretch": (b"\0", "0 stretches, outside 1 to 65536"),
    "too many stretches": (bytes.fromhex("818004"), "65537 stretches"),
    "far too many": (MOST, "18446744073709551615 stretches"),
    "fewer than it says": (b"\2\0\1", "too short"),
    "bytes behind": (b"\1\0\1\0", "1 bytes too many"),
    "no frames": (b"\1\0\0", "a stretch without frames"),
    "before the start": (b"\1\1\1", "plays frames -1 to 0 of 1000"),
    "past the end": (b"\1" + bytes.fromhex("ce0f 02"), "plays frames 999 to 1001 of 1000"),
    "a huge distance": (b"\1" + MOST + b"\1", "plays frames -9223372036854775808 to"),
    "a huge length": (b"\1\0" + MOST, "plays frames 0 to 18446744073709551615 of 1000"),
    "a number that is longer than it must be": (b"\1\0\x81\0", "malformed variable-length integer"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_lists_are_refused_and_passed_over_in_salvage(name):
    payload, message = MALFORMED[name]
    data = with_chunk(payload)
    with pytest.raises(FormatError, match=message):
        opened(data)
    with pytest.warns(EvcWarning, match="the edit list is damaged: all that is coded is played"):
        file = opened(data, salvage=True)
    assert (file.frames, len(file.edits), file.damage) == (1000, 0, [])
    assert np.array_equal(file.read(always_2d=True), decoded("mono"))


def test_a_second_list_and_one_behind_a_segment_are_out_of_place():
    payload = write_edits([Stretch(1, 5)], 1000, 1024)
    assert opened(with_chunk(payload)).frames == 5
    with pytest.raises(FormatError, match="EDIT chunk at byte .* out of place"):
        opened(with_chunk(payload, times=2))
    assert opened(with_chunk(payload, times=2), salvage=True).frames == 5
    end = vector("mono").rindex(b"INDX")
    late = vector("mono")[:end] + chunk_bytes(b"EDIT", payload) + vector("mono")[end:]
    with pytest.raises(FormatError, match="out of place"):
        opened(late)


def test_the_length_is_limited_as_that_of_any_file():
    longest = Header(8000, 1, 1 << 28, layers=("spectrum",), segment_frames=1024)
    whole, limits = Stretch(0, 1 << 28), (1 << 28, 1024)
    assert read_edits(write_edits([whole], *limits), longest).frames == 1 << 28  # 262 144 segments
    with pytest.raises(InputError, match="plays more than 268435456 frames"):
        write_edits([whole, Stretch(0, 1)], *limits)
    with pytest.raises(FormatError, match="plays more than 268435456 frames"):
        read_edits(bytes.fromhex("02 00 8080808001 ffffffff01 01"), longest)
    with pytest.raises(InputError, match="65537 stretches"):
        write_edits([Stretch(0, 1)] * 65537, *limits)
    assert len(read_edits(write_edits([Stretch(0, 1)] * 65536, *limits), longest).stretches) == 65536


def test_a_writer_that_does_not_know_the_length_yet_refuses():
    with pytest.raises(InputError, match="length has to be known"):
        ContainerWriter(io.BytesIO(), Header(8000, 1, None), edits=[Stretch(0, 1)])


# --- Sound ----------------------------------------------------------------------------------------


@st.composite
def lists_for(draw, frames: int):
    start = st.integers(0, frames - 1)
    stretch = start.flatmap(lambda at: st.tuples(st.just(at), st.integers(1, min(frames - at, 5000))))
    return draw(st.lists(stretch, min_size=1, max_size=6))


@pytest.mark.parametrize("name", ["stereo", "copies", "loop", "hiss"])
@settings(max_examples=20)
@given(choices=st.data())
def test_a_list_plays_slices_of_what_is_coded(name, choices):
    """Whatever the layers, read in blocks of any size from anywhere."""
    audio = decoded(name)
    stretches = choices.draw(lists_for(len(audio)))
    expected = np.concatenate([audio[start : start + frames] for start, frames in stretches])
    file = opened(edited(vector(name), stretches))
    assert (file.frames, file.coded_frames, len(file)) == (len(expected), len(audio), len(expected))
    assert file.edits.tolist() == stretches and file.duration == len(expected) / file.samplerate
    first = choices.draw(st.integers(0, len(expected)))
    file.seek(first)
    found = [file.read(n, always_2d=True) for n in choices.draw(st.lists(st.integers(0, 4000), max_size=4))]
    assert file.tell() == first + sum(map(len, found))
    found += list(file.blocks(choices.draw(st.integers(500, 5000)), always_2d=True))
    assert np.array_equal(np.concatenate([np.zeros((0, file.channels)), *found]), expected[first:])


def test_random_access_and_loops_follow_what_is_played():
    audio, stretches = decoded("stereo"), [(15_000, 5000), (3, 1), (0, 4000)]
    expected = np.concatenate([audio[start : start + frames] for start, frames in stretches])
    file = opened(edited(vector("stereo"), stretches))
    assert file.seek(-1, io.SEEK_END) == 9000 and file.seek(0, io.SEEK_END) == 9001
    with pytest.raises(InputError, match="frame 9002 is outside the file's 0 to 9001"):
        file.seek(9002)
    file.seek(4999)
    assert np.array_equal(file.read(3), expected[4999:5002])
    file.seek(0)
    twice = np.concatenate(list(file.blocks(1234, loops=2)))
    assert np.array_equal(twice, np.concatenate([expected, expected]))
    assert np.array_equal(file.render(["spectrum"]), expected)
    assert len(file.read(0)) == 0


def test_a_loop_is_one_where_its_end_leads_to_its_start():
    assert opened(vector("loop")).loop
    for stretches, still in [
        ([(0, 2300)], True),
        ([(0, 2300)] * 3, True),
        ([(900, 1400), (0, 900)], True),
        ([(900, 1400), (0, 899)], False),
        ([(0, 2299)], False),
        ([(1, 2299)], False),
    ]:
        data = edited(vector("loop"), stretches)
        assert opened(data).loop == still and evc.info(io.BytesIO(data)).loop == still
    assert not opened(edited(vector("stereo"), [(0, 20_000)])).loop
    with pytest.raises(InputError, match="plays frames 0 to 2301 of 2300"):  # the overlap is no sound of its own
        edited(vector("loop"), [(0, 2301)])


def test_events_and_patterns_are_those_of_the_coded_timeline(tmp_path):
    plain, file = opened(vector("layers")), opened(edited(vector("layers"), [(100, 50)]))
    assert len(plain.events) and np.array_equal(file.events.times, plain.events.times)
    assert len(plain.uses) and np.array_equal(file.uses, plain.uses)
    assert file.segments[0].frames == plain.segments[0].frames
    ours, theirs = file.stats(), plain.stats()
    assert ours.frames == theirs.frames and np.allclose(ours.seconds, theirs.seconds)
    assert ours.overhead["edit list"] == 8 * (13 + 4) and "edit list" not in theirs.overhead
    evc.write_events(tmp_path / "out.evc", file.events[:0], file)
    with evc.open(tmp_path / "out.evc") as changed:
        assert changed.edits.tolist() == [(100, 50)] and not len(changed.events)


def test_a_pattern_is_cut_from_all_that_is_coded():
    plain, file = opened(vector("placements")), opened(edited(vector("placements"), [(0, 1)]))
    kinds = plain.patterns["kind"].tolist()
    assert "excerpt" in kinds
    for number in range(len(kinds)):
        assert np.array_equal(file.pattern_audio(number), plain.pattern_audio(number))


# --- Other doors ----------------------------------------------------------------------------------


def test_info_tells(tmp_path, run_evc):
    path = tmp_path / "a.evc"
    path.write_bytes(edited(vector("stereo"), [(44, 441), (0, 2)]))
    found = evc.info(path)
    assert (found.frames, found.coded_frames, found.duration) == (443, 20_000, 443 / 44_100)
    assert found.edits == ({"start": 44, "frames": 441}, {"start": 0, "frames": 2})
    assert evc.info(io.BytesIO(vector("stereo"))).edits == ()
    text = run_evc("info", path).stdout.decode()
    assert "(443 frames)" in text and "plays 2 stretches of the 0.45 s that are coded (20000 frames)" in text


def test_decoding_a_part(tmp_path):
    import soundfile

    path = tmp_path / "a.evc"
    path.write_bytes(edited(vector("wide"), [(20_000, 9600), (0, 9600)]))
    evc.decode_file(path, tmp_path / "a.wav", start=0.045, duration=0.01, subtype="FLOAT")
    audio, whole = soundfile.read(tmp_path / "a.wav", dtype="float32")[0], decoded("wide")[:, 0]
    assert np.array_equal(audio, np.concatenate([whole[20_000 + 8640 : 29_600], whole[:960]]))


def test_the_chunk_stays_where_tags_and_pictures_change(tmp_path):
    data = edited(vector("tagged"), [(5, 60)])
    chunk = chunk_bytes(b"EDIT", b"\1\x0a\x3c")
    assert chunk in data
    (tmp_path / "a.evc").write_bytes(data)
    evc.edit_tags(tmp_path / "a.evc", tmp_path / "b.evc", {"title": "Another"}, pictures=[], foreign=[])
    changed = (tmp_path / "b.evc").read_bytes()
    types = [place.type for place in ContainerReader(io.BytesIO(changed)).chunks]
    assert chunk in changed and types[:3] == [b"HEAD", b"TAGS", b"EDIT"]
    assert opened(changed).edits.tolist() == [(5, 60)]
    assert edited(edited(vector("stereo"), [(5, 60)]), []) == vector("stereo")


def test_a_reader_survives_pickling(tmp_path: Path):
    (tmp_path / "a.evc").write_bytes(edited(vector("stereo"), [(5000, 600)]))
    with evc.open(tmp_path / "a.evc") as file:
        file.seek(600)
        with pickle.loads(pickle.dumps(file)) as other:
            assert (other.tell(), other.frames) == (600, 600)


# --- Damage ---------------------------------------------------------------------------------------


def test_a_damaged_list_is_refused_and_salvage_plays_all_that_is_coded(tmp_path, run_evc):
    data = edited(vector("stereo"), [(5000, 600)])
    damaged = with_flipped_bit(data, data.index(b"EDIT") + 10)
    with pytest.raises(DamagedError, match="EDIT chunk at byte .* is damaged"):
        opened(damaged)
    with pytest.warns(EvcWarning, match="the edit list is damaged"):
        file = opened(damaged, salvage=True)
    assert np.array_equal(file.read(), decoded("stereo")) and file.damage == []
    (tmp_path / "a.evc").write_bytes(damaged)
    result = run_evc("decode", "--salvage", "a.evc", "a.wav", cwd=tmp_path)
    assert result.returncode == 0 and b"the edit list is damaged" in result.stderr


def test_damage_is_told_where_it_is_played():
    """The second of three segments is lost."""
    plain = ContainerReader(io.BytesIO(vector("stereo")))
    length = plain.header.segment_frames
    stretches = [(length + 10, 50), (0, 100), (length - 20, 30), (2 * length, 40)]
    data = edited(vector("stereo"), stretches)
    place = ContainerReader(io.BytesIO(data)).place(1)
    assert place is not None
    file = opened(with_flipped_bit(data, place.end - 6), salvage=True)
    assert [(span.start, span.frames) for span in file.damage] == [(0, 50), (170, 10)]
    audio = file.read()
    assert not audio[:50].any() and not audio[170:180].any() and audio[50:150].any()


def test_a_cut_file_plays_what_is_left_of_its_stretches():
    length = ContainerReader(io.BytesIO(vector("stereo"))).header.segment_frames
    data = edited(vector("stereo"), [(length, 500), (3, 10), (2 * length - 10, 30), (2 * length, 100)])
    place = ContainerReader(io.BytesIO(data)).place(2)
    assert place is not None
    file = opened(data[: place.offset + 5], salvage=True)
    assert file.edits.tolist() == [(length, 500), (3, 10), (2 * length - 10, 10)]
    assert [(span.start, span.frames, span.reason) for span in file.damage] == [(520, 120, "the file is cut short")]
    nothing = opened(edited(vector("stereo"), [(2 * length, 100)])[: place.offset - 50], salvage=True)
    assert (nothing.frames, nothing.read().shape) == (0, (0, 2))


@given(st.integers(0, 2**32))
def test_changed_bytes_end_in_one_line(seed):
    data = bytearray(edited(vector("mono"), [(5, 60), (0, 1000)]))
    random = np.random.default_rng(seed)
    start = data.index(b"EDIT")
    payload = bytearray(data[start + 9 : start + 9 + data[start + 5]])
    payload[random.integers(len(payload))] = random.integers(256)
    try:
        file = opened(with_chunk(bytes(payload)))
        assert file.frames == sum(file.edits["frames"]) and len(file.read(1000)) == min(file.frames, 1000)
    except EvcError as error:
        assert "\n" not in str(error)


def test_where_spans_are_played():
    """Against a list of all frames."""
    random = np.random.default_rng(3)
    for _ in range(50):
        starts = random.integers(0, 90, 5)
        found = EditList(Stretch(int(start), int(random.integers(1, 100 - start))) for start in starts)
        edges = np.sort(random.choice(101, 6, replace=False)).tolist()
        spans = list(zip(edges[::2], edges[1::2], strict=True))
        owner = np.full(100, -1)
        for number, (begin, end) in enumerate(spans):
            owner[begin:end] = number
        expected = np.concatenate([owner[one.start : one.end] for one in found.stretches])
        told = np.full(found.frames, -1)
        for begin, end, number in found.played(spans):
            assert (told[begin:end] == -1).all() and begin < end
            told[begin:end] = number
        assert np.array_equal(told, expected)
