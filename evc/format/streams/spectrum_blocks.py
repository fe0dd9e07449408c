"""The blocks of a channel group in a segment: what each holds, and all of them side by side in arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import Integers
from evc.format.streams.spectrum_layout import Geometry

MOST_BLOCKS = 1 << (c.BLOCK_DEPTHS - 1)  # in a superframe


@dataclass
class Block:
    """One block of all channels of a group: stereo modes [coarse bands], energies [channels, bands] and signed
    quantised coefficients [channels, bins]. A `held` block has the modes and energies of the block before, whose
    depth it shares. No pattern sounds in a block that is `alone`. In one where they do, `rises` [channels, bands] tell
    by how much, in STEP_RISE, the steps of bands with an energy grow besides following these; None stands for nowhere.
    `steps` [channels, bands] are the log step sizes that the walk found for it."""

    depth: int
    modes: Integers
    energies: Integers
    coefficients: Integers
    held: bool = False
    alone: bool = False
    rises: Integers | None = None
    steps: Integers = field(default_factory=lambda: np.zeros((0, 0), np.int64), compare=False, repr=False)


class BlockArrays:
    """The blocks of `count` superframes, at most MOST_BLOCKS in each: what compiled kernels read and fill.

    offsets, counts int32 [count]: of superframes, and their blocks; depths, held, alone, rising uint8 [count,
    MOST_BLOCKS]; modes int32 [count, MOST_BLOCKS, coarse bands]; energies, rises, steps int32 [count, MOST_BLOCKS,
    channels, fine bands], those of the block's own first; coefficients int32 [count, channels, bins of a superframe],
    in each channel block after block.
    """

    def __init__(self, geometry: Geometry, channels: int, count: int) -> None:
        self.geometry, self.channels, self.count = geometry, channels, count
        self.offsets, self.counts = np.zeros(count, np.int32), np.zeros(count, np.int32)
        blocks = count, MOST_BLOCKS
        self.depths, self.held, self.alone, self.rising = np.zeros((4, *blocks), np.uint8)
        self.modes = np.zeros((*blocks, geometry.coarse_bands), np.int32)
        of_bands = *blocks, channels, geometry.fine_bands
        self.energies, self.rises, self.steps = np.zeros((3, *of_bands), np.int32)
        self.coefficients = np.zeros((count, channels, geometry.layouts[0].bins), np.int32)

    def blocks(self, number: int) -> list[Block]:
        """The blocks of a superframe, which are views into these arrays."""
        found, bin = [], 0
        for place in range(self.counts[number]):
            depth = int(self.depths[number, place])
            layout, at = self.geometry.layouts[depth], (number, place, slice(None))
            block = Block(
                depth,
                self.modes[number, place],
                self.energies[*at, : layout.bands],
                self.coefficients[number, :, bin : bin + layout.bins],
                bool(self.held[number, place]),
                bool(self.alone[number, place]),
                self.rises[*at, : layout.bands] if self.rising[number, place] else None,
                self.steps[*at, : layout.bands],
            )
            found.append(block)
            bin += layout.bins
        return found

    def put(self, number: int, blocks: Sequence[Block]) -> None:
        """Take in the blocks of a superframe, without their coefficients and steps. ValueError where they do not make
        a superframe."""
        if sum(MOST_BLOCKS >> block.depth for block in blocks) != MOST_BLOCKS:
            raise ValueError("the blocks of a superframe do not fill it")
        self.counts[number] = len(blocks)
        for place, block in enumerate(blocks):
            bands = self.geometry.layouts[block.depth].bands
            self.depths[number, place] = block.depth
            self.held[number, place], self.alone[number, place] = block.held, block.alone
            self.modes[number, place] = block.modes
            self.energies[number, place, :, :bands] = block.energies
            self.rising[number, place] = block.rises is not None
            if block.rises is not None:
                self.rises[number, place, :, :bands] = block.rises
        if not 0 <= self.modes[number].min() <= self.modes[number].max() < c.STEREO_MODES:
            raise ValueError("a stereo mode is out of range")

    def spectra(self, number: int, blocks: Sequence[Block], values: Sequence[NDArray[np.generic]]) -> None:
        """Put what each block of a superframe has in its bins, [channels, bins], into the coefficients."""
        bin = 0
        for block, own in zip(blocks, values, strict=True):
            bins = self.geometry.layouts[block.depth].bins
            self.coefficients[number, :, bin : bin + bins] = own
            bin += bins
