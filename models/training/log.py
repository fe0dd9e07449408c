"""The log of a training run: numbers as JSON lines, sounds as FLAC, pictures as PNG."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

NUMBERS = "log.jsonl"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RANGE_DB = 80.0


class TrainingLog:
    """Writes below `folder`, which is made; numbers are appended to what is there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def numbers(self, values: dict[str, Any]) -> None:
        """One line of JSON, written at once."""
        with open(self.folder / NUMBERS, "a", encoding="utf-8") as file:
            file.write(json.dumps({name: _rounded(value) for name, value in values.items()}) + "\n")

    def audio(self, name: str, audio: ArrayLike, samplerate: int) -> None:
        """Audio [channels, frames] or [frames] as `name`.flac, turned down if it would clip."""
        samples = np.atleast_2d(np.asarray(audio, np.float32))
        samples = samples / max(1.0, float(np.abs(samples).max(initial=0)))
        soundfile.write(self.folder / f"{name}.flac", samples.T, samplerate, "PCM_16")

    def picture(self, name: str, levels: ArrayLike) -> None:
        """Values [rows, columns] from 0 (black) to 1 (white), row 0 at the bottom, as `name`.png."""
        write_png(self.folder / f"{name}.png", np.asarray(levels, np.float64)[::-1])


class Means:
    """Means of figures over steps; one that a step lacks does not count there. `seconds`: when it begins."""

    def __init__(self, seconds: float) -> None:
        self._values: dict[str, list[Tensor]] = {}
        self._begun, self._steps = seconds, 0

    def add(self, figures: Mapping[str, Tensor]) -> None:
        self._steps += 1
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)

    def means(self, seconds: float, waited: float) -> dict[str, float]:
        """At `seconds`, with the speed, and the share of the time in which data were waited for."""
        passed = max(seconds - self._begun, 1e-9)
        figures = {name: float(torch.stack(values).float().mean()) for name, values in self._values.items()}
        return {**figures, "steps_per_second": self._steps / passed, "waiting": waited / passed}


def spectrogram_picture(audio: ArrayLike, size: int = 1024, hop: int = 256) -> NDArray[np.float64]:
    """Levels [bins, columns] from 0 to 1 of audio [frames]: 80 dB below the loudest cell, to it."""
    samples = np.pad(np.asarray(audio, np.float64), (0, size))
    starts = np.arange(0, len(samples) - size + 1, hop)
    cells = np.abs(np.fft.rfft(samples[starts[:, None] + np.arange(size)] * np.hanning(size))).T
    level = 20 * np.log10(cells / max(float(cells.max(initial=0)), 1e-9) + 1e-9)
    return np.clip(1 + level / _RANGE_DB, 0, 1)


def write_png(path: Path, levels: NDArray[np.float64]) -> None:
    """Values [rows, columns] from 0 to 1 as a grey-scale PNG of 8 bits (W3C recommendation, third edition)."""
    pixels = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    rows, columns = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)  # each line begins with its filter: none
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    path.write_bytes(_PNG_SIGNATURE + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
