from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_tools import STEREO, assert_changes_are_harmless, assert_harmless, assert_round_trip, coded, contexts, words

from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.port import WritePort
from evc.format.streams.timbre import TimbreStream, superframes


def path(context: StreamContext = STEREO, seed: int = 0, spread: float = 3, step: int = 8) -> TimbreStream:
    random = np.random.default_rng(seed)
    places = superframes(context)
    count = int(random.integers(1, min(places, 20) + 1))
    times = np.sort(random.choice(places, count, replace=False)).astype(np.int64)
    vectors = np.clip(np.rint(random.normal(0, spread, (count, 32))), -1023, 1023).astype(np.int64)
    return TimbreStream(times, vectors, random.integers(0, 128, count), random.integers(0, 8, count), step)


@given(contexts, st.integers(0, 99), st.sampled_from([0.1, 3, 2000]), st.integers(0, 15))
def test_round_trip(context: StreamContext, seed: int, spread: float, step: int) -> None:
    assert_round_trip(path(context, seed, spread, step), context)
    assert_round_trip(TimbreStream(step=step), context)


@given(words, st.integers(0, 3000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(TimbreStream, data, symbols, context)


def test_changed_words_are_harmless() -> None:
    assert_changes_are_harmless(path(seed=3), STEREO)


def test_a_count_is_refused_before_memory_is_taken_for_it() -> None:
    encoder = SymbolEncoder()
    port = WritePort(encoder)
    port.field(8, 4)
    port.number(superframes(STEREO) + 1, 3)
    stream = encoder.finish()
    with pytest.raises(FormatError, match="timbres in a segment"):
        TimbreStream.read(SymbolDecoder(stream.words, stream.symbols, stream.checksum), STEREO)


@pytest.mark.parametrize(
    "changed",
    [
        {"step": 16}, {"levels": np.array([128, 1])}, {"widths": np.array([0, -1])}, {"times": np.array([4, 4])},
        {"times": np.array([0, 48])}, {"vectors": np.full((2, 32), 1024)}, {"vectors": np.zeros((2, 31), np.int64)},
    ],
)  # fmt: skip
def test_limits(changed: dict[str, object]) -> None:
    good = TimbreStream(np.array([0, 47]), np.zeros((2, 32), np.int64), np.array([9, 127]), np.array([0, 7]))
    coded(good, STEREO)
    with pytest.raises(InputError):
        coded(replace(good, **changed), STEREO)  # type: ignore[arg-type]
