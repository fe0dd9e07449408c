"""Ray Data reads .evc files. Importing this imports ray."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from evc.catalogue.reading import check_channels, with_channels
from evc.file import EvcFile

try:
    import pyarrow as pa
    import ray.data
    from ray.data.datasource import FileBasedDatasource
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("evc.ray needs ray: pip install 'evc[catalogue]'", name="ray") from error

if TYPE_CHECKING:
    from numpy.typing import NDArray


def read_evc(
    paths: str | list[str], *, seconds: float | None = None, channels: int | None = None, **given: Any
) -> ray.data.Dataset:
    """A Ray dataset of .evc files: paths, folders or URLs as `ray.data.read_binary_files` takes them, and what else it
    takes. A row has audio (float32 [channels, frames]), samplerate, start (s) and path: one for each file, or with
    `seconds` one for each stretch of so many, of which the last of a file may be shorter.

        evc.ray.read_evc("s3://archive/evc", seconds=10, channels=1).map_batches(model)

    `channels` makes files of one and two channels alike. Raises InputError, and when it is read what decoding raises.
    """
    check_channels(channels)
    apart = {name: given.pop(name) for name in ("parallelism", "concurrency", "ray_remote_args") if name in given}
    return ray.data.read_datasource(_EvcSource(paths, seconds, channels, **given), **apart)


class _EvcSource(FileBasedDatasource):  # type: ignore[misc, unused-ignore]
    def __init__(self, paths: str | list[str], seconds: float | None, channels: int | None, **given: Any) -> None:
        super().__init__(paths, file_extensions=["evc"], **given)
        self._seconds, self._channels = seconds, channels

    def _read_stream(self, f: Any, path: str) -> Iterator[Any]:
        with EvcFile(io.BytesIO(f.read())) as file:
            length = file.frames if self._seconds is None else round(self._seconds * file.samplerate)
            for start in range(0, file.frames, max(length, 1)):
                audio = np.ascontiguousarray(file.read(length, always_2d=True).T)
                yield _row(with_channels(audio, self._channels, path), file.samplerate, start / file.samplerate, path)


def _row(audio: NDArray[np.float32], samplerate: int, start: float, path: str) -> Any:
    from ray.data.extensions import ArrowTensorArray

    tensor = ArrowTensorArray.from_numpy(audio[None])
    return pa.table({"audio": tensor, "samplerate": [samplerate], "start": [start], "path": [path]})
