"""Encoding of whole files: x = patterns + events + residual (docs/architecture.md).

What holds a waveform has patterns and the residual's spectrum layer. What is too small for one is described instead, as
events and noise, and latents beside them where there are bits for these; events stay out of other files so far, where a
spectrum holds the same tones at no more bits.
"""

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


def encode(
    source: AudioSource,
    header: Header,
    settings: EncodeSettings,
    tag_bytes: int,
    progress: Progress | None = None,
) -> Encoded:
    """The segments of a whole source, and the header for them.

    header: of a file with the spectrum layer alone; settings: those for the source (`EncodeSettings.settled`);
    tag_bytes: of tags and speakers, which count for a bitrate. Samples and spectra are held for a
    few segments at a time, and as far back as patterns reach.
    """
    if settings.hints == "noise":
        from evc.models.description import described

        return described(source, header, settings, tag_bytes, progress)
    if settings.hints == "latent":
        from evc.models.latents.encoder import with_latents

        return with_latents(source, header, settings, tag_bytes, progress)
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
