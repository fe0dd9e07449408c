"""The compiled walk of the spectrum stream against the one in NumPy: what it reads, writes and decides."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from kernel_tools import (
    RATES,
    Refused,
    assert_same_outcome,
    both,
    damaged,
    needs_kernels,
    partition,
    random_block,
    reads,
    spectrum_case,
    written,
)  # fmt: skip

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.streams import NOWHERE, StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_model import spectrum_model
from evc.format.streams.spectrum_steps import step_logs
from evc.models.spectrum.quantise import GroupQuantiser

pytestmark = needs_kernels


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("rate", RATES)
def test_both_write_the_same_words_and_read_the_same_integers(rate: int, wide: bool) -> None:
    kernels.lib.evc_widen(wide)
    try:
        for seed in range(12 if rate < 44_100 else 3):
            stream, context = spectrum_case(np.random.default_rng([seed, rate, wide]), (rate,), 2)
            one, other = both(lambda: written(stream, context))  # noqa: B023
            assert one == other
            found, expected = both(lambda: reads(one, context))  # noqa: B023
            assert found == expected and found[:2] == [0, one.checksum]
            assert found == reads(one, context, account=True)  # by NumPy, from words of the kernels
    finally:
        kernels.lib.evc_widen(True)


def test_both_refuse_the_same_words() -> None:
    """Or read the same integers from them, up to where these end."""
    came: Counter[str] = Counter()
    for seed in range(60):
        random = np.random.default_rng([seed, 1])
        stream, context = spectrum_case(random, (8_000,), 2)
        coded = written(stream, context)
        for _ in range(4):
            changed = damaged(coded, random)
            one, other = both(lambda: reads(changed, context))  # noqa: B023
            assert_same_outcome(one, other)
            came[one.message if isinstance(one, Refused) else "read"] += 1
    assert came["read"] > 20 and len(came) > 5


@pytest.mark.parametrize("mode, offsets", [(0, [16]), (0, [-1]), (99, []), (-1, [])])
def test_both_writers_refuse_what_has_no_symbol(mode: int, offsets: list[int]) -> None:
    bands = layout.geometry(1024, 10).layouts[0]
    block = Block(0, np.full(10, mode), np.full((2, bands.bands), 20), np.ones((2, bands.bins), np.int32))
    stream = SpectrumStream([Group(0, 10, [[block]], offsets)])
    for one in both(lambda: written(stream, StreamContext(8_000, 2, 1024))):
        assert isinstance(one, Refused) and one.kind is ValueError


@pytest.mark.parametrize("offset", [-1, 16, 99])
def test_the_search_refuses_an_offset_that_has_no_symbol(offset: int) -> None:
    geometry = layout.geometry(1024, 10)
    block, spectra = music(np.random.default_rng(1), geometry, 1, 0, 50)
    with pytest.raises(ValueError, match="offset"):
        GroupQuantiser(geometry, 1, 0, spectrum_model(), graded=True).superframe([block], [spectra], offset)


@pytest.mark.parametrize("depths", [[0, 0], [1], [2, 2, 2], [4] * 17])
def test_blocks_that_fill_no_superframe_are_refused(depths: list[int]) -> None:
    random, geometry = np.random.default_rng(1), layout.geometry(1024, 10)
    blocks = [random_block(random, geometry, 1, depth, None) for depth in depths]
    with pytest.raises(ValueError, match="do not fill"):
        SpectrumStream([Group(0, 10, [blocks])]).write(SymbolEncoder(), StreamContext(8_000, 1, 1024))


# --- The encoder's search ---


def music(random: np.random.Generator, geometry: layout.Geometry, channels: int, depth: int, loud: float) -> tuple:
    """(block, spectra): a spectrum with peaks over a sloping floor, and the energies that it has."""
    bands = geometry.layouts[depth]
    floor = loud * 2.0 ** (-6 * np.arange(bands.bins) / bands.bins)
    peaks = np.where(random.random((channels, bands.bins)) < 0.03, random.choice([10, 60, 300]), 1)
    spectra = (random.laplace(0, 1, peaks.shape) * peaks * floor).astype(np.float32)
    power = np.add.reduceat(spectra.astype(float) ** 2, bands.edges[:-1], axis=1) / bands.widths
    amplitudes = c.OCTAVE * np.log2(np.sqrt(power) + 1e-9)
    energies = np.clip(np.rint((amplitudes - c.ENERGY_FLOOR) / c.ENERGY_STEP) + 1, 0, c.ENERGY_MAX).astype(np.int64)
    modes = random.integers(0, c.STEREO_MODES, geometry.coarse_bands) * (channels == 2)
    return Block(depth, modes, energies, np.zeros(spectra.shape, np.int32)), spectra


def found_by(seed: int, covered: bool) -> tuple[float, list[Block]]:
    """(ideal bits, blocks) that a quantiser decides about, from the same spectra for the same seed."""
    random = np.random.default_rng(seed)
    channels, gain = 1 + seed % 2, int(random.choice([-900, -500, -250]))
    superframe = int(random.choice([1024, 4096]))
    geometry = layout.geometry(superframe, 14)
    spans = np.array([[0, 6 * superframe]]) if covered else NOWHERE
    quantiser = GroupQuantiser(geometry, channels, gain, spectrum_model(), graded=bool(seed % 3), covered=spans)
    bits, blocks = 0.0, []
    for _ in range(8):
        parts = [music(random, geometry, channels, depth, 2.0 ** random.integers(0, 9))
                 for depth in partition(random, 0.3)]  # fmt: skip
        heard = None
        if covered:
            heard = [np.clip(block.energies + random.integers(0, 12, block.energies.shape), 0, c.ENERGY_MAX)
                     for block, _ in parts]  # fmt: skip
            for block, _ in parts:
                block.alone = bool(random.random() < 0.1)
                block.energies[random.random(block.energies.shape) < 0.5] = 0
                block.rises = np.zeros_like(block.energies) if random.random() < 0.3 else None
        offset = int(random.integers(0, 4)) if seed % 3 else 0
        bits += quantiser.superframe([block for block, _ in parts], [own for _, own in parts], offset, heard)
        blocks += [block for block, _ in parts]
    return bits, blocks


@pytest.mark.parametrize("covered", [False, True])
def test_both_searches_decide_the_same(covered: bool) -> None:
    """Where floats do not come to lie on the other side of a limit by their last bit: at most one block in a hundred
    differs, and whatever follows from it in its contexts. Sums of bits agree but for rounding where nothing differs."""
    blocks = same = rising = coded = 0
    for seed in range(10):
        (bits, found), (bits_too, found_too) = both(lambda: found_by(seed, covered))  # noqa: B023
        equal = [
            (one.held, one.alone, one.rises is None) == (two.held, two.alone, two.rises is None)
            and all(np.array_equal(getattr(one, name), getattr(two, name)) for name in
                    ("modes", "energies", "coefficients", "steps", *(["rises"] if one.rises is not None else [])))
            for one, two in zip(found, found_too, strict=True)
        ]  # fmt: skip
        assert bits == pytest.approx(bits_too, rel=1e-6 if all(equal) else 1e-3)
        blocks, same = blocks + len(equal), same + sum(equal)
        rising += sum(block.rises is not None and bool(block.rises.any()) for block in found)
        coded += sum(np.count_nonzero(block.coefficients) for block in found)
    assert same >= 0.99 * blocks and blocks > 80 and coded > 10_000
    assert (rising > 10) == covered


def test_the_search_takes_arrays_of_any_layout() -> None:
    random, geometry = np.random.default_rng(1), layout.geometry(1024, 10)
    found = []
    for change in (np.array, np.asfortranarray, lambda array: array.astype(np.float64)):
        random = np.random.default_rng(1)
        block, spectra = music(random, geometry, 2, 0, 50)
        quantiser = GroupQuantiser(geometry, 2, 0, spectrum_model(), covered=np.asfortranarray([[1, 2], [3, 9]]))
        quantiser.superframe([block], [change(spectra)])
        found.append(block.coefficients.tolist())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("loudness", [2.0**30, 2.0**50, np.inf])
def test_what_is_too_loud_for_a_coefficient_becomes_the_largest(loudness: float) -> None:
    """It could not be read again otherwise, nor does it become 0."""
    geometry = layout.geometry(1024, 10)
    bands = geometry.layouts[0]

    def found() -> list[list[int]]:
        block = Block(0, np.zeros(10, np.int64), np.full((1, bands.bands), 20), np.zeros((1, bands.bins), np.int32))
        quantiser = GroupQuantiser(geometry, 1, -900, spectrum_model())
        with np.errstate(all="ignore"):
            quantiser.superframe([block], [np.full((1, bands.bins), -loudness, np.float32)])
        assert (block.steps == step_logs(layout.energy_log(block.energies), -900, 0)).all()
        return block.coefficients.tolist()

    for one in both(found):
        assert one == [[-c.MAX_MAGNITUDE] * bands.bins]
