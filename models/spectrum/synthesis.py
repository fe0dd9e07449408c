"""From decoded spectrum streams to the samples of runs of blocks (spec section 10). NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format.lazy import cached_property
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum_blocks import Block
from evc.models.spectrum.mdct import dct4_into, fold
from evc.models.spectrum.reconstruction import dequantise
from evc.models.spectrum.stereo import undo_stereo

Spectra = dict[int, NDArray[np.float32]]  # by depth, [channels, blocks of that depth in order of time, size]


@dataclass(frozen=True, eq=False)
class BlockRun:
    """The blocks of successive superframes of one channel group.

    superframe: its length in frames; first: number of the first superframe; partitions: the depths of the blocks of
    each; before, after: sizes of the blocks next to the run, 0 at the ends of the file (only prediction asks).
    """

    superframe: int
    first: int
    partitions: Sequence[tuple[int, ...]]
    before: int = 0
    after: int = 0

    @property
    def end(self) -> int:
        """Number of the superframe behind the run."""
        return self.first + len(self.partitions)

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """Of all blocks in order of time."""
        return np.array([depth for partition in self.partitions for depth in partition], np.int64)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First frame of each block in the file."""
        starts: NDArray[np.int64] = self.first * self.superframe + np.cumsum(self.sizes) - self.sizes
        return starts

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Frames of each block."""
        sizes: NDArray[np.int64] = self.superframe >> self.depths
        return sizes

    def numbers(self, depth: int) -> NDArray[np.int64]:
        """Numbers, within the run, of the blocks of a depth."""
        return np.flatnonzero(self.depths == depth)

    def part(self, first: int, end: int) -> BlockRun:
        """The run of superframes [first, end) of this one."""
        inner = self.partitions[first - self.first : end - self.first]
        before, after = self.before, self.after
        if first > self.first:
            before = self.superframe >> self.partitions[first - self.first - 1][-1]
        if end < self.end:
            after = self.superframe >> self.partitions[end - self.first][0]
        return BlockRun(self.superframe, first, inner, before, after)


def residual_spectra(run: BlockRun, blocks: Sequence[Block | None], channels: slice) -> Spectra:
    """Left/right spectra of what the spectrum stream codes.

    blocks: those of the run, their `steps` filled by the walk; None where nothing is coded. channels: of the group
    within the file.
    """
    count = channels.stop - channels.start
    out: Spectra = {}
    kinds: dict[tuple[int, int], tuple[list[int], list[Block]]] = {}
    counts = np.bincount(run.depths).tolist()
    seen = [0] * len(counts)
    for block, depth in zip(blocks, run.depths.tolist(), strict=True):
        if block is not None:
            places, members = kinds.setdefault((depth, len(block.modes)), ([], []))
            places.append(seen[depth])
            members.append(block)
        seen[depth] += 1
    for (depth, coarse_bands), (places, members) in sorted(kinds.items()):
        geometry = layout.geometry(run.superframe, coarse_bands)
        starts = run.starts[run.numbers(depth)[places]]
        coded = _spectra(members, geometry, starts, channels.start)
        if len(places) == counts[depth]:
            out[depth] = coded
            continue
        if depth not in out:
            out[depth] = np.zeros((count, counts[depth], run.superframe >> depth), np.float32)
        out[depth][:, places] = coded
    for depth in np.flatnonzero(counts).tolist():
        if depth not in out:
            out[depth] = np.zeros((count, counts[depth], run.superframe >> depth), np.float32)
    return out


def _spectra(
    blocks: list[Block],
    geometry: layout.Geometry,
    starts: NDArray[np.int64],
    channel: int,
) -> NDArray[np.float32]:
    """Left/right spectra float32 [channels, blocks, size] of blocks of one depth and bandwidth."""
    depth = blocks[0].depth
    bands = geometry.layouts[depth]
    coefficients = _beside([block.coefficients for block in blocks])
    energies = _beside([block.energies for block in blocks])
    steps = _beside([block.steps for block in blocks])
    coded = dequantise(coefficients, energies, steps, bands, starts, channel)
    if len(coded) == 2:
        modes = np.concatenate([block.modes for block in blocks]).reshape(len(blocks), -1)
        return undo_stereo(coded, modes, geometry, depth)
    out = np.zeros((1, len(blocks), geometry.superframe >> depth), np.float32)
    out[..., : bands.bins] = coded
    return out


def _beside(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [channels, n] of blocks as one [channels, blocks, n]: np.stack with less ado."""
    return np.concatenate(arrays, axis=1).reshape(len(arrays[0]), len(arrays), -1)


def inverse_transform(run: BlockRun, spectra: Spectra, channels: int) -> NDArray[np.float32]:
    """Signal float32 [channels, frames of the run], unfolded at the boundaries inside superframes but not between them.

    What is missing in `spectra` is silence.
    """
    signal = np.zeros((channels, len(run.partitions) * run.superframe), np.float32)
    starts = run.starts - run.first * run.superframe
    for depth, found in spectra.items():
        dct4_into(signal, found, starts[run.numbers(depth)])
    inner = np.flatnonzero(starts % run.superframe)
    fold(signal, starts[inner], np.minimum(run.sizes[inner - 1], run.sizes[inner]), inverse=True)
    return signal
