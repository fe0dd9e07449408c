"""`evc tag` and what `evc info` shows: tags, pictures, loops; of damaged files too."""

from __future__ import annotations

import json
import os
import stat

import pytest
from click.testing import CliRunner
from metadata_tools import FOREIGN, PICTURES, TAGS, png, silent

import evc
from evc.cli.info import info as info_command
from evc.cli.tag import tag as tag_command
from evc.format.errors import EvcError
from evc.format.metadata import Metadata, Picture
from evc.format.reader import ContainerReader

ALL = Metadata(TAGS, PICTURES, FOREIGN)


def run(command, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command in this process."""
    result = CliRunner().invoke(command, [str(each) for each in arguments], standalone_mode=False)
    if isinstance(result.exception, EvcError):
        return 1, result.stdout, str(result.exception)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.evc").write_bytes(silent(ALL))
    return tmp_path / "a.evc"


def sound_chunks(path) -> list[bytes]:
    """The chunks that make sound, byte for byte."""
    with open(path, "rb") as file:
        reader = ContainerReader(file)
        return [reader.raw(place) for place in reader.chunks if place.type in (b"HEAD", b"SEGM", b"DICT")]


def test_tags_change_and_the_sound_does_not(folder, tmp_path):
    (tmp_path / "a.evc").write_bytes((folder / "track.evc").read_bytes())
    (tmp_path / "cover.png").write_bytes(png())
    path, before = tmp_path / "a.evc", sound_chunks(tmp_path / "a.evc")
    edits = ["--set", "ARTIST=Z", "--add", "artist=Y=1", "--add", "Genre=new", "--remove", "TITLE"]
    assert run(tag_command, path, *edits, "--cover", tmp_path / "cover.png") == (0, f"{path}: 3 tags, 1 picture\n", "")
    assert sound_chunks(path) == before and len(before) > 3
    with evc.open(path) as file:
        assert {name: value for name, value in file.tags.items() if name != "encoder"} == {
            "artist": ["Z", "Y=1"], "genre": "new",
        }  # fmt: skip
        assert file.pictures == [Picture.of(png())]
    assert os.listdir(tmp_path) == ["a.evc", "cover.png"] or len(os.listdir(tmp_path)) == 2
    evc.edit_tags(path, path, evc.info(folder / "track.evc").tags, pictures=[])
    assert path.read_bytes() == (folder / "track.evc").read_bytes()


@pytest.mark.parametrize(
    "edits, artist",
    [
        (["--set", "artist=X"], "X"),
        (["--set", "artist=X", "--set", "ARTIST=Y"], ["X", "Y"]),
        (["--add", "artist=X"], ["A", "B; C", "X"]),
        (["--remove", "Artist"], None),
        (["--remove", "artist=A"], "B; C"),
        (["--remove", "artist=none"], ["A", "B; C"]),
        (["--remove", "artist", "--add", "artist=X"], "X"),
        (["--set", "artist="], ""),
    ],
)
def test_set_add_remove(path, edits, artist):
    assert run(tag_command, path, *edits)[0] == 0
    with evc.open(path) as file:
        assert file.tags.get("artist") == artist and file.tags["lyrics"] == TAGS["lyrics"]
        assert file.pictures == PICTURES and file.foreign == FOREIGN


def test_names_in_capitals_are_the_same(tmp_path):
    (tmp_path / "a.evc").write_bytes(silent(Metadata({"Artist": "A"})))
    assert run(tag_command, tmp_path / "a.evc", "--add", "artist=B")[0] == 0
    assert evc.info(tmp_path / "a.evc").tags == {"Artist": ["A", "B"]}


def test_covers(path, tmp_path):
    (tmp_path / "new.png").write_bytes(png(9, 9))
    assert run(tag_command, path, "--cover", tmp_path / "new.png") == (0, f"{path}: 7 tags, 2 pictures\n", "")
    with evc.open(path) as file:
        assert file.pictures == [Picture.of(png(9, 9)), PICTURES[1]]  # only the front cover is another
    assert run(tag_command, path, "--remove-pictures") == (0, f"{path}: 7 tags\n", "")
    with evc.open(path) as file:
        assert file.pictures == [] and file.tags == TAGS


def test_what_is_no_picture(path, tmp_path):
    before = path.read_bytes()
    (tmp_path / "a.txt").write_text("text")
    for name, message in (("a.txt", "not a picture"), ("none.png", "no such file")):
        code, _, told = run(tag_command, path, "--cover", tmp_path / name)
        assert code == 1 and message in told and name in told
    (tmp_path / "large.png").write_bytes(png() + bytes(1 << 24))
    assert "over the limit" in run(tag_command, path, "--cover", tmp_path / "large.png")[2]
    assert path.read_bytes() == before


def test_listing(path):
    code, shown, _ = run(tag_command, path)
    assert code == 0 and "artist                 A; B; C\n" in shown and "lyrics                 one two  三\n" in shown
    assert "picture                front cover, image/png, 3 x 2, " in shown and "  vorne\n" in shown
    assert "loop                   from frame 1000, 4000 frames (0.021 s, 0.083 s long)\n" in shown
    found = json.loads(run(tag_command, path, "--json")[1])
    assert found["tags"] == TAGS and [picture["type"] for picture in found["pictures"]] == [3, 17]
    assert found["loops"] == [{"start": 1000, "frames": 4000, "kind": "forward", "plays": 0}]
    assert [each["name"] for each in found["foreign"]] == ["bext", "smpl", "APPL", "CUES"]


def test_files_that_fail_do_not_stop_the_others(path, tmp_path):
    (tmp_path / "b.evc").write_bytes(path.read_bytes()[:300])
    before = (tmp_path / "b.evc").read_bytes()
    code, shown, told = run(tag_command, tmp_path / "b.evc", tmp_path / "none.evc", path, "--set", "title=New")
    assert code == 1 and shown == f"{path}: 7 tags, 2 pictures\n"
    assert f"evc: {tmp_path / 'b.evc'}: the file is cut short" in told and "none.evc: no such file" in told
    assert evc.info(path).tags["title"] == "New" and (tmp_path / "b.evc").read_bytes() == before


def test_the_file_keeps_its_mode(path):
    path.chmod(0o640)
    assert run(tag_command, path, "--set", "title=New")[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_wrong_arguments(run_evc, path):
    for arguments, message in (
        (["--set", "artist"], "'artist' is not of the form NAME=VALUE"),
        (["--add", "=x"], "'=x' is not of the form NAME=VALUE"),
        (["-"], "cannot be"),
    ):
        result = run_evc("tag", path, *arguments)
        assert result.returncode == 2 and message in result.stderr.decode()
    told = run_evc("tag", "--help").stdout.decode()
    assert all(line.count(".evc") == 1 for line in told.splitlines() if line.strip().startswith("evc tag"))
    if os.name == "posix":
        result = run_evc("tag", path, "--set", os.fsdecode(b"title=\xff"))
        assert (result.returncode, result.stderr.count(b"\n")) == (1, 1) and b"must be text" in result.stderr


# --- evc info ----------------------------------------------------------------------------------------


def test_info_shows_all_of_it(path):
    code, shown, told = run(info_command, path)
    assert (code, told) == (0, "")
    rows = {" ".join(line.split()) for line in shown.splitlines()}
    assert {"title Größe", "chunk bext of RIFF, 602 B"} <= rows
    assert "picture bright coloured fish, image/x-fish, 1 x 2, 10 B" in rows
    assert json.loads(run(info_command, path, "--json")[1])["loops"][0]["frames"] == 4000


def test_info_shows_what_is_left_of_a_damaged_file(run_evc, path):
    data = bytearray(path.read_bytes())
    data[data.index(b"image/x-fish")] ^= 1
    path.write_bytes(data)
    code, shown, told = run(info_command, path)
    assert code == 1 and told.startswith(f"evc: {path}: PICT chunk at byte") and told.count("\n") == 1
    assert told.endswith("is damaged; what can be read is shown (evc decode --salvage recovers what is whole)\n")
    assert "0.20 s (9600 frames)" in shown and shown.count("picture ") == 1
    path.write_bytes(data[:-40])
    result = run_evc("info", "--json", "-", stdin=path.read_bytes())
    assert result.returncode == 1 and b"evc: standard input: the file is cut short" in result.stderr
    assert json.loads(result.stdout)["tags"] == TAGS


def test_info_of_what_is_no_evc_file(tmp_path):
    (tmp_path / "a.evc").write_bytes(b"RIFF" + bytes(1000))
    assert run(info_command, tmp_path / "a.evc") == (1, "", f"evc: {tmp_path / 'a.evc'}: not an EVC file\n")
    (tmp_path / "a.evc").write_bytes(silent()[:20])
    assert run(info_command, tmp_path / "a.evc")[0] == 1


def test_decoding_says_what_is_left_out(run_evc, path, tmp_path):
    result = run_evc("decode", path, tmp_path / "a.wav")
    assert result.returncode == 0 and b": WAV cannot hold the tags albumartist" in result.stderr
    assert result.stderr.count(b"\n") == 1
