"""A decoder of the spectrum stream's integers in plain Python, written from section 9 of the specification alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from pathlib import Path

import numpy as np
from reference_coder import ReferenceDecoder, normalised
from reference_streams import FLAGS, Context, band_flags, changes, update_all

TABLES = Path(__file__).parent.parent / "spec" / "tables" / "spectrum.npz"
FINE = [*range(11), 12, 14, 16, 18, 20, 22, 25, 28, 32, 36, 41, 46, 52, 59, 67, 76, 87, 100, 115, 132, 152, 176, 216]
FINE += [240, 300, 360, 430, 512, 620, 750, 900, 1024]
COARSE = [0, 1, 2, 4, 6, 8, 10, 14, 18, 22, 28, 36, 46, 59, 76, 100, 132, 176, 216, 240, 360, 512, 750, 1024]
LOG = [0, 0, 64, 101, 128, 149, 165, 180, 192, 203, 213, 221, 229, 237, 244, 250, 256]

Ints = list[int]
Spans = Sequence[tuple[int, int]]


@lru_cache
def arrays() -> dict[str, list]:
    with np.load(TABLES) as file:
        return {name: file[name].tolist() for name in file.files}


@lru_cache(maxsize=4096)
def row_of(table: str, row: int) -> Ints:
    return normalised(arrays()[table][row])


def clip(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def near(values: Ints, index: int) -> int:
    """values[index], or the first or last of them outside."""
    return values[clip(index, 0, len(values) - 1)]


def network(name: str, values: Ints) -> Ints:
    for layer in range(3):
        weights, biases = arrays()[f"{name}.w{layer}"], arrays()[f"{name}.b{layer}"]
        shift = arrays()[f"{name}.shifts"][layer]
        values = [(sum(map(mul, row, values)) + bias) >> shift for row, bias in zip(weights, biases, strict=True)]
        if layer < 2:
            values = [clip(value, 0, 255) for value in values]
    return values


class Bands:
    """The bands of one depth: edges in units and in bins."""

    def __init__(self, depth: int, highest: int) -> None:
        self.name = "fine" if depth < 3 else "coarse"
        self.units = [edge for edge in (FINE if depth < 3 else COARSE) if edge < highest] + [highest]
        self.edges = [edge << (4 - depth) for edge in self.units]
        self.count = len(self.units) - 1
        self.bins = self.edges[-1]
        self.widths = [high - low for low, high in zip(self.edges, self.edges[1:], strict=False)]
        self.of_bin = [band for band, width in enumerate(self.widths) for _ in range(width)]

    def range(self, band: int) -> range:
        return range(self.edges[band], self.edges[band + 1])


class Memory:
    """What one channel keeps of the two blocks before."""

    def __init__(self, bands: Bands) -> None:
        self.depth = 0
        self.energies = [[0] * bands.count, [0] * bands.count]
        self.amplitudes = [[-1280] * bands.bins, [-1280] * bands.bins]
        self.steps = [384] * bands.count

    def align(self, depth: int, layouts: list[Bands]) -> None:
        old, new = layouts[self.depth], layouts[depth]
        ends = [layouts[0].units.index(edge) for edge in new.units]

        def carried(values: Ints) -> Ints:
            fine = [values[max(b for b in range(old.count) if old.units[b] <= edge)] for edge in layouts[0].units[:-1]]
            return [sum(fine[a:b]) // (b - a) for a, b in zip(ends, ends[1:], strict=False)]

        self.steps = carried(self.steps)
        for i in range(2):
            self.energies[i] = carried(self.energies[i])
            values = self.amplitudes[i]
            if depth > self.depth:
                n = 1 << (depth - self.depth)
                self.amplitudes[i] = [max(values[k : k + n]) for k in range(0, len(values), n)]
            else:
                self.amplitudes[i] = [values[k >> (self.depth - depth)] for k in range(new.bins)]
        self.depth = depth


class GroupDecoder:
    """`covered`: frames [begin, end) of the segment in which patterns cover blocks."""

    def __init__(
        self, decoder: ReferenceDecoder, channels: int, gain: int, coarse_bands: int, units: int, covered: Spans = ()
    ) -> None:
        self.decoder, self.channels, self.gain, self.coarse_bands = decoder, channels, gain, coarse_bands
        self.covered, self.graded, self.offset = covered, decoder.uniform(2), 0
        self.superframe_length, self.frame = 16 * units, 0
        self.expected: list[Ints] = []
        self.layouts = [Bands(depth, min(COARSE[coarse_bands], units)) for depth in range(5)]
        self.memories = [Memory(self.layouts[0]) for _ in range(channels)]
        self.modes = [8] * coarse_bands
        self.depth_before = self.deepest = 0
        self.last: dict | None = None
        self.coded: list[tuple[Ints, int, int, int]] = []  # coefficients of a channel, bin, symbol, shift
        self.alone = 0
        self.left_flags = [Context(2048) for _ in range(24)]
        self.left_changes, self.left_rises = (
            ([Context() for _ in range(16)], [Context(2048) for _ in range(4)]) for _ in range(2)
        )
        self.left_changed = Context(2048)
        self.expect(self.layouts[0])
        self.left_past = [[0] * self.layouts[0].count for _ in range(channels)]

    def superframe(self) -> list[dict]:
        if self.graded:
            self.offset = self.decoder.symbol(normalised([135 if o == self.offset else 1 for o in range(16)]))
        depths = {0: 0}  # by first sixteenth
        for depth in range(4):
            for start in sorted(start for start, d in depths.items() if d == depth):
                if self.decoder.symbol(row_of("split.table", 5 * depth + self.deepest)):
                    depths[start] = depths[start + (8 >> depth)] = depth + 1
        self.deepest = max(depths.values())
        return [self.block(depths[start]) for start in sorted(depths)]

    def block(self, depth: int) -> dict:
        for memory in self.memories:
            memory.align(depth, self.layouts)
        self.static = [32 * (d == depth) for d in range(5)] + [16 * (self.depth_before - depth)]
        bands = self.layouts[depth]
        alone = predicted = False
        begin, self.frame = self.frame, self.frame + (self.superframe_length >> depth)
        if any(first < self.frame and end > begin for first, end in self.covered):
            alone = bool(self.decoder.symbol(normalised([[63, 1], [1, 1]][self.alone])))
            self.alone, predicted = int(alone), not alone
        held = 0
        if self.last and self.last["depth"] == depth:
            held = self.decoder.symbol(row_of("hold.table", 2 * depth + self.last["held"]))
        energies: list[Ints] = self.last["energies"] if self.last and held else []
        coded_modes = self.channels == 2 and not held
        if not held and predicted:
            on = self.decode_on(bands)
            coded_modes = coded_modes and any(map(any, on))
            energies = [[0] * bands.count for _ in on]
            if any(map(any, on)):
                if coded_modes:
                    self.decode_modes()
                energies = self.decode_left(bands, on)
        elif not held:
            if coded_modes:
                self.decode_modes()
            for channel in range(self.channels):
                energies.append(self.decode_energies(channel, bands, energies))
        own = [[-448 + 46 * (energy - 1) for energy in channel] for channel in energies]
        if not predicted:
            for memory, new, relative in zip(self.memories, energies, self.relative_steps(bands, own), strict=True):
                memory.energies = [[4 * energy for energy in new], memory.energies[0]]
                memory.steps = relative
            self.expect(bands)
        else:
            offset = arrays()[f"{bands.name}.offset"]
            for memory in self.memories:
                found = [76 + ((31 * (s - 384 - offset[b])) >> 8) for b, s in enumerate(memory.steps)]
                memory.energies = [[clip(e, 0, 188) for e in found], memory.energies[0]]
        steps = self.steps()
        coefficients = [[0] * bands.bins for _ in range(self.channels)]
        loud: Ints = []
        for channel, (memory, new) in enumerate(zip(self.memories, energies, strict=True)):
            levels = own[channel]
            audible = [band for band in range(bands.count) if new[band] > 0]
            loud = self.decode_coefficients(
                channel, bands, levels, steps[channel], audible, coefficients[channel], loud
            )
            memory.amplitudes = [loud[1:-1], memory.amplitudes[0]]
        self.depth_before = depth
        modes = self.last["modes"] if self.last and held else [0] * self.coarse_bands
        if coded_modes:
            modes = list(self.modes)
        self.last = {"depth": depth, "held": held, "modes": modes, "energies": energies}
        return self.last | {"coefficients": coefficients, "offset": self.offset, "alone": alone}

    def decode_modes(self) -> None:
        modes = list(self.modes)
        for band in range(0, len(modes), 2):
            modes[band] = self.decoder.symbol(row_of("stereo.table", 9 * self.modes[band] + 8))
        for band in range(1, len(modes), 2):
            modes[band] = self.decoder.symbol(row_of("stereo.table", 9 * self.modes[band] + modes[band - 1]))
        self.modes = modes

    def decode_energies(self, channel: int, bands: Bands, first: list[Ints]) -> Ints:
        one, two = self.memories[channel].energies
        now: dict[int, int] = {}

        def known(band: int) -> int:
            return 4 * now.get(clip(band, 0, bands.count - 1), 0)

        for stage in range(3):
            at = [b for b in range(bands.count) if (b % 4 == 0, b % 4 == 2, b % 2 == 1)[stage]]
            name = f"energy{channel}{stage}"
            predicted, symbols = [], []
            for b in at:
                r = one[b]
                looks = [near(one, b + o) for o in (-2, -1, 1, 2)] + [near(two, b + o) for o in (-1, 0, 1)]
                looks += [known(b + o) for o in ((), (-2, 2), (-1, 1, -3, 3))[stage]]
                if channel:
                    looks += [4 * near(first[0], b + o) for o in (-1, 0, 1)]
                    looks += [near(self.memories[0].energies[0], b + o) for o in (-1, 0, 1)]
                features = [r >> 1, 3 * b, 32 * (r == 0)] + [look - r for look in looks]
                shift, scale = network(name, self.static + [clip(f, -127, 127) for f in features])
                p = r + shift
                predicted.append(p >> 2)
                symbols.append(self.decoder.symbol(row_of(f"{name}.table", 4 * clip(scale, 0, 7) + p % 4)))
            escapes = iter(self.decoder.golomb([0] * sum(s in (0, 32) for s in symbols)))
            for b, p, s in zip(at, predicted, symbols, strict=True):
                energy = p + s - 16 + (next(escapes) * (1 if s else -1) if s in (0, 32) else 0)
                assert 0 <= energy <= 47, "malformed"
                now[b] = energy
        return [now[b] for b in range(bands.count)]

    def decode_on(self, bands: Bands) -> list[Ints]:
        """Section 9.7, step 1: which bands [channels][bands] of a predicted block have an energy."""
        fine = self.layouts[0].units
        found: list[Ints] = []
        for channel in range(self.channels):
            past = self.left_past[channel]
            known = [
                past[fine.index(bands.units[b])] + 2 * (found[0][b] if channel else 2) for b in range(bands.count)
            ]
            on = band_flags(self.decoder, known, 6, self.left_flags)
            for a, unit in enumerate(fine[:-1]):
                past[a] = on[max(b for b in range(bands.count) if bands.units[b] <= unit)]
            found.append(on)
        return found

    def expect(self, bands: Bands) -> None:
        """`latest` of section 9.7 after a block that is not predicted, by fine band."""
        fine = [max(b for b in range(bands.count) if bands.units[b] <= edge) for edge in self.layouts[0].units[:-1]]
        self.expected = [[clip((row[b] + 448) // 46 + 2, 1, 47) for b in fine] for row in self.steps()]

    def decode_left(self, bands: Bands, on: list[Ints]) -> list[Ints]:
        """The energies of a predicted block; steps follow them."""
        fine = self.layouts[0].units
        inside = [range(fine.index(low), fine.index(high)) for low, high in zip(bands.units, bands.units[1:])]
        energies: list[Ints] = []
        places = [[b for b, bit in enumerate(row) if bit] for row in on]
        for channel, (memory, some) in enumerate(zip(self.memories, places, strict=True)):
            energies.append([0] * bands.count)
            expected = self.expected[channel]
            before = [expected[inside[b][0]] for b in some]
            levels = changes(self.decoder, before, 0, (1, 47), *self.left_changes)
            for b, level, last in zip(some, levels, before, strict=True):
                energies[-1][b] = level
                assert 1 <= level <= 47, "malformed"
                memory.steps[b] += 20 * (level - last)
                for a in inside[b]:
                    expected[a] = energies[-1][b]
        changed = self.decoder.symbol(FLAGS[min(self.left_changed.average >> 7, 31)])
        update_all([self.left_changed], [changed], 4096)
        for memory, some in zip(self.memories, places, strict=True):
            if changed:
                rises = changes(self.decoder, [0] * len(some), 0, (-96, 96), *self.left_rises)
                for b, rise in zip(some, rises, strict=True):
                    memory.steps[b] += 32 * rise
            for b in some:
                memory.steps[b] = clip(memory.steps[b], -1024, 2047)
        return energies

    def steps(self) -> list[Ints]:
        """Of the block that is decoded, [channels][bands]."""
        return [[self.gain - 16 * self.offset + step for step in memory.steps] for memory in self.memories]

    def relative_steps(self, bands: Bands, levels: list[Ints]) -> list[Ints]:
        """From levels [channels][bands], for a gain of 0."""
        loudest = [max(channel[b] for channel in levels) for b in range(bands.count)]
        spreading, offset = arrays()[f"{bands.name}.spreading"], arrays()[f"{bands.name}.offset"]
        spread = [max(loudest[o] - spreading[b][o] for o in range(bands.count)) for b in range(bands.count)]
        return [
            [384 + ((19 * (level - 384) + 27 * (spread[b] - 384)) >> 6) + offset[b] for b, level in enumerate(channel)]
            for channel in levels
        ]

    def decode_coefficients(self, channel: int, bands: Bands, levels: Ints, steps: Ints, audible: Ints,
                            target: Ints, first: Ints) -> Ints:  # fmt: skip
        """Log amplitudes, with one more at each end; `first` holds those of the first channel. Symbols go to
        `self.coded`, with their place in `target`."""
        one, two = self.memories[channel].amplitudes
        flags = {}
        for b in audible:
            relative = levels[b] - steps[b]
            level = clip((relative + 160) >> 4, 0, 15)
            past = clip((max(one[k] for k in bands.range(b)) - steps[b] + 128) >> 6, 0, 3)
            width = min(bands.widths[b].bit_length() - 1, 9)
            third = 1 + (max(first[k + 1] for k in bands.range(b)) >= steps[b]) if channel else 0
            flags[b] = self.decoder.symbol(row_of("band.table", ((level * 4 + past) * 10 + width) * 3 + third))
        shifts = [clip(((level - step) >> 6) - 2, 0, 20) for level, step in zip(levels, steps, strict=True)]
        raised = [step + 64 * shift for step, shift in zip(steps, shifts, strict=True)]
        now = [min(levels[b], raised[b] - 64) for b in bands.of_bin]
        now = [now[0], *now, now[-1]]  # bin k is at k + 1; what is outside stays as it is
        for stage in range(2):
            name = f"coefficient{channel}{stage}"
            for k in [k for k in range(stage, bands.bins, 2) if flags.get(bands.of_bin[k])]:
                b = bands.of_bin[k]
                step = raised[b]
                looks = [near(one, k + o) for o in (-2, -1, 0, 1, 2)] + [near(two, k + o) for o in (-1, 0, 1)]
                looks.append(sum(near(one, k + o) for o in range(-6, 7)) // 13)
                if stage:
                    looks += [near(now, k + 1 + o) for o in (-5, -3, -1, 1, 3, 5)]
                if channel:
                    looks += [near(first, k + 1 + o) for o in (-2, -1, 0, 1, 2)]
                features = [(near(levels, b + o) - step) >> 3 for o in (0, -1, 1)] + [bands.widths[b]]
                features += [(look - step) >> 3 for look in looks]
                row, shape = network(name, self.static + [clip(f, -127, 127) for f in features])
                symbol = self.decoder.symbol(row_of(f"{name}.table", clip(row, 0, 47) + 48 * clip(shape, 0, 2)))
                self.coded.append((target, k, symbol, shifts[b]))
                if symbol:
                    now[k + 1] = LOG[symbol] + step
        return now


def superframe_of(samplerate: int) -> int:
    superframe, highest = 1024, 16_000
    while samplerate > highest and superframe < 16_384:
        superframe, highest = 2 * superframe, 2 * highest
    return superframe


def spectrum(
    decoder: ReferenceDecoder, samplerate: int, channels: int, frames: int, covered: Spans = ()
) -> list[dict]:
    """Per channel group: gain, coarse_bands and superframes, each a list of blocks. `covered`: frames [begin, end) of
    the segment in which patterns cover blocks."""
    superframe = superframe_of(samplerate)
    groups, coded = [], []
    for first in range(0, channels, 2):
        gain = decoder.uniform(4096) - 2048
        coarse_bands = decoder.uniform(24)
        units = superframe // 16
        assert coarse_bands == 0 or COARSE[coarse_bands - 1] < units, "malformed"
        count = -(-frames // superframe)
        groups.append({"gain": gain, "coarse_bands": coarse_bands, "superframes": []})
        if not coarse_bands:
            continue
        group = GroupDecoder(decoder, min(2, channels - first), gain, coarse_bands, units, covered)
        groups[-1]["superframes"] = [group.superframe() for _ in range(count)]
        coded += group.coded
    if not coded:
        return groups
    escapes = iter(decoder.golomb([3] * sum(symbol == 16 for _, _, symbol, _ in coded)))
    high = [symbol + next(escapes) if symbol == 16 else symbol for _, _, symbol, _ in coded]
    low = decoder.bits([shift for _, _, _, shift in coded])
    for (target, k, _, shift), upper, lower in zip(coded, high, low, strict=True):
        target[k] = (upper << shift) + lower
        assert target[k] <= 2**24, "malformed"
    some = [(target, k) for target, k, _, _ in coded if target[k]]
    for (target, k), negative in zip(some, decoder.bits([1] * len(some)), strict=True):
        target[k] *= 1 - 2 * negative
    return groups
