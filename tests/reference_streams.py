"""Decoders of some streams in plain Python, written from sections 6 to 8 of the specification alone."""

from __future__ import annotations

from reference_coder import ReferenceDecoder, normalised


def geometric(mean: int) -> list[int]:
    theta = (mean << 16) // (mean + 256)
    weights = [(65536 - theta) << 8]
    for _ in range(23):
        weights.append(weights[-1] * theta >> 16)
    weights[23] = (weights[23] << 16) // (65536 - theta)
    return weights


MEANS = [(2 + r % 2) << (r >> 1) for r in range(24)]
MAGNITUDES = [
    normalised([g + (wide >> 7) for g, wide in zip(geometric(mean), geometric(1024), strict=True)])
    for mean in MEANS
]
FLAGS = [normalised([63 - 2 * r, 2 * r + 1]) for r in range(32)]


class Context:
    def __init__(self, average: int = 256) -> None:
        self.average = average
        self.updates = 0

    def update(self, unit: int, values: list[int]) -> None:
        mean = unit * sum(values) // len(values)
        self.average += (mean - self.average) >> min(4, (self.updates + 2).bit_length() - 1)
        self.updates += 1


def update_all(contexts: list[Context], values: list[int], unit: int) -> None:
    for context in {id(context): context for context in contexts}.values():
        context.update(unit, [v for v, other in zip(values, contexts, strict=True) if other is context])


def unsigned(decoder: ReferenceDecoder, contexts: list[Context], order: int = 3) -> list[int]:
    rows = [max([r for r in range(24) if MEANS[r] <= context.average], default=0) for context in contexts]
    symbols = [decoder.symbol(MAGNITUDES[row]) for row in rows]
    update_all(contexts, symbols, 256)
    escaped = iter(decoder.golomb([order] * symbols.count(23)))
    return [23 + next(escaped) if symbol == 23 else symbol for symbol in symbols]


def signed(decoder: ReferenceDecoder, contexts: list[Context]) -> list[int]:
    magnitudes = unsigned(decoder, contexts)
    return [-m if m and decoder.uniform(2) else m for m in magnitudes]


def flag(decoder: ReferenceDecoder, context: Context) -> int:
    bit = decoder.symbol(FLAGS[min(context.average >> 7, 31)])
    context.update(4096, [bit])
    return bit


def field(decoder: ReferenceDecoder, bits: int) -> int:
    return decoder.bits([bits])[0]


def pieces(decoder: ReferenceDecoder, bits: int) -> int:
    return sum(field(decoder, min(16, bits - start)) << start for start in range(0, bits, 16))


class Recent:
    def __init__(self, decoder: ReferenceDecoder) -> None:
        self.decoder = decoder
        self.lists: dict[int, list[int]] = {}
        self.again, self.place = Context(2048), Context()

    def step(self, new, key: int = 0) -> int:
        own = self.lists.setdefault(key, [])
        if own and flag(self.decoder, self.again):
            value = own.pop(unsigned(self.decoder, [self.place])[0])
        else:
            value = new()
        self.lists[key] = [value, *own][:16]
        return value


class NumberCoder:
    def __init__(self, decoder: ReferenceDecoder) -> None:
        self.decoder, self.recent = decoder, Recent(decoder)
        self.length, self.bitlen = Context(), 0

    def step(self) -> int:
        return self.recent.step(self.new)

    def new(self) -> int:
        self.bitlen += signed(self.decoder, [self.length])[0]
        b = self.bitlen - 1
        return self.bitlen if b < 1 else 2**b + pieces(self.decoder, b)


SIZES = [32, 8, 16, 8, 32, 9, 9, 9, 9, 9, 9, 9, 8, 64, 8]


class Mixed:
    """Section 7.1: a symbol under rows of tables and histograms."""

    def __init__(self, decoder: ReferenceDecoder, size: int, rates: list[int], spread: bool = False) -> None:
        self.decoder, self.size, self.rates, self.spread = decoder, size, rates, spread
        self.histograms: dict[tuple[int, int], list[int]] = {}

    def symbol(self, rows: list[list[int]], contexts: list[int]) -> int:
        if self.size == 1:
            return 0
        own = [self.histograms.setdefault((h, x), [0] * self.size) for h, x in enumerate(contexts)]
        symbol = self.decoder.symbol(normalised([sum(column) for column in zip(*rows, *own, strict=True)]))
        for histogram, rate in zip(own, self.rates, strict=False):
            histogram[symbol] += rate
            for other in (symbol - 1, symbol + 1) if self.spread else ():
                if 0 <= other < self.size:
                    histogram[other] += rate // 2
        return symbol


def distance_class(distance: int) -> int:
    bits = distance.bit_length()
    return distance if distance < 4 else 2 * (bits - 2) + (distance >> (bits - 2))


class Times:
    """Section 6.4 behind the count."""

    def __init__(self, decoder: ReferenceDecoder, count: int, frames: int, phase_bits: int, tables: dict) -> None:
        self.decoder, self.rows, self.left = decoder, tables["time"], count
        self.grid = field(decoder, 5)
        self.cells = -(-(frames << phase_bits) // (1 << self.grid))
        self.classes = Mixed(decoder, 76, tables["rates"][0])
        self.cell, self.same = 0, 1

    def step(self) -> int:
        row = self.rows[distance_class((self.cells - 1 - self.cell) // self.left)]
        distance = self.classes.symbol([row], [0, self.same])
        if distance >= 4:
            b = distance // 2 - 1
            distance = ((2 + distance % 2) << b) + pieces(self.decoder, b)
        self.cell, self.left, self.same = self.cell + distance, self.left - 1, int(distance == 0)
        return self.cell << self.grid


def times(decoder: ReferenceDecoder, frames: int, phase_bits: int, tables: dict) -> list[int]:
    count = decoder.golomb([3])[0]
    coder = Times(decoder, count, frames, phase_bits, tables) if count else None
    return [coder.step() for _ in range(count)] if coder else []


def events(decoder: ReferenceDecoder, frames: int, phase_bits: int, tables: dict) -> dict[str, list]:
    """`tables`: the arrays of spec/tables/events.npz as lists."""
    count = decoder.golomb([3])[0]
    found: dict[str, list] = {"times": [], "amplitudes": [], "pans": [], "codes": []}
    if not count:
        return found
    step, pan_steps = 1 + field(decoder, 6), field(decoder, 7)
    usual = field(decoder, 1)
    sizes = SIZES if usual else [1 + field(decoder, 8) for _ in range(field(decoder, 5))]
    top, levels = field(decoder, 14) - 4096, 1 + field(decoder, 10)
    time, rates = Times(decoder, count, frames, phase_bits, tables), tables["rates"]
    note, tuning = Mixed(decoder, 129, rates[1]), Mixed(decoder, 64, rates[2], True)
    amplitude, pan = Mixed(decoder, levels, rates[3], True), Mixed(decoder, 2 * pan_steps + 1, rates[4], True)
    parts = [Mixed(decoder, size, rates[5 + i] if usual else rates[20]) for i, size in enumerate(sizes)]
    last: dict | None = None
    slots: dict[int, dict] = {}
    for _ in range(count):
        found["times"].append(time.step())
        rows = [tables["note"]]
        if last:
            rows.append(tables["interval"][time.same][128 - last["s"] : 257 - last["s"]])
        new = {"s": note.symbol(rows, [0, last["s"] if last else 129])}
        near = slots.get(new["s"])
        others = [(0, last["x"] if last else 0)] + ([(1, near["x"])] if near else [])
        rows = [
            [tables["rise"][j][min(127, max(-127, x - other)) + 127] for x in range(levels)] for j, other in others
        ]
        new["x"] = amplitude.symbol(rows, [0, new["s"] // 12, new["s"]])
        places = [event["p"] if event else 2 * pan_steps + 1 for event in (last, near)]
        rows = [[32] * (2 * pan_steps + 1)]
        if pan_steps == 3:
            rows = [tables["pan"][j][place] for j, place in enumerate(places)]
        new["p"] = pan.symbol(rows, [0, places[1], new["s"] // 12])
        new["v"] = vector = []
        for s, size in enumerate(sizes):
            beside, before = near["v"][s] if near else size, vector[-1] if vector else 0
            if usual and 5 <= s <= 11:
                before = 2 * vector[4] + int(s == 5 or vector[-1] > 0)
            rows = [[32] * size]
            if usual:
                names = ("near", beside), ("octave", new["s"] // 12), ("before", before)
                rows = [tables[f"part{s + 1}.{name}"][y] for name, y in names]
            vector.append(parts[s].symbol(rows, [0, beside, before]))
        u = min(6, max(0, (32 - new["s"] // 4 - min(2 * vector[2], 3 * vector[3] + 11)) // 3)) if usual else 7
        rows = [tables["tuning"][u]]
        if near:
            rows.append(tables["fine"][63 - near["f"] : 127 - near["f"]])
        new["f"] = tuning.symbol(rows, [0, u, new["s"]])
        last = slots[new["s"]] = new
        found["amplitudes"].append(top - new["x"])
        found["pans"].append(new["p"] - pan_steps)
        found["codes"].append([64 * new["s"] + new["f"] - 32, *vector])
    return found | {"amplitude_step": step, "sizes": [8192, *sizes]}


def noise(decoder: ReferenceDecoder, hops: int, kinds: list[int], bands_of, tables: dict) -> tuple[int, list]:
    """Section 8.1: the step, and per plane (stride, lengths, starts, ends). `bands_of` gives the number of bands of a
    kind and stride, `tables` the arrays of spec/tables/noise.npz."""
    step = 1 + field(decoder, 6)
    return step, [noise_plane(decoder, hops, kind, bands_of, tables) for kind in kinds]


def noise_plane(decoder: ReferenceDecoder, hops: int, kind: int, bands_of, tables: dict) -> tuple:
    stride = field(decoder, 4)
    bands = bands_of(kind, stride)
    scales, signs = (
        [settled(int(average)) for average in tables[name][kind]] for name in ("scales", "signs")
    )
    coder, flags = NumberCoder(decoder), [Context(2048) for _ in range(3)]
    limits = [(0, 255), (-127, 127), (0, 8), (0, 7)][kind]
    lengths: list[int] = []
    starts: list[list[int]] = []
    ends: list[list[int]] = []
    while bands and sum(lengths) < hops:
        left = hops - sum(lengths)
        lengths.append(coder.step() or left)
        joined = bool(starts) and flag(decoder, flags[0])
        if joined:
            start = ends[-1]
        else:
            before = ends[-1] if ends else [0] * bands
            start = changes(decoder, before, 1 if ends else 0, limits, scales, signs)
        held = flag(decoder, flags[1 + joined])
        end = start if held else changes(decoder, start, 2, limits, scales, signs)
        starts.append(start)
        ends.append(end)
    return stride, lengths, starts, ends


def settled(average: int) -> Context:
    context = Context(average)
    context.updates = 14
    return context


def changes(decoder, before: list[int], w: int, limits: tuple[int, int], scales: list, signs: list) -> list[int]:
    bands = len(before)
    levels, change = [0] * bands, [0] * bands
    for p in range(4):
        d = 8 >> p
        call = [j for j in range(bands) if (j % 8 == 0 if p == 0 else j % (2 * d) == d)]
        if not call:
            continue
        around, size, sign = {}, {}, {}
        for j in call:
            low = change[j - d] if p else 0
            high = (change[j + d] if j + d < bands else low) if p else 0
            around[j], size[j] = (low + high + 1) >> 1, (abs(low) + abs(high) + 1) >> 1
            sign[j] = 3 if (low + high) % 2 else (around[j] > 0) + 2 * (around[j] < 0)
        magnitudes = unsigned(decoder, [scales[16 * w + 4 * p + min(size[j], 3)] for j in call])
        some = [j for j, magnitude in zip(call, magnitudes, strict=True) if magnitude]
        contexts = [signs[4 * w + sign[j]] for j in some]
        bits = [decoder.symbol(FLAGS[min(context.average >> 7, 31)]) for context in contexts]
        if bits:
            update_all(contexts, bits, 4096)
        negative = {j for j, bit in zip(some, bits, strict=True) if bit}
        for j, magnitude in zip(call, magnitudes, strict=True):
            guess = min(limits[1], max(limits[0], before[j] + around[j]))
            levels[j] = guess + (-magnitude if j in negative else magnitude)
            change[j] = levels[j] - before[j]
    return levels


def envelope(decoder: ReferenceDecoder, groups: int, hops: int, samplerate: int, step: int, weights: list) -> list:
    """Section 8.4: gains [group][hop][band]. `step`: frames in a hop; `weights`: the array of spec/tables/envelope.npz
    as lists."""
    bins = [-(-hertz * 2 * step // samplerate) for hertz in (1500, 4000, 9000)]
    bands = len([bin for bin in bins if bin <= step])
    found = []
    for _ in range(groups):
        gains = [[0] * bands for _ in range(2 + hops)]
        if field(decoder, 1):
            classes = [field(decoder, 2) for _ in range(bands)]
            for hop in range(2, 2 + hops):
                for i in range(bands):
                    v, w = (min(2, max(-2, gains[hop - back][i])) + 2 for back in (1, 2))
                    row = 25 * (3 * classes[i] + i) + 5 * v + w
                    gains[hop][i] = decoder.symbol(normalised(weights[row])) - 4
        found.append(gains[2:])
    return found


def band_flags(decoder: ReferenceDecoder, known: list[int], classes: int, flags: list[Context]) -> list[int]:
    """Section 6.6: which bands hold something."""
    on = [0] * len(known)
    for odd in (0, 1):
        call = range(odd, len(on), 2)
        above = [on[b + 1 if b + 1 < len(on) else b - 1] if odd else 0 for b in call]
        contexts = [
            flags[classes * (1 + on[b - 1] + a if odd else 0) + known[b]] for b, a in zip(call, above, strict=True)
        ]
        bits = [decoder.symbol(FLAGS[min(context.average >> 7, 31)]) for context in contexts]
        update_all(contexts, bits, 4096)
        for b, bit in zip(call, bits, strict=True):
            on[b] = bit
    return on


def gains(decoder: ReferenceDecoder, sources: list, planes: int, bands: int) -> list:
    """Per occurrence [planes][bands], None where off."""
    flags, signs = [Context(2048) for _ in range(8)], [Context(2048) for _ in range(4)]
    scales = [Context() for _ in range(16)]
    memory: dict = {}
    latest = [[1] * bands for _ in range(planes)], [[0] * bands for _ in range(planes)]
    result = []
    for source in sources:
        was, before = memory.get(source, latest)
        on, levels = [], []
        for p in range(planes):
            on.append(band_flags(decoder, was[p], 2, flags))
            places = [b for b in range(bands) if on[p][b]]
            found = changes(decoder, [before[p][b] for b in places], 0, (-2048, 2048), scales, signs)
            levels.append(list(before[p]))
            for b, level in zip(places, found, strict=True):
                levels[p][b] = level
        latest = memory[source] = on, levels
        result.append([[levels[p][b] if on[p][b] else None for b in range(bands)] for p in range(planes)])
    return result


def occurrences(decoder: ReferenceDecoder, context, bands_of_stride, tables: dict) -> dict[str, list]:
    """`bands_of_stride` gives the number of bands of a band stride; `tables`: those of the events."""
    placed, copied = (times(decoder, context.frames, context.phase_bits, tables) for _ in range(2))
    if not placed and not copied:
        return {}
    resolution, polarity, spans, lattice = decoder_fields(decoder, [7, 1, 1, 1])
    rotation_bits = field(decoder, 4) if lattice else 0
    rates = field(decoder, 1)
    fine = field(decoder, 1) if rates else 0
    own = [decoder_fields(decoder, [1, 1, 4]) if times else [0, 0, 0] for times in (placed, copied)]
    found: dict[str, list] = {
        "times": placed + copied,
        "patterns": patterns(decoder, len(placed), context.patterns),
    }

    def column(coded: int, entries: list, step) -> list:
        if not coded or not entries:
            return [0] * len(entries)
        grid = field(decoder, 6) if step == "grid" else 0
        coder = Context(2048) if step == "flag" else NumberCoder(decoder)
        return [flag(decoder, coder) if step == "flag" else coder.step() << grid for _ in entries]

    inverted = column(polarity, placed, "flag")
    found["offsets"] = column(spans, placed, "grid") + [0] * len(copied)
    lengths = column(spans, placed, "grid")
    folded = column(lattice, placed, "number")
    found["shifts"] = [-(z + 1) // 2 if z % 2 else z // 2 for z in folded] + [0] * len(copied)
    found["rotations"] = decoder.bits([rotation_bits] * len(placed)) + [0] * len(copied)
    found["semitones"] = (semitones(decoder, found["patterns"]) if rates else [0] * len(placed)) + [0] * len(copied)
    parts = Context(0)
    found["fine"] = [signed(decoder, [parts])[0] if fine else 0 for _ in placed] + [0] * len(copied)
    lags = column(1, copied, "grid")
    found["lengths"] = lengths + column(1, copied, "grid")
    found["inverted"] = inverted + column(polarity, copied, "flag")
    found["lags"] = [0] * len(placed) + lags
    both = ("placed", found["patterns"]), ("copied", lags)
    for (name, memories), (separate, mid_side, stride) in zip(both, own, strict=True):
        shape = context.channels if separate else 1, bands_of_stride(stride)
        found[name] = gains(decoder, memories, *shape), stride, bool(mid_side)
    found["patterns"] += [-1] * len(copied)
    return found | {"settings": {"gain_resolution": 1 + resolution}}


def decoder_fields(decoder: ReferenceDecoder, widths: list[int]) -> list[int]:
    return [field(decoder, width) for width in widths]


def semitones(decoder: ReferenceDecoder, entries: list[int]) -> list[int]:
    recent, steps = Recent(decoder), Context()

    def new(entry: int) -> int:
        return next(iter(recent.lists.get(entry, [])), 0) + signed(decoder, [steps])[0]

    return [recent.step(lambda entry=entry: new(entry), entry) for entry in entries]


def patterns(decoder: ReferenceDecoder, count: int, known: int) -> list[int]:
    recent = Recent(decoder)
    return [recent.step(lambda: decoder.uniform(known)) for _ in range(count)]
