"""Parts of files as files of their own, and files joined: coded sound as it is, ends exact to the frame."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
import pytest
from click.testing import CliRunner
from damage import segment_places
from pattern_tools import encoded_loop

import evc
from evc.cli.cut import cut
from evc.cli.join import join
from evc.editing.cutting import cut_file
from evc.editing.joining import join_files
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.errors import InputError
from evc.format.metadata import Foreign
from evc.loops import Cue, Loop, cue_chunks, loop_tags, smpl_chunk
from evc.spec.signals import FOLDER

VECTORS = (
    "chain", "edited", "hiss", "loop", "rejoined", "borders", "copies", "lattices", "left-over", "placements",
    "timbres", "envelopes", "beneath",
)  # fmt: skip


@cache
def vector(name):
    return (FOLDER / f"{name}.evc").read_bytes()


@cache
def decoded(name):
    return opened(vector(name)).read(always_2d=True)


def opened(data):
    return evc.open(io.BytesIO(data))


def cut_of(data, start, frames, **options):
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", evc.EvcWarning)
        report = cut_file(opened(data), target, start, frames, **options)
    return target.getvalue(), report


def parts_of(frames, seed, count=4):
    """(start, frames) of random parts that make the whole."""
    edges = np.random.default_rng(seed).integers(1, frames, count - 1)
    edges = [0, *sorted({int(edge) for edge in edges}), frames]
    return [(a, b - a) for a, b in zip(edges, edges[1:])]


def leaning_on_what_is_gone(data, kept):
    """Segments that need others than those `kept`, also by way of others: from the dependencies alone."""
    segments = opened(data).segments
    found = set()
    for number in sorted(kept):
        if any(other not in kept or other in found for other in segments[number].dependencies):
            found.add(number)
    return found


@pytest.mark.parametrize("name", VECTORS)
def test_parts_are_exact_and_joined_are_the_whole(name):
    whole = decoded(name)
    pieces = []
    for start, frames in parts_of(len(whole), 7):
        data, report = cut_of(vector(name), start, frames)
        found = opened(data)
        found.verify()
        assert report.frames == found.frames == frames
        if "patterns" not in opened(vector(name)).layers:
            assert report.coded_anew == 0
        exact, others = cut_of(vector(name), start, frames, sources=True)
        assert others.coded_anew == 0
        np.testing.assert_array_equal(opened(exact).read(always_2d=True), whole[start : start + frames])
        if not report.coded_anew:
            np.testing.assert_array_equal(found.read(always_2d=True), whole[start : start + frames])
        pieces.append(exact)
    target = io.BytesIO()
    assert join_files([io.BytesIO(piece) for piece in pieces], target) == []
    np.testing.assert_array_equal(opened(target.getvalue()).read(always_2d=True), whole)


def test_segments_stay_byte_for_byte_and_only_what_leans_is_coded_anew():
    data = encoded_loop()
    whole, before = opened(data).read(always_2d=True), opened(data).segments
    length, reach = before[0].frames, c.superframe_length(16_000) // 2  # to where a window goes beyond its segment
    anew_in_all = 0
    for start, frames in [(0, 70_000), (60_000, 90_000), (length + 20_000, 2 * length), (len(whole) - 9000, 9000)]:
        made, report = cut_of(data, start, frames)
        links = Chain(io.BytesIO(made)).links
        full = {n for n in range(links[0].segments) if links[0].segment(n).streams}
        anew = leaning_on_what_is_gone(data, full)
        assert (report.kept, report.coded_anew) == (len(full - anew), len(anew))
        anew_in_all += len(anew)
        old, new = segment_places(data), segment_places(made)
        for number in full - anew:
            assert made[new[number].offset : new[number].end] == data[old[number].offset : old[number].end]
        sound = opened(made).read(always_2d=True)
        error = np.abs(sound - whole[start : start + frames]).max(axis=1)
        near = np.zeros(len(whole), bool)
        for number in anew:
            begin, end = before[number].start, before[number].start + before[number].frames
            near[max(0, begin - reach) : end + reach] = True
        assert not error[~near[start : start + frames]].any()
        loud = np.sqrt(np.mean(whole[start : start + frames] ** 2))
        assert np.sqrt(np.mean(error**2)) < 0.2 * loud  # what is coded anew is what it was, about
    assert anew_in_all > 1


def test_parts_have_what_their_envelopes_reach_for():
    """Half a superframe and one frame behind a border: what overlaps there ends before, but under a hop it is heard."""
    superframe, border = c.superframe_length(22_050), 4096
    for start in (border + superframe // 2 + 1, border + superframe // 2 + superframe // 8 - 1):
        made, _ = cut_of(vector("envelopes"), start, 1000)
        np.testing.assert_array_equal(opened(made).read(always_2d=True), decoded("envelopes")[start : start + 1000])


def test_an_envelope_stays_on_what_is_coded_anew():
    whole = decoded("beneath")
    made, report = cut_of(vector("beneath"), 5800, 2000)
    assert report.coded_anew == 1 and Chain(io.BytesIO(made)).links[0].segment(1).stream(c.STREAM_ENVELOPE)
    error = opened(made).read(always_2d=True) - whole[5800:7800]
    assert np.sqrt(np.mean(error**2)) < 0.3 * np.sqrt(np.mean(whole[5800:7800] ** 2))


def test_a_loop_stays_one_only_if_it_is_whole():
    data = vector("loop")
    assert opened(data).loop and opened(cut_of(data, 0, None)[0]).loop
    part = opened(cut_of(data, 0, 2000)[0])
    assert not part.loop
    np.testing.assert_array_equal(part.read(always_2d=True), decoded("loop")[:2000])


def test_loops_and_cue_points_follow(encoded):
    """Out of the file into its parts, and out of these into the whole again."""
    cues = Cue(40, 0, "a"), Cue(95_000, 9, "b")
    foreign = [smpl_chunk([Loop(100, 50), Loop(90_000, 400)], 16_000), *cue_chunks(cues)]
    target = io.BytesIO()
    evc.edit_tags(io.BytesIO(encoded), target, loop_tags(Loop(100, 50)) | {"title": "T"}, foreign=foreign)
    whole = opened(target.getvalue())
    parts = [cut_of(target.getvalue(), *part)[0] for part in [(0, 80_000), (80_000, whole.frames - 80_000)]]
    first, second = map(opened, parts)
    assert first.tags == whole.tags and [tuple(loop)[:2] for loop in first.loops] == [(100, 50)]
    assert second.tags["loopstart"] == "10000" and second.tags["title"] == "T"
    assert [tuple(loop)[:2] for loop in second.loops] == [(10_000, 400)]
    assert [tuple(cue) for cue in second.cues] == [(15_000, 9, "b")]
    joined = io.BytesIO()
    join_files([io.BytesIO(part) for part in parts], joined)
    again = opened(joined.getvalue())
    assert again.loops.tolist() == whole.loops.tolist() and again.cues.tolist() == whole.cues.tolist()


def test_what_does_not_fit_is_refused_with_the_reason_or_coded_anew(encoded, whole):
    other = evc.encode(np.sin(2 * np.pi * 440 * np.arange(8000) / 8000), 8000, quality=6)
    with pytest.raises(InputError, match="has 1 channel, the first file 2: coding it anew would"):
        join_files([io.BytesIO(encoded), io.BytesIO(other)], io.BytesIO())
    target = io.BytesIO()
    assert join_files([io.BytesIO(encoded), io.BytesIO(other)], target, re_encode=True) == [1]
    found = opened(target.getvalue()).read()
    np.testing.assert_array_equal(found[: len(whole)], whole)
    tone = found[len(whole) :]
    assert tone.shape == (16_000, 2)
    inner = slice(1000, 15_000)  # one second, as loud, of the same pitch, in both channels
    wanted = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)[inner, None]
    assert np.abs(tone[inner] - wanted).max() < 0.1
    three = evc.encode(np.zeros((2000, 3), np.float32), 16_000, quality=1)
    with pytest.raises(InputError, match="has 3 channels, the first file 2, which cannot be made fit"):
        join_files([io.BytesIO(encoded), io.BytesIO(three)], io.BytesIO(), re_encode=True)


@pytest.mark.parametrize("start, frames", [(-1, 5), (0, 0), (159_999, 2), (160_000, None)])
def test_parts_that_are_not_there(start, frames, encoded):
    with pytest.raises(InputError, match="there is no part of"):
        cut_file(opened(encoded), io.BytesIO(), start, frames)


def test_commands(folder, tmp_path, whole, start_evc):
    piped = start_evc("cut", folder / "track.evc", "-", "--start", "2.5", "--duration", "1")
    assert piped.returncode == 0 and piped.stderr == b"-: 1.00 s, nothing coded anew\n"
    np.testing.assert_array_equal(opened(piped.stdout).read(), whole[40_000:56_000])
    out = str(tmp_path / "b.evc")
    (tmp_path / "a.evc").write_bytes(piped.stdout)
    result = CliRunner().invoke(join, [str(tmp_path / "a.evc"), str(folder / "track.evc"), out])
    assert result.exception is None and result.output.endswith("11.00 s, 2 files, nothing coded anew\n")
    np.testing.assert_array_equal(evc.open(out).read(), np.concatenate([whole[40_000:56_000], whole]))
    for command, arguments, message in (
        (cut, [str(folder / "track.evc"), out], "exists already"),
        (cut, [str(folder / "track.evc"), "--chapters"], "tells of no tracks"),
        (cut, [str(folder / "track.evc"), str(tmp_path / "c.evc"), "--start", "99"], "cannot start at 99"),
        (join, [str(folder / "track.wav"), out, str(tmp_path / "c.evc")], "track.wav: not an EVC"),
    ):
        result = CliRunner().invoke(command, arguments)
        assert isinstance(result.exception, evc.EvcError) and message in str(result.exception)
    for arguments in (["a.evc"], ["a.evc", "b.evc", "--cue", "c"], ["a.evc", "b.evc", "--out-dir", "d"]):
        assert CliRunner().invoke(cut, arguments).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.evc", "b.evc"]


SHEET = """\ufeffPERFORMER "Ada"
TITLE "Nights"
REM DATE 1999
FILE "x.wav" WAVE
  TRACK 01 AUDIO
    TITLE "One/first"
    INDEX 01 00:00:20
  TRACK 02 AUDIO
    PERFORMER Ben
    INDEX 00 00:03:00
    INDEX 01 00:04:37
"""


def test_a_cue_sheet_splits_an_album(folder, tmp_path, whole):
    (tmp_path / "a.cue").write_text(SHEET, encoding="utf-8")
    result = CliRunner().invoke(
        cut, [str(folder / "track.evc"), "--cue", str(tmp_path / "a.cue"), "--out-dir", str(tmp_path / "out")]
    )
    assert result.exception is None, result.output
    one, two = (evc.open(tmp_path / "out" / name) for name in ("01 One_first.evc", "02.evc"))
    edge = round((4 + 37 / 75) * 16_000)
    np.testing.assert_array_equal(np.concatenate([one.read(), two.read()]), whole)
    assert one.frames == edge  # with what lies before the first track
    shared = {"album": "Nights", "albumartist": "Ada", "date": "1999", "tracktotal": "2"}
    wanted = shared | {"artist": "Ada", "title": "One/first", "tracknumber": "1"}
    assert {name: one.tags[name] for name in wanted} == wanted
    assert two.tags["artist"] == "Ben" and "title" not in two.tags  # the album's is not the track's


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "it has no TRACK"),
        ("TRACK 01 AUDIO\n", "track 1 of the cue sheet has no INDEX 01"),
        ("TRACK 01 AUDIO\nINDEX 01 00:99:00\n", "line 2 of the cue sheet: 00:99:00 is no time"),
        ("FILE a WAVE\nFILE b WAVE\nTRACK 1 AUDIO\nINDEX 01 0:00:00", "about several files"),
        ("INDEX 01 00:00:00\n", "line 1 is none of a cue sheet"),
        (f"TRACK {'9' * 5000} AUDIO\n", "line 1 is none of a cue sheet"),
        (SHEET + "  TRACK 03 AUDIO\n    INDEX 01 00:01:00\n", "track 2 begins at 4.49 s, where the next one has begun"),
        (SHEET + "  TRACK 03 AUDIO\n    INDEX 01 09:00:00\n", "track 3 begins at 540.00 s, where the file has ended"),
    ],
)
def test_sheets_that_cannot_be_used(text, message, folder):
    from evc.editing.cuesheets import parts, read_cue

    with evc.open(folder / "track.evc") as file, pytest.raises(InputError, match=message):
        parts(read_cue(text, 16_000), file)


@pytest.mark.parametrize(
    "title, name",
    [
        ("../../etc/passwd", "07 _.._etc_passwd"),
        ("a\x9b\x7f\u202egpj.\n", "07 a___gpj._"),
        ("\u540d" * 200, "07 " + "\u540d" * 66),  # a name has 255 bytes at most
        ("...", "07"),
    ],
)
def test_tracks_have_names_that_every_system_takes(title, name):
    from evc.editing.cuesheets import Track

    assert Track(0, 7, {"title": title}).name == name


def test_tracks_replace_neither_their_file_nor_each_other(tmp_path, encoded):
    (tmp_path / "01 One_first.evc").write_bytes(encoded)
    (tmp_path / "a.cue").write_text(SHEET)
    twice = SHEET.replace("One/first", "b").replace("TRACK 02", "TRACK 01").replace("PERFORMER Ben", "TITLE B")
    (tmp_path / "b.cue").write_text(twice)
    for sheet, message in (("a.cue", "is both input and output"), ("b.cue", "two tracks would both become 01 B.evc")):
        arguments = [str(tmp_path / "01 One_first.evc"), "--cue", str(tmp_path / sheet), "--force"]
        result = CliRunner().invoke(cut, arguments, standalone_mode=False)
        assert message in getattr(result.exception, "message", str(result.exception))
    assert len(list(tmp_path.iterdir())) == 3 and (tmp_path / "01 One_first.evc").read_bytes() == encoded


def test_a_damaged_file_among_those_to_join_is_named(tmp_path, encoded):
    at = segment_places(encoded)[1].end - 9
    (tmp_path / "a.evc").write_bytes(encoded)
    (tmp_path / "b.evc").write_bytes(encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :])
    result = CliRunner().invoke(join, [str(tmp_path / name) for name in ("a.evc", "b.evc", "c.evc")])
    assert str(result.exception).startswith(f"{tmp_path / 'b.evc'}: segment 1 is damaged")
    assert not (tmp_path / "c.evc").exists()


def flac_sheet():
    """A block CUESHEET with tracks at frames 0 and 50 000, and the lead-out."""

    def track(offset, number, *indices):
        points = b"".join(at.to_bytes(8, "big") + bytes([index, 0, 0, 0]) for at, index in indices)
        return offset.to_bytes(8, "big") + bytes([number]) + bytes(26) + bytes([len(indices)]) + points

    tracks = track(0, 1, (0, 1)) + track(49_000, 2, (0, 0), (1000, 1)) + track(160_000, 170)
    return Foreign("FLAC", "CUES", bytes(128) + bytes(8) + b"\x80" + bytes(258) + bytes([3]) + tracks)


@pytest.mark.parametrize(
    "tags, foreign, wanted",
    [
        ({"cuesheet": SHEET}, [], [(4267, "One/first"), (71_893, "")]),
        ({"chapter1": "00:00.000", "chapter1name": "A", "chapter2": "0:00:02.5"}, [], [(0, "A"), (40_000, "")]),
        ({}, [flac_sheet()], [(0, ""), (50_000, "")]),
        ({}, cue_chunks([Cue(0, 0, "in"), Cue(999, 0, "")]), [(0, "in"), (999, "")]),
    ],
)
def test_what_files_tell_of_their_tracks(tags, foreign, wanted, encoded):
    from evc.editing.cuesheets import told_tracks

    target = io.BytesIO()
    evc.edit_tags(io.BytesIO(encoded), target, tags, foreign=foreign)
    found = told_tracks(opened(target.getvalue()))
    assert [(track.start, track.tags.get("title", "")) for track in found] == wanted
