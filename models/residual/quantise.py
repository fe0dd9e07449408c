"""Rate-distortion optimised quantisation: the walk of the spectrum stream with the encoder's choices in it."""

from __future__ import annotations

import numpy as np

from evc.coder import FrequencyTable
from evc.streams.spectrum import LARGE_OCTAVES, SYMBOLS, Block, Group, Walk
from evc.streams.spectrum_layout import BandLayout, Geometry
from evc.streams.spectrum_model import SpectrumModel
from evc.models.residual.reconstruction import SHRINK_LARGE, SHRINK_ONE

LAMBDA = 0.10                   # squared steps per bit
SIGN_BITS = 1.0
PLAIN_ROUNDING = 0.36           # for training before there is a model: values below 1 - this become 0


class Quantiser:
    """A port of the walk that decides each magnitude by squared error + LAMBDA * bits, under the real tables."""

    def __init__(self, weight: float = LAMBDA) -> None:
        self.weight = weight
        self.bits = 0.0
        self.spectra: np.ndarray

    def begin(self, block: Block, steps: np.ndarray, levels: np.ndarray, bands: BandLayout) -> None:
        self.block, self.layout = block, bands
        block.coefficients[:] = 0
        scale = np.exp2(steps / -64.0).astype(np.float32)
        self.ratio = np.abs(self.spectra) * scale[:, bands.band_of_bin]
        self.shift = np.maximum(0, ((levels - steps) >> 6) - (LARGE_OCTAVES - 1))

    def code(self, values: np.ndarray, table: FrequencyTable, rows: np.ndarray | int, kind: str) -> np.ndarray:
        self.bits += float(table.bits[rows, values].sum())
        return values

    def escape(self, values: np.ndarray, kind: str) -> np.ndarray:
        self.bits += float((2 * np.log2(values + 1) + 1).sum())
        return values

    def bands(self, channel: int, at: np.ndarray, table: FrequencyTable, rows: np.ndarray) -> np.ndarray:
        ratio = self.ratio[channel]
        nearest = np.floor(ratio + np.float32(0.5))
        gain = nearest * (2 * ratio - nearest) - np.float32(self.weight) * np.where(nearest > 0, 3.5 + 1.5 * np.log2(np.maximum(nearest, 1)), 0)
        worth = np.add.reduceat(np.maximum(gain, 0), self.layout.edges[:-1])[at]
        bits = table.bits[rows]
        flags = (worth > self.weight * (bits[:, 1] - bits[:, 0])) & (worth > 0)
        self.bits += float(np.where(flags, bits[:, 1], bits[:, 0]).sum())
        return flags

    def magnitudes(self, channel: int, bins: np.ndarray, shifts: np.ndarray, table: FrequencyTable,
                   rows: np.ndarray) -> np.ndarray:
        ratio = self.ratio[channel, bins]
        nearest = np.floor(ratio + np.float32(0.5)).astype(np.int32)
        weight = np.float32(self.weight)
        cost = table.bits
        flat, width = cost.ravel(), SYMBOLS
        base = rows * width
        best = np.zeros(len(bins), np.int32)
        best_bits = flat[base]
        best_cost = ratio * ratio + weight * best_bits
        large = bool(shifts.any())
        for candidate in (nearest, nearest - 1):
            symbols = np.minimum(candidate >> shifts if large else candidate, SYMBOLS - 1)
            bits = flat[base + np.maximum(symbols, 0)] + np.float32(SIGN_BITS)
            if large:
                bits += shifts
            escaped = symbols == SYMBOLS - 1
            if escaped.any():
                bits[escaped] += 2 * np.log2(((candidate >> shifts)[escaped] - SYMBOLS + 2) / 8 + 1) + 4
            error = ratio - (candidate - np.where(candidate == 1, np.float32(SHRINK_ONE), np.float32(SHRINK_LARGE)))
            total = error * error + weight * bits
            better = (candidate > 0) & (total < best_cost)
            best = np.where(better, candidate, best)
            best_bits = np.where(better, bits, best_bits)
            best_cost = np.where(better, total, best_cost)
        self.bits += float(best_bits.sum())
        self.block.coefficients[channel, bins] = np.where(self.spectra[channel, bins] < 0, -best, best)
        return np.minimum(best >> shifts, SYMBOLS - 1)


class PlainQuantiser(Quantiser):
    """Rounds with a dead zone, whatever it costs: the start of training, when there is no model yet."""

    def bands(self, channel: int, at: np.ndarray, table: FrequencyTable, rows: np.ndarray) -> np.ndarray:
        self.values = np.floor(self.ratio + np.float32(1 - PLAIN_ROUNDING)).astype(np.int32) * (self.ratio >= 1 - PLAIN_ROUNDING)
        self.values = np.where(self.ratio < 1.5, self.values, np.floor(self.ratio + 0.4).astype(np.int32))
        return np.maximum.reduceat(self.values[channel], self.layout.edges[:-1])[at] > 0

    def magnitudes(self, channel: int, bins: np.ndarray, shifts: np.ndarray, table: FrequencyTable,
                   rows: np.ndarray) -> np.ndarray:
        values = self.values[channel, bins]
        self.block.coefficients[channel, bins] = np.where(self.spectra[channel, bins] < 0, -values, values)
        return np.minimum(values >> shifts, SYMBOLS - 1)


def quantise(spectra: list[list[np.ndarray]], blocks: list[list[Block]], geo: Geometry, gain: int, model: SpectrumModel,
             port: Quantiser) -> Group:
    """Quantise blocks whose depths, modes and energies are set. spectra: per superframe and block, float32
    [channels, bins]; coefficients are written into the blocks. The ideal bits are left in `port.bits`."""
    channels = len(blocks[0][0].energies)
    walk = Walk(geo, channels, gain, model)
    for frame, frame_spectra in zip(blocks, spectra):
        walk.partition([block.depth for block in frame], port)
        for block, port.spectra in zip(frame, frame_spectra):
            walk.block(block, port)
    return Group(gain, geo.coarse_bands, blocks)
