"""What a file holds beside latents, and which of the ways sounds best.

Music that consists of clear notes is best told by many events, most other sounds by noise of the right colour and more
latents; there is little between. What suits a file is tried on a few seconds of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.models.device import one_thread
from evc.models.encoded import Encoded
from evc.models.hearing import level_offset, mel_distance, tonal_similarity
from evc.models.progress import Progress
from evc.models.source import ArraySource, AudioSource
from evc.models.synthesis import of_file

NOISE_SHARE, NOISE_MOST = 0.4, 0.8  # of the bitrate, and kbit/s, where noise stands alone
EVENT_SHARE, EVENTS_MOST = 0.7, 3.0  # of the bitrate, and kbit/s, for events and noise
TONAL_ENOUGH = 0.86  # similarity with noise alone, from which on events are not tried
EVENTS_WORTH = 0.03  # of badness: what events have to improve to be worth the time it takes to find them
TONAL_WEIGHT = 2.0  # of what is missing to perfect tonal similarity, against the mel distance
SAMPLED_SHARE, LEAST_SAMPLED, MOST_SAMPLED = 0.15, 3.0, 12.0  # of the duration, in seconds,
PIECE = 3.0  # in pieces of about so many


BETTER = 0.01  # badness, by which a file with copies has to be better to be taken,
LEVEL_ALLOWED = 0.05  # and log10 of magnitudes, by which its level may be farther off
COMPARED = 10.0  # seconds at a time


class Way(NamedTuple):
    """Events and noise in so many kbit/s, or noise alone."""

    events: bool
    bitrate: float


class Score(NamedTuple):
    """Mel distance and tonal similarity."""

    mel: float
    tonal: float

    @property
    def badness(self) -> float:
        """Both in one figure."""
        return self.mel + TONAL_WEIGHT * (1 - self.tonal)


def possible_ways(bitrate: float) -> tuple[Way, Way]:
    """Noise alone, and events: what may be told beside latents in a file of a bitrate (kbit/s)."""
    noise, events = min(NOISE_SHARE * bitrate, NOISE_MOST), min(EVENT_SHARE * bitrate, EVENTS_MOST)
    return Way(False, noise), Way(True, events)


def sampled(source: AudioSource) -> AudioSource:
    """A few seconds of a source, in pieces from all over it."""
    seconds = source.frames / source.samplerate
    total = min(max(SAMPLED_SHARE * seconds, LEAST_SAMPLED), MOST_SAMPLED, seconds)
    count = max(1, round(total / PIECE))
    frames = max(1, round(total * source.samplerate) // count)
    starts = [(source.frames - frames) * (2 * piece + 1) // (2 * count) for piece in range(count)]
    audio = np.concatenate([source.read(start, frames) for start in starts], axis=1)
    return ArraySource(audio.T, source.samplerate)


def heard_as(
    heard: NDArray[np.float32], wanted: NDArray[np.float32], samplerate: int, enough: float = math.inf
) -> Score:
    """How near one waveform [channels, frames] is to another. From a tonal similarity on that is `enough`, nobody asks
    for the mel distance, which is 0 then."""
    with one_thread():
        tonal = tonal_similarity(heard, wanted, samplerate)
        return Score(mel_distance(heard, wanted, samplerate) if tonal < enough else 0.0, tonal)


def sounds_better(one: Encoded, other: Encoded, source: AudioSource, progress: Progress | None = None) -> bool:
    """Whether one file is nearer to the source than the other, and its level not farther off."""
    frames = max(1, round(COMPARED * source.samplerate))
    badness, levels = np.zeros(2), np.zeros(2)
    with of_file(one.as_file()) as first, of_file(other.as_file()) as second, one_thread():
        for start in range(0, source.frames, frames):
            span = start, min(frames, source.frames - start)
            wanted = source.read(*span)
            for number, file in enumerate((first, second)):
                heard = file.render(*span)
                badness[number] += span[1] * heard_as(heard, wanted, source.samplerate).badness
                levels[number] += span[1] * level_offset(heard, wanted, source.samplerate)
            if progress is not None:
                progress(sum(span), source.frames)
    badness, levels = badness / source.frames, np.abs(levels) / source.frames
    return bool(badness[0] + BETTER <= badness[1] and levels[0] <= levels[1] + LEVEL_ALLOWED)
