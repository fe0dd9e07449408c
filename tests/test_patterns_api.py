"""Patterns as a user of the library meets them: found from copies, listed, rendered, accounted for."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from damage import with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from pattern_tools import HIGH, LOOP_FRAMES, LOOP_TIMES, LOW, SILENT, coded, copies, encoded_loop, joined
from pattern_tools import planted as planted_bytes
from synthesis_tools import ONE, RATE, SEGMENT, N, random_spectrum

import evc
from evc.format import constants as c
from evc.format.errors import InputError
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext
from evc.format.streams.bands import band_edges
from evc.format.streams.dictionary import Excerpt, Explicit, Lattice
from evc.format.streams.gains import OFF


def planted(*arguments: Any, **options: Any) -> evc.EvcFile:
    return evc.open(io.BytesIO(planted_bytes(*arguments, **options)))


def stretches(file: evc.EvcFile) -> list[tuple[int, int]]:
    return list(zip(file.patterns["frame"].tolist(), file.patterns["frames"].tolist(), strict=True))


def uses(file: evc.EvcFile, pattern: int = 0) -> list[tuple[int, int, int]]:
    found = file.uses[file.uses["pattern"] == pattern]
    return list(zip(*(found[name].tolist() for name in ("frame", "frames", "offset")), strict=True))


# What copies mean


def test_a_loop_is_one_pattern_however_it_is_cut() -> None:
    """Copies end with their segment, with a gap here and there: still it is a loop of 5000 frames, four times over."""
    gap = 5000 + 3 * N
    with planted(6, copies([(5000, gap, 5000), (gap + N, 20_000, 5000), (20_000, 22_000, 5000)])) as file:
        assert stretches(file) == [(0, 5000)]
        assert uses(file) == [(5000, 5000, 0), (10_000, 5000, 0), (15_000, 5000, 0), (20_000, 2000, 0)]
        (pattern,) = file.patterns
        assert pattern["kind"] == "excerpt" and pattern["uses"] == 4 and pattern["channels"] == 1
        assert (pattern["start"], pattern["duration"], pattern["seconds"]) == (0, 5000 / RATE, 17_000 / RATE)
        assert set(file.occurrences["pattern"]) == {0}
        assert file.uses["time"].tolist() == [5000 / RATE, 10_000 / RATE, 15_000 / RATE, 20_000 / RATE]


def test_lags_that_differ_by_less_than_a_millisecond_make_one_use() -> None:
    with planted(4, copies([(8000, 9000, 5000.25), (9000, 10_000, 5003), (10_000, 11_000, 4998.5)])) as file:
        assert stretches(file) == [(3000, 3000)] and uses(file) == [(8000, 3000, 0)]
        assert set(file.occurrences["lag"]) == {5000.25 / RATE, 5003 / RATE, 4998.5 / RATE}


def test_layers_of_one_lag_are_one_use() -> None:
    with planted(4, joined(copies([(6000, 9000, 5000)], LOW), copies([(7000, 10_000, 5000)], HIGH))) as file:
        assert stretches(file) == [(1000, 4000)] and uses(file) == [(6000, 4000, 0)]


def test_copies_of_copies_lead_back_to_where_the_sound_was_new() -> None:
    with planted(5, copies([(5000, 7000, 4000), (10_000, 12_000, 5000), (15_000, 16_000, 4500)])) as file:
        assert stretches(file) == [(1000, 2000)]
        assert uses(file) == [(5000, 2000, 0), (10_000, 2000, 0), (15_000, 1000, 500)]


def test_a_copy_of_a_few_bands_is_no_reason_to_go_further_back() -> None:
    spans = joined(copies([(6000, 9000, 5000)], LOW), copies([(12_000, 15_000, 6000)]))
    with planted(5, spans) as file:
        assert stretches(file) == [(1000, 3000), (6000, 3000)]
    with planted(5, joined(copies([(6000, 9000, 5000)]), copies([(12_000, 15_000, 6000)], LOW))) as file:
        assert stretches(file) == [(1000, 3000)]


def test_stretches_that_are_nearly_the_same_are_one() -> None:
    with planted(6, copies([(8000, 12_000, 7000), (16_000, 20_000, 14_800)])) as file:
        assert stretches(file) == [(1000, 4200)]
        assert uses(file) == [(8000, 4000, 0), (16_000, 4000, 200)]


def test_a_part_is_a_use_of_the_whole_unless_it_sounds_more_often() -> None:
    loop = [(8000, 12_000, 7000)]
    with planted(6, copies([*loop, (16_000, 17_000, 14_000)])) as file:
        assert stretches(file) == [(1000, 4000)]
        assert uses(file) == [(8000, 4000, 0), (16_000, 1000, 1000)]
    often = [(begin, begin + 1000, begin - 2000) for begin in range(14_000, 22_000, 2000)]
    with planted(6, copies([*loop, *often])) as file:
        assert sorted(stretches(file)) == [(1000, 4000), (2000, 1000)]


def test_what_sounds_nowhere_belongs_to_no_pattern() -> None:
    """Copies of what lies before the file, and copies without bands."""
    rows = joined(copies([(0, 3000, 4000), (5000, 6000, 4000)]), copies([(7000, 8000, 4000)], SILENT))
    with planted(3, rows) as file:
        assert file.occurrences["pattern"].tolist() == [-1, 0, -1]
        assert file.occurrences["use"].tolist() == [-1, 0, -1]
        assert stretches(file) == [(1000, 1000)]
    with planted(3, copies([(2000, 5000, 4000)])) as file:  # its first half
        assert stretches(file) == [(0, 1000)] and uses(file) == [(4000, 1000, 0)]


def test_the_dictionary_comes_first() -> None:
    entries = (Excerpt(100, 2000), Excerpt(3000, 50))
    placed = {"patterns": 0, "times": 100 * ONE, "lengths": 1000, "offsets": 500, "gains": np.zeros((1, 4), np.int64)}
    rest = {**placed, "times": 0, "offsets": 1500, "lengths": 500}
    rows = joined({1: [{**placed, "times": (SEGMENT - 1000) * ONE}], 2: [rest]}, copies([(14_000, 15_000, 9000)]))
    with planted(5, rows, entries, spans=True) as file:
        assert file.patterns["kind"].tolist() == ["excerpt"] * 3
        assert stretches(file) == [(100, 2000), (3000, 50), (5000, 1000)]
        assert file.patterns["uses"].tolist() == [1, 0, 1]
        assert uses(file) == [(2 * SEGMENT - 1000, 1500, 500)]  # one use, on both sides of the border
        assert file.occurrences["pattern"].tolist() == [0, 0, 2]
        assert file.occurrences["offset"].tolist() == [500, 1500, 0]


@settings(max_examples=40)
@given(st.data())
def test_what_the_bitstream_says_stays_exact(data: st.DataObject) -> None:
    spans = st.tuples(
        st.integers(0, 5 * SEGMENT - 1),
        st.integers(1, 2 * SEGMENT),
        st.integers(c.least_lag(RATE) * ONE, 3 * SEGMENT * ONE),
        st.lists(st.sampled_from([0, -3, 7, OFF]), min_size=4, max_size=4),
    )
    plan = data.draw(st.lists(spans, min_size=1, max_size=12))
    rows = joined(
        *(copies([(begin, min(begin + length, 5 * SEGMENT), lag / ONE)], gains) for begin, length, lag, gains in plan)
    )
    with planted(5, rows) as file, planted(5, rows) as again:
        found, patterns, in_use = file.occurrences, file.patterns, file.uses
        for one, other in ((found, again.occurrences), (patterns, again.patterns), (in_use, again.uses)):
            assert one.tobytes() == other.tobytes()
        wanted = [(index * SEGMENT * ONE + row["times"], row) for index in rows for row in rows[index]]
        np.testing.assert_array_equal(found["frame"], [time // ONE for time, _ in wanted])
        np.testing.assert_array_equal(found["lag"], [row["lags"] / ONE / RATE for _, row in wanted])
        np.testing.assert_array_equal(found["length"], [row["lengths"] for _, row in wanted])
        levels = np.stack([row["gains"] for _, row in wanted])
        np.testing.assert_array_equal(found["gains"], np.where(levels == OFF, 0, 2.0 ** (levels / 4)).astype("f4"))

        silent = (levels == OFF).all(axis=(1, 2)) | (found["frame"] + found["length"] <= np.rint(found["lag"] * RATE))
        np.testing.assert_array_equal(found["pattern"] == -1, silent)
        own = in_use[found["use"][~silent]]
        np.testing.assert_array_equal(own["pattern"], found["pattern"][~silent])
        begins = np.maximum(found["frame"], np.rint(found["lag"] * RATE))[~silent]
        assert (own["frame"] <= begins).all() and (begins < own["frame"] + own["frames"]).all()
        np.testing.assert_array_equal(np.bincount(in_use["pattern"], minlength=len(patterns)), patterns["uses"])
        assert (patterns["frame"] >= 0).all() and (patterns["frames"] >= 1).all()
        assert (patterns["frame"] + patterns["frames"] <= in_use["frame"].max(initial=0) + 2 * SEGMENT).all()
        assert (in_use["frame"] + in_use["frames"] <= file.frames).all()


def test_bands_and_planes_can_be_told() -> None:
    with planted(3, copies([(5000, 6000, 4000)], LOW)) as file:
        (row,) = file.occurrences
        edges = band_edges(RATE, int(row["stride"]), fine=False)
        assert row["gains"].shape == (1, len(edges) - 1) and row["gains"][0].tolist() == [1, 0, 0, 0]
        assert not row["mid_side"]


def test_a_file_without_patterns() -> None:
    with planted(2, {}) as file:
        assert len(file.patterns) == len(file.uses) == len(file.occurrences) == 0
        with pytest.raises(InputError, match="the file has 0 patterns: there is no pattern 0"):
            file.pattern_audio(0)
        assert file.stats().patterns == ()


# Sound of dictionary entries


def dictionary_file() -> bytes:
    context = StreamContext(RATE, 1, 2 * N, c.DEFAULT_PHASE_BITS)
    explicit = coded(c.STREAM_SPECTRUM, random_spectrum(2, 1, 5), context)
    levels = np.zeros((3, 40), np.int64)
    levels[:, 20] = c.LATTICE_UNITY - 2
    entries = (
        Explicit(1, 2 * N, explicit),
        Lattice(8, 6, 1, 0, levels, np.zeros((3, 40), np.int64)),
    )
    gains = np.zeros((1, 4), np.int64)
    return planted_bytes(2, {0: [{"patterns": 0, "times": 32, "gains": gains}]}, entries)


def test_entries_are_rendered_alone() -> None:
    from evc.models.patterns.lattice import render_placement

    with evc.open(io.BytesIO(dictionary_file())) as file:
        assert file.patterns["kind"].tolist() == ["explicit", "lattice"]
        assert file.patterns["frames"].tolist() == [2 * N, 2 * 64 + 256]
        explicit, lattice = file.pattern_audio(0), file.pattern_audio(1)
        assert explicit.shape == (2 * N, 1) and explicit.dtype == np.float32 and explicit.any()
        found = render_placement(file._links[0].decoder.entries[1].pattern, RATE, 0, 0)
        np.testing.assert_allclose(lattice[:, 0], found, atol=1e-7)
        first, second = file.stats().patterns
        assert first.dictionary_bits > 8 * 100 and second.dictionary_bits > 0 and first.start is None
        dictionary = next(layer for layer in file.stats().layers if layer.name == "dictionary")
        assert first.dictionary_bits + second.dictionary_bits == dictionary.bits
        assert second.bits == second.uses == 0 and first.bits > 0


def test_an_entry_that_is_lost() -> None:
    placed = {"patterns": 1, "times": 0, "gains": np.zeros((1, 4), np.int64)}
    data = planted_bytes(2, {0: [placed]}, [Excerpt(0, 500)], [Excerpt(100, 300)])
    place = next(place for place in ContainerReader(io.BytesIO(data)).chunks if place.type == c.CHUNK_DICT)
    with evc.open(io.BytesIO(with_flipped_bit(data, place.offset + place.size - 9)), salvage=True) as file:
        assert file.patterns["kind"].tolist() == ["lost", "excerpt"]
        assert stretches(file) == [(-1, 0), (100, 300)]
        assert set(file.occurrences["pattern"]) <= {1}
        with pytest.raises(InputError, match="pattern 0 is lost"):
            file.pattern_audio(0)
        assert [one.kind for one in file.stats().patterns] == ["lost", "excerpt"]


# A file as the encoder makes it


@pytest.fixture(scope="module")
def loop() -> evc.EvcFile:
    return evc.open(io.BytesIO(encoded_loop()))


def test_the_loop_is_found(loop: evc.EvcFile) -> None:
    longest = loop.patterns[0]
    # The encoder may take parts of a loop from different repeats: then it is found in parts.
    assert 0.5 * LOOP_FRAMES < longest["frames"] < 1.05 * LOOP_FRAMES and longest["uses"] >= LOOP_TIMES - 2
    assert loop.patterns["seconds"].sum() > 0.7 * loop.duration
    assert len(loop.uses[loop.uses["pattern"] == 0]) == longest["uses"]


def test_an_excerpt_is_cut_from_the_track(loop: evc.EvcFile) -> None:
    everything = loop.read(always_2d=True)
    for number, row in enumerate(loop.patterns):
        audio = loop.pattern_audio(number)
        assert audio.shape == (row["frames"], 1) and audio.dtype == np.float32
        np.testing.assert_array_equal(audio, everything[row["frame"] : row["frame"] + row["frames"]])


@pytest.mark.parametrize("number", [-1, 10_000])
def test_a_pattern_that_is_not_there(number: int, loop: evc.EvcFile) -> None:
    with pytest.raises(InputError, match=f"there is no pattern {number}"):
        loop.pattern_audio(number)


def test_patterns_are_rendered_alone(loop: evc.EvcFile) -> None:
    """Indices into `occurrences` are those that `render` takes; patterns and the rest add up to the whole."""
    everything = loop.render()
    total = loop.render(["spectrum"])
    for number in range(len(loop.patterns)):
        chosen = loop.occurrences["pattern"] == number
        part = loop.render(["patterns"], chosen)
        frames = np.arange(len(part))
        near = np.zeros(len(part), bool)
        for row in loop.occurrences[chosen]:
            near |= (frames > row["frame"] - 2048) & (frames < row["frame"] + row["length"] + 2048)
        assert part[near].any() and not part[~near].any()
        total += part
    total += loop.render(["patterns"], loop.occurrences["pattern"] < 0)
    np.testing.assert_allclose(total, everything, atol=1e-5)


def test_bits_of_patterns_add_up(loop: evc.EvcFile) -> None:
    report = loop.stats()
    layer = next(layer for layer in report.layers if layer.name == "patterns")
    nowhere = (loop.occurrences["pattern"] < 0).any()
    assert sum(one.bits for one in report.patterns) == pytest.approx(layer.bits, rel=0.5 if nowhere else 1e-9)
    assert [one.number for one in report.patterns] == list(range(len(loop.patterns)))
    # Five of six repeats are not paid for.
    assert sum(one.saved_bits for one in report.patterns) > report.bits
    assert report.as_dict()["patterns"][0]["uses"] == loop.patterns["uses"][0]
    assert loop.stats(symbols=False).patterns == ()
