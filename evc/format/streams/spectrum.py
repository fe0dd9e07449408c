"""The spectrum stream: quantised MDCT coefficients of one segment (spec/evc-1.md, section 9)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers, SymbolDecoder, SymbolEncoder
from evc.format.errors import DamagedError
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.port import ReadPort, WritePort
from evc.format.streams.recorded import recording
from evc.format.streams.spectrum_blocks import Block, BlockArrays
from evc.format.streams.spectrum_model import spectrum_model
from evc.format.streams.spectrum_walk import Walk


class _Writer(WritePort):
    """A port that codes the integers of given blocks."""

    def __init__(self, encoder: SymbolEncoder) -> None:
        super().__init__(encoder)
        self.tails: list[tuple[Integers, Integers]] = []  # (signed values, shifts) of coded coefficients

    def begin(self, block: Block, steps: Integers, levels: Integers, bands: layout.BandLayout) -> None:
        self.block, self.layout = block, bands

    def bands(self, channel: int, at: Integers, table: FrequencyTable, rows: Integers) -> Integers:
        used = np.maximum.reduceat(np.abs(self.block.coefficients[channel]), self.layout.edges[:-1]) > 0
        return self.symbols(used[at].astype(np.int32), table, rows, "bands")

    def magnitudes(
        self, channel: int, bins: Integers, shifts: Integers, table: FrequencyTable, rows: Integers
    ) -> Integers:
        values = self.block.coefficients[channel, bins]
        self.tails.append((values, shifts))
        return self.symbols(np.minimum(np.abs(values) >> shifts, c.MAGNITUDE_SYMBOLS - 1), table, rows, "coefficients")

    def finish(self) -> None:
        """Escapes, low bits and signs of everything coded so far."""
        if not self.tails:
            return
        values = np.concatenate([values for values, _ in self.tails])
        shifts = np.concatenate([shifts for _, shifts in self.tails])
        magnitudes = np.abs(values)
        high = magnitudes >> shifts
        escaped = high >= c.MAGNITUDE_SYMBOLS - 1
        self.golomb(high[escaped] - (c.MAGNITUDE_SYMBOLS - 1), c.MAGNITUDE_ESCAPE_ORDER, "escapes")
        self.bits(magnitudes & ((1 << shifts) - 1), shifts, "low bits")
        self.bits(values[magnitudes > 0] < 0, 1, "signs")


class _Reader(ReadPort):
    """A port that decodes. Magnitudes are completed and signed by `finish`, once everything else is known."""

    def __init__(self, decoder: SymbolDecoder) -> None:
        super().__init__(decoder)
        self.tails: list[tuple[Integers, Integers, Integers, Integers]] = []  # (target, bins, symbols, shifts)

    def begin(self, block: Block, steps: Integers, levels: Integers, bands: layout.BandLayout) -> None:
        self.block = block

    def bands(self, channel: int, at: Integers, table: FrequencyTable, rows: Integers) -> Integers:
        return self.symbols(at, table, rows, "bands")

    def magnitudes(
        self, channel: int, bins: Integers, shifts: Integers, table: FrequencyTable, rows: Integers
    ) -> Integers:
        symbols = self.symbols(bins, table, rows, "coefficients")
        self.tails.append((self.block.coefficients[channel], bins, symbols, shifts))
        return symbols

    def finish(self) -> None:
        if not self.tails:
            return
        symbols = np.concatenate([tail[2] for tail in self.tails]).astype(np.int64)
        shifts = np.concatenate([tail[3] for tail in self.tails])
        escaped = np.flatnonzero(symbols == c.MAGNITUDE_SYMBOLS - 1)
        symbols[escaped] += self.golomb(escaped, c.MAGNITUDE_ESCAPE_ORDER, "escapes")
        values = (symbols << shifts) | self.bits(shifts, shifts, "low bits")
        if (values > c.MAX_MAGNITUDE).any():
            raise DamagedError("a coefficient is out of range")
        some = np.flatnonzero(values)
        negative = self.bits(some, 1, "signs").astype(bool)
        values[some[negative]] *= -1
        ends = np.cumsum([len(tail[1]) for tail in self.tails])[:-1]
        for (target, bins, _, _), part in zip(self.tails, np.split(values, ends)):
            target[bins] = part


def channel_groups(channels: int) -> list[slice]:
    """Channels coded together: pairs, and the last one alone if their number is odd."""
    return [slice(first, min(first + 2, channels)) for first in range(0, channels, 2)]


@dataclass
class Group:
    """One channel or a pair. `superframes` lists the blocks of each superframe in time order; `offsets` tells by how
    many quarters of an octave the steps of each are finer (empty: none is)."""

    gain: int  # global log step, 1/64 octave
    coarse_bands: int  # coded bandwidth
    superframes: list[list[Block]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)


@dataclass
class SpectrumStream:
    """The spectrum stream of a segment: one group per pair of channels."""

    groups: list[Group]

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the stream; the blocks of every superframe of the segment must be there, unless a group is silent
        (no coarse bands)."""
        if kernels.lib is not None and not encoder.accounting:
            self._write_compiled(encoder, context)
            return
        port = _Writer(encoder)
        for group, channels in zip(self.groups, _channel_counts(context)):
            _write_parameters(encoder, group)
            if not group.coarse_bands:
                continue
            walk = _walk(group, channels, context)
            for place, blocks in enumerate(group.superframes):
                offset = group.offsets[place] if group.offsets else 0
                walk.superframe(offset, [block.depth for block in blocks], port)
                for block in blocks:
                    walk.block(block, port)
        port.finish()

    def _write_compiled(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        from evc.format.streams.spectrum_compiled import CompiledWalk, write_rest

        walks = []
        for group, channels in zip(self.groups, _channel_counts(context)):
            _write_parameters(encoder, group)
            if not group.coarse_bands:
                continue
            arrays = BlockArrays(_geometry(group, context), channels, len(group.superframes))
            for place, blocks in enumerate(group.superframes):
                arrays.put(place, blocks)
                arrays.spectra(place, blocks, [block.coefficients for block in blocks])
            if group.offsets:
                arrays.offsets[:] = group.offsets
            graded = bool(group.offsets)
            walk = CompiledWalk(arrays.geometry, channels, group.gain, graded, context.covered)
            with recording(encoder) as port:
                walk.write(port, arrays)
            walks.append(walk)
        with recording(encoder) as port:
            write_rest(walks, port)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> SpectrumStream:
        """Decode the stream of a segment; accounts tell what each superframe cost, signs included. Raises DamagedError
        where the words are not valid."""
        if decoder.port is not None:
            return cls(_read_compiled(decoder, context))
        count = -(-context.frames // c.superframe_length(context.samplerate))
        port = _Reader(decoder)
        groups: list[Group] = []
        bits = np.zeros(count)
        for channels in _channel_counts(context):
            group, graded = _read_parameters(decoder, context)
            groups.append(group)
            if not group.coarse_bands:
                continue
            walk = _walk(group, channels, context, graded)
            for number in range(count):
                before = decoder.spent
                offset, depths = walk.superframe(0, [], port)
                if graded:
                    group.offsets.append(offset)
                blocks = [_empty_block(walk.geometry, walk.channels, depth) for depth in depths]
                for block in blocks:
                    block.steps = walk.block(block, port)
                group.superframes.append(blocks)
                bits[number] += decoder.spent - before
        before = decoder.spent
        port.finish()
        _share(decoder, groups, bits, decoder.spent - before, context)
        return cls(groups)


def _read_compiled(decoder: SymbolDecoder, context: StreamContext) -> list[Group]:
    from evc.format.streams.spectrum_compiled import CompiledWalk, Reading

    count = -(-context.frames // c.superframe_length(context.samplerate))
    groups, walks, filled, bits = [], [], [], np.zeros(count)
    reading = Reading(decoder)
    for channels in _channel_counts(context):
        group, graded = _read_parameters(decoder, context)
        groups.append(group)
        if not group.coarse_bands:
            continue
        arrays = BlockArrays(_geometry(group, context), channels, count)
        walk = CompiledWalk(arrays.geometry, channels, group.gain, graded, context.covered)
        walk.read(reading.port, arrays, bits if decoder.accounting else None)
        if graded:
            group.offsets = arrays.offsets.tolist()
        walks.append(walk)
        filled.append((group, arrays))
    rest = reading.rest(walks)
    for group, arrays in filled:
        group.superframes = [arrays.blocks(number) for number in range(count)]
    if decoder.accounting:
        reading.account()
        _share(decoder, groups, bits, rest, context)
    return groups


def _share(
    decoder: SymbolDecoder, groups: list[Group], bits: NDArray[np.float64], rest: float, context: StreamContext
) -> None:
    """Tell what each superframe cost: its own `bits`, and part of the `rest` behind the walk. These are signs, mostly,
    and shared out by coefficients."""
    coded = sum((_nonzero(group) for group in groups if group.superframes), np.zeros(len(bits)))
    decoder.share(bits + rest * coded / max(coded.sum(), 1), c.superframe_length(context.samplerate))


def _channel_counts(context: StreamContext) -> list[int]:
    """Channels of each group."""
    return [channels.stop - channels.start for channels in channel_groups(context.channels)]


def _geometry(group: Group, context: StreamContext) -> layout.Geometry:
    return layout.geometry(c.superframe_length(context.samplerate), group.coarse_bands)


def _walk(group: Group, channels: int, context: StreamContext, graded: bool | None = None) -> Walk:
    graded = bool(group.offsets) if graded is None else graded
    return Walk(_geometry(group, context), channels, group.gain, spectrum_model(), graded, context.covered)


def _write_parameters(encoder: SymbolEncoder, group: Group) -> None:
    encoder.encode_uniform(np.array([group.gain + c.SPECTRUM_GAIN_OFFSET]), c.SPECTRUM_GAINS, "parameters")
    encoder.encode_uniform(np.array([group.coarse_bands]), len(c.COARSE_EDGES), "parameters")
    if group.coarse_bands:
        encoder.encode_uniform(np.array([bool(group.offsets)]), 2, "parameters")


def _read_parameters(decoder: SymbolDecoder, context: StreamContext) -> tuple[Group, bool]:
    """A group without its blocks, and whether it is graded."""
    gain = int(decoder.decode_uniform(c.SPECTRUM_GAINS, 1, "parameters")[0]) - c.SPECTRUM_GAIN_OFFSET
    group = Group(gain, int(decoder.decode_uniform(len(c.COARSE_EDGES), 1, "parameters")[0]))
    if not group.coarse_bands:
        return group, False
    if group.coarse_bands > layout.most_coarse_bands(context.samplerate):
        raise DamagedError("the coded bandwidth exceeds half the sample rate")
    return group, bool(decoder.decode_uniform(2, 1, "parameters")[0])


def _nonzero(group: Group) -> NDArray[np.float64]:
    """Coefficients other than 0 in each superframe."""
    counts = [sum(np.count_nonzero(block.coefficients) for block in blocks) for blocks in group.superframes]
    return np.array(counts, float)


def _empty_block(geometry: layout.Geometry, channels: int, depth: int) -> Block:
    bands = geometry.layouts[depth]
    return Block(
        depth,
        np.zeros(geometry.coarse_bands, np.int32),
        np.zeros((channels, bands.bands), np.int64),
        np.zeros((channels, bands.bins), np.int32),
    )
