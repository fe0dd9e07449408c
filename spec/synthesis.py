"""Section 10 of the specification in double precision, equation by equation: the PCM that decoders are held to.

Slow and plain on purpose, and apart from `evc.models`, whose faster synthesis in single precision it checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.header import Header
from evc.format.sources import Entry, SoundSource, sound_sources
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.bands import band_edges
from evc.format.streams.dictionary import Explicit, Lattice
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Sounding:
    """An occurrence: gains [planes, bands], None where off, and edges of the bands in units (9.2)."""

    source: SoundSource
    waveform: Floats | None
    gains: list[list[float | None]]
    mid_side: bool
    edges: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Part:
    """One block of the file: first frame, length, what is coded in it, and what sounds in it."""

    start: int
    size: int
    block: Block | None
    soundings: list[_Sounding]


def synthesise(
    header: Header,
    spectra: Mapping[int, SpectrumStream],
    occurrences: Mapping[int, OccurrenceStream] | None = None,
    entries: Sequence[Entry | None] = (),
) -> Floats:
    """The whole file, float64 [channels, frames] of full scale 1, from the streams of its segments and the entries of
    its dictionary; segments that are missing are silence."""
    out = np.zeros((header.channels, header.known_frames))
    soundings = {index: _soundings(header, index, stream, entries) for index, stream in (occurrences or {}).items()}
    for number, channels in enumerate(channel_groups(header.channels)):
        groups = {index: stream.groups[number].superframes for index, stream in spectra.items()}
        out[channels] = _group(header, groups, soundings, channels)
    return out


def without_overlap(header: Header, output: Floats) -> Floats:
    """Section 10.6: the sound [channels, F] of a file from its output [channels, frames]: a loop's start fades in from
    what is coded behind its end."""
    if not header.loop:
        return output
    overlap = c.superframe_length(header.samplerate) // 8
    frames = output.shape[1] - overlap
    meeting = min(overlap, frames)
    angle = np.pi / 2 * (np.arange(meeting) + 0.5) / meeting
    sound = output[:, :frames].copy()
    behind = output[:, frames : frames + meeting]
    sound[:, :meeting] = sound[:, :meeting] * np.sin(angle) ** 2 + behind * np.cos(angle) ** 2
    return sound


def noise(counters: NDArray[np.int64]) -> Floats:
    """Section 10.2: the hash of counters, as noise of unit power."""
    mask = np.uint64(2**32 - 1)
    x = counters.astype(np.uint64) & mask
    x ^= x >> np.uint64(16)
    x = x * np.uint64(0x7FEB352D) & mask
    x ^= x >> np.uint64(15)
    x = x * np.uint64(0x846CA68B) & mask
    x ^= x >> np.uint64(16)
    return np.sqrt(3) * (x.astype(np.float64) / 2**31 - 1)


def dct4(spectrum: Floats) -> Floats:
    """Section 10.4: the orthonormal DCT-IV [..., size], by a Fourier transform of twice its size."""
    size = spectrum.shape[-1]
    n = np.arange(size)
    turned = np.fft.fft(spectrum * np.exp(-0.5j * np.pi * n / size), 2 * size)[..., :size]
    return np.sqrt(2 / size) * (turned * np.exp(-0.25j * np.pi * (2 * n + 1) / size)).real


def _group(
    header: Header,
    groups: Mapping[int, list[list[Block]]],
    soundings: Mapping[int, list[_Sounding]],
    channels: slice,
) -> Floats:
    superframe = c.superframe_length(header.samplerate)
    parts = _parts(header, groups, soundings)
    count = -(-header.known_frames // superframe)
    signal = np.zeros((channels.stop - channels.start, count * superframe))
    sizes = [part.size for part in parts]
    for part, before, after in zip(parts, [0, *sizes[:-1]], [*sizes[1:], 0], strict=True):
        spectrum = np.zeros((len(signal), part.size))
        if part.block is not None:
            spectrum += _spectrum(part, part.block, superframe, channels)
        if part.soundings:
            complete = part.start // superframe * superframe
            past = signal[:, :complete].copy()
            _unfold(past, [other.start for other in parts if other.start < complete])
            past = past[:, : max(complete - superframe // 2, 0)]
            for sounding in part.soundings:
                spectrum += _prediction(header, sounding, past, part, before, after, channels)
        signal[:, part.start : part.start + part.size] = dct4(spectrum)
    _unfold(signal, [part.start for part in parts])
    return signal[:, : header.known_frames] / 2**15


def _parts(
    header: Header, groups: Mapping[int, list[list[Block]]], soundings: Mapping[int, list[_Sounding]]
) -> list[_Part]:
    """All blocks of the file in order of time."""
    superframe = c.superframe_length(header.samplerate)
    per_segment = header.segment_frames // superframe
    parts = []
    for number in range(-(-header.known_frames // superframe)):
        index, start = number // per_segment, number * superframe
        frames = groups.get(index)
        blocks: Sequence[Block | None] = frames[number % per_segment] if frames else [None]
        for block in blocks:
            size = superframe >> (block.depth if block is not None else 0)
            here = [
                sounding
                for sounding in soundings.get(index, [])
                if start < sounding.source.end and sounding.source.begin < start + size
            ]
            if block is not None and block.alone:  # section 9.5
                here = []
            parts.append(_Part(start, size, block, here))
            start += size
    return parts


def _soundings(
    header: Header, index: int, stream: OccurrenceStream, entries: Sequence[Entry | None]
) -> list[_Sounding]:
    start, frames = header.segment_span(index)
    context = StreamContext(header.samplerate, header.channels, frames, header.phase_bits)
    unit = header.samplerate / 2 / (c.superframe_length(header.samplerate) // 16)
    found = []
    for source in sound_sources(stream, list(entries), context, start):
        sign = -1 if stream.inverted[source.row] else 1
        levels, settings = stream.gains_of(source.row)
        edges = np.rint(band_edges(header.samplerate, settings.stride, fine=False) / unit).astype(np.int64)
        gains = [
            [None if level == OFF else sign * 2.0 ** (level / stream.gain_resolution) for level in plane]
            for plane in levels.tolist()
        ]
        waveform = None
        if source.entry is not None:
            shift = stream.shifts[source.row] / (1 << header.phase_bits)
            rotation = stream.rotations[source.row] / (1 << stream.rotation_bits)
            waveform = _waveform(header, entries[source.entry], float(shift), float(rotation))
        found.append(_Sounding(source, waveform, gains, settings.mid_side, edges))
    return found


def _waveform(header: Header, entry: Entry | None, shift: float, rotation: float) -> Floats:
    """An entry that is no excerpt, [channels, frames] in 16-bit units."""
    if entry is None:
        raise FormatError("a dictionary entry is lost")
    if isinstance(entry.pattern, Lattice):
        return 2.0**15 * _lattice(entry.pattern, shift, rotation)[None]
    if not isinstance(entry.pattern, Explicit) or entry.spectrum is None:
        raise FormatError("an excerpt has no waveform of its own")
    superframe = c.superframe_length(header.samplerate)
    own = replace(header, channels=entry.pattern.channels, frames=entry.frames, segment_frames=superframe)
    groups = entry.spectrum.groups
    spectra = {i: SpectrumStream([_superframe(group, i) for group in groups]) for i in range(own.segments)}
    return 2.0**15 * synthesise(own, spectra)


def _lattice(pattern: Lattice, shift: float, rotation: float) -> Floats:
    """Section 7.3: the waveform of a lattice, [frames]."""
    size, hop, (columns, bins) = 1 << pattern.fft_log2, 1 << pattern.hop_log2, pattern.levels.shape
    column, bin = np.indices((columns, bins))
    turns = pattern.phases / 2**pattern.phase_bits + rotation
    if pattern.carrier is not None:
        turns += (pattern.carrier[0] + pattern.carrier[1] * column + pattern.carrier[2] * bin) / 2**16
    cells = np.where(pattern.levels > 0, 2.0 ** ((pattern.levels - 128) / pattern.resolution), 0)
    cells = cells * np.exp(2j * np.pi * turns)
    whole = int(np.floor(shift))
    grid = np.zeros((columns, size // 2), complex)
    for y in range(bins):
        grid[:, (whole + y) % (size // 2)] += (1 - shift + whole) * cells[:, y]
        grid[:, (whole + y + 1) % (size // 2)] += (shift - whole) * cells[:, y]
    grid[:, 0] /= 2
    k, t = np.arange(size // 2)[:, None], np.arange(size)
    waves = np.exp(2j * np.pi * (k * (t - size // 2) % size) / size)
    window = np.sin(np.pi * (t + 0.5) / size)
    out = np.zeros((columns - 1) * hop + size)
    for number, row in enumerate(grid):
        out[number * hop : number * hop + size] += 2 * hop / size * window * (row @ waves).real
    return out


def _superframe(group: Group, number: int) -> Group:
    """One superframe of a group as a segment of its own."""
    return replace(group, superframes=group.superframes[number : number + 1])


def _prediction(
    header: Header, sounding: _Sounding, past: Floats, part: _Part, before: int, after: int, channels: slice
) -> Floats:
    """Section 10.7: what an occurrence brings to a block, [channels, size]."""
    source, waveform = sounding.source, past
    if sounding.waveform is not None:
        waveform = sounding.waveform[np.arange(channels.start, channels.stop) % len(sounding.waveform)]
    ahead, behind = min(before, part.size) // 2, min(after, part.size) // 2
    frames = np.arange(part.start - ahead, part.start + part.size + behind)
    ends = source.first, min(source.last, 1 << 60)
    if source.as_it_is:
        heard = _delayed(waveform, ends, frames, source.delay, header.phase_bits)
    else:
        heard = _transposed(waveform, source, frames, header.phase_bits)
    spectrum = dct4(_folded(heard, ahead, behind))
    out = np.zeros_like(spectrum)
    bins = sounding.edges * part.size // sounding.edges[-1]
    pair = np.stack([spectrum[0] + spectrum[1], spectrum[0] - spectrum[1]]) / 2 if sounding.mid_side else spectrum
    for channel in range(len(pair)):
        plane = channel
        if not sounding.mid_side:
            plane = min(channels.start + channel, len(sounding.gains) - 1)
        for gain, low, high in zip(sounding.gains[plane], bins[:-1], bins[1:], strict=True):
            out[channel, low:high] = (gain or 0) * pair[channel, low:high]
    return np.stack([out[0] + out[1], out[0] - out[1]]) if sounding.mid_side else out


def _delayed(signal: Floats, ends: tuple[int, int], frames: NDArray[np.int64], delay: int, phase_bits: int) -> Floats:
    """`signal`, nothing outside its `ends`, at frames - delay / 2**phase_bits."""
    whole, fraction = delay >> phase_bits, (delay % (1 << phase_bits)) / (1 << phase_bits)
    out = np.zeros((len(signal), len(frames)))
    taps = np.arange(-15, 17) if fraction else np.zeros(1, int)
    weights = np.sinc(taps - fraction) * np.i0(8 * np.sqrt(1 - ((taps - fraction) / 16) ** 2))
    for tap, weight in zip(taps, weights / weights.sum(), strict=True):
        at = frames - whole - tap
        there = (at >= max(ends[0], 0)) & (at < min(ends[1], signal.shape[1]))
        out[:, there] += weight * signal[:, at[there]]
    return out


def _transposed(signal: Floats, source: SoundSource, frames: NDArray[np.int64], phase_bits: int) -> Floats:
    """`signal` at the source's rate and round its loop, at the same frames."""
    one = 1 << phase_bits
    out = np.zeros((len(signal), len(frames)))
    rate = source.rate / 2**24
    stretch = max(1.0, rate)
    for place, frame in enumerate(frames.tolist()):
        since = frame * one - source.delay
        if not source.first * one <= since < source.last * one:
            continue
        position = rate * since / one
        if source.loop is not None and position > source.loop.start / one:
            start, length = source.loop.start / one, source.loop.length / one
            position = (position - start) % (length * (1 + source.loop.ping_pong))
            position = start + (2 * length - position if position > length else position)
        reach = int(np.ceil(4 * stretch))
        at = int(np.floor(position)) + np.arange(1 - reach, reach + 1)
        distance = (at - position) / stretch
        inside = np.sqrt(np.maximum(1 - (distance / 4) ** 2, 0))
        weights = np.where(np.abs(distance) <= 4, np.sinc(0.97 * distance) * np.i0(9.6 * inside), 0)
        there = (at >= 0) & (at < signal.shape[1])
        out[:, place] = signal[:, at[there]] @ weights[there] / weights.sum()
    return out


def _folded(signal: Floats, ahead: int, behind: int) -> Floats:
    """The inverse of unfolding, for one block with `ahead` frames in front of it and `behind` behind it."""
    size = signal.shape[1] - ahead - behind
    out = signal[:, ahead : ahead + size].copy()
    for half, edge in ((ahead, ahead), (behind, ahead + size)):
        reach = np.arange(half)
        angle = np.pi / 2 * np.sin(np.pi / 2 * (half + reach + 0.5) / (2 * half)) ** 2 if half else reach
        right, left = signal[:, edge + reach], signal[:, edge - 1 - reach]
        if edge == ahead:
            out[:, reach] = np.sin(angle) * right + np.cos(angle) * left
        else:
            out[:, size - 1 - reach] = np.sin(angle) * left - np.cos(angle) * right
    return out


def _spectrum(part: _Part, block: Block, superframe: int, channels: slice) -> Floats:
    """Left/right coefficients [channels, size] of one block, sections 10.1 to 10.3."""
    geometry = layout.geometry(superframe, len(block.modes))
    bands = geometry.layouts[block.depth]
    coded = np.zeros((len(block.energies), part.size))
    for channel, values in enumerate(block.coefficients):
        for band, (low, high) in enumerate(zip(bands.edges[:-1], bands.edges[1:], strict=True)):
            counters = c.MAX_CHANNELS * (part.start + np.arange(low, high)) + channels.start + channel
            energy, step = block.energies[channel, band], block.steps[channel, band]
            coded[channel, low:high] = _dequantised(values[low:high], int(energy), int(step), counters)
    if len(coded) == 1:
        return coded
    edges = geometry.coarse.edges << (c.BLOCK_DEPTHS - 1 - block.depth)
    for mode, low, high in zip(block.modes, edges[:-1], edges[1:], strict=True):
        if mode:
            mid = coded[0, low:high].copy()
            side = coded[1, low:high] + c.STEREO_PREDICTIONS[mode] * mid
            coded[:, low:high] = (mid + side) / np.sqrt(2), (mid - side) / np.sqrt(2)
    return coded


def _dequantised(values: NDArray[np.int32], energy: int, log_step: int, counters: NDArray[np.int64]) -> Floats:
    """The coefficients of one band, noise included."""
    step = 2.0 ** (log_step / c.OCTAVE)
    rms = 2.0 ** ((c.ENERGY_FLOOR + (energy - 1) * c.ENERGY_STEP) / c.OCTAVE) if energy else 0.0
    magnitude = np.abs(values)
    out = np.sign(values) * (magnitude - np.where(magnitude == 1, c.SHRINK_ONE, c.SHRINK_LARGE)) * step
    zero = values == 0
    if zero.all():
        level = c.FILL_EMPTY * rms
    else:
        left = max(len(values) * rms**2 - float(np.square(out).sum()), 0.0)
        level = min(c.FILL_PARTLY * np.sqrt(left / max(zero.sum(), 1)), c.FILL_CAP * step)
    out[zero] = level * noise(counters[zero])
    return out


def _unfold(signal: Floats, starts: list[int]) -> None:
    """Section 10.4: turn the samples around each boundary between blocks, in place."""
    sizes = np.diff([*starts, signal.shape[1]])
    for at, before, after in zip(starts[1:], sizes[:-1], sizes[1:], strict=True):
        overlap = min(before, after)
        reach = np.arange(overlap // 2)
        angle = np.pi / 2 * np.sin(np.pi / 2 * (overlap // 2 + reach + 0.5) / overlap) ** 2
        right, left = signal[:, at + reach], signal[:, at - 1 - reach]
        signal[:, at + reach] = np.sin(angle) * right - np.cos(angle) * left
        signal[:, at - 1 - reach] = np.sin(angle) * left + np.cos(angle) * right
