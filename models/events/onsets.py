"""Where something begins in a signal of any length and rate, by the shipped proposer."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.format.networks import weights
from evc.models.events.features import SAMPLERATE
from evc.models.events.proposer import Proposer, downmix
from evc.models.training.dataset import RESAMPLING_MARGIN, resampled

PROPOSER = "evc-events-1-encoder"  # which the encoder alone needs: no file names it

_CORE = 20.0  # seconds that are looked at together,
_AROUND = 2.0  # and what is seen of the time before and after
_LEAST = 0.1  # probability
_LIKELY = 0.5  # of the probability that the proposer gives an onset
_SAME = 0.02  # seconds: onsets closer than that, from either side of a seam, are one


@lru_cache(maxsize=2)
def shipped_proposer(device: str = "cpu") -> Proposer:
    """The proposer that is installed, in evaluation mode. Raises UnsupportedError if none is."""
    return Proposer.load(weights(PROPOSER)).to(device)


def onset_times(
    audio: NDArray[np.floating], samplerate: float, device: str = "cpu"
) -> NDArray[np.float64]:
    """Times in seconds [n], ascending, at which something begins in `audio` [channels, frames]: notes, drums."""
    times, probabilities = likely_onsets(audio, samplerate, device)
    return times[probabilities > _LIKELY]


def likely_onsets(
    audio: NDArray[np.floating], samplerate: float, device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times in seconds [n], ascending, at which something may begin in `audio` [channels, frames], and the probability
    [n], from 0.1, that it does. What sounds at the first frame already seems to begin there."""
    found: list[tuple[float, float]] = []
    proposer = shipped_proposer(device)
    for core in range(max(1, int(np.ceil(audio.shape[1] / samplerate / _CORE)))):
        begin, end = core * _CORE, (core + 1) * _CORE
        first = round((begin - _AROUND) * samplerate)
        part = _padded(audio, first, round((end + _AROUND) * samplerate), samplerate)
        times, probabilities = proposer.propose(part).likely_onsets(_LEAST)
        times += first / samplerate
        for time, probability in zip(times.tolist(), probabilities.tolist(), strict=True):
            new = not found or time - found[-1][0] > _SAME
            if begin <= time < min(end, audio.shape[1] / samplerate) and new:
                found.append((time, probability))
    onsets = np.array(found).reshape(-1, 2)
    return onsets[:, 0], onsets[:, 1]


def _padded(audio: NDArray[np.floating], first: int, last: int, samplerate: float) -> NDArray[np.float32]:
    """Frames `first` to `last`, zeros beyond the ends (but no more than are needed), as [1, frames] at 22.05 kHz."""
    last = min(last, audio.shape[1])
    margin = RESAMPLING_MARGIN
    inside = audio[:2, max(0, first - margin) : last + margin].astype(np.float32)
    before = max(0, margin - first)
    after = max(0, last + margin - audio.shape[1])
    return resampled(np.pad(downmix(inside)[None], ((0, 0), (before, after))), samplerate / SAMPLERATE)
