"""Gains of the resonators' partials from music: `ATTENUATIONS` of initial.py.

    python -m evc.models.events.fit_resonators FOLDER [--exclude FOLDER]

Excerpts are decomposed; at each event the magnitudes of the harmonics above it are measured, as the encoder does. The
gains then follow by Lloyd's algorithm, in the encoder's own measure: an event goes to the resonator with which its
partials take away most, beyond what they cost, and a resonator's gains become those that take most from its events.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evc.format.networks import weights
from evc.models.arrays import Floats
from evc.models.device import one_thread
from evc.models.events.atoms import Atoms
from evc.models.events.decompose import LEAST, LEAST_SLOPE, WindowDecomposer
from evc.models.events.fitted import FittedEvent
from evc.models.events.harmonics import AMPLITUDE_STEP, PARTIAL_BITS, Tone, exponential, harmonic_magnitudes
from evc.models.events.initial import ATTENUATIONS
from evc.models.events.moments import Moments
from evc.models.events.onsets import onset_times
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK, MIDI_0_HZ, PART_INDEX, STEPS_PER_OCTAVE
from evc.models.events.weighting import Weighting
from evc.models.training.dataset import AudioFolder, scan

RATE = 22_050
SECONDS = 8.0
DENSITY = 35.0  # events per second
ITERATIONS = 30
SOFTEST, LOUDEST = -36.0, 3.0  # dB of a partial, the first being 0


def observations(folder: AudioFolder, excerpts: int, seed: int) -> tuple[Floats, Floats]:
    """Of every event of random excerpts the harmonics' magnitudes over that of the first partial [events, 7], and the
    weight of each, over what one partial costs [events, 7]: gains g take away weight * g * (2 magnitude - g)."""
    atoms = Atoms.of(SoundTables.load(weights(EVENTS_NETWORK)))
    decomposer = WindowDecomposer(atoms, RATE, 32 / RATE)
    rng = np.random.default_rng(seed)
    rows: list[tuple[Floats, Floats]] = []
    for _ in range(excerpts):
        audio = folder.excerpt(rng, RATE, round(SECONDS * RATE)).astype(np.float64)
        weighting = Weighting(audio, RATE)
        least = LEAST * (DENSITY / 20) ** LEAST_SLOPE * float(np.sqrt(np.mean(audio**2)))
        if least > 0:
            residual, moments = audio.copy(), Moments(onset_times(audio, RATE))
            events = decomposer.take(residual, weighting, moments, SECONDS, least)
            rows += [_observed(atoms, audio, event, weighting, least) for event in events]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _observed(
    atoms: Atoms, left: Floats, event: FittedEvent, weighting: Weighting, least: float
) -> tuple[Floats, Floats]:
    """What the encoder saw above this event; `left`, what was left before it, is changed to what is left behind it."""
    span = slice(event.first, event.first + event.waveform.shape[1])
    part = left[:, span].sum(axis=0)
    left[:, span] -= event.waveform
    pitch, attack, decay, length = (int(event.codes[PART_INDEX[n]]) for n in ("pitch", "attack", "decay", "length"))
    t = (event.first + np.arange(len(part))) / RATE - event.start
    frequency, amplitude = MIDI_0_HZ * 2 ** (pitch / STEPS_PER_OCTAVE), 10 ** (event.amplitude * AMPLITUDE_STEP / 20)
    carrier = exponential(2j * np.pi * frequency, float(t[0]), len(t), RATE)
    tone = Tone(part, t, atoms.envelope(t, attack, decay, length), carrier, event.start, frequency)
    numbers, found, energy = harmonic_magnitudes(tone, amplitude, RATE)
    magnitudes, weights = np.zeros((2, 7))
    for m, magnitude in zip(numbers, found, strict=True):
        magnitudes[m - 2] = magnitude
        weights[m - 2] = amplitude**2 * energy / 2 * weighting.at(event.start, m * frequency)
    return magnitudes, weights / (PARTIAL_BITS * least)


def fitted(gains: Floats, magnitudes: Floats, weights: Floats) -> Floats:
    """Gains [resonators, 7], linear, that suit the observations better than those given; rows stay similar."""
    lowest, highest = 10 ** (SOFTEST / 20), 10 ** (LOUDEST / 20)
    for _ in range(ITERATIONS):
        worth = np.stack(
            [np.maximum(weights * row * (2 * magnitudes - row) - 1, 0).sum(axis=1) for row in gains], axis=1
        )
        members, paying = worth.argmax(axis=1), worth.max(axis=1) > 0
        for i, row in enumerate(gains):
            chosen = paying & (members == i)
            pays = weights[chosen] * (weights[chosen] * row * (2 * magnitudes[chosen] - row) > 1)
            total = pays.sum(axis=0)
            centre = (pays * magnitudes[chosen]).sum(axis=0) / np.maximum(total, 1e-12)
            gains[i] = np.where(total > 0, np.clip(centre, lowest, highest), row)
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exclude", type=Path, help="leave out works that occur below this folder")
    parser.add_argument("--excerpts", type=int, default=100)
    arguments = parser.parse_args()
    with one_thread():
        magnitudes, weights = observations(scan(arguments.folder, arguments.exclude), arguments.excerpts, 1)
    before = 10 ** (-np.array(ATTENUATIONS) / 20)
    after = fitted(before.copy(), magnitudes, weights)
    print(f"# {len(magnitudes)} events; worth {_worth(before, magnitudes, weights):.4f}", end=" ")
    print(f"per event before, {_worth(after, magnitudes, weights):.4f} after")
    for row in np.rint(-20 * np.log10(after)).astype(int).tolist():
        print(f"    {tuple(row)},")


def _worth(gains: Floats, magnitudes: Floats, weights: Floats) -> float:
    """What the partials of an event take away beyond their cost, in units of that cost."""
    worth = [np.maximum(weights * row * (2 * magnitudes - row) - 1, 0).sum(axis=1) for row in gains]
    return float(np.max(worth, axis=0).mean())


if __name__ == "__main__":
    main()
