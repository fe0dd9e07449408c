"""Energies of what patterns leave over: round trips, hostile words, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_tools import flipped, words

from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import EvcError, FormatError
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.port import ReadPort, WritePort
from evc.format.streams.spectrum_left import LeftEnergies

GEOMETRY = layout.geometry(1024, 12)
Case = tuple[int, np.ndarray, np.ndarray | None]  # depth of a block, its energies and rises, both [channels, bands]
START = 400  # log step before the first block


class Writing(WritePort):
    def __init__(self) -> None:
        self.encoder = SymbolEncoder(account=True)
        super().__init__(self.encoder)


class Reading(ReadPort):
    def __init__(self, data: bytes, symbols: int, checksum: int) -> None:
        self.decoder = SymbolDecoder(data, symbols, checksum)
        super().__init__(self.decoder)


def blocks(seed: int, channels: int, count: int, off: float, widest: int) -> list[Case]:
    """Blocks with a share of bands `off`, and rises within `widest` of 0 in most."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        depth = int(random.integers(0, 5))
        shape = channels, GEOMETRY.layouts[depth].bands
        energies = random.integers(1, c.ENERGY_MAX + 1, shape) * (random.random(shape) >= off)
        rises = random.integers(-widest, widest + 1, shape) * (energies > 0)
        found.append((depth, energies, rises if random.random() < 0.8 else None))
    return found


def started(channels: int) -> LeftEnergies:
    left = LeftEnergies(channels, GEOMETRY.fine_bands)
    left.restart(np.full((channels, GEOMETRY.fine_bands), START), GEOMETRY.layouts[0])
    return left


def block(
    left: LeftEnergies, port: Writing | Reading, depth: int, energies: np.ndarray, rises: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """What is coded: energies, the reader's own, and rises."""
    bands, found = GEOMETRY.layouts[depth], energies.copy()
    on = left.code_on(port, energies > 0, bands)
    found[~on] = 0
    changes = left.changes(energies, bands)
    coded = left.code_energies(port, found, on, bands)
    if isinstance(port, Writing):
        np.testing.assert_array_equal(coded, changes)
    return found, left.code_rises(port, rises, on)


def written(cases: list[Case], channels: int) -> Writing:
    port, left = Writing(), started(channels)
    for depth, energies, rises in cases:
        block(left, port, depth, energies, rises)
    return port


def read(port: Reading, cases: list[Case], channels: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    left = started(channels)
    return [block(left, port, depth, np.zeros_like(energies), None) for depth, energies, _ in cases]


cases = st.builds(
    lambda seed, channels, count, off, widest: (blocks(seed, channels, count, off, widest), channels),
    st.integers(0, 9999), st.integers(1, 2), st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.sampled_from([0, 3, 40, c.MOST_RISE]),
)  # fmt: skip


@given(cases)
@settings(max_examples=60)
def test_round_trip(case: tuple[list[Case], int]) -> None:
    sequence, channels = case
    coded = written(*case).encoder.finish()
    port = Reading(coded.words, coded.symbols, coded.checksum)
    for (found, found_rises), (_, energies, rises) in zip(read(port, *case), sequence, strict=True):
        np.testing.assert_array_equal(found, energies)
        assert (found_rises is None) == (rises is None)
        if rises is not None:
            np.testing.assert_array_equal(found_rises, rises)
    port.decoder.finish()


@given(words, st.integers(0, 3000), st.integers(1, 2), st.sampled_from([0, c.MOST_RISE]))
def test_any_words_are_harmless(data: bytes, symbols: int, channels: int, widest: int) -> None:
    sequence = blocks(1, channels, 8, 0.5, widest)
    try:
        found = read(Reading(data, symbols, 0), sequence, channels)
    except EvcError:
        return
    assert all(energies.min() >= 0 and energies.max() <= c.ENERGY_MAX for energies, _ in found)


def test_changed_words_are_harmless() -> None:
    """Few energies, and changes to the last words: most others lead out of the range, and are refused."""
    others = 0
    for seed in range(60):
        sequence = blocks(seed, 2, 8, 0.9, c.MOST_RISE)
        coded = written(sequence, 2).encoder.finish()
        bits = 8 * len(coded.words)
        position = int(np.random.default_rng(seed).integers(bits - bits // 4, bits))
        try:
            found = read(Reading(flipped(coded.words, position), coded.symbols + 300, coded.checksum), sequence, 2)
        except EvcError:
            continue
        assert all(energies.min() >= 0 and energies.max() <= c.ENERGY_MAX for energies, _ in found)
        others += any((one != true).any() for (one, _), (_, true, _) in zip(found, sequence, strict=True))
    assert others >= 6


@pytest.mark.parametrize("energy", [c.ENERGY_MAX + 1, 0, -3, 1 << 20])
def test_energies_out_of_range_are_refused(energy: int) -> None:
    """Changes that lead beyond 1 ... 47, from either end; a flag says that there is an energy, so none is 0."""
    bands, port, left = GEOMETRY.layouts[4], Writing(), started(1)
    on = left.code_on(port, np.ones((1, bands.bands), bool), bands)
    wanted = np.full((1, bands.bands), 20)
    wanted[0, -1] = energy
    with pytest.raises(FormatError, match="out of range"):
        left.code_energies(port, wanted, on, bands)
    coded = port.encoder.finish()
    reader, other = Reading(coded.words, coded.symbols, coded.checksum), started(1)
    assert (other.code_on(reader, on, bands) == on).all()
    with pytest.raises(FormatError, match="out of range"):
        other.code_energies(reader, np.zeros_like(wanted), on, bands)


@pytest.mark.parametrize("rise", [c.MOST_RISE + 1, -c.MOST_RISE - 1])
def test_rises_out_of_range_are_refused(rise: int) -> None:
    bands, port = GEOMETRY.layouts[4], Writing()
    on = np.ones((1, bands.bands), bool)
    with pytest.raises(FormatError, match="out of range"):
        started(1).code_rises(port, np.full((1, bands.bands), rise), on)
    coded = port.encoder.finish()
    with pytest.raises(FormatError, match="out of range"):
        started(1).code_rises(Reading(coded.words, coded.symbols, coded.checksum), None, on)


def test_a_group_begins_a_little_above_its_steps() -> None:
    bands = GEOMETRY.layouts[0]
    likely = (START - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1 + c.LEFT_HEIGHT
    assert not started(2).changes(np.full((2, bands.bands), likely), bands).any()


def test_nothing_left_costs_next_to_nothing() -> None:
    port, left = Writing(), started(2)
    for depth, energies, _ in blocks(0, 2, 200, 1.0, 50):
        assert not left.code_on(port, energies > 0, GEOMETRY.layouts[depth]).any()
    assert len(port.encoder.finish().words) < 200  # a bit and a half per channel and block


def test_what_stays_costs_little() -> None:
    """Energies that stay as they are, in blocks of all sizes, cost a fraction of a bit each."""
    sequence: list[Case] = [
        (depth, np.full_like(energies, 30), None) for depth, energies, _ in blocks(0, 2, 100, 0.0, 0)
    ]
    count = sum(energies.size for _, energies, _ in sequence)
    port = written(sequence, 2)
    assert port.encoder.account["energies"][1] < 0.4 * count


def test_bands_without_energy_keep_their_place_in_time() -> None:
    """The same bands on in every block, of whatever sizes in between, cost less and less."""
    random = np.random.default_rng(0)
    on = random.random((1, GEOMETRY.fine_bands)) < 0.5
    some: list[Case] = [(0, 20 * on, None) for _ in range(60)]
    other: list[Case] = [(0, 20 * (random.random(on.shape) < 0.5), None) for _ in range(60)]
    bits = [written(sequence, 1).encoder.account["energies"][1] for sequence in (some, other)]
    assert bits[0] < 0.6 * bits[1]
