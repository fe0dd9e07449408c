"""Adaptive integers read by the kernels against NumPy: values, contexts, and what becomes of words without sense."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from kernel_tools import Random, Refused, assert_same_outcome, both, needs_kernels

from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.streams.changes import BandFlags, Changes
from evc.format.streams.integers import MOST_CALL, Flags, Scales
from evc.format.streams.port import Port, ReadPort, WritePort

pytestmark = needs_kernels

COUNTS = (0, 1, 2, 3, 9, 41, MOST_CALL - 1, MOST_CALL, MOST_CALL + 1, 700)
LIMITS = ((1, 47), (-96, 96), (0, 255), (-2048, 2047), (0, 0))
MOST = (1 << 31) - 1

Calls = list[Callable[[Port, bool], Any]]


class Coders:
    """One of each, with calls drawn at random: the same for the same seed."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.contexts = int(random.choice([1, 3, 60]))
        updates = int(random.choice([0, 3, c.SETTLED]))
        self.scales = Scales(self.contexts, random.integers(0, 23 * c.SCALE_ONE + 1, self.contexts), updates)
        self.flags = Flags(self.contexts, random.integers(0, c.FLAG_ONE + 1, self.contexts), updates)
        self.band_flags = BandFlags(3)
        self.limits = LIMITS[random.integers(len(LIMITS))]
        self.sorts = 1 if seed % 2 else 3
        self.changes = Changes(*self.limits, sorts=self.sorts)
        self.calls = [self._call(random) for _ in range(random.integers(1, 12))]

    def _call(self, random: Random) -> Callable[[Port, bool], Any]:
        n, kind = int(random.choice(COUNTS)), int(random.integers(5))
        at = int(random.integers(self.contexts)) if random.random() < 0.3 else random.integers(0, self.contexts, n)
        if kind <= 1:
            values = random.integers(0, random.choice([2, 40, 10_000, MOST]), n)
            values[random.random(n) < 0.02] = MOST
            if kind:
                return lambda port, writing: self.scales.unsigned(port, values if writing else values * 0, at, "")
            values *= random.choice([-1, 1], n)
            return lambda port, writing: self.scales.signed(port, values if writing else values * 0, at, "")
        if kind == 2:
            bits = random.integers(0, 2, n).astype(np.int32)
            return lambda port, writing: self.flags.code(port, bits if writing else bits * 0, at, "")
        if kind == 3:
            wanted, known = random.random(n) < random.random(), random.integers(0, 3, n)
            return lambda port, writing: self.band_flags.code(port, wanted & writing, known, "")
        least, most = self.limits
        before, levels = random.integers(least, most + 1, (2, n))
        if random.random() < 0.5:
            levels = np.clip(before + random.integers(-1, 2, n), least, most)
        sort = int(random.integers(self.sorts))
        return lambda port, writing: self.changes.code(port, before, levels if writing else levels * 0, "", sort)

    def run(self, port: Port, writing: bool) -> list[list[int]]:
        """What the calls return, and what the contexts became."""
        found = [np.asarray(call(port, writing), np.int64).tolist() for call in self.calls]
        owners = self.scales, self.flags, self.band_flags._flags, self.changes._scales, self.changes._signs
        return found + [owner.state.tolist() for owner in owners]


def read(seed: int, stream: CodedStream) -> list[Any]:
    decoder = SymbolDecoder(stream.words, stream.symbols, stream.checksum)
    found = Coders(seed).run(ReadPort(decoder), False)
    return [*found, decoder.remaining, decoder._words.checksum]


def written(seed: int) -> tuple[list[list[int]], CodedStream]:
    encoder = SymbolEncoder()
    found = Coders(seed).run(WritePort(encoder), True)
    return found, encoder.finish()


def test_both_read_what_was_written() -> None:
    """Also calls of more values than kernels take at once, between others."""
    for seed in range(150):
        expected, stream = written(seed)
        one, other = both(lambda: read(seed, stream))  # noqa: B023
        assert one == other == [*expected, 0, stream.checksum]


def test_both_refuse_the_same_words() -> None:
    """Or read the same from them, and leave contexts alike."""
    came: Counter[str] = Counter()
    for seed in range(300):
        _, stream = written(seed)
        random = np.random.default_rng([seed, 1])
        kept = 4 * int(random.integers(len(stream.words) // 4 + 1))
        words = stream.words[:kept] + random.choice([random.bytes(4 * int(random.integers(200))), b"", b"\xff" * 80])
        changed = CodedStream(words, max(0, stream.symbols + int(random.choice([-1, 0, 5000]))), 0)
        one, other = both(lambda: read(seed, changed))  # noqa: B023
        assert_same_outcome(one, other)
        came[one.message if isinstance(one, Refused) else "read"] += 1
    assert came["read"] > 30 and came["a coded number is too large"] > 3 and came["the coded words are not valid"] > 10
    assert came["a level of  is out of range"] > 10, came
