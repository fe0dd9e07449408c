"""How well the ends of files are coded: the error of the first and the last 10 ms over that of the 90 ms beside them.

    python tests/benchmarks/ends.py FILE...        excerpts of 3 s from the middle of each

For each setting: the ratios' geometric means and greatest values, and how loud the first and the last 10 ms are in the
decoded file. Below, the seam of a loop of tones: the largest error within 1 ms of it over the largest elsewhere.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

import evc

SECONDS = 3.02
WAVEFORMS: list[dict[str, Any]] = [{"quality": 6}, {"bitrate": 96}]
LATENTS: list[dict[str, Any]] = [{"bitrate": 6}, {"bitrate": 12}]

Audio = NDArray[np.float32]


def rms(audio: Audio) -> float:
    return float(np.sqrt(np.square(audio, dtype=np.float64).mean())) + 1e-9


def excerpt(path: str) -> tuple[Audio, int]:
    audio, samplerate = soundfile.read(path, dtype="float32", always_2d=True)
    frames = round(SECONDS * samplerate)
    start = max(0, len(audio) // 2 - frames // 2)
    return audio[start : start + frames], samplerate


def ends(audio: Audio, samplerate: int, settings: dict[str, Any]) -> list[float]:
    """Error of the first and of the last 10 ms over that beside, and their levels in dB less the source's."""
    decoded = evc.decode(evc.encode(audio, samplerate, patterns="off", **settings))[0].reshape(audio.shape)
    error, short, long = decoded - audio, samplerate // 100, samplerate // 10
    outer, inner = (slice(short), slice(-short, None)), (slice(short, long), slice(-long, -short))
    ratios = [rms(error[out]) / rms(error[beside]) for out, beside in zip(outer, inner, strict=True)]
    return ratios + [20 * np.log10(rms(decoded[out]) / rms(audio[out])) for out in outer]


def seam(loop: bool, settings: dict[str, Any]) -> float:
    """Of a second of tones that meets itself."""
    phases = 2 * np.pi * np.arange(48_000)[:, None] * np.array([220, 555, 3001]) / 48_000 + np.array([1.0, 2.0, 0.3])
    audio = (np.sin(phases) @ np.array([[0.3, 0.25], [0.2, 0.1], [0.05, 0.1]])).astype(np.float32)
    error = np.abs(evc.decode(evc.encode(audio, 48_000, loop=loop, **settings))[0] - audio).max(axis=1)
    return float(max(error[:48].max(), error[-48:].max()) / error[48:-48].max())


def main(paths: list[str]) -> None:
    excerpts = [excerpt(path) for path in paths]
    print(f"{'':16}  error first, last 10 ms   greatest      level, dB")
    for settings in WAVEFORMS + LATENTS:
        rows = np.array([ends(audio, samplerate, settings) for audio, samplerate in excerpts])
        means, most = np.exp(np.log(rows[:, :2]).mean(axis=0)), rows[:, :2].max(axis=0)
        levels = rows[:, 2:].mean(axis=0)
        figures = "   ".join(f"{a:6.2f} {b:6.2f}" for a, b in (means, most, levels))
        print(f"{' '.join(f'{name} {value}' for name, value in settings.items()):16}  {figures}")
    for loop in (False, True):
        found = ", ".join(f"{seam(loop, settings):.2f}" for settings in ({}, {"quality": 10}, *WAVEFORMS[1:]))
        print(f"seam, loop={loop}: quality 6, 10, 96 kbit/s: {found}")


if __name__ == "__main__":
    main(sys.argv[1:])
