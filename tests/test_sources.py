"""Where the sound of occurrences comes from, and what a segment must not ask for."""

from __future__ import annotations

import numpy as np
import pytest
import reference_sources
from hypothesis import given
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolEncoder
from evc.format.errors import DamagedError, FormatError
from evc.format.sources import Entry, SoundSource, covered_frames, decode_entry, needed_segments, sound_sources
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import Excerpt, Explicit, Lattice, Loop
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream

N = 1024
LEAST = 2 * N + 16
CONTEXT = StreamContext(8_000, 2, 4 * N, 5, 3)
START = 8 * N
ENTRIES: list[Entry | None] = [
    Entry(Excerpt(500, 900)),
    Entry(Explicit(1, 700, CodedStream(b"", 0, 0))),
    None,
]
LOOPED = Entry(Explicit(1, 700, CodedStream(b"", 0, 0), Loop(3200, 9600)))


def stream(
    times: list[int],
    patterns: list[int],
    lags: list[int] | None = None,
    offsets: list[int] | None = None,
    lengths: list[int] | None = None,
    bands: int = 1,
) -> OccurrenceStream:
    nothing = [0] * len(times)
    columns = [np.array(column or nothing, np.int64) for column in (times, patterns, lags, offsets, lengths)]
    zeros = [np.zeros(len(times), np.int64) for _ in range(3)]
    counts = len(times) - patterns.count(COPY), patterns.count(COPY)
    return OccurrenceStream(*columns, *zeros, *(Gains(np.zeros((n, 1, bands), np.int64)) for n in counts))


def copies(times: list[int], lags: list[int], lengths: list[int]) -> OccurrenceStream:
    return stream(times, [COPY] * len(times), lags, None, lengths)


def test_a_copy() -> None:
    (found,) = sound_sources(copies([32 * 100 + 7], [LEAST * 32 + 5], [250]), [], CONTEXT, START)
    assert found == SoundSource(0, START + 100, START + 350, LEAST * 32 + 5, 0, found.last)
    assert found.last > c.MAX_FRAMES


def test_placements() -> None:
    occurrences = stream([40, 80, 96], [0, 0, 1], None, [0, 100, 20], [0, 300, 0])
    first, second, third = sound_sources(occurrences, ENTRIES, CONTEXT, START)
    assert first == SoundSource(0, START + 1, START + 901, (START - 500) * 32 + 40, 500, 1400)
    assert second == SoundSource(1, START + 2, START + 302, (START - 600) * 32 + 80, 500, 1400)
    # The windows of blocks beside a waveform reach half a superframe into it, and 16 frames into its interpolation.
    span = START + 3 - N // 2 - 16, START + 683 + N // 2 + 16
    assert third == SoundSource(2, *span, (START - 20) * 32 + 96, 20, 700, 1)


def test_a_waveform_is_cut_to_the_frame() -> None:
    """Also where it begins, unless it goes on with what a segment before began."""
    rows = stream([0, 31, 32, 64], [1] * 4, None, [20, 0, 20, 0], [300, 50, 680, 2**31 - 1])
    found = sound_sources(rows, ENTRIES, CONTEXT, START)
    assert [(one.first, one.last) for one in found] == [(0, 320), (0, 50), (20, 700), (0, 700)]


def raised(found: OccurrenceStream, semitones: list[int], fine: list[int] | None = None) -> OccurrenceStream:
    """The same, transposed."""
    found.semitones, found.fine = np.array(semitones), np.array(fine or [0] * len(semitones))
    return found


def test_a_transposed_waveform_lasts_as_long_as_it_is_heard() -> None:
    rows = raised(stream([32, 32, 32], [1, 1, 1], None, [0, 100, 0], [0, 0, 300]), [-12, 12, 0], [0, 0, -4096])
    found = sound_sources(rows, ENTRIES, CONTEXT, START)
    assert [(one.first, one.last) for one in found] == [(0, 1400), (100, 350), (0, 300)]
    assert [one.rate for one in found] == [1 << 23, 1 << 25, round((1 << 24) * 2 ** (-1 / 12))]
    assert found[1].end - found[1].begin == 250 + N + 32 and not found[1].as_it_is


def test_a_loop_has_no_end_but_that_of_its_length() -> None:
    rows = raised(stream([32], [3], None, [9000], [50_000]), [-5])
    (found,) = sound_sources(rows, [*ENTRIES, LOOPED], CONTEXT, START)
    assert (found.first, found.last, found.loop) == (9000, 59_000, Loop(3200, 9600))


@pytest.mark.parametrize(
    "occurrences, message",
    [
        (copies([0], [LEAST * 32 - 1], [1]), "not yet decoded"),
        (copies([0], [0], [1]), "not yet decoded"),
        (stream([0], [2]), "lost"),
        (stream([0], [0], None, [900]), "behind the end"),
        (stream([0], [1], None, [2**31 - 1]), "behind the end"),
        (copies(list(range(17)), [10_000 * 32] * 17, [1] * 17), "sound at once"),
        (copies([32 * t for t in range(17)], [10_000 * 32] * 17, [17] * 17), "sound at once"),
        (stream([0] * 257, [1] * 257), "sound at once"),
        (raised(stream([0], [1], None, [350]), [12]), "behind the end"),
        (raised(stream([0], [0]), [1]), "transposes"),
        (stream([0], [3]), "no length"),
        (stream([0] * 17, [1] * 17, bands=2), "sound at once"),
    ],
)
def test_what_is_refused(occurrences: OccurrenceStream, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        sound_sources(occurrences, [*ENTRIES, LOOPED], CONTEXT, START)


def test_an_excerpt_that_is_not_yet_decoded() -> None:
    """Frame 500 sounds again at frame 500 + LEAST at the earliest."""
    time = (500 + LEAST) * 32
    assert len(sound_sources(stream([time], [0]), ENTRIES, CONTEXT, 0)) == 1
    with pytest.raises(FormatError, match="not yet decoded"):
        sound_sources(stream([time - 1], [0]), ENTRIES, CONTEXT, 0)
    with pytest.raises(FormatError, match="not yet decoded"):
        sound_sources(stream([time], [0], None, [1]), ENTRIES, CONTEXT, 0)


def test_as_many_as_may_sound() -> None:
    """Sixteen at once, and one after another any number; more of waveforms in one band."""
    times = [32 * 16 * (t // 16) for t in range(480)]
    assert len(sound_sources(copies(times, [10_000 * 32] * 480, [16] * 480), [], CONTEXT, START)) == 480
    assert len(sound_sources(stream([0] * 256, [1] * 256), ENTRIES, CONTEXT, START)) == 256


def test_lattices_are_counted_by_their_cells() -> None:
    levels = np.zeros((1024, 1024), np.int64)
    entries = [*ENTRIES, decode_entry(Lattice(12, 6, 4, 3, levels, levels), CONTEXT)]
    assert len(sound_sources(stream([0] * 4, [3] * 4), entries, CONTEXT, START)) == 4
    with pytest.raises(FormatError, match="cells together"):
        sound_sources(stream([0] * 5, [3] * 5), entries, CONTEXT, START)
    small = [*ENTRIES, decode_entry(Lattice(12, 6, 4, 3, levels[:3, :5], levels[:3, :5]), CONTEXT)]
    assert len(sound_sources(stream([0] * 40, [3] * 40), small, CONTEXT, START)) == 40


def test_dependencies_by_hand() -> None:
    length = 4 * N

    def needed(time: int, lag: int, frames: int) -> set[int]:
        found = sound_sources(copies([time * 32], [lag * 32], [frames]), [], CONTEXT, START)
        return needed_segments(found, 8_000, 5, START, length)

    assert needed(0, START, 1) == {0}
    assert needed(0, START - LEAST, 1) == {0, 1}  # blocks of the first superframe, and what overlaps in its source
    assert needed(0, START - LEAST - N + 1, 1) == {0, 1}
    assert needed(0, START + LEAST + 2 * N, 1) == set()  # before the file
    assert needed(3 * N, LEAST, 1) == {1}
    assert needed(0, LEAST, 1 << 30) == {0, 1}
    found = sound_sources(stream([0], [1]), ENTRIES, CONTEXT, START)
    assert needed_segments(found, 8_000, 5, START, length) == set()


@given(st.data())
def test_the_reference_agrees(data: st.DataObject) -> None:
    bits, index, length = data.draw(st.sampled_from([0, 5, 16])), data.draw(st.integers(0, 9)), 3 * N
    context = StreamContext(8_000, 1, length, bits, 4)
    levels = np.zeros((1000, 1000), np.int64)
    lattice = decode_entry(Lattice(12, 2, 4, 3, levels, levels), context)
    count = data.draw(st.integers(1, 12))

    def column(low: int, high: int) -> list[int]:
        return data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    times = sorted(column(0, (length << bits) - 1))
    patterns = [(-1, 0, 1, 3)[p] for p in column(0, 3)]
    lags = [lag * (p < 0) for lag, p in zip(column((LEAST - 2) << bits, 12 * length << bits), patterns, strict=True)]
    offsets = [offset * (p >= 0) for offset, p in zip(column(0, 699), patterns, strict=True)]
    lengths = [n + (p < 0) for n, p in zip(column(0, 5000), patterns, strict=True)]
    bands = data.draw(st.integers(1, 2))
    occurrences = stream(times, patterns, lags, offsets, lengths, bands)
    waves = [int(pattern == 1) for pattern in patterns]
    raised(
        occurrences,
        [step * wave for step, wave in zip(column(-96, 0), waves, strict=True)],
        [part * wave for part, wave in zip(column(-4096, 0), waves, strict=True)],
    )
    names = ("times", "patterns", "lags", "offsets", "lengths", "semitones", "fine")
    plain = {name: getattr(occurrences, name).tolist() for name in names}
    entries = [reference_sources.Entry(500, 900), *(reference_sources.Entry(None, 700) for _ in range(2))]
    entries.append(reference_sources.Entry(None, 999 * 4 + 4096, lattice_cells=1_000_000))
    expected = reference_sources.sources(plain, entries, index * length, bits, N)
    if not reference_sources.allowed(expected, N, bits, bands):
        with pytest.raises(FormatError):
            sound_sources(occurrences, [*ENTRIES, lattice], context, index * length)
        return
    found = sound_sources(occurrences, [*ENTRIES, lattice], context, index * length)
    for ours, other in zip(found, expected, strict=True):
        assert (ours.begin, ours.end, ours.delay, ours.first) == (other.begin, other.end, other.delay, other.first)
        assert ours.rate == other.rate
        assert other.last in (None, ours.last) and (ours.entry is None) == (other.entry is None)
    needed = needed_segments(found, 8_000, bits, index * length, length)
    assert needed == reference_sources.dependencies(expected, N, bits, index, length)
    spans = covered_frames(found, [*ENTRIES, lattice], index * length)
    assert spans.tolist() == [list(span) for span in reference_sources.covered(expected, index * length)]


def test_entries() -> None:
    levels = np.full((5, 3), 100)
    lattice = decode_entry(Lattice(8, 6, 4, 3, levels, np.zeros_like(levels)), CONTEXT)
    assert (lattice.frames, lattice.spectrum) == (4 * 64 + 256, None)
    assert decode_entry(Excerpt(7, 90), CONTEXT).frames == 90
    encoder = SymbolEncoder()
    SpectrumStream([Group(0, 0)]).write(encoder, StreamContext(8_000, 1, 1500))
    explicit = decode_entry(Explicit(1, 1500, encoder.finish()), CONTEXT)
    assert explicit.frames == 1500 and explicit.spectrum == SpectrumStream([Group(0, 0)])
    with pytest.raises(DamagedError):
        decode_entry(Explicit(1, 1500, CodedStream(bytes(8), 3, 7)), CONTEXT)
