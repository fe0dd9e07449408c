"""Energies of what patterns leave over in a block: mostly nothing, else much as before; and steps (spec 9.7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.changes import BandFlags, Changes
from evc.format.streams.integers import Flags
from evc.format.streams.port import SymbolPort

_KIND = "energies"


class LeftEnergies:
    """Codes the energies of predicted blocks of one channel group: which bands have any, by how much they have changed,
    and by how much steps rise besides. Contexts adapt throughout a segment."""

    def __init__(self, channels: int, fine_bands: int) -> None:
        self._on = BandFlags(6)
        self._energies = Changes(1, c.ENERGY_MAX)
        self._rising = Flags(1)
        self._rises = Changes(-c.MOST_RISE, c.MOST_RISE)
        self._past = np.zeros((channels, fine_bands), np.int64)  # 1 where the block before had an energy
        self._latest = np.zeros((channels, fine_bands), np.int64)  # the energy last, or what stands for it

    def code_on(self, port: SymbolPort, wanted: NDArray[np.bool_], bands: layout.BandLayout) -> NDArray[np.bool_]:
        """Code which bands [channels, bands] have an energy."""
        found = np.zeros(wanted.shape, np.int64)
        other = np.full(bands.bands, 2)
        for channel, row in enumerate(wanted):
            known = self._past[channel, bands.fine[:-1]] + 2 * other
            found[channel] = on = self._on.code(port, row, known, _KIND)
            self._past[channel, : bands.fine[-1]] = np.repeat(on, np.diff(bands.fine))
            other = on
        return found == 1

    def restart(self, steps: NDArray[np.int64], bands: layout.BandLayout) -> None:
        """Expect energies a little above these log steps [channels, bands]."""
        likely = np.clip((steps - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1 + c.LEFT_HEIGHT, 1, c.ENERGY_MAX)
        self._latest = np.repeat(likely, np.diff(bands.fine), axis=1)

    def changes(self, energies: NDArray[np.integer], bands: layout.BandLayout) -> NDArray[np.int64]:
        """By how much `energies` [channels, bands] differ from the last ones; 0 where there are none."""
        return np.where(energies > 0, energies - self._latest[:, bands.fine[:-1]], 0)

    def code_energies(
        self, port: SymbolPort, energies: NDArray[np.integer], on: NDArray[np.bool_], bands: layout.BandLayout
    ) -> NDArray[np.int64]:
        """Code `energies` [channels, bands] where they are `on`, written into by a reading port, and return their
        changes. Raises FormatError for an energy out of range."""
        found, widths = np.zeros(energies.shape, np.int64), np.diff(bands.fine)
        for channel, row in enumerate(energies):
            places = np.flatnonzero(on[channel])
            before = self._latest[channel, bands.fine[places]]
            row[places] = self._energies.code(port, before, row[places].astype(np.int64), _KIND)
            found[channel, places] = row[places] - before
            self._latest[channel, np.repeat(on[channel], widths)] = np.repeat(row[places], widths[places])
        return found

    def code_rises(
        self, port: SymbolPort, rises: NDArray[np.integer] | None, on: NDArray[np.bool_]
    ) -> NDArray[np.int64] | None:
        """Code whether the steps change besides, and if so by how much [channels, bands] where bands are `on`. Raises
        FormatError for a rise out of range."""
        if not self._rising.code(port, np.array([rises is not None], np.int32), 0, _KIND)[0]:
            return None
        found = np.zeros(on.shape, np.int64)
        for row, places, wanted in zip(found, on, found if rises is None else rises.astype(np.int64)):
            row[places] = self._rises.code(port, row[places], wanted[places], _KIND)
        return found
