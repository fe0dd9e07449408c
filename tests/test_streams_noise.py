from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import reference_streams
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from stream_tools import STEREO, assert_changes_are_harmless, assert_harmless, assert_round_trip, coded, contexts, words

from evc import kernels
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import InputError
from evc.format.streams import StreamContext
from evc.format.streams.noise import NoisePlane, NoiseStream, hops
from evc.format.streams.noise_changes import COLOUR, PlaneKind, plane_kinds

TABLES = Path(__file__).parent.parent / "spec" / "tables" / "noise.npz"


def random_plane(kind: PlaneKind, context: StreamContext, stride: int, most: int, seed: int) -> NoisePlane:
    """Stretches of random lengths; some start where the last ended, some end as they start."""
    random = np.random.default_rng(seed)
    bands = kind.bands(context.samplerate, stride)
    left = hops(context) if bands else 0
    lengths: list[int] = []
    while left:
        lengths.append(min(left, int(random.integers(1, 30))))
        left -= lengths[-1]
    least, most = max(kind.least, -most), min(kind.most, most)
    starts, ends = random.integers(least, most + 1, (2, len(lengths), bands))
    for n in range(len(lengths)):
        if n and random.random() < 0.5:
            starts[n] = ends[n - 1]
        if random.random() < 0.5:
            ends[n] = starts[n]
    return NoisePlane(np.array(lengths, np.int64), starts, ends, stride)


@st.composite
def streams(draw: st.DrawFn) -> tuple[NoiseStream, StreamContext]:
    context = draw(contexts)
    most = draw(st.sampled_from([0, 1, 30, 255]))
    planes = [
        random_plane(kind, context, draw(st.integers(0, 15)), most, draw(st.integers(0, 99)))
        for kind in plane_kinds(context.channels)
    ]
    return NoiseStream(planes, draw(st.integers(1, 64))), context


def hiss(context: StreamContext = STEREO, seed: int = 0) -> NoiseStream:
    return NoiseStream([random_plane(kind, context, 3, 30, seed) for kind in plane_kinds(context.channels)])


def still(context: StreamContext = STEREO) -> NoiseStream:
    """A single stretch, in which nothing changes."""
    planes = []
    for kind in plane_kinds(context.channels):
        levels = np.full((1, kind.bands(context.samplerate, 3)), kind.most // 2)
        planes.append(NoisePlane(np.array([hops(context)]), levels, levels, 3))
    return NoiseStream(planes)


def calm(context: StreamContext) -> NoiseStream:
    """Levels near the middle of their range: other words rarely lead them out of it."""
    random, planes = np.random.default_rng(0), []
    for kind in plane_kinds(context.channels):
        lengths = np.diff(np.linspace(0, hops(context), 3, dtype=np.int64))
        around = (kind.least + kind.most) // 2
        levels = around + random.integers(-1, 2, (2, len(lengths), kind.bands(context.samplerate, 3)))
        planes.append(NoisePlane(lengths, *levels, 3))
    return NoiseStream(planes)


@given(streams())
@settings(max_examples=40)
def test_round_trip(case: tuple[NoiseStream, StreamContext]) -> None:
    assert_round_trip(*case)


@given(streams())
@settings(max_examples=10)
def test_the_reference_decoder_agrees(case: tuple[NoiseStream, StreamContext]) -> None:
    stream, context = case
    coding = coded(stream, context)
    decoder = ReferenceDecoder(coding.words)
    kinds = plane_kinds(context.channels)
    with np.load(TABLES) as tables:
        step, planes = reference_streams.noise(
            decoder, hops(context), [kind.row for kind in kinds],
            lambda row, stride: next(kind for kind in kinds if kind.row == row).bands(context.samplerate, stride),
            {name: tables[name] for name in ("scales", "signs")},
        )  # fmt: skip
    assert step == stream.step
    for plane, (stride, lengths, starts, ends) in zip(stream.planes, planes, strict=True):
        assert (stride, lengths) == (plane.stride, plane.lengths.tolist())
        assert (starts, ends) == (plane.starts.tolist(), plane.ends.tolist())
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_what_stands_still_costs_a_few_bytes() -> None:
    short, long = (StreamContext(44100, 2, frames) for frames in (1, 700_000))
    assert len(coded(still(long), long).words) == len(coded(still(short), short).words) <= 40


def test_what_continues_costs_less() -> None:
    stream, joined = hiss(), hiss()
    for plane in joined.planes:
        plane.starts[1:] = plane.ends[:-1]
    assert len(coded(joined, STEREO).words) < 0.8 * len(coded(stream, STEREO).words)


def test_lines() -> None:
    plane = NoisePlane(np.array([2, 1, 4]), np.array([[0], [9], [4]]), np.array([[8], [9], [0]]), 0)
    assert plane.lines(np.arange(7)).ravel().tolist() == [2, 6, 9, 3.5, 2.5, 1.5, 0.5]
    assert plane.lines(np.array([5, 0])).ravel().tolist() == [1.5, 2]


def test_edges() -> None:
    for kind in plane_kinds(2):
        edges = kind.edges(44100, 2)
        assert len(edges) == kind.bands(44100, 2) + 1 and edges[0] == 0 and (np.diff(edges) > 0).all()
    assert edges[1] == 44100 / 4096


def changed(plane: int = 0, **fields) -> NoiseStream:
    stream = hiss()
    for name, value in fields.items():
        setattr(stream if hasattr(stream, name) else stream.planes[plane], name, value)
    return stream


@pytest.mark.parametrize(
    "stream",
    [
        changed(step=0),
        changed(step=65),
        changed(planes=hiss().planes[:3]),
        changed(stride=16),
        changed(stride=-1),
        changed(stride=2),
        changed(lengths=hiss().planes[0].lengths + 1),
        changed(lengths=hiss().planes[0].lengths[:-1]),
        changed(starts=hiss().planes[0].starts - 31),
        changed(ends=hiss().planes[0].ends + 250),
        changed(1, starts=hiss().planes[1].starts - 128),
        changed(2, ends=hiss().planes[2].ends + 9),
        changed(3, ends=hiss().planes[3].ends + 8),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: NoiseStream) -> None:
    with pytest.raises(InputError):
        coded(stream, STEREO)


@given(words, st.integers(0, 2000), contexts)
def test_any_words_are_harmless(data: bytes, symbols: int, context: StreamContext) -> None:
    assert_harmless(NoiseStream, data, symbols, context)


def test_changed_words_are_harmless() -> None:
    context = StreamContext(44100, 1, 5000)
    assert_changes_are_harmless(calm(context), context)


@pytest.mark.parametrize("seed", range(12))
def test_compiled_kernels_write_and_read_the_same_words(seed: int) -> None:
    """Of planes of few and of many bands, up to more than the kernels take."""
    random = np.random.default_rng(seed)
    context = StreamContext(44100, 2, int(random.integers(1, 40)) * 4096)
    planes = []
    for kind in plane_kinds(2):
        stride = int(random.choice([0, 1, 3, 9] if kind is COLOUR else [0, 1, 2, 7]))
        bands, left, lengths = kind.bands(44100, stride), hops(context), []
        while left and bands:
            lengths.append(min(left, int(random.choice([1, 7, random.integers(1, 300)]))))
            left -= lengths[-1]
        levels = random.integers(kind.least, kind.most + 1, (2, len(lengths), bands))
        if len(lengths) > 1 and bands:
            levels[0, 1:] = np.where(random.random((len(lengths) - 1, 1)) < 0.5, levels[1, :-1], levels[0, 1:])
            levels[1] = np.where(random.random((len(lengths), 1)) < 0.5, levels[0], levels[1])
        planes.append(NoisePlane(np.array(lengths, np.int64), levels[0], levels[1], stride))
    stream, encoders = NoiseStream(planes, 24), (SymbolEncoder(), SymbolEncoder())
    stream.write(encoders[0], context)
    with kernels.reference():
        stream.write(encoders[1], context)
    coded, wanted = (encoder.finish() for encoder in encoders)
    assert coded == wanted
    decoder = SymbolDecoder(coded.words, coded.symbols, coded.checksum)
    for plane, read in zip(planes, NoiseStream.read(decoder, context).planes, strict=True):
        assert np.array_equal(plane.lengths, read.lengths)
        assert np.array_equal(plane.starts, read.starts) and np.array_equal(plane.ends, read.ends)
    decoder.finish()
