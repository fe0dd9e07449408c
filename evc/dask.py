"""Dask reads .evc files: blocks that are decoded when they are computed. Importing this imports dask and pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evc.catalogue.reading import Paths, evc_paths, opened
from evc.format.errors import InputError

try:
    import dask
    import pandas
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("evc.dask needs dask and pandas: pip install 'evc[catalogue]'", name="dask") from error

if TYPE_CHECKING:
    from dask.delayed import Delayed


def read_evc(paths: Paths, *, seconds: float | None = None) -> tuple[pandas.DataFrame, list[Delayed]]:
    """A table of blocks, and the blocks themselves, each a `Delayed` that becomes float32 [frames, channels].

        table, blocks = evc.dask.read_evc("encoded", seconds=30)
        loud = dask.compute(*[dask.delayed(np.std)(block) for block in blocks])

    A block is a file, or with `seconds` a stretch of so many, of which the last of a file may be shorter; only segments
    that it needs are decoded. The table has path, start (s), duration (s), frames, samplerate, channels, layers, kbps
    and the tags title, artist and genre, a row for each block. Reading it opens all files, in parallel, and decodes
    none. Raises InputError, and what opening and decoding raise.
    """
    if seconds is not None and not seconds > 0:
        raise InputError(f"blocks of {seconds:g} s: more than 0 are expected")
    about = dask.delayed(_about)
    found = dask.compute(*[about(path, seconds) for path in evc_paths(paths)])
    rows = [row for of_file in found for row in of_file]
    table = pandas.DataFrame(rows)
    read = dask.delayed(_read)
    blocks = [read(row["path"], round(row["start"] * row["samplerate"]), row["frames"]) for row in rows]
    return table, blocks


def _about(path: str, seconds: float | None) -> list[dict[str, Any]]:
    """The rows of a file."""
    from evc.format.tags import values_of

    with opened(path) as file:
        length = file.frames if seconds is None else max(1, round(seconds * file.samplerate))
        shared = {
            "samplerate": file.samplerate, "channels": file.channels, "layers": "+".join(file.layers),
            "kbps": 8 * file.file_bytes / file.duration / 1000 if file.frames else 0.0,
        }  # fmt: skip
        shared |= {name: ", ".join(values_of(file.tags.get(name, []))) for name in ("title", "artist", "genre")}
        starts = range(0, file.frames, length) if file.frames else [0]
        return [
            {"path": path, "start": start / file.samplerate, "duration": frames / file.samplerate, "frames": frames}
            | shared
            for start, frames in ((start, min(length, file.frames - start)) for start in starts)
        ]


def _read(path: str, start: int, frames: int) -> NDArray[np.float32]:
    with opened(path) as file:
        file.seek(start)
        return file.read(frames, always_2d=True)
