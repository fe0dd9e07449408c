"""Rate control: which global step size meets a bitrate, and which belongs to a quality."""

from __future__ import annotations

import numpy as np

from evc.header import Header
from evc.models.residual.encoder import AnalysedGroup, SegmentAnalyser, encode_segment
from evc.segment import Segment
from evc.settings import EncodeSettings
from evc.source import AudioSource

OCTAVE = 64
SAMPLED = 6  # segments that the step size is calibrated on
CACHED = 16  # analysed segments kept in memory
TOLERANCE = 0.004  # of the target, in calibration
MAX_PROBES = 6
LOWEST_GAIN, HIGHEST_GAIN = -12 * OCTAVE, 10 * OCTAVE
BITS_PER_OCTAVE = -0.95  # d log2(bits) / d log2(step), about
SEGMENT_OVERHEAD = 31  # bytes of a segment outside its words, with its place in the index
FILE_OVERHEAD = 60  # bytes of the index and the end marker
QUALITY_ZERO, QUALITY_SLOPE = 3.2, -0.5  # log2 step of quality 0, and per unit of quality


def planned_gain(settings: EncodeSettings, source: AudioSource) -> int:
    """A first log step (1/64 octave): exact for a quality, a guess for a bitrate."""
    if settings.quality is not None:
        return round(OCTAVE * (QUALITY_ZERO + QUALITY_SLOPE * settings.quality))
    assert settings.bitrate is not None
    per_channel = settings.bitrate / (1 + 0.6 * (source.channels - 1))
    return int(np.clip(round(OCTAVE * (5.6 - np.log2(per_channel))), -2 * OCTAVE, 4 * OCTAVE))


class RateControl:
    """Gains per segment. Constant for a quality; for a bitrate calibrated on samples of the file, then corrected
    slowly while segments are coded, so that the whole file meets its target."""

    def __init__(self, settings: EncodeSettings, header: Header, gain: int, header_bytes: int) -> None:
        self.settings, self.header = settings, header
        self.current = float(gain)
        self.cache: dict[int, list[AnalysedGroup | None]] = {}
        self.spent_bytes = 0
        self.expected: dict[int, float] = {}
        duration = header.known_frames / header.samplerate
        self.target = None
        if settings.bitrate is not None:
            overhead = header_bytes + FILE_OVERHEAD + SEGMENT_OVERHEAD * header.segments
            self.target = max(settings.bitrate * 125 * duration - overhead, 1.0)

    def analysed(self, index: int, analyser: SegmentAnalyser) -> list[AnalysedGroup | None]:
        found = self.cache.pop(index, None)
        return analyser.analyse(index) if found is None else found

    def calibrate(self, analyser: SegmentAnalyser) -> None:
        """Find the gain at which sampled segments have the target's share of bytes."""
        if self.target is None or not self.header.segments:
            return
        count = self.header.segments
        sample = range(count) if count <= CACHED else [int((i + 0.5) * count / SAMPLED) for i in range(SAMPLED)]
        self.cache = {index: analyser.analyse(index) for index in sample}
        share = sum(self.header.segment_span(i)[1] for i in sample) / self.header.known_frames
        wanted = np.log2(self.target * share * 8)
        points: list[tuple[float, float]] = []
        for _ in range(MAX_PROBES):
            gain = float(np.clip(round(self.current), LOWEST_GAIN, HIGHEST_GAIN))
            bits = sum(encode_segment(self.cache[i], int(gain))[1] for i in sample)
            points.append((gain, np.log2(max(bits, 1))))
            error = points[-1][1] - wanted
            if abs(error) < TOLERANCE:
                break
            slope = BITS_PER_OCTAVE / OCTAVE
            if len(points) > 1 and points[-1][0] != points[-2][0]:
                slope = (points[-1][1] - points[-2][1]) / (points[-1][0] - points[-2][0])
                slope = float(np.clip(slope, -2.5 / OCTAVE, -0.3 / OCTAVE))
            self.current = gain - error / slope
            if round(self.current) == round(gain):
                break
        if count > CACHED:
            self.cache = {}

    def gain(self, index: int) -> int:
        return int(np.clip(round(self.current), LOWEST_GAIN, HIGHEST_GAIN))

    def spent(self, index: int, segment: Segment) -> None:
        """Correct the course of a long file by what its segments really cost."""
        self.spent_bytes += sum(len(stream.words) for stream in segment.streams)
