"""The spectrum stream: its symbols round-trip, beside patterns too, and no words can do harm."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_tools import assert_changes_are_harmless, assert_harmless, assert_round_trip, coded, read, words

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import DamagedError, EvcError
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_steps import step_logs

RATES = [8_000, 22_050, 44_100, 48_000, 96_000, 192_000]
ZERO_GAIN = 64


def depths(random: np.random.Generator, share: float, depth: int = 0) -> list[int]:
    """Depths of the blocks of a superframe that is cut by a random tree."""
    if depth == c.BLOCK_DEPTHS - 1 or random.random() >= share:
        return [depth]
    return depths(random, share, depth + 1) + depths(random, share, depth + 1)


def random_block(
    random: np.random.Generator, geometry: layout.Geometry, channels: int, depth: int, largest: int, last: Block | None
) -> Block:
    """A block whose energies wander, or stay those of the block before, and whose coefficients reach from silence to
    `largest`."""
    bands = geometry.layouts[depth]
    modes = np.zeros(geometry.coarse_bands, np.int64)
    if channels == 2:
        modes = random.integers(0, c.STEREO_MODES, geometry.coarse_bands)
    wander = np.cumsum(random.integers(-6, 7, (channels, bands.bands)), axis=1)
    energies = np.clip(random.integers(0, c.ENERGY_MAX) + wander, 0, c.ENERGY_MAX)
    energies[random.random(energies.shape) < 0.1] = random.choice([0, c.ENERGY_MAX])
    held = last is not None and last.depth == depth and random.random() < 0.5
    if last is not None and held:
        modes, energies = last.modes, last.energies
    spread = random.choice([0.0, 0.5, 3.0, 40.0, float(largest)], energies.shape)[:, bands.band_of_bin]
    values = np.rint(random.laplace(0, 1, spread.shape) * spread)
    coefficients = np.clip(values, -largest, largest).astype(np.int32)
    coefficients[energies[:, bands.band_of_bin] == 0] = 0
    return Block(depth, modes, energies, coefficients, held)


def random_stream(
    context: StreamContext, seed: int, share: float, largest: int, gain: int, narrow: bool = False
) -> SpectrumStream:
    random = np.random.default_rng(seed)
    superframe = c.superframe_length(context.samplerate)
    groups = []
    for channels in channel_groups(context.channels):
        most = layout.most_coarse_bands(context.samplerate)
        bands = int(random.integers(1, most + 1)) if narrow else most
        if random.random() < 0.15:
            groups.append(Group(gain, 0))
            continue
        geometry = layout.geometry(superframe, bands)
        count = channels.stop - channels.start
        frames: list[list[Block]] = []
        last = None
        for _ in range(-(-context.frames // superframe)):
            frames.append([])
            for depth in depths(random, share):
                last = random_block(random, geometry, count, depth, largest, last)
                frames[-1].append(last)
        groups.append(Group(gain, bands, frames))
        if random.random() < 0.5:
            groups[-1].offsets = random.choice([0, 1, 1, c.SPECTRUM_OFFSETS - 1], len(frames)).tolist()
    return SpectrumStream(groups)


@st.composite
def streams(draw: st.DrawFn) -> tuple[SpectrumStream, StreamContext]:
    rate, channels = draw(st.sampled_from(RATES)), draw(st.integers(1, 8))
    frames = draw(st.sampled_from([1, 1000, 2 * c.superframe_length(rate) + 1]))
    if channels * c.superframe_length(rate) > 20_000:
        frames = 1
    context = StreamContext(rate, channels, frames)
    gain = draw(st.one_of(st.integers(-700, 300), st.integers(-c.SPECTRUM_GAIN_OFFSET, c.SPECTRUM_GAIN_OFFSET - 1)))
    share = draw(st.sampled_from([0.0, 0.4, 0.8, 1.0]))
    largest = draw(st.sampled_from([0, 1, 15, 17, 1000, 1 << 20, c.MAX_MAGNITUDE]))
    return random_stream(context, draw(st.integers(0, 999)), share, largest, gain, narrow=True), context


def small_stream(channels: int = 2, seed: int = 0, gain: int = ZERO_GAIN) -> tuple[SpectrumStream, StreamContext]:
    context = StreamContext(8_000, channels, 3 * 1024)
    return random_stream(context, seed, 0.4, 30, gain), context


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(streams())
def test_round_trip(case: tuple[SpectrumStream, StreamContext]) -> None:
    assert_round_trip(*case)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_silence_costs_next_to_nothing(channels: int) -> None:
    context = StreamContext(44_100, channels, 48 * 4096)
    stream = SpectrumStream([Group(0, 0) for _ in channel_groups(channels)])
    assert_round_trip(stream, context)
    assert len(coded(stream, context).words) <= 4 * (1 + len(stream.groups))


def test_bands_without_energy_cost_little() -> None:
    context = StreamContext(44_100, 2, 48 * 4096)
    geometry = layout.geometry(4096, 18)
    bands = geometry.layouts[0]

    def silent() -> Block:
        nothing = np.zeros((2, bands.bins), np.int32)
        return Block(0, np.zeros(18, np.int64), np.zeros((2, bands.bands), np.int64), nothing)

    stream = SpectrumStream([Group(0, 18, [[silent()] for _ in range(48)])])
    assert_round_trip(stream, context)
    assert len(coded(stream, context).words) < 1000


@pytest.mark.parametrize("magnitude", [1, 15, 16, 17, 1000, c.MAX_MAGNITUDE])
@pytest.mark.parametrize("energy", [1, 24, c.ENERGY_MAX])
def test_every_magnitude_survives_at_every_energy(magnitude: int, energy: int) -> None:
    """With and without escapes, with and without raw low bits."""
    context = StreamContext(8_000, 1, 1)
    geometry = layout.geometry(1024, 5)
    energies = np.full((1, geometry.layouts[0].bands), energy)
    coefficients = np.zeros((1, geometry.layouts[0].bins), np.int32)
    coefficients[0, ::7], coefficients[0, 3::7] = magnitude, -magnitude
    for gain in (-c.SPECTRUM_GAIN_OFFSET, -600, 0, c.SPECTRUM_GAIN_OFFSET - 1):
        block = Block(0, np.zeros(5, np.int64), energies, coefficients)
        assert_round_trip(SpectrumStream([Group(gain, 5, [[block]])]), context)


def test_a_coefficient_beyond_the_limit_is_refused_by_the_reader() -> None:
    stream, context = small_stream(1)
    block = stream.groups[0].superframes[0][0]
    block.energies[0, -1] = 20
    block.coefficients[0, -1] = c.MAX_MAGNITUDE + 1
    coding = coded(stream, context)
    with pytest.raises(DamagedError, match="coefficient is out of range"):
        SpectrumStream.read(SymbolDecoder(coding.words, coding.symbols, coding.checksum), context)


def test_an_energy_beyond_the_limit_is_refused_by_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, context = small_stream(1)
    stream.groups[0].superframes[0][0].energies[0, 0] = c.ENERGY_MAX + 1
    with monkeypatch.context() as change, kernels.reference():
        change.setattr(c, "ENERGY_MAX", c.ENERGY_MAX + 1)
        coding = coded(stream, context)
    with pytest.raises(DamagedError, match="energy is out of range"):
        SpectrumStream.read(SymbolDecoder(coding.words, coding.symbols, coding.checksum), context)


def test_a_bandwidth_beyond_half_the_sample_rate_is_refused() -> None:
    most = layout.most_coarse_bands(8_000)
    stream, _ = small_stream(1)
    coding = coded(SpectrumStream([Group(0, most + 1, [])]), StreamContext(192_000, 1, 1))
    with pytest.raises(DamagedError, match="bandwidth"):
        SpectrumStream.read(SymbolDecoder(coding.words, coding.symbols, 0), StreamContext(8_000, 1, 1))
    assert stream.groups[0].coarse_bands == most


def test_two_streams_of_the_same_numbers_have_the_same_words() -> None:
    """The reader leaves nothing behind that changes how the same integers are coded next."""
    stream, context = small_stream()
    first = coded(stream, context)
    again = SpectrumStream.read(SymbolDecoder(first.words, first.symbols, first.checksum), context)
    assert coded(again, context) == first


@given(words, st.integers(0, 20_000), st.sampled_from(RATES[:4]), st.integers(1, 3))
@settings(max_examples=60)
def test_any_words_are_harmless(data: bytes, symbols: int, rate: int, channels: int) -> None:
    assert_harmless(SpectrumStream, data, symbols, StreamContext(rate, channels, 5000))


@pytest.mark.parametrize("gain", [-c.SPECTRUM_GAIN_OFFSET, ZERO_GAIN, c.SPECTRUM_GAIN_OFFSET - 1])
def test_changed_words_are_harmless(gain: int) -> None:
    """Also with the finest and the coarsest steps, whose low bits and contexts are the largest."""
    assert_changes_are_harmless(*small_stream(gain=gain), changes=30)


@given(st.integers(1, 60), st.integers(0, 99))
@settings(max_examples=20)
def test_too_few_symbols_are_noticed(cut: int, seed: int) -> None:
    stream, context = small_stream(seed=seed)
    coding = coded(stream, context)
    with pytest.raises(EvcError):
        SpectrumStream.read(SymbolDecoder(coding.words, max(0, coding.symbols - cut), coding.checksum), context)


def test_cut_words_are_noticed_where_they_are_not_zeros() -> None:
    """Words that are not there read as zeros (spec 5.1), so that a last word of zeros may be cut."""
    zeros = 0
    for seed, cut in itertools.product(range(44, 64), (1, 2, 5)):
        stream, context = small_stream(seed=seed)
        coding = coded(stream, context)
        short = replace(coding, words=coding.words[: -4 * cut])
        if any(coding.words[-4 * cut :]):
            with pytest.raises(EvcError):
                read(SpectrumStream, short, context)
        else:
            zeros += 1
            assert coded(read(SpectrumStream, short, context), context) == coding
    assert zeros


def test_offsets_make_steps_finer() -> None:
    """By a quarter of an octave each; the same again costs next to nothing."""
    context = StreamContext(8_000, 1, 48 * 1024)
    geometry = layout.geometry(1024, 14)
    bands = geometry.layouts[0]

    def block() -> Block:
        return Block(0, np.zeros(14, np.int64), np.full((1, bands.bands), 30), np.zeros((1, bands.bins), np.int32))

    stream = SpectrumStream([Group(0, 14, [[block()] for _ in range(48)], [0] * 20 + [6] * 28)])
    assert_round_trip(stream, context)
    found = read(SpectrumStream, coded(stream, context), context)
    steps = [frame[0].steps for frame in found.groups[0].superframes]
    assert (steps[19] - steps[20] == 6 * c.OFFSET_STEP).all() and (steps[19] == steps[0]).all()
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, context)
    symbols, bits = encoder.account["offsets"]
    assert symbols == 48 and bits < 15


# Where patterns sound


COVERED = 2_500  # frames of a segment under a copy


class Heard(SpectrumStream):
    """A stream whose first COVERED frames have a copy of something under them."""

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        super().write(encoder, heard(context))

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> SpectrumStream:
        return super().read(decoder, heard(context))


def heard(context: StreamContext) -> StreamContext:
    return context.with_covered(np.array([[-700, 300], [200, COVERED]]))


def heard_stream(channels: int, seed: int) -> tuple[Heard, StreamContext]:
    stream, context = small_stream(channels, seed)
    random = np.random.default_rng(seed)
    for group in stream.groups:
        for number, blocks in enumerate(group.superframes):
            start = 1024 * number
            for block in blocks:
                block.alone = bool(start < COVERED and random.random() < 0.3)
                if start < COVERED and not block.alone and not block.held and random.random() < 0.5:
                    block.rises = random.integers(-40, 40, block.energies.shape) * (block.energies > 0)
                start += 1024 >> block.depth
    return Heard(stream.groups), context


@settings(max_examples=25)
@given(st.integers(1, 4), st.integers(0, 9999))
def test_round_trip_beside_patterns(channels: int, seed: int) -> None:
    assert_round_trip(*heard_stream(channels, seed))


@given(words, st.integers(0, 20_000), st.integers(1, 3))
@settings(max_examples=60)
def test_any_words_are_harmless_beside_patterns(data: bytes, symbols: int, channels: int) -> None:
    assert_harmless(Heard, data, symbols, StreamContext(8_000, channels, 3 * 1024))


@pytest.mark.parametrize("seed", range(3))
def test_changed_words_are_harmless_beside_patterns(seed: int) -> None:
    assert_changes_are_harmless(*heard_stream(2, seed), changes=20)


def test_which_blocks_tell_that_they_are_alone() -> None:
    """Those under the copy, and no others; it costs little where it changes rarely."""
    for alone in (False, True):
        stream, context = heard_stream(1, 0)
        covered = 0
        (group,) = stream.groups
        for number, blocks in enumerate(group.superframes):
            start = 1024 * number
            for block in blocks:
                covered += start < COVERED
                block.alone = alone and start < COVERED
                start += 1024 >> block.depth
        encoder = SymbolEncoder(account=True)
        stream.write(encoder, context)
        symbols, bits = encoder.account["alone"]
        assert symbols == covered > 3
        assert bits == pytest.approx(6 + covered - 1 if alone else covered * np.log2(64 / 63), abs=0.01)
        assert_round_trip(stream, context)


def test_steps_of_predicted_blocks_go_on_from_what_they_were() -> None:
    """They follow energies and rises, whatever else is left over; those of others follow the levels alone."""
    context = heard(StreamContext(8_000, 1, 4 * 1024))
    bands = layout.geometry(1024, 10).layouts[0]

    def block(energy: int, rise: int | None = None, alone: bool = False) -> Block:
        energies = np.full((1, bands.bands), energy)
        rises = None if rise is None else np.full(energies.shape, rise)
        return Block(0, np.zeros(10, np.int64), energies, np.zeros((1, bands.bins), np.int32), False, alone, rises)

    kinds = [block(30, alone=True), block(12), block(14, rise=-3), block(25)]  # the last one is not covered
    stream = SpectrumStream([Group(50, 10, [[one] for one in kinds])])
    assert_round_trip(Heard(stream.groups), StreamContext(8_000, 1, 4 * 1024))
    found = read(SpectrumStream, coded(stream, context), context)
    plain, first, second, last = (blocks[0].steps for blocks in found.groups[0].superframes)
    np.testing.assert_array_equal(plain, step_logs(layout.energy_log(kinds[0].energies), 50, 0))
    np.testing.assert_array_equal(last, step_logs(layout.energy_log(kinds[3].energies), 50, 0))
    likely = np.clip((plain - c.ENERGY_FLOOR) // c.ENERGY_STEP + 1 + c.LEFT_HEIGHT, 1, c.ENERGY_MAX)
    np.testing.assert_array_equal(first, plain + c.STEP_PER_ENERGY * (12 - likely))
    np.testing.assert_array_equal(second, first + 2 * c.STEP_PER_ENERGY - 3 * c.STEP_RISE)


def test_a_block_of_which_nothing_is_left_changes_no_steps() -> None:
    context = heard(StreamContext(8_000, 2, 3 * 1024))
    bands = layout.geometry(1024, 10).layouts[0]
    loud, nothing = (np.full((2, bands.bands), energy) for energy in (35, 0))
    blocks = [Block(0, np.full(10, 3), energies, np.zeros((2, bands.bins), np.int32)) for energies in (loud, nothing)]
    blocks[0].alone = True
    blocks.append(Block(0, np.full(10, 3), loud.copy(), np.zeros((2, bands.bins), np.int32)))
    encoder = SymbolEncoder(account=True)
    SpectrumStream([Group(0, 10, [[block] for block in blocks])]).write(encoder, context)
    found = [one[0] for one in read(SpectrumStream, encoder.finish(), context).groups[0].superframes]
    np.testing.assert_array_equal(found[1].steps, found[0].steps)
    assert not found[1].modes.any() and encoder.account["stereo"][0] == 2 * 10  # its modes are not coded
