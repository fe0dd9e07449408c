"""Quantiser step sizes derived from coded band energies, in integers (spec/evc-1.md, section 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.spectrum_tables import psychoacoustics


def step_logs(energies: NDArray[np.integer], gain: int, depth: int) -> NDArray[np.int64]:
    """Log step sizes int64 [..., channels, bands] in 1/64 octave, from log energies of the same shape and units.

    A step follows the energy of its own band and the energy that neighbouring bands spread to it, that of the loudest
    channel; `gain` moves all steps, and is the only rate knob.
    """
    spreading, offset = psychoacoustics("fine" if depth < c.FINE_DEPTHS else "coarse")
    bands = energies.shape[-1]
    loudest = energies.max(axis=-2)
    spread = (loudest[..., None, :] - spreading[:bands, :bands]).max(axis=-1)[..., None, :]
    weighted = c.STEP_OWN_WEIGHT * (energies - c.STEP_REFERENCE) + c.STEP_SPREAD_WEIGHT * (spread - c.STEP_REFERENCE)
    return gain + c.STEP_REFERENCE + (weighted >> 6) + offset[:bands]
