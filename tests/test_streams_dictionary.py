from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_tools import assert_changes_are_harmless, assert_harmless, assert_round_trip, coded, words

from evc.format.coder import CodedStream
from evc.format.errors import InputError
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Explicit, Lattice, Loop, Pattern


def context(entries: int, frames: int = 2**40) -> StreamContext:
    return StreamContext(samplerate=48000, channels=2, frames=frames, phase_bits=5, patterns=entries)


def lattice(columns: int, bins: int, seed: int = 0, **fields) -> Lattice:
    random = np.random.default_rng(seed)
    levels = random.integers(0, 256, (columns, bins)) * random.integers(0, 2, (columns, bins))
    pattern = Lattice(11, 9, 4, 5, levels, random.integers(0, 32, (columns, bins)) * (levels > 0))
    return replace(pattern, **fields)


excerpts = st.builds(Excerpt, st.integers(0, 2**40 - 2**31), st.integers(1, 2**31 - 1))
explicits = st.builds(
    lambda channels, frames, words, symbols, checksum, loop, back: Explicit(
        channels,
        1 + frames,
        CodedStream(words, symbols, checksum),
        None if loop is None else Loop(32 * frames - loop % (32 * frames + 1), 32 + loop % (32 * frames + 1), back),
    ),
    st.integers(1, 2),
    st.integers(0, 2**14 - 1),
    words,
    st.integers(0, 2**16),
    st.integers(0, 2**32 - 1),
    st.none() | st.integers(0, 2**20),
    st.booleans(),
)
turns = st.integers(0, 2**16 - 1)
lattices = st.builds(
    lattice,
    st.integers(1, 6),
    st.integers(1, 12),
    st.integers(0, 99),
    carrier=st.one_of(st.none(), st.tuples(turns, turns, turns)),
)


@given(st.lists(st.one_of(excerpts, explicits, lattices), max_size=8))
def test_round_trip(patterns: list[Pattern]) -> None:
    assert_round_trip(DictionaryStream(patterns), context(len(patterns)))


def test_a_row_of_excerpts_is_cheap() -> None:
    patterns: list[Pattern] = [Excerpt(i * 24_000, 24_000) for i in range(32)]
    assert len(coded(DictionaryStream(patterns), context(32)).words) * 8 < 32 * 5


def test_words_inside_cost_what_they_are() -> None:
    inner = CodedStream(bytes(range(200)), 1000, 7)
    assert len(coded(DictionaryStream([Explicit(2, 9000, inner)]), context(1)).words) <= 200 + 20


def test_explicit_patterns_hold_a_stream_of_their_own() -> None:
    pattern = Explicit(1, 9000, CodedStream(bytes(8), 3, 7))
    assert pattern.context(context(1)) == StreamContext(48000, 1, 9000, 5, 0)
    assert pattern.decoder().remaining == 3


def test_lattice_cells() -> None:
    pattern = Lattice(11, 9, 4, 2, np.array([[0, 128], [132, 124]]), np.array([[0, 0], [1, 2]]))
    np.testing.assert_allclose(pattern.cells(), [[0, 1], [2j, -0.5]], atol=1e-6)


def test_lattice_cells_on_a_carrier() -> None:
    ones = np.full((3, 4), 128)
    wave = Lattice(11, 9, 4, 3, ones, np.zeros((3, 4), np.int64), (2**14, 2**13, 2**15))
    column, bin = np.indices((3, 4))
    np.testing.assert_allclose(wave.cells(), 1j * np.exp(2j * np.pi * (column / 8 + bin / 2)), atol=1e-6)
    turned = replace(wave, phases=np.full((3, 4), 6))
    np.testing.assert_allclose(turned.cells(), -1j * wave.cells(), atol=1e-6)


def test_phases_near_a_carrier_are_cheap() -> None:
    near = np.random.default_rng(0).integers(-1, 2, (64, 16)) % 1024
    wave = Lattice(11, 9, 4, 10, np.full((64, 16), 128), near, (0, 2**13, 2**15))
    near_it, alone = (coded(DictionaryStream([p]), context(1)).words for p in (wave, replace(wave, carrier=None)))
    assert 8 * (len(alone) - len(near_it)) > 64 * 16 * 7
    exact = replace(wave, phase_bits=0, phases=np.zeros((64, 16), np.int64))
    assert len(coded(DictionaryStream([exact]), context(1)).words) * 8 < 64 * 16


def test_array() -> None:
    looped = Explicit(1, 9600, CodedStream(b"", 0, 0), Loop(4800 * 32, 2400 * 32 + 16, True))
    patterns = [Excerpt(48_000, 24_000), looped, lattice(3, 5)]
    array = DictionaryStream(patterns).as_array(context(3))
    assert array["kind"].tolist() == ["excerpt", "explicit", "lattice"]
    np.testing.assert_array_equal(array["start"], [1, np.nan, np.nan])
    np.testing.assert_allclose(array["loop_start"], [np.nan, 0.1, np.nan])
    np.testing.assert_allclose(array["loop_length"], [np.nan, 2400.5 / 48_000, np.nan])
    assert array["ping_pong"].tolist() == [False, True, False]
    np.testing.assert_allclose(array["duration"], [0.5, 0.2, (2 * 512 + 2048) / 48000])
    assert array["channels"].tolist() == [2, 1, 1]
    assert array["columns"].tolist() == [0, 0, 3] and array["bins"].tolist() == [0, 0, 5]


@pytest.mark.parametrize(
    "pattern",
    [
        Excerpt(-1, 5),
        Excerpt(0, 0),
        Excerpt(90, 11),
        Excerpt(100, 1),
        Explicit(3, 100, CodedStream(b"", 0, 0)),
        Explicit(1, 100, CodedStream(b"", 0, 0), Loop(0, 31)),
        Explicit(1, 100, CodedStream(b"", 0, 0), Loop(3000, 201)),
        Explicit(1, 100, CodedStream(b"", 0, 0), Loop(-1, 100)),
        Explicit(1, 0, CodedStream(b"", 0, 0)),
        Explicit(1, 2**14 + 4097, CodedStream(bytes(4), 0, 0)),
        Explicit(1, 100, CodedStream(bytes(4), 2**16 + 401, 0)),
        lattice(2, 2, fft_log2=17),
        lattice(2, 2, fft_log2=3),
        lattice(2, 2, hop_log2=12),
        lattice(2, 2, resolution=0),
        lattice(2, 2, phase_bits=16),
        lattice(2, 2, levels=np.full((2, 2), 256)),
        lattice(2, 2, phases=np.full((2, 2), 32), levels=np.ones((2, 2), np.int64)),
        lattice(2, 2, phases=np.full((2, 2), 32), levels=np.ones((2, 2), np.int64), carrier=(0, 0, 0)),
        lattice(2, 2, carrier=(0, 0, 2**16)),
        lattice(2, 4097),
        Lattice(11, 9, 4, 5, *np.zeros((2, 4096, 257), np.int64)),
    ],
)
def test_what_breaks_a_limit_is_not_written(pattern: Pattern) -> None:
    with pytest.raises(InputError):
        coded(DictionaryStream([pattern]), context(1, frames=100))


def test_too_long_together() -> None:
    long = Explicit(2, 2**26, CodedStream(bytes(4 * 2**14), 0, 0))
    with pytest.raises(InputError, match="too long together"):
        coded(DictionaryStream([long, long]), context(2))


def test_another_number_of_entries() -> None:
    with pytest.raises(InputError):
        coded(DictionaryStream([]), context(1))


@given(words, st.integers(0, 1000), st.integers(0, 20))
def test_any_words_are_harmless(data: bytes, symbols: int, entries: int) -> None:
    assert_harmless(DictionaryStream, data, symbols, context(entries))


def test_changed_words_are_harmless() -> None:
    patterns = [Excerpt(0, 500), lattice(3, 3), Explicit(1, 900, CodedStream(bytes(range(40)), 5, 6))]
    assert_changes_are_harmless(DictionaryStream(patterns), context(3))
