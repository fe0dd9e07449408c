"""Energies of what patterns leave over: round trips, hostile words, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from reference_spectrum import COARSE, GroupDecoder
from stream_tools import flipped, words

from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers, SymbolDecoder, SymbolEncoder
from evc.format.errors import DamagedError, EvcError
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum_left import LeftEnergies

GEOMETRY = layout.geometry(1024, 12)
Case = tuple[int, np.ndarray, np.ndarray]  # depth of a block, its energies and steps, both [channels, bands]


class Writing:
    def __init__(self) -> None:
        self.encoder = SymbolEncoder(account=True)

    def code(self, values: Integers, table: FrequencyTable, rows: Integers | int, kind: str) -> Integers:
        self.encoder.encode(values, table, rows, kind)
        return values

    def escape(self, values: Integers, kind: str) -> Integers:
        self.encoder.encode_golomb(values, c.ENERGY_ESCAPE_ORDER, kind)
        return values


class Reading:
    def __init__(self, data: bytes, symbols: int, checksum: int) -> None:
        self.decoder = SymbolDecoder(data, symbols, checksum)

    def code(self, values: Integers, table: FrequencyTable, rows: Integers | int, kind: str) -> Integers:
        return self.decoder.decode(table, rows, len(values), kind)

    def escape(self, values: Integers, kind: str) -> Integers:
        return self.decoder.decode_golomb(c.ENERGY_ESCAPE_ORDER, len(values), kind)


def blocks(seed: int, channels: int, count: int, off: float, widest: int) -> list[Case]:
    """Blocks with a share of bands `off`, and steps within `widest` of 0."""
    random, found = np.random.default_rng(seed), []
    for _ in range(count):
        depth = int(random.integers(0, 5))
        shape = channels, GEOMETRY.layouts[depth].bands
        energies = random.integers(1, c.ENERGY_MAX + 1, shape) * (random.random(shape) >= off)
        found.append((depth, energies, random.integers(-widest, widest + 1, shape)))
    return found


def written(cases: list[Case], channels: int) -> Writing:
    port, left = Writing(), LeftEnergies(channels, GEOMETRY.fine_bands)
    for depth, energies, steps in cases:
        left.code(port, energies.copy(), steps, GEOMETRY.layouts[depth])
    return port


def read(port: Reading, cases: list[Case], channels: int) -> list[np.ndarray]:
    left, found = LeftEnergies(channels, GEOMETRY.fine_bands), []
    for depth, energies, steps in cases:
        found.append(np.zeros_like(energies))
        left.code(port, found[-1], steps, GEOMETRY.layouts[depth])
    return found


cases = st.builds(
    lambda seed, channels, count, off, widest: (blocks(seed, channels, count, off, widest), channels),
    st.integers(0, 9999), st.integers(1, 2), st.integers(0, 12), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    st.sampled_from([0, 300, 2000, 1 << 20]),
)  # fmt: skip


@given(cases)
@settings(max_examples=60)
def test_round_trip(case: tuple[list[Case], int]) -> None:
    """Whatever lies between; and as the specification's decoder reads it."""
    sequence, channels = case
    coded = written(*case).encoder.finish()
    port = Reading(coded.words, coded.symbols, coded.checksum)
    for found, (_, energies, _) in zip(read(port, *case), sequence, strict=True):
        np.testing.assert_array_equal(found, energies)
    port.decoder.finish()
    plain = ReferenceDecoder(coded.words)
    # A group begins with a value of its own, that it is graded, which is none of these.
    reference = GroupDecoder(ReferenceDecoder(b""), channels, 0, 12, COARSE[14])
    reference.decoder = plain
    for depth, energies, steps in sequence:
        bands = reference.layouts[depth]
        assert reference.decode_left_energies(bands, steps.tolist()) == energies.tolist()
    assert (plain.symbols, plain.checksum) == (coded.symbols, coded.checksum)


@given(words, st.integers(0, 3000), st.integers(1, 2), st.sampled_from([0, 5000]))
def test_any_words_are_harmless(data: bytes, symbols: int, channels: int, widest: int) -> None:
    sequence = blocks(1, channels, 8, 0.5, widest)
    try:
        found = read(Reading(data, symbols, 0), sequence, channels)
    except EvcError:
        return
    assert all(energies.min() >= 0 and energies.max() <= c.ENERGY_MAX for energies in found)


def test_changed_words_are_harmless() -> None:
    """Few energies, and changes to the last words: most others lead out of the range, and are refused."""
    others = 0
    for seed in range(60):
        sequence = blocks(seed, 2, 8, 0.9, 1000)
        coded = written(sequence, 2).encoder.finish()
        bits = 8 * len(coded.words)
        position = int(np.random.default_rng(seed).integers(bits - bits // 4, bits))
        try:
            found = read(Reading(flipped(coded.words, position), coded.symbols + 300, coded.checksum), sequence, 2)
        except EvcError:
            continue
        assert all(energies.min() >= 0 and energies.max() <= c.ENERGY_MAX for energies in found)
        others += any((one != true).any() for one, (_, true, _) in zip(found, sequence))
    assert others >= 6


@pytest.mark.parametrize("steps", [-(1 << 20), 0, 1 << 20])
@pytest.mark.parametrize("energy", [c.ENERGY_MAX + 1, -3, 1 << 20])
def test_energies_out_of_range_are_refused(energy: int, steps: int) -> None:
    """Heights that lead beyond 1 ... 47, from either end; a flag says that there is an energy, so none is 0."""
    bands = GEOMETRY.layouts[4]
    port, left = Writing(), LeftEnergies(1, GEOMETRY.fine_bands)
    energies = np.full((1, bands.bands), 20)
    at = np.full((1, bands.bands), steps)

    class Bent(LeftEnergies):
        def _code_heights(self, port, wanted, channel):  # type: ignore[no-untyped-def]
            wanted[-1] += energy - 20
            return super()._code_heights(port, wanted, channel)

    with pytest.raises(DamagedError):
        Bent(1, GEOMETRY.fine_bands).code(port, energies, at, bands)
    coded = port.encoder.finish()
    with pytest.raises(DamagedError, match="energy is out of range"):
        left.code(Reading(coded.words, coded.symbols, coded.checksum), np.zeros_like(energies), at, bands)


def test_nothing_left_costs_next_to_nothing() -> None:
    sequence = blocks(0, 2, 200, 1.0, 500)
    assert len(written(sequence, 2).encoder.finish().words) < 200  # a bit and a half per channel and block


def test_a_little_above_the_steps_costs_little() -> None:
    """Energies that keep a constant distance from their steps cost a fraction of a bit each."""
    sequence = []
    for depth, _, steps in blocks(0, 2, 100, 0.0, 500):
        reference = np.clip((steps - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1, 1, c.ENERGY_MAX)
        sequence.append((depth, np.minimum(reference + c.LEFT_HEIGHT, c.ENERGY_MAX), steps))
    count = sum(energies.size for _, energies, _ in sequence)
    port = written(sequence, 2)
    assert port.encoder.account["energies"][1] < 0.3 * count


def test_bands_without_energy_keep_their_place_in_time() -> None:
    """The same bands on in every block, of whatever sizes in between, cost less and less."""
    random = np.random.default_rng(0)
    on = random.random((1, GEOMETRY.fine_bands)) < 0.5
    some = [(0, 20 * on, np.full(on.shape, 400)) for _ in range(60)]
    other = [(0, 20 * (random.random(on.shape) < 0.5), np.full(on.shape, 400)) for _ in range(60)]
    bits = [written(sequence, 1).encoder.account["energies"][1] for sequence in (some, other)]
    assert bits[0] < 0.6 * bits[1]
