"""The frozen tables of the event stream from files that have events (spec 7.1).

    python -m evc.models.events.train_tables FILE.evc ... --out spec/tables/events.npz

A table is what was counted, smoothed. How much it weighs beside the others and beside the histograms is searched for,
by coding half of the streams under tables of the other half. The same files give the same tables.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext
from evc.format.streams.event_coding import PART_KINDS, SEMITONES, fineness, split_pitch
from evc.format.streams.event_tables import Tables
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.format.streams.positions import class_start

Counts = dict[str, NDArray[np.float64]]
Stream = tuple[EventStream, StreamContext]

RISES = 127  # differences of amplitudes that have a weight of their own, either way
PANS = 2 * c.DEFAULT_PAN_STEPS + 1
SWEEPS = 3
START = 20  # weight of a table or rate of a histogram to begin with, in half octaves
HEAVIEST = 30
RAREST = 2.0**-12  # of a row's weight, for what never came
REPORTED = ("time", "note", "tuning", "amplitude", "pan", *dict.fromkeys(PART_KINDS))
# The tables of each kind of symbol, and how many histograms it has.
TABLES: dict[str, tuple[tuple[str, ...], int]] = {
    "time": (("time",), 2),
    "note": (("note", "interval"), 2),
    "tuning": (("tuning", "fine"), 3),
    "amplitude": (("rise.0", "rise.1"), 3),
    "pan": (("pan.0", "pan.1"), 3),
} | {kind: (("near", "octave", "before"), 3) for kind in PART_KINDS}
Weights = dict[str, list[int]]  # of the tables and then the histograms of a kind, in half octaves


def empty_counts() -> Counts:
    """A little of everything, so that nothing is impossible."""
    counts = {
        "note": np.full(SEMITONES, 0.2),
        "interval": np.full((2, 2 * SEMITONES - 1), 0.05),
        "tuning": np.full((c.FINENESSES + 1, c.PITCHES_PER_SEMITONE), 0.2),
        "fine": np.full(2 * c.PITCHES_PER_SEMITONE - 1, 0.05),
        "rise": np.full((2, 2 * RISES + 1), 0.02),
        "pan": np.full((2, PANS + 1, PANS), 0.05),
    }
    for part, size in enumerate(c.EVENT_PARTS):
        for kind, rows in (("near", size + 1), ("octave", SEMITONES // 12 + 1), ("before", _rows_before(part))):
            counts[f"part{part + 1}.{kind}"] = np.full((rows, size), 0.05)
    return counts


def _rows_before(part: int) -> int:
    if c.FIRST_PARTIAL <= part < c.FIRST_PARTIAL + c.PARTIALS:
        return 2 * c.EVENT_PARTS[c.FIRST_PARTIAL - 1]
    return c.EVENT_PARTS[part - 1] if part else 1


def count(streams: Sequence[Stream]) -> Counts:
    """How often each symbol came in each row."""
    counts = empty_counts()
    for stream, _ in streams:
        slots: dict[int, int] = {}
        top = int(stream.amplitudes.max(initial=-c.MAX_AMPLITUDE_LEVEL))
        for i in range(len(stream.times)):
            _count_event(counts, stream, i, slots, top)
    return counts


def _count_event(counts: Counts, stream: EventStream, i: int, slots: dict[int, int], top: int) -> None:
    semitone, fine = split_pitch(int(stream.codes[i, 0]))
    near = slots.get(semitone)
    level, pan = int(stream.amplitudes[i]), int(stream.pans[i]) + stream.pan_steps
    counts["note"][semitone] += 1
    if i:
        same = int(stream.times[i] == stream.times[i - 1])
        counts["interval"][same, semitone - split_pitch(int(stream.codes[i - 1, 0]))[0] + SEMITONES - 1] += 1
    _count_rise(counts["rise"][0], (int(stream.amplitudes[i - 1]) if i else top) - level)
    usual = stream.sizes == USUAL_SIZES
    decay, length = stream.codes[i, [1 + c.DECAY, 1 + c.LENGTH]] if usual else (0, 0)
    row = int(fineness(semitone, decay, length)) if usual else c.FINENESSES
    counts["tuning"][row, fine + c.PITCHES_PER_SEMITONE // 2] += 1
    if near is not None:
        other = split_pitch(int(stream.codes[near, 0]))[1]
        counts["fine"][fine - other + c.PITCHES_PER_SEMITONE - 1] += 1
        _count_rise(counts["rise"][1], int(stream.amplitudes[near]) - level)
    if stream.pan_steps == c.DEFAULT_PAN_STEPS:
        for row, other_event in enumerate((i - 1 if i else None, near)):
            at = PANS if other_event is None else int(stream.pans[other_event]) + stream.pan_steps
            counts["pan"][row, at, pan] += 1
    if usual:
        codes = stream.codes[i, 1:].tolist()
        beside = c.EVENT_PARTS if near is None else stream.codes[near, 1:].tolist()
        for part, code in enumerate(codes):
            for kind, row in (("near", beside[part]), ("octave", semitone // 12), ("before", _before(part, codes))):
                counts[f"part{part + 1}.{kind}"][row, code] += 1
    slots[semitone] = i


def _count_rise(counts: NDArray[np.float64], difference: int) -> None:
    counts[max(-RISES, min(RISES, difference)) + RISES] += 1


def _before(part: int, codes: list[int]) -> int:
    if c.FIRST_PARTIAL <= part < c.FIRST_PARTIAL + c.PARTIALS:
        return 2 * codes[c.FIRST_PARTIAL - 1] + int(part == c.FIRST_PARTIAL or codes[part - 1] != 0)
    return codes[part - 1] if part else 0


def make_tables(counts: Counts, weights: Weights) -> Tables:
    """Integers of all arrays: of each row about the weight of its table in all."""
    result = {"time": _time_table(_value(weights["time"][0]))}
    result["note"] = _rows(counts["note"][None], weights["note"][0])[0]
    result["tuning"] = _rows(_backed(counts["tuning"], 32), weights["tuning"][0])
    for name, kind in (("interval", "note"), ("fine", "tuning")):
        smooth = _smooth(np.atleast_2d(counts[name]))
        result[name] = _rows(smooth, weights[kind][1]).reshape(counts[name].shape)
    for name, kind in (("rise", "amplitude"), ("pan", "pan")):
        raw = _smooth(counts[name]) if name == "rise" else np.stack([_backed(table) for table in counts[name]])
        result[name] = np.concatenate([_rows(raw[i : i + 1], weights[kind][i]) for i in range(2)])
    rates = [weights[kind][len(TABLES[kind][0]) :] for kind in REPORTED[:5]]
    for part, kind in enumerate(PART_KINDS):
        for name, weight in zip(TABLES[kind][0], weights[kind], strict=False):
            result[f"part{part + 1}.{name}"] = _rows(_backed(counts[f"part{part + 1}.{name}"]), weight)
        rates.append(weights[kind][3:])
    rates.append([START - 8, START - 4, START - 4])  # of parts of which nothing is known
    result["rates"] = np.array([[_value(rate) for rate in row] + [0] * (3 - len(row)) for row in rates], np.int64)
    return result


def _value(half_octaves: int) -> int:
    return round(2 ** (half_octaves / 2))


def _rows(counts: NDArray[np.float64], weight: int) -> NDArray[np.int64]:
    shares = np.maximum(counts / counts.sum(axis=-1, keepdims=True), RAREST)
    return np.clip(np.rint(shares * _value(weight)), 1, 65535).astype(np.int64)


def _backed(counts: NDArray[np.float64], strength: float = 8) -> NDArray[np.float64]:
    """Each row with some of what all rows have together."""
    together = counts.sum(axis=0)
    return counts + strength * together / together.sum()


def _smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of differences, with some of each at its neighbours."""
    kernel = np.array([0.5, 1, 2, 4, 24, 4, 2, 1, 0.5]) / 39
    return np.stack([np.convolve(row, kernel, "same") for row in counts]) + counts.mean() * 0.02


def _time_table(weight: int) -> NDArray[np.int64]:
    """Distances by the class of the expected one: geometric, of that mean and of others."""
    starts = np.array([float(class_start(k)) for k in range(c.DISTANCE_CLASSES + 1)])
    table = np.zeros((c.DISTANCE_CLASSES, c.DISTANCE_CLASSES))
    for row in range(c.DISTANCE_CLASSES):
        for scale, share in ((1.0, 0.65), (1 / 6, 0.25), (4.0, 0.1)):
            mean = max(scale * 1.2 * starts[row], 0.05)
            tail = np.exp(starts * np.log(mean / (mean + 1)))
            table[row] += share * (tail[:-1] - tail[1:])
    return _rows(table, round(2 * math.log2(weight)))


class _Meter:
    """A port that adds up what symbols cost, by kind, and codes nothing."""

    writing = True

    def __init__(self) -> None:
        self.bits: defaultdict[str, float] = defaultdict(float)

    def weighted(self, value: int, weights: NDArray[np.int64], kind: str) -> int:
        self.bits[kind] += math.log2(max(int(weights.sum()), 1) / max(int(weights[value]), 1e-3))
        return value

    def field(self, value: int, width: int, kind: str = "header") -> int:
        self.bits[kind] += width
        return value

    def number(self, value: int, order: int, kind: str = "header") -> int:
        return value


def cost(streams: Sequence[Stream], tables: Tables) -> dict[str, float]:
    """Bits of the streams by kind of symbol."""
    meter: Any = _Meter()
    for stream, context in streams:
        stream.code(meter, context, tables)
    return dict(meter.bits)


def search(streams: Sequence[Stream]) -> Weights:
    """The weights under which the streams cost least, each half of them under tables of the other half."""
    halves = [streams[0::2], streams[1::2]] if len(streams) > 1 else [streams, streams]
    counted = [count(half) for half in halves]

    def costs(weights: Weights) -> dict[str, float]:
        one, other = (cost(halves[i], make_tables(counted[1 - i], weights)) for i in range(2))
        return {kind: one.get(kind, 0) + other.get(kind, 0) for kind in weights}

    weights = {kind: [START] * len(tables) + [START - 8] * rates for kind, (tables, rates) in TABLES.items()}
    best = costs(weights)
    for step in [4, 2, 1][:SWEEPS]:
        for position in range(6):
            for change in (step, -step):
                tried = {kind: _changed(values, position, change) for kind, values in weights.items()}
                found = costs(tried)
                for kind in weights:
                    if found[kind] < best[kind]:
                        weights[kind], best[kind] = tried[kind], found[kind]
    return weights


def _changed(values: list[int], position: int, change: int) -> list[int]:
    return [max(0, min(HEAVIEST, v + change * (i == position))) for i, v in enumerate(values)]


def train(streams: Sequence[Stream]) -> Tables:
    """The tables of all streams."""
    return make_tables(count(streams), search(streams))


def streams_of(path: str) -> Iterator[Stream]:
    """The event streams of a file."""
    with open(path, "rb") as file:
        container = ContainerReader(file)
        for index, found in SegmentDecoder(container).streams(c.STREAM_EVENTS):
            yield found, stream_context(container, index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.evc")
    parser.add_argument("--out", required=True, help="where to write the tables")
    arguments = parser.parse_args()
    streams = [stream for path in arguments.files for stream in streams_of(path)]
    tables = train(streams)
    np.savez_compressed(arguments.out, **_narrow(tables))
    events = sum(len(stream.times) for stream, _ in streams)
    for kind, bits in cost(streams, tables).items():
        print(f"{kind:10} {bits / events:6.2f} bits an event")


def _narrow(tables: Mapping[str, NDArray[np.int64]]) -> dict[str, Any]:
    return {name: array.astype(np.uint16) for name, array in tables.items()}


if __name__ == "__main__":
    main()
