"""What training does to excerpts so that a network hears more than there is: level, polarity, speed, mixes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc.models.training.dataset import Audio, AudioFolder


@dataclass(frozen=True)
class Augmentation:
    """How far excerpts are changed. `speed` is in semitones either way, gains are in dB, chances are from 0 to 1."""

    gain: float = 12.0
    speed: float = 3.0
    speed_chance: float = 0.5
    mix_chance: float = 0.25
    mix_gain: tuple[float, float] = (-12.0, 0.0)  # of the second work
    swap_chance: float = 0.5

    def excerpt(
        self, folder: AudioFolder, random: np.random.Generator, samplerate: int, frames: int, channels: int = 1
    ) -> Audio:
        """An excerpt as float32 [channels, frames], now and then with one of another file on top."""
        audio = self._single(folder, random, samplerate, frames, channels)
        if random.random() < self.mix_chance:
            other = self._single(folder, random, samplerate, frames, channels)
            audio = audio + decibels(random.uniform(*self.mix_gain)) * other
        return (decibels(random.uniform(-self.gain, 0.0)) * audio).astype(np.float32)

    def _single(
        self, folder: AudioFolder, random: np.random.Generator, samplerate: int, frames: int, channels: int
    ) -> Audio:
        semitones = random.uniform(-self.speed, self.speed) if random.random() < self.speed_chance else 0.0
        audio = folder.excerpt(random, samplerate, frames, channels, 2 ** (semitones / 12))
        if random.random() < self.swap_chance:
            audio = audio[::-1]
        return -audio if random.random() < 0.5 else audio


def decibels(value: float) -> float:
    """The factor that belongs to a level in dB."""
    return float(10 ** (value / 20))
