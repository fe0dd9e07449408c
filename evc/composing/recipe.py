"""What a song follows from."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from evc.composing.grammar import LATENT, Grammar
from evc.composing.ranking import RANKINGS
from evc.composing.textures import TEXTURES
from evc.format.errors import InputError

NO_EFFECTS = "none"
LEAST_MINUTES, MOST_MINUTES = 0.25, 60.0
LOUDNESSES = -60.0, -10.0  # LUFS
# What is drawn, each by a generator of its own, so that another choice of one leaves the others as they are.
SOUNDS, STRUCTURE, WIGGLER, WIDTH, BREATH, EFFECTS, NAME = range(7)


@dataclass(frozen=True)
class Recipe:
    """Everything: the same recipe is the same song.

    seed      of all that is drawn
    minutes   how long the song is
    rank      what its sounds are put in order by, one of `ranking.RANKINGS`
    grammar   the text of the grammar of its structure
    effects   names of textures, or a folder of recordings, or NO_EFFECTS
    source    a folder of sounds, among whose points the song's are chosen; "": points are drawn from the prior
    lufs      how loud it is
    wiggle    the radius of the wiggler, in standard deviations of the prior ...
    turn      ... and the seconds it takes to turn once

    Raises InputError for what cannot be composed.
    """

    seed: int = 0
    minutes: float = 4.0
    rank: str = "pitch"
    grammar: str = LATENT
    effects: str = "wind,rain,waves"
    source: str = ""
    lufs: float = -20.0
    wiggle: float = 1.5
    turn: float = 24.0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, (int, np.integer)):
            raise InputError(f"a seed is a whole number, not {self.seed!r}")
        if not all(isinstance(text, str) for text in (self.rank, self.grammar, self.effects, self.source)):
            raise InputError("rank, grammar, effects and source of a song are texts")
        numbers = self.minutes, self.lufs, self.wiggle, self.turn
        if not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
            raise InputError("minutes, loudness and the wiggler have to be finite numbers")
        if not LEAST_MINUTES <= self.minutes <= MOST_MINUTES:
            raise InputError(f"a song has {LEAST_MINUTES:g} to {MOST_MINUTES:g} minutes, not {self.minutes:g}")
        if not LOUDNESSES[0] <= self.lufs <= LOUDNESSES[1]:
            raise InputError(f"a song has {LOUDNESSES[0]:g} to {LOUDNESSES[1]:g} LUFS, not {self.lufs:g}")
        if self.seed < 0 or self.wiggle < 0 or self.turn <= 0:
            raise InputError("seed and wiggle are 0 or more, and a turn takes more than 0 s")
        if self.rank not in RANKINGS:
            raise InputError(f"there is no order by {self.rank}: there are {', '.join(RANKINGS)}")
        Grammar.of(self.grammar)

    def random(self, what: int) -> np.random.Generator:
        """What draws one of the things above."""
        return np.random.default_rng([self.seed, what])

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    @property
    def textures(self) -> list[str]:
        """The effects, if all are textures of ours."""
        found = [] if self.effects == NO_EFFECTS else [name.strip() for name in self.effects.split(",") if name.strip()]
        return found if all(name in TEXTURES for name in found) else []

    @property
    def folder(self) -> str:
        """Where the effects are, if they are recordings."""
        return "" if self.effects == NO_EFFECTS or self.textures else self.effects

    def arguments(self, grammar: str = "FILE") -> str:
        """The options of `evc compose` that make this song again: the seed, and what is not as usual. `grammar` is the
        name of the file that a grammar of one's own is in."""
        options: dict[str, Any] = {
            "minutes": self.minutes, "rank": self.rank, "effects": self.effects, "from": self.source,
            "lufs": self.lufs, "wiggle": self.wiggle, "turn": self.turn,
        }  # fmt: skip
        usual = {name: getattr(Recipe, "source" if name == "from" else name) for name in options}
        said = [f"--{name} {_text(value)}" for name, value in options.items() if value != usual[name]]
        if self.grammar != LATENT:
            said.append(f"--grammar {_text(grammar)}")
        return " ".join([f"--seed {self.seed}", *said])


def _text(value: Any) -> str:
    return shlex.quote(value) if isinstance(value, str) else repr(float(value)).removesuffix(".0")
