"""From a shape to a coded event: fine start, attack, phase, amplitude, pan, and the partials above, all quantised.

What is fitted is subtracted as the decoder will render it: the quantisation errors of one event are seen by the next.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.streams.event_coding import grained
from evc.models.arrays import Floats
from evc.models.events.atoms import Atoms, Times
from evc.models.events.compiled import CompiledFitter
from evc.models.events.fitted import (
    ATTACK_SPAN,
    BASE_BITS,
    HOP,
    LONGEST_BODY,
    LONGEST_RISE,
    PAN_STEPS,
    QUIETEST,
    SLOW_RISE,
    SLOW_STEP,
    Envelope,
    FittedEvent,
)
from evc.models.events.harmonics import AMPLITUDE_STEP, LEAST_FRAMES, PHASES, HarmonicFitter, Tone, exponential
from evc.models.events.moments import QUICK, Moments
from evc.models.events.shapes import Shape
from evc.models.events.vectors import MIDI_0_HZ, PART_INDEX, PARTS, STEPS_PER_OCTAVE
from evc.models.events.weighting import Weighting

Points = NDArray[np.complexfloating[Any, Any]]


class EventFitter:
    """Fits events to residuals [channels, frames], of at most so many `frames`, at `rate` Hz; starts are multiples of
    `grid` s."""

    def __init__(
        self, atoms: Atoms, rate: float, grid: float, weighting: Weighting, moments: Moments, frames: int
    ) -> None:
        self._atoms, self._rate, self._grid, self._weighting = atoms, rate, grid, weighting
        self.moments = moments
        self._harmonics = HarmonicFitter(atoms, rate, weighting)
        self._compiled: CompiledFitter | None = None
        if kernels.lib is not None:
            self._compiled = CompiledFitter(atoms, rate, grid, weighting, moments, frames)

    def fit(self, residual: Floats, shape: Shape, threshold: float) -> FittedEvent | None:
        """The best event of this shape; None where it takes away less than `threshold` per bit."""
        if shape.frequency < MIDI_0_HZ:  # a short low peak, detuned
            return None
        pitch = round(STEPS_PER_OCTAVE * np.log2(shape.frequency / MIDI_0_HZ))
        if pitch >= PARTS[PART_INDEX["pitch"]].codes:
            return None
        envelope = self._refined(residual, shape, MIDI_0_HZ * 2 ** (pitch / STEPS_PER_OCTAVE))
        if envelope is None:
            return None
        codes = np.zeros((1, len(PARTS)), np.int64)
        codes[0, :5] = pitch, 0, envelope.attack, envelope.decay, envelope.length
        return self.fit_at(residual, int(grained(codes)[0, 0]), envelope, threshold)

    def fit_at(self, residual: Floats, pitch: int, envelope: Envelope, threshold: float) -> FittedEvent | None:
        """The best event of this pitch (code) and envelope, likewise."""
        frequency = MIDI_0_HZ * 2 ** (pitch / STEPS_PER_OCTAVE)
        if self._compiled is not None:
            return self._compiled.fit_at(residual, pitch, frequency, envelope, threshold)
        place = self._place(residual, envelope)
        if place is None:
            return None
        first, t, shape = place
        carrier = exponential(2j * np.pi * frequency, t[0], len(t), self._rate)
        part = residual[:, first : first + len(t)]
        solved = _solve(part, carrier * shape)
        if solved is None:
            return None
        level, pan, gains, phase = solved
        waveform = 10 ** (level * AMPLITUDE_STEP / 20) * (carrier * np.exp(2j * np.pi * phase / PHASES)).real * shape
        codes = np.zeros(len(PARTS), np.int64)
        codes[:5] = pitch, phase, envelope.attack, envelope.decay, envelope.length
        weight = self._weighting.at(envelope.start, frequency)
        mono = gains @ part  # gains have unit norm
        if (2 * (mono @ waveform) - waveform @ waveform) * weight / self._rate < BASE_BITS * threshold:
            return None
        tone = Tone(mono - waveform, t, shape, carrier, envelope.start, frequency)
        waveform, bits = self._harmonics.add(tone, waveform, codes, level, threshold)
        error = mono - waveform
        taken = float(mono @ mono - error @ error) / self._rate
        gain = taken * weight / (BASE_BITS + bits)
        return FittedEvent(envelope.start, level, pan, codes, gain, first, gains[:, None] * waveform)

    def _place(self, residual: Floats, envelope: Envelope) -> tuple[int, Floats, Times] | None:
        """First frame of an event, times since its start, and its envelope at these; None if it is too short."""
        first = int(np.ceil(envelope.start * self._rate))
        seconds = self._atoms.duration(envelope.decay, envelope.length)
        frames = min(int(seconds * self._rate), residual.shape[1] - first)
        if frames < LEAST_FRAMES:
            return None
        t = (first + np.arange(frames)) / self._rate - envelope.start
        return first, t, self._atoms.envelope(t, envelope.attack, envelope.decay, envelope.length)

    def _refined(self, residual: Floats, shape: Shape, frequency: float) -> Envelope | None:
        """Start, attack, decay and length by comparing neighbours at a millisecond's resolution."""
        if self._compiled is not None:
            envelope = Envelope(shape.start, 0, shape.decay, shape.length)
            return self._compiled.refined(residual, frequency, shape.uncertainty, envelope)
        atoms, rate = self._atoms, self._rate
        lead = shape.uncertainty + 0.004 + 0.5 * float(atoms.rises.max())
        origin = int((shape.start - lead) * rate)
        points = int((lead + min(atoms.duration(shape.decay, shape.length), LONGEST_BODY)) * rate / HOP) + 1
        points_of_attack = min(points, int((lead + ATTACK_SPAN) * rate / HOP))
        demodulated = _demodulated(residual, frequency / rate, origin, points).astype(np.complex64)
        time = (origin + np.arange(points) * HOP + (HOP - 1) / 2) / rate
        early = demodulated[:, :points_of_attack]

        def best_start(attack: int, starts: Floats, decay: int, length: int) -> tuple[float, float, int]:
            t = (time[None, :points_of_attack] - starts[:, None]).astype(np.float32)
            envelopes = atoms.envelope(t, attack, decay, length)
            taken = _taken(early @ envelopes.T, (envelopes**2).sum(axis=1))
            if attack < QUICK:
                taken *= self.moments.worth(starts)
            j = int(taken.argmax())
            return float(taken[j]), float(starts[j]), attack

        attacks = self._attacks(shape.length)
        found = [best_start(code, self._starts(shape, code), shape.decay, shape.length) for code in attacks]
        most, start, attack = max(found, default=(0.0, 0.0, 0))
        if most <= 0:
            return None
        decay, length = self._body(demodulated, (time - start).astype(np.float32), attack, shape)
        # Once more, with the right decay.
        attacks = [code for code in self._attacks(length) if abs(code - attack) <= 1] or [attack]
        _, start, attack = max(best_start(code, self._near(start, code), decay, length) for code in attacks)
        return Envelope(start, attack, decay, length)

    def _attacks(self, length: int) -> list[int]:
        """Attacks that are over before an event of this length is."""
        return [int(code) for code in np.flatnonzero(self._atoms.rises < LONGEST_RISE * self._atoms.lengths[length])]

    def _body(self, demodulated: Points, t: Times, attack: int, shape: Shape) -> tuple[int, int]:
        """Decay and length, among those next to the shape's."""
        atoms = self._atoms
        rise = atoms.rise(np.maximum(t, 0), attack)
        choices = [
            (decay, length)
            for decay in range(max(0, shape.decay - 1), min(len(atoms.decays), shape.decay + 2))
            for length in range(max(0, shape.length - 1), min(len(atoms.lengths), shape.length + 2))
            if attack in self._attacks(length)
        ]
        envelopes = np.stack([rise * atoms.body(t, *choice) for choice in choices])
        taken = _taken(demodulated @ envelopes.T, (envelopes**2).sum(axis=1))
        return choices[int(taken.argmax())]

    def _starts(self, shape: Shape, attack: int) -> Floats:
        """Candidate starts on the grid: a slow rise begins before the shape found with a quick one."""
        rise = float(self._atoms.rises[attack])
        if rise < SLOW_RISE:
            spread = shape.uncertainty + 0.004
            return self._on_grid(np.arange(shape.start - spread, shape.start + spread, self._grid))
        return self._on_grid(shape.start - rise * np.arange(-SLOW_STEP, 0.61, SLOW_STEP))

    def _near(self, start: float, attack: int) -> Floats:
        """Candidate starts around one that is nearly right."""
        spread = max(2 * self._grid, SLOW_STEP * float(self._atoms.rises[attack]))
        return self._on_grid(np.linspace(start - spread, start + spread, 17))

    def _on_grid(self, starts: Floats) -> Floats:
        return np.unique(np.maximum(np.rint(starts / self._grid), 0)) * self._grid


def _demodulated(residual: Floats, cycles: float, origin: int, points: int) -> NDArray[np.complex128]:
    """Residual from frame `origin` times exp(-2 pi i cycles n), summed over HOP frames: [channels, points]."""
    frames = points * HOP
    part = np.zeros((residual.shape[0], frames))
    a, b = max(0, origin), min(residual.shape[1], origin + frames)
    if a < b:
        part[:, a - origin : b - origin] = residual[:, a:b]
    within = np.exp(-2j * np.pi * cycles * np.arange(HOP))
    across = np.exp(-2j * np.pi * cycles * HOP * np.arange(points))
    return (part.reshape(residual.shape[0], points, HOP) @ within) * across


def _taken(correlations: Points, energies: Times) -> Times:
    """Energy that atoms take away at their best phase and pan, up to a common factor. correlations [channels, n]."""
    power = np.abs(correlations) ** 2
    if len(power) == 1:
        return power[0] / np.maximum(energies, 1e-12)
    cross = (correlations[0] * correlations[1].conj()).real
    a, b = power
    return ((a + b) / 2 + np.sqrt(((a - b) / 2) ** 2 + cross**2)) / np.maximum(energies, 1e-12)


def _solve(part: Floats, tone: NDArray[np.complex128]) -> tuple[int, int, Floats, int] | None:
    """Least squares for one oscillator: level, pan, the channels' gains, and phase code, all quantised.

    part [channels, frames]; tone: complex oscillator under its envelope.
    """
    cosine, sine = tone.real, -tone.imag  # a cos(wt + p) = a cos p * cosine + a sin p * sine
    gram = np.array([[cosine @ cosine, cosine @ sine], [cosine @ sine, sine @ sine]])
    if np.trace(gram) < 1e-9:
        return None
    gram += 1e-6 * np.trace(gram) * np.eye(2)
    solved = np.linalg.solve(gram, np.stack([part @ cosine, part @ sine]))  # [2, channels]
    pan, gains = 0, np.ones(1)
    if len(part) == 2:
        direction = np.linalg.svd(solved)[2][0]
        if direction[0] * direction[1] < 0:  # out of phase: the stronger side alone
            direction = np.abs(direction) * (np.abs(direction) == np.abs(direction).max())
        angle = np.arctan2(abs(direction[1]), abs(direction[0]))
        pan = int(np.clip(round((angle / (np.pi / 4) - 1) * PAN_STEPS), -PAN_STEPS, PAN_STEPS))
        angle = (pan / PAN_STEPS + 1) * np.pi / 4
        gains = np.array([np.cos(angle), np.sin(angle)])
    a, b = solved @ gains
    amplitude = float(np.hypot(a, b))
    if amplitude < QUIETEST:
        return None
    phase = int(round(np.arctan2(b, a) / (2 * np.pi) * PHASES)) % PHASES
    level = round(20 * np.log10(amplitude) / AMPLITUDE_STEP)
    return level, pan, gains, phase
