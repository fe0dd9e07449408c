from __future__ import annotations

import numpy as np
import pytest
import reference_streams
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from stream_tools import STEREO, assert_harmless, assert_round_trip, coded, contexts, flipped, words

from evc.errors import InputError
from evc.streams import StreamContext
from evc.streams.noise import NoiseStream


@st.composite
def streams(draw: st.DrawFn) -> tuple[NoiseStream, StreamContext]:
    context = draw(contexts)
    hop, stride, hold = draw(st.integers(0, 3)), draw(st.integers(0, 15)), draw(st.integers(0, 3))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    most = draw(st.sampled_from([0, 1, 30, 255]))
    levels = random.integers(0, most + 1, NoiseStream.shape(context, hop, stride))
    levels[1:] = levels[1:, np.arange(levels.shape[1]) >> hold << hold]
    return NoiseStream(levels, draw(st.integers(1, 64)), hop, stride, hold), context


def hiss(context: StreamContext = STEREO, seed: int = 0) -> NoiseStream:
    """Noise that falls towards high bands and wavers a little."""
    shape = NoiseStream.shape(context, 1, 1)
    walk = np.random.default_rng(seed).normal(0, 1, shape)
    return NoiseStream(np.clip(20 - np.arange(shape[2]) * 0.4 + walk, 0, 255).astype(np.int64))


@given(streams())
def test_round_trip(case: tuple[NoiseStream, StreamContext]) -> None:
    assert_round_trip(*case)


@given(streams())
@settings(max_examples=30)
def test_the_reference_decoder_agrees(case: tuple[NoiseStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    assert decoder.bits([6, 2, 4, 2]) == [
        stream.step - 1,
        stream.hop_shift,
        stream.band_stride,
        stream.hold_log2,
    ]
    levels = reference_streams.surface(decoder, *stream.levels.shape, 1 << stream.hold_log2)
    assert stream.levels.tolist() == levels
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_the_shortest_hop_and_all_channels() -> None:
    context = StreamContext(48000, 8, 5000)
    levels = np.random.default_rng(0).integers(0, 9, NoiseStream.shape(context, 3, 3))
    assert_round_trip(NoiseStream(levels, hop_shift=3, band_stride=3), context)


def test_what_stands_still_is_cheap() -> None:
    stream = hiss()
    stream.levels[:] = stream.levels[:, :1]
    assert len(coded(stream, STEREO).words) * 8 < 0.1 * stream.levels.size


def test_a_held_side_costs_less() -> None:
    stream = hiss()
    columns = np.arange(stream.levels.shape[1])
    held = hiss()
    held.levels[1:] = held.levels[1:, columns >> 2 << 2]
    held.hold_log2 = 2
    assert len(coded(held, STEREO).words) < 0.7 * len(coded(stream, STEREO).words)


def test_array_and_edges() -> None:
    stream = NoiseStream(np.array([[[0, 1, 81]]]), step=8)
    np.testing.assert_allclose(stream.as_array(), [[[0, 1e-6, 1e2]]], rtol=1e-5)
    edges = hiss().edges(STEREO)
    assert len(edges) == hiss().levels.shape[2] + 1 and edges[0] == 0 and edges[-1] == 22050
    assert (np.diff(edges) > 0).all()


def changed(**fields) -> NoiseStream:
    stream = hiss()
    for name, value in fields.items():
        setattr(stream, name, value)
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        changed(step=0),
        changed(step=65),
        changed(hop_shift=-1),
        changed(hop_shift=4),
        changed(band_stride=16),
        changed(hold_log2=4),
        changed(hold_log2=1),
        changed(levels=np.zeros((2, 96, 33), np.int64)),
        changed(levels=hiss().levels - 100),
        changed(levels=hiss().levels + 250),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: NoiseStream) -> None:
    with pytest.raises(InputError):
        coded(stream, STEREO)


@given(words, st.integers(0, 2000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(NoiseStream, data, symbols, context)


@given(st.integers(0, 10_000))
def test_changed_words_are_harmless(position: int) -> None:
    context = StreamContext(44100, 2, 20_000)
    stream = coded(hiss(context), context)
    assert_harmless(NoiseStream, flipped(stream.words, position), stream.symbols, context)
