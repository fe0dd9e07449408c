"""Copies and placements as they sound: against section 10.7 in double precision, and against what they have to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis_tools import (
    COPIES,
    LEAST,
    ONE,
    PARTITIONS,
    RATE,
    SEGMENT,
    SPECTRUM,
    DecodedSegments,
    N,
    a_copy,
    a_file,
    occurrence_stream,
    random_spectrum,
    whole,
)

from evc.format import constants as c
from evc.format.coder import CodedStream
from evc.format.errors import FormatError
from evc.format.sources import Entry, decode_entry, sound_sources
from evc.format.streams import StreamContext
from evc.format.streams.bands import band_count
from evc.format.streams.dictionary import Excerpt, Explicit, Lattice, Loop
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import SpectrumStream
from evc.models.patterns.sounding import predict, soundings
from evc.models.patterns.timeline import Timeline, delayed
from evc.models.spectrum.analysis import transform
from evc.models.spectrum.synthesis import BlockRun, residual_spectra
from evc.spec.synthesis import synthesise


def reference(file: DecodedSegments) -> np.ndarray:
    spectra = {index: streams[SPECTRUM] for index, streams in file.streams.items() if SPECTRUM in streams}
    copies = {index: streams[COPIES] for index, streams in file.streams.items() if COPIES in streams}
    return synthesise(file.header, spectra, copies, file.entries)


def agrees(file: DecodedSegments) -> bool:
    """Whether the samples are those of the reference, by the tolerance of section 11.2."""
    wanted = reference(file)
    peak = max(1.0, float(np.abs(wanted).max()))
    return float(np.abs(whole(file) - wanted).max()) <= 2**-20 * peak and float(np.abs(wanted).max()) > 0.01


# Against the specification


@st.composite
def gains(draw: st.DrawFn, planes: int, bands: int) -> np.ndarray:
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    levels = random.integers(-6, 3, (planes, bands))
    levels[random.random(levels.shape) < draw(st.sampled_from([0, 0.3, 0.8]))] = OFF
    return levels


@settings(max_examples=8)
@given(st.data(), st.integers(1, 3), st.sampled_from([0, 1, 3]), st.booleans(), st.booleans())
def test_copies_are_as_specified(
    data: st.DataObject, channels: int, stride: int, separate: bool, mid_side: bool
) -> None:
    """Any gains, lags and lengths, several at once, chains of copies, copies inside a segment and across borders."""
    planes = channels if separate else 1
    bands = band_count(RATE, stride, fine=False)
    rows = {}
    for index in range(3):
        rows[index] = [
            a_copy(
                start,
                data.draw(st.integers(LEAST * ONE, 2 * SEGMENT * ONE)) / ONE,
                data.draw(st.integers(1, SEGMENT)),
                gains=data.draw(gains(planes, bands)),
                inverted=data.draw(st.integers(0, 1)),
            )
            for start in sorted(data.draw(st.lists(st.integers(0, SEGMENT // 2), max_size=3)))
        ]
    options = {"stride": stride, "mid_side": mid_side and planes == 2, "polarity": True}
    options["alone"] = data.draw(st.sampled_from([0.0, 0.4]))
    assert agrees(a_file(3, channels, rows, silent=(1,), frames=3 * SEGMENT - 700, **options))


@settings(max_examples=6)
@given(st.data(), st.sampled_from([(1, 1), (2, 1), (2, 2)]))
def test_placements_are_as_specified(data: st.DataObject, channels: tuple[int, int]) -> None:
    """Waveforms with their own ends, at any phase, whole and in part, excerpts of the file, and lattices, moved."""
    count, own = channels
    frames = data.draw(st.integers(1, 3 * N))
    spectrum = random_spectrum(-(-frames // N), own, 77)
    explicit = Entry(Explicit(own, frames, CodedStream(b"", 0, 0)), spectrum)
    excerpt = Entry(Excerpt(data.draw(st.integers(0, SEGMENT)), 2 * N + 5))
    entries = [explicit, excerpt, random_lattice(data.draw(st.integers(0, 99)))]
    rows: dict[int, list[dict[str, Any]]] = {}
    stride, mid_side = data.draw(st.sampled_from([0, 0, 3])), count == 2 and data.draw(st.booleans())
    planes = 2 if mid_side else data.draw(st.sampled_from([1, count]))
    levels = gains(planes, band_count(RATE, stride, fine=False))
    for index, entry in ((1, 0), (1, 2), (1, 0), (2, 1), (2, 2)):
        time = data.draw(st.integers(0, 2 * N * ONE)) + (LEAST * ONE if entry == 1 else 0)
        offset = data.draw(st.integers(0, entries[entry].frames - 1))
        length = data.draw(st.integers(0, 2 * N))
        row = {"times": time, "patterns": entry, "offsets": offset, "lengths": length, "gains": data.draw(levels)}
        if entry == 2:
            row |= {"shifts": data.draw(st.integers(-70 * ONE, 70 * ONE)), "rotations": data.draw(st.integers(0, 15))}
        rows.setdefault(index, []).append(row)
    rows = {index: sorted(found, key=lambda row: row["times"]) for index, found in rows.items()}
    options = {"spans": True, "lattice": True, "rotation_bits": 4, "alone": data.draw(st.sampled_from([0.0, 0.4]))}
    options |= {"stride": stride, "mid_side": mid_side, "polarity": True}
    assert agrees(a_file(3, count, rows, silent=(1,), entries=entries, **options))


@settings(max_examples=6)
@given(st.data(), st.sampled_from([0, 3]), st.sampled_from([None, False, True]))
def test_transposed_and_looped_waveforms_are_as_specified(data: st.DataObject, stride: int, loop: bool | None) -> None:
    frames = data.draw(st.integers(50, 2 * N))
    begin = data.draw(st.integers(0, (frames - 1) * ONE))
    length = data.draw(st.integers(ONE, frames * ONE - begin))
    pattern = Explicit(
        1, frames, CodedStream(b"", 0, 0), None if loop is None else Loop(begin, length, ping_pong=loop)
    )
    entries = [Entry(pattern, random_spectrum(-(-frames // N), 1, 77))]
    rows = [
        {
            "times": time,
            "patterns": 0,
            "semitones": data.draw(st.integers(-40, 24)),
            "fine": data.draw(st.integers(-4096, 4096)),
            "offsets": data.draw(st.integers(0, 10)),
            "lengths": data.draw(st.integers(1, 3 * N)),
        }
        for time in sorted(data.draw(st.lists(st.integers(0, 2 * N * ONE), min_size=1, max_size=3)))
    ]
    options = {"spans": True, "rates": True, "fine_rates": True, "stride": stride}
    assert agrees(a_file(2, 2, {0: rows}, silent=(1,), entries=entries, **options))


def random_lattice(seed: int) -> Entry:
    random = np.random.default_rng(seed)
    levels = random.integers(90, 115, (20, 40)) * (random.random((20, 40)) < 0.3)
    carrier = tuple(map(int, random.integers(0, 1 << 16, 3))) if seed % 2 else None
    pattern = Lattice(7, 5, 4, 5, levels, random.integers(0, 32, levels.shape) * (levels > 0), carrier)
    return decode_entry(pattern, StreamContext(RATE, 1, SEGMENT))


# What copies have to be


@pytest.mark.parametrize("lag", [LEAST, LEAST + 333, 3 * N + 1, 2 * SEGMENT])
def test_a_copy_of_whole_frames_is_the_past_again(lag: int) -> None:
    """Also of itself, run after run: with no gain a shorter lag than the copy is long goes round and round."""
    file = a_file(4, 2, {2: [a_copy(0, lag, SEGMENT)], 3: [a_copy(0, lag, SEGMENT)]}, silent=(2, 3))
    found = whole(file)
    inside = np.arange(2 * SEGMENT + N // 2, 4 * SEGMENT - N // 2)
    np.testing.assert_allclose(found[:, inside], found[:, inside - lag], atol=2**-20)
    assert np.abs(found[:, inside]).max() > 0.05


def test_a_copy_begins_and_ends_between_blocks() -> None:
    """In the blocks that overlap it, and no others; what is beside them is silence."""
    file = a_file(3, 1, {2: [a_copy(N + 5, SEGMENT, N)]}, silent=(2,))
    found = whole(file)[0]
    first = 2 * SEGMENT + N
    assert not found[2 * SEGMENT + N // 2 : first - N // 2].any() and not found[first + 2 * N + N // 2 :].any()
    inside = np.arange(first + N // 2, first + 2 * N - N // 2)
    np.testing.assert_allclose(found[inside], found[inside - SEGMENT], atol=2**-20)


def test_a_copy_ends_with_its_segment() -> None:
    file = a_file(4, 1, {2: [a_copy(2 * N, SEGMENT, 3 * SEGMENT)]}, silent=(2, 3))
    found = whole(file)[0]
    assert np.abs(found[2 * SEGMENT + 3 * N : 3 * SEGMENT - N // 2]).max() > 0.05
    assert not found[3 * SEGMENT + N // 2 :].any()


def test_a_waveform_begins_and_ends_to_the_frame() -> None:
    """Cut out of the middle, in a block of depth 0 without slopes to others that would hide it."""
    entry = Entry(Explicit(1, 3 * N, CodedStream(b"", 0, 0)), random_spectrum(3, 1, 5))
    row = {"times": (N + 300) * ONE, "patterns": 0, "offsets": N, "lengths": 700}
    file = a_file(3, 1, {1: [row]}, silent=(0, 1, 2), entries=[entry], spans=True)
    found = whole(file)[0]
    whole_row = {"times": 0, "patterns": 0}
    heard = whole(a_file(1, 1, {0: [whole_row]}, silent=(0,), entries=[entry]))[0]
    wanted = np.zeros(len(found))
    wanted[SEGMENT + N + 300 : SEGMENT + N + 1000] = heard[N : N + 700]
    np.testing.assert_allclose(found, wanted, atol=2**-20)
    assert np.abs(wanted).max() > 0.05


def test_a_waveform_goes_on_over_a_border() -> None:
    """Placed again in the second segment, from the frame on that it has come to; the first lets it sound beyond the
    border."""
    entry = Entry(Explicit(1, 2 * N, CodedStream(b"", 0, 0)), random_spectrum(2, 1, 6))
    first = {"times": (SEGMENT - N) * ONE + 9, "patterns": 0}
    goes_on = {"times": 9, "patterns": 0, "offsets": N}
    found, within = (
        whole(a_file(3, 1, rows, silent=(0, 1, 2), entries=[entry], spans=True))[0]
        for rows in ({0: [first], 1: [goes_on]}, {1: [first | {"times": N * ONE + 9}]})
    )
    np.testing.assert_allclose(found[SEGMENT - 2 * N :][: 4 * N], within[SEGMENT:][: 4 * N], atol=2**-20)
    assert np.abs(found).max() > 0.05


def test_a_copy_of_what_was_before_the_file_is_silence() -> None:
    file = a_file(1, 1, {0: [a_copy(0, 5 * SEGMENT, SEGMENT)]})
    loud = np.abs(whole(a_file(1, 1, {}))).max()
    assert 0 < np.abs(whole(file)).max() <= 1.5 * loud  # noise filling falls silent as well


@pytest.mark.parametrize("lag", [LEAST - 1, 1])
def test_what_is_not_yet_decoded_cannot_be_copied(lag: int) -> None:
    with pytest.raises(FormatError):
        whole(a_file(2, 1, {1: [a_copy(0, lag, N)]}))


@pytest.mark.parametrize("fraction", [1, 7, 16, 31])
def test_a_fraction_of_a_frame_is_a_phase_ramp(fraction: int) -> None:
    """Below 0.4 of the sample rate the error is 60 dB down."""
    size = 1 << 14
    frequency = np.fft.rfftfreq(size)
    spectrum = np.fft.rfft(np.random.default_rng(fraction).normal(size=size)) * (frequency < 0.4)
    signal = np.fft.irfft(spectrum, size).astype(np.float32)[None]
    wanted = np.fft.irfft(spectrum * np.exp(-2j * np.pi * frequency * (100 + fraction / ONE)), size)

    def read(start: int, count: int) -> np.ndarray:
        return signal.take(range(start, start + count), axis=1, mode="wrap")

    found = delayed(read, 0, size, 100 * ONE + fraction, c.DEFAULT_PHASE_BITS)[0]
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.001 * np.sqrt(np.mean(wanted**2))


def test_whole_frames_are_plain_copies() -> None:
    signal = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    found = delayed(lambda start, count: signal[:, start : start + count], 300, 100, 40 * ONE, c.DEFAULT_PHASE_BITS)
    np.testing.assert_array_equal(found, signal[:, 260:360])


# Gains and noise


def predicted(stream: OccurrenceStream, channels: int) -> tuple[BlockRun, Any]:
    """What a stream brings to the two superframes behind four random ones."""
    file = a_file(1, channels, {})
    timeline = Timeline(N, channels, 8)
    spectrum: SpectrumStream = file.streams[0][SPECTRUM]
    blocks = [block for frame in spectrum.groups[0].superframes for block in frame]
    run = BlockRun(N, 0, [tuple(block.depth for block in frame) for frame in spectrum.groups[0].superframes])
    timeline.put(run, residual_spectra(run, blocks, slice(0, channels)))
    context = StreamContext(RATE, channels, SEGMENT)
    sources = sound_sources(stream, [], context, SEGMENT)
    found = soundings(stream, sources, RATE, c.DEFAULT_PHASE_BITS, (SEGMENT, SEGMENT), slice(0, channels))
    run = BlockRun(N, 4, [(0,), (1, 3, 3, 2)], N, N >> 2)
    result = predict(run, found, timeline, slice(0, channels))
    assert result is not None
    return run, result


@pytest.mark.parametrize("stride", [0, 1, 2, 5])
def test_gains_are_those_of_their_bands(stride: int) -> None:
    bands = band_count(RATE, stride, fine=False)
    random = np.random.default_rng(stride)
    levels = random.integers(-8, 8, (1, bands))
    levels[0, 1:][random.random(bands - 1) < 0.3] = OFF
    plain = occurrence_stream([a_copy(0, 3 * N, 2 * N)], RATE)
    shaped = occurrence_stream([a_copy(0, 3 * N, 2 * N, gains=levels)], RATE, stride=stride)
    (run, one), (_, other) = predicted(plain, 2), predicted(shaped, 2)
    coarse = [edge for edge in c.COARSE_EDGES if edge < N // 16]
    edges = [*(coarse[:-1:stride] if stride else coarse[:1]), N // 16]
    weights = np.where(levels == OFF, 0, np.exp2(levels / 4)).astype(np.float32)[0]
    for depth, spectra in one.spectra.items():
        bins = np.array(edges) << (4 - depth)
        assert spectra.any() and set(one.spectra) == set(run.depths)
        np.testing.assert_array_equal(other.spectra[depth], spectra * np.repeat(weights, np.diff(bins)))


def test_planes_of_mid_and_side() -> None:
    mid = np.array([[0], [OFF]])
    (_, both), (_, found) = (
        predicted(occurrence_stream([a_copy(0, 3 * N, 2 * N, **more)], RATE, **options), 2)
        for more, options in (({}, {}), ({"gains": mid}, {"mid_side": True}))
    )
    assert both.spectra.keys() == found.spectra.keys() and any(spectra.any() for spectra in both.spectra.values())
    for depth, (left, right) in both.spectra.items():
        np.testing.assert_allclose(found.spectra[depth], [(left + right) / 2] * 2, rtol=1e-6, atol=1e-3)


def test_a_copy_that_is_off_changes_nothing() -> None:
    """Noise is filled in by energies, wherever occurrences are."""
    off = {1: [a_copy(0, SEGMENT, SEGMENT, gains=np.array([[OFF]]))]}
    np.testing.assert_array_equal(whole(a_file(2, 2, off)), whole(a_file(2, 2, {})))


def test_noise_is_filled_in_beside_a_copy() -> None:
    """What a segment sounds like is its own sound, noise included, and that of the copy."""
    copied = {1: [a_copy(0, SEGMENT, SEGMENT)]}
    both, alone = (whole(a_file(2, 1, rows))[:, SEGMENT + N : -N] for rows in (copied, {}))
    source = whole(a_file(2, 1, {}))[:, N : SEGMENT - N]
    np.testing.assert_allclose(both, alone + source, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_blocks_that_are_alone_hear_nothing(channels: int) -> None:
    """Neither copies nor lattices, and their noise is filled in as without them."""
    rows = {1: [a_copy(0, LEAST, SEGMENT), {"times": 40, "patterns": 0}]}
    file = a_file(2, channels, rows, entries=[random_lattice(1)], alone=1.0)
    np.testing.assert_array_equal(whole(file), whole(a_file(2, channels, {}, alone=1.0)))
    file = a_file(2, channels, rows, entries=[random_lattice(1)])
    assert not np.array_equal(whole(file), whole(a_file(2, channels, {})))


def test_one_block_alone_changes_no_other() -> None:
    """What surrounds it overlaps by half a superframe at most."""
    rows = {1: [a_copy(0, SEGMENT, SEGMENT)]}
    file, other = a_file(2, 1, rows), a_file(2, 1, rows)
    (group,) = other.streams[1][SPECTRUM].groups
    for block in group.superframes[1]:
        block.alone = True
    differs = np.flatnonzero((whole(file) != whole(other))[0])
    assert differs.min() >= SEGMENT + N // 2 and differs.max() < SEGMENT + 2 * N + N // 2


# The timeline


def test_a_timeline_is_its_signal() -> None:
    random = np.random.default_rng(0)
    signal = random.normal(size=(2, 8 * N)).astype(np.float32)
    partitions = [PARTITIONS[random.integers(len(PARTITIONS))] for _ in range(8)]
    timeline = Timeline(N, 2, 8)
    padded = np.pad(signal, ((0, 0), (N, N)))
    for first, end in ((0, 3), (3, 4), (4, 8)):
        run = BlockRun(N, 0, partitions).part(first, end)
        found = transform(padded, N + first * N, run.depths, N, run.before, run.after)
        timeline.put(run, {depth: spectra for depth, (_, spectra) in found.items()})
        complete = end * N if end == 8 else end * N - N // 2
        np.testing.assert_allclose(timeline.fetch(0, complete), signal[:, :complete], atol=1e-5)
        if end < 8:
            with pytest.raises(KeyError):
                timeline.fetch(0, complete + 1)
    np.testing.assert_allclose(timeline.fetch(-5, 8 * N + 10), np.pad(signal, ((0, 0), (5, 5))), atol=1e-5)
    timeline.drop_before(6)
    assert list(timeline) == [6, 7] and 5 not in timeline
    np.testing.assert_allclose(timeline.fetch(6 * N + N // 2, N), signal[:, 6 * N + N // 2 :][:, :N], atol=1e-5)
