"""Readers in other people's pipelines: torch, datasets, Ray and Dask get what `evc.open` gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sound_tools import noise

import evc
from evc.format.errors import InputError

RATE = 8000
LENGTHS = (5.0, 3.0, 0.5)


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two mono files and one in stereo, one of them shorter than a second."""
    folder = tmp_path_factory.mktemp("music")
    for number, seconds in enumerate(LENGTHS):
        audio = noise(round(RATE * seconds), 1 + number % 2, number)
        data = evc.encode(audio, RATE, quality=2, patterns="off", tags={"genre": "noise"})
        (folder / f"{number}.evc").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def decoded(music: Path) -> dict[str, np.ndarray]:
    """float32 [channels, frames] by path."""
    whole = {path: evc.decode(path.read_bytes())[0] for path in music.iterdir()}
    return {str(path): audio.reshape(len(audio), -1).T for path, audio in whole.items()}


class TestTorch:
    def test_stretches_are_what_the_file_has_there(self, music: Path, decoded: dict[str, np.ndarray]) -> None:
        from evc.torch import EvcDataset

        items = list(EvcDataset(music, 1.0, seed=1, coverage=3))
        assert {item["path"] for item in items} == set(decoded)
        for item in items:
            start = round(item["start"] * RATE)
            part = decoded[item["path"]][:, start : start + RATE]
            assert item["audio"].shape == (len(part), RATE) and item["samplerate"] == RATE
            assert np.array_equal(item["audio"][:, : part.shape[1]].numpy(), part)
            assert not item["audio"][:, part.shape[1] :].any()
        starts = [item["start"] for item in items if item["path"].endswith("0.evc")]
        assert len(set(starts)) == len(starts) >= 3 * 5 - 1

    def test_each_file_comes_in_each_epoch(self, music: Path) -> None:
        from evc.torch import EvcDataset

        for epoch in range(3):
            data = EvcDataset(music, 200.0, seed=1)
            data.set_epoch(epoch)
            items = list(data)
            assert len(items) == 3 and {item["audio"].shape[1] for item in items} == {200 * RATE}

    def test_what_cannot_be_meant_is_refused_at_once(self, music: Path) -> None:
        from evc.torch import EvcDataset

        for given in (
            {"seconds": np.inf}, {"seconds": np.nan}, {"seconds": 0}, {"seconds": 1e-9}, {"seconds": "1"},
            {"coverage": np.inf}, {"coverage": -1}, {"pool": 0}, {"pool": np.nan}, {"seed": -1}, {"seed": 1.5},
            {"paths": 42}, {"paths": []}, {"paths": ""}, {"paths": None}, {"channels": 3},
        ):  # fmt: skip
            with pytest.raises(InputError):
                EvcDataset(**{"paths": music, "seconds": 1.0} | given)

    def test_a_seed_decides_and_workers_share_the_files(self, music: Path) -> None:
        from torch.utils.data import DataLoader

        from evc.torch import EvcDataset

        def drawn(workers: int, epoch: int) -> list[tuple[str, float]]:
            data = EvcDataset(music, 0.25, seed=5, channels=1, coverage=1)
            data.set_epoch(epoch)
            batches = DataLoader(data, batch_size=4, num_workers=workers)
            return [one for batch in batches for one in zip(batch["path"], batch["start"].tolist())]

        assert drawn(0, 0) == drawn(0, 0) != drawn(0, 1)
        two = drawn(2, 0)
        assert two == drawn(2, 0) and len(set(two)) == len(two)
        assert {path for path, _ in two} == {str(path) for path in music.iterdir()}


def test_datasets_decode_on_access(music: Path, decoded: dict[str, np.ndarray], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="evc[catalogue] is not installed")
    from evc.hf import EvcAudio

    paths = sorted(decoded)
    rows = datasets.Dataset.from_dict({"audio": paths}).cast_column("audio", EvcAudio())
    for number, path in enumerate(paths):
        audio = rows[number]["audio"]
        assert (audio["path"], audio["sampling_rate"]) == (path, RATE)
        assert np.array_equal(np.atleast_2d(audio["array"]), decoded[path])
    mono = rows.cast_column("audio", EvcAudio(num_channels=1))
    assert [row["audio"]["array"].ndim for row in mono] == [1, 1, 1]
    rows.save_to_disk(tmp_path / "saved")  # the feature is found again by its name
    again = datasets.load_from_disk(tmp_path / "saved")
    assert np.array_equal(again[0]["audio"]["array"], rows[0]["audio"]["array"])
    stored = EvcAudio().embed_storage(rows.with_format("arrow")[:]["audio"].combine_chunks())
    assert stored[0]["bytes"].as_py() == Path(paths[0]).read_bytes()


def test_dask_reads_blocks(music: Path, decoded: dict[str, np.ndarray]) -> None:
    pytest.importorskip("pandas", reason="evc[catalogue] is not installed")
    dask = pytest.importorskip("dask", reason="evc[catalogue] is not installed")
    from evc.dask import read_evc

    table, blocks = read_evc(music, seconds=2)
    assert table["duration"].tolist() == [2, 2, 1, 2, 1, 0.5] and set(table["genre"]) == {"noise"}
    for row, block in zip(table.to_dict("records"), dask.compute(*blocks, scheduler="synchronous")):
        start = round(row["start"] * RATE)
        assert np.array_equal(block.T, decoded[row["path"]][:, start : start + row["frames"]])


def test_ray_reads_stretches(music: Path, decoded: dict[str, np.ndarray]) -> None:
    """What Ray calls for every file, without Ray: that takes many seconds to start, and is in tests/benchmarks."""
    pytest.importorskip("ray", reason="evc[catalogue] is not installed")
    from evc.ray import _EvcSource

    source = _EvcSource.__new__(_EvcSource)
    source._seconds, source._channels = 2.0, None
    count = 0
    for path, whole in decoded.items():
        with open(path, "rb") as file:
            for row in (row for block in source._read_stream(file, path) for row in block.to_pylist()):
                start = round(row["start"] * RATE)
                assert np.array_equal(np.array(row["audio"]), whole[:, start : start + 2 * RATE])
                count += 1
    assert count == 6
