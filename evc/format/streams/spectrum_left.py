"""Energies of what patterns leave over in a block: mostly nothing, else much as before; and steps (spec 9.7)."""

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
    """Codes the energies of predicted blocks of one channel group: which bands have any, by how much they have changed,
    and by how much steps rise besides. Contexts adapt throughout a segment."""

    def __init__(self, channels: int, fine_bands: int) -> None:
        self._flags = Flags(6 + 3 * 6)
        self._changed = Flags(1)
        self._scales = Scales(10)
        self._past = np.zeros((channels, fine_bands), np.int64)  # 1 where the block before had an energy
        self._latest = np.zeros((channels, fine_bands), np.int64)  # the energy last, or what stands for it

    def code_on(self, port: _Port, wanted: NDArray[np.bool_], bands: layout.BandLayout) -> NDArray[np.bool_]:
        """Code which bands [channels, bands] have an energy."""
        found = np.zeros(wanted.shape, np.int64)
        other = np.full(bands.bands, 2)
        for channel, row in enumerate(wanted):
            found[channel] = on = self._code_on(port, row, self._past[channel, bands.fine[:-1]] + 2 * other)
            self._past[channel, : bands.fine[-1]] = np.repeat(on, np.diff(bands.fine))
            other = on
        return found == 1

    def restart(self, steps: NDArray[np.int64], bands: layout.BandLayout) -> None:
        """Expect energies a little above these log steps [channels, bands]."""
        likely = np.clip((steps - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1 + c.LEFT_HEIGHT, 1, c.ENERGY_MAX)
        self._latest = np.repeat(likely, np.diff(bands.fine), axis=1)

    def changes(self, energies: NDArray[np.int64], bands: layout.BandLayout) -> NDArray[np.int64]:
        """By how much `energies` [channels, bands] differ from the last ones; 0 where there are none."""
        return np.where(energies > 0, energies - self._latest[:, bands.fine[:-1]], 0)

    def code_energies(
        self, port: _Port, energies: NDArray[np.int64], on: NDArray[np.bool_], bands: layout.BandLayout
    ) -> NDArray[np.int64]:
        """Code `energies` [channels, bands] where they are `on`, written into by a reading port, and return their
        changes. Raises DamagedError for an energy out of range."""
        found, widths = self.changes(energies, bands), np.diff(bands.fine)
        for channel, row in enumerate(energies):
            places = np.flatnonzero(on[channel])
            if not len(places):
                continue
            before = self._latest[channel, bands.fine[places]]
            found[channel, places] = changes = self._code_row(port, found[channel, places], channel)
            row[places] = before + changes
            if row[places].min() < 1 or row[places].max() > c.ENERGY_MAX:
                raise DamagedError("a band energy is out of range")
            self._latest[channel, np.repeat(on[channel], widths)] = np.repeat(row[places], widths[places])
        return found

    def code_rises(
        self, port: _Port, rises: NDArray[np.int64] | None, on: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        """Code whether the steps change besides, and if so by how much [channels, bands] where bands are `on`."""
        symbols = _Symbols(port)
        if not self._changed.code(symbols, np.array([rises is not None], np.int32), 0, _KIND)[0]:
            return None
        found = np.zeros(on.shape, np.int64)
        for channel, row in enumerate(found if rises is None else rises):
            places = np.flatnonzero(on[channel])
            if len(places):
                middle = np.array([int(np.median(row[places]))])
                common = self._signed(port, middle, 8 + channel)[0]
                found[channel, places] = common + self._code_row(port, row[places] - common, 4 + channel)
        return found

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

    def _code_row(self, port: _Port, wanted: NDArray[np.int64], context: int) -> NDArray[np.int64]:
        """Code integers: every second one by itself, those between against half of what their neighbours are."""
        found = np.zeros(len(wanted), np.int64)
        found[::2] = self._signed(port, wanted[::2], context)
        odd = np.arange(1, len(wanted), 2)
        if len(odd):
            after = np.where(odd + 1 < len(wanted), odd + 1, odd - 1)
            likely = (found[odd - 1] + found[after] + 2) >> 2
            found[odd] = likely + self._signed(port, wanted[odd] - likely, 2 + context)
        return found

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
