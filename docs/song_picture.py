"""Draws docs/songs.webp: two songs of `evc compose` as constant-Q spectrograms, one below the other.

Needs evc[compose] and evc[report]. Run it from the root of the repository: python docs/song_picture.py
"""

from pathlib import Path

import numpy as np

import evc
from evc.composing.song import finished
from evc.composing.textures import SAMPLERATE
from evc.models.report.pictures import encoded, shades
from evc.models.report.spectrogram import constant_q, shared_scale

RECIPES = evc.Recipe(seed=1), evc.Recipe(seed=4, rank="brightness", effects="none", wiggle=3.0)
COLUMNS, PER_OCTAVE, GAP = 900, 24, 12
PAPER = 251


def main() -> None:
    levels = [constant_q(finished(recipe).audio, SAMPLERATE, COLUMNS, PER_OCTAVE) for recipe in RECIPES]
    scale = shared_scale(*levels)
    drawn = [shades(part, scale) for part in levels]
    gap = np.full((GAP, COLUMNS, 3), PAPER, np.uint8)
    Path("docs/songs.webp").write_bytes(encoded(np.concatenate([drawn[0], gap, drawn[1]])))


if __name__ == "__main__":
    main()
