"""One event as samples: its oscillators and its noise on the grid of its own first sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal
from evc.models.events.noise_source import white_series
from evc.models.events.sounds import AUDIBLE, AUDIBLE_ECHO, BLOCK, DURATION, FADE_FROM


@dataclass(frozen=True, slots=True)
class Solo:
    """The parameters of one event at one sample rate; what is silent is left out.

    Methods give samples `low` to `high`, sample i being `late` + i / samplerate seconds after the event's start.
    """

    samplerate: int
    exponents: NDArray[np.complex128]  # [oscillators], of both states of the deformation
    strengths: NDArray[np.complex128]  # [oscillators]
    attack: float
    length: float
    fall: float
    noise_level: float
    noise_rate: float
    noise_colours: Signal  # [filters]
    filters: Signal  # [filters, bins]: amplitudes of the noise's series
    key: int
    taps: tuple[tuple[float, float], ...]  # delay and gain of the dry sound and of each echo, ascending
    partials_end: float  # seconds after which the oscillators are silent
    noise_end: float

    @property
    def end(self) -> float:
        """Seconds after its start at which the event is over."""
        return min(DURATION, max(self.partials_end, self.noise_end) + self.taps[-1][0])

    def partials(self, late: float, low: int, high: int) -> Signal:
        """The sum of the oscillators, by blocks: see `waveforms`."""
        first = low // BLOCK
        blocks = np.arange(first, -(-high // BLOCK))
        times = np.concatenate([blocks * (BLOCK / self.samplerate) + late, np.arange(BLOCK) / self.samplerate])
        turns = np.outer(self.exponents.imag / (2 * np.pi), times)
        turns -= np.rint(turns)
        phases = turns.astype(np.float32) * np.float32(2 * np.pi)
        sizes = np.exp(np.outer(self.exponents.real, times).astype(np.float32))
        waves = np.empty(turns.shape, np.complex64)
        waves.real, waves.imag = sizes * np.cos(phases), sizes * np.sin(phases)
        rows = waves[:, : len(blocks)] * self.strengths.astype(np.complex64)[:, None]
        columns = waves[:, len(blocks) :]
        left, right = np.concatenate([rows.real, -rows.imag]), np.concatenate([columns.real, columns.imag])
        return (left.T @ right).ravel()[low - first * BLOCK : high - first * BLOCK]

    def noise(self, late: float, low: int, high: int) -> Signal:
        """The noise: a period of its series, repeated and damped."""
        bins = self.filters.shape[1]
        turns = (np.arange(bins) * (2 * np.pi * late)).astype(np.float32)  # less than half a period in all
        ramp = np.empty(bins, np.complex64)
        ramp.real, ramp.imag = np.cos(turns), np.sin(turns)
        ramp *= self.noise_colours @ self.filters
        period = np.fft.irfft(white_series([self.key], bins)[0] * ramp, self.samplerate)
        count = np.arange(low, high)
        damping = np.exp((count / self.samplerate + late) * -self.noise_rate) * (self.noise_level * self.samplerate / 2)
        return (period[count % self.samplerate] * damping).astype(np.float32)

    def shape(self, sound: Signal, start: float, delay: float) -> None:
        """Put attack, gate and the fade of echoes on samples [frames] of which the first is `start` seconds into it.

        delay: of the echo, 0 for the dry sound.
        """
        rising = max(0, min(len(sound), int(np.ceil((self.attack - start) * self.samplerate))))
        steps = (start + np.arange(rising) / self.samplerate) / self.attack
        sound[:rising] *= np.square(np.sin((np.minimum(steps, 1) * (np.pi / 2)).astype(np.float32)))
        _close(sound, start - self.length, self.fall, self.samplerate)
        if delay > 0:
            _close(sound, start + delay - FADE_FROM, DURATION - FADE_FROM, self.samplerate)


def _close(sound: Signal, start: float, seconds: float, samplerate: int) -> None:
    """A fall over `seconds`, begun `start` seconds before the first sample (negative: still to begin)."""
    begin = max(0, int(np.ceil(-start * samplerate)))
    if begin < len(sound):
        steps = (start + np.arange(begin, len(sound)) / samplerate) / seconds
        sound[begin:] *= np.square(np.cos((np.minimum(steps, 1) * (np.pi / 2)).astype(np.float32)))


def solo(sound: dict[str, Any], key: int, samplerate: int, filters: Signal) -> Solo:
    """A row of `Sounds`, as arrays by name, its amplitudes being those that the sample rate leaves."""
    on = np.abs(sound["amplitudes"]) > AUDIBLE
    strengths, states = sound["amplitudes"][on], sound["states"][on]
    exponents = -sound["decays"][on] + 2j * np.pi * sound["frequencies"][on]
    if (states != 1).any():
        exponents = np.concatenate([exponents, exponents - sound["deformation"]])
        strengths = np.concatenate([strengths * states, strengths * (1 - states)])
    closed = float(sound["lengths"] + sound["falls"])
    sizes = np.maximum(np.abs(strengths), AUDIBLE)
    faded = float(np.max(np.log(sizes / AUDIBLE) / -exponents.real, initial=0.0))
    level, rate = float(sound["noise_levels"]), float(sound["noise_rates"])
    hissed = float(np.log(max(level, AUDIBLE) / AUDIBLE) / rate)
    heard = np.abs(sound["echo_gains"]) > AUDIBLE_ECHO
    echoes = zip(sound["echo_delays"][heard].tolist(), sound["echo_gains"][heard].tolist())
    return Solo(
        samplerate, exponents, strengths, float(sound["attacks"]), float(sound["lengths"]), float(sound["falls"]),
        level, rate, sound["noise_colours"].astype(np.float32), filters, key,
        ((0.0, float(sound["dry"])), *sorted(echoes)), min(closed, faded), min(closed, hissed),
    )  # fmt: skip
