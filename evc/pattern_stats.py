"""What each pattern of a file costs and saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.header import Header
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.dictionary import Explicit
from evc.format.streams.levels import SLOTS, Levels, Track, mean_over_bands, mean_over_time
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.format.streams.spectrum_steps import step_logs
from evc.format.streams.spectrum_walk import Block
from evc.patterns import PatternMap

_RATE_FACTOR = 6.0  # bits of a coefficient: log2(1 + this * its power in squared steps) / 2
_TYPICAL_FACTOR = 1.3  # what a file costs, of that


@dataclass(frozen=True)
class PatternStats:
    """One pattern, by its index into `EvcFile.patterns`: kind, start (s; None unless it is an excerpt), duration (s),
    uses, seconds of them all, and bits.

    `bits` are its share of the occurrence streams, in each of which all occurrences count alike; `dictionary_bits` what
    its entry takes. `saved_bits` is an estimate: what the spectrum of all that is heard where it is used would have
    cost, judged by levels and step sizes, less what the rest costs. Patterns that sound at once share alike.
    """

    number: int
    kind: str
    start: float | None
    duration: float
    uses: int
    seconds: float
    bits: float
    dictionary_bits: float
    saved_bits: float

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in asdict(self).items()}


class PlainBits:
    """Estimates segment by segment, in order, what the superframes of a file would cost without patterns."""

    def __init__(self, samplerate: int) -> None:
        self._superframe = c.superframe_length(samplerate)
        self._gains: dict[int, int] = {}

    def segment(self, spectrum: SpectrumStream | None, tracks: list[Track]) -> NDArray[np.float64]:
        """Bits [2, superframes] of all that is heard in a segment with the levels `tracks`, by channel group: with
        steps as fine as they are, and no finer for being used again."""
        bits = np.zeros((2, len(tracks[0]) // SLOTS if tracks else 0))
        for number, track in enumerate(tracks):
            group = spectrum.groups[number] if spectrum is not None else Group(0, 0)
            if group.superframes:
                self._gains[number] = group.gain
            for place in range(bits.shape[1]):
                levels = track[place * SLOTS : (place + 1) * SLOTS].astype(np.int64)
                if group.superframes:
                    finer = c.OFFSET_STEP * (group.offsets[place] if group.offsets else 0)
                    bits[:, place] += self._coded(group.superframes[place], group.coarse_bands, levels, finer)
                else:
                    bits[:, place] += self._silent(levels, self._gains.get(number, 0))
        return bits

    def _coded(self, blocks: list[Block], coarse_bands: int, levels: Levels, finer: int) -> NDArray[np.float64]:
        """Of one superframe, its `levels` [slots, channels, fine bands], and its steps by so much `finer`."""
        geometry = layout.geometry(self._superframe, coarse_bands)
        bits, at = np.zeros(2), 0
        for block in blocks:
            bands, slots = geometry.layouts[block.depth], SLOTS >> block.depth
            ratio = self._means(levels[at : at + slots], bands) - block.steps
            bits += _bits(ratio, bands.widths), _bits(ratio - finer, bands.widths)
            at += slots
        return bits

    def _silent(self, levels: Levels, gain: int) -> float:
        """Of a superframe of which nothing is left to code."""
        bands = layout.full_geometry(self._superframe).layouts[0]
        heard = self._means(levels, bands)
        return _bits(heard - step_logs(heard, gain, 0), bands.widths)

    def _means(self, levels: Levels, bands: layout.BandLayout) -> Levels:
        widths = layout.full_geometry(self._superframe).layouts[0].widths
        return mean_over_bands(mean_over_time(levels), bands, widths)


def _bits(ratio: Levels, widths: NDArray[np.int64]) -> float:
    """Bits of Gaussian coefficients, their `ratio` to the step [channels, bands] in 1/64 octave."""
    return float((np.log2(1 + _RATE_FACTOR * np.exp2(ratio / (c.OCTAVE / 2))) * (widths / 2)).sum())


def pattern_stats(
    decoder: SegmentDecoder,
    found: PatternMap,
    placed: Mapping[int, int],
    plain: Mapping[int, NDArray[np.float64]],
    spent: Mapping[int, NDArray[np.float64]],
) -> tuple[PatternStats, ...]:
    """By segment: bits of the occurrence stream, `PlainBits`, and bits of the spectrum [superframes]."""
    container, rows, count = decoder.container, found.occurrences, len(found.patterns)
    some = rows["pattern"] >= 0
    segments = rows["frame"] // container.header.segment_frames
    of_segment = np.bincount(segments, minlength=container.segments)
    shares = np.array([placed.get(index, 0) for index in range(len(of_segment))]) / np.maximum(of_segment, 1)
    bits = np.bincount(rows["pattern"][some], shares[segments[some]], minlength=count)
    entries = _entry_bits(decoder, count)
    by_pattern = _saved(container.header, found, plain, spent)
    return tuple(
        PatternStats(
            number=number,
            kind=str(row["kind"]),
            start=None if np.isnan(row["start"]) else float(row["start"]),
            duration=float(row["duration"]),
            uses=int(row["uses"]),
            seconds=float(row["seconds"]),
            bits=float(bits[number]),
            dictionary_bits=float(entries[number]),
            saved_bits=float(by_pattern[number]),
        )
        for number, row in enumerate(found.patterns)
    )


def _entry_bits(decoder: SegmentDecoder, count: int) -> NDArray[np.float64]:
    """Bits [count] of patterns in the dictionaries: explicit waveforms have their own; the other entries of a
    dictionary have equal parts of the rest."""
    bits = np.zeros(count)
    for part in decoder.container.dictionaries:
        patterns = decoder.patterns[part.first : part.first + part.entries]
        if None in patterns:  # lost, all of them
            continue
        own = [8 * len(entry.stream.words) if isinstance(entry, Explicit) else 0 for entry in patterns]
        others = np.array([not isinstance(entry, Explicit) for entry in patterns])
        rest = sum(8 * len(stream.words) for stream in part.streams) - sum(own)
        share = others / others.sum() if others.any() else np.full(len(others), 1 / len(others))
        bits[part.first : part.first + len(own)] = own + rest * share
    return bits


def _saved(
    header: Header,
    found: PatternMap,
    plain: Mapping[int, NDArray[np.float64]],
    spent: Mapping[int, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """The bits saved [patterns], shared out to the uses by how much of a superframe each covers."""
    size = c.superframe_length(header.samplerate)
    estimated, as_is, actual = np.zeros((3, -(-header.known_frames // size)))
    for index, bits in plain.items():
        first = index * header.segment_frames // size
        part = slice(first, first + bits.shape[1])
        as_is[part], estimated[part] = bits
        actual[part] = spent[index][: bits.shape[1]] if index in spent else 0
    covered = [_covered(int(use["frame"]), int(use["frames"]), size) for use in found.uses]
    sounding = np.zeros(len(actual))
    for first, parts in covered:
        sounding[first : first + len(parts)] += parts
    # What the estimate is off by shows where nothing sounds.
    alone = sounding == 0
    factor = actual[alone].sum() / as_is[alone].sum() if as_is[alone].any() else _TYPICAL_FACTOR
    shares = (factor * estimated - actual) / np.where(alone, 1, sounding)
    saved = np.zeros(len(found.patterns))
    for number, (first, parts) in zip(found.uses["pattern"], covered, strict=True):
        saved[number] += parts @ shares[first : first + len(parts)]
    return saved


def _covered(begin: int, frames: int, size: int) -> tuple[int, NDArray[np.float64]]:
    """The first superframe of a span, and how much of it and of those that follow the span covers."""
    first, end = begin // size, -(-(begin + frames) // size)
    edges = np.clip(size * np.arange(first, end + 1, dtype=np.float64), begin, begin + frames)
    return first, np.diff(edges) / size
