"""Fitted events, and the constants of fitting: what `fitting` and its compiled kernels share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.models.arrays import Floats

HOP = 16  # frames over which the demodulated residual is summed in the fine search
LONGEST_BODY = 4.0  # s of an atom in which decays and lengths are compared
ATTACK_SPAN = 0.6  # s of an atom in which attacks and starts are compared
LONGEST_RISE = 0.8  # of an event's length
SLOW_RISE = 0.02  # s; starts of slower attacks are first tried in steps of a share of the rise
SLOW_STEP = 0.15
PAN_STEPS = c.DEFAULT_PAN_STEPS  # to each side
BASE_BITS = 34.0  # of an event of one partial: what it has to pay for
QUIETEST = 10 ** (-100 / 20)


class Envelope(NamedTuple):
    """Start of an event in s, and the codes of its attack, decay and length."""

    start: float
    attack: int
    decay: int
    length: int


@dataclass
class FittedEvent:
    """An event as it is coded, and what it is worth.

    start   s; a multiple of the grid of times
    codes   int64 [16]; amplitude and pan are levels
    gain    weighted energy taken away per bit
    first, waveform  where it sounds at the analysis rate: frame, float64 [channels, frames]
    """

    start: float
    amplitude: int
    pan: int
    codes: NDArray[np.int64]
    gain: float
    first: int
    waveform: Floats
