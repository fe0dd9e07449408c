"""How near one waveform is to another: what encoders choose by. `training.measures` has the same, differentiable.

Waveforms are float32 [channels, frames], compared one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MEL_SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))  # window, bands
LEAST_LEVEL = 1e-5
TINY = 1e-12  # power
LEAST_BAND = 1e-4  # energy below which a band does not count
WEIGHT = 0.3  # power of the energy of a band
_NARROWEST = 4  # bins of a band that has a structure
_OVERLAP = 4  # windows at any time
_AT_ONCE = 1 << 18  # samples of windows: bounds memory
_FAST_SIZE = 1024  # from which on a fast transform is faster than the product with a matrix


def mel_distance(estimate: Floats, target: Floats, samplerate: int) -> float:
    """The mel distance of Kumar et al. (2023), section 3.5: mean differences of log10 magnitudes in mel bands, summed
    over MEL_SCALES."""
    total = 0.0
    for size, bands in MEL_SCALES:
        matrix, differences, count = mel_bands(samplerate, size, bands).T, 0.0, 0
        for parts in _magnitudes(estimate, target, size):
            ours, theirs = (np.log10(np.maximum(part @ matrix, np.float32(LEAST_LEVEL))) for part in parts)
            differences += float(np.abs(ours - theirs).sum(dtype=np.float64))
            count += ours.size
        total += differences / count
    return total


def mel_distances(
    estimate: Floats, target: Floats, samplerate: int, stretch: int, margin: int
) -> NDArray[np.float64]:
    """About the same for each stretch of `stretch` frames, by the windows in the middle of which it lies, of three of
    MEL_SCALES: float64 [stretches]. Waveforms have `margin` frames of context on either side."""
    count = -(-(target.shape[1] - 2 * margin) // stretch)
    total = np.zeros(count)
    for size, bands in MEL_SCALES[2::2]:
        matrix = mel_bands(samplerate, size, bands).T
        for one, other in zip(estimate, target, strict=True):
            parts = [
                np.abs(np.subtract(*(np.log10(np.maximum(part @ matrix, np.float32(LEAST_LEVEL))) for part in pair)))
                for pair in _magnitudes(one[None], other[None], size)
            ]
            differences = np.concatenate(parts).mean(axis=1, dtype=np.float64)
            place = (np.arange(len(differences)) * (size // _OVERLAP) - margin) // stretch
            inside = (place >= 0) & (place < count)
            sums = np.bincount(place[inside], differences[inside], count)
            total += sums / np.maximum(np.bincount(place[inside], minlength=count), 1)
    return total * len(MEL_SCALES) / (len(MEL_SCALES[2::2]) * len(target))


def level_offset(estimate: Floats, target: Floats, samplerate: int) -> float:
    """By how much an estimate is too loud, or too dull where it is below 0: the mean difference of log10 magnitudes in
    mel bands."""
    size, bands = MEL_SCALES[-2]
    matrix, differences, count = mel_bands(samplerate, size, bands).T, 0.0, 0
    for parts in _magnitudes(estimate, target, size):
        ours, theirs = (np.log10(np.maximum(part @ matrix, np.float32(LEAST_LEVEL))) for part in parts)
        differences += float((ours - theirs).sum(dtype=np.float64))
        count += ours.size
    return differences / max(count, 1)


def tonal_similarity(estimate: Floats, target: Floats, samplerate: int, size: int = 8192) -> float:
    """How well the partials are in their places, from 0 to 1: the cosine between magnitudes inside each Bark band of a
    long window of `size` frames, weighted by the band's energy to a power. Noise of the right level reaches 0.79 where
    the target is noise, and far less where it is tonal."""
    bands, similar, total = bark_bands(samplerate, size).T, 0.0, 0.0
    for ours, theirs in _magnitudes(estimate, target, size):
        energy, wanted, common = (product @ bands for product in (ours * ours, theirs * theirs, ours * theirs))
        weight = np.where(wanted > LEAST_BAND, wanted, np.float32(0)) ** np.float32(WEIGHT)
        similar += float((weight * common / np.sqrt(energy * wanted + np.float32(TINY))).sum(dtype=np.float64))
        total += float(weight.sum(dtype=np.float64))
    return similar / max(total, TINY)


def _magnitudes(one: Floats, other: Floats, size: int) -> Iterator[tuple[Floats, Floats]]:
    """Of the spectra of both under Hann windows of `size` frames, zeros before and after: [windows, bins], some windows
    at a time."""
    for pair in zip(one, other, strict=True):
        padded = (np.pad(np.asarray(channel, np.float32), size // 2) for channel in pair)
        windows = [np.lib.stride_tricks.sliding_window_view(audio, size)[:: size // _OVERLAP] for audio in padded]
        for start in range(0, len(windows[0]), _AT_ONCE // size):
            parts = (part[start : start + _AT_ONCE // size] for part in windows)
            if size < _FAST_SIZE:
                squares = ((np.ascontiguousarray(part) @ _transform(size)) ** 2 for part in parts)
                powers = [one[:, : size // 2 + 1] + one[:, size // 2 + 1 :] for one in squares]
            else:
                powers = _powers(*(part * _window(size) for part in parts))
            yield np.sqrt(powers[0] + np.float32(TINY)), np.sqrt(powers[1] + np.float32(TINY))


def _powers(one: Floats, other: Floats) -> list[Floats]:
    """Of the spectra of real rows, by one complex transform of both: its even part belongs to the one, what is odd to
    the other. The inverse one: NumPy's is several times as fast, and a spectrum has the power of its conjugate."""
    both, size = np.empty(one.shape, np.complex64), one.shape[1]
    both.real, both.imag = one, other
    found = np.fft.ifft(both, norm="forward").astype(np.complex64, copy=False)
    left, right = found[:, : size // 2 + 1], np.conj(np.roll(found[:, ::-1], 1, axis=1)[:, : size // 2 + 1])
    parts = (left + right, left - right)
    return [np.float32(0.25) * (np.square(part.real) + np.square(part.imag)) for part in parts]


@lru_cache(maxsize=16)
def _window(size: int) -> Floats:
    return np.square(np.sin(np.pi * np.arange(size) / size)).astype(np.float32)


@lru_cache(maxsize=16)
def _transform(size: int) -> Floats:
    """Cosines and sines under the window [size, 2 * bins]."""
    turns = np.arange(size)[:, None] * np.arange(size // 2 + 1) % size / size
    waves = np.exp(-2j * np.pi * turns) * _window(size)[:, None]
    return np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)


@lru_cache(maxsize=32)
def mel_bands(samplerate: int, size: int, bands: int) -> Floats:
    """Triangular bands float32 [bands, bins], evenly spaced on the mel scale of Slaney's Auditory Toolbox (1998):
    linear to 1 kHz, then logarithmic; each of unit area over frequency in Hz."""
    step, knee = 200 / 3, 1000.0
    growth = np.log(6.4) / 27
    highest = samplerate / 2
    top = highest / step if highest < knee else knee / step + np.log(highest / knee) / growth
    mels = np.linspace(0, top, bands + 2)
    edges = np.where(mels < knee / step, mels * step, knee * np.exp(growth * (mels - knee / step)))
    hertz = np.linspace(0, samplerate / 2, size // 2 + 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hertz - left) / (centre - left), (right - hertz) / (right - centre)
    matrix = np.clip(np.minimum(rising, falling), 0, None) * 2 / (right - left)
    return matrix.astype(np.float32)


@lru_cache(maxsize=8)
def bark_bands(samplerate: int, size: int) -> Floats:
    """Which bins are in which Bark band (Traunmueller 1990): float32 [bands, bins] of zeros and ones, without bands of
    few bins."""
    hertz = np.arange(size // 2 + 1) * samplerate / size
    band = np.floor(26.81 * hertz / (1960 + hertz) - 0.53)
    inside = band[None] == np.arange(24)[:, None]
    return inside[inside.sum(axis=1) >= _NARROWEST].astype(np.float32)
