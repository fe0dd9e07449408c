"""The envelope: what the spectrum and the patterns sound like is made louder or quieter, in a few bands from hop to
hop, where its level is off by so much that it is heard (spec 8.4, 10.12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams.envelope import EnvelopeStream, Integers, edges
from evc.format.streams.noise import noise_hop
from evc.format.streams.spectrum import channel_groups
from evc.models.arrays import Signal
from evc.models.noise.spectra import window
from evc.models.spectrum.mdct import fourier_turns

Fetch = Callable[[Signal, int], None]


class Envelopes(Protocol):
    """A file's header, and the envelopes of its segments."""

    @property
    def header(self) -> Header: ...
    def envelope(self, index: int) -> EnvelopeStream | None: ...


class Shaper:
    """Gives spans of a file their envelopes."""

    def __init__(self, segments: Envelopes) -> None:
        header = segments.header
        self._segments, self._end = segments, header.known_frames
        self._present = c.LAYERS[c.STREAM_SPECTRUM] in header.layers
        self._hop = noise_hop(header.samplerate)
        self._per_segment = header.segment_frames // self._hop
        self._edges = edges(header.samplerate)
        self._groups = channel_groups(header.channels)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The frames that shaping frames [start, end) may need."""
        if not self._present:
            return start, end
        return max(0, start - 2 * self._hop), min(self._end, end + 2 * self._hop)

    def fetch(self, unshaped: Fetch, out: Signal, start: int) -> None:
        """Put frames from `start` on, which lie inside the file, into `out` [channels, frames], full scale 1.
        `unshaped` does the same with what has no envelope."""
        frames, hop = out.shape[1], self._hop
        # Hop m, under its window, has the frames m * hop - hop / 2 to m * hop + 3 * hop / 2.
        first, stop = (start - 3 * hop // 2) // hop + 1, -(-(start + frames + hop // 2) // hop)
        values = self._values(first, stop) if self._present and frames else None
        if values is None:
            unshaped(out, start)
            return
        begin = first * hop - hop // 2
        around = np.zeros((len(out), (stop - first + 1) * hop), np.float32)
        low, high = max(begin, 0), min(begin + around.shape[1], self._end)
        unshaped(around[:, low - begin : high - begin], low)
        at = start - begin
        out[:] = around[:, at : at + frames]
        for group, channels in zip(values, self._groups, strict=True):
            out[channels] += changes(around[channels], group, self._edges, hop)[:, at : at + frames]

    def _values(self, first: int, stop: int) -> Integers | None:
        """Those of hops [first, stop) of the file, [groups, hops, bands]; None where all are 0."""
        found = np.zeros((len(self._groups), stop - first, len(self._edges) - 1), np.int64)
        last = -(-self._end // self._hop) - 1
        for index in range(max(first, 0) // self._per_segment, max(min(stop - 1, last), 0) // self._per_segment + 1):
            stream = self._segments.envelope(index)
            if stream is not None:
                begin = index * self._per_segment - first
                low, high = max(begin, 0), min(begin + stream.values.shape[1], stop - first)
                found[:, low:high] = stream.values[:, low - begin : high - begin]
        return found if found.any() else None


def changes(signal: Signal, values: Integers, edges: Integers, hop: int) -> Signal:
    """What an envelope adds: float32 [channels, (hops + 1) * hop], as long as `signal`, by values [hops, bands]."""
    channels, some = len(signal), np.flatnonzero(values.any(axis=1))
    out = np.zeros((channels, len(values) + 1, hop), np.float32)
    more = np.exp2(values[some] * (c.ENVELOPE_STEP_DB / 20 * np.log2(10))) - 1
    if kernels.lib is not None:
        hops, gains = some.astype(np.int64), np.ascontiguousarray(more, np.float32)
        kernels.lib.evc_shape(
            kernels.pointer(np.ascontiguousarray(signal)), *signal.shape, kernels.pointer(hops), len(hops), hop,
            *_bands(edges, hop), kernels.pointer(gains), *_transform(hop), kernels.pointer(out),
        )  # fmt: skip
        return out.reshape(channels, -1)
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop, axis=1)[:, ::hop][:, some]
    found = np.fft.rfft(frames * window(hop), axis=-1)
    found[..., : edges[0]] = 0
    found[..., edges[0] :] *= np.repeat(more, np.diff(edges), axis=1)
    back = np.fft.irfft(found, axis=-1).astype(np.float32) * window(hop)
    out[:, some] += back[..., :hop]
    out[:, some + 1] += back[..., hop:]
    return out.reshape(channels, -1)


def levels(signal: Signal, edges: Integers, hop: int) -> NDArray[np.float64]:
    """Energies [hops, bands] of the channels, two at most, of a signal [channels, (hops + 1) * hop] together."""
    if kernels.lib is not None:
        energies = np.zeros((signal.shape[1] // hop - 1, len(edges) - 1))
        kernels.lib.evc_levels(
            kernels.pointer(np.ascontiguousarray(signal)), *signal.shape, len(energies), hop, *_bands(edges, hop),
            *_transform(hop), kernels.pointer(energies),
        )  # fmt: skip
        return energies
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2 * hop, axis=1)[:, ::hop]
    power = np.square(np.abs(np.fft.rfft(frames * window(hop), axis=-1))).sum(axis=0)
    found: NDArray[np.float64] = np.add.reduceat(power, edges[:-1], axis=-1)
    return found


def _bands(edges: Integers, hop: int) -> tuple[Any, Any, int]:
    """The window, and the edges of bands, as kernels take them."""
    return kernels.pointer(window(hop)), kernels.pointer(edges), len(edges) - 1


def _transform(hop: int) -> tuple[Any, Any]:
    """What their Fourier transforms need: factors, and room."""
    return kernels.pointer(fourier_turns(2 * hop)), kernels.pointer(np.empty(8 * hop, np.float32))
