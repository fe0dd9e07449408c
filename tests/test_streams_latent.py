from __future__ import annotations

import numpy as np
import pytest
import reference_streams
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from stream_tools import assert_harmless, assert_round_trip, coded, contexts, flipped, words

from evc.coder import SymbolEncoder
from evc.errors import InputError
from evc.streams import StreamContext
from evc.streams.latent import LatentStream

CONTEXT = StreamContext(44100, 2, 40_000)


@st.composite
def streams(draw: st.DrawFn) -> tuple[LatentStream, StreamContext]:
    context = draw(contexts)
    hop = draw(st.sampled_from([6000, 20_011, 65536]))
    groups, dimensions = draw(st.integers(1, 16)), draw(st.sampled_from([1, 7, 256]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    most = draw(st.sampled_from([0, 1, 10, 32767]))
    columns = -(-context.frames // hop)
    return LatentStream(
        random.integers(-most, most + 1, (groups, columns, dimensions)),
        hop,
        random.integers(0, 24, (groups, dimensions)),
        random.integers(0, 2, groups) == 1,
    ), context


def example(seed: int = 0) -> LatentStream:
    random = np.random.default_rng(seed)
    spread = np.linspace(0.2, 4, 24)
    latents = np.rint(random.laplace(0, spread, (1, 40, 24))).astype(np.int64)
    return LatentStream(latents, 1000, np.full((1, 24), 8), np.zeros(1, np.bool_))


@given(streams())
def test_round_trip(case: tuple[LatentStream, StreamContext]) -> None:
    assert_round_trip(*case)


@given(streams())
@settings(max_examples=30)
def test_the_reference_decoder_agrees(case: tuple[LatentStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    found = reference_streams.latents(decoder, context.frames)
    assert found["hop"] == stream.hop and found["differences"] == stream.differences.tolist()
    assert found["scales"] == stream.scales.reshape(-1).tolist()
    columns = stream.latents.transpose(1, 0, 2)
    assert found["columns"] == columns.reshape(len(columns), -1).tolist()
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_each_dimension_finds_its_scale() -> None:
    """Within a tenth of the entropy of a Laplace distribution per dimension, which has to be learned."""
    stream = example()
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, CONTEXT)
    spread = np.linspace(0.2, 4, 24)
    values = np.arange(-200, 201)[:, None]
    inner, outer = np.maximum(np.abs(values) - 0.5, 0), np.abs(values) + 0.5
    mass = (np.exp(-inner / spread) - np.exp(-outer / spread)) / 2
    mass[200] = 1 - np.exp(-0.5 / spread)
    entropy = -(mass * np.log2(np.maximum(mass, 1e-300))).sum()
    assert encoder.account["latent"][1] < 1.1 * 40 * entropy


def test_slow_latents_are_cheaper_as_differences() -> None:
    stream = example()
    stream.latents = np.cumsum(stream.latents, axis=1)
    plain = len(coded(stream, CONTEXT).words)
    stream.differences[:] = True
    assert len(coded(stream, CONTEXT).words) < 0.8 * plain


def test_silence_is_cheap() -> None:
    stream = example()
    stream.latents[:] = 0
    assert len(coded(stream, CONTEXT).words) * 8 < 0.3 * stream.latents.size


def test_array() -> None:
    array = example().as_array()
    assert array.dtype == np.int32 and array.shape == (1, 40, 24)


def changed(**fields) -> LatentStream:
    stream = example()
    for name, value in fields.items():
        setattr(stream, name, value)
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        changed(hop=63),
        changed(hop=65537),
        changed(hop=999),
        changed(latents=np.zeros((1, 40, 257), np.int64)),
        changed(latents=np.zeros((17, 40, 24), np.int64)),
        changed(latents=np.zeros((0, 40, 24), np.int64)),
        changed(latents=np.full((1, 40, 24), 32768)),
        changed(scales=np.full((1, 24), 24)),
        changed(scales=np.full((1, 23), 2)),
        changed(differences=np.zeros(2, np.bool_)),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: LatentStream) -> None:
    with pytest.raises(InputError):
        coded(stream, CONTEXT)


@given(words, st.integers(0, 2000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(LatentStream, data, symbols, context)


@given(st.integers(0, 10_000))
def test_changed_words_are_harmless(position: int) -> None:
    stream = coded(example(), CONTEXT)
    assert_harmless(LatentStream, flipped(stream.words, position), stream.symbols, CONTEXT)
