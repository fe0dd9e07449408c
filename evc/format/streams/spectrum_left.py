"""Energies of what patterns leave over in a block: mostly nothing, else a little above the step (spec 9.7)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers
from evc.format.errors import DamagedError
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.integers import Flags, Scales

_KIND = "energies"


class _Port(Protocol):
    def code(self, values: Integers, table: FrequencyTable, rows: Integers | int, kind: str) -> Integers: ...
    def escape(self, values: Integers, kind: str) -> Integers: ...


class LeftEnergies:
    """Codes the energies of predicted blocks of one channel group: which bands have any, then how far they lie from
    their step sizes. Contexts adapt throughout a segment."""

    def __init__(self, channels: int, fine_bands: int) -> None:
        self._flags = Flags(6 + 3 * 6)
        self._scales = Scales(4)
        self._past = np.zeros((channels, fine_bands), np.int64)  # 1 where the block before had an energy

    def code(
        self, port: _Port, energies: NDArray[np.int64], steps: NDArray[np.int64], bands: layout.BandLayout
    ) -> None:
        """Code `energies` [channels, bands], written into by a reading port.

        steps: log step sizes that what the patterns bring would have, of the same shape. Raises DamagedError for an
        energy out of range.
        """
        reference = np.clip((steps - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1, 1, c.ENERGY_MAX)
        other = np.full(bands.bands, 2)
        for channel, row in enumerate(energies):
            on = self._code_on(port, row > 0, self._past[channel, bands.fine[:-1]] + 2 * other)
            self._past[channel, : bands.fine[-1]] = np.repeat(on, np.diff(bands.fine))
            places = np.flatnonzero(on)
            found = reference[channel, places] + self._code_heights(
                port, row[places] - reference[channel, places], channel
            )
            if len(found) and (found.min() < 1 or found.max() > c.ENERGY_MAX):
                raise DamagedError("a band energy is out of range")
            row[:] = 0
            row[places] = found
            other = on

    def _code_on(self, port: _Port, wanted: NDArray[np.bool_], context: NDArray[np.int64]) -> NDArray[np.int64]:
        """1 where a band has an energy: even bands by what they and the other channel had, odd ones also by their
        neighbours."""
        on = np.zeros(len(wanted), np.int64)
        even, odd = np.arange(0, len(on), 2), np.arange(1, len(on), 2)
        on[even] = self._flags.code(_Symbols(port), wanted[even].astype(np.int32), context[even], _KIND)
        if len(odd):
            around = on[odd - 1] + on[np.where(odd + 1 < len(on), odd + 1, odd - 1)]
            at = 6 * (1 + around) + context[odd]
            on[odd] = self._flags.code(_Symbols(port), wanted[odd].astype(np.int32), at, _KIND)
        return on

    def _code_heights(self, port: _Port, wanted: NDArray[np.int64], channel: int) -> NDArray[np.int64]:
        """Heights above the reference: every second one by itself, those between against their neighbours."""
        heights = np.zeros(len(wanted), np.int64)
        if not len(wanted):
            return heights
        heights[::2] = c.LEFT_HEIGHT + self._signed(port, wanted[::2] - c.LEFT_HEIGHT, channel)
        odd = np.arange(1, len(wanted), 2)
        if len(odd):
            after = np.where(odd + 1 < len(wanted), odd + 1, odd - 1)
            between = (heights[odd - 1] + heights[after]) >> 1
            heights[odd] = between + self._signed(port, wanted[odd] - between, 2 + channel)
        return heights

    def _signed(self, port: _Port, values: NDArray[np.int64], context: int) -> NDArray[np.int64]:
        folded = np.where(values < 0, -2 * values - 1, 2 * values)
        folded = np.asarray(self._scales.unsigned(_Symbols(port), folded, context, _KIND), np.int64)
        return np.where(folded & 1, -((folded + 1) >> 1), folded >> 1)


class _Symbols:
    """The spectrum stream's port as adaptive integers see it."""

    def __init__(self, port: _Port) -> None:
        self._port = port

    def symbols(self, values: Integers, table: FrequencyTable, rows: Integers | int, kind: str) -> Integers:
        return self._port.code(np.asarray(values, np.int32), table, rows, kind)

    def golomb(self, values: Integers, order: int, kind: str) -> Integers:
        return self._port.escape(values, kind)
