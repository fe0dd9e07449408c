"""Words read by the kernels against constriction, symbol for symbol, and what they recorded against its own calls."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from kernel_tools import Random, Refused, assert_same_outcome, both, needs_kernels

from evc import kernels
from evc.format import coder
from evc.format import constants as c
from evc.format.coder import CodedStream, FrequencyTable, SymbolDecoder, SymbolEncoder
from evc.format.frequencies import GOLOMB_PREFIX
from evc.format.words import CompiledWords

pytestmark = needs_kernels

WHOLE = 1 << c.CODER_PRECISION


def _tables() -> list[FrequencyTable]:
    """From 2 to 65536 symbols, among them frequencies of 1 and of all but one for each other symbol."""
    random, found = np.random.default_rng(1), []
    for symbols in (2, 3, 17, 64, 65, 256, 257, 4099, c.MAX_TABLE_SYMBOLS):
        rows = np.zeros((4 if symbols < 1000 else 2, symbols), np.int64)
        rows[0, random.integers(symbols)] = 1 << 31  # the others have frequency 1
        rows[1] = random.integers(0, 1 << 15, symbols)
        if len(rows) > 2:
            rows[2] = (1 << 24) >> np.minimum(np.arange(symbols), 40)
        found.append(FrequencyTable(rows))  # the last row, if there are four, is all alike
    return [*found, FrequencyTable([[0, 1], [1, 0]]), GOLOMB_PREFIX]


TABLES = _tables()


def some_calls(random: Random) -> list[tuple[str, Any]]:
    """Names of methods of a decoder behind `decode`, and their arguments."""
    calls: list[tuple[str, Any]] = []
    for _ in range(random.integers(1, 9)):
        n = int(random.choice([0, 1, 2, 30]))
        kind = int(random.integers(8))
        table = TABLES[random.integers(len(TABLES))]
        if kind == 0:
            calls.append(("", (table, random.integers(0, table.rows, n))))
        elif kind == 1:
            calls.append(("", (table, int(random.integers(table.rows)), n)))
        elif kind == 2:
            weights = random.integers(0, 1 << 15, random.choice([2, 40, 257, 1000])) * random.integers(0, 2)
            calls.append(("_weighted", (weights,)))
        elif kind == 3:
            calls.append(("_uniform", (2 ** random.integers(0, 17, n),)))
        elif kind == 4:
            calls.append(("_uniform", (random.integers(1, c.MAX_UNIFORM + 1, n),)))
        elif kind == 5:
            calls.append(("_uniform", (int(random.choice([1, 2, 3, 1000, 65_535, 65_536])), n)))
        elif kind == 6:
            calls.append(("_bits", (random.integers(0, 33, n),)))
        else:
            calls.append(("_golomb", (random.integers(0, 31, n),)))
    return calls


def encoded(random: Random, calls: list[tuple[str, Any]]) -> CodedStream:
    """Values for these calls, likely ones and others."""
    encoder = SymbolEncoder()
    for method, arguments in calls:
        first = arguments[0]
        if method == "":
            n = len(arguments[1]) if len(arguments) == 2 else arguments[2]
            values = random.integers(0, first.symbols, n)
            if random.random() < 0.5:
                values = first.frequencies[arguments[1]].argmax(axis=-1) * np.ones(n, np.int64)
            encoder.encode(values, first, arguments[1])
        elif method == "_weighted":
            encoder.encode_weighted(int(random.integers(len(first))), first)
        elif method == "_uniform" and len(arguments) == 2:
            encoder.encode_uniform(random.integers(0, first, arguments[1]), first)
        elif method == "_golomb":
            encoder.encode_golomb(random.integers(0, 2 ** random.integers(1, 32, len(first))), first)
        else:
            most = first if method == "_uniform" else 1 << first
            getattr(encoder, f"encode{method}")(random.integers(0, most), first)
    return encoder.finish()


def decoded(stream: CodedStream, calls: list[tuple[str, Any]], account: bool = False) -> list[Any]:
    decoder = SymbolDecoder(stream.words, stream.symbols, stream.checksum, account)
    found = [np.asarray(getattr(decoder, f"decode{method}")(*arguments)).tolist() for method, arguments in calls]
    return [*found, decoder.remaining, decoder._words.checksum]


@pytest.mark.parametrize("part", range(4))
def test_every_kind_of_call_reads_the_same(part: int) -> None:
    for seed in range(50):
        random = np.random.default_rng([seed, part])
        calls = some_calls(random)
        stream = encoded(random, calls)
        one, other = both(lambda: decoded(stream, calls))  # noqa: B023
        assert one == other == decoded(stream, calls, account=True)
        assert one[-2:] == [0, stream.checksum]


@pytest.mark.parametrize("part", range(4))
def test_any_words_read_the_same(part: int) -> None:
    """Or are refused by both: cut ones, random ones, some that begin as a stream does, too few symbols declared."""
    came: Counter[str] = Counter()
    for seed in range(100):
        random = np.random.default_rng([seed, 10 + part])
        calls = some_calls(random)
        stream = encoded(random, calls)
        kept = 4 * int(random.integers(len(stream.words) // 4 + 1)) * int(random.integers(2))
        filling = [b"", random.bytes(4 * int(random.integers(60))), bytes(8), b"\xff" * 40][random.integers(4)]
        symbols = stream.symbols + int(random.choice([-3, 0, 0, 500]))
        changed = CodedStream(stream.words[:kept] + filling, max(0, symbols), 0)
        one, other = both(lambda: decoded(changed, calls))  # noqa: B023
        assert_same_outcome(one, other)
        came[one.message.split("the 0")[0] if isinstance(one, Refused) else "read"] += 1
    assert came["read"] > 10 and came["the coded words are not valid"] > 3 and len(came) > 3, came


def test_long_streams_stay_in_step() -> None:
    """Symbols of extreme frequencies drive carries through many words."""
    random = np.random.default_rng(3)
    table = FrequencyTable([[1 << 31, 0, 0], [0, 0, 1 << 31], [0, 1 << 31, 0], [1, 1, 1], [1, 1 << 20, 1]])
    rows = random.integers(0, 5, 50_000)
    likely = table.frequencies[rows].argmax(axis=1)
    values = np.where(random.random(50_000) < 0.3, random.integers(0, 3, 50_000), likely)
    encoder = SymbolEncoder()
    encoder.encode(values, table, rows)
    stream = encoder.finish()
    one, other = both(lambda: decoded(stream, [("", (table, rows))]))
    assert one == other and one[0] == values.tolist()


def test_a_row_outside_its_table_is_no_access_outside_memory() -> None:
    for rows in (np.array([0, 4]), np.array([-1]), np.array([1 << 40]), 4, -1):
        words = CompiledWords(bytes(8), 9)
        with pytest.raises(IndexError):
            words.rows(TABLES[0], rows) if isinstance(rows, np.ndarray) else words.row(TABLES[0], rows, 2)


@pytest.mark.parametrize("offset", range(4))
def test_words_may_lie_anywhere(offset: int) -> None:
    calls = [("_uniform", (1000, 50))]
    stream = encoded(np.random.default_rng(1), calls)
    moved = memoryview(bytes(offset) + stream.words)[offset:]
    assert decoded(CodedStream(moved, stream.symbols, stream.checksum), calls) == decoded(stream, calls)


# --- What kernels recorded ---


def intervals(random: Random, n: int) -> tuple[list[tuple[int, int, int]], CodedStream]:
    """Intervals that symbols have, and what constriction makes of the symbols."""
    found, encoder = [], SymbolEncoder()
    for _ in range(n):
        if random.random() < 0.3:
            size = int(random.choice([1, 2, 3, 1000, 65_535, 65_536]))
            value = int(random.choice([0, size - 1, random.integers(size)]))
            encoder.encode_uniform([value], size)
            each = WHOLE // size
            found.append((value, value * each, 0 if size == 1 else each if value < size - 1 else WHOLE - value * each))
        else:
            table = TABLES[random.integers(len(TABLES))] if random.random() < 0.7 else TABLES[-2]
            row = int(random.integers(table.rows))
            value = int(random.choice([0, table.symbols - 1, random.integers(table.symbols)]))
            if random.random() < 0.5:
                value = int(table.frequencies[row].argmax())
            encoder.encode([value], table, row)
            found.append((value, int(table.starts[row, value]), int(table.frequencies[row, value])))
    return found, encoder.finish()


@pytest.mark.parametrize("room", [3, 7, 1 << 20])
def test_what_was_recorded_becomes_the_words_of_constriction(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it comes in several calls, and where an interval has one neighbour only, of frequency 1."""
    monkeypatch.setattr(coder, "GATHERED", 3 * room)
    pairs = empty = 0
    for seed in range(60):
        random = np.random.default_rng([seed, room])
        recorded, expected = intervals(random, int(random.choice([0, 1, 5, 200])))
        encoder, port = SymbolEncoder(), kernels.ffi.new("evc_port *")
        cut = int(random.integers(len(recorded) + 1))
        for part in (recorded[:cut], recorded[cut:]):
            port.written = kept = kernels.ffi.new("evc_interval[]", part)
            port.count = len(part)
            encoder.encode_recorded(port)
            assert port.count == 0 and len(kept) == len(part)
        assert encoder.finish() == expected
        pairs += sum(size == WHOLE - 1 for _, _, size in recorded)
        empty += sum(not size for _, _, size in recorded)
    assert pairs > 100 and empty > 50
