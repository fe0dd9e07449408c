"""Patterns as people see them: entries of the dictionary, and stretches of the track that sound again.

A copy names no pattern. It says how long ago its sound was, and often lasts no longer than a superframe. Here copies
become *uses* of *excerpts*:

1. Copies of the same lag that follow each other make one line, whatever their layers and gains.
2. A line is cut into uses no longer than its lag, and each is followed back to where its sound was new: its root.
3. Uses with nearly the same root share a pattern. So does a use whose root is part of a longer pattern, unless that
   part sounds more often than the whole.

Everything is counted in whole frames, the fractions of lags being rounded, so that the same file gives the same
patterns everywhere. Only the streams of occurrences are decoded, and those of dictionaries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.header import Header
from evc.layers import Place, occurrence_array, pattern_array
from evc.reader import ContainerReader
from evc.streams.dictionary import Excerpt, Explicit, Lattice, Pattern
from evc.streams.occurrences import COPY

_BRIDGED = 4  # superframes without a copy that do not end a line
_SAME_LAG = 1e-3  # s: lags that differ by no more are the same
_RESOLVED = 0.9  # of a source that has to be copied itself to be followed further back
_RESOLVED_BANDS = 0.75  # of the bands that are copied from there, likewise
_SAME_STRETCH = 0.75  # what two stretches have in common, of what they cover together, to be the same
_PART = 0.9  # of a stretch that lies in a longer one whose part it is

_PATTERN_FIELDS = [("frame", "<i8"), ("frames", "<i8"), ("uses", "<i4"), ("seconds", "<f8")]
_USE_FIELDS = [
    ("pattern", "<i4"), ("time", "<f8"), ("duration", "<f8"), ("frame", "<i8"), ("frames", "<i8"), ("offset", "<i8"),
]  # fmt: skip
_OCCURRENCE_FIELDS = [("use", "<i4"), ("mid_side", "?"), ("stride", "<i4")]


@dataclass(frozen=True, eq=False)
class PatternMap:
    """The patterns of a file, where they are used, and the occurrences that the uses consist of: structured arrays as
    `EvcFile` has them. places: segment, and row of its stream, of every occurrence."""

    patterns: NDArray[Any]
    uses: NDArray[Any]
    occurrences: NDArray[Any]
    places: list[Place]


@dataclass(frozen=True, eq=False)
class _Use:
    """Frames [begin, end) of the track sound as their source does from frame `root` on: a dictionary entry, or (COPY)
    the track itself. `bands`: float [planes * bands], for how much of the time each is on."""

    begin: int
    end: int
    root: int
    entry: int
    bands: NDArray[np.float64]


@dataclass
class _Line:
    """Occurrences, by row, with one delay, in frames, that follow each other from `begin` to `end`."""

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


def read_patterns(container: ContainerReader) -> PatternMap:
    """Find the patterns of a file. Raises what is wrong with the streams concerned; in salvage mode leaves out what is
    lost."""
    found, places, streams = occurrence_array(container)
    dictionary, entries = pattern_array(container)
    begins, ends, delays = _spans(container, found, places, entries)
    superframe = c.superframe_length(container.header.samplerate)
    tolerance = round(_SAME_LAG * container.header.samplerate)
    gains = np.nan_to_num(found["gains"])
    on = gains.reshape(len(gains), gains.shape[1] * gains.shape[2]) != 0
    sounding = on.any(axis=1) & (begins < ends)
    lines = _lines(begins, ends, delays, found["pattern"], sounding, _BRIDGED * superframe, tolerance)
    uses = _find_uses(lines, begins, ends, on, superframe, container.header.segment_frames)
    stretches, numbers = _stretches(uses, len(entries))
    patterns = _pattern_array(dictionary, entries, stretches, container.header)
    _count_uses(patterns, uses, numbers, container.header.samplerate)
    order = sorted(range(len(uses)), key=lambda i: (uses[i].begin, numbers[i], uses[i].end))
    in_order = _use_array([uses[i] for i in order], [numbers[i] for i in order], patterns, container.header.samplerate)
    occurrences = _occurrence_array(found, begins, lines, uses, order, in_order)
    occurrences["mid_side"] = [stream.mid_side for stream in streams]
    occurrences["stride"] = [stream.band_stride for stream in streams]
    return PatternMap(patterns, in_order, occurrences, places)


def _pattern_frames(pattern: Pattern | None) -> int:
    """Length of a dictionary entry in frames; 0 for one that is lost."""
    match pattern:
        case Excerpt() | Explicit():
            return pattern.frames
        case Lattice():
            return (len(pattern.levels) - 1 << pattern.hop_log2) + (1 << pattern.fft_log2)
    return 0


def _spans(
    container: ContainerReader, found: NDArray[Any], places: list[Place], entries: list[Pattern | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First frame of every occurrence [rows], the frame behind the last, and how many frames earlier its source has
    what it makes sound, rounded: of copies in the track, of entries in their waveform. What copies take from before
    the track begins is left out."""
    header = container.header
    segment_ends = np.array([sum(header.segment_span(index)) for index, _ in places], np.int64)
    begins = found["frame"].astype(np.int64)
    lengths, offsets = found["length"].astype(np.int64), found["offset"].astype(np.int64)
    frames = np.array([0, *map(_pattern_frames, entries)], np.int64)[found["pattern"] + 1]
    lengths = np.where(lengths > 0, lengths, np.maximum(frames - offsets, 1))
    lags = np.rint(found["lag"] * header.samplerate).astype(np.int64)
    delays = np.where(found["pattern"] == COPY, lags, begins - offsets)
    ends = np.minimum(begins + lengths, segment_ends)
    return np.maximum(begins, lags), ends, delays


def _lines(
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    delays: NDArray[np.int64],
    entries: NDArray[np.int32],
    sounding: NDArray[np.bool_],
    bridged: int,
    tolerance: int,
) -> list[_Line]:
    """Join occurrences [rows] of the same entry whose delays differ by `tolerance` at most and between which there are
    at most `bridged` frames; of all that are sounding."""
    lines: list[_Line] = []
    recent: list[_Line] = []
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
            line = _Line(begin, end, delay, entry, [row])
            lines.append(line)
            recent.append(line)
    return lines


class _Roots:
    """What is known of the track so far: stretches that sound as earlier ones do."""

    def __init__(self, slack: int, bucket: int) -> None:
        self._slack, self._bucket = slack, bucket
        self._known: dict[int, list[_Use]] = defaultdict(list)

    def add(self, use: _Use) -> None:
        for bucket in range(use.begin // self._bucket, (use.end - 1) // self._bucket + 1):
            self._known[bucket].append(use)

    def pieces(self, begin: int, end: int, bands: NDArray[np.float64]) -> list[tuple[int, int, int]]:
        """Frames [begin, end), of which `bands` are wanted, as stretches [begin, end) with roots: one that is its own
        root where too little of it is known."""
        buckets = range(begin // self._bucket, (end - 1) // self._bucket + 1)
        near = {id(use): use for bucket in buckets for use in self._known[bucket] if use.begin < end and begin < use.end}
        wanted = _RESOLVED_BANDS * bands.sum()
        known = [use for use in near.values() if np.minimum(use.bands, bands).sum() >= wanted]
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


def _find_uses(
    lines: list[_Line],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    on: NDArray[np.bool_],
    superframe: int,
    segment_frames: int,
) -> list[_Use]:
    """The uses that the lines consist of, with their roots; every line learns the numbers of its own."""
    uses: list[_Use] = []
    roots = _Roots(superframe, segment_frames)
    for line in lines:
        first = len(uses)
        if line.entry != COPY:
            bands = line.bands(line.begin, line.end, begins, ends, on)
            uses.append(_Use(line.begin, line.end, line.begin - line.delay, line.entry, bands))
        else:
            step = max(line.delay, 1)
            for begin in range(line.begin, line.end, step):
                end = min(begin + step, line.end)
                bands = line.bands(begin, end, begins, ends, on)
                for low, high, root in roots.pieces(begin - step, end - step, bands):
                    uses.append(_Use(low + step, high + step, root, COPY, bands))
                    roots.add(uses[-1])
        line.uses = list(range(first, len(uses)))
    return uses


def _stretches(uses: list[_Use], entries: int) -> tuple[NDArray[np.int64], list[int]]:
    """First and last frame, the latter not included, of the stretches of the track that copies use [stretches, 2],
    those with the most sound first; and the number of every use's pattern, dictionary entries coming first."""
    copies = [i for i, use in enumerate(uses) if use.entry == COPY]
    roots = np.array([(uses[i].root, uses[i].root + uses[i].end - uses[i].begin) for i in copies], np.int64)
    group, stretches = _alike(roots.reshape(-1, 2))
    group = _homes(stretches, np.bincount(group, minlength=len(stretches)))[group]
    sound = np.bincount(group, (roots[:, 1] - roots[:, 0]) if copies else None, minlength=len(stretches))
    order = np.lexsort((*stretches.T[::-1], -sound))[: np.count_nonzero(sound)]
    number = np.zeros(len(stretches), np.int64)
    number[order] = entries + np.arange(len(order))
    numbers = [use.entry for use in uses]
    for i, found in zip(copies, number[group].tolist(), strict=True):
        numbers[i] = found
    return np.maximum(stretches[order], (0, 1)), numbers


def _alike(roots: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group stretches [roots, 2] that are nearly the same: the group of each, and what a group covers [groups, 2]."""
    group = np.zeros(len(roots), np.int64)
    founders = np.zeros_like(roots)
    covered = np.zeros_like(roots)
    count = 0
    for i in np.lexsort((roots[:, 0], roots[:, 0] - roots[:, 1])):
        begin, end = roots[i]
        known = founders[:count]
        common = np.minimum(known[:, 1], end) - np.maximum(known[:, 0], begin)
        shares = common / (np.maximum(known[:, 1], end) - np.minimum(known[:, 0], begin))
        best = int(shares.argmax()) if count else 0
        if not count or shares[best] < _SAME_STRETCH:
            best, count = count, count + 1
            founders[best] = covered[best] = roots[i]
        group[i] = best
        covered[best] = min(covered[best, 0], begin), max(covered[best, 1], end)
    return group, covered[:count]


def _homes(stretches: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the stretches [stretches, 2], the shortest longer one that it is part of, if that sounds as often;
    otherwise itself."""
    home = np.arange(len(stretches))
    lengths = stretches[:, 1] - stretches[:, 0]
    for i in np.argsort(-lengths, kind="stable"):
        begin, end = stretches[i]
        common = np.minimum(stretches[:, 1], end) - np.maximum(stretches[:, 0], begin)
        around = (common >= _PART * lengths[i]) & (lengths > lengths[i]) & (counts >= counts[i])
        around &= home == np.arange(len(home))
        if around.any():
            home[i] = min(np.flatnonzero(around), key=lambda j: (lengths[j], j))
    return home


def _pattern_array(
    dictionary: NDArray[Any], entries: list[Pattern | None], stretches: NDArray[np.int64], header: Header
) -> NDArray[Any]:
    """Dictionary entries, then stretches; not yet with their uses."""
    array = np.zeros(len(dictionary) + len(stretches), [*dictionary.dtype.descr, *_PATTERN_FIELDS])
    for name in dictionary.dtype.names or ():
        array[name][: len(dictionary)] = dictionary[name]
    array["frame"] = -1
    for number, pattern in enumerate(entries):
        array["frames"][number] = _pattern_frames(pattern)
        if isinstance(pattern, Excerpt):
            array["frame"][number] = pattern.start
    derived = array[len(dictionary) :]
    derived["kind"], derived["channels"] = c.PATTERN_KINDS[c.PATTERN_EXCERPT], header.channels
    derived["frame"], derived["frames"] = stretches[:, 0], stretches[:, 1] - stretches[:, 0]
    derived["start"] = derived["frame"] / header.samplerate
    array["duration"] = array["frames"] / header.samplerate
    return array


def _count_uses(patterns: NDArray[Any], uses: list[_Use], numbers: list[int], samplerate: int) -> None:
    if uses:
        lengths = [use.end - use.begin for use in uses]
        patterns["uses"] = np.bincount(numbers, minlength=len(patterns))
        patterns["seconds"] = np.bincount(numbers, lengths, minlength=len(patterns)) / samplerate


def _use_array(
    uses: list[_Use], numbers: list[int], patterns: NDArray[Any], samplerate: int
) -> NDArray[Any]:
    array = np.zeros(len(uses), _USE_FIELDS)
    for row, use, number in zip(array, uses, numbers, strict=True):
        origin = int(patterns["frame"][number]) if use.entry == COPY else 0
        row["pattern"], row["frame"], row["frames"] = number, use.begin, use.end - use.begin
        row["offset"] = max(0, use.root - origin)
    array["time"], array["duration"] = array["frame"] / samplerate, array["frames"] / samplerate
    return array


def _occurrence_array(
    found: NDArray[Any],
    begins: NDArray[np.int64],
    lines: list[_Line],
    uses: list[_Use],
    order: list[int],
    sorted_uses: NDArray[Any],
) -> NDArray[Any]:
    """`found`, with the use of every occurrence: the one of its line in which it begins."""
    array = np.zeros(len(found), [*found.dtype.descr, *_OCCURRENCE_FIELDS])
    for name in found.dtype.names or ():
        array[name] = found[name]
    array["use"] = -1
    place = np.argsort(order)
    for line in lines:
        starts = [uses[i].begin for i in line.uses]
        for row in line.rows:
            array["use"][row] = place[line.uses[bisect_right(starts, int(begins[row])) - 1]]
    copies = (array["pattern"] == COPY) & (array["use"] >= 0)
    use = sorted_uses[array["use"][copies]]
    array["pattern"][copies] = use["pattern"]
    array["offset"][copies] = use["offset"] + begins[copies] - use["frame"]
    return array
