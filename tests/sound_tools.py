"""Sound files as other programs leave them: broken headers, cut ends, streams behind one another."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evc.format.errors import EvcWarning
from evc.sound.source import FileSource

CASES = Path(os.environ.get("EVC_CASES", Path(__file__).parents[2] / "shared" / "cases"))
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="EVC_CASES names no folder of case files")


def noise(frames: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    """White noise, float32 [frames, channels], of which no stretch is like another, on the grid of 16 bits."""
    random = np.random.default_rng(seed)
    return (random.integers(-8000, 8000, (frames, channels)) / 32768).astype(np.float32)


def sound_file(audio: np.ndarray, format: str, samplerate: int = 44_100, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, audio, samplerate, subtype, format=format)
    return file.getvalue()


def read_all(path: Path) -> tuple[np.ndarray, list[str]]:
    """All that the encoder gets of a sound file, float32 [frames, channels], and what it was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with FileSource(path) as source:
            audio = source.read(0, source.frames).T
    assert all(issubclass(each.category, EvcWarning) for each in caught)
    return audio, [str(each.message).removeprefix(f"{path}: ") for each in caught]
