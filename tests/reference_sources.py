"""Occurrences as sources of sound in plain Python, written from sections 4.1, 7.2 and 9.5 of the specification
alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

LEAST_MARGIN = 16


@dataclass
class Entry:
    """A dictionary entry: where an excerpt starts (None: another kind), its frames, the cells of a lattice."""

    start: int | None
    frames: int
    lattice_cells: int = 0
    looped: bool = False


@dataclass
class Source:
    begin: int
    end: int
    delay: int  # in fractions of a frame
    first: int
    last: int | None
    entry: Entry | None  # None: the file's own past
    rate: int = 1 << 24  # R

    @property
    def cells(self) -> int:
        return self.entry.lattice_cells if self.entry else 0


def sources(
    found: dict[str, list], entries: list[Entry], start: int, phase_bits: int, superframe: int
) -> list[Source]:
    """What `reference_streams.occurrences` found, in a segment that starts at frame `start`; section 7.2."""
    result = []
    for row, own_time in enumerate(found["times"]):
        time = start * 2**phase_bits + own_time
        begin, length = time >> phase_bits, found["lengths"][row]
        if found["patterns"][row] < 0:
            result.append(Source(begin, begin + length, found["lags"][row], 0, None, None))
            continue
        entry, offset = entries[found["patterns"][row]], found["offsets"][row]
        cents = 4096 * found["semitones"][row] + found["fine"][row]
        rate = round(2**24 * Decimal(2) ** (Decimal(cents) / 49152))
        assert rate == 1 << 24 or (entry.start is None and not entry.lattice_cells), "malformed"
        frames = -(-entry.frames * 2**24 // rate)
        assert length if entry.looped else offset < frames, "malformed"
        a = entry.start or 0
        delay = time - (a + offset) * 2**phase_bits
        end = begin + (length or frames - offset)
        if entry.start is not None:
            result.append(Source(begin, end, delay, a, a + entry.frames, None))
            continue
        reach = superframe // 2 + 16
        first = 0 if begin == start else offset
        last = offset + length if entry.looped else min(frames, offset + length) if length else frames
        result.append(Source(begin - reach, end + reach, delay, first, last, entry, rate))
    return result


def allowed(found: list[Source], superframe: int, phase_bits: int, bands: int) -> bool:
    """`bands`: of the placements' gains."""
    late = [s for s in found if s.entry is None and s.delay < (2 * superframe + LEAST_MARGIN) * 2**phase_bits]
    counted = [s for s in found if not s.cells]
    weights = [1 if s.entry and bands == 1 else 16 for s in counted]
    most = max(
        (sum(w for s, w in zip(counted, weights, strict=True) if s.begin <= o.begin < s.end) for o in counted),
        default=0,
    )
    return not late and most <= 256 and sum(s.cells for s in found) <= 4_194_304


def dependencies(found: list[Source], superframe: int, phase_bits: int, index: int, length: int) -> set[int]:
    """Section 4.1, segment by segment."""
    needed = set()
    for source in found:
        if source.entry is None:
            d, reach = source.delay >> phase_bits, 2 * superframe + LEAST_MARGIN
            low = source.begin // superframe * superframe - d - reach
            high = -(-min(source.end, (index + 1) * length) // superframe) * superframe - d + reach
            needed |= {i for i in range(index) if i * length < high and (i + 1) * length > low}
    return needed


def covered(found: list[Source], start: int) -> list[tuple[int, int]]:
    """Section 9.5: frames, from the start of the segment on, in which blocks are covered."""
    return [(source.begin - start, source.end - start) for source in found if not source.cells]
