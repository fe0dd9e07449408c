"""The training of the event stream's frozen tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from stream_tools import STEREO, coded, read
from test_streams_events import music

from evc.format import constants as c
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.event_coding import fineness, grained
from evc.format.streams.event_tables import tables
from evc.format.streams.events import EventStream
from evc.format.streams.positions import class_start, distance_class
from evc.models.events import train_tables
from evc.models.events.train_tables import TABLES, cost, count, make_tables, search, streams_of, train


def planted(seed: int) -> tuple[EventStream, StreamContext]:
    """A few sounds, each with a pan of its own."""
    stream = music(np.random.default_rng(seed).integers(0, STEREO.frames, 40) << 5, seed)
    sound = np.random.default_rng(seed + 100).integers(0, 3, 40)
    stream.codes[:, 5] = 7 + sound
    stream.codes[:, 2:4] = (sound + 1)[:, None]
    stream.pans, stream.pan_steps = sound - 1, c.DEFAULT_PAN_STEPS
    return stream, STEREO


@pytest.fixture(scope="module")
def trained() -> dict[str, np.ndarray]:
    return train([planted(seed) for seed in range(4)])


def test_tables_have_the_shapes_of_the_format(trained) -> None:
    assert {name: array.shape for name, array in trained.items()} == {n: a.shape for n, a in tables().items()}
    assert all(1 <= array.min() and array.max() < 1 << 16 for name, array in trained.items() if name != "rates")
    assert trained["rates"].min() >= 0 and trained["rates"].max() < 1 << 16


def test_what_was_trained_on_costs_less(trained) -> None:
    new = [planted(9)]
    before, after = cost(new, tables()), cost(new, trained)
    assert sum(after.values()) < sum(before.values())
    for kind in ("resonator", "attack", "decay"):
        assert after[kind] < before[kind] and after[kind] / 40 < 1.8, kind


def test_training_is_deterministic(monkeypatch) -> None:
    monkeypatch.setattr(train_tables, "SWEEPS", 1)
    first, again = train([planted(0)]), train([planted(0)])
    assert all(np.array_equal(again[name], array) for name, array in first.items())


def test_the_meter_counts_what_coding_costs() -> None:
    stream, context = planted(3)
    bits = 8 * len(coded(stream, context).words)
    assert sum(cost([(stream, context)], tables()).values()) == pytest.approx(bits, abs=80)


def test_streams_come_from_files(tmp_path: Path, monkeypatch, capsys) -> None:
    from evc.format.header import Header
    from evc.format.networks import installed_network
    from evc.format.writer import ContainerWriter
    from evc.models.events.vectors import EVENTS_NETWORK

    stream, context = planted(1)
    networks = (installed_network(EVENTS_NETWORK),)
    header = Header(
        44_100, 2, context.frames, layers=("events",), segment_frames=context.frames, networks=networks
    )
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        words = coded(stream, context)
        writer.add_segment(Segment(0, (), (StreamData(c.STREAM_EVENTS, words.words, words.symbols, words.checksum),)))
    path = tmp_path / "a.evc"
    path.write_bytes(file.getvalue())
    (found, its_context), *others = streams_of(str(path))
    assert not others and its_context.frames == context.frames
    np.testing.assert_array_equal(found.codes, read(EventStream, coded(stream, context), context).codes)
    monkeypatch.setattr(train_tables, "SWEEPS", 1)
    monkeypatch.setattr("sys.argv", ["train_tables", str(path), "--out", str(tmp_path / "events.npz")])
    train_tables.main()
    with np.load(tmp_path / "events.npz") as archive:
        assert {archive[name].dtype for name in archive.files} == {np.dtype("uint16")}
        assert set(archive.files) == set(tables())
    assert "resonator" in capsys.readouterr().out


def test_classes_of_distances() -> None:
    for distance in [*range(2000), *(1 << np.arange(2, 37)), *((1 << np.arange(2, 38)) - 1)]:
        number, bits = distance_class(int(distance))
        assert class_start(number) <= distance < class_start(number) + (1 << bits) and number < c.DISTANCE_CLASSES


def test_pitches_are_rounded_where_they_cannot_be_told() -> None:
    codes = np.zeros((3, 16), np.int64)
    codes[:, 0] = 70 * 64 + 13, 20 * 64 + 13, 8191
    codes[:, 3:5] = (15, 7), (0, 0), (0, 0)
    assert grained(codes)[:, 0].tolist() == [70 * 64 + 13, 20 * 64, 8191]
    assert fineness(np.array([127, 0]), np.array([15, 0]), np.array([7, 0])).tolist() == [0, 6]


def test_weights_are_sought_for_every_table_and_histogram() -> None:
    streams = [planted(seed) for seed in range(2)]
    weights = search(streams)
    assert {kind: len(values) for kind, values in weights.items()} == {k: len(t) + h for k, (t, h) in TABLES.items()}
    assert make_tables(count(streams), weights)["rates"].shape == (21, 3)
