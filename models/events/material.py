"""What the event network is trained on, by number or by random numbers: planted mixes, and excerpts of recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evc.models.events.cells import SAMPLERATE
from evc.models.events.planted import Mix, Planter, without_onsets
from evc.models.training.augmentation import Augmentation
from evc.models.training.dataset import Audio, AudioFolder

_MIXES, _EXCERPTS = 1, 2  # tell the random numbers of mixes and of excerpts from those of steps
_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Material:
    """Makes what batches consist of, from numbers: what a process is told."""

    folder: AudioFolder
    planter: Planter
    seed: int
    background_chance: float

    def numbered_mix(self, number: int) -> Mix:
        return self.mix(np.random.default_rng((self.seed, _MIXES, number)))

    def numbered_excerpt(self, number: int) -> Audio:
        return self.excerpt(np.random.default_rng((self.seed, _EXCERPTS, number)))

    def mix(self, random: np.random.Generator) -> Mix:
        """A planted mix, perhaps over a recording."""
        background = None
        if random.random() < self.background_chance:
            background = self.folder.excerpt(random, SAMPLERATE, self.planter.frames)[0]
            if random.random() < 0.7:
                background = without_onsets(background, random)
        return self.planter.mix(random, background)

    def excerpt(self, random: np.random.Generator) -> Audio:
        """Of a recording: [frames]."""
        return _AUGMENTATION.excerpt(self.folder, random, SAMPLERATE, self.planter.frames)[0]
