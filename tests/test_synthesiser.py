"""Parts of files: any span in any order, in little memory; single layers and occurrences."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis_tools import (
    LEAST,
    ONE,
    PER_SEGMENT,
    SEGMENT,
    DecodedSegments,
    N,
    a_copy,
    a_file,
    whole,
)

import evc
from evc.format.errors import InputError
from evc.models import superframes
from evc.models.synthesis import Choice, Synthesiser


def chained(segments: int = 8, span: int = 8) -> DecodedSegments:
    """Every segment but the first copies from the one before or from far back, at short lags and long ones."""
    random = np.random.default_rng(3)
    rows = {}
    for index in range(1, segments):
        lags = random.integers(LEAST * ONE, index * SEGMENT * ONE, 2) / ONE
        starts = np.sort(random.integers(0, SEGMENT, 2))
        rows[index] = [
            a_copy(int(start), lag, int(random.integers(N, SEGMENT)), gains=np.array([[-2]]))
            for start, lag in zip(starts, lags)
        ]
    return a_file(segments, 2, rows, span=span, frames=segments * SEGMENT - 300, alone=0.2)


@pytest.fixture(scope="module")
def chain() -> tuple[DecodedSegments, np.ndarray]:
    file = chained()
    return file, whole(file)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 8 * SEGMENT - 301), st.integers(0, 3 * SEGMENT)), min_size=1, max_size=4))
def test_any_part_in_any_order_is_that_of_the_whole(
    chain: tuple[DecodedSegments, np.ndarray], spans: list[tuple[int, int]]
) -> None:
    file, wanted = chain
    synthesiser = Synthesiser(file)
    for start, frames in spans:
        frames = min(frames, wanted.shape[1] - start)
        np.testing.assert_array_equal(synthesiser.render(start, frames), wanted[:, start : start + frames])


def test_little_memory_gives_the_same(
    chain: tuple[DecodedSegments, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where copies reach further back than what is kept, the past is rendered again."""
    file, wanted = chain
    monkeypatch.setattr(superframes, "KEPT_BYTES", 1)
    monkeypatch.setattr(superframes, "WINDOW", 1)
    synthesiser = Synthesiser(file)
    for start in range(0, wanted.shape[1], 1000):
        frames = min(1000, wanted.shape[1] - start)
        np.testing.assert_array_equal(synthesiser.render(start, frames), wanted[:, start : start + frames])
        assert all(len(group.timeline) <= 3 * PER_SEGMENT + 2 for group in synthesiser._superframes._groups)


def test_a_whole_file_is_decoded_once() -> None:
    file = chained()
    synthesiser = Synthesiser(file)
    for start in range(0, file.header.known_frames, N):
        synthesiser.render(start, min(N, file.header.known_frames - start))
    # More than once at its borders: superframes next to it need the sizes of its blocks.
    assert max(file.asked.count(index) for index in range(8)) <= 4


def test_a_part_needs_only_what_it_copies() -> None:
    file = a_file(8, 1, {6: [a_copy(2 * N, 4 * SEGMENT + 7, N)]}, silent=(3,))
    Synthesiser(file).render(6 * SEGMENT + 2 * N, N)
    assert set(file.asked) == {2, 6}


def test_a_lost_segment_is_silent() -> None:
    file = chained()
    del file.streams[5]
    file.lost.add(5)
    found = whole(file)
    assert not found[:, 5 * SEGMENT : 6 * SEGMENT].any()
    np.testing.assert_array_equal(found[:, : 4 * SEGMENT], whole(chained())[:, : 4 * SEGMENT])


# Parts of the sound


@pytest.mark.parametrize("channels", [1, 2])
def test_layers_add_up(channels: int) -> None:
    file = chained() if channels == 2 else a_file(3, 1, {1: [a_copy(0, LEAST, N)], 2: [a_copy(9, SEGMENT, SEGMENT)]})
    patterns, spectrum = (whole(file, Choice((name,))) for name in ("patterns", "spectrum"))
    assert patterns.any() and spectrum.any() and not patterns[:, : SEGMENT - N // 2].any()
    np.testing.assert_allclose(patterns + spectrum, whole(file), atol=1e-5)
    np.testing.assert_array_equal(whole(file, Choice()), whole(file))
    assert not whole(file, Choice(())).any()


def test_occurrences_add_up() -> None:
    file = chained()
    every = [(index, row) for index in range(1, 8) for row in range(2)]
    halves = [every[::2], every[1::2]]

    parts = [whole(file, Choice(("patterns",), chosen)) for chosen in halves]
    np.testing.assert_allclose(sum(parts), whole(file, Choice(("patterns",))), atol=1e-5)
    one = whole(file, Choice(("patterns",), [(3, 0)]))
    assert one.any() and not one[:, : 3 * SEGMENT - N // 2].any() and not one[:, 4 * SEGMENT + N // 2 :].any()
    np.testing.assert_allclose(
        whole(file, Choice(occurrences=[(3, 0)])), one + whole(file, Choice(("spectrum",))), atol=1e-5
    )


# Files

VECTORS = Path(__file__).parent.parent / "spec" / "vectors"


@pytest.mark.parametrize("name", ["copies", "placements", "lattices"])
def test_a_file_is_rendered_in_parts(name: str) -> None:
    with evc.open(VECTORS / f"{name}.evc") as file:
        everything = file.read(always_2d=True)
        np.testing.assert_array_equal(file.render(), everything)
        patterns, spectrum = file.render(["patterns"]), file.render(["spectrum"])
        assert patterns.any() and patterns.shape == everything.shape and patterns.dtype == np.float32
        np.testing.assert_allclose(patterns + spectrum, everything, atol=1e-5)
        count = len(file.occurrences)
        mask = np.arange(count) % 2 == 0
        halves = file.render(["patterns"], mask), file.render(["patterns"], np.flatnonzero(~mask))
        np.testing.assert_allclose(halves[0] + halves[1], patterns, atol=1e-5)
        np.testing.assert_array_equal(file.render(occurrences=[]), spectrum)
        first = file.render(["patterns"], 0)
        frame = file.occurrences["frame"][0]
        assert not first[: max(0, frame - 2 * N)].any() and first[frame:].any()
        file.seek(5000)
        np.testing.assert_array_equal(file.read(700, always_2d=True), everything[5000:5700])


@pytest.mark.parametrize(
    "arguments",
    [
        {"layers": ["noise"]},
        {"layers": ["nothing"]},
        {"occurrences": [99]},
        {"occurrences": [-1]},
        {"occurrences": [True]},
        {"occurrences": [0.5]},
    ],
)
def test_parts_that_are_not_there(arguments: dict[str, Any]) -> None:
    with evc.open(VECTORS / "copies.evc") as file, pytest.raises(InputError):
        file.render(**arguments)


@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_salvage_keeps_what_leans_on_nothing_damaged(damaged: int) -> None:
    data = (VECTORS / "copies.evc").read_bytes()
    with evc.open(io.BytesIO(data)) as file:
        everything, spans = file.read(always_2d=True), [(part.start, part.frames) for part in file.segments]
        leaning = {damaged}
        for part in file.segments:
            leaning |= {part.index} if leaning & set(part.dependencies) else set()
    broken = with_flipped_bit(data, segment_places(data)[damaged].offset + 30)
    with evc.open(io.BytesIO(broken), salvage=True) as file:
        found = file.read(always_2d=True)
        assert [part.index for part in file.segments if part.damaged] == [damaged]
        assert {part.index for part in file.segments if part.impaired} == leaning - {damaged}
    for index, (start, frames) in enumerate(spans):
        part = slice(start, start + frames)
        assert found[part].any() == (index != damaged)
        if index not in leaning and index + 1 not in leaning:
            np.testing.assert_array_equal(found[part], everything[part])
