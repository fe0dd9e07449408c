"""What the latent networks see and what they make heard, in NumPy or compiled: `features` for inference.

Spectra are complex64 [frames, 2 (mid, side), BINS], all else by bin float32 [frames, 2, BINS].
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.lazy import once
from evc.models.latents.layout import (
    BANDS,
    BINS,
    CHANNELS,
    FAINTEST,
    FINE_BINS,
    GOLDEN,
    HOP,
    LEAST_GAIN,
    LEAST_HEARD,
    LEAST_RATIO,
    MOST_GAIN,
    OVERLAP,
    SIDE_SHARE,
    SILENCE,
    WINDOW,
)

Floats = NDArray[np.float32]
Spectra = NDArray[np.complex64]

_FAINT = FAINTEST**0.5


class Envelope(NamedTuple):
    """Of y: its local magnitude and its envelope W, and what all views tell of W [frames, 2, 2 * BANDS]."""

    local: Floats
    scale: Floats
    tail: Floats

    def part(self, frames: slice) -> Envelope:
        """That of some of the frames."""
        return Envelope(self.local[frames], self.scale[frames], self.tail[frames])


def spectrum(audio: Floats, frames: int) -> Spectra:
    """Spectra of audio [2, (frames - 1) * HOP + WINDOW] under Hann windows."""
    audio = np.ascontiguousarray(audio, np.float32)
    if kernels.lib is not None:
        found = np.empty((frames, CHANNELS, BINS), np.complex64)
        kernels.lib.evc_spectra(
            kernels.pointer(audio), audio.shape[1], kernels.pointer(_window()), HOP, frames, kernels.pointer(found)
        )
        return found
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW, axis=1)[:, ::HOP] * _window()
    # NumPy's inverse transform is several times as fast as the one that is meant.
    spectra = np.fft.ifft(windows.astype(np.complex64), norm="forward")[..., :BINS].conj()
    return np.ascontiguousarray(spectra.swapaxes(0, 1), np.complex64)


def waveform(spectra: Spectra) -> Floats:
    """Windows of spectra added up: [2, (frames - 1) * HOP + WINDOW], of which WINDOW - HOP samples at each end lack
    some."""
    frames, window = len(spectra), _window() / np.float32(OVERLAP)
    audio = np.zeros((CHANNELS, (frames - 1) * HOP + WINDOW), np.float32)
    if kernels.lib is not None:
        kernels.lib.evc_waveform(
            kernels.pointer(spectra), frames, kernels.pointer(window), HOP, kernels.pointer(audio), audio.shape[1]
        )
        return audio
    pieces = np.fft.irfft(spectra, WINDOW).astype(np.float32) * window
    for frame, piece in enumerate(pieces):
        audio[:, frame * HOP : frame * HOP + WINDOW] += piece
    return audio


def envelope(spectra: Spectra) -> Envelope:
    """The power in overlapping bands and three frames, interpolated, and W, the same with a little of the loudest
    band; before the first and behind the last frame there is silence."""
    frames, bands = len(spectra), _bands()
    powers = _band_powers(spectra)
    powers[:, 1] += np.float32(SIDE_SHARE) * powers[:, 0]
    near = np.pad(powers, ((1, 1), (0, 0), (0, 0)))
    smooth = np.float32(0.25) * near[:-2] + np.float32(0.5) * powers + np.float32(0.25) * near[2:]
    if kernels.lib is not None:
        local, scale = (np.empty((frames, CHANNELS, BINS), np.float32) for _ in range(2))
        coarse = np.empty((frames, CHANNELS, BANDS), np.float32)
        kernels.lib.evc_mel_envelope(
            bands.struct(), kernels.pointer(smooth), frames, SILENCE, FAINTEST,
            kernels.pointer(local), kernels.pointer(scale), kernels.pointer(coarse),
        )  # fmt: skip
    else:
        least = np.float32(FAINTEST) * smooth.max(axis=(1, 2), keepdims=True)
        power = smooth @ bands.matrix + np.float32(SILENCE)
        local, scale = np.sqrt(power), np.sqrt(power + least)
        coarse = np.log(scale @ bands.averages)
    loudest = coarse.max(axis=(1, 2), keepdims=True)
    tail = np.concatenate([(coarse - loudest) / 4, np.maximum(coarse / 8, np.float32(-1))], axis=2)
    return Envelope(local, scale, tail)


def view(
    spectra: Spectra, over: Envelope, features: Floats, power: Floats | None = None, levels: Floats | None = None
) -> None:
    """Mid and side over the envelope of as many frames, as the networks see them: with a faint fixed spectrum added,
    that empty bands look the same whatever the rounding of a transform leaves in them. What is given becomes
    `features` [frames, FEATURES], the `power` of each bin, and natural logarithms of the magnitudes in bands, `levels`
    [frames, 2 * BANDS]."""
    frames = len(spectra)
    if kernels.lib is not None:
        given = (kernels.ffi.NULL if array is None else kernels.pointer(array) for array in (power, levels))
        kernels.lib.evc_view(
            _bands().struct(), *map(kernels.pointer, (spectra, over.scale, _carpet())), _FAINT, LEAST_RATIO,
            kernels.pointer(over.tail), over.tail.shape[2], frames, kernels.pointer(features), *given,
        )  # fmt: skip
        return
    faint = np.float32(_FAINT) * over.scale.max(axis=(1, 2), keepdims=True)
    ratio = (spectra + faint * _carpet()) / over.scale
    found = np.square(ratio.real) + np.square(ratio.imag)
    least = np.float32(LEAST_RATIO)
    fine = ratio[..., :FINE_BINS] / np.sqrt(np.sqrt(found[..., :FINE_BINS] + least))
    parts = np.float32(0.5) * np.log(found + least), fine.real, fine.imag, over.tail
    np.concatenate(parts, axis=2, out=features.reshape(frames, CHANNELS, -1))
    if power is not None:
        power[:] = found
    if levels is not None:
        levels[:] = (np.float32(0.5) * np.log(found @ _bands().averages + least)).reshape(frames, -1)


def bend(spectra: Spectra, local: Floats, power: Floats, said: Floats, biases: Floats, louder: Floats) -> None:
    """Change spectra of a power in place: by gains, contrasts and what is added, which a network `said` in each frame
    [frames, 2 * BINS + 2 * BANDS + 4 * BINS] but for its `biases`, and by gains in bands `louder` [frames, 2 * BANDS].
    """
    frames = len(spectra)
    if kernels.lib is not None:
        kernels.lib.evc_heard(
            _bands().struct(), *map(kernels.pointer, (said, biases, louder, power)), LEAST_HEARD,
            kernels.pointer(local), LEAST_GAIN, MOST_GAIN, frames, kernels.pointer(spectra),
        )  # fmt: skip
        return
    gains, contrast, added = np.split(said + biases, (CHANNELS * BINS, CHANNELS * (BINS + BANDS)), axis=1)
    contrast, louder = (values.reshape(frames, CHANNELS, BANDS) @ _bands().matrix for values in (contrast, louder))
    levels = np.float32(0.5) * np.log(power + np.float32(LEAST_HEARD))
    exponent = gains.reshape(frames, CHANNELS, BINS) + louder + contrast * levels
    spectra *= np.exp(np.clip(exponent, np.float32(LEAST_GAIN), np.float32(MOST_GAIN)))
    real, imaginary = added.reshape(frames, CHANNELS, 2, BINS).swapaxes(0, 2).swapaxes(1, 2)
    spectra.real += local * real
    spectra.imag += local * imaginary


def _band_powers(spectra: Spectra) -> Floats:
    """Mean power in bands [frames, 2, BANDS]."""
    if kernels.lib is not None:
        powers = np.empty((len(spectra), CHANNELS, BANDS), np.float32)
        rows = CHANNELS * len(spectra)
        kernels.lib.evc_band_powers(_bands().struct(), kernels.pointer(spectra), rows, kernels.pointer(powers))
        return powers
    found: Floats = (np.square(spectra.real) + np.square(spectra.imag)) @ _bands().averages
    return found


class _Bands:
    """Triangles [BANDS, BINS] that sum to 1 in every bin; as wide as a bin at first, then on the scale of critical
    bands, here asinh(bin / 12)."""

    def __init__(self) -> None:
        place = np.arcsinh(np.arange(BINS) / 12) / np.arcsinh((BINS - 1) / 12) * (BANDS - 1)
        matrix = np.maximum(1 - np.abs(place - np.arange(BANDS)[:, None]), 0)
        self.matrix = matrix.astype(np.float32)
        self._means = (1 / self.matrix.sum(axis=1)).astype(np.float32)
        self.averages = np.ascontiguousarray((self.matrix * self._means[:, None]).T)
        below = np.minimum(place.astype(np.int32), BANDS - 1)
        self._runs = np.searchsorted(below, np.arange(BANDS + 1)).astype(np.int32)
        self._lower, self._upper = (
            np.ascontiguousarray(self.matrix[np.minimum(below + above, BANDS - 1), np.arange(BINS)]) for above in (0, 1)
        )
        self._upper[below == BANDS - 1] = 0
        self._struct: Any = None

    def struct(self) -> Any:
        """As the kernels take them."""
        if self._struct is None:
            arrays = self._runs, self._upper, self._lower, self._means
            self._struct = kernels.ffi.new("evc_mel_bands *", [BANDS, *map(kernels.pointer, arrays)])
        return self._struct


@once
def _bands() -> _Bands:
    return _Bands()


@lru_cache(maxsize=1)
def _window() -> Floats:
    return np.square(np.sin(np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@lru_cache(maxsize=1)
def _carpet() -> Spectra:
    """Complex numbers of magnitude 1 [BINS], whose phases advance by the golden ratio of a turn."""
    return np.exp(2j * np.pi * (np.arange(BINS) * GOLDEN % 1)).astype(np.complex64)


def band_triangles() -> Floats:
    """The bands: triangles [BANDS, BINS] that sum to 1 in every bin."""
    return _bands().matrix
