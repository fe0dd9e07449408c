"""From occurrences to uses: copies that follow each other joined, and followed back to where their sound was new."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc.format.streams.occurrences import COPY

_RESOLVED = 0.9  # of a source that has to be copied itself to be followed further back
_RESOLVED_BANDS = 0.75  # of the bands that are copied from there, likewise


@dataclass(frozen=True, eq=False)
class Use:
    """Frames [begin, end) of the track sound as their source does from frame `root` on: a dictionary entry, or (COPY)
    the track itself. `bands`: float [planes * bands], for how much of the time each is on."""

    begin: int
    end: int
    root: int
    entry: int
    bands: NDArray[np.float64]


@dataclass
class Line:
    """Occurrences, by row, with one delay, in frames, that follow each other from `begin` to `end`; and the numbers of
    the uses that they are cut into."""

    begin: int
    end: int
    delay: int
    entry: int
    rows: list[int]
    uses: list[int] = field(default_factory=list)

    def bands(
        self, begin: int, end: int, begins: NDArray[np.int64], ends: NDArray[np.int64], on: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """For how much of frames [begin, end) each band is on."""
        rows = np.array(self.rows)
        overlaps = np.minimum(ends[rows], end) - np.maximum(begins[rows], begin)
        shares: NDArray[np.float64] = np.maximum(overlaps, 0) @ on[rows] / (end - begin)
        return shares


def find_lines(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    delays: NDArray[np.int64],
    entries: NDArray[np.int32],
    sounding: NDArray[np.bool_],
    bridged: int,
    tolerance: int,
) -> list[Line]:
    """Join occurrences [rows] of the same entry whose delays differ by `tolerance` at most and between which there are
    at most `bridged` frames; of all that are sounding."""
    lines: list[Line] = []
    recent: list[Line] = []
    order = np.flatnonzero(sounding)
    order = order[np.argsort(begins[order], kind="stable")]
    columns = (column.tolist() for column in (order, begins[order], ends[order], delays[order], entries[order]))
    for row, begin, end, delay, entry in zip(*columns, strict=True):
        recent = [line for line in recent if line.end + bridged >= begin]
        fitting = [line for line in recent if line.entry == entry and abs(line.delay - delay) <= tolerance]
        if fitting:
            line = min(fitting, key=lambda line: abs(line.delay - delay))
            line.end = max(line.end, end)
            line.rows.append(row)
        else:
            line = Line(begin, end, delay, entry, [row])
            lines.append(line)
            recent.append(line)
    return lines


class _Roots:
    """What is known of the track so far: stretches that sound as earlier ones do."""

    def __init__(self, slack: int, bucket: int) -> None:
        self._slack, self._bucket = slack, bucket
        self._known: dict[int, list[Use]] = defaultdict(list)

    def add(self, use: Use) -> None:
        for bucket in range(use.begin // self._bucket, (use.end - 1) // self._bucket + 1):
            self._known[bucket].append(use)

    def pieces(self, begin: int, end: int, bands: NDArray[np.float64]) -> list[tuple[int, int, int]]:
        """Frames [begin, end), of which `bands` are wanted, as stretches [begin, end) with roots: one that is its own
        root where too little of it is known."""
        buckets = range(begin // self._bucket, (end - 1) // self._bucket + 1)
        near = {id(use): use for bucket in buckets for use in self._known[bucket]}.values()
        wanted = _RESOLVED_BANDS * bands.sum()
        known = [
            use
            for use in near
            if use.begin < end and begin < use.end and np.minimum(use.bands, bands).sum() >= wanted
        ]
        found: list[tuple[int, int, int]] = []
        at, missing = begin, 0
        while at < end:
            here = [use for use in known if use.begin <= at + self._slack and use.end > at]
            if here:
                use = max(here, key=lambda use: (min(use.end, end), use.end - use.begin, use.begin))
                stop = end if use.end + self._slack >= end else use.end
                found.append((at, stop, max(0, use.root + at - use.begin)))
            else:
                stop = min((use.begin for use in known if use.begin > at), default=end)
                missing += stop - at
                found.append((at, stop, at))
            at = stop
        return found if missing <= (1 - _RESOLVED) * (end - begin) else [(begin, end, begin)]


def find_uses(
    lines: list[Line],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    on: NDArray[np.bool_],
    superframe: int,
    segment_frames: int,
) -> list[Use]:
    """The uses that the lines consist of, with their roots; every line learns the numbers of its own."""
    uses: list[Use] = []
    roots = _Roots(superframe, segment_frames)
    for line in lines:
        first = len(uses)
        if line.entry != COPY:
            bands = line.bands(line.begin, line.end, begins, ends, on)
            uses.append(Use(line.begin, line.end, line.begin - line.delay, line.entry, bands))
        else:
            step = max(line.delay, 1)
            for begin in range(line.begin, line.end, step):
                end = min(begin + step, line.end)
                bands = line.bands(begin, end, begins, ends, on)
                for low, high, root in roots.pieces(begin - step, end - step, bands):
                    uses.append(Use(low + step, high + step, root, COPY, bands))
                    roots.add(uses[-1])
        line.uses = list(range(first, len(uses)))
    return uses
