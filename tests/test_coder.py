from __future__ import annotations

import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder, normalised

from evc.format.coder import CodedStream, FrequencyTable, SymbolDecoder, SymbolEncoder
from evc.format.errors import DamagedError

weights_row = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 2**25)), min_size=2, max_size=40)


def decoder_of(coded: CodedStream, account: bool = False) -> SymbolDecoder:
    return SymbolDecoder(coded.words, coded.symbols, coded.checksum, account)


@st.composite
def coding_calls(draw: st.DrawFn) -> list[tuple]:
    """A sequence of calls: (method, values, parameters as lists)."""
    calls: list[tuple] = []
    for _ in range(draw(st.integers(0, 6))):
        method = draw(st.sampled_from(["table", "row", "uniform", "bits", "golomb"]))
        n = draw(st.integers(0, 12))
        if method in ("table", "row"):
            symbols = draw(st.integers(2, 30))
            table = draw(
                st.lists(
                    st.lists(st.integers(0, 2**20), min_size=symbols, max_size=symbols),
                    min_size=1,
                    max_size=4,
                )
            )
            count = 1 if method == "row" else n
            rows = draw(st.lists(st.integers(0, len(table) - 1), min_size=count, max_size=count))
            values = draw(st.lists(st.integers(0, symbols - 1), min_size=n, max_size=n))
            calls.append((method, values, rows, table))
        elif method == "uniform":
            sizes = draw(st.lists(st.integers(1, 2**16), min_size=n, max_size=n))
            calls.append((method, [draw(st.integers(0, size - 1)) for size in sizes], sizes))
        elif method == "bits":
            widths = draw(st.lists(st.integers(0, 32), min_size=n, max_size=n))
            calls.append((method, [draw(st.integers(0, 2**width - 1)) for width in widths], widths))
        else:
            orders = draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
            limit = draw(st.sampled_from([3, 1000, 2**31 - 1]))
            calls.append((method, draw(st.lists(st.integers(0, limit), min_size=n, max_size=n)), orders))
    return calls


def encode(calls: list[tuple]) -> CodedStream:
    encoder = SymbolEncoder()
    for method, values, parameters, *table in calls:
        array = np.array(parameters, np.int64)
        if method == "table":
            encoder.encode(values, FrequencyTable(table[0]), array, method)
        elif method == "row":
            encoder.encode(values, FrequencyTable(table[0]), parameters[0], method)
        else:
            getattr(encoder, f"encode_{method}")(values, array, method)
    return encoder.finish()


@given(coding_calls())
def test_every_kind_of_call_returns_what_was_coded(calls: list[tuple]) -> None:
    decoder = decoder_of(encode(calls))
    for method, values, parameters, *table in calls:
        array = np.array(parameters, np.int64)
        if method == "table":
            decoded = decoder.decode(FrequencyTable(table[0]), array)
        elif method == "row":
            decoded = decoder.decode(FrequencyTable(table[0]), parameters[0], len(values))
        else:
            decoded = getattr(decoder, f"decode_{method}")(array)
        assert decoded.tolist() == values
    decoder.finish()


@given(coding_calls())
def test_the_reference_decoder_agrees_bit_for_bit(calls: list[tuple]) -> None:
    coded = encode(calls)
    reference = ReferenceDecoder(coded.words)
    for method, values, parameters, *table in calls:
        if method == "table":
            assert [reference.symbol(normalised(table[0][row])) for row in parameters] == values
        elif method == "row":
            assert [reference.symbol(normalised(table[0][parameters[0]])) for _ in values] == values
        elif method == "uniform":
            assert [reference.uniform(size) for size in parameters] == values
        else:
            assert getattr(reference, method)(parameters) == values
    assert (reference.symbols, reference.checksum) == (coded.symbols, coded.checksum)


@given(st.lists(st.lists(st.sampled_from([0, 1, 7, 300, 2**24]), min_size=2, max_size=70), max_size=20), st.randoms())
def test_weights_for_one_symbol_are_those_of_a_row(rows: list[list[int]], random) -> None:
    values = [random.randrange(len(row)) for row in rows]
    one, other = SymbolEncoder(account=True), SymbolEncoder(account=True)
    for value, row in zip(values, rows, strict=True):
        one.encode_weighted(value, np.array(row), "kind")
        other.encode([value], FrequencyTable(row), 0, "kind")
    coded = one.finish()
    assert coded == other.finish()
    assert one.account.get("kind", (0, 0)) == pytest.approx(other.account.get("kind", (0, 0)), rel=1e-5, abs=1e-5)
    decoder = decoder_of(coded)
    assert [decoder.decode_weighted(np.array(row)) for row in rows] == values
    decoder.finish()


def test_the_reference_decoder_follows_carries_through_many_words() -> None:
    """Improbable symbols next to certain ones drive the coder through its delayed carries."""
    random = np.random.default_rng(1)
    tables = [[2**24, 0, 0], [0, 0, 2**24], [0, 2**24, 0], [1, 1, 1], [1, 2**20, 1]]
    table = FrequencyTable(tables)
    rows = random.integers(0, 5, 20_000)
    values = np.where(
        random.random(20_000) < 0.5, random.integers(0, 3, 20_000), np.argmax(table.bits[rows] < 1, axis=1)
    )
    encoder = SymbolEncoder()
    encoder.encode(values, table, rows)
    reference = ReferenceDecoder(encoder.finish().words)
    frequencies = [normalised(row) for row in tables]
    assert [reference.symbol(frequencies[row]) for row in rows] == values.tolist()


@given(weights_row)
def test_normalisation(weights: list[int]) -> None:
    table = FrequencyTable([weights])
    frequencies = table.frequencies[0]
    assert frequencies.sum() == 2**24 and frequencies.min() >= 1
    assert frequencies.tolist() == normalised(weights)
    np.testing.assert_allclose(table.bits[0], 24 - np.log2(frequencies), atol=1e-5)


def test_one_row_by_number_codes_as_a_row_per_symbol() -> None:
    table = FrequencyTable([[5, 3, 0, 900], [1, 1, 1, 1]])
    values = np.array([3, 3, 0, 1, 2, 3])
    streams = []
    for rows in (0, np.zeros(6, np.int64)):
        encoder = SymbolEncoder()
        encoder.encode(values, table, rows)
        streams.append(encoder.finish())
    assert streams[0] == streams[1]


def test_long_arrays_pass_in_pieces() -> None:
    table = FrequencyTable(np.arange(1, 1 + 3 * 5000).reshape(3, 5000))
    random = np.random.default_rng(2)
    rows, values = random.integers(0, 3, 1000), random.integers(0, 5000, 1000)
    encoder = SymbolEncoder()
    encoder.encode(values, table, rows)
    decoder = decoder_of(encoder.finish())
    np.testing.assert_array_equal(decoder.decode(table, rows), values)
    decoder.finish()


def test_no_symbols_are_no_words() -> None:
    encoder = SymbolEncoder()
    encoder.encode([], FrequencyTable([[1, 1]]), np.zeros(0, np.int64))
    encoder.encode_uniform([], 7)
    encoder.encode_bits([], np.zeros(0, np.int64))
    encoder.encode_golomb([], 0)
    assert encoder.finish() == CodedStream(b"", 0, 0)


def test_literal_bytes() -> None:
    """Frozen: these words must decode to these symbols for ever."""
    encoder = SymbolEncoder()
    encoder.encode([2, 0, 1], FrequencyTable([[1, 2, 3]]), 0)
    encoder.encode_uniform([9, 0], np.array([10, 1]))
    encoder.encode_bits([0xDEADBEEF], 32)
    encoder.encode_golomb([0, 1, 100], 1)
    coded = encoder.finish()
    assert coded.symbols == 3 + 2 + 2 + 3 + 3
    assert coded.words.hex() == LITERAL_WORDS
    assert coded.checksum == zlib.crc32(
        np.array([2, 0, 1, 9, 0, 0xDEAD, 0xBEEF, 0, 0, 5, 0, 1, 38], "<i4").tobytes()
    )


LITERAL_WORDS = "c5f8928ab1d63a85"


def test_account_is_ideal_cost_by_kind() -> None:
    table = FrequencyTable([[3, 1], [1, 1]])
    encoder = SymbolEncoder(account=True)
    encoder.encode([0, 1], table, np.array([0, 1]), "a")
    encoder.encode([0], table, 1, "a")
    encoder.encode_uniform([3, 3], 8, "b")
    encoder.encode_uniform([3, 0], np.array([4, 1]), "b")
    encoder.encode_bits([1], 20, "c")
    coded = encoder.finish()
    decoder = decoder_of(coded, account=True)
    decoder.decode(table, np.array([0, 1]), kind="a")
    decoder.decode(table, 1, 1, "a")
    decoder.decode_uniform(8, 2, "b")
    decoder.decode_uniform(np.array([4, 1]), kind="b")
    decoder.decode_bits(20, 1, "c")
    assert decoder.account == encoder.account
    assert encoder.account["a"] == (3, pytest.approx(2.415, abs=1e-3))
    assert encoder.account["b"] == (4, 8.0)
    assert encoder.account["c"] == (2, 20.0)


def test_account_stays_empty_unless_asked_for() -> None:
    encoder = SymbolEncoder()
    encoder.encode_uniform([1], 2, "a")
    assert encoder.account == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda e: e.encode([2], FrequencyTable([[1, 1]]), 0),
        lambda e: e.encode([-1], FrequencyTable([[1, 1]]), 0),
        lambda e: e.encode([0, 0], FrequencyTable([[1, 1]]), np.zeros(1, np.int64)),
        lambda e: e.encode_weighted(2, np.array([1, 1])),
        lambda e: e.encode_weighted(-1, np.array([1, 1])),
        lambda e: e.encode_uniform([4], 4),
        lambda e: e.encode_uniform([-1], 4),
        lambda e: e.encode_uniform([1], np.array([1])),
        lambda e: e.encode_uniform([0], 0),
        lambda e: e.encode_uniform([0], 2**16 + 1),
        lambda e: e.encode_bits([4], 2),
        lambda e: e.encode_bits([-1], 2),
        lambda e: e.encode_golomb([-1], 0),
        lambda e: e.encode_golomb([2**31], 0),
        lambda e: e.encode_uniform([[0, 1]], 4),
    ],
)
def test_values_that_do_not_fit_are_refused(call) -> None:
    encoder = SymbolEncoder()
    with pytest.raises(ValueError):
        call(encoder)


@pytest.mark.parametrize("weights", [[[1]], [[1, -1]], [[0.5, 0.5]], [[2**31, 2**31]], [[[1, 2]]]])
def test_weights_that_are_no_distribution_are_refused(weights) -> None:
    with pytest.raises(ValueError):
        FrequencyTable(weights)


# --- damage ---


def test_words_must_be_whole() -> None:
    with pytest.raises(DamagedError):
        SymbolDecoder(b"\0\0\0", 1, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda d: d.decode(FrequencyTable([[1, 1]]), 0, 2**60),
        lambda d: d.decode(FrequencyTable([[1, 1]]), np.zeros(5, np.int64)),
        lambda d: d.decode_uniform(1, 5),
        lambda d: d.decode_uniform(9, -1),
        lambda d: d.decode_bits(32, 3),
        lambda d: d.decode_golomb(0, 5),
    ],
)
def test_more_symbols_than_declared_are_refused(call) -> None:
    with pytest.raises(DamagedError):
        call(SymbolDecoder(b"", 4, 0))


def test_too_few_symbols_and_wrong_checksums_are_told() -> None:
    encoder = SymbolEncoder()
    encoder.encode_uniform([1, 2, 3], 4)
    coded = encoder.finish()
    short = decoder_of(coded)
    short.decode_uniform(4, 2)
    with pytest.raises(DamagedError, match="2 symbols of 3"):
        short.finish()
    wrong = SymbolDecoder(coded.words, 3, coded.checksum ^ 1)
    wrong.decode_uniform(4, 3)
    with pytest.raises(DamagedError, match="checksum"):
        wrong.finish()


def test_impossible_words_are_damage() -> None:
    decoder = SymbolDecoder(b"\xff" * 12, 100, 0)
    with pytest.raises(DamagedError):
        decoder.decode(FrequencyTable([[1, 1, 2**20]]), 0, 100)


def test_random_words_decode_or_raise() -> None:
    came = Counter[str]()
    for seed in range(300):
        random = np.random.default_rng(seed)
        decoder = SymbolDecoder(random.bytes(4 * int(random.integers(40))), 200, 0)
        try:
            assert decoder.decode(FrequencyTable([[1, 0, 5]]), 0, 20).max() < 3
            assert decoder.decode_bits(np.arange(33)).max() < 2**32
            came["bits"] += 1
            assert 0 <= decoder.decode_golomb(np.arange(31)).max() < 2**31
            came["golomb"] += 1
            decoder.finish()
        except DamagedError:
            came["refused"] += 1
    assert came["bits"] > 200 and came["golomb"] > 50 and came["refused"] > 200
