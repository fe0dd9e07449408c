"""The parameters of the sounds of events: what `generator` makes of vectors and `waveforms` makes samples of."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

LONGEST = 6.0
"""Seconds until the gate of the longest event begins to close."""

FALL = 0.05
"""Seconds that a gate takes to close, at most."""

DURATION = LONGEST + FALL
"""Seconds after which no event sounds."""


@dataclass
class Sounds:
    """What `n` events sound like, float64 tensors. Rates are per second, times in seconds."""

    frequencies: Tensor  # [n, 8] Hz
    decays: Tensor  # [n, 8] rates
    amplitudes: Tensor  # complex [n, 8]: gains, multipliers and start phases
    states: Tensor  # [n, 8] b_m: gains of the partials after the deformation
    deformation: Tensor  # [n] its rate, 1 / theta
    attacks: Tensor  # [n] alpha
    lengths: Tensor  # [n]
    falls: Tensor  # [n]
    noise_levels: Tensor  # [n] root mean square, against the amplitude of the first partial
    noise_rates: Tensor  # [n] 1 / T_noise
    noise_colours: Tensor  # [n, filters] weights
    dry: Tensor  # [n]
    echo_delays: Tensor  # [n, rooms, echoes]
    echo_gains: Tensor  # [n, rooms, echoes], wet included
