"""Outputs that appear when they are complete."""

import os

import pytest

from evc.format.errors import InputError
from evc.output import atomic_output


def test_atomic_output_appears_when_complete(tmp_path):
    path = tmp_path / "out"
    with atomic_output(path) as file:
        file.write(b"abc")
        assert not path.exists()
        file.seek(0)
        assert file.read() == b"abc"
    assert path.read_bytes() == b"abc"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_output_leaves_nothing_after_an_error(tmp_path, error):
    with pytest.raises(error), atomic_output(tmp_path / "out") as file:
        file.write(b"abc")
        raise error
    assert os.listdir(tmp_path) == []


def test_atomic_output_does_not_overwrite_unasked(tmp_path):
    path = tmp_path / "out"
    with pytest.raises(InputError, match="exists already"), atomic_output(path, overwrite=False) as file:
        file.write(b"new")
        path.write_bytes(b"old")
    with pytest.raises(InputError, match="exists already"), atomic_output(path, overwrite=False):
        pass
    assert path.read_bytes() == b"old"
    with atomic_output(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


def test_atomic_output_refuses_folders_and_missing_folders(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "out"):
        with pytest.raises(InputError), atomic_output(path):
            pass


def test_atomic_output_follows_links(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_output(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_atomic_output_writes_devices_in_place():
    with atomic_output(os.devnull) as file:
        file.write(b"abc")
    assert not os.path.isfile(os.devnull)
