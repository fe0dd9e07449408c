"""Envelopes: the stream, what it does to sound, and what the encoder makes of it."""

from __future__ import annotations

import io
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
import reference_streams
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference_coder import ReferenceDecoder
from stream_tools import (
    STEREO,
    assert_changes_are_harmless,
    assert_harmless,
    assert_round_trip,
    coded,
    contexts,
    without_envelopes,
    words,
)
from synthesis_tools import LEAST, SEGMENT, DecodedSegments, N, a_copy, a_file, whole

import evc
from evc import kernels
from evc.editing.joining import join_files
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.coder import SymbolDecoder
from evc.format.errors import InputError
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext
from evc.format.streams.envelope import EnvelopeStream, edges, shape, tables
from evc.format.streams.noise import noise_hop
from evc.models.spectrum.envelope import Shaper, changes, levels
from evc.models.synthesis import Choice, Synthesiser
from evc.spec.envelope import enveloped
from evc.spec.signals import FOLDER

RATE = 22_050
HOP = noise_hop(RATE)
LENGTH = 4 * c.superframe_length(RATE)
WEIGHTS = tables()["values"].tolist()


def random_stream(context: StreamContext, seed: int, share: float = 1.0, spread: int = 4) -> EnvelopeStream:
    """Gains from -spread to spread, a share of them not 0; groups in turn may have none."""
    random = np.random.default_rng(seed)
    values = random.integers(-spread, spread + 1, shape(context)) * (random.random(shape(context)) < share)
    values[seed % 3 :: 3] *= seed % 2
    return EnvelopeStream(values)


@st.composite
def streams(draw: st.DrawFn) -> tuple[EnvelopeStream, StreamContext]:
    context, seed = draw(contexts), draw(st.integers(0, 99))
    share, spread = draw(st.sampled_from([0.0, 0.1, 1.0])), draw(st.sampled_from([1, 4]))
    return random_stream(context, seed, share, spread), context


# The stream


@given(streams())
@settings(max_examples=50)
def test_round_trip(case: tuple[EnvelopeStream, StreamContext]) -> None:
    assert_round_trip(*case)


def compare(stream: EnvelopeStream, context: StreamContext, data: bytes) -> ReferenceDecoder:
    """Whether the reference reads the gains of a stream; the decoder, to compare its sums."""
    decoder, rate, (groups, hops, _) = ReferenceDecoder(data), context.samplerate, shape(context)
    found = reference_streams.envelope(decoder, groups, hops, rate, noise_hop(rate), WEIGHTS)
    assert found == stream.values.tolist()
    return decoder


@given(streams())
@settings(max_examples=15)
def test_the_reference_decoder_agrees(case: tuple[EnvelopeStream, StreamContext]) -> None:
    coding = coded(*case)
    decoder = compare(*case, coding.words)
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


@pytest.mark.parametrize("name", ["envelopes", "beneath", "stereo"])
def test_the_reference_decoder_agrees_on_vectors(name: str) -> None:
    container = ContainerReader(io.BytesIO((FOLDER / f"{name}.evc").read_bytes()))
    for index in range(container.segments):
        context = StreamContext.of_segment(container.header, index)
        data = container.segment(index).stream(c.STREAM_ENVELOPE)
        if data is not None:
            stream = EnvelopeStream.read(SymbolDecoder(data.words, data.symbols, data.checksum), context)
            decoder = compare(stream, context, data.words)
            assert (decoder.symbols, decoder.checksum) == (data.symbols, data.checksum)


@pytest.mark.parametrize("samplerate, starts", [(8000, [24, 64, 65]), (44_100, [18, 47, 105, 257])])
def test_bands(samplerate: int, starts: list[int]) -> None:
    assert edges(samplerate).tolist() == starts


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((2, 768, 3), np.int64),
        np.zeros((1, 767, 3), np.int64),
        np.zeros((1, 768, 2), np.int64),
        np.full((1, 768, 3), 5),
        np.full((1, 768, 3), -5),
    ],
)
def test_what_breaks_a_limit_is_not_written(values: NDArray[np.int64]) -> None:
    assert shape(STEREO) == (1, 768, 3)
    with pytest.raises(InputError):
        coded(EnvelopeStream(values), STEREO)


@given(words, st.integers(0, 2000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(EnvelopeStream, data, symbols, context)


def test_changed_words_are_harmless() -> None:
    context = StreamContext(44_100, 3, 9000)
    assert_changes_are_harmless(random_stream(context, 1), context)


def test_no_gains_cost_a_bit_each_group() -> None:
    assert coded(random_stream(STEREO, 0, 0.0), STEREO).symbols == 1


@given(streams())
@settings(max_examples=25)
def test_words_and_what_they_cost_are_the_same_without_kernels(case: tuple[EnvelopeStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    accounts = []
    for path in (kernels.reference(), nullcontext()):
        with path:
            assert coded(stream, context) == coding
            decoder = SymbolDecoder(coding.words, coding.symbols, coding.checksum, account=True)
            np.testing.assert_array_equal(EnvelopeStream.read(decoder, context).values, stream.values)
            decoder.finish()
            accounts.append(decoder.account)
    one, other = accounts
    assert {kind: symbols for kind, (symbols, _) in one.items()} == {kind: n for kind, (n, _) in other.items()}
    assert sum(bits for _, bits in one.values()) == pytest.approx(sum(bits for _, bits in other.values()))


# The sound


def shaper(streams: dict[int, EnvelopeStream], channels: int, frames: int) -> tuple[Shaper, Header]:
    header = Header(RATE, channels, frames, layers=("spectrum",), segment_frames=LENGTH)
    segments = DecodedSegments(header, {index: {c.STREAM_ENVELOPE: stream} for index, stream in streams.items()})
    return Shaper(segments), header


def shaped(shaper: Shaper, sound: NDArray[np.float32], start: int, frames: int) -> NDArray[np.float32]:
    def fetch(out: NDArray[np.float32], begin: int) -> None:
        assert 0 <= begin <= begin + out.shape[1] <= sound.shape[1]
        low, high = shaper.span(start, start + frames)
        assert low <= begin and begin + out.shape[1] <= high
        out[:] = sound[:, begin : begin + out.shape[1]]

    out = np.zeros((len(sound), frames), np.float32)
    shaper.fetch(fetch, out, start)
    return out


@cache
def three_channels() -> tuple[Shaper, NDArray[np.float32], NDArray[np.float64]]:
    """Noise of three segments, its shaper with random gains (none in the second segment), and what comes of it in
    double precision."""
    frames = 2 * LENGTH + 3000
    header = Header(RATE, 3, frames, layers=("spectrum",), segment_frames=LENGTH)
    streams = {index: random_stream(StreamContext.of_segment(header, index), 3 * index + 1, 0.3) for index in (0, 2)}
    sound = np.random.default_rng(5).normal(0, 0.1, (3, frames)).astype(np.float32)
    return shaper(streams, 3, frames)[0], sound, enveloped(header, sound.astype(np.float64), streams)


def test_the_sound_is_that_of_the_specification() -> None:
    shaper, sound, wanted = three_channels()
    found = shaped(shaper, sound, 0, sound.shape[1])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.abs(found - sound).max() > 0.1
    assert (found - sound)[:, LENGTH + 2 * HOP : 2 * LENGTH - 2 * HOP].max() == 0


@settings(max_examples=40)
@given(st.integers(0, 2 * LENGTH + 2999), st.sampled_from([0, 1, 63, 1000, 9999, LENGTH]))
def test_any_span_is_that_of_the_whole(start: int, frames: int) -> None:
    shaper, sound, _ = three_channels()
    frames = min(frames, sound.shape[1] - start)
    everything = shaped(shaper, sound, 0, sound.shape[1])
    np.testing.assert_array_equal(shaped(shaper, sound, start, frames), everything[:, start : start + frames])


def test_gains_of_nothing_change_nothing() -> None:
    _, sound, _ = three_channels()
    context = StreamContext(RATE, 3, LENGTH)
    flat, _ = shaper({0: random_stream(context, 0, 0.0)}, 3, sound.shape[1])
    np.testing.assert_array_equal(shaped(flat, sound, 50, 5000), sound[:, 50:5050])


@pytest.mark.skipif(kernels.lib is None, reason=kernels.what_runs())
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samplerate", [8000, 44_100, 192_000])
def test_kernels_compute_what_numpy_does(samplerate: int, channels: int) -> None:
    hop, bands, random = noise_hop(samplerate), edges(samplerate), np.random.default_rng(8)
    values = random.integers(-4, 5, (20, len(bands) - 1)) * (random.random((20, 1)) < 0.5)
    sound = random.normal(0, 0.1, (channels, 21 * hop)).astype(np.float32)
    changed, energies = changes(sound, values, bands, hop), levels(sound, bands, hop)
    with kernels.reference():
        np.testing.assert_allclose(changed, changes(sound, values, bands, hop), atol=3e-7)
        np.testing.assert_allclose(energies, levels(sound, bands, hop), rtol=1e-5)
    assert energies.min() > 0 and np.abs(changed).max() > 0.1


@pytest.mark.parametrize("band", [0, 1, 2])
@pytest.mark.parametrize("gain", [-4, 1, 4])
def test_a_gain_changes_the_level_of_its_band_alone(band: int, gain: int) -> None:
    values = np.zeros((1, LENGTH // HOP, 3), np.int64)
    values[..., band] = gain
    louder, _ = shaper({0: EnvelopeStream(values)}, 1, LENGTH)
    sound = np.random.default_rng(6).normal(0, 0.1, (1, LENGTH)).astype(np.float32)
    found = shaped(louder, sound, 0, LENGTH)
    whole_bands = np.array([0, *edges(RATE)])
    before, after = (levels(x, whole_bands, HOP)[4:-4].sum(axis=0) for x in (sound, found))
    wanted = np.zeros(4)
    wanted[1 + band] = c.ENVELOPE_STEP_DB * gain
    # Windows let a little of a loud band into those beside it.
    np.testing.assert_allclose(10 * np.log10(after / before), wanted, atol=0.7)


def enveloped_file() -> DecodedSegments:
    """Copies of what lies under envelopes, under others."""
    file = a_file(3, 2, {1: [a_copy(0, LEAST, N)], 2: [a_copy(9, SEGMENT, SEGMENT)]}, frames=3 * SEGMENT - 77)
    for index in range(3):
        context = StreamContext.of_segment(file.header, index)
        file.streams[index][c.STREAM_ENVELOPE] = random_stream(context, 2 * index + 1)
    return file


def test_envelopes_lie_on_what_patterns_and_spectrum_add_up_to() -> None:
    file = enveloped_file()
    under = DecodedSegments(file.header, {i: {k: s for k, s in streams.items() if k != c.STREAM_ENVELOPE}
                                          for i, streams in file.streams.items()})  # fmt: skip
    streams = {index: streams[c.STREAM_ENVELOPE] for index, streams in file.streams.items()}
    wanted = enveloped(file.header, whole(under).astype(np.float64), streams)
    loudest = np.abs(wanted).max()
    np.testing.assert_allclose(whole(file), wanted, atol=2e-6 * loudest)
    parts = [whole(file, Choice((name,))) for name in ("patterns", "spectrum")]
    assert parts[0].any() and parts[1].any()
    np.testing.assert_allclose(sum(parts), wanted, atol=4e-6 * loudest)
    assert not whole(file, Choice(("noise",))).any()


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 3 * SEGMENT - 78), st.integers(0, SEGMENT)), min_size=1, max_size=3))
def test_any_part_of_a_file_is_that_of_the_whole(spans: list[tuple[int, int]]) -> None:
    file = enveloped_file()
    wanted, synthesiser = whole(file), Synthesiser(file)
    for start, frames in spans:
        frames = min(frames, wanted.shape[1] - start)
        np.testing.assert_array_equal(synthesiser.render(start, frames), wanted[:, start : start + frames])


# Files


@cache
def attacks() -> NDArray[np.float32]:
    """Bursts of noise that die away, over a tone, two channels at 16 kHz."""
    random, frames = np.random.default_rng(7), 5 * 16_000
    sound = random.normal(0, 0.2, (frames, 2)) * np.exp(-(np.arange(frames) % 3777) / 400)[:, None]
    sound += 0.1 * np.sin(np.arange(frames) / 9)[:, None]
    return sound.astype(np.float32)


@cache
def struck() -> bytes:
    return evc.encode(attacks(), 16_000, quality=2, patterns="off")


def test_the_encoder_brings_levels_nearer() -> None:
    hop, bands = noise_hop(16_000), edges(16_000)
    wanted, with_, without = (
        10 * np.log10(levels(sound.T[:, : len(sound) // hop * hop], bands, hop) + 1e-5)
        for sound in (attacks(), evc.decode(struck())[0], evc.decode(without_envelopes(struck()))[0])
    )
    error, before = (np.abs(found - wanted).mean() for found in (with_, without))
    assert error < 0.8 * before


def test_a_bitrate_includes_envelopes() -> None:
    for bitrate in (8, 24):
        data = evc.encode(attacks(), 16_000, bitrate=bitrate, patterns="off", hints="spectrum")
        assert 8 * len(data) / 5 / 1000 == pytest.approx(bitrate, rel=0.02)


def test_stats_tell_what_envelopes_cost() -> None:
    with evc.open(io.BytesIO(struck())) as file:
        stats = file.stats()
    by_name = {layer.name: layer for layer in stats.layers}
    assert list(by_name) == ["spectrum", "envelope"] and by_name["envelope"].bits > 0
    container = ContainerReader(io.BytesIO(struck()))
    streams = [s for n in range(container.segments) for s in container.segment(n).streams]
    assert by_name["envelope"].symbols == sum(s.symbols for s in streams if s.kind == c.STREAM_ENVELOPE)
    assert stats.payload_bits + stats.overhead_bits == stats.bits == 8 * len(struck())


def test_a_lost_segment_takes_its_envelope_with_it() -> None:
    """What is damaged is the envelope alone: its segment is lost all the same."""
    data = (FOLDER / "envelopes.evc").read_bytes()
    everything, (first, *_) = evc.decode(data)[0], segment_places(data)
    with evc.open(io.BytesIO(with_flipped_bit(data, first.end - 9)), salvage=True) as file:
        found = file.read(always_2d=True)
        assert [part.damaged for part in file.segments] == [True, False, False, False]
    length, superframe = 4096, c.superframe_length(RATE)
    assert not found[:length].any() and found[length:].any()
    reach = length + superframe // 2 + superframe // 8
    np.testing.assert_array_equal(found[reach:], everything[reach:])


def test_joined_files_keep_their_envelopes() -> None:
    pieces, target = [(FOLDER / "beneath.evc").read_bytes(), (FOLDER / "loop.evc").read_bytes()], io.BytesIO()
    assert join_files([io.BytesIO(pieces[0])] * 2, target) == []
    np.testing.assert_array_equal(evc.decode(target.getvalue())[0], np.tile(evc.decode(pieces[0])[0], (2, 1)))
    for link in Chain(io.BytesIO(target.getvalue())).links:
        assert all(link.segment(index).stream(c.STREAM_ENVELOPE) for index in range(link.segments))
