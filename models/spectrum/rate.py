"""Rate control: the global step size that meets a bitrate, or belongs to a quality.

One gain holds for the whole file, because constant steps against the masking threshold are what constant quality
means; a bitrate is met by searching for that gain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evc.format import constants as c
from evc.format.header import Header
from evc.models.settings import EncodeSettings

LOWEST_GAIN, HIGHEST_GAIN = -12 * c.OCTAVE, 10 * c.OCTAVE
QUALITY_ZERO, QUALITY_SLOPE = 3.2, -0.55  # log2 step of quality 0, and per unit of quality
PLAN_AT_ONE_KBPS = 6.0  # log2 step that codes a channel in 1 kbit/s, about; one less for every doubling
SECOND_CHANNEL = 0.6  # what each further channel costs, about, in parts of the first
BANDWIDTH_HZ = 20_000.0  # what lies above is inaudible, and coded at the highest qualities only
FULL_BANDWIDTH_QUALITY = 9.0
NARROWER = ((2.9, 15_000.0), (3.3, 11_000.0))  # from these log2 steps on: at low rates the energies alone are dear
TOLERANCE = 0.004  # of log2 bits, in the search: 0.3 %
ACCEPTED = 0.014  # of log2 bytes, of the coded file: 1 %
MAX_PROBES = 8
SETTLED = 0.05  # of a gain step
GOLDEN_RATIO = 0.6180339887498949
SLOPE = -0.95  # d log2(bits) / d log2(step), before two probes tell it
SLOPES = (-6.0, -0.2)
SEGMENT_OVERHEAD = 31  # bytes of a segment outside its words, its place in the index included
FILE_OVERHEAD = 60  # bytes of index and end marker


def planned_gain(settings: EncodeSettings, channels: int) -> int:
    """The gain (log step in 1/64 octave) of a quality, or a first guess for a bitrate."""
    if settings.quality is not None:
        return round(c.OCTAVE * (QUALITY_ZERO + QUALITY_SLOPE * settings.quality))
    per_channel = settings.known_bitrate / (1 + SECOND_CHANNEL * (channels - 1))
    return round(c.OCTAVE * float(np.clip(PLAN_AT_ONE_KBPS - np.log2(per_channel), -2, 4)))


def coded_bandwidth(settings: EncodeSettings, gain: int) -> float:
    """Hz that the coded bands have to reach, for a planned gain."""
    if settings.quality is not None and settings.quality >= FULL_BANDWIDTH_QUALITY:
        return float("inf")
    return min((hertz for lowest, hertz in NARROWER if gain >= lowest * c.OCTAVE), default=BANDWIDTH_HZ)


def payload_target(settings: EncodeSettings, header: Header, tag_bytes: int) -> float | None:
    """Bytes of coded words that a file of the wanted bitrate can hold; None for a quality."""
    if settings.bitrate is None or not header.sound_frames:
        return None
    duration = header.sound_frames / header.samplerate
    start = len(c.SIGNATURE) + len(header.write()) + c.CHUNK_OVERHEAD_BYTES
    overhead = start + tag_bytes + FILE_OVERHEAD + SEGMENT_OVERHEAD * header.segments
    return max(settings.bitrate * 125 * duration - overhead, 1.0)


def segment_gain(gain: float, index: int) -> int:
    """The whole gain of a segment where the file's mean is to be `gain`: fractions are spread over the segments."""
    return int(np.floor(gain + index * GOLDEN_RATIO % 1))


class GainSearch:
    """Secant search for the gain at which something costs `target` (bits or bytes, whatever is probed)."""

    def __init__(self, gain: float, target: float) -> None:
        self.gain = float(gain)
        self._wanted = np.log2(target)
        self._points: list[tuple[float, float]] = []

    def error(self) -> float:
        """log2 of the cost last probed over the target."""
        return self._points[-1][1] - self._wanted

    def probed(self, cost: float) -> None:
        """Take in what `gain` cost, and move `gain` to where the target should be."""
        self._points.append((self.gain, float(np.log2(max(cost, 1)))))
        slope = SLOPE / c.OCTAVE
        if len(self._points) > 1 and self._points[-1][0] != self._points[-2][0]:
            (x0, y0), (x1, y1) = self._points[-2:]
            slope = float(np.clip((y1 - y0) / (x1 - x0), SLOPES[0] / c.OCTAVE, SLOPES[1] / c.OCTAVE))
        self.gain = float(np.clip(self.gain - self.error() / slope, LOWEST_GAIN, HIGHEST_GAIN))

    def best(self) -> float:
        """The probed gain nearest to the target."""
        return min(self._points, key=lambda point: abs(point[1] - self._wanted))[0]

    def run(self, cost: Callable[[float], float]) -> float:
        """Probe until the target is met or the gain settles; returns the best gain."""
        for _ in range(MAX_PROBES):
            before = self.gain
            self.probed(cost(before))
            if abs(self.error()) < TOLERANCE or abs(self.gain - before) < SETTLED:
                break
        return self.best()
