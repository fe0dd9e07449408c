"""A source at the rate that events are looked for: what sounds above 10 kHz is left to the noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evc.format.tags import Tags
from evc.models.arrays import Floats
from evc.models.source import AudioSource, padded

LEAST_RATE = 22_050  # Hz: sources are decimated by a whole number, to this or more
TAPS_PER_PHASE = 24  # of the low-pass filter, to either side
CUTOFF = 0.46  # of the analysis rate
KAISER_BETA = 8.0
BLOCK = 1 << 16  # frames of the analysis rate


class AudioPart:
    """A part of a source that stands in for it: `samples` [channels, n] from frame `first` on."""

    subtype = "FLOAT"

    def __init__(self, samples: NDArray[np.float32], first: int, frames: int, samplerate: int) -> None:
        self._samples, self._first = samples, first
        self.channels, self.frames, self.samplerate = len(samples), frames, samplerate
        self.tags: Tags = {}

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count) of the source, which the part must have."""
        return self._samples[:, start - self._first : start - self._first + count]


class AnalysisReader:
    """Reads a source at `rate` Hz, the highest whole fraction of its own that is below twice LEAST_RATE."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._factor = max(1, source.samplerate // LEAST_RATE)
        self.rate = source.samplerate / self._factor
        self.frames = -(-source.frames // self._factor)  # at that rate
        reach = TAPS_PER_PHASE * self._factor
        taps = np.sinc(2 * CUTOFF / self._factor * np.arange(-reach, reach + 1))
        taps *= np.kaiser(len(taps), KAISER_BETA)
        self._taps, self._reach = taps / taps.sum(), reach

    def loudness(self) -> float:
        """Root mean square of the whole source, full scale 1."""
        power = 0.0
        for start in range(0, self._source.frames, BLOCK):
            block = self._source.read(start, min(BLOCK, self._source.frames - start))
            power += float(np.square(block, dtype=np.float64).sum())
        return float(np.sqrt(power / max(1, self._source.frames * self._source.channels)))

    def blocks(self, begin: int = 0, end: int | None = None) -> Iterator[Floats]:
        """Frames [begin, end) at `rate` in order, float64 [channels, frames], without delay: frame n is frame
        n * factor of the source."""
        step = BLOCK * self._factor
        last = self._source.frames if end is None else min(end * self._factor, self._source.frames)
        for start in range(begin * self._factor, last, step):
            count = min(step, last - start)
            if self._factor == 1:
                yield self._source.read(start, count).astype(np.float64)
            else:
                yield self._decimated(start, count)

    def part(self, begin: int, end: int) -> AudioPart:
        """What is read of the source for frames [begin, end) at `rate`."""
        first = max(0, begin * self._factor - self._reach)
        last = min(self._source.frames, end * self._factor + self._reach)
        return AudioPart(self._source.read(first, last - first), first, self._source.frames, self._source.samplerate)

    def _decimated(self, start: int, count: int) -> Floats:
        """Overlap-free convolution in the frequency domain, then every factor-th frame."""
        source, reach = self._source, self._reach
        samples = padded(source.read, source.channels, source.frames, start - reach, count + 2 * reach)
        size = 1 << (samples.shape[1] + 2 * reach).bit_length()
        spectrum = np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(self._taps, size)
        filtered = np.fft.irfft(spectrum, size)[:, 2 * self._reach : 2 * self._reach + count]
        return filtered[:, :: self._factor]
