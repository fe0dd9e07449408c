"""Where something begins in a signal of any length and rate, by the shipped network."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format.networks import weights
from evc.models.events.cells import HOP, SAMPLERATE
from evc.models.events.hearing import OnsetNetwork, downmix, peaks_of_curve
from evc.models.training.dataset import RESAMPLING_MARGIN, resampled

PROPOSER = "evc-events-1-encoder"  # which the encoder alone needs: no file names it

_CORE = 20.0  # seconds that are looked at together,
_AROUND = 2.0  # and what is seen of the time before and after
_BESIDE = 2  # hops on either side of a span, for the maxima at its ends
_LEAST = 0.1  # probability
_LIKELY = 0.5  # of the probability that the proposer gives an onset
_SAME = 0.02  # seconds: onsets closer than that, from either side of a seam, are one


@lru_cache(maxsize=1)
def shipped_network() -> OnsetNetwork:
    """The network that is installed. Raises UnsupportedError if none is."""
    return OnsetNetwork.load(weights(PROPOSER))


def onset_times(
    audio: NDArray[np.floating], samplerate: float, begin: float = 0.0, end: float = np.inf, device: str = "cpu"
) -> NDArray[np.float64]:
    """Times in seconds [n], ascending, within [begin, end), at which something begins in `audio` [channels, frames]:
    notes, drums. Two seconds on either side of the span are listened to as well."""
    times, probabilities = likely_onsets(audio, samplerate, begin, end, device)
    return times[probabilities > _LIKELY]


def likely_onsets(
    audio: NDArray[np.floating], samplerate: float, begin: float = 0.0, end: float = np.inf, device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in seconds [n], ascending, within [begin, end), at which something may begin in `audio` [channels, frames],
    and the probability [n], from 0.1, that it does. What sounds at the first frame already seems to begin there."""
    found: list[tuple[float, float]] = []
    end = min(end, audio.shape[1] / samplerate)
    for number in range(max(1, int(np.ceil((end - begin) / _CORE)))):
        low, high = begin + number * _CORE, min(end, begin + (number + 1) * _CORE)
        first = round((low - _AROUND) * samplerate)
        part = downmix(_padded(audio, first, round((high + _AROUND) * samplerate), samplerate))
        hops = [int((time - first / samplerate) * SAMPLERATE / HOP) for time in (low, high)]
        from_hop, to_hop = max(0, hops[0] - _BESIDE), min(len(part) // HOP + 1, hops[1] + 1 + _BESIDE)
        times, probabilities = peaks_of_curve(_onset(part, from_hop, to_hop, device), _LEAST)
        times += from_hop * HOP / SAMPLERATE + first / samplerate
        for time, probability in zip(times.tolist(), probabilities.tolist(), strict=True):
            new = not found or time - found[-1][0] > _SAME
            if low <= time < high and new:
                found.append((time, probability))
    onsets = np.array(found).reshape(-1, 2)
    return onsets[:, 0], onsets[:, 1]


def _onset(part: NDArray[np.float32], begin: int, end: int, device: str) -> NDArray[np.float32]:
    if device == "cpu":
        return shipped_network().onset(part, begin, end)
    from evc.models.events.proposer import Proposer

    return Proposer.load(weights(PROPOSER)).to(device).propose(part[None]).onset[begin:end]


def _padded(audio: NDArray[np.floating], first: int, last: int, samplerate: float) -> NDArray[np.float32]:
    """Frames `first` to `last`, zeros beyond the ends (but no more than are needed), as [1, frames] at 22.05 kHz."""
    last = min(last, audio.shape[1])
    margin = RESAMPLING_MARGIN
    inside = audio[:2, max(0, first - margin) : last + margin].astype(np.float32)
    before = max(0, margin - first)
    after = max(0, last + margin - audio.shape[1])
    return resampled(np.pad(downmix(inside)[None], ((0, 0), (before, after))), samplerate / SAMPLERATE)
