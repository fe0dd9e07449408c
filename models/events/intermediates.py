"""What happens inside one event, from its excitation to the room."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from evc.format.errors import InputError
from evc.models.arrays import Signal
from evc.models.events.generator import Generator
from evc.models.events.sounds import DURATION, Sounds
from evc.models.events.vectors import VECTOR_DIMS
from evc.models.events.waveforms import envelope, oscillators, waveforms


@dataclass(frozen=True, slots=True)
class Intermediates:
    """The stages of one event at one sample rate, float32, sample 0 being its start.

    The sum of the resonance's rows, each times its row of the deformation, is the dry tone; with the noise of the
    excitation and the room's part it is the sound.
    """

    impulse: Signal  # [frames] the push that the attack gives the resonators: its slope, of sum 1
    noise: Signal  # [frames] filtered noise under attack, gate and its own decay
    excitation: Signal  # [frames] both
    resonance: Signal  # [8, frames] the partials under attack and gate, in their first state
    deformation: Signal  # [8, frames] gains of the partials over time
    room: Signal  # [frames] what the room adds to (and takes from) the dry sound
    sound: Signal  # [frames] all of it


def intermediates(generator: Generator, vector: ArrayLike, samplerate: int = 44_100, key: int = 0) -> Intermediates:
    """How the sound of one vector [32] comes about, as long as it may sound, for people to see and hear. `key`: of its
    noise (`event_keys`). Raises InputError for another shape."""
    point = torch.as_tensor(np.asarray(vector, np.float32))
    if point.shape != (VECTOR_DIMS,):
        raise InputError(f"an event has a vector of {VECTOR_DIMS} numbers")
    with torch.no_grad():
        sounds = generator(point[None].double())
        frames = int(np.ceil(samplerate * _duration(sounds)))
        times = torch.arange(frames, dtype=torch.float64)[None] / samplerate
        partials = torch.cat([_partial(sounds, row, samplerate, times) for row in range(sounds.states.shape[1])])
        mixing = torch.exp(-sounds.deformation[:, None] * times)
        gains = mixing + (1 - mixing) * sounds.states[0, :, None]
        offsets = torch.zeros(1, dtype=torch.float64)
        dry, sound = (
            waveforms(some, generator.noise_filters, offsets, samplerate, frames, [key], torch.float64)[0]
            for some in (_without_room(sounds), sounds)
        )
        noise = dry - (partials * gains).sum(0)
        rise = torch.sin((times[0] / sounds.attacks).clamp(0, 1) * (torch.pi / 2)).square()
        impulse = torch.diff(rise, append=rise.new_ones(1))
    stages = (impulse, noise, impulse + noise, partials, gains, sound - dry, sound)
    return Intermediates(*(stage.float().numpy() for stage in stages))


def _duration(sounds: Sounds) -> float:
    """Seconds until the gate and the last echo are over."""
    echoes = sounds.echo_delays[sounds.echo_gains != 0]
    tail = float(echoes.max()) if len(echoes) else 0.0
    return min(DURATION, float(sounds.lengths + sounds.falls) + tail)


def _without_room(sounds: Sounds) -> Sounds:
    return replace(sounds, dry=torch.ones_like(sounds.dry), echo_gains=torch.zeros_like(sounds.echo_gains))


def _partial(sounds: Sounds, row: int, samplerate: int, times: torch.Tensor) -> torch.Tensor:
    """One partial under attack and gate, without the deformation: [1, frames]."""
    alone = torch.zeros_like(sounds.amplitudes)
    alone[:, row] = sounds.amplitudes[:, row]
    single = replace(sounds, amplitudes=alone, states=torch.ones_like(sounds.states))
    offsets = torch.zeros(1, dtype=torch.float64)
    wave = oscillators(single, offsets, samplerate, times.shape[1], torch.float64)
    return wave * envelope(sounds, times, torch.float64)
