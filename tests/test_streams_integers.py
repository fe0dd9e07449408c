from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError
from evc.format.streams.changes import BandFlags, Changes
from evc.format.streams.integers import Flags, Numbers, Scales, scale_mean
from evc.format.streams.port import ReadPort, WritePort


def both_ways(code) -> None:
    """Run `code(port, writing)` in both directions; what it returns must be the same."""
    encoder = SymbolEncoder()
    written = code(WritePort(encoder), True)
    stream = encoder.finish()
    decoder = SymbolDecoder(stream.words, stream.symbols, stream.checksum)
    np.testing.assert_array_equal(code(ReadPort(decoder), False), written)
    decoder.finish()


calls = st.lists(st.lists(st.one_of(st.integers(-30, 30), st.integers(-(2**31) + 1, 2**31 - 1)), max_size=9))


@given(calls, st.integers(1, 4))
def test_scales(values: list[list[int]], contexts: int) -> None:
    def code(port, writing):
        scales = Scales(contexts)
        result = []
        for number, call in enumerate(values):
            at = number % contexts if number % 2 else np.arange(len(call)) % contexts
            array = np.array(call, np.int64)
            got = scales.signed(port, array if writing else array * 0, at, "")
            np.testing.assert_array_equal(got, array)
            result += got.tolist()
        return result

    both_ways(code)


@given(st.lists(st.booleans(), max_size=50))
def test_flags(values: list[bool]) -> None:
    def code(port, writing):
        flags = Flags(3)
        return [flags.one(port, writing and value, i % 3, "") for i, value in enumerate(values)]

    both_ways(code)


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(990, 1010), st.integers(0, 2**62 - 1))))
def test_numbers(values: list[int]) -> None:
    def code(port, writing):
        numbers = Numbers("", 2**62 - 1)
        got = [numbers.code(port, value if writing else 0) for value in values]
        assert got == values
        return got

    both_ways(code)


def test_numbers_that_come_back_are_cheap() -> None:
    encoder = SymbolEncoder(account=True)
    numbers = Numbers("lag", 2**40)
    for value in [123456789, 987654, 123456789, 987654] * 20:
        numbers.code(WritePort(encoder), value)
    assert encoder.account["lag"][1] < 2 * 80 + 100


@given(st.integers(0, 1000))
def test_numbers_above_their_limit_are_refused(most: int) -> None:
    encoder = SymbolEncoder()
    Numbers("lag", 2**40).code(WritePort(encoder), most + 1)
    stream = encoder.finish()
    with pytest.raises(FormatError):
        Numbers("lag", most).code(ReadPort(SymbolDecoder(stream.words, stream.symbols, 0)), 0)


@given(st.data(), st.integers(0, 5), st.integers(0, 20), st.sampled_from([(0, 255), (-7, 7), (1, 47)]))
def test_changes(data, rows: int, bands: int, limits: tuple[int, int]) -> None:
    least, most = limits
    flat = data.draw(st.lists(st.sampled_from([least, 1, 6, most]), min_size=rows * bands, max_size=rows * bands))
    levels = np.array(flat, np.int64).reshape(rows, bands)

    def code(port, writing):
        changes, before, result = Changes(least, most, sorts=2), np.full(bands, least), np.zeros_like(levels)
        for row, wanted in enumerate(levels if writing else levels * 0):
            before = result[row] = changes.code(port, before, wanted, "", row % 2)
        np.testing.assert_array_equal(result, levels)
        return result

    both_ways(code)


def test_levels_out_of_range_are_refused() -> None:
    encoder = SymbolEncoder()
    Changes(0, 255).code(WritePort(encoder), np.zeros(3, np.int64), np.array([0, 200, 0]), "")
    decoder = SymbolDecoder(encoder.finish().words, 99, 0)
    with pytest.raises(FormatError, match="out of range"):
        Changes(0, 199).code(ReadPort(decoder), np.zeros(3, np.int64), np.zeros(3, np.int64), "gain")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), max_size=30))
def test_band_flags(bands: list[tuple[bool, int]]) -> None:
    wanted, known = np.array([on for on, _ in bands], bool), np.array([x for _, x in bands], np.int64)

    def code(port, writing):
        flags = BandFlags(3)
        found = [flags.code(port, wanted & writing, known, "") for _ in range(2)]
        np.testing.assert_array_equal(found, np.array([wanted, wanted]))
        return found

    both_ways(code)


def test_rows_cover_means_from_almost_nothing_to_24() -> None:
    assert [scale_mean(row) for row in (0, 1, 2, 3, 23)] == [2, 3, 4, 6, 24 * 256]
