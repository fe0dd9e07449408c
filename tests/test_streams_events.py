from __future__ import annotations

import numpy as np
import pytest
import reference_streams
from hypothesis import given
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from stream_tools import STEREO, assert_harmless, assert_round_trip, coded, contexts, flipped, read, words

from evc.coder import SymbolEncoder
from evc.errors import EvcError, InputError
from evc.streams import StreamContext
from evc.streams.events import EventStream


@st.composite
def streams(draw: st.DrawFn) -> tuple[EventStream, StreamContext]:
    context = draw(contexts)
    last = (context.frames << context.phase_bits) - 1
    step = draw(st.sampled_from([1, 32, 1000]))
    times = np.sort(draw(st.lists(st.integers(0, last // step), max_size=20))).astype(np.int64) * step
    n = len(times)
    if not n:
        return EventStream(), context
    code_bits = tuple(draw(st.lists(st.integers(1, 14), max_size=5)))
    pan_steps = draw(st.sampled_from([0, 1, 127]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    distinct = (
        np.stack([random.integers(0, 2**b, 4) for b in code_bits], 1) if code_bits else np.zeros((4, 0), int)
    )
    stream = EventStream(
        times=times,
        amplitudes=random.integers(-(2**12), 2**12 + 1, n),
        pans=random.integers(-pan_steps, pan_steps + 1, n),
        codes=distinct[random.integers(0, 4, (n, len(code_bits))), np.arange(len(code_bits))],
        code_bits=code_bits,
        amplitude_step=draw(st.integers(1, 64)),
        pan_steps=pan_steps,
    )
    return stream, context


def music(times: np.ndarray, seed: int = 0) -> EventStream:
    """Events as they may be: 4 codes of 8 bits, loudness and pan that wander."""
    random = np.random.default_rng(seed)
    n = len(times)
    return EventStream(
        times=np.sort(times).astype(np.int64),
        amplitudes=np.rint(random.normal(-10, 3, n)).astype(np.int64),
        pans=np.clip(np.rint(random.normal(0, 2, n)), -7, 7).astype(np.int64),
        codes=random.integers(0, 256, (n, 4)),
        code_bits=(8, 8, 8, 8),
        pan_steps=7,
    )


@given(streams())
def test_round_trip(case: tuple[EventStream, StreamContext]) -> None:
    assert_round_trip(*case)


@given(streams())
def test_the_reference_decoder_agrees(case: tuple[EventStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    if len(stream.times):
        found = reference_streams.events(decoder, context.frames, context.phase_bits)
        for name, values in found.items():
            assert getattr(stream, name).tolist() == values
        assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_an_event_at_any_moment_costs_at_most_64_bits() -> None:
    times = np.random.default_rng(1).integers(0, STEREO.frames << 5, 50)
    assert len(coded(music(times), STEREO).words) * 8 <= 64 * 50


def test_rhythm_and_repetition_are_cheap() -> None:
    stream = music(np.arange(50) * 123_457)
    stream.codes = stream.codes[np.arange(50) % 5]
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, STEREO)
    bits = {kind: cost for kind, (_, cost) in encoder.account.items()}
    assert bits["time"] < 150 and bits["vector"] < 400


def test_no_events_are_one_symbol() -> None:
    assert coded(EventStream(), STEREO).symbols <= 2


def test_array() -> None:
    stream = EventStream(
        times=np.array([0, 32 * 441 + 8]),
        amplitudes=np.array([0, -4]),
        pans=np.array([-3, 0]),
        codes=np.array([[1, 2], [3, 4]]),
        code_bits=(2, 3),
        amplitude_step=40,
        pan_steps=3,
    )
    array = stream.as_array(STEREO, start=44100)
    np.testing.assert_allclose(array["time"], [1, 1 + 441.25 / 44100])
    assert array["frame"].tolist() == [44100, 44541]
    np.testing.assert_allclose(array["phase"], [1, 1j], atol=1e-12)
    np.testing.assert_allclose(array["amplitude"], [1, 0.1], rtol=1e-6)
    assert array["pan"].tolist() == [-1, 0]
    assert array["codes"].tolist() == [[1, 2], [3, 4]]


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
        changed(pans=np.array([8, 0])),
        changed(codes=np.array([[0, 0, 0, 256], [0, 0, 0, 0]])),
        changed(codes=np.array([[0, 0, 0, -1], [0, 0, 0, 0]])),
        changed(code_bits=(8, 8, 8, 15)),
        changed(code_bits=(8, 8, 8)),
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


@given(st.integers(0, 10_000))
def test_changed_words_are_told(position: int) -> None:
    stream = coded(music(np.arange(9) * 5000), STEREO)
    assert_harmless(EventStream, flipped(stream.words, position), stream.symbols, STEREO)


def test_every_cut_is_told() -> None:
    stream = coded(music(np.arange(9) * 5000), STEREO)
    for cut in range(0, len(stream.words) - 4, 4):
        with pytest.raises(EvcError):
            read(EventStream, type(stream)(stream.words[:cut], stream.symbols, stream.checksum), STEREO)
