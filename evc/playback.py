"""Audio of a file, segment by segment: rendered when asked for, in parallel where it pays, and kept for a
while."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evc import constants
from evc.decoding import WORKERS, SegmentDecoder
from evc.errors import UnsupportedError

_AHEAD = 2 * WORKERS  # segments rendered together


class Player:
    """Renders spans of a file. Holds the audio of a few segments, however long the file is."""

    def __init__(self, decoder: SegmentDecoder) -> None:
        self._decoder = decoder
        self._header = decoder.container.header
        self._margin = constants.superframe_length(self._header.samplerate) // 2
        self._kept: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def close(self) -> None:
        self._decoder.close()
        self._kept.clear()

    def audio(self, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames), which lie inside the file, as float32 [channels, frames]. Lost
        spans (salvage mode) are silence."""
        self._check_networks()
        out = np.zeros((self._header.channels, frames), np.float32)
        indices = self._overlapping(start, start + frames)
        for first in range(indices.start, indices.stop, _AHEAD):
            batch = range(first, min(first + _AHEAD, indices.stop))
            self._render(batch)
            for index in batch:
                offset = self._header.segment_span(index)[0] - start
                piece = self._kept[index][:, max(0, -offset) : frames - offset]
                offset = max(0, offset)
                out[:, offset : offset + piece.shape[1]] = piece
        return out

    def prefetch(self, start: int, end: int) -> None:
        """Unless the segment at frame `start` is at hand, render it together with some that follow before
        `end`."""
        indices = self._overlapping(start, end)
        if indices and indices.start not in self._kept:
            self._render(indices[:_AHEAD])

    def _overlapping(self, start: int, end: int) -> range:
        """Numbers of the segments that touch frames [start, end)."""
        length = self._header.segment_frames
        if end <= start:
            return range(0)
        return range(max(0, start // length), min(self._decoder.container.segments, -(-end // length)))

    def _render(self, indices: Sequence[int]) -> None:
        """Put the audio of every one of `indices` among the kept."""
        absent = [index for index in indices if index not in self._kept]
        self._streams = self._decoder.decode(
            {near for index in absent for near in self._neighbourhood(index)}
        )
        render = self._decoder.threads.map if len(absent) > 1 else map
        for index, audio in zip(absent, render(self._segment_audio, absent), strict=True):
            self._kept[index] = audio
        for index in indices:
            self._kept.move_to_end(index)
        while len(self._kept) > _AHEAD:
            self._kept.popitem(last=False)

    def _check_networks(self) -> None:
        if self._header.networks:
            names = ", ".join(network.id for network in self._header.networks)
            raise UnsupportedError(f"the file needs networks that are not installed: {names}")

    def _neighbourhood(self, index: int) -> range:
        """The segments that the samples of one segment come from."""
        start, frames = self._header.segment_span(index)
        return self._overlapping(start - self._margin, start + frames + self._margin)

    def _segment_audio(self, index: int) -> NDArray[np.float32]:
        start, frames = self._header.segment_span(index)
        if index in self._decoder.lost:
            return np.zeros((self._header.channels, frames), np.float32)
        from evc.models.pipeline import render

        near = {i: self._streams[i] for i in self._neighbourhood(index) if i in self._streams}
        return render(self._header, near, start, frames)
