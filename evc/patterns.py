"""Patterns as people see them: entries of the dictionary, and stretches of the track that sound again.

A copy names no pattern. It says how long ago its sound was, and often lasts no longer than a superframe. Here copies
become *uses* of *excerpts*:

1. Copies of the same lag that follow each other make one line, whatever their layers and gains (`evc.uses`).
2. A line is cut into uses no longer than its lag, and each is followed back to where its sound was new: its root.
3. Uses with nearly the same root share a pattern. So does a use whose root is part of a longer pattern, unless that
   part sounds more often than the whole.

Everything is counted in whole frames, the fractions of lags being rounded, so that the same file gives the same
patterns everywhere. Only the streams of occurrences are decoded, and those of dictionaries.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.header import Header
from evc.format.patterns import Place, occurrence_array, pattern_array, stacked
from evc.format.streams.dictionary import Excerpt, Pattern
from evc.format.streams.occurrences import COPY
from evc.uses import Line, Use, find_lines, find_uses

_BRIDGED = 4  # superframes without a copy that do not end a line
_SAME_LAG = 1e-3  # s: lags that differ by no more are the same
_SAME_STRETCH = 0.75  # what two stretches have in common, of what they cover together, to be the same
_PART = 0.9  # of a stretch that lies in a longer one whose part it is

_PATTERN_FIELDS = [("frame", "<i8"), ("frames", "<i8"), ("uses", "<i4"), ("seconds", "<f8")]
_USE_FIELDS = [
    ("pattern", "<i4"), ("time", "<f8"), ("duration", "<f8"), ("frame", "<i8"), ("frames", "<i8"), ("offset", "<i8"),
]  # fmt: skip
_ARRAYS = ("patterns", "uses", "occurrences")


@dataclass(frozen=True, eq=False)
class PatternMap:
    """The patterns of a file, where they are used, and the occurrences that the uses consist of: structured arrays as
    `EvcFile` has them. places: segment, and row of its stream, of every occurrence. firsts: the number of the first
    pattern of every link."""

    patterns: NDArray[Any]
    uses: NDArray[Any]
    occurrences: NDArray[Any]
    places: list[Place]
    firsts: list[int] = field(default_factory=lambda: [0])


def read_patterns(decoder: SegmentDecoder) -> PatternMap:
    """Find the patterns of a file. Raises what is wrong with the streams concerned; in salvage mode leaves out what is
    lost."""
    header, entries = decoder.container.header, decoder.patterns
    found, places = occurrence_array(decoder)
    begins, ends, delays = _spans(header, found, places, entries)
    superframe = c.superframe_length(header.samplerate)
    tolerance = round(_SAME_LAG * header.samplerate)
    gains = np.nan_to_num(found["gains"])
    on = gains.reshape(len(gains), gains.shape[1] * gains.shape[2]) != 0
    sounding = on.any(axis=1) & (begins < ends)
    lines = find_lines(begins, ends, delays, found["pattern"], sounding, _BRIDGED * superframe, tolerance)
    uses = find_uses(lines, begins, ends, on, superframe, header.segment_frames)
    stretches, numbers = _stretches(uses, len(entries))
    patterns = _pattern_array(pattern_array(decoder), entries, stretches, header)
    _count_uses(patterns, uses, numbers, header.samplerate)
    order = sorted(range(len(uses)), key=lambda i: (uses[i].begin, numbers[i], uses[i].end))
    in_order = _use_array([uses[i] for i in order], [numbers[i] for i in order], patterns, header.samplerate)
    occurrences = _occurrence_array(found, begins, lines, uses, order, in_order)
    return PatternMap(patterns, in_order, occurrences, places)


def joined_maps(
    maps: Sequence[PatternMap], starts: Sequence[int], segments: Sequence[int], samplerate: int
) -> PatternMap:
    """Those of the links of a file, which begin at the frames `starts` and have `segments` before them."""
    if len(maps) == 1:
        return maps[0]
    patterns, uses, occurrences = ([getattr(one, name).copy() for one in maps] for name in _ARRAYS)
    firsts = np.cumsum([0, *map(len, patterns)]).tolist()
    used = np.cumsum([0, *map(len, uses)]).tolist()
    for number, start in enumerate(starts):
        patterns[number]["start"] += start / samplerate
        patterns[number]["frame"] += np.where(patterns[number]["frame"] < 0, 0, start)
        for array in (uses[number], occurrences[number]):
            array["time"] += start / samplerate
            array["frame"] += start
            array["pattern"] += np.where(array["pattern"] < 0, 0, firsts[number])
        occurrences[number]["use"] += np.where(occurrences[number]["use"] < 0, 0, used[number])
    places = [(index + first, row) for one, first in zip(maps, segments, strict=True) for index, row in one.places]
    return PatternMap(np.concatenate(patterns), np.concatenate(uses), stacked(occurrences), places, firsts[:-1])


def _spans(
    header: Header, found: NDArray[Any], places: list[Place], entries: list[Pattern | None]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """First frame of every occurrence [rows], the frame behind the last, and how many frames earlier its source has
    what it makes sound, rounded: of copies in the track, of entries in their waveform. What copies take from before
    the track begins is left out."""
    segment_ends = np.array([sum(header.segment_span(index)) for index, _ in places], np.int64)
    begins = found["frame"].astype(np.int64)
    lengths, offsets = found["length"].astype(np.int64), found["offset"].astype(np.int64)
    frames = np.array([0, *(0 if entry is None else entry.frames for entry in entries)], np.int64)[found["pattern"] + 1]
    frames = np.ceil(frames / found["rate"]).astype(np.int64)
    lengths = np.where(lengths > 0, lengths, np.maximum(frames - offsets, 1))
    lags = np.rint(found["lag"] * header.samplerate).astype(np.int64)
    delays = np.where(found["pattern"] == COPY, lags, begins - offsets)
    ends = np.minimum(begins + lengths, segment_ends)
    return np.maximum(begins, lags), ends, delays


def _stretches(uses: list[Use], entries: int) -> tuple[NDArray[np.int64], list[int]]:
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
        array["frames"][number] = 0 if pattern is None else pattern.frames
        if isinstance(pattern, Excerpt):
            array["frame"][number] = pattern.start
    derived = array[len(dictionary) :]
    derived["loop_start"] = derived["loop_length"] = np.nan
    derived["kind"], derived["channels"] = c.PATTERN_KINDS[c.PATTERN_EXCERPT], header.channels
    derived["frame"], derived["frames"] = stretches[:, 0], stretches[:, 1] - stretches[:, 0]
    derived["start"] = derived["frame"] / header.samplerate
    array["duration"] = array["frames"] / header.samplerate
    return array


def _count_uses(patterns: NDArray[Any], uses: list[Use], numbers: list[int], samplerate: int) -> None:
    if uses:
        lengths = [use.end - use.begin for use in uses]
        patterns["uses"] = np.bincount(numbers, minlength=len(patterns))
        patterns["seconds"] = np.bincount(numbers, lengths, minlength=len(patterns)) / samplerate


def _use_array(
    uses: list[Use], numbers: list[int], patterns: NDArray[Any], samplerate: int
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
    lines: list[Line],
    uses: list[Use],
    order: list[int],
    sorted_uses: NDArray[Any],
) -> NDArray[Any]:
    """`found`, with the use of every occurrence: the one of its line in which it begins."""
    array = np.zeros(len(found), [*found.dtype.descr, ("use", "<i4")])
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


def numbered(number: int, count: int) -> str:
    """The number of one of `count` patterns, as tables and names of files have it."""
    return f"{number:0{max(3, len(str(count - 1)))}}"
