"""The spectrum stream: quantised MDCT coefficients of one segment (spec/evc-1.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from evc import constants as c
from evc.coder import FrequencyTable, SymbolDecoder, SymbolEncoder
from evc.errors import DamagedError
from evc.streams import StreamContext
from evc.streams import spectrum_contexts as contexts
from evc.streams import spectrum_layout as layout
from evc.streams.spectrum_model import SpectrumModel, spectrum_model
from evc.streams.spectrum_steps import step_logs

HALF_ENERGY = c.ENERGY_RESIDUALS // 2


@dataclass
class Block:
    """One block of all channels of a group: stereo modes [coarse bands], energies [channels, bands] and signed
    quantised coefficients [channels, bins]. A `held` block has the modes and energies of the block before, whose
    depth it shares."""

    depth: int
    modes: np.ndarray
    energies: np.ndarray
    coefficients: np.ndarray
    held: bool = False


class Port(Protocol):
    """Where the walk gets its symbols from, or puts them: a writer, a reader, or the encoder's search."""

    def code(self, values: np.ndarray, table: FrequencyTable, rows: np.ndarray | int, kind: str) -> np.ndarray: ...
    def escape(self, values: np.ndarray, kind: str) -> np.ndarray: ...
    def bands(self, channel: int, at: np.ndarray, table: FrequencyTable, rows: np.ndarray) -> np.ndarray: ...
    def magnitudes(
        self, channel: int, bins: np.ndarray, shifts: np.ndarray, table: FrequencyTable, rows: np.ndarray
    ) -> np.ndarray: ...
    def begin(self, block: Block, steps: np.ndarray, levels: np.ndarray, bands: layout.BandLayout) -> None: ...


class Walk:
    """Visits the blocks of one channel group in coding order and computes the context of every symbol."""

    def __init__(self, geo: layout.Geometry, channels: int, gain: int, model: SpectrumModel) -> None:
        self.geo, self.channels, self.gain, self.model = geo, channels, gain, model
        self.memories = [contexts.ChannelMemory(geo) for _ in range(channels)]
        self.before = 0
        self.last: Block | None = None
        self.deepest = 0
        self.modes = np.full(geo.coarse_bands, c.STEREO_MODES, np.int64)

    def partition(self, depths: list[int], port: Port) -> list[int]:
        """Code the split flags of one superframe, one depth after another; returns the depths of its blocks."""
        width = 1 << (c.BLOCK_DEPTHS - 1)
        starts = np.cumsum([0] + [width >> d for d in depths[:-1]]) if depths else np.zeros(0, int)
        open_nodes, leaves = [0], {}
        for depth in range(c.BLOCK_DEPTHS - 1):
            if not open_nodes:
                break
            span = width >> depth
            leaf = {int(s) for s, d in zip(starts, depths) if d == depth}
            wanted = np.array([int(node not in leaf) for node in open_nodes], np.int32)
            split = port.code(wanted, self.model.split, depth * c.BLOCK_DEPTHS + self.deepest, "partition")
            leaves.update({node: depth for node, flag in zip(open_nodes, split) if not flag})
            open_nodes = [start for node, flag in zip(open_nodes, split) if flag for start in (node, node + span // 2)]
        leaves.update(dict.fromkeys(open_nodes, c.BLOCK_DEPTHS - 1))
        found = [leaves[start] for start in sorted(leaves)]
        self.deepest = max(found)
        return found

    def block(self, block: Block, port: Port) -> None:
        """Code one block; what a reading port decodes is written into `block`."""
        bands = self.geo.layouts[block.depth]
        for memory in self.memories:
            memory.align(block.depth)
        self._hold(block, port)
        self.static = (block.depth, self.before)
        if not block.held:
            if self.channels == 2:
                self._stereo(block, port)
            self._energies(block, port)
        levels = layout.energy_log(block.energies)
        steps = step_logs(levels, self.gain, block.depth)
        port.begin(block, steps, levels, bands)
        other = None
        for channel in range(self.channels):
            other = self._coefficients(channel, block, bands, levels[channel], steps[channel], other, port)
            self.memories[channel].push(block.energies[channel], other.amplitudes)
        self.before = block.depth

    def _hold(self, block: Block, port: Port) -> None:
        """Code whether the block has the modes and energies of the one before; if so, give it those."""
        last = self.last
        if last is not None and last.depth == block.depth:
            row = 2 * block.depth + last.held
            block.held = bool(port.code(np.array([block.held], np.int32), self.model.hold, row, "hold")[0])
            if block.held:
                block.modes, block.energies = last.modes, last.energies
        self.last = block

    def _stereo(self, block: Block, port: Port) -> None:
        even, odd = np.arange(0, len(self.modes), 2), np.arange(1, len(self.modes), 2)
        row = self.modes * (c.STEREO_MODES + 1)
        block.modes[even] = port.code(block.modes[even], self.model.stereo, row[even] + c.STEREO_MODES, "stereo")
        block.modes[odd] = port.code(block.modes[odd], self.model.stereo, row[odd] + block.modes[odd - 1], "stereo")
        self.modes = block.modes.astype(np.int64)

    def _energies(self, block: Block, port: Port) -> None:
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
                symbols = port.code(wanted, self.model.energy_table[key], rows, "energies")
                values = symbols + predicted - HALF_ENERGY
                outside = (symbols == 0) | (symbols == c.ENERGY_RESIDUALS - 1)
                if outside.any():
                    sign = np.where(symbols[outside] == 0, -1, 1)
                    values[outside] += sign * port.escape(sign * (energies[at][outside] - values[outside]), "energies")
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
        levels: np.ndarray,
        steps: np.ndarray,
        other: contexts.CoefficientContext | None,
        port: Port,
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


class _Writer:
    """A port that codes the integers of given blocks."""

    def __init__(self, encoder: SymbolEncoder) -> None:
        self.encoder = encoder
        self.tails: list[tuple[np.ndarray, np.ndarray]] = []  # (signed values, shifts) of coded coefficients

    def begin(self, block: Block, steps: np.ndarray, levels: np.ndarray, bands: layout.BandLayout) -> None:
        self.block, self.layout = block, bands

    def code(self, values: np.ndarray, table: FrequencyTable, rows: np.ndarray | int, kind: str) -> np.ndarray:
        self.encoder.encode(values, table, rows, kind)
        return values

    def escape(self, values: np.ndarray, kind: str) -> np.ndarray:
        self.encoder.encode_golomb(values, c.ENERGY_ESCAPE_ORDER, kind)
        return values

    def bands(self, channel: int, at: np.ndarray, table: FrequencyTable, rows: np.ndarray) -> np.ndarray:
        used = np.maximum.reduceat(np.abs(self.block.coefficients[channel]), self.layout.edges[:-1]) > 0
        return self.code(used[at].astype(np.int32), table, rows, "bands")

    def magnitudes(
        self, channel: int, bins: np.ndarray, shifts: np.ndarray, table: FrequencyTable, rows: np.ndarray
    ) -> np.ndarray:
        values = self.block.coefficients[channel, bins]
        self.tails.append((values, shifts))
        return self.code(np.minimum(np.abs(values) >> shifts, c.MAGNITUDE_SYMBOLS - 1), table, rows, "coefficients")

    def finish(self) -> None:
        """Escapes, low bits and signs of everything coded so far."""
        if not self.tails:
            return
        values = np.concatenate([values for values, _ in self.tails])
        shifts = np.concatenate([shifts for _, shifts in self.tails])
        magnitudes = np.abs(values)
        high = magnitudes >> shifts
        escaped = high >= c.MAGNITUDE_SYMBOLS - 1
        self.encoder.encode_golomb(high[escaped] - (c.MAGNITUDE_SYMBOLS - 1), c.MAGNITUDE_ESCAPE_ORDER, "escapes")
        self.encoder.encode_bits(magnitudes & ((1 << shifts) - 1), shifts, "low bits")
        self.encoder.encode_bits(values[magnitudes > 0] < 0, 1, "signs")


class _Reader:
    """A port that decodes. Magnitudes are completed and signed by `finish`, once everything else is known."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        self.decoder = decoder
        self.tails: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []  # (target, bins, symbols, shifts)

    def begin(self, block: Block, steps: np.ndarray, levels: np.ndarray, bands: layout.BandLayout) -> None:
        self.block = block

    def code(self, values: np.ndarray, table: FrequencyTable, rows: np.ndarray | int, kind: str) -> np.ndarray:
        return self.decoder.decode(table, rows, len(values), kind)

    def escape(self, values: np.ndarray, kind: str) -> np.ndarray:
        return self.decoder.decode_golomb(c.ENERGY_ESCAPE_ORDER, len(values), kind)

    def bands(self, channel: int, at: np.ndarray, table: FrequencyTable, rows: np.ndarray) -> np.ndarray:
        return self.decoder.decode(table, rows, len(at), "bands")

    def magnitudes(
        self, channel: int, bins: np.ndarray, shifts: np.ndarray, table: FrequencyTable, rows: np.ndarray
    ) -> np.ndarray:
        symbols = self.decoder.decode(table, rows, len(bins), "coefficients")
        self.tails.append((self.block.coefficients[channel], bins, symbols, shifts))
        return symbols

    def finish(self) -> None:
        if not self.tails:
            return
        symbols = np.concatenate([tail[2] for tail in self.tails]).astype(np.int64)
        shifts = np.concatenate([tail[3] for tail in self.tails])
        escaped = np.flatnonzero(symbols == c.MAGNITUDE_SYMBOLS - 1)
        symbols[escaped] += self.decoder.decode_golomb(c.MAGNITUDE_ESCAPE_ORDER, len(escaped), "escapes")
        values = (symbols << shifts) | self.decoder.decode_bits(shifts, len(shifts), "low bits")
        if (values > c.MAX_MAGNITUDE).any():
            raise DamagedError("a coefficient is out of range")
        some = np.flatnonzero(values)
        negative = self.decoder.decode_bits(1, len(some), "signs").astype(bool)
        values[some[negative]] *= -1
        ends = np.cumsum([len(tail[1]) for tail in self.tails])[:-1]
        for (target, bins, _, _), part in zip(self.tails, np.split(values, ends)):
            target[bins] = part


def channel_groups(channels: int) -> list[slice]:
    """Channels coded together: pairs, and the last one alone if their number is odd."""
    return [slice(first, min(first + 2, channels)) for first in range(0, channels, 2)]


@dataclass
class Group:
    """One channel or a pair. `superframes` lists the blocks of each superframe in time order."""

    gain: int  # global log step, 1/64 octave
    coarse_bands: int  # coded bandwidth
    superframes: list[list[Block]] = field(default_factory=list)


@dataclass
class SpectrumStream:
    """The spectrum stream of a segment: one group per pair of channels.

    A decoder that accounts leaves in `superframe_bits` [superframes] what each superframe cost, signs included.
    """

    groups: list[Group]
    superframe_bits: np.ndarray | None = field(default=None, compare=False, repr=False)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        superframe = c.superframe_length(context.samplerate)
        port = _Writer(encoder)
        for group, channels in zip(self.groups, channel_groups(context.channels)):
            encoder.encode_uniform(np.array([group.gain + c.SPECTRUM_GAIN_OFFSET]), c.SPECTRUM_GAINS, "parameters")
            encoder.encode_uniform(np.array([group.coarse_bands]), len(c.COARSE_EDGES), "parameters")
            if not group.coarse_bands:
                continue
            geo = layout.geometry(superframe, group.coarse_bands)
            walk = Walk(geo, channels.stop - channels.start, group.gain, spectrum_model())
            for blocks in group.superframes:
                walk.partition([block.depth for block in blocks], port)
                for block in blocks:
                    walk.block(block, port)
        port.finish()

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> SpectrumStream:
        superframe = c.superframe_length(context.samplerate)
        count = -(-context.frames // superframe)
        port = _Reader(decoder)
        groups: list[Group] = []
        bits = np.zeros(count)
        for channels in channel_groups(context.channels):
            gain = int(decoder.decode_uniform(c.SPECTRUM_GAINS, 1, "parameters")[0]) - c.SPECTRUM_GAIN_OFFSET
            coarse_bands = int(decoder.decode_uniform(len(c.COARSE_EDGES), 1, "parameters")[0])
            group = Group(gain, coarse_bands)
            groups.append(group)
            if not coarse_bands:
                continue
            if coarse_bands > layout.most_coarse_bands(context.samplerate):
                raise DamagedError("the coded bandwidth exceeds half the sample rate")
            geo = layout.geometry(superframe, coarse_bands)
            walk = Walk(geo, channels.stop - channels.start, gain, spectrum_model())
            for number in range(count):
                before = decoder.spent
                depths = walk.partition([], port)
                blocks = [_empty_block(geo, walk.channels, depth) for depth in depths]
                for block in blocks:
                    walk.block(block, port)
                group.superframes.append(blocks)
                bits[number] += decoder.spent - before
        before = decoder.spent
        port.finish()
        # What follows the walk are signs, mostly: it is shared out by coefficients.
        coded = sum((_nonzero(group) for group in groups if group.superframes), np.zeros(count))
        bits += (decoder.spent - before) * coded / max(coded.sum(), 1)
        return cls(groups, bits if decoder.spent else None)


def _nonzero(group: Group) -> np.ndarray:
    """Coefficients other than 0 in each superframe."""
    counts = [sum(np.count_nonzero(block.coefficients) for block in blocks) for blocks in group.superframes]
    return np.array(counts, float)


def _empty_block(geo: layout.Geometry, channels: int, depth: int) -> Block:
    bands = geo.layouts[depth]
    return Block(
        depth,
        np.zeros(geo.coarse_bands, np.int32),
        np.zeros((channels, bands.bands), np.int64),
        np.zeros((channels, bands.bins), np.int32),
    )
