"""One reader in several threads, after a fork in both processes, and in the workers of a DataLoader."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tempfile
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import evc
from evc.format import constants as c
from evc.format.sharing import PositionedFile

RATE, FRAMES = 8000, 20 * 1024
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture(scope="module")
def path(tmp_path_factory, request):
    """A file of many short segments, so that much is read from it."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(c, "default_segment_frames", lambda rate: 1024)
    noise = np.random.default_rng(3).uniform(-0.3, 0.3, FRAMES).astype(np.float32)
    path = tmp_path_factory.mktemp("sharing") / "a.evc"
    path.write_bytes(evc.encode(noise, RATE, patterns="off", quality=2))
    monkeypatch.undo()
    return path


@pytest.fixture(scope="module")
def expected(path):
    audio, _ = evc.decode(path.read_bytes())
    return audio


def pieces(reader, expected, seed: int, count: int = 20) -> None:
    """Compare random parts."""
    for start in np.random.default_rng(seed).integers(0, FRAMES - 500, count).tolist():
        reader.seek(start)
        np.testing.assert_array_equal(reader.read(500), expected[start : start + 500])


def in_child(work) -> int:
    """Fork; let the child do `work`; its exit code is 0 if that ends well."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def openings(path):
    yield str(path)
    yield io.BytesIO(path.read_bytes())
    yield open(path, "rb")
    yield open(path, "rb", buffering=0)
    named = tempfile.NamedTemporaryFile()  # noqa: SIM115
    named.write(path.read_bytes())
    yield named


@needs_fork
@pytest.mark.parametrize("kind", range(5), ids=["path", "memory", "buffered", "raw", "temporary"])
def test_both_processes_read_after_a_fork(kind, path, expected):
    reader = evc.open(list(openings(path))[kind])
    reader.read(3000)  # its threads have started
    children = [in_child(lambda seed=seed: pieces(reader, expected, seed)) for seed in range(3)]
    pieces(reader, expected, 9, 40)
    assert [ended(child) for child in children] == [0, 0, 0]
    reader.close()


@needs_fork
def test_a_fork_while_another_thread_reads(path, expected):
    """Its locks and its threads are not those of the child."""
    with evc.open(path) as reader:
        stop = threading.Event()

        def busy():
            while not stop.is_set():
                reader.read()
                reader.seek(0)

        thread = threading.Thread(target=busy)
        thread.start()
        try:
            children = [in_child(lambda: pieces(reader, expected, 5, 4)) for _ in range(8)]
            assert [ended(child) for child in children] == [0] * 8
        finally:
            stop.set()
            thread.join()


@needs_fork
def test_what_cannot_be_shared_says_so(path, tmp_path):
    with gzip.open(tmp_path / "a.gz", "wb") as packed:
        packed.write(path.read_bytes())
    with gzip.open(tmp_path / "a.gz") as packed, evc.open(packed) as reader:
        assert len(reader.read(100)) == 100

        def work():
            reader.seek(10_000)
            with pytest.raises(evc.InputError, match="read by the process that opened it alone: open it again by path"):
                reader.read(100)

        assert ended(in_child(work)) == 0
        assert len(reader.read(100)) == 100


@needs_fork
def test_damage_found_before_a_fork_is_known_behind_it(path):
    data = bytearray(path.read_bytes())
    with evc.open(path) as whole:
        data[whole.segments[3].offset + 30] ^= 1
    with evc.open(io.BytesIO(bytes(data)), salvage=True) as reader:
        reader.read()
        found = reader.damage

        def work():
            assert reader.damage == found and len(found) == 1

        assert ended(in_child(work)) == 0


class Pieces(Dataset):
    def __init__(self, reader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int):
        self.reader.seek(1024 * index)
        return torch.from_numpy(self.reader.read(1024))


@pytest.mark.parametrize("method", ["fork"] if hasattr(os, "fork") else ["spawn"])
def test_a_data_loader(method, path, expected):
    with evc.open(path) as reader:
        reader.read(2000)
        loader = DataLoader(Pieces(reader), batch_size=2, num_workers=2, multiprocessing_context=method)
        audio = torch.cat([batch.reshape(-1) for batch in loader]).numpy()
    np.testing.assert_array_equal(audio, expected)


def test_a_reader_is_pickled_by_its_path(path, expected):
    with evc.open(path) as reader:
        reader.seek(777)
        with pickle.loads(pickle.dumps(reader)) as other:
            assert other.tell() == 777
            np.testing.assert_array_equal(other.read(100), expected[777:877])
    with evc.open(io.BytesIO(path.read_bytes())) as reader, pytest.raises(TypeError, match="open it by path"):
        pickle.dumps(reader)


def test_two_threads_on_one_reader(path, expected):
    with evc.open(path) as reader:
        lock = threading.Lock()

        def work(seed):
            for start in np.random.default_rng(seed).integers(0, FRAMES - 500, 30).tolist():
                with lock:
                    reader.seek(start)
                    audio = reader.read(500)
                np.testing.assert_array_equal(audio, expected[start : start + 500])
                assert len(reader.render(["spectrum"])) == FRAMES if start % 5 == 0 else True

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))
        # Without a lock of their own every block comes once, though nobody knows who gets which.
        reader.seek(0)
        with ThreadPoolExecutor(4) as threads:
            parts = list(threads.map(lambda _: reader.read(1000), range(-(-FRAMES // 1000))))
        assert sum(map(len, parts)) == FRAMES and reader.tell() == FRAMES
        assert sorted(np.concatenate(parts).tolist()) == sorted(expected.tolist())


def test_threads_hear_the_same_in_a_file_of_patterns():
    """Two readers of one open file, and one reader that renders in two threads: what is copied is kept by each."""
    burst = np.random.default_rng(0).normal(0, 0.2, 6000) * np.exp(-np.arange(6000) / 900)
    with io.BytesIO(evc.encode(np.tile(burst, 10), RATE, quality=4)) as shared, evc.open(shared) as reader:
        assert reader.layers == ("patterns", "spectrum") and len(reader.segments) > 1
        expected = reader.read()
        start = threading.Barrier(4)

        def own(first: int) -> None:
            with evc.open(shared) as other:
                start.wait()
                for place in (first, 0, first // 2):
                    other.seek(place)
                    np.testing.assert_array_equal(other.read(9000), expected[place : place + 9000])

        def rendered(layers: list[str]) -> np.ndarray:
            start.wait()
            return reader.render(layers)

        with ThreadPoolExecutor(4) as threads:
            reading = [threads.submit(own, first) for first in (30_000, 11_111)]
            rendering = [threads.submit(rendered, [name]) for name in reader.layers]
            for each in reading:
                each.result()
            parts = [each.result() for each in rendering]
        for name, part in zip(reader.layers, parts):
            np.testing.assert_array_equal(part, reader.render([name]))
        np.testing.assert_allclose(sum(parts)[:, 0], expected, atol=1e-6)


def test_reads_leave_the_position_of_a_real_file(path):
    with open(path, "rb") as file:
        found = PositionedFile(file)
        file.seek(5)
        assert found.read(0, 8) == c.SIGNATURE and found.read(found.size - 2, 10) == path.read_bytes()[-2:]
        assert file.tell() == 5 or not hasattr(os, "pread")
    with pytest.raises(evc.InputError, match="the file is closed"):
        found.read(0, 8)


def test_what_waits_to_be_written_is_read(path, tmp_path):
    with open(tmp_path / "a.evc", "wb+") as file:
        file.write(path.read_bytes())
        with evc.open(file) as reader:
            assert reader.frames == FRAMES


def test_a_closed_file_and_an_unreadable_one(path, monkeypatch):
    reader = evc.open(path)
    reader.close()
    with pytest.raises(evc.InputError, match="the file is closed"):
        reader.read()
    with evc.open(path) as reader:

        def broken(*_):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(evc.InputError, match=r"cannot be read \(input/output error\)"):
            reader.read()
