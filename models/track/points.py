"""What a network of its own is worth to a song: bits and likeness, at several steps of its features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evc.models.arrays import Signal
from evc.models.hearing import mel_distance, tonal_similarity
from evc.models.progress import Progress, part
from evc.models.track import coding
from evc.models.track.autoencoder import FEATURES, STRIDE, Autoencoder, Track, features_of, fit_priced, sound_of

AFTERWARDS = 0.5  # step of features of a network that knew nothing of it
FITTED = 0.25, 0.5, 1.0, 2.0  # steps that the network is fitted to, each one from what it was at the one before
_FLOAT_BITS = 32


@dataclass(frozen=True)
class Point:
    """`kind` is "exact" (features as they are, 32 bits each), "rounded" (after the fit) or "fitted" (with its bits in
    the loss). Bits in kbit/s, all of them and those of the network; `features` are those that are used. `snr` in dB,
    `mel` and `tonal` as `evc.models.hearing` has them."""

    kind: str
    step: float | None
    kbps: float
    network_kbps: float
    features: int
    snr: float
    mel: float
    tonal: float


def exact_point(network: Autoencoder, track: Track, samplerate: int) -> Point:
    """The founding experiment: features that are neither rounded nor coded."""
    kbps = _FLOAT_BITS * FEATURES / STRIDE * samplerate / 1000
    decoded = sound_of(network, features_of(network, track.audio), track.audio.shape[1])
    return Point("exact", None, kbps, 0.0, FEATURES, *_likeness(track, decoded * np.float32(track.gain), samplerate))


def coded_point(kind: str, network: Autoencoder, track: Track, samplerate: int, step: float) -> Point:
    """Features in whole steps and the network, coded and decoded again: what counts are the bytes, and what comes out
    of them."""
    frames = track.audio.shape[1]
    features = features_of(network, track.audio)
    coded = coding.written(coding.song_of(network, features, step, frames, track.gain))
    song = coding.read(coded)
    rate = samplerate / frames / 1000
    bits = 8 * (len(coded.words) + coding.CHECK_BYTES)
    figures = _likeness(track, song.sound(), samplerate)
    return Point(kind, step, bits * rate, coding.network_bits(song) * rate, int(song.used.sum()), *figures)


def points(
    network: Autoencoder, track: Track, samplerate: int, steps: int, seed: int = 0, progress: Progress | None = None
) -> Iterator[Point]:
    """The founding experiment's point, then coded ones. `network` is fitted further for them, `steps` steps each."""
    yield exact_point(network, track, samplerate)
    yield coded_point("rounded", network, track, samplerate, AFTERWARDS)
    for number, step in enumerate(FITTED):
        fit_priced(network, track, step, steps, seed, part(progress, number / len(FITTED), (number + 1) / len(FITTED)))
        yield coded_point("fitted", network, track, samplerate, step)


def snr(target: Signal, decoded: Signal) -> float:
    """Energy of `target` over that of the difference, in dB."""
    error, energy = (float(np.square(part, dtype=np.float64).sum()) for part in (target - decoded, target))
    return 10 * float(np.log10((energy + 1e-20) / (error + 1e-20)))


def _likeness(track: Track, decoded: Signal, samplerate: int) -> tuple[float, float, float]:
    original = track.audio * np.float32(track.gain)
    mel, tonal = (measure(decoded, original, samplerate) for measure in (mel_distance, tonal_similarity))
    return snr(original, decoded), mel, tonal
