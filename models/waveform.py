"""A file as a waveform: patterns, where they save bits, and the spectrum of what they leave (`--hints spectrum`)."""

from __future__ import annotations

from evc.format.header import Header
from evc.models.encoded import Encoded
from evc.models.patterns.file import PatternEncoder
from evc.models.progress import Progress, stage
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource
from evc.models.spectrum.encoder import SegmentAnalyser
from evc.models.spectrum.file import PlainCoder
from evc.models.spectrum.rate import coded_bandwidth, payload_target, planned_gain


def with_waveform(
    source: AudioSource,
    header: Header,
    settings: EncodeSettings,
    tag_bytes: int,
    progress: Progress | None = None,
) -> Encoded:
    """The segments of a whole source, and the header for them; the arguments are those of `pipeline.encode`."""
    gain = planned_gain(settings, source.channels)
    analyser = SegmentAnalyser(source, header.segment_frames, gain, coded_bandwidth(settings, gain))
    target = payload_target(settings, header, tag_bytes)
    if settings.patterns != "off":
        patterns = PatternEncoder(analyser, header, settings.effort)
        begun = stage(progress, 0, 2)  # the rest is for coding without, should patterns not pay
        found = patterns.at_quality(begun) if target is None else patterns.to_target(target, begun)
        if found is not None:
            if progress is not None:
                progress(header.known_frames, header.known_frames)
            return found
        progress = stage(progress, 1, 2)
    coder = PlainCoder(analyser, header)
    if target is None:
        return Encoded(header, coder.segments(gain, progress))
    return Encoded(header, coder.to_target(target, progress))
