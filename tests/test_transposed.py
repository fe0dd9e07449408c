"""Waveforms at other rates and round their loops: what they have to be."""

from __future__ import annotations

import numpy as np
import pytest
from synthesis_tools import ONE

from evc.format import constants as c
from evc.format.sources import SoundSource
from evc.format.streams.dictionary import Loop
from evc.models.patterns.transposed import transposed


@pytest.mark.parametrize("semitones, fine", [(-24, 0), (-7, 2048), (0, 1), (7, 0), (12, 0)])
def test_a_transposed_sound_is_as_much_higher(semitones: int, fine: int) -> None:
    """A sine whose frequency is the entry's times the rate, to 50 dB."""
    rate = 2 ** ((semitones + fine / 4096) / 12)
    heard = transposed(np.sin(0.5 * np.arange(4000, dtype=np.float32))[None], a_source(rate, None), 1000, 1000, 5)[0]
    wanted = np.sin(0.5 * rate * (np.arange(1000, 2000) - 100.25))
    assert np.abs(heard - wanted).max() < 10 ** (-50 / 20)


def test_what_would_be_above_half_the_rate_is_not_heard() -> None:
    """Up by an octave, where 0.8 of half the sample rate would fold down to 0.4."""
    sine = np.sin(0.8 * np.pi * np.arange(4000, dtype=np.float32))[None]
    assert np.abs(transposed(sine, a_source(2.0, None), 500, 1000, 5)).max() < 10 ** (-50 / 20)


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.37])
def test_a_loop_goes_round(rate: float) -> None:
    """A sine looped after a whole number of periods, 40.5 frames, goes on for ever; so does one looped there and back
    between its extremes."""
    turn = 2 * np.pi / 40.5
    sine = np.cos(turn * np.arange(200, dtype=np.float32))[None]
    wanted = np.cos(rate * turn * (np.arange(500, 9000) - 100.25))
    for loop in (Loop(81 * ONE, 81 * ONE), Loop(81 * ONE, 81 * ONE // 2, True)):
        heard = transposed(sine, a_source(rate, loop), 500, 8500, 5)[0]
        assert np.abs(heard - wanted).max() < 10 ** (-50 / 20)


def a_source(rate: float, loop: Loop | None) -> SoundSource:
    """Of something that begins at frame 100.25 of the file, and does not end."""
    return SoundSource(0, 0, 10_000, 100 * ONE + 8, 0, 10_000, 0, round(rate * c.RATE_ONE), loop)
