"""Rate control: the global step size that meets a bitrate, or belongs to a quality.

One gain holds for the whole file, because constant steps against the masking threshold are what constant quality
means; a bitrate is met by searching for that gain.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evc.format import constants as c
from evc.format.header import Header
from evc.models.search import Secant
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
    """Search for the gain at which something costs `target` (bits or bytes, whatever is probed)."""

    def __init__(self, gain: float, target: float) -> None:
        self._wanted = float(np.log2(target))
        slopes = SLOPES[0] / c.OCTAVE, SLOPES[1] / c.OCTAVE
        self._secant = Secant(gain, SLOPE / c.OCTAVE, slopes, (LOWEST_GAIN, HIGHEST_GAIN))
        self._points: list[tuple[float, float]] = []  # gains, and what they were off by

    @property
    def gain(self) -> float:
        """The one to probe next."""
        return self._secant.at

    def probed(self, cost: float) -> float:
        """Take in what `gain` cost, and move `gain` to where the target should be: log2 of the cost over the target."""
        error = float(np.log2(max(cost, 1))) - self._wanted
        self._points.append((self.gain, error))
        self._secant.probed(error)
        return error

    def run(self, cost: Callable[[float], float]) -> float:
        """Probe until the target is met or the gain settles; returns the best gain."""
        for _ in range(MAX_PROBES):
            before = self.gain
            error = self.probed(cost(before))
            if abs(error) < TOLERANCE or abs(self.gain - before) < SETTLED:
                break
        return min(self._points, key=lambda point: abs(point[1]))[0]
