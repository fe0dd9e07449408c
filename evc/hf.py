"""A feature for Hugging Face `datasets`: .evc files that are decoded on access. Importing this imports datasets."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar

import evc
from evc.catalogue.reading import check_channels, opened, with_channels
from evc.format.errors import InputError

try:
    import pyarrow as pa
    from datasets import Value
    from datasets.features.features import register_feature
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("evc.hf needs datasets: pip install 'evc[catalogue]'", name="datasets") from error

_STORED = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@dataclass
class EvcAudio:
    """Of a column with paths, URLs or bytes of .evc files: what `datasets.Audio` is of other files.

        rows = Dataset.from_dict({"audio": paths}).cast_column("audio", EvcAudio(num_channels=1))
        rows[0]["audio"]    # {"path": ..., "array": float32 [frames], "sampling_rate": ...}

    Decoded on access, each time; the array is [frames] for one channel, else [channels, frames]. `num_channels` makes
    files of one and two channels alike. With `decode` off the column has the paths and bytes themselves. Raises
    InputError, and on access what decoding raises.
    """

    num_channels: int | None = None
    decode: bool = True
    id: str | None = field(default=None, repr=False)
    dtype: ClassVar[str] = "dict"
    pa_type: ClassVar[Any] = _STORED
    _type: str = field(default="EvcAudio", init=False, repr=False)

    def __post_init__(self) -> None:
        check_channels(self.num_channels)

    def __call__(self) -> Any:
        return self.pa_type

    def encode_example(self, value: Any) -> dict[str, Any]:
        """A path, the bytes of a file, a dict with one of them, or one with array ([frames] or [channels, frames]) and
        sampling_rate, which is encoded, as it is stored."""
        if isinstance(value, (str, os.PathLike)):
            return {"bytes": None, "path": os.fspath(value)}
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": bytes(value), "path": None}
        if isinstance(value, dict) and value.get("array") is not None:
            data = evc.encode(value["array"].T, int(value["sampling_rate"]))
            return {"bytes": data, "path": value.get("path")}
        if isinstance(value, dict) and (value.get("path") is not None or value.get("bytes") is not None):
            return {"bytes": value.get("bytes"), "path": value.get("path")}
        raise InputError(f"{type(value).__name__}: a path, bytes, or a dict with one of them or an array is expected")

    def decode_example(self, value: Any, token_per_repo_id: dict[str, Any] | None = None) -> dict[str, Any]:
        """What a row shows."""
        if not self.decode:
            raise InputError("decoding is switched off: EvcAudio(decode=True) switches it on")
        if "array" in value:
            return dict(value)
        path, data = value["path"], value["bytes"]
        with opened(path) if data is None else evc.open(io.BytesIO(data)) as file:
            audio, samplerate = file.read(always_2d=True).T, file.samplerate
        audio = with_channels(audio, self.num_channels, path or "bytes")
        return {"path": path, "array": audio[0] if len(audio) == 1 else audio, "sampling_rate": samplerate}

    def flatten(self) -> Any:
        """The stored columns, where nothing is decoded."""
        if self.decode:
            raise InputError("a feature that decodes cannot be flattened: EvcAudio(decode=False) can")
        return {"bytes": Value("binary"), "path": Value("string")}

    def cast_storage(self, storage: Any) -> Any:
        """Arrow arrays of paths, of bytes, or of structs with them, as they are stored."""
        if pa.types.is_struct(storage.type):
            names = [storage.type.field(number).name for number in range(storage.type.num_fields)]
            parts = {name: storage.field(name) for name in ("bytes", "path") if name in names}
        else:
            text = pa.types.is_string(storage.type) or pa.types.is_large_string(storage.type)
            parts = {"path" if text else "bytes": storage}
        columns = [
            parts[name].cast(kind) if name in parts else pa.nulls(len(storage), kind)
            for name, kind in ((part.name, part.type) for part in _STORED)
        ]
        return pa.StructArray.from_arrays(columns, fields=list(_STORED), mask=storage.is_null())

    def embed_storage(self, storage: Any, token_per_repo_id: dict[str, Any] | None = None, **_: Any) -> Any:
        """With the bytes of the files in place of their paths, to be uploaded."""
        rows = []
        for row in storage.to_pylist():
            if row is not None and row["bytes"] is None and row["path"] is not None:
                row = {"bytes": _bytes_of(row["path"]), "path": os.path.basename(row["path"])}
            rows.append(row)
        return pa.array(rows, self.pa_type)


def _bytes_of(path: str) -> bytes:
    from evc.catalogue.places import split

    folder, name = split(path)
    return folder.bytes_of(name)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that registering is experimental
    register_feature(EvcAudio, "EvcAudio")
