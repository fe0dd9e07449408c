"""Snippets of sound as files that a page can hold, and which stretch of a track to hear."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats, Signal

FLAC, OGG = "audio/flac", "audio/ogg"
_OPUS_RATE = 48_000
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_MOST_CHANNELS = 8
_STEPS = 1 << 15
_HIGHEST_KBPS, _LOWEST_KBPS = 256.0, 6.0  # of each channel, at the ends of libsndfile's scale


def lossless(audio: NDArray[np.floating], samplerate: int) -> tuple[str, bytes]:
    """Audio [frames, channels] of full scale 1 as FLAC of 16 bits: its media type, and the file."""
    return _flac(steps_of_16_bits(audio), samplerate)


def lossless_difference(
    audio: NDArray[np.floating], other: NDArray[np.floating], samplerate: int
) -> tuple[str, bytes] | None:
    """FLAC of `audio` less `other`, both in steps of 16 bits, so that what is written of `other` and this make `audio`
    again; None where that needs more than 16 bits."""
    difference = steps_of_16_bits(audio) - steps_of_16_bits(other)
    fits = difference.min(initial=0) >= -_STEPS and difference.max(initial=0) < _STEPS
    return _flac(difference, samplerate) if fits else None


def steps_of_16_bits(audio: NDArray[np.floating]) -> NDArray[np.int32]:
    """Audio of full scale 1 rounded, and cut off at what 16 bits hold."""
    return np.clip(np.rint(audio[:, :_MOST_CHANNELS] * _STEPS), -_STEPS, _STEPS - 1).astype(np.int32)


def _flac(steps: NDArray[np.int32], samplerate: int) -> tuple[str, bytes]:
    import soundfile

    target = io.BytesIO()
    soundfile.write(
        target, steps.astype(np.int16), samplerate, format="FLAC", subtype="PCM_16", compression_level=1.0
    )
    return FLAC, target.getvalue()


def small(audio: NDArray[np.floating], samplerate: int, kbps: float = 48.0) -> tuple[str, bytes]:
    """Audio [frames, channels] as Opus of about `kbps` kbit/s where libsndfile writes it, else as `lossless` does."""
    import soundfile

    if not _opus():
        return lossless(audio, samplerate)
    if samplerate not in _OPUS_RATES:
        import soxr

        audio, samplerate = soxr.resample(audio, samplerate, _OPUS_RATE), _OPUS_RATE
    audio = audio[:, :_MOST_CHANNELS]
    level = (_HIGHEST_KBPS - kbps / audio.shape[1]) / (_HIGHEST_KBPS - _LOWEST_KBPS)
    target = io.BytesIO()
    soundfile.write(
        target, audio, samplerate, format="OGG", subtype="OPUS",
        compression_level=min(max(level, 0.0), 1.0),
    )  # fmt: skip
    return OGG, target.getvalue()


@cache
def _opus() -> bool:
    import soundfile

    return "OPUS" in soundfile.available_subtypes("OGG")


@dataclass(frozen=True, eq=False)
class Profile:
    """A sound of `frames` frames in parts of `unit` frames: low, high [parts], its lowest and highest samples, and
    energy [parts]."""

    frames: int
    unit: int
    low: Floats
    high: Floats
    energy: Floats

    @classmethod
    def of(cls, read: Callable[[int, int], Signal], frames: int, samplerate: int) -> Profile:
        """That of `frames` frames, at least one: read(first frame, frames) gives some of them, [frames, channels]. A
        minute at most is in memory."""
        unit = max(1, min(samplerate // 10, frames // 1000))
        at_once = max(1, 60 * samplerate // unit) * unit
        rows = []
        for start in range(0, frames, at_once):
            audio = read(start, min(at_once, frames - start))
            edges = np.arange(0, len(audio), unit)
            energy = np.add.reduceat(np.square(audio, dtype=np.float32).sum(axis=1), edges)
            low, high = np.minimum.reduceat(audio.min(axis=1), edges), np.maximum.reduceat(audio.max(axis=1), edges)
            rows.append(np.stack([low, high, energy]).astype(float))
        return cls(frames, unit, *np.concatenate(rows, axis=1))

    def loudest(self, wanted: int) -> tuple[int, int]:
        """First frame and number of frames of the stretch of at most so many frames that has most energy."""
        frames = max(1, min(self.frames, wanted))
        sums = np.cumsum(np.concatenate([[0.0], self.energy]))
        width = max(1, min(len(self.energy), frames // self.unit))
        start = int(np.argmax(sums[width:] - sums[:-width])) * self.unit
        return max(0, min(start, self.frames - frames)), frames

    def outline(self, points: int) -> Floats:
        """Lowest and highest sample of each of `points` parts, or of as many as there are: [points, 2]."""
        edges = np.linspace(0, len(self.low), min(points, len(self.low)) + 1).astype(int)[:-1]
        return np.stack([np.minimum.reduceat(self.low, edges), np.maximum.reduceat(self.high, edges)], axis=1)


def level_db(audio: NDArray[np.floating]) -> float:
    """The level of audio [frames, channels]: its mean square, in dB; -120 for silence."""
    return float(10 * np.log10(max(np.square(audio, dtype=np.float64).mean(), 1e-12)) if audio.size else -120.0)
