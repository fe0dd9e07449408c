"""Encoding of whole files: x = patterns + events + residual (docs/architecture.md).

What holds a waveform has patterns and the residual's spectrum layer. What is too small for one is described instead, as
events and noise, and latents beside them where there are bits for these; events stay out of other files so far, where a
spectrum holds the same tones at no more bits.
"""

from __future__ import annotations

from evc.format.header import Header
from evc.models.encoded import Encoded
from evc.models.layers import HINTS, load
from evc.models.progress import Progress
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource


def encode(
    source: AudioSource,
    header: Header,
    settings: EncodeSettings,
    tag_bytes: int,
    progress: Progress | None = None,
) -> Encoded:
    """The segments of a whole source, and the header for them.

    header: of a file with the spectrum layer alone; settings: those for the source (`EncodeSettings.settled`);
    tag_bytes: of tags and speakers, which count for a bitrate. Samples and spectra are held for a few segments at a
    time, and as far back as patterns reach.
    """
    encoded: Encoded = load(HINTS[settings.hints].encoder)(source, header, settings, tag_bytes, progress)
    return encoded
