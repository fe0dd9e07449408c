"""Where to look next: the highest peaks of the residual's spectrograms, at three time resolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats
from evc.models.events.weighting import Weighting, bark

SCALES = (1024, 4096, 16384)  # window lengths, in frames of the analysis rate: 46, 186 and 743 ms
LOWEST = 28.0  # Hz
HIGHEST = 10_000.0
CLOSE_IN_TIME = 0.6  # of the sum of two windows: peaks nearer than this, and ...
CLOSE_IN_FREQUENCY = 2.5  # ... than so many bins, are not fitted in the same round
WEAKEST = 0.1  # of the strongest peak of a round
CANDIDATES = 8  # of each scale are looked at for each peak that is wanted


@dataclass(frozen=True)
class Peak:
    """A maximum of the weighted spectrogram: time in s, frequency in Hz, scale (window length in frames), and the
    weighted energy that a windowed tone would take away there."""

    time: float
    frequency: float
    scale: int
    gain: float


class Picker:
    """Finds peaks in a residual [channels, frames] at `rate` Hz that changes from call to call: those before `end`
    seconds above a weighted energy of `least`."""

    def __init__(self, rate: float, weighting: Weighting, residual: Floats, end: float, least: float) -> None:
        self._rate = rate
        self._scales = [_Spectrogram(scale, rate, weighting, residual.shape, end, least) for scale in SCALES]

    def peaks(self, residual: Floats, changed: NDArray[np.int64], most: int) -> list[Peak]:
        """At most `most` peaks, no two close to each other, strongest first. `changed` [n, 2]: the spans of frames in
        which the residual is another than in the call before."""
        rows = [spectrogram.peaks(residual, changed, CANDIDATES * most) for spectrogram in self._scales]
        found = np.concatenate(rows, axis=1)
        return _apart(found[:, np.argsort(-found[3], kind="stable")], self._rate, most)


class _Spectrogram:
    """The peaks of one scale, column by column: columns that a change does not reach are not computed again."""

    def __init__(
        self, scale: int, rate: float, weighting: Weighting, shape: tuple[int, ...], end: float, least: float
    ) -> None:
        self._scale, self._hop, self._rate, self._least = scale, scale // 4, rate, least
        self._window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(scale) / scale))
        columns = min(shape[1] // self._hop + 1, int((end * rate + scale / 2) / self._hop) + 1)
        frequencies = np.fft.rfftfreq(scale, 1 / rate)
        weights = weighting.map[bark(frequencies)]
        weights[(frequencies < LOWEST) | (frequencies > HIGHEST) | (frequencies > 0.48 * rate)] = 0
        weights *= 2 / np.square(self._window).sum() / rate
        at = weighting.columns(np.arange(columns) * self._hop / rate)
        self._weights = np.ascontiguousarray(weights[:, at].T, np.float32)  # [columns, bins]
        self._found = np.zeros((3, 0))  # column, bin and its fraction, and gain of every peak
        self._stale = np.ones(columns, bool)
        self._padded = np.zeros((shape[0], shape[1] + 2 * scale))

    def peaks(self, residual: Floats, changed: NDArray[np.int64], most: int) -> Floats:
        """Time, frequency, scale and gain of the strongest [4, peaks]."""
        half = self._scale // 2
        self._padded[:, half : half + residual.shape[1]] = residual
        for first, last in (changed - half) // self._hop + [1, 1]:
            self._stale[max(0, first) : max(0, last + self._scale // self._hop)] = True
        columns = np.flatnonzero(self._stale)
        if len(columns):
            kept = self._found[:, ~self._stale[self._found[0].astype(np.int64)]]
            self._found = np.concatenate([kept, self._of_columns(columns)], axis=1)
            self._stale[:] = False
        column, bins, gain = self._found
        if len(gain) > most:
            strongest = np.sort(np.argpartition(-gain, most)[:most])
            column, bins, gain = self._found[:, strongest]
        times, frequencies = column * (self._hop / self._rate), bins * (self._rate / self._scale)
        return np.stack([times, frequencies, np.full(len(gain), float(self._scale)), gain])

    def _of_columns(self, columns: NDArray[np.int64]) -> Floats:
        """The peaks of some columns, as in `_found`."""
        power = np.zeros((len(columns), self._scale // 2 + 1), np.float32)
        for channel in self._padded:
            frames = np.lib.stride_tricks.sliding_window_view(channel, self._scale)[:: self._hop][columns]
            frames *= self._window
            spectrum = np.fft.rfft(frames, axis=1).astype(np.complex64)
            power += np.square(spectrum.real) + np.square(spectrum.imag)
        gains = power * self._weights[columns]
        inner = gains[:, 1:-1]
        rows, bins = np.nonzero((inner >= gains[:, :-2]) & (inner > gains[:, 2:]) & (inner > self._least))
        left, middle, right = (np.log(np.maximum(power[rows, bins + step], 1e-20)) for step in range(3))
        offsets = (left - right) / (2 * np.minimum(left - 2 * middle + right, -1e-6))
        return np.stack([columns[rows], bins + 1 + np.clip(offsets, -0.5, 0.5), inner[rows, bins]])


def _apart(found: Floats, rate: float, most: int) -> list[Peak]:
    """Peaks that can be fitted at the same time, in their order, from time, frequency, scale and gain [4, peaks]."""
    times, frequencies, scales, gains = found
    left = gains >= WEAKEST * gains.max(initial=0)
    chosen: list[Peak] = []
    while left.any() and len(chosen) < most:
        first = int(left.argmax())
        peak = Peak(times[first], frequencies[first], int(scales[first]), gains[first])
        near = np.abs(times - peak.time) < CLOSE_IN_TIME * (scales + peak.scale) / rate
        width = CLOSE_IN_FREQUENCY * rate / np.minimum(scales, peak.scale)
        left &= ~(near & (np.abs(frequencies - peak.frequency) < width))
        chosen.append(peak)
    return chosen
