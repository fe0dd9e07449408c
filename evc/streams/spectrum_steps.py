"""Quantiser step sizes derived from coded band energies, in integers (spec/evc-1.md, section 9)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evc.streams.spectrum_layout import FINE_EDGES, OCTAVE, BandLayout

OWN_WEIGHT = 19            # 64ths: how far a band's step follows its own energy ...
SPREAD_WEIGHT = 26         # ... and the energy spread from its neighbours
REFERENCE = 6 * OCTAVE     # amplitude at which the weights pivot
UPWARD = 106               # spreading in 1/64 octave of amplitude per Bark: 10 dB towards higher bands
DOWNWARD = 266             # 25 dB towards lower bands
UNIT_HZ = 86.1328125
WIDTH_WEIGHT = 0.22


def _bark(hertz: np.ndarray) -> np.ndarray:
    """Traunmueller (1990)."""
    return 26.81 * hertz / (1960 + hertz) - 0.53


@lru_cache(maxsize=64)
def _tables(edges: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(spreading [bands, bands], offset [bands]) in 1/64 octave for bands with these edges in units."""
    units = np.array(edges, float)
    centre = _bark((units[1:] + units[:-1]) / 2 * UNIT_HZ)
    distance = centre[:, None] - centre[None]
    spreading = np.rint(np.where(distance > 0, UPWARD * distance, -DOWNWARD * distance)).astype(np.int64)
    offset = np.rint(OCTAVE * WIDTH_WEIGHT * np.log2(np.diff(units) * UNIT_HZ / 100)).astype(np.int64)
    return spreading, offset


def step_logs(energies: np.ndarray, gain: int, layout: BandLayout, depth: int) -> np.ndarray:
    """Log step sizes int [..., channels, bands] in 1/64 octave from log energies of the same shape and units."""
    shift = 4 - depth
    spreading, offset = _tables(tuple(int(e) >> shift for e in layout.edges))
    loudest = energies.max(axis=-2)
    spread = (loudest[..., None, :] - spreading).max(axis=-1)[..., None, :]
    weighted = OWN_WEIGHT * (energies - REFERENCE) + SPREAD_WEIGHT * (spread - REFERENCE)
    return gain + REFERENCE + (weighted >> 6) + offset
