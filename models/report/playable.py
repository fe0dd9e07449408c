"""Events as a page plays them: the parameters of their sounds, from which its own synthesis makes samples.

A page that held every event as audio would be many times as large. What is here is what `solo.Solo` renders from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format.header import Header, NetworkReference
from evc.format.networks import find
from evc.models.events.columns import EventColumns
from evc.models.events.noise_source import TOP
from evc.models.events.sounding import SoundTables, audible_below
from evc.models.events.sounds import AUDIBLE, AUDIBLE_ECHO, DURATION, FADE_FROM, Sounds

FIELDS = ("pan", "amplitude", "attack", "length", "fall", "noise level", "noise rate", "deformation")
_HEARD = 0.05  # of the first partial, and of its gain
PARTIAL_FIELDS = ("frequency", "decay", "real", "imaginary", "state")


@dataclass(frozen=True, eq=False)
class Playable:
    """Events in order of time.

    values   float32 [events, fields]: `FIELDS`, the weights of the noise's filters, `PARTIAL_FIELDS` of each partial
    keys     uint32 [events] of their noise
    rooms    index [events] into `echoes`: rows of delay in s and gain, the dry sound first
    filters  float32 [filters, 2]: centre and width of the noise's filters, in natural logarithms of Hz
    """

    values: NDArray[np.float32]
    keys: NDArray[np.uint32]
    rooms: list[int]
    echoes: list[list[tuple[float, float]]]
    filters: NDArray[np.float32]
    partials: int
    top: int  # Hz: of the noise

    def facts(self) -> dict[str, Any]:
        """What is the same for all of them, ready for JSON."""
        return {
            "fields": self.values.shape[1], "partials": self.partials, "filters": self.filters.round(6).tolist(),
            "rooms": self.rooms, "echoes": self.echoes, "top": self.top, "duration": DURATION, "fadeFrom": FADE_FROM,
        }  # fmt: skip


def playable(events: EventColumns, network: NetworkReference, header: Header) -> Playable:
    """What the events of a file sound like alone. Raises UnsupportedError if their network is not installed."""
    tables = SoundTables.load(find(network))
    sounds = tables.sounds(np.asarray(events.vectors, np.float32))
    strengths = sounds.amplitudes * audible_below(sounds.frequencies, header.samplerate)
    strengths = np.where(np.abs(strengths) > AUDIBLE, strengths, 0)
    partials = np.stack([sounds.frequencies, sounds.decays, strengths.real, strengths.imag, sounds.states], axis=2)
    single = np.stack([
        np.asarray(events.pans), np.asarray(events.amplitudes), sounds.attacks, sounds.lengths, sounds.falls,
        sounds.noise_levels, sounds.noise_rates, sounds.deformation,
    ], axis=1)  # fmt: skip
    values = np.concatenate([single, sounds.noise_colours, partials.reshape(len(single), -1)], axis=1)
    rooms, echoes = _rooms(sounds)
    return Playable(
        values.astype(np.float32), np.asarray(events.keys, np.uint32), rooms, echoes,
        tables.noise_bands.astype(np.float32),
        partials.shape[1], min(TOP, header.samplerate // 2),
    )  # fmt: skip


def telling(events: Playable) -> int:
    """The number of the event whose inside tells most: loud, long, and with something in every stage."""
    attack_to_fall, partials = events.values[:, :8], events.values[:, 8 + len(events.filters) :]
    by_partial = partials.reshape(len(partials), events.partials, len(PARTIAL_FIELDS))
    heard = np.hypot(by_partial[..., 2], by_partial[..., 3]) > _HEARD
    changing = (heard & (np.abs(by_partial[..., 4] - 1) > _HEARD)).any(axis=1)
    roomy = np.array([len(events.echoes[room]) > 1 for room in events.rooms])
    noisy = attack_to_fall[:, 5] > _HEARD
    stages = heard.sum(axis=1) / events.partials + changing + roomy + noisy
    return int(np.argmax(np.abs(attack_to_fall[:, 1]) * np.minimum(attack_to_fall[:, 3], 1.0) * (0.1 + stages)))


def _rooms(sounds: Sounds) -> tuple[list[int], list[list[tuple[float, float]]]]:
    """The taps of every event, as an index into those that differ."""
    known: dict[tuple[tuple[float, float], ...], int] = {}
    rows = []
    for dry, delays, gains in zip(sounds.dry, sounds.echo_delays, sounds.echo_gains, strict=True):
        heard = np.abs(gains) > AUDIBLE_ECHO
        pairs = sorted(zip(delays[heard].round(6).tolist(), gains[heard].round(5).tolist(), strict=True))
        taps = ((0.0, round(float(dry), 5)), *pairs)
        rows.append(known.setdefault(taps, len(known)))
    return rows, [list(taps) for taps in known]
