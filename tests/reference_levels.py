"""Occurrences as sources of sound and of levels in plain Python, written from sections 4.1, 7.2 and 9.9 of the
specification alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from reference_spectrum import COARSE, FINE, Bands

NOTHING, LOUDEST = -494, 1668
LEAST_MARGIN = 16

Cells = list[list[int]]  # [channels][bands]


@dataclass
class Entry:
    """A dictionary entry: where an excerpt starts (None: another kind), its frames, the track of an explicit entry by
    slot, the cells of a lattice."""

    start: int | None
    frames: int
    track: dict[int, Cells] | None = None
    lattice_cells: int = 0


@dataclass
class Source:
    begin: int
    end: int
    delay: int  # in fractions of a frame
    first: int
    last: int | None
    entry: Entry | None  # None: the file's own past
    gains: list[list[int | None]] = field(default_factory=list)

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
        begin, length, gains = time >> phase_bits, found["lengths"][row], found["gains"][row]
        if found["patterns"][row] < 0:
            result.append(Source(begin, begin + length, found["lags"][row], 0, None, None, gains))
            continue
        entry, offset = entries[found["patterns"][row]], found["offsets"][row]
        assert offset < entry.frames, "malformed"
        a = entry.start or 0
        delay = time - (a + offset) * 2**phase_bits
        end = begin + (length or entry.frames - offset)
        if entry.start is not None:
            result.append(Source(begin, end, delay, a, a + entry.frames, None, gains))
            continue
        reach = superframe // 2
        result.append(Source(begin - reach, end + reach, delay, 0, entry.frames, entry, gains))
    return result


def allowed(found: list[Source], superframe: int, phase_bits: int) -> bool:
    late = [s for s in found if s.entry is None and s.delay < (2 * superframe + LEAST_MARGIN) * 2**phase_bits]
    counted = [s for s in found if not s.cells]
    most = max((sum(s.begin <= other.begin < s.end for s in counted) for other in counted), default=0)
    return not late and most <= 16 and sum(s.cells for s in found) <= 4_194_304


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


def mean(levels: list[int], weights: list[int]) -> int:
    most = max(levels)
    powers = []
    for level in levels:
        u = 2 * (level - most) + 1280
        powers.append((64 + u % 64) << (u >> 6) if u > 0 else 0)
    p = sum(w * p for w, p in zip(weights, powers, strict=True)) // sum(weights)
    o = p.bit_length() - 7
    return most + ((64 * (o - 1) + (p >> o) - 1280) >> 1)


class GroupTrack:
    """The levels of one channel group over the whole file (or entry), slot by slot."""

    def __init__(self, superframe: int, first_channel: int, channels: int, phase_bits: int) -> None:
        self.phase_bits = phase_bits
        self.slot = superframe // 16
        self.channels = range(first_channel, first_channel + channels)
        units = superframe // 16
        self.full = [edge for edge in FINE if edge < units] + [units]
        self.coarse = [edge for edge in COARSE if edge < max(e for e in COARSE if e <= units)]
        self.rows: dict[int, Cells] = {}
        self.sources: list[Source] = []
        self.stride, self.resolution, self.mid_side = 0, 1, False
        self.next = 0
        self.q: list[Cells] = []  # of the next block, by slot

    def segment(
        self, found: list[Source], band_stride: int = 0, gain_resolution: int = 1, mid_side: bool = False
    ) -> None:
        """The occurrences of the segment that begins."""
        self.sources = found
        self.stride, self.resolution, self.mid_side = band_stride, gain_resolution, mid_side

    def rise(self, source: Source, band: int) -> int | None:
        planes = source.gains
        if len(planes) > 1 and not self.mid_side:
            planes = [planes[c] for c in self.channels]
        starts = self.coarse[:: self.stride] if self.stride else [0]
        at = max(i for i, edge in enumerate(starts) if edge <= self.full[band])
        on = [plane[at] for plane in planes if plane[at] is not None]
        return 64 * max(on) // self.resolution if on else None

    def cell(self, source: Source, slot: int, channel: int, band: int) -> int:
        """What a source brings to one slot of the file."""
        j = slot + (self.slot // 2 - (source.delay >> self.phase_bits)) // self.slot
        rise = self.rise(source, band)
        outside = j < max(0, source.first // self.slot) or (
            source.last is not None and j >= -(-source.last // self.slot)
        )
        if rise is None or outside:
            return NOTHING
        if source.entry is None:
            return self.rows[j][channel][band] + rise
        assert source.entry.track is not None, "lattices bring nothing"
        of_entry = source.entry.track[j]
        return of_entry[self.channels[channel] % len(of_entry)][band] + rise

    def covering(self, depth: int) -> list[Source]:
        """The sources that cover the next block: section 9.5."""
        begin, end = self.next * self.slot, (self.next + (16 >> depth)) * self.slot
        return [s for s in self.sources if s.begin < end and s.end > begin and not s.cells]

    def brings(self, depth: int, bands: Bands | None, alone: bool = False) -> Cells:
        """P of the next block, [channels][bands]: what is known before its own levels. Without bands none."""
        sounding = [] if alone else self.covering(depth)
        self.q = [
            [
                [
                    min(max([NOTHING, *(self.cell(s, slot, c, a) for s in sounding)]), LOUDEST)
                    for a in range(len(self.full) - 1)
                ]
                for c in range(len(self.channels))
            ]
            for slot in range(self.next, self.next + (16 >> depth))
        ]
        return [[self.of_band(c, self.inside(bands, b)) for b in range(bands.count)] if bands else []
                for c in range(len(self.channels))]  # fmt: skip

    def inside(self, bands: Bands, b: int) -> list[int]:
        """The full bands in a band."""
        return [a for a, edge in enumerate(self.full[:-1]) if bands.units[b] <= edge < bands.units[b + 1]]

    def of_band(self, c: int, inside: list[int]) -> int:
        widths = [self.full[a + 1] - self.full[a] for a in inside]
        return mean([mean([row[c][a] for row in self.q], [1] * len(self.q)) for a in inside], widths)

    def takes(self, levels: list[list[int]], bands: Bands | None) -> None:
        """The levels [channels][bands] of the block that `brings` was asked for."""
        for row in self.q:
            self.rows[self.next] = [list(cells) for cells in row]
            for c in range(len(self.channels)):
                for b in range(bands.count if bands else 0):
                    for a in self.inside(bands, b):
                        self.rows[self.next][c][a] = max(row[c][a], levels[c][b])
            self.next += 1

    def silent(self) -> None:
        """A superframe of which nothing is coded."""
        self.brings(0, None)
        self.takes([], None)
