"""Constant-Q spectrograms: equal steps of pitch from bottom to top, as music has them.

Every bin is a band of the Fourier transform of the whole sound under a window of cos², and the inverse transform of
that band is the bin over time: a nonstationary Gabor transform (Velasco, Holighaus, Dörfler and Grill, "Constructing an
invertible constant-Q transform with nonstationary Gabor frames", 2011). All of it is NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats

LOWEST_HZ = 32.703  # C1
RANGE_DB = 72.0  # that a picture shows below its loudest cell
FLOOR_DB = -120.0
_PER_OCTAVE, _MOST_OCTAVES = 24, 9
_TOP = 0.45  # of the sample rate: above, the highest bands do not fit
_HALF_WIDTH = 2.0  # of a band, in steps of pitch
_FINEST = 64  # columns in a second
_SILENCE = 1.0  # s behind the sound, so that its end does not ring into its start
_ROUND = 4096  # frames: transforms of round lengths are quick


def constant_q(
    audio: NDArray[np.floating], samplerate: int, columns: int = 700, per_octave: int = _PER_OCTAVE
) -> Floats:
    """Levels float64 [bins, columns] in dB of audio [frames, channels], C1 first, `per_octave` bins in an octave, as
    many columns as asked for or as the sound has. A sinusoid of full scale has 0 dB; channels are averaged by power."""
    frames = len(audio)
    columns = max(1, min(columns, round(_FINEST * frames / samplerate)))
    size = -(-(frames + round(_SILENCE * samplerate)) // _ROUND) * _ROUND
    spectra = np.fft.rfft(audio, size, axis=0).T * (2 / size)
    octaves = min(_MOST_OCTAVES, int(np.log2(_TOP * samplerate / LOWEST_HZ)))
    edges = np.linspace(0, frames, columns + 1)
    power = np.zeros((octaves * per_octave, columns))
    for bin in range(len(power)):
        centre = LOWEST_HZ * 2 ** (bin / per_octave) * size / samplerate
        half = max(_HALF_WIDTH * centre * (2 ** (1 / per_octave) - 1), 2.0)
        places = np.arange(int(np.ceil(centre - half)), int(centre + half) + 1)
        band = spectra[:, places] * np.cos(np.pi / 2 * (places - centre) / half) ** 2
        samples = 1 << (2 * len(places) - 1).bit_length()  # the power of a band is twice as wide as the band
        course = np.square(np.abs(np.fft.ifft(band, samples) * samples)).mean(axis=0)
        power[bin] = _pooled(course, size / samples, edges)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10))))


def shared_scale(*levels: Floats) -> tuple[float, float]:
    """Lowest and highest level, in dB, of the scale of pictures that are to be compared."""
    high = max(float(np.ceil(max(part.max() for part in levels))), FLOOR_DB + RANGE_DB)
    return high - RANGE_DB, high


def _pooled(course: Floats, step: float, edges: Floats) -> Floats:
    """Means of a course, of which there is a sample every `step` frames, between `edges` in frames."""
    sums = step * np.concatenate([[0.0], np.cumsum(course)])
    return np.asarray(np.diff(np.interp(edges, step * (np.arange(len(sums)) - 0.5), sums)) / np.diff(edges))
