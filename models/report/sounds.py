"""Snippets of sound as files that a page can hold, and which stretch of a track to hear."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal

FLAC, OGG = "audio/flac", "audio/ogg"
_OPUS_RATE = 48_000
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_MOST_CHANNELS = 8
_HIGHEST_KBPS, _LOWEST_KBPS = 256.0, 6.0  # of a channel pair, at the ends of libsndfile's scale


def lossless(audio: NDArray[np.floating], samplerate: int) -> tuple[str, bytes]:
    """Audio [frames, channels] of full scale 1 as FLAC of 16 bits: its media type, and the file."""
    import soundfile

    target = io.BytesIO()
    clipped = np.clip(audio[:, :_MOST_CHANNELS], -1, 1)
    soundfile.write(target, clipped, samplerate, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return FLAC, target.getvalue()


def small(audio: NDArray[np.floating], samplerate: int, kbps: float = 64.0) -> tuple[str, bytes]:
    """Audio [frames, channels] as Opus of about `kbps` kbit/s where libsndfile writes it, else as `lossless` does."""
    import soundfile

    if not _opus():
        return lossless(audio, samplerate)
    if samplerate not in _OPUS_RATES:
        import librosa

        audio = librosa.resample(audio, orig_sr=samplerate, target_sr=_OPUS_RATE, axis=0, res_type="soxr_mq")
        samplerate = _OPUS_RATE
    level = (_HIGHEST_KBPS - kbps) / (_HIGHEST_KBPS - _LOWEST_KBPS)
    target = io.BytesIO()
    soundfile.write(
        target, audio[:, :_MOST_CHANNELS], samplerate, format="OGG", subtype="OPUS",
        compression_level=min(max(level, 0.0), 1.0),
    )  # fmt: skip
    return OGG, target.getvalue()


@cache
def _opus() -> bool:
    import soundfile

    return "OPUS" in soundfile.available_subtypes("OGG")


def loudest(audio: Signal, samplerate: int, seconds: float) -> tuple[int, int]:
    """First frame and number of frames of the stretch of at most so many seconds that has most energy."""
    frames = max(1, min(len(audio), round(seconds * samplerate)))
    block = max(1, samplerate // 10)
    power = np.square(audio, dtype=np.float32).sum(axis=1)
    blocks = np.add.reduceat(power, np.arange(0, len(power), block)) if len(power) else np.zeros(1)
    sums = np.cumsum(np.concatenate([[0.0], blocks]))
    width = max(1, min(len(blocks), frames // block))
    start = int(np.argmax(sums[width:] - sums[:-width])) * block
    return max(0, min(start, len(audio) - frames)), frames


def level_db(audio: NDArray[np.floating]) -> float:
    """The level of audio [frames, channels]: its mean square, in dB; -120 for silence."""
    return float(10 * np.log10(max(np.square(audio, dtype=np.float64).mean(), 1e-12)) if audio.size else -120.0)


def outline(audio: Signal, points: int) -> NDArray[np.float64]:
    """Lowest and highest sample of each of `points` parts of audio [frames, channels]: [points, 2]."""
    frames = len(audio)
    points = max(1, min(points, frames))
    edges = np.linspace(0, frames, points + 1).astype(int)[:-1]
    low = np.minimum.reduceat(audio.min(axis=1), edges)
    high = np.maximum.reduceat(audio.max(axis=1), edges)
    return np.stack([low, high], axis=1).astype(float)
