"""From decoded spectrum streams to samples (spec section 10). NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc import constants
from evc.header import Header
from evc.models.residual.mdct import dct4, fold
from evc.models.residual.reconstruction import dequantise
from evc.models.residual.stereo import undo_stereo
from evc.streams import spectrum_layout as layout
from evc.streams.spectrum import Group
from evc.streams.spectrum_steps import step_logs
from evc.streams.spectrum_walk import Block

FULL_SCALE = np.float32(2.0**-15)


def render_group(
    groups: dict[int, Group], header: Header, start: int, frames: int, channels: slice
) -> NDArray[np.float32]:
    """Samples [start, start + frames) of one channel group, float32 [channels, frames], full scale 1.

    groups: the group of each decoded segment by segment number; superframes of missing ones are silence.
    """
    superframe, total = constants.superframe_length(header.samplerate), header.known_frames
    half = superframe // 2
    first = max(0, start - half) // superframe
    last = min(-(-total // superframe), -(-(start + frames + half) // superframe))
    per_segment = header.segment_frames // superframe
    count = channels.stop - channels.start
    signal = np.zeros((count, (last - first) * superframe), np.float32)
    sizes: list[int] = []
    by_kind: dict[tuple[int, int, int], tuple[list[int], list[Block]]] = {}
    for number in range(first, last):
        group = groups.get(number // per_segment)
        at = (number - first) * superframe
        blocks = group.superframes[number % per_segment] if group is not None and group.superframes else []
        if not blocks:
            sizes.append(superframe)
        for block in blocks:
            assert group is not None
            starts, members = by_kind.setdefault((block.depth, group.gain, group.coarse_bands), ([], []))
            starts.append(at)
            members.append(block)
            sizes.append(superframe >> block.depth)
            at += sizes[-1]
    for (depth, gain, coarse_bands), (starts, members) in by_kind.items():
        geometry = layout.geometry(superframe, coarse_bands)
        spectra = _spectra(members, geometry, gain, np.array(starts) + first * superframe, channels.start)
        index = np.array(starts)[:, None] + np.arange(superframe >> depth)
        signal[:, index] = dct4(spectra)
    lengths = np.array(sizes)
    boundaries = np.cumsum(lengths)[:-1]
    fold(signal, boundaries, np.minimum(lengths[:-1], lengths[1:]), inverse=True)
    offset = start - first * superframe
    return signal[:, offset : offset + frames] * FULL_SCALE


def _spectra(
    blocks: list[Block], geometry: layout.Geometry, gain: int, starts: NDArray[np.int64], channel: int
) -> NDArray[np.float32]:
    """Left/right spectra float32 [channels, blocks, size] of blocks of one depth."""
    depth = blocks[0].depth
    bands = geometry.layouts[depth]
    coefficients = np.stack([block.coefficients for block in blocks], axis=1)
    energies = np.stack([block.energies for block in blocks])
    steps = step_logs(layout.energy_log(energies), gain, depth)
    coded = dequantise(coefficients, energies.transpose(1, 0, 2), steps.transpose(1, 0, 2), bands, starts, channel)
    if len(coded) == 2:
        coded = undo_stereo(coded, np.stack([block.modes for block in blocks]), geometry, depth)
    out = np.zeros((*coded.shape[:2], geometry.superframe >> depth), np.float32)
    out[..., : coded.shape[-1]] = coded
    return out
