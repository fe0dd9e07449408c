"""How much an error matters: masking, as far as a description of a few kbit/s needs it.

An error is weighted by the energy around it to the power -1/2, band by band: half-way between explaining energy (which
would spend all events on the bass) and explaining the same share of every band.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.models.arrays import Floats

EXPONENT = 0.5
WINDOW = 2048  # frames of the analysis rate,
HOP = 512
SMOOTHING = 23  # columns (half a second) under a Hann window
FLOOR = 1e-9  # mean square of what nobody hears, full scale 1
BANDS = 25  # of one Bark


def bark(frequencies: ArrayLike) -> NDArray[np.int64]:
    """Band of a frequency in Hz, 0 to 24 (Traunmueller 1990)."""
    f = np.asarray(frequencies, np.float64)
    return np.clip(26.81 * f / (1960 + f) - 0.53, 0, BANDS - 1).astype(np.int64)


class Weighting:
    """Weights of errors in samples [channels, frames] at `rate` Hz, by time and frequency."""

    def __init__(self, samples: Floats, rate: float) -> None:
        self._rate = rate
        padded = np.pad(samples, ((0, 0), (WINDOW // 2, WINDOW)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]
        window = np.hanning(WINDOW + 1)[:-1]
        bands = bark(np.fft.rfftfreq(WINDOW, 1 / rate))
        energies = np.zeros((BANDS, frames.shape[1]))
        for channel in frames:
            power = np.abs(np.fft.rfft(channel * window, axis=1)) ** 2
            for band in range(BANDS):
                energies[band] += power[:, bands == band].sum(axis=1)
        energies *= 2 / (WINDOW * (window**2).sum())
        kernel = np.hanning(SMOOTHING + 2)[1:-1]
        kernel /= kernel.sum()
        smooth = np.stack([np.convolve(row, kernel, "same") for row in energies])
        self.map: Floats = (smooth[:, : energies.shape[1]] + FLOOR) ** -EXPONENT  # [bands, columns]

    def columns(self, times: Floats | float) -> NDArray[np.int64]:
        """Column of `map` at times in s."""
        return np.clip(np.rint(np.asarray(times) * self._rate / HOP), 0, self.map.shape[1] - 1).astype(np.int64)

    def at(self, time: float, frequency: float) -> float:
        return float(self.map[bark(frequency), self.columns(time)])
