"""What each pattern of a file costs and saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import DecodedSegment, SegmentDecoder
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.sources import SoundSource
from evc.format.streams.dictionary import Explicit
from evc.format.streams.gains import OFF
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import SpectrumStream
from evc.patterns import PatternMap


@dataclass(frozen=True)
class PatternStats:
    """One pattern, by its index into `EvcFile.patterns`: kind, start (s; None unless it is an excerpt), duration (s),
    uses, seconds of them all, and bits.

    `bits` are its share of the occurrence streams, in each of which all occurrences count alike; `dictionary_bits` what
    its entry takes. `saved_bits` is an estimate: what the same sound cost where it comes from, as far as its bands are
    on, less what the spectrum, or latents, cost where it sounds again. Patterns that sound at once share alike.
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


class SavedBits:
    """Estimates segment by segment, in order, what patterns save in the superframes of a file."""

    def __init__(self, decoder: SegmentDecoder) -> None:
        self._decoder, self._header = decoder, decoder.container.header
        self._size = c.superframe_length(self._header.samplerate)
        # What all that is heard in each superframe would cost, with steps no finer for being used again.
        self._heard = np.zeros(-(-self._header.known_frames // self._size) + 2)

    @cached_property
    def _waveforms(self) -> NDArray[np.float64]:
        """Bits in a frame of each dictionary entry."""
        frames = [entry.frames if entry is not None else 1 for entry in self._decoder.entries]
        bits: NDArray[np.float64] = _entry_bits(self._decoder, len(frames)) / np.array(frames, float)
        return bits

    def segment(self, index: int, decoded: DecodedSegment) -> NDArray[np.float64]:
        """Bits saved [superframes] in a segment that was decoded with accounts."""
        start, frames = self._header.segment_span(index)
        first, superframes = start // self._size, -(-frames // self._size)
        spectrum: SpectrumStream | None = decoded.streams.get(c.STREAM_SPECTRUM)
        occurrences: OccurrenceStream | None = decoded.streams.get(c.STREAM_OCCURRENCES)
        sources = self._decoder.sources(index)
        spent = np.zeros(superframes)
        for kind in (c.STREAM_SPECTRUM, c.STREAM_LATENT):
            account = decoded.accounts.get(kind)
            if account is not None and account.places is not None:
                spent += np.add.reduceat(account.places, np.arange(superframes) * (self._size // account.length))
        if spectrum is not None:
            spent -= _finer_bits(spectrum, superframes)
        lists = () if occurrences is None else (occurrences.placed, occurrences.copied)
        shares = np.concatenate([np.zeros(0), *((gains.levels != OFF).mean(axis=(1, 2)) for gains in lists)])
        saved = np.zeros(superframes)
        for place in range(superframes):
            begin = (first + place) * self._size
            brought = [shares[source.row] * self._brought(source, begin) for source in sources]
            self._heard[first + place] = max(spent[place], *brought, 0.0)
            saved[place] = self._heard[first + place] - spent[place]
        return saved

    def _brought(self, source: SoundSource, begin: int) -> float:
        """Bits of what a source brings to the superframe that begins at a frame."""
        covered = min(begin + self._size, source.end) - max(begin, source.begin)
        if covered <= 0:
            return 0.0
        if source.entry is not None:
            return float(covered * self._waveforms[source.entry])
        place = max(begin - (source.delay >> self._header.phase_bits), 0) / self._size
        earlier, part = int(place), place % 1
        heard = (1 - part) * self._heard[earlier] + part * self._heard[earlier + 1]
        return float(covered / self._size * heard)


def _finer_bits(spectrum: SpectrumStream, superframes: int) -> NDArray[np.float64]:
    """What it costs [superframes] that steps are finer: for each coefficient that is coded, an octave costs a bit."""
    bits = np.zeros(superframes)
    for group in spectrum.groups:
        for place, (offset, blocks) in enumerate(zip(group.offsets, group.superframes, strict=False)):
            coded = sum(np.count_nonzero(block.coefficients) for block in blocks)
            bits[place] += coded * offset * c.OFFSET_STEP / c.OCTAVE
    return bits


def pattern_stats(
    decoder: SegmentDecoder,
    found: PatternMap,
    placed: Mapping[int, int],
    saved: Mapping[int, NDArray[np.float64]],
) -> tuple[PatternStats, ...]:
    """By segment: bits of the occurrence stream, and `SavedBits`."""
    container, rows, count = decoder.container, found.occurrences, len(found.patterns)
    some = rows["pattern"] >= 0
    segments = rows["frame"] // container.header.segment_frames
    of_segment = np.bincount(segments, minlength=container.segments)
    shares = np.array([placed.get(index, 0) for index in range(len(of_segment))]) / np.maximum(of_segment, 1)
    bits = np.bincount(rows["pattern"][some], shares[segments[some]], minlength=count)
    entries = _entry_bits(decoder, count)
    by_pattern = _saved(container.header, found, saved)
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


def _saved(header: Header, found: PatternMap, saved: Mapping[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The bits saved [patterns], shared out to the uses by how much of a superframe each covers."""
    size = c.superframe_length(header.samplerate)
    bits, sounding = np.zeros((2, -(-header.known_frames // size)))
    for index, some in saved.items():
        first = index * header.segment_frames // size
        bits[first : first + len(some)] = some
    covered = [_covered(int(use["frame"]), int(use["frames"]), size) for use in found.uses]
    for first, parts in covered:
        sounding[first : first + len(parts)] += parts
    shares = bits / np.where(sounding == 0, 1, sounding)
    by_pattern = np.zeros(len(found.patterns))
    for number, (first, parts) in zip(found.uses["pattern"], covered, strict=True):
        by_pattern[number] += parts @ shares[first : first + len(parts)]
    return by_pattern


def _covered(begin: int, frames: int, size: int) -> tuple[int, NDArray[np.float64]]:
    """The first superframe of a span, and how much of it and of those that follow the span covers."""
    first, end = begin // size, -(-(begin + frames) // size)
    edges = np.clip(size * np.arange(first, end + 1, dtype=np.float64), begin, begin + frames)
    return first, np.diff(edges) / size
