"""Constant-Q spectrograms: equal steps of pitch from bottom to top, as music has them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats

LOWEST_HZ = 32.703  # C1
RANGE_DB = 72.0  # that a picture shows below its loudest cell
FLOOR_DB = -120.0
_PER_OCTAVE, _MOST_OCTAVES = 24, 9
_TOP = 0.45  # of the sample rate: above, the filters of the highest bins do not fit
_FINEST = 64  # columns in a second
_FILTER_SCALE = 0.5  # half the filters' usual length: what strikes stays sharp
_LEAST_SECONDS = 1.0  # that the filters of the lowest octave need


def constant_q(
    audio: NDArray[np.floating], samplerate: int, columns: int = 700, per_octave: int = _PER_OCTAVE
) -> Floats:
    """Levels float64 [bins, columns] in dB of audio [frames, channels], C1 first, `per_octave` bins in an octave, as
    many columns as asked for or as the sound has. A sinusoid of full scale has 0 dB; channels are averaged by power."""
    import librosa

    seconds = len(audio) / samplerate
    octaves = min(_MOST_OCTAVES, int(np.log2(_TOP * samplerate / LOWEST_HZ)))
    wanted = max(1, min(columns, round(_FINEST * seconds)))
    hop = max(64, len(audio) // wanted // 64 * 64)  # the low octaves are found at lower rates
    frequencies = librosa.cqt_frequencies(octaves * per_octave, fmin=LOWEST_HZ, bins_per_octave=per_octave)
    lengths, _ = librosa.filters.wavelet_lengths(freqs=frequencies, sr=samplerate, filter_scale=_FILTER_SCALE)
    missing = max(0, round(_LEAST_SECONDS * samplerate) - len(audio))
    power = np.zeros((len(frequencies), 1))
    for channel in audio.T:
        cells = librosa.cqt(
            np.pad(channel, (0, missing)).astype(np.float32), sr=samplerate, hop_length=hop, fmin=LOWEST_HZ,
            n_bins=len(frequencies), bins_per_octave=per_octave, filter_scale=_FILTER_SCALE,
        )  # fmt: skip
        power = power + np.square(np.abs(cells)) * (4 / lengths[:, None] / audio.shape[1])
    power = _pooled(power[:, : max(1, round(len(audio) / hop))], wanted)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DB / 10))))


def shared_scale(*levels: Floats) -> tuple[float, float]:
    """Lowest and highest level, in dB, of the scale of pictures that are to be compared."""
    high = max(float(np.ceil(max(part.max() for part in levels))), FLOOR_DB + RANGE_DB)
    return high - RANGE_DB, high


def _pooled(power: Floats, columns: int) -> Floats:
    """Means of neighbours, so that there are `columns` of them at most."""
    if power.shape[1] <= columns:
        return power
    edges = np.linspace(0, power.shape[1], columns + 1).astype(int)
    return np.asarray(np.add.reduceat(power, edges[:-1], axis=1) / np.diff(edges))
