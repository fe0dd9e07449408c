"""The order in which a spectrum stream is coded, and the context of every symbol (spec/evc-1.md, section 9)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers
from evc.format.errors import DamagedError
from evc.format.streams import NOWHERE
from evc.format.streams import spectrum_contexts as contexts
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.port import SymbolPort
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_left import LeftEnergies
from evc.format.streams.spectrum_model import ALONE, OFFSETS, SpectrumModel
from evc.format.streams.spectrum_steps import step_logs

Positions = NDArray[np.int64]

HALF_ENERGY = c.ENERGY_RESIDUALS // 2


class BlockPort(SymbolPort, Protocol):
    """Where the walk gets the symbols of a block from, or puts them: a writer, a reader, or the encoder's search.

    `begin` comes before the coefficients of a block, with its log steps and log energies [channels, bands]. Then, for
    a channel, `bands` codes flags [bands `at`] that tell which bands hold any coefficient, and `magnitudes` codes
    |coefficient| >> shift at `bins` [n]. Both return what was coded.
    """

    def bands(
        self, channel: int, at: Positions, table: FrequencyTable, rows: Positions
    ) -> Integers | NDArray[np.bool_]: ...
    def magnitudes(
        self, channel: int, bins: Positions, shifts: Positions, table: FrequencyTable, rows: Positions
    ) -> Integers: ...
    def begin(self, block: Block, steps: Integers, levels: Integers, bands: layout.BandLayout) -> None: ...


class Walk:
    """Visits the blocks of one channel group in coding order and computes the context of every symbol.

    gain: global log step in 1/64 octave; graded: whether superframes have offsets to it; covered: first frames and
    ends, from the start of the segment on, of where patterns sound, int64 [n, 2]. Raises DamagedError or FormatError
    where a reading port delivers what cannot be.
    """

    def __init__(
        self,
        geometry: layout.Geometry,
        channels: int,
        gain: int,
        model: SpectrumModel,
        graded: bool = False,
        covered: Positions = NOWHERE,
    ) -> None:
        self.geometry, self.channels, self.gain, self.model = geometry, channels, gain, model
        self.graded, self.covered = graded, covered
        self.frame = 0  # at which the next block begins
        self.offset = 0  # of the superframe, in OFFSET_STEP
        self.alone = False
        self.left = LeftEnergies(channels, geometry.fine_bands)
        self.memories = [contexts.ChannelMemory(geometry) for _ in range(channels)]
        self.before = 0  # depth of the block before
        self.last: Block | None = None
        self.deepest = 0  # largest depth in the superframe before
        self.left.restart(self._gain + self._relative_steps(), geometry.layouts[0])
        self.modes = np.full(geometry.coarse_bands, c.STEREO_MODES, np.int64)

    def superframe(self, offset: int, depths: list[int], port: SymbolPort) -> tuple[int, list[int]]:
        """Code how much finer the steps of a superframe are, and its partition; returns both."""
        if self.graded:
            symbols = np.array([offset], np.int32)
            self.offset = int(port.symbols(symbols, OFFSETS, self.offset, "offsets")[0])
        return self.offset, self._partition(depths, port)

    def _partition(self, depths: list[int], port: SymbolPort) -> list[int]:
        """Code the split flags of one superframe, one depth after another; returns the depths of its blocks in time
        order. `depths` are those to write, and empty where `port` reads."""
        width = 1 << (c.BLOCK_DEPTHS - 1)
        starts = np.cumsum([0] + [width >> d for d in depths[:-1]]) if depths else np.zeros(0, int)
        open_nodes, leaves = [0], {}
        for depth in range(c.BLOCK_DEPTHS - 1):
            if not open_nodes:
                break
            span = width >> depth
            leaf = {int(s) for s, d in zip(starts, depths) if d == depth}
            wanted = np.array([int(node not in leaf) for node in open_nodes], np.int32)
            split = port.symbols(wanted, self.model.split, depth * c.BLOCK_DEPTHS + self.deepest, "partition")
            leaves.update({node: depth for node, flag in zip(open_nodes, split) if not flag})
            open_nodes = [start for node, flag in zip(open_nodes, split) if flag for start in (node, node + span // 2)]
        leaves.update(dict.fromkeys(open_nodes, c.BLOCK_DEPTHS - 1))
        found = [leaves[start] for start in sorted(leaves)]
        self.deepest = max(found)
        return found

    def block(self, block: Block, port: BlockPort) -> NDArray[np.int64]:
        """Code one block; what a reading port decodes is written into `block`. Returns its log steps [channels,
        bands]."""
        bands = self.geometry.layouts[block.depth]
        self.align(block.depth)
        predicted = self._predicted(block, port)
        self._hold(block, port)
        self.static = (block.depth, self.before)
        if predicted and not block.held:
            self._left_over(block, bands, port)
        elif not block.held:
            if self.channels == 2:
                self._stereo(block, port)
            self._energies(block, port)
        levels = layout.energy_log(block.energies)
        # Steps have to suit all that is heard: where patterns sound, they go on from what they were.
        if predicted:
            for memory in self.memories:
                memory.heard()
        else:
            block.rises = None
            for memory, energies, steps in zip(self.memories, block.energies, step_logs(levels, 0, block.depth)):
                memory.coded(energies, steps)
        steps = self._gain + self._relative_steps()
        if not predicted:
            self.left.restart(steps, bands)
        port.begin(block, steps, levels, bands)
        other = None
        for channel in range(self.channels):
            other = self._coefficients(channel, block, bands, levels[channel], steps[channel], other, port)
            self.memories[channel].push(other.amplitudes)
        self.before = block.depth
        return steps

    def align(self, depth: int) -> None:
        """Carry what is remembered over to the size of the next block."""
        for memory in self.memories:
            memory.align(depth)

    def covers(self, depth: int) -> bool:
        """Whether patterns cover the next block."""
        end = self.frame + (self.geometry.superframe >> depth)
        return bool(((self.covered[:, 0] < end) & (self.covered[:, 1] > self.frame)).any())

    def _predicted(self, block: Block, port: SymbolPort) -> bool:
        """Code whether patterns leave a block alone that they cover; returns whether they sound in it."""
        covers = self.covers(block.depth)
        self.frame += self.geometry.superframe >> block.depth
        if not covers:
            return False
        alone = port.symbols(np.array([block.alone], np.int32), ALONE, int(self.alone), "alone")
        block.alone = self.alone = bool(alone[0])
        return not block.alone

    def _left_over(self, block: Block, bands: layout.BandLayout, port: SymbolPort) -> None:
        """Code the energies of what patterns leave over, which the steps follow, and by how much these rise besides."""
        on = self.left.code_on(port, block.energies > 0, bands)
        block.energies[~on] = 0
        if not on.any():
            block.modes[:] = 0
            block.rises = None
            return
        if self.channels == 2:
            self._stereo(block, port)
        changes = c.STEP_PER_ENERGY * self.left.code_energies(port, block.energies, on, bands)
        block.rises = self.left.code_rises(port, block.rises, on)
        if block.rises is not None:
            changes += c.STEP_RISE * block.rises
        for memory, change in zip(self.memories, changes, strict=True):
            memory.steps = np.clip(memory.steps + change, *c.KNOWN_STEPS)

    def steps_to_come(self, block: Block) -> NDArray[np.int64]:
        """Log steps [channels, bands] of the next block, one where patterns sound, if they do not rise."""
        self.align(block.depth)
        changes = self.left.changes(block.energies, self.geometry.layouts[block.depth])
        return self._gain + self._relative_steps() + c.STEP_PER_ENERGY * changes

    @property
    def _gain(self) -> int:
        """Of the superframe."""
        return self.gain - c.OFFSET_STEP * self.offset

    def _relative_steps(self) -> NDArray[np.int64]:
        """Log steps at a gain of 0 [channels, bands], of the block before or, once they have changed, of this one."""
        return np.stack([memory.steps for memory in self.memories])

    def _hold(self, block: Block, port: SymbolPort) -> None:
        """Code whether the block has the modes and energies of the one before; if so, give it those."""
        last = self.last
        if last is not None and last.depth == block.depth:
            row = 2 * block.depth + last.held
            block.held = bool(port.symbols(np.array([block.held], np.int32), self.model.hold, row, "hold")[0])
            if block.held:
                block.modes, block.energies, block.rises = last.modes, last.energies, None
        self.last = block

    def _stereo(self, block: Block, port: SymbolPort) -> None:
        even, odd = np.arange(0, len(self.modes), 2), np.arange(1, len(self.modes), 2)
        row = self.modes * (c.STEREO_MODES + 1)
        block.modes[even] = port.symbols(block.modes[even], self.model.stereo, row[even] + c.STEREO_MODES, "stereo")
        block.modes[odd] = port.symbols(block.modes[odd], self.model.stereo, row[odd] + block.modes[odd - 1], "stereo")
        self.modes = block.modes.astype(np.int64)

    def _energies(self, block: Block, port: SymbolPort) -> None:
        other = None
        for channel, memory in enumerate(self.memories):
            energies = block.energies[channel]
            context = contexts.EnergyContext(memory, other)
            for stage in range(contexts.ENERGY_PASSES):
                at, features, reference = context.features(stage)
                if not len(at):
                    continue
                key = (context.channel, stage)
                predicted, rows = self.model.energy_rows(key, features, reference, self.static)
                wanted = energies[at] - predicted + HALF_ENERGY
                wanted = np.minimum(np.maximum(wanted, 0), c.ENERGY_RESIDUALS - 1)
                symbols = port.symbols(wanted, self.model.energy_table[key], rows, "energies")
                values = symbols + predicted - HALF_ENERGY
                outside = (symbols == 0) | (symbols == c.ENERGY_RESIDUALS - 1)
                if outside.any():
                    sign = np.where(symbols[outside] == 0, -1, 1)
                    beyond = sign * (energies[at][outside] - values[outside])
                    values[outside] += sign * port.golomb(beyond, c.ENERGY_ESCAPE_ORDER, "energies")
                if values.min() < 0 or values.max() > c.ENERGY_MAX:
                    raise DamagedError("a band energy is out of range")
                energies[at] = values
                context.decoded(stage, at, values)
            other = context

    def _coefficients(
        self,
        channel: int,
        block: Block,
        bands: layout.BandLayout,
        levels: NDArray[np.int64],
        steps: NDArray[np.int64],
        other: contexts.CoefficientContext | None,
        port: BlockPort,
    ) -> contexts.CoefficientContext:
        """Code which bands are not zero, then their magnitudes."""
        memory = self.memories[channel]
        relative = levels - steps
        starts = bands.edges[:-1]
        loudest = np.maximum.reduceat(memory.amplitudes1, starts)
        beside = None if other is None else np.maximum.reduceat(other.amplitudes, starts)
        rows = contexts.band_rows(relative, loudest, bands, beside, steps)
        audible = np.flatnonzero(block.energies[channel])
        flags = np.zeros(bands.bands, bool)
        flags[audible] = port.bands(channel, audible, self.model.band, rows[audible])
        shifts = np.clip((relative >> 6) - (c.LARGE_OCTAVES - 1), 0, c.MAX_LOW_BITS)
        context = contexts.CoefficientContext(memory, bands, steps + c.OCTAVE * shifts, levels, other)
        used = np.flatnonzero(flags[bands.band_of_bin])
        for stage in range(contexts.COEFFICIENT_PASSES):
            bins = used[used % 2 == stage]
            if not len(bins):
                continue
            key = (context.channel, stage)
            band = bands.band_of_bin[bins]
            rows = self.model.coefficient_rows(key, context.features(stage, bins, band), self.static)
            symbols = port.magnitudes(channel, bins, shifts[band], self.model.coefficient_table[key], rows)
            context.decoded(bins, band, symbols)
        return context
