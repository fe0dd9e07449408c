"""The latent stream: integers of a learned encoder at a low rate, for its learned decoder (spec 8.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.coder import SymbolDecoder, SymbolEncoder
from evc.errors import FormatError, InputError
from evc.streams import StreamContext
from evc.streams.integers import Scales, scale_mean
from evc.streams.port import Port, ReadPort, WritePort


@dataclass
class LatentStream:
    """Latents of one segment.

    latents     int64 [groups, columns, dimensions], from -32767 to 32767
    hop         frames in a column
    scales      int64 [groups, dimensions], the table row each dimension starts from, 0 (quiet) to 23
    differences bool [groups], whether a group's latents are coded as differences from the column before
    """

    latents: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 1, 1), np.int64))
    hop: int = c.DEFAULT_LATENT_HOP
    scales: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, 1), np.int64))
    differences: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(1, np.bool_))

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the latents; InputError where they break a limit (spec 8.2)."""
        self._check(context)
        self._code(WritePort(encoder), context)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no latents."""
        stream = cls()
        stream._code(ReadPort(decoder), context)
        return stream

    def as_array(self) -> NDArray[np.int32]:
        """The latents [groups, columns, dimensions]."""
        return self.latents.astype(np.int32)

    def _code(self, port: Port, context: StreamContext) -> None:
        groups, _, dimensions = self.latents.shape
        groups = 1 + port.field(groups - 1, c.LATENT_GROUPS_BITS)
        dimensions = 1 + port.field(dimensions - 1, c.LATENT_DIMENSIONS_BITS)
        self.hop = c.MIN_LATENT_HOP + port.number(self.hop - c.MIN_LATENT_HOP, c.LATENT_HOP_ORDER)
        if self.hop > c.MAX_LATENT_HOP:
            raise FormatError("the hop of the latents is out of range")
        if not port.writing:
            self.scales = np.zeros((groups, dimensions), np.int64)
            self.differences = np.zeros(groups, np.bool_)
        self.scales = _code_scales(port, self.scales)
        self.differences = port.bits(self.differences.astype(np.int64), 1, "header").astype(np.bool_)
        if not port.writing:
            columns = -(-context.frames // self.hop)
            port.reserve(groups * columns * dimensions)
            self.latents = np.zeros((groups, columns, dimensions), np.int64)
        self._code_columns(port)

    def _code_columns(self, port: Port) -> None:
        groups, columns, dimensions = self.latents.shape
        at = np.arange(groups * dimensions)
        scales = Scales(len(at), np.array([scale_mean(int(row)) for row in self.scales.reshape(-1)]))
        keep = np.repeat(self.differences, dimensions)
        before = np.zeros(len(at), np.int64)
        for column in range(columns):
            expected = before * keep
            differences = scales.signed(port, self.latents[:, column].reshape(-1) - expected, at, "latent")
            before = expected + differences
            if np.abs(before).max() > c.MAX_LATENT:
                raise FormatError("a latent is out of range")
            self.latents[:, column] = before.reshape(groups, dimensions)

    def _check(self, context: StreamContext) -> None:
        if self.latents.ndim != 3 or not c.MIN_LATENT_HOP <= self.hop <= c.MAX_LATENT_HOP:
            raise InputError("the latents or their hop are out of range")
        groups, columns, dimensions = self.latents.shape
        most = 1 << c.LATENT_GROUPS_BITS, 1 << c.LATENT_DIMENSIONS_BITS
        if not (1 <= groups <= most[0] and 1 <= dimensions <= most[1]):
            raise InputError("there are too many latents, or none")
        if columns != -(-context.frames // self.hop):
            raise InputError("the latents have another length than their segment")
        if self.scales.shape != (groups, dimensions) or self.differences.shape != (groups,):
            raise InputError("the latents need a scale per dimension and a mode per group")
        if not ((self.scales >= 0) & (self.scales < c.SCALE_ROWS)).all():
            raise InputError("a scale of the latents is out of range")
        if np.abs(self.latents).max(initial=0) > c.MAX_LATENT:
            raise InputError("a latent is out of range")


def _code_scales(port: Port, scales: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows: each as the difference from the one before, all in one call."""
    wanted = np.diff(scales.reshape(-1), prepend=c.DEFAULT_LATENT_SCALE)
    steps = Scales(1, c.SCALE_ONE // 4).signed(port, wanted, 0, "header")
    rows: NDArray[np.int64] = c.DEFAULT_LATENT_SCALE + np.cumsum(steps, dtype=np.int64)
    if rows.min() < 0 or rows.max() >= c.SCALE_ROWS:
        raise FormatError("a scale of the latents is out of range")
    return rows.reshape(scales.shape)
