"""What one event goes through, from its attack to the room: as sound, and without torch.

The same stages as `events.intermediates` has, each one heard with all those before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format.header import NetworkReference
from evc.format.networks import find
from evc.models.arrays import Signal
from evc.models.events.solo import Solo, solo
from evc.models.events.sounding import SoundTables, audible_below
from evc.models.events.sounds import DURATION

_PUSH = 0.5  # of full scale: how high the push of the attack is drawn and played, which alone has no level


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages of one event of amplitude 1, each float32 [frames] from its start on."""

    attack: Signal  # the push that starts the resonators, and the noise of the excitation
    resonance: Signal  # the partials, as they ring in their first state
    deformation: Signal  # the partials on their way to their second state, and the noise: the dry sound
    room: Signal  # with echoes: the whole sound


def stages(network: NetworkReference, vector: NDArray[np.floating], key: int, samplerate: int) -> Stages:
    """Those of the event with one vector [32], `key` being that of its noise. Raises UnsupportedError if the network is
    not installed."""
    tables = SoundTables.load(find(network))
    sounds = tables.sounds(np.asarray(vector, np.float32)[None])
    sounds.amplitudes *= audible_below(sounds.frequencies, samplerate)
    whole = {name: values[0] for name, values in vars(sounds).items()}
    bins = samplerate // 2 + 1
    below = audible_below(np.arange(bins, dtype=np.float64), samplerate)
    filters = (tables.noise_filters(bins) * below).astype(np.float32)
    dry = whole | {"dry": np.ones(()), "echo_gains": np.zeros_like(whole["echo_gains"])}
    silent = {"noise_levels": np.zeros(())}
    parts = {
        "noise": dry | {"amplitudes": np.zeros_like(whole["amplitudes"])},
        "resonance": dry | silent | {"states": np.ones_like(whole["states"])},
        "deformation": dry, "room": whole,
    }  # fmt: skip
    frames = max(1, int(np.ceil(samplerate * min(DURATION, solo(whole, key, samplerate, filters).end))))
    heard = {
        name: _rendered(solo(part, key, samplerate, filters), frames)
        for name, part in parts.items()
    }
    push = _push(float(whole["attacks"]), samplerate, frames)
    return Stages(push + heard["noise"], heard["resonance"], heard["deformation"], heard["room"])


def _rendered(one: Solo, frames: int) -> Signal:
    """The sound of an event from its start on: [frames]."""
    out = np.zeros(frames, np.float32)
    for delay, gain in one.taps:
        first = int(np.ceil(delay * one.samplerate))
        late = first / one.samplerate - delay
        for samples, seconds in ((one.partials, one.partials_end), (one.noise, one.noise_end)):
            last = first + int(np.ceil((min(seconds, DURATION - delay) - late) * one.samplerate))
            high = min(last, frames)
            if first < high:
                sound = samples(late, 0, high - first)
                one.shape(sound, late, delay)
                out[first:high] += np.float32(gain) * sound
    return out


def _push(attack: float, samplerate: int, frames: int) -> Signal:
    """The slope of the attack, as high as can be heard."""
    rise = np.sin(np.clip(np.arange(frames + 1) / samplerate / attack, 0, 1) * (np.pi / 2)) ** 2
    slope = np.diff(rise)
    return np.asarray(slope * (_PUSH / max(float(slope.max()), 1e-9)), np.float32)
