"""Cases of `fuzz.py --kernels`: single spectrum streams of at most four superframes, damaged, for the compiled kernels.

What they read has to be within the format's limits. Some cases are read by NumPy, too, which has to find the same; and
what is read in some is written by both, and read again.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from kernel_tools import Random, Refused, assert_same_outcome, both, damaged, outcome, reads, spectrum_case  # noqa: E402
from kernel_tools import written as words_of  # noqa: E402

from evc import kernels  # noqa: E402
from evc.format import constants as c  # noqa: E402
from evc.format.coder import CodedStream, SymbolDecoder  # noqa: E402
from evc.format.errors import DamagedError, FormatError  # noqa: E402
from evc.format.streams import StreamContext  # noqa: E402
from evc.format.streams.spectrum import SpectrumStream  # noqa: E402

STREAMS = 300  # that cases start from
RATES = (8_000,) * 30 + (22_050, 44_100)  # mostly short superframes: what goes wrong does not hang on their length
COMPARED = 200  # one case in so many is read by NumPy,
REWRITTEN = 500  # one in so many written by both, if it is a stream,
CHECKED = 10  # and one in so many looked at


@lru_cache(maxsize=1)
def _streams() -> list[tuple[CodedStream, StreamContext]]:
    found = []
    for seed in range(STREAMS):
        stream, context = spectrum_case(np.random.default_rng(seed), RATES)
        found.append((words_of(stream, context), context))
    return found


def outcome_of(number: int) -> str:
    """ "read", or why the words were refused. AssertionError where kernels do what they must not."""
    if kernels.lib is None:
        raise RuntimeError(kernels.what_runs())
    random = np.random.default_rng(number)
    coded, context = _case(random)
    found = outcome(lambda: _read(coded, context))
    assert not isinstance(found, Refused) or found.kind in (DamagedError, FormatError), found
    if number % COMPARED == 0:
        assert_same_outcome(*both(lambda: reads(coded, context)))
    if isinstance(found, Refused):
        return re.sub(r"\d+", "n", found.message)
    if number % CHECKED == 0:
        _check(found)
    if number % REWRITTEN == 0:
        again, other = both(lambda: words_of(found, context))
        assert again == other
        assert reads(again, context)[2:] == reads(coded, context)[2:]
    return "read"


def _case(random: Random) -> tuple[CodedStream, StreamContext]:
    """A stream with some damage, and what is known of it: mostly its own context, else another."""
    streams = _streams()
    coded, context = streams[random.integers(len(streams))]
    if random.random() < 0.1:
        context = streams[random.integers(len(streams))][1]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        coded = damaged(coded, random)
    return coded, context


def _read(coded: CodedStream, context: StreamContext) -> SpectrumStream:
    return SpectrumStream.read(SymbolDecoder(coded.words, coded.symbols, coded.checksum), context)


def _check(stream: SpectrumStream) -> None:
    for group in stream.groups:
        assert all(0 <= offset < c.SPECTRUM_OFFSETS for offset in group.offsets)
        for blocks in group.superframes:
            assert sum(1 << (c.BLOCK_DEPTHS - 1 - block.depth) for block in blocks) == 1 << (c.BLOCK_DEPTHS - 1)
            for block in blocks:
                assert 0 <= block.modes.min() <= block.modes.max() < c.STEREO_MODES
                assert 0 <= block.energies.min() <= block.energies.max() <= c.ENERGY_MAX
                assert np.abs(block.coefficients).max() <= c.MAX_MAGNITUDE
                assert block.rises is None or np.abs(block.rises).max() <= c.MOST_RISE
