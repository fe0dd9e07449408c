"""What patterns bring to the spectra of blocks: sources delayed, transformed as the blocks are, weighted by band."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.sources import SoundSource
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.arrays import Signal
from evc.models.patterns.timeline import HALF_TAPS, Timeline, delayed
from evc.models.patterns.transposed import transposed
from evc.models.patterns.waveforms import Waveforms, add_waveform
from evc.models.spectrum.analysis import SPLITS, transform
from evc.models.spectrum.synthesis import BlockRun, Spectra


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

    @property
    def flat(self) -> bool:
        """Whether it is a waveform, placed with the same gains at all frequencies."""
        return self.source.entry is not None and self.gains.shape[1] == 1

    def weights(self, own: int, channels: slice) -> NDArray[np.float32]:
        """How loud the group's `channels` have each of the waveform's `own` channels, where it is flat: float32
        [channels of the group, own]."""
        count, gains = channels.stop - channels.start, self.gains[:, 0]
        heard = np.zeros((count, own), np.float32)
        heard[np.arange(count), np.arange(channels.start, channels.stop) % own] = 1
        if not self.mid_side:
            return heard * np.broadcast_to(gains, count)[:, None]
        same, other = (gains[0] + gains[1]) / 2, (gains[0] - gains[1]) / 2
        found: NDArray[np.float32] = np.array([[same, other], [other, same]], np.float32) @ heard
        return found

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
    edges = {
        gains.stride: np.rint(gains.edges(samplerate) / unit).astype(np.int64)
        for gains in (stream.placed, stream.copied)
    }
    end = span[0] + -(-span[1] // superframe) * superframe
    found = []
    for source in sources:
        levels, gains = stream.gains_of(source.row)
        if len(levels) > 1 and not gains.mid_side:
            levels = levels[channels]
        on = levels != OFF
        if on.any():
            sign = -1 if stream.inverted[source.row] else 1
            linear = np.where(on, sign * np.exp2(np.where(on, levels, 0) / stream.gain_resolution), 0)
            found.append(
                Sounding(
                    source,
                    phase_bits,
                    source.begin,
                    min(source.end, end),
                    linear.astype(np.float32),
                    on,
                    gains.mid_side,
                    edges[gains.stride],
                    float(stream.shifts[source.row]) / (1 << phase_bits),
                    float(stream.rotations[source.row]) / (1 << stream.rotation_bits),
                )
            )
    return found


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
    soundings = list(soundings)
    found = _waveforms_together(run, [one for one in soundings if one.flat], channels, waveforms)
    for sounding in soundings:
        if sounding.flat:
            continue
        covered = (run.starts + run.sizes > sounding.begin) & (run.starts < sounding.end)
        if covered.any():
            found = found or _silence(run, timeline.channels)
            _add(found, run, covered, sounding, timeline, channels, waveforms)
    return found


def _waveforms_together(
    run: BlockRun, flat: list[Sounding], channels: slice, waveforms: Waveforms | None
) -> Prediction | None:
    """What placements of waveforms in one band bring: they are summed before they are transformed. None where none of
    them sounds.

    Blocks that such a placement does not cover hear nothing of it anyway: their windows do not reach it.
    """
    size = run.superframe
    begin, end = run.first * size, run.end * size
    flat = [sounding for sounding in flat if sounding.begin < end and begin < sounding.end]
    if not flat:
        return None
    total = np.zeros((channels.stop - channels.start, end - begin + size), np.float32)
    for sounding in flat:
        waveform = _waveform(sounding, waveforms)
        weights = sounding.weights(len(waveform), channels)
        add_waveform(total, begin - size // 2, waveform, sounding.source, sounding.phase_bits, weights)
    found = transform(total, size // 2, run.depths, size, run.before, run.after)
    return Prediction({depth: spectra for depth, (_, spectra) in found.items()})


def _waveform(sounding: Sounding, waveforms: Waveforms | None) -> Signal:
    """Of a placement's entry."""
    if waveforms is None or sounding.source.entry is None:
        raise FormatError("an occurrence sounds from a dictionary that is not there")
    return waveforms.get(sounding.source.entry, sounding.shift, sounding.rotation)


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
        waveform = _waveform(sounding, waveforms)
        waveform = waveform[np.arange(channels.start, channels.stop) % len(waveform)]
        if not source.as_it_is:
            return transposed(waveform, source, start, count, sounding.phase_bits)

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
