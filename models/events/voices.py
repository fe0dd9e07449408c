"""Instruments that the generator of events plays, for planted mixes: their vectors are known."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evc.models.arrays import Floats
from evc.models.events.cells import SAMPLERATE
from evc.models.events.generator import Generator
from evc.models.events.planted import Voice
from evc.models.events.proposer import GUESSED
from evc.models.events.vectors import PARTS, PITCH_PER_SEMITONE

_CHANCES = {"deform": 0.3, "noise": 0.2, "room": 0.04}  # of having any; rooms take long to render
_SILENT_PARTIAL = 0.2


def generator_voices(random: np.random.Generator, generator: Generator) -> Voice:
    """A voice of random vectors: its notes share all parts but pitch, phase and length."""
    common = np.zeros(len(PARTS), np.int64)
    for stage, part in enumerate(PARTS):
        if random.random() < _CHANCES.get(part.name, 1.0):
            common[stage] = random.integers(part.codes)
        if part.name.startswith("partial") and random.random() < _SILENT_PARTIAL:
            common[stage] = 0

    def voice(random: np.random.Generator, pitch: float, start: float, frames: int) -> tuple[Floats, dict[str, int]]:
        codes = common.copy()
        own = {
            "pitch": round(pitch * PITCH_PER_SEMITONE),
            "phase": random.integers(32),
            "length": np.clip(common[_STAGES["length"]] + random.integers(-1, 2), 0, 7),
        }
        for name, code in own.items():
            codes[_STAGES[name]] = code
        key = np.array([random.integers(1 << 32)], np.uint32)
        with torch.no_grad():
            vectors = vectors_of(generator, codes[None])
            offset = torch.tensor([start], dtype=torch.float64)
            sound = generator.render(vectors, offset, SAMPLERATE, frames, key)[0].double().numpy()
        return sound, {name: int(codes[_STAGES[name]]) for name in GUESSED}

    return voice


def vectors_of(generator: Generator, codes: NDArray[np.int64]) -> Tensor:
    """Vectors float32 [n, 32] of codes [n, parts]."""
    return torch.from_numpy(generator.codebooks().codes_to_vectors(codes))


_STAGES = {part.name: stage for stage, part in enumerate(PARTS)}
