"""The noise stream: band energies over time; the decoder draws seeded noise of that colour (spec 8.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.coder import SymbolDecoder, SymbolEncoder
from evc.errors import InputError
from evc.streams import StreamContext
from evc.streams.bands import band_count, band_edges
from evc.streams.port import Port, ReadPort, WritePort
from evc.streams.surface import code_surface


@dataclass
class NoiseStream:
    """Levels of noise in one segment.

    levels      int64 [channels, columns, bands], from 0 (none) to 255; of two channels the first is mid, the
                second side. Channels after the first repeat themselves in every group of 2**hold_log2 columns
    step        of the levels, in 1/4 dB
    hop_shift   a column is 2**-hop_shift superframes long
    band_stride fine bands of the spectrum stream in a band
    """

    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 1, 1), np.int64))
    step: int = c.DEFAULT_NOISE_STEP
    hop_shift: int = c.DEFAULT_NOISE_HOP_SHIFT
    band_stride: int = 1
    hold_log2: int = 0

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the levels; InputError where they break a limit (spec 8.1)."""
        self._check(context)
        self._code(WritePort(encoder), context)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no noise."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    @staticmethod
    def shape(context: StreamContext, hop_shift: int, band_stride: int) -> tuple[int, int, int]:
        """Shape of `levels` in a segment: [channels, columns, bands]."""
        columns = -(-context.frames // (c.superframe_length(context.samplerate) >> hop_shift))
        return context.channels, columns, band_count(context.samplerate, band_stride, fine=True)

    def edges(self, context: StreamContext) -> NDArray[np.float64]:
        """Edges of the bands in Hz [bands + 1]."""
        return band_edges(context.samplerate, self.band_stride, fine=True)

    def as_array(self) -> NDArray[np.float32]:
        """Root mean square of the noise in each band, linear, full scale 1 [channels, columns, bands]."""
        decibels = c.NOISE_FLOOR_DB + (self.levels - 1) * (self.step / c.NOISE_UNITS_PER_DB)
        return np.where(self.levels > 0, 10 ** (decibels / 20), 0).astype(np.float32)

    def _code(self, port: Port, context: StreamContext) -> None:
        self.step = 1 + port.field(self.step - 1, c.NOISE_STEP_BITS)
        self.hop_shift = port.field(self.hop_shift, c.NOISE_HOP_BITS)
        self.band_stride = port.field(self.band_stride, c.BAND_STRIDE_BITS)
        self.hold_log2 = port.field(self.hold_log2, c.NOISE_HOLD_BITS)
        if not port.writing:
            shape = self.shape(context, self.hop_shift, self.band_stride)
            port.reserve(shape[2] * (shape[1] + (shape[0] - 1) * (shape[1] >> self.hold_log2)))
            self.levels = np.zeros(shape, np.int64)
        self.levels = code_surface(port, self.levels, 1 << self.hold_log2, "noise")

    def _check(self, context: StreamContext) -> None:
        if not 0 <= self.hop_shift < 1 << c.NOISE_HOP_BITS or not 1 <= self.step <= 1 << c.NOISE_STEP_BITS:
            raise InputError("the hop or the step of the noise is out of range")
        if not 0 <= self.band_stride < 1 << c.BAND_STRIDE_BITS:
            raise InputError("the bands of the noise are out of range")
        if not 0 <= self.hold_log2 < 1 << c.NOISE_HOLD_BITS:
            raise InputError("the hold of the noise is out of range")
        if self.levels.shape != self.shape(context, self.hop_shift, self.band_stride):
            raise InputError("the noise has another shape than its segment")
        if self.levels.min(initial=0) < 0 or self.levels.max(initial=0) > c.MAX_SURFACE_LEVEL:
            raise InputError("a level of the noise is out of range")
        columns = np.arange(self.levels.shape[1])
        if (self.levels[1:] != self.levels[1:, columns >> self.hold_log2 << self.hold_log2]).any():
            raise InputError("the noise of a later channel changes within a group of columns")
