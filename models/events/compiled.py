"""The fitter of events in compiled kernels.

What they find is what `EventFitter` finds (fitting.py), which tests compare them with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Floats
from evc.models.events import fitted, harmonics, moments, weighting
from evc.models.events.atoms import DECAYED, Atoms
from evc.models.events.vectors import PARTS


class CompiledFitter:
    """The arguments are those of `EventFitter`; `frames`: the most that a residual has."""

    def __init__(
        self, atoms: Atoms, rate: float, grid: float, weights: weighting.Weighting, moments: moments.Moments,
        frames: int,
    ) -> None:  # fmt: skip
        self._kept: list[Any] = []  # what structures point at
        self._scratch = np.zeros((8, frames + 1))
        self._fitter = kernels.ffi.new(
            "evc_fitter *",
            {
                "atoms": self._atoms(atoms),
                "how": self._constants(),
                "rate": rate,
                "grid": grid,
                "columns": weights.map.shape[1],
                "onset_count": len(moments.times),
                "onsets": self._pointer(moments.times),
                "moments": self._pointer(moments.starts),
                "weights": self._pointer(weights.map),
                "scratch": self._pointer(self._scratch),
                "scratch_length": self._scratch.shape[1],
            },
        )
        self._envelope, self._fitted = kernels.ffi.new("evc_envelope *"), kernels.ffi.new("evc_fitted *")

    def refined(
        self, residual: Floats, frequency: float, uncertainty: float, envelope: fitted.Envelope
    ) -> fitted.Envelope | None:
        """The envelope that suits a contiguous residual best, from one that nearly does."""
        self._fitter.channels, frames = residual.shape
        found = self._envelope
        found[0] = envelope
        if not kernels.lib.evc_refine(
            self._fitter, kernels.pointer(residual), frames, frequency, uncertainty, found
        ):
            return None
        return fitted.Envelope(found.start, found.attack, found.decay, found.length)

    def fit_at(
        self, residual: Floats, pitch: int, frequency: float, envelope: fitted.Envelope, threshold: float
    ) -> fitted.FittedEvent | None:
        """As `EventFitter.fit_at`; `frequency` is that of the pitch."""
        self._fitter.channels, frames = residual.shape
        self._envelope[0] = envelope
        first = int(np.ceil(envelope.start * self._fitter.rate))
        waveform = np.empty(len(residual) * max(0, frames - first))
        if not kernels.lib.evc_fit(
            self._fitter, kernels.pointer(residual), frames, pitch, frequency, self._envelope, threshold,
            self._fitted, kernels.pointer(waveform),
        ):  # fmt: skip
            return None
        found = self._fitted
        codes: NDArray[np.int64] = np.array(list(found.codes)[: len(PARTS)], np.int64)
        sound = waveform[: len(residual) * found.frames].reshape(len(residual), found.frames).copy()
        return fitted.FittedEvent(envelope.start, found.level, found.pan, codes, found.gain, found.first, sound)

    def _pointer(self, array: NDArray[Any], dtype: Any = np.float64) -> Any:
        contiguous = np.ascontiguousarray(array, dtype)
        self._kept.append(contiguous)
        return kernels.pointer(contiguous)

    def _atoms(self, atoms: Atoms) -> Any:
        found = kernels.ffi.new(
            "evc_atoms *",
            {
                "attacks": len(atoms.rises),
                "decays": len(atoms.decays),
                "lengths": len(atoms.lengths),
                "resonators": len(atoms.ratios),
                "multiplier_codes": atoms.multipliers.shape[1],
                "rises": self._pointer(atoms.rises),
                "decay_times": self._pointer(atoms.decays),
                "length_times": self._pointer(atoms.lengths),
                "falls": self._pointer(atoms.falls),
                "ratios": self._pointer(atoms.ratios),
                "decay_factors": self._pointer(atoms.decay_factors),
                "gains": self._pointer(atoms.gains),
                "phases": self._pointer(atoms.phases),
                "multipliers": self._pointer(np.ascontiguousarray(atoms.multipliers, np.complex128).view(np.float64)),
                "harmonic": self._pointer(harmonics.harmonic(atoms), np.uint8),
            },
        )
        self._kept.append(found)
        return found

    def _constants(self) -> Any:
        found = kernels.ffi.new(
            "evc_fitting *",
            {
                "hop": fitted.HOP,
                "quick": moments.QUICK,
                "phases": harmonics.PHASES,
                "pan_steps": fitted.PAN_STEPS,
                "least_frames": harmonics.LEAST_FRAMES,
                "weighting_hop": weighting.HOP,
                "attack_span": fitted.ATTACK_SPAN,
                "longest_body": fitted.LONGEST_BODY,
                "longest_rise": fitted.LONGEST_RISE,
                "slow_rise": fitted.SLOW_RISE,
                "slow_step": fitted.SLOW_STEP,
                "decayed": DECAYED,
                "beginning": harmonics.BEGINNING,
                "highest": harmonics.HIGHEST,
                "base_bits": fitted.BASE_BITS,
                "partial_bits": harmonics.PARTIAL_BITS,
                "quietest": fitted.QUIETEST,
                "amplitude_step": harmonics.AMPLITUDE_STEP,
                "tolerance": moments.TOLERANCE,
                "shared": moments.SHARED,
            },
        )
        self._kept.append(found)
        return found
