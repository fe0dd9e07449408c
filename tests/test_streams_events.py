from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import reference_streams
from hypothesis import given
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

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import EvcError, FormatError, InputError
from evc.format.streams import StreamContext
from evc.format.streams.event_tables import tables
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.format.streams.port import WritePort

TABLES = {name: array.tolist() for name, array in tables().items()}


@st.composite
def streams(draw: st.DrawFn) -> tuple[EventStream, StreamContext]:
    context = draw(contexts)
    last = (context.frames << context.phase_bits) - 1
    step = draw(st.sampled_from([1, 32, 1000]))
    times = np.sort(draw(st.lists(st.integers(0, last // step), max_size=20))).astype(np.int64) * step
    n = len(times)
    if not n:
        return EventStream(), context
    others = st.lists(st.integers(1, 256), max_size=31)
    sizes = draw(st.one_of(st.just(USUAL_SIZES), others.map(lambda found: (c.PITCHES, *found))))
    pan_steps = draw(st.sampled_from([0, 1, 3, 127]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    distinct = np.stack([random.integers(0, size, 4) for size in sizes], 1)
    middle = draw(st.sampled_from([-4096 + 511, -20, 4096 - 512]))
    stream = EventStream(
        times=times,
        amplitudes=middle + random.integers(*draw(st.sampled_from([(-511, 512), (-5, 5), (0, 1)])), n),
        pans=random.integers(-pan_steps, pan_steps + 1, n),
        codes=distinct[random.integers(0, 4, (n, len(sizes))), np.arange(len(sizes))],
        sizes=sizes,
        amplitude_step=draw(st.integers(1, 64)),
        pan_steps=pan_steps,
    )
    return stream, context


def music(times: np.ndarray, seed: int = 0) -> EventStream:
    """Events as they may be: loudness and pan that wander, notes of a scale a little out of tune, few partials."""
    random = np.random.default_rng(seed)
    n = len(times)
    codes = np.stack([random.integers(0, size, n) for size in USUAL_SIZES], 1)
    codes[:, 0] = 64 * (48 + random.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], n)) + random.integers(-3, 4, n)
    codes[:, 2:6] = np.clip(codes[:, 2:6], 2, 4)
    codes[:, 8:] = 0
    return EventStream(
        times=np.sort(times).astype(np.int64),
        amplitudes=np.rint(random.normal(-20, 3, n)).astype(np.int64),
        pans=np.clip(np.rint(random.normal(0, 1, n)), -3, 3).astype(np.int64),
        codes=codes,
        pan_steps=3,
    )


@given(streams())
def test_round_trip(case: tuple[EventStream, StreamContext]) -> None:
    assert_round_trip(*case)


def test_usual_parts_are_not_coded_as_unusual_ones() -> None:
    encoder = SymbolEncoder()
    port = WritePort(encoder)
    port.number(1, c.COUNT_ORDER)
    for value, bits in ((0, c.AMPLITUDE_STEP_BITS), (0, c.PAN_STEPS_BITS), (0, 1), (15, c.PART_COUNT_BITS)):
        port.field(value, bits)
    for codes in c.EVENT_PARTS:
        port.field(codes - 1, c.PART_CODES_BITS)
    with pytest.raises(FormatError, match="usual parts"):
        read(EventStream, encoder.finish(), STEREO)


@given(streams())
def test_the_reference_decoder_agrees(case: tuple[EventStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    if len(stream.times):
        found = reference_streams.events(decoder, context.frames, context.phase_bits, TABLES)
        for name, values in found.items():
            assert np.array_equal(getattr(stream, name), values), name
        assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_an_event_at_any_moment_costs_at_most_64_bits() -> None:
    times = np.random.default_rng(1).integers(0, STEREO.frames, 50) << 5
    assert len(coded(music(times), STEREO).words) * 8 <= 64 * 50


def bits_of(stream: EventStream) -> dict[str, float]:
    """Bits an event, by what they are for."""
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, STEREO)
    return {kind: bits / len(stream.times) for kind, (_, bits) in encoder.account.items()}


def test_repetition_is_cheap() -> None:
    stream, repeated = (music(np.arange(200) * 123_456 // 8) for _ in range(2))
    for column in (repeated.codes, repeated.amplitudes, repeated.pans):
        column[:] = column[np.arange(200) % 5]
    once, again = bits_of(stream), bits_of(repeated)
    assert sum(again.values()) < 0.7 * sum(once.values())
    for kind in ("note", "tuning", "amplitude", "attack", "decay", "partials"):
        assert again[kind] < 0.8 * once[kind], kind


def test_what_does_not_change_costs_next_to_nothing() -> None:
    stream = music(np.arange(0, 200 * 123_456 // 8, 123_456 // 8))
    stream.codes[:], stream.amplitudes[:], stream.pans[:] = stream.codes[0], -20, 3
    assert sum(bits for kind, bits in bits_of(stream).items() if kind not in ("time", "header")) < 12


def test_no_events_are_one_symbol() -> None:
    assert coded(EventStream(), STEREO).symbols <= 2


def test_the_tables_fit_the_parts() -> None:
    found = tables()
    assert found["rates"].shape == (6 + len(c.EVENT_PARTS), 3)
    for part, size in enumerate(c.EVENT_PARTS, 1):
        assert found[f"part{part}.near"].shape == (size + 1, size)
        assert found[f"part{part}.octave"].shape == (11, size)
        before = 2 * 32 if 6 <= part <= 12 else c.EVENT_PARTS[part - 2] if part > 1 else 1
        assert found[f"part{part}.before"].shape == (before, size)
    for name, array in found.items():
        assert name == "rates" or array.min() >= 1, name  # nothing is impossible


def changed(**fields) -> EventStream:
    stream = music(np.array([5, 6]))
    for name, value in fields.items():
        setattr(stream, name, value)
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        changed(times=np.array([6, 5])),
        changed(times=np.array([-1, 5])),
        changed(times=np.array([0, 196608 * 32])),
        changed(amplitudes=np.zeros(3, np.int64)),
        changed(amplitudes=np.array([0, 5000])),
        changed(amplitudes=np.array([0, -1024])),
        changed(pans=np.array([4, 0])),
        changed(codes=np.array([[8192, *[0] * 15], [0] * 16])),
        changed(codes=np.array([[0] * 16, [*[0] * 15, -1]])),
        changed(codes=np.array([[0] * 16, [*[0] * 15, 8]])),
        changed(sizes=(8192, 8, 8)),
        changed(sizes=(8191, *USUAL_SIZES[1:])),
        changed(sizes=(8192, *[257] * 15)),
        changed(sizes=(8192, *[2] * 32), codes=np.zeros((2, 33), np.int64)),
        changed(amplitude_step=0),
        changed(amplitude_step=65),
        changed(pan_steps=128),
        music(np.zeros(64 * 48 + 1)),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: EventStream) -> None:
    with pytest.raises(InputError):
        coded(stream, STEREO)


@given(words, st.integers(0, 1000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(EventStream, data, symbols, context)


def test_changed_words_are_harmless() -> None:
    assert_changes_are_harmless(music(np.arange(9) * 5000), STEREO)


def test_every_cut_is_told() -> None:
    stream = coded(music(np.arange(9) * 5000), STEREO)
    for cut in range(0, len(stream.words) - 4, 4):
        with pytest.raises(EvcError):
            read(EventStream, type(stream)(stream.words[:cut], stream.symbols, stream.checksum), STEREO)


@pytest.mark.parametrize("seed", range(12))
def test_compiled_kernels_write_and_read_the_same_words(seed: int) -> None:
    """And what they say of the cost is what the symbols cost one by one."""
    random = np.random.default_rng(seed)
    context = StreamContext(44100, 2, 8 * 44100)
    count, steps = int(random.integers(1, 150)), int(random.choice([0, 3, 17, 63]))
    lowest = int(random.choice([0, -20, -500]))
    codes = np.stack([random.integers(0, random.integers(1, size + 1), count) for size in USUAL_SIZES], 1)
    times = np.sort(random.integers(0, (context.frames << context.phase_bits) >> 6, count)) << 6
    pans = random.integers(-steps, steps + 1, count)
    stream = EventStream(times, random.integers(lowest, 5, count), pans, codes, pan_steps=steps)
    encoders = SymbolEncoder(), SymbolEncoder()
    stream.write(encoders[0], context)
    with kernels.reference():
        stream.write(encoders[1], context)
    coded, wanted = (encoder.finish() for encoder in encoders)
    assert coded == wanted
    accounts = []
    for reference in (False, True):
        with kernels.reference() if reference else nullcontext():
            decoder = SymbolDecoder(coded.words, coded.symbols, coded.checksum, account=True)
            read = EventStream.read(decoder, context)
            decoder.finish()
        for name in ("times", "amplitudes", "pans", "codes"):
            assert np.array_equal(getattr(read, name), getattr(stream, name)), name
        accounts.append(decoder.account)
    assert accounts[0].keys() == accounts[1].keys()
    for kind, (symbols, bits) in accounts[0].items():
        assert symbols == accounts[1][kind][0] and bits == pytest.approx(accounts[1][kind][1])


@pytest.mark.parametrize("seed", range(40))
def test_compiled_kernels_refuse_what_the_reference_refuses(seed: int) -> None:
    random = np.random.default_rng(seed)
    context = StreamContext(8000, 2, 100_000)
    words = random.integers(0, 256, 4 * int(random.integers(1, 60)), np.uint8).tobytes()
    symbols, found = int(random.integers(1, 3000)), []
    for reference in (False, True):
        with kernels.reference() if reference else nullcontext():
            try:
                read = EventStream.read(SymbolDecoder(words, symbols, 0), context)
                found.append((read.times.tolist(), read.codes.tolist(), read.pans.tolist()))
            except EvcError as error:
                found.append(type(error))
    assert found[0] == found[1]
