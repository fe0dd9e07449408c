"""The structure of a song: a small grammar, expanded by choice.

A rule is a line, `S => XYXZ`. A letter that has rules stands for what one of them gives; a song chooses one rule for
each letter, so that a part which comes back is the same part. Letters without rules are the sounds of the song, each
time for one step. The usual grammar is that of "Latent", the document this kind of music is from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Self

import numpy as np

from evc.format.errors import InputError

START = "S"
MOST_STEPS = 256  # of a song
LATENT = """\
S => XYXZ
S => XYZZ
S => XZYZ
S => YXYZ
S => YXZY
S => YZXZ
S => YZYZ
S => ZXYZ
S => ZXZY
S => ZYXZ
X => AABBAABB
X => ABABAB
Y => CDCD
Y => CCDD
Z => E
Z => EE
"""
_RULE = re.compile(r"([A-Z])\s*=>\s*([A-Z\s]*[A-Z])")
_COMMENT = "#"


@dataclass(frozen=True)
class Grammar:
    """rules   what each letter may become, in the order of the text
    sounds  letters that nothing replaces, ascending
    """

    rules: dict[str, tuple[str, ...]]
    sounds: str

    @classmethod
    def of(cls, text: str = LATENT) -> Self:
        """That of a text: a rule in each line, but for empty lines and what stands behind a #. Raises InputError, with
        the line, for what is no rule, letters that lead back to themselves, and songs that would have too many
        steps."""
        found: dict[str, list[str]] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            rule = line.partition(_COMMENT)[0].strip()
            if not rule:
                continue
            match = _RULE.fullmatch(rule)
            if match is None:
                raise InputError(f"line {number}: {rule[:40]!r} is no rule: S => XYXZ is, in letters from A to Z")
            found.setdefault(match[1], []).append("".join(match[2].split()))
            lines.setdefault(match[1], number)
        if START not in found:
            raise InputError(f"no line has a rule for {START}, with which every song begins")
        rules = {letter: tuple(options) for letter, options in found.items()}
        _check_lengths(rules, lines)
        reached = _reached(rules)
        return cls(rules, "".join(sorted(reached - rules.keys())))

    def expanded(self, random: np.random.Generator) -> str:
        """The sounds of a song, step by step: `S`, each of whose letters is replaced by the rule chosen for it until
        only sounds are left."""
        chosen = {letter: options[random.integers(len(options))] for letter, options in self.rules.items()}
        steps = START
        while any(letter in chosen for letter in steps):
            steps = "".join(chosen.get(letter, letter) for letter in steps)
        return steps


def _check_lengths(rules: dict[str, tuple[str, ...]], lines: dict[str, int]) -> None:
    """Raises InputError for rules in a circle, or too long; `lines` is where each letter has its first rule."""
    try:
        order = list(TopologicalSorter({letter: set("".join(rules[letter])) for letter in rules}).static_order())
    except CycleError as error:
        letter = error.args[1][0]
        raise InputError(f"line {lines[letter]}: {letter} leads back to itself, so that no song would end") from error
    most: dict[str, int] = {}
    for letter in order:
        options = rules.get(letter, ())
        most[letter] = max((sum(most[part] for part in option) for option in options), default=1)
        if most[letter] > MOST_STEPS:
            raise InputError(f"line {lines[letter]}: {letter} can become {most[letter]} steps; {MOST_STEPS} are enough")


def _reached(rules: dict[str, tuple[str, ...]]) -> set[str]:
    """All letters that a song may meet."""
    reached, ahead = {START}, [START]
    while ahead:
        for letter in set("".join(rules.get(ahead.pop(), ()))) - reached:
            reached.add(letter)
            ahead.append(letter)
    return reached
