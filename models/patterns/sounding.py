"""What patterns bring to the spectra of blocks: sources delayed, transformed as the blocks are, weighted by band."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.errors import DamagedError, FormatError
from evc.format.sources import Entry, SoundSource
from evc.format.streams.bands import band_edges
from evc.format.streams.dictionary import Explicit, Lattice
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import channel_groups
from evc.models.arrays import Signal
from evc.models.patterns.timeline import HALF_TAPS, Timeline, delayed
from evc.models.spectrum.analysis import SPLITS, transform
from evc.models.spectrum.synthesis import BlockRun, Spectra, residual_spectra

KEPT_WAVEFORM_BYTES = 1 << 26
UNIT = 2.0**15  # full scale


@dataclass(frozen=True, eq=False)
class Sounding:
    """One occurrence as one channel group hears it. It sounds in the blocks that overlap frames [begin, end).

    gains: float32 [planes, bands], 0 where off, with sign; on: bool [planes, bands]; the planes are one for all
    channels, one per channel, or mid and side. edges: of the bands [bands + 1], in the spectrum stream's units.
    shift, rotation: of a lattice, in cells and turns.
    """

    source: SoundSource
    phase_bits: int
    begin: int
    end: int
    gains: NDArray[np.float32]
    on: NDArray[np.bool_]
    mid_side: bool
    edges: NDArray[np.int64]
    shift: float = 0.0
    rotation: float = 0.0

    def reads(self, number: int, superframe: int) -> tuple[int, int] | None:
        """Frames [from, to) of the file's own past that it takes for the blocks of superframe `number`, windows and
        interpolation included; None where it takes none."""
        source = self.source
        first, end = number * superframe, (number + 1) * superframe
        if source.entry is not None or end <= self.begin or self.end <= first:
            return None
        taps = HALF_TAPS if source.delay & ((1 << self.phase_bits) - 1) else 0
        earlier = source.delay >> self.phase_bits
        low = max(first - superframe // 2 - earlier - taps, source.first, 0)
        high = min(end + superframe // 2 - earlier + max(taps - 1, 0), source.last)
        return (low, high) if low < high else None


@dataclass
class Prediction:
    """What sounds from patterns in a run of blocks: `spectra` by depth, float32 [channels, blocks, size] in 16-bit
    units."""

    spectra: Spectra

    def leave(self, run: BlockRun, alone: NDArray[np.bool_]) -> None:
        """Take back what is in the blocks [blocks of the run] that are `alone`."""
        for depth, spectra in self.spectra.items():
            spectra[:, alone[run.numbers(depth)]] = 0


class Waveforms:
    """Sound of the dictionary's entries, rendered when first asked for; those used last are kept."""

    def __init__(self, entries: Sequence[Entry | None], samplerate: int) -> None:
        self._entries, self._samplerate = entries, samplerate
        self._kept: OrderedDict[tuple[int, float, float], Signal] = OrderedDict()

    def get(self, entry: int, shift: float = 0.0, rotation: float = 0.0) -> Signal:
        """float32 [channels, frames] in 16-bit units. shift: cells, rotation: turns, of a lattice."""
        key = (entry, shift, rotation)
        if key not in self._kept:
            self._kept[key] = self._rendered(entry, shift, rotation)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_WAVEFORM_BYTES:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _rendered(self, number: int, shift: float, rotation: float) -> Signal:
        entry = self._entries[number]
        if entry is not None and isinstance(entry.pattern, Explicit):
            return render_explicit(entry, self._samplerate)
        if entry is not None and isinstance(entry.pattern, Lattice):
            from evc.models.patterns.lattice import render_placement

            audio = UNIT * render_placement(entry.pattern, self._samplerate, shift, rotation)
            return audio.astype(np.float32)[None]
        raise DamagedError(f"dictionary entry {number} is lost")


def render_explicit(entry: Entry, samplerate: int) -> Signal:
    """An explicit pattern, a file of its own (spec 10.6): float32 [channels, frames] in 16-bit units."""
    pattern, spectrum = entry.pattern, entry.spectrum
    if not isinstance(pattern, Explicit) or spectrum is None:
        raise FormatError("an entry that is no explicit pattern has no spectrum of its own")
    superframe = c.superframe_length(samplerate)
    count = -(-pattern.frames // superframe)
    out = np.zeros((pattern.channels, pattern.frames), np.float32)
    for group, channels in zip(spectrum.groups, channel_groups(pattern.channels), strict=True):
        if not group.superframes:
            continue
        blocks = [block for superframe in group.superframes for block in superframe]
        run = BlockRun(superframe, 0, [tuple(block.depth for block in blocks) for blocks in group.superframes])
        timeline = Timeline(superframe, channels.stop - channels.start, count)
        timeline.put(run, residual_spectra(run, blocks, channels))
        out[channels] = timeline.fetch(0, pattern.frames)
    return out


def soundings(
    stream: OccurrenceStream,
    sources: Iterable[SoundSource],
    samplerate: int,
    phase_bits: int,
    span: tuple[int, int],
    channels: slice,
) -> list[Sounding]:
    """The occurrences of a segment as one channel group hears them; those that are off throughout are left out.

    sources: of the stream's occurrences, all or some (evc.format.sources.sound_sources); span: first frame and number
    of frames of the segment; channels: of the group.
    """
    superframe = c.superframe_length(samplerate)
    unit = samplerate / 2 / (superframe >> SPLITS)
    edges = np.rint(band_edges(samplerate, stream.band_stride, fine=False) / unit).astype(np.int64)
    levels = stream.gains
    if levels.shape[1] > 1 and not stream.mid_side:
        levels = levels[:, channels]
    on = levels != OFF
    sign = np.where(stream.inverted == 1, np.float32(-1), np.float32(1))[:, None, None]
    gains = np.where(on, sign * np.exp2(np.where(on, levels, 0) / stream.gain_resolution), 0).astype(np.float32)
    end = span[0] + -(-span[1] // superframe) * superframe
    return [
        Sounding(
            source,
            phase_bits,
            source.begin,
            min(source.end, end),
            gains[source.row],
            on[source.row],
            stream.mid_side,
            edges,
            float(stream.shifts[source.row]) / (1 << phase_bits),
            float(stream.rotations[source.row]) / (1 << stream.rotation_bits),
        )
        for source in sources
        if on[source.row].any()
    ]


def predict(
    run: BlockRun,
    soundings: Iterable[Sounding],
    timeline: Timeline,
    channels: slice,
    waveforms: Waveforms | None = None,
) -> Prediction | None:
    """What `soundings` bring to a run of blocks of the group of `channels`; None where none sounds.

    `timeline` has to hold what they read: see `Sounding.reads`. Raises KeyError where it does not.
    """
    found: Prediction | None = None
    for sounding in soundings:
        covered = (run.starts + run.sizes > sounding.begin) & (run.starts < sounding.end)
        if covered.any():
            found = found or _silence(run, timeline.channels)
            _add(found, run, covered, sounding, timeline, channels, waveforms)
    return found


def _silence(run: BlockRun, channels: int) -> Prediction:
    spectra: Spectra = {}
    for depth in map(int, np.unique(run.depths)):
        spectra[depth] = np.zeros((channels, len(run.numbers(depth)), run.superframe >> depth), np.float32)
    return Prediction(spectra)


def _add(
    total: Prediction,
    run: BlockRun,
    covered: NDArray[np.bool_],
    sounding: Sounding,
    timeline: Timeline,
    channels: slice,
    waveforms: Waveforms | None,
) -> None:
    """Add one sounding to the blocks that it covers."""
    size = run.superframe
    places = run.starts[covered] // size
    part = run.part(int(places[0]), int(places[-1]) + 1)
    offset = int(np.searchsorted(run.starts, part.first * size))
    start, count = part.first * size - size // 2, (len(part.partitions) + 1) * size
    source = _source(sounding, start, count, timeline, channels, waveforms)
    for depth, (numbers, spectra) in transform(source, size // 2, part.depths, size, part.before, part.after).items():
        chosen = covered[numbers + offset]
        rows = np.searchsorted(run.numbers(depth), numbers[chosen] + offset)
        _add_weighted(total.spectra[depth], rows, spectra, np.flatnonzero(chosen), sounding, depth)


def _source(
    sounding: Sounding, start: int, count: int, timeline: Timeline, channels: slice, waveforms: Waveforms | None
) -> Signal:
    """What sounds, before gains: float32 [channels, count] from frame `start` of the file on."""
    source = sounding.source
    waveform: Signal | None = None
    if source.entry is not None:
        if waveforms is None:
            raise FormatError("an occurrence sounds from a dictionary that is not there")
        waveform = waveforms.get(source.entry, sounding.shift, sounding.rotation)
        waveform = waveform[np.arange(channels.start, channels.stop) % len(waveform)]

    def read(first: int, length: int) -> Signal:
        out = np.zeros((timeline.channels, length), np.float32)
        low = max(first, source.first)
        high = min(first + length, source.last if waveform is None else min(source.last, waveform.shape[1]))
        if low < high:
            part = timeline.fetch(low, high - low) if waveform is None else waveform[:, low:high]
            out[:, low - first : high - first] = part
        return out

    return delayed(read, start, count, source.delay, sounding.phase_bits)


def _add_weighted(
    total: Signal, rows: NDArray[np.int64], spectra: Signal, chosen: NDArray[np.int64], sounding: Sounding, depth: int
) -> None:
    """Add blocks `chosen` of spectra [channels, blocks, size], weighted, to `rows` of `total`, which has the same
    shape but for the number of blocks."""
    if kernels.lib is None:
        total[:, rows] += _weighted(spectra[:, chosen], sounding, depth)
        return
    channels, blocks, size = spectra.shape
    edges = np.ascontiguousarray(sounding.edges, np.int64) << (SPLITS - depth)
    planes = len(sounding.gains)
    if edges[-1] != size or planes not in (1, channels) or sounding.mid_side and (planes, channels) != (2, 2):
        raise ValueError(f"gains {sounding.gains.shape} up to bin {edges[-1]} do not go with spectra {spectra.shape}")
    rows, chosen = np.ascontiguousarray(rows, np.int64), np.ascontiguousarray(chosen, np.int64)
    if len(rows) != len(chosen) or not (_within(rows, total.shape[1]) and _within(chosen, blocks)):
        raise IndexError("there are not as many blocks")
    spectra, gains = np.ascontiguousarray(spectra, np.float32), np.ascontiguousarray(sounding.gains, np.float32)
    kernels.lib.evc_weigh(
        kernels.pointer(spectra), blocks, kernels.pointer(chosen), kernels.pointer(total), total.shape[1],
        kernels.pointer(rows), len(rows), channels, size, kernels.pointer(gains), planes, sounding.mid_side,
        kernels.pointer(edges), len(edges) - 1,
    )  # fmt: skip


def _within(places: NDArray[np.int64], count: int) -> bool:
    return bool(places.min(initial=0) >= 0 and places.max(initial=-1) < count)


def _weighted(spectra: Signal, sounding: Sounding, depth: int) -> Signal:
    """Spectra [channels, blocks, size] times the gain of each band and plane."""
    weights = np.repeat(sounding.gains, np.diff(sounding.edges) << (SPLITS - depth), axis=-1)[:, None]
    if not sounding.mid_side:
        return spectra * weights
    left, right = spectra
    half = np.float32(0.5)
    mid, side = (left + right) * (half * weights[0]), (left - right) * (half * weights[1])
    return np.stack([mid + side, mid - side])
