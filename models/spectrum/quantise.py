"""Rate-distortion optimised quantisation: the walk of the spectrum stream with the encoder's choices in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers
from evc.format.streams import NOWHERE
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group
from evc.format.streams.spectrum_blocks import Block, BlockArrays
from evc.format.streams.spectrum_compiled import CompiledWalk
from evc.format.streams.spectrum_layout import BandLayout, Geometry
from evc.format.streams.spectrum_model import SpectrumModel
from evc.format.streams.spectrum_steps import step_logs
from evc.format.streams.spectrum_walk import Walk

RISE_BITS = 12.0  # what it costs to tell of rises, for a channel ...
BAND_RISE_BITS = 4.0  # ... and for a band that does not rise as the others do
WORTH_CODING = 0.6  # steps: a coefficient that is not 0, about
LAMBDA = 0.08  # squared steps per bit
SIGN_BITS = 1.0
PLAIN_ROUNDING = 0.38  # for training before there is a model: values below 1 - this become 0
BITS_OF_ONE = 3.5  # a coefficient of magnitude 1, about ...
BITS_PER_OCTAVE = 1.5  # ... and more for larger ones

Coefficients = NDArray[np.float32]
Positions = NDArray[np.int64]


class Cost:
    """A port of the walk that adds up the ideal cost of everything in `bits`."""

    writing = True
    compiled = None

    def settle(self, kind: str) -> None:
        """No kernels come here."""

    def __init__(self) -> None:
        self.bits = 0.0

    def symbols(self, values: Integers, table: FrequencyTable, rows: Integers | int, kind: str) -> Integers:
        self.bits += float(table.bits[rows, values].sum())
        return values

    def golomb(self, values: Integers, order: int, kind: str) -> Integers:
        self.bits += float((2 * np.log2(values / (1 << order) + 1) + 1 + order).sum())
        return values


class BlockQuantiser(Cost):
    """Decides each magnitude of a block by squared error + LAMBDA * bits, under the real tables: coefficients are
    written into the block. spectra: float32 [channels, bins] of the block."""

    def __init__(self, spectra: Coefficients) -> None:
        super().__init__()
        self.spectra = spectra

    def begin(self, block: Block, steps: Integers, levels: Integers, bands: BandLayout) -> None:
        self.block, self.layout = block, bands
        block.coefficients[:] = 0
        scale = np.exp2(steps / -c.OCTAVE).astype(np.float32)
        self.ratio = np.minimum(np.abs(self.spectra) * scale[:, bands.band_of_bin], np.float32(c.MAX_MAGNITUDE))

    def bands(self, channel: int, at: Positions, table: FrequencyTable, rows: Positions) -> NDArray[np.bool_]:
        """Code a band if what its coefficients save in error is worth their bits and the flag's."""
        worth = worth_coding(self.ratio[channel], self.layout.edges[:-1])[at]
        flag_bits = table.bits[rows]
        flags = (worth > LAMBDA * (flag_bits[:, 1] - flag_bits[:, 0])) & (worth > 0)
        self.bits += float(np.where(flags, flag_bits[:, 1], flag_bits[:, 0]).sum())
        return flags

    def magnitudes(
        self, channel: int, bins: Positions, shifts: Positions, table: FrequencyTable, rows: Positions
    ) -> Integers:
        ratio = self.ratio[channel, bins]
        nearest = np.floor(ratio + np.float32(0.5)).astype(np.int32)
        weight = np.float32(LAMBDA)
        costs, base = table.bits.ravel(), rows * table.symbols
        best = np.zeros(len(bins), np.int32)
        best_bits = costs[base] + shifts.astype(np.float32)
        best_cost = ratio * ratio + weight * best_bits
        for candidate in (nearest, nearest - 1):
            bits = self._bits(candidate, shifts, costs, base)
            shrink = np.where(candidate == 1, np.float32(c.SHRINK_ONE), np.float32(c.SHRINK_LARGE))
            error = ratio - (candidate - shrink)
            cost = error * error + weight * bits
            better = (candidate > 0) & (cost < best_cost)
            best = np.where(better, candidate, best)
            best_bits = np.where(better, bits, best_bits)
            best_cost = np.where(better, cost, best_cost)
        self.bits += float(best_bits.sum())
        self.block.coefficients[channel, bins] = np.where(self.spectra[channel, bins] < 0, -best, best)
        return np.minimum(best >> shifts, c.MAGNITUDE_SYMBOLS - 1)

    @staticmethod
    def _bits(
        magnitudes: Integers, shifts: Positions, costs: NDArray[np.float32], base: Positions
    ) -> NDArray[np.float32]:
        """Bits of each magnitude above 0 with its sign, low bits and escape (the last about)."""
        high = magnitudes >> shifts
        symbols = np.minimum(np.maximum(high, 0), c.MAGNITUDE_SYMBOLS - 1)
        bits: NDArray[np.float32] = costs[base + symbols] + shifts.astype(np.float32) + np.float32(SIGN_BITS)
        escaped = np.flatnonzero(high >= c.MAGNITUDE_SYMBOLS - 1)
        if len(escaped):
            beyond = (high[escaped] - (c.MAGNITUDE_SYMBOLS - 1)) / (1 << c.MAGNITUDE_ESCAPE_ORDER) + 1
            bits[escaped] += (2 * np.floor(np.log2(beyond)) + 1 + c.MAGNITUDE_ESCAPE_ORDER).astype(np.float32)
        return bits


class PlainQuantiser(BlockQuantiser):
    """Rounds with a dead zone, whatever it costs: the start of training, when there is no model yet."""

    def bands(self, channel: int, at: Positions, table: FrequencyTable, rows: Positions) -> NDArray[np.bool_]:
        self.values = np.floor(self.ratio + np.float32(PLAIN_ROUNDING)).astype(np.int32)
        return np.maximum.reduceat(self.values[channel], self.layout.edges[:-1])[at] > 0

    def magnitudes(
        self, channel: int, bins: Positions, shifts: Positions, table: FrequencyTable, rows: Positions
    ) -> Integers:
        values = self.values[channel, bins]
        self.block.coefficients[channel, bins] = np.where(self.spectra[channel, bins] < 0, -values, values)
        return np.minimum(values >> shifts, c.MAGNITUDE_SYMBOLS - 1)


class GroupQuantiser:
    """Quantises the superframes of one channel group of a segment, in order.

    gain: log step in 1/64 octave; quantiser: decides about a block; graded: whether superframes have offsets to it;
    covered: where patterns sound (see `Walk`).
    """

    def __init__(
        self,
        geometry: Geometry,
        channels: int,
        gain: int,
        model: SpectrumModel,
        quantiser: type[BlockQuantiser] = BlockQuantiser,
        graded: bool = False,
        covered: NDArray[np.int64] = NOWHERE,
    ) -> None:
        self._quantiser = quantiser
        self._walk = Walk(geometry, channels, gain, model, graded, covered)
        self._compiled: CompiledQuantiser | None = None
        if kernels.lib is not None and quantiser is BlockQuantiser:
            self._compiled = CompiledQuantiser(geometry, channels, gain, graded, covered)

    def superframe(
        self,
        blocks: list[Block],
        spectra: list[Coefficients],
        offset: int = 0,
        heard: list[NDArray[np.int64]] | None = None,
    ) -> float:
        """Quantise blocks whose depths, modes and energies are set: coefficients and steps are written into them.
        spectra: of each block, float32 [channels, bins]; offset: quarters of an octave by which the steps are finer;
        heard: where patterns sound, energies [channels, bands] of all that is heard in each block. Returns the ideal
        bits."""
        if self._compiled is not None:
            return self._compiled.superframe(blocks, spectra, offset, heard)
        cost = Cost()
        self._walk.superframe(offset, [block.depth for block in blocks], cost)
        bits = cost.bits
        for place, (block, coefficients) in enumerate(zip(blocks, spectra, strict=True)):
            if heard is not None and self._walk.covers(block.depth) and not block.alone:
                self._raise(block, coefficients, heard[place])
            port = self._quantiser(coefficients)
            block.steps = self._walk.block(block, port)
            bits += port.bits
        return bits

    def _raise(self, block: Block, spectra: Coefficients, heard: NDArray[np.int64]) -> None:
        """Let the steps of a block rise or fall, all by as much or some more than others, where those that it has
        otherwise would cost more than that, for what is `heard` in it."""
        on = block.energies > 0
        if not on.any():
            return
        bands = self._walk.geometry.layouts[block.depth]
        gain = self._walk.gain - c.OFFSET_STEP * self._walk.offset
        suited = step_logs(layout.energy_log(np.maximum(heard, block.energies)), gain, block.depth)
        off = self._walk.steps_to_come(block) - suited
        scale = np.exp2((suited + np.minimum(off, 0)) / -c.OCTAVE).astype(np.float32)
        some = np.abs(spectra) * scale[:, bands.band_of_bin] > WORTH_CODING
        count = np.where(on, np.add.reduceat(some.astype(np.float32), bands.edges[:-1], axis=-1), 0)
        means = (count * off).sum(axis=1) / np.maximum(count.sum(axis=1), 1)
        common = np.broadcast_to(-np.rint(means / c.STEP_RISE).astype(np.int64)[:, None], off.shape)
        own = -((off + c.STEP_RISE // 2) // c.STEP_RISE)
        saved = _lost(count, off + c.STEP_RISE * common) - _lost(count, off + c.STEP_RISE * own)
        least = float(_lost(count, off).sum())
        for rises in (common, np.where(saved > BAND_RISE_BITS, own, common)):
            bits = RISE_BITS * len(off) + BAND_RISE_BITS * np.count_nonzero((rises != common) & on)
            cost = float(_lost(count, off + c.STEP_RISE * rises).sum()) + bits
            if cost < least:
                least, block.held = cost, False
                block.rises = np.where(on, np.clip(rises, -c.MOST_RISE, c.MOST_RISE), 0)


class CompiledQuantiser:
    """A `GroupQuantiser` in the kernels."""

    def __init__(
        self, geometry: Geometry, channels: int, gain: int, graded: bool, covered: NDArray[np.int64]
    ) -> None:
        self._geometry, self._channels = geometry, channels
        self._walk = CompiledWalk(geometry, channels, gain, graded, covered)
        self._port = kernels.ffi.new("evc_port *")
        self._how = kernels.ffi.new("evc_search *")
        how = self._how
        how.bit_weight, how.bits_of_one, how.bits_per_octave = LAMBDA, BITS_OF_ONE, BITS_PER_OCTAVE
        how.sign_bits, how.worth_coding = SIGN_BITS, WORTH_CODING
        how.rise_bits, how.band_rise_bits = RISE_BITS, BAND_RISE_BITS

    def superframe(
        self, blocks: list[Block], spectra: list[Coefficients], offset: int, heard: list[NDArray[np.int64]] | None
    ) -> float:
        arrays = BlockArrays(self._geometry, self._channels, 1)
        arrays.put(0, blocks)
        arrays.offsets[0] = offset
        energies = None
        if heard is not None:
            energies = np.zeros(arrays.energies.shape, np.int32)
            for place, own in enumerate(heard):
                energies[0, place, :, : own.shape[1]] = own
        before = self._port.bits
        values = np.ascontiguousarray(np.concatenate(spectra, axis=1), np.float32)
        self._walk.search(self._port, arrays, self._how, values, energies)
        for block, found in zip(blocks, arrays.blocks(0), strict=True):
            vars(block).update(vars(found))
        return float(self._port.bits - before)


def _lost(count: Coefficients, off: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits that steps which are `off` cost, about, in bands with `count` coefficients worth coding: squared error grows
    with the square of a step, bits shrink with its logarithm."""
    octaves = off / c.OCTAVE
    bits: NDArray[np.float64] = count * ((4**octaves - 1) / np.log(4) - octaves)
    return bits


def quantise(
    spectra: list[list[Coefficients]],
    blocks: list[list[Block]],
    geometry: Geometry,
    gain: int,
    model: SpectrumModel,
    quantiser: type[BlockQuantiser] = BlockQuantiser,
) -> tuple[Group, float]:
    """(quantised group, ideal bits) of the blocks of a whole segment, by superframe; `quantiser` decides."""
    group = GroupQuantiser(geometry, len(blocks[0][0].energies), gain, model, quantiser)
    bits = sum(group.superframe(frame, frame_spectra) for frame, frame_spectra in zip(blocks, spectra))
    return Group(gain, geometry.coarse_bands, blocks), bits


def worth_coding(ratio: Coefficients, starts: Positions) -> NDArray[np.float32]:
    """By how much [..., bands], about, coding coefficients of |value| / step `ratio` [..., bins] lowers squared error +
    LAMBDA * bits."""
    nearest = np.floor(ratio + np.float32(0.5))
    bits = np.where(nearest > 0, BITS_OF_ONE + BITS_PER_OCTAVE * np.log2(np.maximum(nearest, 1)), 0)
    saved = nearest * (2 * ratio - nearest) - np.float32(LAMBDA) * bits.astype(np.float32)
    worth: NDArray[np.float32] = np.add.reduceat(np.maximum(saved, 0), starts, axis=-1)
    return worth
