"""The fine colour of noise: long blocks of it are shaped bin by bin, before the levels shape short ones (spec 10.8)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.noise import NoiseStream
from evc.format.streams.noise_changes import LEVEL
from evc.models.arrays import Signal
from evc.models.noise.source import noise
from evc.models.noise.spectra import overlapped, spectra

BLOCK_HOPS = c.NOISE_HOPS // 2  # hops from one long block to the next


def coloured(
    streams: Mapping[int, NoiseStream], samplerate: int, per_segment: int, first: int, blocks: int, sources: int
) -> Signal:
    """Noise of every source, float32 [sources, (blocks - 1) * step], of unit power in every band. `step` is half a
    superframe; the span begins at frame (first + 1/2) * step of the file and is that of the long blocks from `first` on
    but for the outer halves of the first and the last.

    per_segment: hops in a segment; segments without a stream have no colour.
    """
    step = c.superframe_length(samplerate) // 2
    begin = first * step - step // 2
    shape = gains(streams, samplerate, per_segment, first, blocks)
    found = [shape * spectra(noise(begin, (blocks + 1) * step, source), step) for source in range(sources)]
    return overlapped(np.stack(found), step)[:, step:-step]


def gains(
    streams: Mapping[int, NoiseStream], samplerate: int, per_segment: int, first: int, blocks: int
) -> Signal:
    """Amplitudes float32 [blocks, bins] of the bins of long blocks."""
    bins = c.superframe_length(samplerate) // 2 + 1
    out = np.ones((blocks, bins), np.float32)
    at = (first + np.arange(blocks)) * BLOCK_HOPS + BLOCK_HOPS // 2
    for segment in np.unique(at // per_segment):
        stream = streams.get(int(segment))
        if stream is None or not len(stream.planes[-1].lengths):
            continue
        here = at // per_segment == segment
        plane = stream.planes[-1]
        levels = plane.lines(np.minimum(at[here] - segment * per_segment, plane.lengths.sum() - 1))
        rise = np.ones((len(levels), bins))
        rise[:, : levels.shape[1]] = 10 ** (levels * (c.NOISE_COLOUR_DB / 20))
        begins = band_begins(samplerate, stream.planes[0].stride)
        widths = np.diff(begins, append=bins)
        power = np.add.reduceat(rise**2, begins, axis=1) / widths
        out[here] = rise / np.repeat(np.sqrt(power), widths, axis=1)
    return out


@lru_cache(maxsize=8)
def band_begins(samplerate: int, stride: int) -> NDArray[np.int64]:
    """The first bin of a long block in every band of levels [bands]."""
    bins = c.superframe_length(samplerate) // 2 + 1
    edges = LEVEL.edges(samplerate, stride)[:-1]
    return np.ceil(edges * ((bins - 1) * 2 / samplerate)).astype(np.int64)
