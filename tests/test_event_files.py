"""Events of whole files: written, read, edited, heard."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from damage import segment_places, with_flipped_bit

import evc
from evc.events import EventList, write_events
from evc.format import constants as c
from evc.format.errors import InputError, UnsupportedError
from evc.format.events import by_segment
from evc.format.header import Header, NetworkReference
from evc.format.networks import installed_network
from evc.format.reader import ContainerReader
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.events import EventStream
from evc.format.writer import ContainerWriter
from evc.models.events.codebooks import Codebooks
from evc.models.events.vectors import EVENTS_NETWORK, PARTS

REFERENCE = installed_network(EVENTS_NETWORK)
RATE = 16_000


def notes(times: list[float], pitches: list[float]) -> EventList:
    """Damped tones: all parts but pitch, decay and length are 0."""
    codes = np.zeros((len(times), len(PARTS)), np.int64)
    codes[:, 0] = np.rint(np.array(pitches) * 64)
    codes[:, 3:5] = 8, 3
    amplitudes, pans = np.full(len(times), 10 ** (-12 / 20)), np.linspace(-1, 1, 2 * len(times))[::2]
    return EventList(times, amplitudes, pans, None, RATE, codes=codes, network=REFERENCE)


MELODY = notes([0.1, 0.5, 2.0, 4.3, 4.3, 9.0], [60, 64, 67.25, 72, 76, 60])


@pytest.fixture(scope="module")
def with_melody(encoded: bytes) -> bytes:
    """The track with a melody over it."""
    return written(MELODY, encoded)


def written(events: EventList, like: bytes) -> bytes:
    target = io.BytesIO()
    with evc.open(io.BytesIO(like)) as file:
        write_events(target, events, file)
    return target.getvalue()


def near(one: EventList, other: EventList) -> None:
    """The same but for what a file rounds."""
    np.testing.assert_allclose(one.times, other.times, atol=1 / RATE / 60)
    np.testing.assert_allclose(20 * np.log10(one.amplitudes / other.amplitudes), 0, atol=0.76)
    np.testing.assert_allclose(one.pans, other.pans, atol=0.17)
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)


def test_events_are_added_and_all_else_is_kept(encoded: bytes, with_melody: bytes) -> None:
    before, after = ContainerReader(io.BytesIO(encoded)), ContainerReader(io.BytesIO(with_melody))
    assert after.header.layers == ("events", "spectrum") and after.header.networks == (REFERENCE,)
    assert after.tags == before.tags and after.header.frames == before.header.frames
    for index in range(before.segments):
        streams = after.segment(index).streams
        assert [data for data in streams if data.kind != c.STREAM_EVENTS] == list(before.segment(index).streams)
    assert [len(after.segment(i).streams) for i in range(4)] == [3, 3, 3, 2]
    with evc.open(io.BytesIO(with_melody)) as file:
        near(file.events, MELODY)
        assert file.events.codes is not None and file.events.network == REFERENCE
        file.verify()


def test_writing_what_was_read_changes_nothing(with_melody: bytes) -> None:
    with evc.open(io.BytesIO(with_melody)) as file:
        events = file.events
    assert written(events, with_melody) == with_melody
    assert written(events.with_vectors(events.vectors), with_melody) == with_melody
    assert ContainerReader(io.BytesIO(written(events[[]], with_melody))).segment(0).streams[0].kind == c.STREAM_SPECTRUM


def test_edits_reach_the_file(with_melody: bytes, tmp_path) -> None:
    with evc.open(io.BytesIO(with_melody)) as file:
        events = file.events
        edits = events.transposed(7), events.randomized_times(1), events.merged(events.shifted(0.01)), events[1:3]
        for number, edited in enumerate(edits):
            edited.save(tmp_path / f"{number}.evc", like=file)
            with evc.open(tmp_path / f"{number}.evc") as found:
                near(found.events, edited)
                assert found.tags == file.tags


def test_events_outside_the_file_and_silent_ones_are_left_out(with_melody: bytes) -> None:
    with evc.open(io.BytesIO(written(MELODY.shifted(-0.3), with_melody))) as file:
        assert file.events.times == pytest.approx(MELODY.times[1:] - 0.3, abs=1e-5)
    with evc.open(io.BytesIO(written(MELODY.shifted(5.6), with_melody))) as file:
        assert len(file.events) == 5
    with evc.open(io.BytesIO(written(MELODY.scaled(0), with_melody))) as file:
        assert len(file.events) == 0


def test_amplitudes_that_are_far_apart(with_melody: bytes) -> None:
    events = notes([0.1, 0.2, 0.3], [60, 61, 62])
    events.amplitudes[:] = 1e-120, 1, 1e12
    with evc.open(io.BytesIO(written(events, with_melody))) as file:
        found = file.events.amplitudes
    assert found == pytest.approx([1e-15, 1, 1e12], rel=0.1)


def test_streams_of_segments() -> None:
    header = Header(8000, 1, 3000, layers=("events",), segment_frames=1024, networks=(REFERENCE,))
    times = np.array([-5, 0, 1024 * 32 - 1, 1024 * 32, 1024 * 32, 2999 * 32, 3000 * 32])
    codes = np.zeros((7, 16), np.int64)
    codes[:, 0] = [1, 2, 3, 500, 4, 6, 7]
    streams = by_segment(EventStream(times, np.arange(7), np.zeros(7, np.int64), codes), header)
    assert {index: stream.codes[:, 0].tolist() for index, stream in streams.items()} == {0: [2, 3], 1: [4, 500], 2: [6]}
    assert streams[1].times.tolist() == [0, 0] and streams[2].times.tolist() == [(2999 - 2048) * 32]
    assert streams[1].amplitudes.tolist() == [4, 3]
    many = EventStream(np.zeros(65, np.int64), *np.zeros((2, 65), np.int64), np.zeros((65, 16), np.int64))
    with pytest.raises(InputError, match="segment 0 would have 65 events; 64 are allowed"):
        by_segment(many, header)


def foreign(events: EventList, network: NetworkReference) -> bytes:
    """A file with events of another network."""
    header = Header(RATE, 2, RATE, layers=("events",), segment_frames=1 << 14, networks=(network,))
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        stream = by_segment(events.coded(replace(header, networks=(REFERENCE,))), header)[0]
        writer.add_segment(Segment(0, (), (coded_stream(c.STREAM_EVENTS, stream, StreamContext(RATE, 2, RATE)),)))
    return target.getvalue()


@pytest.mark.parametrize(
    "network, message",
    [
        (NetworkReference("drums-1", bytes(8)), "networks that are not installed: drums-1"),
        (NetworkReference(EVENTS_NETWORK, bytes(8)), f"the network {EVENTS_NETWORK} has other weights"),
    ],
)
def test_a_network_that_is_missing_is_named_before_any_audio(network: NetworkReference, message: str) -> None:
    data = foreign(MELODY[:2], network)
    with evc.open(io.BytesIO(data)) as file:
        events = file.events
        assert events.notes.tolist() == [60, 64] and len(events.shifted(1)) == len(events[[0]]) + 1 == 2
        for ask in (
            file.read, lambda: file.render(events=[0]), lambda: events.vectors, lambda: events.transposed(1),
            lambda: list(file.blocks(100)),
        ):  # fmt: skip
            with pytest.raises(UnsupportedError, match=message):
                ask()
        target = io.BytesIO()
        write_events(target, events.shifted(0.1), file)  # needs no vectors
        with evc.open(target) as other:
            assert other.networks == (network,) and other.events.times[0] == pytest.approx(0.2)


@pytest.mark.parametrize("salvage", [False, True])
def test_events_of_unusual_parts_have_no_sound(salvage: bool) -> None:
    sizes = (c.PITCHES, *(size - 1 or 1 for size in c.EVENT_PARTS))
    stream = EventStream(*np.zeros((3, 1), np.int64), np.array([[4096] + [0] * 15]), sizes)
    header = Header(8000, 1, 8000, layers=("events",), segment_frames=8192, networks=(REFERENCE,))
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        writer.add_segment(Segment(0, (), (coded_stream(c.STREAM_EVENTS, stream, StreamContext(8000, 1, 8000)),)))
    with evc.open(target, salvage=salvage) as file:
        assert file.events.notes.tolist() == [64]
        with pytest.raises(UnsupportedError, match="parts are not the usual ones"):
            file.read()


def test_salvage_keeps_the_events_of_intact_segments(with_melody: bytes) -> None:
    damaged = with_flipped_bit(with_melody, segment_places(with_melody)[1].offset + 30)
    with evc.open(io.BytesIO(damaged), salvage=True) as file:
        whole = MELODY[[0, 1, 2, 5]] if len(file.events) == 4 else MELODY[[0, 1, 3, 4, 5]]
        np.testing.assert_allclose(file.events.times, whole.times, atol=1e-5)


def test_rendering_some_events(with_melody: bytes) -> None:
    with evc.open(io.BytesIO(with_melody)) as file:
        events, whole = file.events, file.render(layers=["events"])
        assert np.abs(whole).max() > 0.05
        high = events.notes > 66
        parts = file.render(events=high) + file.render(events=np.flatnonzero(~high))
        np.testing.assert_allclose(parts, whole, atol=1e-4 * np.abs(whole).max())
        np.testing.assert_allclose(file.render(events=events), whole, atol=1e-6)
        everything = file.render(layers=["events", "spectrum"], events=events)
        np.testing.assert_allclose(everything, file.read(), atol=1e-6)
        assert not file.render(events=[]).any()
        alone = file.render(events=events[[2]])
        first = int(2.0 * RATE)
        assert not alone[: first - 1].any() and np.abs(alone[first : first + 800]).max() > 0.01
        later = file.render(events=events[[2]].shifted(1))
        np.testing.assert_allclose(later[first + RATE :], alone[first : len(alone) - RATE], atol=2e-4)
        for wrong in ([6], [True], "a"):
            with pytest.raises(InputError, match="of 6 events"):
                file.render(events=wrong)


def test_other_events_over_a_file_without_any(encoded: bytes, with_melody: bytes) -> None:
    with evc.open(io.BytesIO(encoded)) as plain, evc.open(io.BytesIO(with_melody)) as file:
        heard = plain.render(events=file.events)
        np.testing.assert_allclose(heard, file.render(layers=["events"]), atol=1e-6)


def test_the_network_is_first() -> None:
    books = Codebooks.of(REFERENCE)
    header = Header(RATE, 2, RATE, layers=("events",), networks=(REFERENCE, NetworkReference("other", bytes(8))))
    coded = MELODY.with_vectors(MELODY.vectors).coded(header)
    assert coded.sizes == books.sizes and np.array_equal(coded.codes, MELODY.codes)
