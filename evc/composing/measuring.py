"""What is measured of a song that is rendered, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc.composing.song import Finished
from evc.composing.textures import SAMPLERATE
from evc.models.arrays import Floats
from evc.models.timbre.spectra import CELLS_PER_SEMITONE, RANGE_DB

MOST_PEAK = 10 ** (-0.1 / 20)  # of full scale
MOST_OFF = 3.0  # LU from the loudness it should have
MOST_BURST = 12.0  # dB, by which its loudest seconds exceed what it usually has
QUIET = -60.0  # dB: a mean square that counts as silence,
MOST_QUIET = 0.15  # of a song may be so
LEAST_APART = 3.0  # dB between two songs, of their mean spectra in semitones
_WINDOW = 3.0  # s


@dataclass(frozen=True, eq=False)
class Measured:
    """lufs      integrated
    peak      highest sample, full scale 1
    burst     dB by which its loudest seconds exceed what it usually has
    quiet     share of it that is silent
    colour    float64 [semitones]: its spectrum over its whole length, in dB
    """

    lufs: float
    peak: float
    burst: float
    quiet: float
    colour: Floats

    @classmethod
    def of(cls, made: Finished) -> Measured:
        song, audio, loud = made
        unit = min(round(_WINDOW * SAMPLERATE), len(audio))
        edges = np.arange(0, len(audio) - unit + 1, unit)
        power = np.add.reduceat(np.square(audio, dtype=np.float32).mean(axis=1), edges)[: len(edges)] / unit
        levels = 10 * np.log10(np.maximum(power, 1e-12))
        burst = float(levels.max() - np.median(levels))
        cells = song.values[:, : song.values.shape[1] // CELLS_PER_SEMITONE * CELLS_PER_SEMITONE]
        colour = cells.reshape(len(cells), -1, CELLS_PER_SEMITONE).mean(axis=(0, 2)) * RANGE_DB
        peak = float(np.abs(audio).max(initial=0))
        return cls(loud, peak, burst, float((levels < QUIET).mean()), colour)

    def against(self, wanted: float) -> str:
        """What speaks against a song that should have `wanted` LUFS; "" if nothing does."""
        if not (np.isfinite(self.peak) and np.isfinite(self.colour).all()):
            return "has samples that are not finite"
        if not np.isfinite(self.lufs):
            return "is silent"
        if self.peak > MOST_PEAK:
            return f"is clipped: its peak is {20 * np.log10(self.peak):+.1f} dB"
        if self.quiet > MOST_QUIET:
            return f"is silent for {100 * self.quiet:.0f} % of its length"
        if self.lufs > wanted + MOST_OFF:
            return f"is too loud: {self.lufs:.1f} LUFS"
        if self.lufs < wanted - MOST_OFF:
            return f"is too faint: {self.lufs:.1f} LUFS"
        if self.burst > MOST_BURST:
            return f"bursts out: {self.burst:.0f} dB above the rest"
        return ""

    def apart(self, other: Measured) -> float:
        """dB between the spectra of two songs, root of mean square."""
        return float(np.sqrt(np.square(self.colour - other.colour).mean()))
