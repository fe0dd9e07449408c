"""Section 10.12 of the specification in double precision, equation by equation, as `synthesis.py` is for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.envelope import EnvelopeStream
from evc.format.streams.spectrum import channel_groups
from evc.spec.noise import shaped

Floats = NDArray[np.float64]


def enveloped(header: Header, sound: Floats, streams: Mapping[int, EnvelopeStream]) -> Floats:
    """What spectrum and patterns sound like, float64 [channels, frames], under the envelopes of the segments."""
    hop = c.superframe_length(header.samplerate) // 16
    bins = np.arange(hop + 1) * header.samplerate / (2 * hop)  # in Hz
    bands = [bins >= first for first in c.ENVELOPE_HZ if (bins >= first).any()]

    def gains(group: int, block: int) -> Floats:
        found = np.ones(hop + 1)
        segment, row = divmod(block, header.segment_frames // hop)
        if segment in streams and row < streams[segment].values.shape[1]:
            for band, value in zip(bands, streams[segment].values[group, row].tolist(), strict=True):
                found[band] = 10 ** (value / 10)
        return found

    before = 4 * hop
    out = np.zeros_like(sound)
    for group, channels in enumerate(channel_groups(header.channels)):
        for channel in range(header.channels)[channels]:
            whole = shaped(np.pad(sound[channel], before), before, hop, partial(gains, group))
            out[channel] = whole[before:-before]
    return out
