"""The parameters of the sounds of events: what `generator` makes of vectors and `waveforms` makes samples of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Values = Any  # float64: a tensor in training, an array elsewhere

LONGEST = 6.0
"""Seconds until the gate of the longest event begins to close."""

FALL = 0.05
"""Seconds that a gate takes to close, at most."""

DURATION = LONGEST + FALL
"""Seconds after which no event sounds."""

BLOCK = 128
"""Samples over which oscillators go on by multiplication."""

AUDIBLE = 1e-6
"""-120 dB: what is below, against the first partial, is left out."""

AUDIBLE_ECHO = 1e-4
"""-80 dB, against the dry sound: what a room's neighbours among the codes leave behind is not rendered."""

FADE_FROM = LONGEST - 0.2
"""Seconds after its start at which an event's echoes begin to fade, until DURATION."""

SHORTEST = 2e-3
"""The least time constants, in seconds."""

FASTEST = 16.0
"""The greatest factor of a partial's decay."""


@dataclass
class Sounds:
    """What `n` events sound like. Rates are per second, times in seconds."""

    frequencies: Values  # [n, 8] Hz
    decays: Values  # [n, 8] rates
    amplitudes: Values  # complex [n, 8]: gains, multipliers and start phases
    states: Values  # [n, 8] b_m: gains of the partials after the deformation
    deformation: Values  # [n] its rate, 1 / theta
    attacks: Values  # [n] alpha
    lengths: Values  # [n]
    falls: Values  # [n]
    noise_levels: Values  # [n] root mean square, against the amplitude of the first partial
    noise_rates: Values  # [n] 1 / T_noise
    noise_colours: Values  # [n, filters] weights
    dry: Values  # [n]
    echo_delays: Values  # [n, rooms, echoes]
    echo_gains: Values  # [n, rooms, echoes], wet included
