"""Files written again with other metadata."""

import io
import os
import stat
from dataclasses import replace

import pytest
from container_tools import (
    ALL,
    HEADER,
    TAGS,
    file_with,
    opened,
    small_file,
)

import evc
from evc.format.container import chunk_bytes
from evc.format.errors import DamagedError
from evc.format.rewriting import rewrite


def test_rewrite_keeps_everything_else():
    source = small_file()
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, {"title": "Another, longer title", "year": "2024"})
    old, new = opened(source), opened(target.getvalue())
    new.verify()
    assert new.tags == {"title": "Another, longer title", "year": "2024"}
    moved = (b"TAGS", b"INDX", b"END ")
    kept = [[r.raw(p) for p in r.chunks if p.type not in moved] for r in (old, new)]
    assert kept[0] == kept[1]
    assert [p.type for p in old.chunks] == [p.type for p in new.chunks]
    again = io.BytesIO()
    rewrite(target, again, TAGS)
    assert again.getvalue() == source


def test_rewrite_adds_and_removes_tags():
    source = small_file(tags=None)
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, TAGS)
    assert target.getvalue() == small_file()
    back = io.BytesIO()
    rewrite(target, back, {})
    assert back.getvalue() == source


def test_rewrite_keeps_chunks_of_later_minor_versions():
    header = replace(HEADER, minor=2, extra=b"more")
    extra = chunk_bytes(b"last", b"\0\1", critical=False)
    source = file_with(*ALL, extra, header=header)
    target = io.BytesIO()
    rewrite(io.BytesIO(source), target, TAGS)
    reader = opened(target.getvalue())
    reader.verify()
    assert reader.header == header
    assert reader.raw(reader.chunks[-2]) == extra


def test_rewrite_does_not_copy_damage():
    data = bytearray(small_file())
    data[data.index(b"kept")] ^= 1
    with pytest.raises(DamagedError):
        rewrite(io.BytesIO(bytes(data)), io.BytesIO(), {})


def test_tags_are_edited_in_place(tmp_path):
    path = tmp_path / "a.evc"
    path.write_bytes(small_file())
    path.chmod(0o640)
    evc.edit_tags(path, path, {"title": "New"})
    assert opened(path.read_bytes()).tags == {"title": "New"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.evc"]


def test_a_failed_edit_changes_nothing(tmp_path):
    path = tmp_path / "a.evc"
    path.write_bytes(small_file()[:-3])
    with pytest.raises(DamagedError):
        evc.edit_tags(path, path, {})
    assert path.read_bytes() == small_file()[:-3]
    assert os.listdir(tmp_path) == ["a.evc"]
