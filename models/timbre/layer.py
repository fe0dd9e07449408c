"""Timbres as a layer of a file, at any span of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from evc.format import constants as c
from evc.format.errors import UnsupportedError
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.networks import find
from evc.format.streams.timbre import TimbreStream
from evc.format.timbres import timbre_network
from evc.models.source import Read
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.points import Points
from evc.models.timbre.rendering import TimbreRenderer


class TimbreLayer:
    """See `overlay.OverlayLayer`."""

    stream = c.STREAM_TIMBRE
    one_thread = True  # threads of small products would only slow down those that units are rendered in

    def __init__(self, header: Header) -> None:
        self._header = header
        self.before = self.after = reach(header)

    def kept(self, index: int, stream: TimbreStream) -> Points | None:
        start = index * (self._header.segment_frames // c.superframe_length(self._header.samplerate))
        return Points.of(stream, start) if len(stream) else None

    def source(self, near: Mapping[int, Points], start: int, end: int) -> Read | None:
        return partial(self._renderer.render, near) if near else None

    @cached_property
    def _renderer(self) -> TimbreRenderer:
        network = timbre_network(self._header)
        if network is None:
            raise UnsupportedError("the file names no network for its timbres")
        return TimbreRenderer(TimbreNetwork.load(find(network)), self._header)


def reach(header: Header) -> int:
    """Frames on either side of a span whose points may matter for it: a clip, and the segments beside its own."""
    return c.TIMBRE_HOP * c.superframe_length(header.samplerate) + header.segment_frames
