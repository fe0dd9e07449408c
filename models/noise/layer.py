"""Noise as a layer of a file, at any span of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.noise import NoiseStream
from evc.models.noise.synthesis import NoiseRenderer
from evc.models.source import Read


class NoiseLayer:
    """See `overlay.OverlayLayer`."""

    stream = c.STREAM_NOISE
    one_thread = False

    def __init__(self, header: Header) -> None:
        self._renderer = NoiseRenderer(header.samplerate, header.channels, header.segment_frames)
        self.before = self.after = self._renderer.reach

    def kept(self, index: int, stream: NoiseStream) -> NoiseStream:
        return stream

    def source(self, near: Mapping[int, NoiseStream], start: int, end: int) -> Read | None:
        return partial(self._renderer.render, near) if near else None
