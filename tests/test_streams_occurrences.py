from __future__ import annotations

import numpy as np
import pytest
import reference_streams
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from stream_tools import (
    STEREO,
    assert_changes_are_harmless,
    assert_harmless,
    assert_round_trip,
    coded,
    contexts,
    read,
    words,
)

from evc.format.coder import SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.bands import band_count
from evc.format.streams.event_tables import tables
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream


@st.composite
def streams(draw: st.DrawFn) -> tuple[OccurrenceStream, StreamContext]:
    context = draw(contexts)
    placed, copied = draw(st.integers(0, 8)), draw(st.integers(0, 8))
    n = placed + copied
    if not n:
        return OccurrenceStream(), context
    random = np.random.default_rng(draw(st.integers(0, 99)))
    rotation_bits = draw(st.integers(0, 15))
    stream = OccurrenceStream(
        placed=draw(some_gains(context, placed)),
        copied=draw(some_gains(context, copied)),
        gain_resolution=draw(st.integers(1, 128)),
        polarity=draw(st.booleans()),
        spans=draw(st.booleans()),
        lattice=draw(st.booleans()),
        rates=draw(st.booleans()),
    )
    stream.fine_rates = stream.rates and draw(st.booleans())

    def column(most: int, where: slice) -> np.ndarray:
        values = np.zeros(n, np.int64)
        size = len(values[where])
        values[where] = random.choice(
            [random.integers(0, most + 1, size), random.integers(0, min(most, 3) + 1, size)]
        )
        return values

    placements, copies = slice(0, placed), slice(placed, n)
    last = (context.frames << context.phase_bits) - 1
    stream.times = np.concatenate([np.sort(column(last, slice(0, k))[:k]) for k in (placed, copied)])
    stream.patterns = column(context.patterns - 1, placements)
    stream.patterns[copies] = COPY
    stream.lengths = 1 + column(2**31 - 2, copies) - (np.arange(n) < placed)
    stream.lags = column(2**56 - 1, copies)
    grid = draw(st.sampled_from([0, 0, 9, 40]))
    stream.lags = stream.lags >> grid << grid
    stream.inverted = column(int(stream.polarity), slice(0, n))
    stream.offsets = column(2**31 - 1 if stream.spans else 0, placements)
    if stream.spans:
        stream.lengths += column(2**31 - 1, placements)
    stream.rotation_bits = rotation_bits if stream.lattice else 0
    stream.shifts = column(2**30 if stream.lattice else 0, placements) * random.choice([-1, 1])
    stream.rotations = column((1 << stream.rotation_bits) - 1, placements)
    stream.semitones = column(120, placements)
    stream.semitones = np.where(stream.rates & (stream.semitones > 0), stream.semitones - 96, 0)
    stream.fine = column(4096 if stream.fine_rates else 0, placements) * random.choice([-1, 1])
    return stream, context


@st.composite
def some_gains(draw: st.DrawFn, context: StreamContext, count: int) -> Gains:
    if not count:
        return Gains()
    random = np.random.default_rng(draw(st.integers(0, 99)))
    stride = draw(st.integers(0, 15))
    planes = draw(st.sampled_from([1, context.channels]))
    shape = count, planes, band_count(context.samplerate, stride, fine=False)
    size = draw(st.sampled_from([0, 3, 2048]))
    levels = random.integers(-size, size + 1, shape)
    levels[random.random(shape) < draw(st.sampled_from([0, 0.3, 1]))] = OFF
    return Gains(levels, stride, mid_side=planes == 2 and draw(st.booleans()))


def loop(count: int, gains: np.ndarray) -> OccurrenceStream:
    """One pattern, every 4000.5 frames."""
    zeros = np.zeros(count, np.int64)
    return OccurrenceStream(
        np.arange(count) * 4000 * 32 + 16, *[zeros.copy() for _ in range(7)], Gains(np.stack([gains] * count), 2)
    )


def copies(count: int) -> OccurrenceStream:
    """Blocks of 4096 frames, each a copy of what was 88,200 frames ago."""
    stream = loop(count, np.zeros((1, 10), np.int64))
    stream.placed, stream.copied = stream.copied, stream.placed
    stream.times = np.arange(count) * 4096 * 32
    stream.patterns = np.full(count, COPY)
    stream.lengths = np.full(count, 4096)
    stream.lags = np.full(count, 88_200 * 32)
    return stream


TABLES = {name: array.tolist() for name, array in tables().items()}
GAINS = np.array([[0, 0, -3, OFF, -1, 2, OFF, OFF, OFF, OFF], [OFF, OFF, 0, 1, OFF, 0, 0, OFF, OFF, OFF]])


@given(streams())
def test_round_trip(case: tuple[OccurrenceStream, StreamContext]) -> None:
    assert_round_trip(*case)


@given(streams())
@settings(max_examples=50)
def test_the_reference_decoder_agrees(case: tuple[OccurrenceStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    if not len(stream.times):
        assert reference_streams.occurrences(decoder, context, None, TABLES) == {}
        return
    found = reference_streams.occurrences(
        decoder, context, lambda stride: band_count(context.samplerate, stride, fine=False), TABLES
    )
    given = found.pop("settings")
    assert {name: getattr(stream, name) for name in given} == given
    for name in ("placed", "copied"):
        gains: Gains = getattr(stream, name)
        levels, stride, mid_side = found.pop(name)
        assert np.where(gains.levels == OFF, None, gains.levels.astype(object)).tolist() == levels
        assert not levels or (gains.stride, gains.mid_side) == (stride, mid_side)
    for name, values in found.items():
        assert getattr(stream, name).tolist() == values
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_what_repeats_is_cheap() -> None:
    """A loop of 45 turns with 18 gains each, and copies of 45 blocks: a few bits per turn, beside the loop's times."""
    encoder = SymbolEncoder(account=True)
    loop(45, GAINS).write(encoder, STEREO)
    times = encoder.account["time"][1]
    assert len(encoder.finish().words) * 8 - times < 45 * 5 and times < 45 * 14
    assert len(coded(copies(45), STEREO).words) * 8 < 45 * 6


def test_array() -> None:
    stream = loop(2, GAINS)
    stream.polarity, stream.lattice, stream.rotation_bits = True, True, 2
    stream.inverted, stream.shifts, stream.rotations = np.array([0, 1]), np.array([0, -48]), np.array([0, 1])
    array = stream.as_array(STEREO, start=100)
    assert array["frame"].tolist() == [100, 4100]
    np.testing.assert_allclose(array["time"], (np.array([100, 4100]) + 0.5) / 44100)
    np.testing.assert_allclose(array["phase"], -1, atol=1e-12)
    assert array["shift"].tolist() == [0, -1.5]
    np.testing.assert_allclose(array["rotation"], [1, 1j], atol=1e-12)
    assert array["gains"].shape == (2, 2, 10)
    np.testing.assert_allclose(array["gains"][1, 0, :4], [-1, -1, -(2**-0.75), 0], rtol=1e-6)
    assert copies(1).as_array(STEREO)["pattern"].tolist() == [-1]
    assert copies(1).as_array(STEREO)["lag"].tolist() == [2.0]


def test_placements_and_copies_have_gains_of_their_own() -> None:
    """A pan of what is placed in one band; copies in mid and side, in ten."""
    one, other = loop(2, np.array([[-4], [4]])), copies(3)
    one.placed.stride = 0
    columns = ("times", "patterns", "lags", "offsets", "lengths", "inverted", "shifts", "rotations")
    both = OccurrenceStream(
        *[np.concatenate([getattr(one, name), getattr(other, name)]) for name in columns],
        placed=one.placed,
        copied=Gains(np.stack([GAINS] * 3), 2, mid_side=True),
    )
    assert_round_trip(both, STEREO)
    array = both.as_array(STEREO)
    assert array["gains"].shape == (5, 2, 10)
    assert array["gains"][0, :, 0].tolist() == [0.5, 2] and np.isnan(array["gains"][:2, :, 1:]).all()
    assert array["mid_side"].tolist() == [False] * 2 + [True] * 3 and array["stride"].tolist() == [0, 0, 2, 2, 2]


def test_bands_end_at_half_the_rate() -> None:
    edges = loop(1, GAINS).placed.edges(44100)
    assert len(edges) == 11 and edges[0] == 0 and edges[-1] == 22050


def changed(stream: OccurrenceStream, **fields) -> OccurrenceStream:
    for name, value in fields.items():
        setattr(stream, name, value)
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        changed(loop(2, GAINS), patterns=np.array([0, 10])),
        changed(loop(2, GAINS), patterns=np.array([COPY, 0])),
        changed(loop(2, GAINS), patterns=np.array([-2, 0])),
        changed(loop(2, GAINS), times=np.array([1, 0])),
        changed(loop(2, GAINS), lags=np.array([0, 1])),
        changed(loop(2, GAINS), offsets=np.array([0, 1])),
        changed(loop(2, GAINS), lengths=np.array([0, 1])),
        changed(loop(2, GAINS), inverted=np.array([0, 1])),
        changed(loop(2, GAINS), shifts=np.array([0, 1])),
        changed(loop(2, GAINS), rotations=np.array([0, 1])),
        changed(loop(2, GAINS), rotation_bits=3),
        changed(loop(2, GAINS), semitones=np.array([0, 1])),
        changed(loop(2, GAINS), semitones=np.array([0, 25]), rates=True),
        changed(loop(2, GAINS), semitones=np.array([0, -97]), rates=True),
        changed(loop(2, GAINS), fine=np.array([0, 1]), rates=True),
        changed(loop(2, GAINS), fine=np.array([0, 4097]), rates=True, fine_rates=True),
        changed(loop(2, GAINS), fine_rates=True),
        changed(copies(2), semitones=np.array([0, 1]), rates=True),
        changed(loop(2, GAINS), lattice=True, rotation_bits=16),
        changed(loop(2, GAINS), placed=Gains(np.zeros((2, 3, 10), np.int64), 2)),
        changed(loop(2, GAINS), placed=Gains(np.zeros((2, 1, 9), np.int64), 2)),
        changed(loop(2, GAINS), placed=Gains(np.full((2, 1, 10), 2049), 2)),
        changed(loop(2, GAINS), placed=Gains(np.zeros((2, 1, 10), np.int64), 2, mid_side=True)),
        changed(loop(2, GAINS), placed=Gains(np.zeros((2, 1, 2), np.int64), 16)),
        changed(loop(2, GAINS), gain_resolution=0),
        changed(loop(2, GAINS), copied=Gains(np.zeros((1, 1, 1), np.int64))),
        changed(loop(2, GAINS), placed=Gains(np.zeros((2, 10), np.int64), 2)),
        changed(loop(2, GAINS), lengths=np.zeros(3, np.int64)),
        changed(copies(2), lengths=np.array([0, 1])),
        changed(copies(2), lags=np.array([1 << 56, 4096 * 32])),
        changed(copies(2), offsets=np.array([0, 1]), spans=True),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: OccurrenceStream) -> None:
    with pytest.raises(InputError):
        coded(stream, STEREO)


@given(words, st.integers(0, 1000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(OccurrenceStream, data, symbols, context)


@pytest.mark.parametrize("stream", [copies(9), loop(9, GAINS)], ids=["copies", "patterns"])
def test_changed_words_are_harmless(stream: OccurrenceStream) -> None:
    assert_changes_are_harmless(stream, STEREO)


def test_placements_need_a_dictionary() -> None:
    stream = coded(loop(2, GAINS), STEREO)
    without = StreamContext(44100, 2, 196608, 5, patterns=0)

    with pytest.raises(FormatError):
        read(OccurrenceStream, stream, without)


def test_account_names_its_parts() -> None:
    encoder = SymbolEncoder(account=True)
    loop(3, GAINS).write(encoder, STEREO)
    assert set(encoder.account) == {"header", "time", "pattern", "gain"}
