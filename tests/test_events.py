"""Lists of events and their edits, and the codebooks behind their vectors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evc
from evc.events import EventList
from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NetworkReference
from evc.format.networks import check, find, installed_network, reference_of, weights
from evc.format.streams.events import EventStream
from evc.models.events.codebooks import Codebooks
from evc.models.events.vectors import EVENTS_NETWORK, PARTS, VECTOR_DIMS

REFERENCE = installed_network(EVENTS_NETWORK)
BOOKS = Codebooks.of(REFERENCE)


def some(count: int = 20, seed: int = 0) -> EventStream:
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(0, part.codes, count) for part in PARTS], 1)
    codes[:, 0] = random.integers(2000, 5000, count)
    times = np.sort(random.integers(0, 32 * 44_100, count))
    return EventStream(times, random.integers(-60, 0, count), random.integers(-3, 4, count), codes)


def listed(count: int = 20, seed: int = 0) -> EventList:
    return EventList.from_coded(some(count, seed), 44_100, 5, REFERENCE)


def assert_alike(one: EventList, other: EventList) -> None:
    for name in ("times", "amplitudes", "pans", "vectors"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)


def test_what_integers_stand_for() -> None:
    codes = [[69 * 64, *[0] * 15], [57 * 64 + 32, *[0] * 15]]
    coded = EventStream(np.array([32, 48]), np.array([0, -40]), np.array([-4, 2]), np.array(codes), pan_steps=4)
    events = EventList.from_coded(coded, 44_100, 5, REFERENCE)
    np.testing.assert_allclose(events.times, [1 / 44_100, 1.5 / 44_100])
    np.testing.assert_allclose(events.phases, [1, -1], atol=1e-9)
    np.testing.assert_allclose(events.amplitudes, [1, 1e-3])
    assert events.pans.tolist() == [-1, 0.5]
    np.testing.assert_allclose(events.frequencies, [440, 220 * 2 ** (1 / 24)])
    np.testing.assert_allclose(events.notes, [69, 57.5])
    assert events.vectors.shape == (2, VECTOR_DIMS) and events.vectors.dtype == np.float32
    assert events.part("pitch")[:, 0] == pytest.approx([(69 * 64 - 4096) / 768, (57 * 64 + 32 - 4096) / 768])
    np.testing.assert_allclose(events.part("phase"), [[1, 0], [1, 0]])
    # What is not told by codes is told by vectors, alike.
    assert events.with_vectors(events.vectors).notes == pytest.approx(events.notes, abs=1e-4)


def test_absurd_amplitudes_stay_finite() -> None:
    levels = np.array([-4096, 0, 4096])
    events = EventStream(*np.zeros((1, 3), np.int64), levels, np.zeros(3, np.int64), np.zeros((3, 16), np.int64))
    events.amplitude_step = 64
    np.testing.assert_allclose(events.linear_amplitudes(), [1e-15, 1, 1e15])


@given(st.integers(0, 2**32 - 1))
def test_codes_and_vectors(seed: int) -> None:
    codes = some(50, seed).codes
    vectors = BOOKS.codes_to_vectors(codes)
    np.testing.assert_array_equal(BOOKS.vectors_to_codes(vectors), codes)
    near = vectors + np.random.default_rng(seed).uniform(-1e-4, 1e-4, vectors.shape)
    np.testing.assert_array_equal(BOOKS.vectors_to_codes(near), codes)


def test_vectors_far_from_all_entries_get_codes() -> None:
    codes = BOOKS.vectors_to_codes(np.random.default_rng(0).normal(0, 100, (100, VECTOR_DIMS)))
    assert (codes >= 0).all() and (codes < np.array(BOOKS.sizes)).all()


def test_codes_that_a_network_does_not_know() -> None:
    for codes in (np.full((1, 16), -1), np.full((1, 16), 8), np.zeros((1, 3), int)):
        with pytest.raises(UnsupportedError, match="does not know"):
            BOOKS.codes_to_vectors(codes)


def test_choosing() -> None:
    events = listed()
    assert len(events) == 20 and [len(one) for one in events] == [1] * 20
    loud = events[events.amplitudes > 0.1]
    assert (loud.amplitudes > 0.1).all() and 0 < len(loud) < 20
    assert_alike(events[[3, 1, 2]], events[1:4])  # always in order of time
    assert_alike(events[-1], events[19:])
    assert loud.codes is not None
    for wrong in ([20], [True], "a", 0.5):
        with pytest.raises(InputError, match="of 20 events"):
            events[wrong]
    with pytest.raises(IndexError):
        events[20]


def test_other_vectors_at_the_same_times() -> None:
    events = listed()
    other = events.randomized_vectors(3)
    np.testing.assert_array_equal(other.times, events.times)
    np.testing.assert_array_equal(other.amplitudes, events.amplitudes)
    assert not np.array_equal(other.vectors, events.vectors)
    for part in PARTS:  # of each part there is what there was
        assert sorted(map(tuple, other.part(part.name))) == sorted(map(tuple, events.part(part.name)))
    assert_alike(other, events.randomized_vectors(3))
    assert not np.array_equal(other.vectors, events.randomized_vectors(4).vectors)


def test_the_same_vectors_at_other_times() -> None:
    events = listed()
    other = events.randomized_times(3)
    assert sorted(map(tuple, other.vectors)) == sorted(map(tuple, events.vectors))
    assert (np.diff(other.times) >= 0).all() and not np.array_equal(other.times, events.times)
    assert events.times[0] <= other.times[0] and other.times[-1] <= events.times[-1]
    assert_alike(other, events.randomized_times(3))
    assert len(listed(0).randomized_times()) == 0


def test_one_perturbation_for_all() -> None:
    events = listed()
    moved = events.perturbed(0.01, 5).vectors - events.vectors
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-5)
    assert 0 < np.abs(moved).max() < 0.05
    assert_alike(events.perturbed(0.0), events)


def test_moving_and_transposing() -> None:
    events = listed()
    np.testing.assert_allclose(events.transposed(-12).frequencies, events.frequencies / 2, rtol=1e-5)
    np.testing.assert_allclose(events.shifted(0.25).times, events.times + 0.25)
    np.testing.assert_allclose(events.scaled(0.5).amplitudes, events.amplitudes / 2)


def test_merging() -> None:
    one, other = listed(5, 1), listed(7, 2)
    both = one.merged(other)
    assert len(both) == 12 and (np.diff(both.times) >= 0).all() and both.codes is not None
    assert sorted(both.times) == sorted([*one.times, *other.times])
    assert_alike(both, one.merged(other.with_vectors(other.vectors)))
    assert one.merged(other.transposed(1)).codes is None


@pytest.mark.parametrize(
    "columns",
    [
        ([0], [1], [0]),  # neither vectors nor codes
        ([0], [1], [0], np.zeros((1, 31))),
        ([0], [1], [0], np.zeros(32)),
        ([0, 1], [1], [0], np.zeros((1, 32))),
        ([0], [1], [0], np.zeros((2, 32))),
        ([np.nan], [1], [0], np.zeros((1, 32))),
        ([0], [1], [0], np.full((1, 32), np.inf)),
    ],
)
def test_arrays_that_do_not_fit(columns: tuple) -> None:
    with pytest.raises(InputError):
        EventList(*columns)


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no part pedal; they have: pitch, phase"):
        listed().part("pedal")


def test_the_installed_networks() -> None:
    assert find(REFERENCE).name == f"{EVENTS_NETWORK}.safetensors"
    assert reference_of(find(REFERENCE)) == REFERENCE
    check([REFERENCE])
    with pytest.raises(UnsupportedError, match="networks that are not installed: drums-1, strings-2"):
        check([NetworkReference("strings-2", bytes(8)), REFERENCE, NetworkReference("drums-1", bytes(8))])
    with pytest.raises(UnsupportedError, match="the network drums-1 is not installed"):
        installed_network("drums-1")


def test_networks_are_looked_for_in_folders_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("absent", "one", "two")]
    for folder in folders[1:]:
        folder.mkdir()
        (folder / f"{EVENTS_NETWORK}.safetensors").write_bytes(folder.name.encode())
        (folder / "drums-1.safetensors").write_bytes(folder.name.encode())
    monkeypatch.setenv("EVC_NETWORKS", os.pathsep.join(map(str, folders)))
    assert weights("drums-1").parent == folders[1] and weights(EVENTS_NETWORK).parent == folders[1]
    assert find(REFERENCE).parent not in folders
    for folder in folders[1:]:
        path = folder / "drums-1.safetensors"
        assert find(reference_of(path)) == path
    with pytest.raises(UnsupportedError, match="0000000000000000 are needed, [0-9a-f]{16}, [0-9a-f]{16} are"):
        find(NetworkReference("drums-1", bytes(8)))
    code = "from evc.format.networks import weights; print(weights('drums-1'), end='')"
    started = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert started.stdout == str(folders[1] / "drums-1.safetensors")


def test_an_id_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.safetensors").write_bytes(b"")
    monkeypatch.setenv("EVC_NETWORKS", str(tmp_path / "in"))
    for id in ("../out", str(tmp_path / "out"), "*", "evc-*"):
        with pytest.raises(UnsupportedError, match="not installed"):
            find(NetworkReference(id, bytes(8)))


def test_other_weights_are_refused() -> None:
    other = NetworkReference(EVENTS_NETWORK, bytes(8))
    for function in (find, Codebooks.of, lambda reference: check([reference])):
        with pytest.raises(UnsupportedError, match=f"the network {EVENTS_NETWORK} has other weights: 0000000000000000"):
            function(other)
    events = EventList.from_coded(some(), 44_100, 5, other)
    assert len(events.notes) == len(events.phases) == 20  # all but the vectors
    with pytest.raises(UnsupportedError, match="other weights"):
        events.vectors  # noqa: B018
    with pytest.raises(UnsupportedError, match="names no network"):
        EventList.from_coded(some(), 44_100, 5, None).vectors  # noqa: B018


def test_codebooks_that_are_not_whole(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    tables = {part.name: BOOKS[part.name] for part in PARTS[2:]}
    assert Codebooks(tables).sizes == BOOKS.sizes
    for wrong in ({"room": np.zeros((8, 3))}, {"decay": np.zeros(16)}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Codebooks(tables | {name: array.astype(np.float32) for name, array in wrong.items()})
    save_file({"codebook.attack": BOOKS["attack"]}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="codebook of decay"):
        Codebooks.load(tmp_path / "a.safetensors")


def test_the_parts_fit_the_stream() -> None:
    from evc.format.streams.events import USUAL_SIZES

    assert tuple(part.codes for part in PARTS) == USUAL_SIZES == BOOKS.sizes
    assert VECTOR_DIMS == 32 and evc.EventList is EventList
