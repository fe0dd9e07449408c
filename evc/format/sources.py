"""Where the sound of each occurrence comes from: occurrences and dictionary entries as spans of frames (spec 7.2)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import FormatError
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import Excerpt, Explicit, Lattice, Loop, Pattern
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.rates import frames_at, rates_of
from evc.format.streams.spectrum import SpectrumStream

_ENDLESS = 1 << 62


@dataclass(frozen=True, eq=False)
class Entry:
    """A dictionary entry, decoded: of explicit ones also the spectrum."""

    pattern: Pattern
    spectrum: SpectrumStream | None = None

    @property
    def frames(self) -> int:
        return self.pattern.frames


@dataclass(frozen=True)
class SoundSource:
    """One occurrence within its segment. Frames count from the start of the file, or of the entry's waveform.

    Every block of the segment that overlaps frames [begin, end) gets at frame t what the source has at frame
    t - delay / 2**phase_bits, if that lies in [first, last), and nothing otherwise. `entry` is the number of the
    explicit or lattice entry that sounds; None stands for the file's own past. `row` is the place in the stream.
    Waveforms may be read at another `rate`, in 1 / RATE_ONE, and go round in a `loop`: first and last then count frames
    that are heard.
    """

    row: int
    begin: int
    end: int
    delay: int
    first: int
    last: int
    entry: int | None = None
    rate: int = c.RATE_ONE
    loop: Loop | None = None

    @property
    def as_it_is(self) -> bool:
        """Whether the source is delayed, and nothing else."""
        return self.rate == c.RATE_ONE and self.loop is None


def decode_entry(pattern: Pattern, context: StreamContext) -> Entry:
    """The entry of a pattern, with the spectrum of an explicit one. Raises DamagedError or FormatError."""
    if not isinstance(pattern, Explicit):
        return Entry(pattern)
    decoder = pattern.decoder()
    spectrum = SpectrumStream.read(decoder, pattern.context(context))
    decoder.finish()
    return Entry(pattern, spectrum)


def sound_sources(
    stream: OccurrenceStream, entries: list[Entry | None], context: StreamContext, start: int
) -> list[SoundSource]:
    """The sources of all occurrences of the segment that starts at frame `start`, in the order of the stream.

    Raises FormatError where an occurrence reads what is not decoded by then, or too many sound at once.
    """
    sources = []
    for row in range(len(stream.times)):
        time = (start << context.phase_bits) + int(stream.times[row])
        length = int(stream.lengths[row])
        begin = time >> context.phase_bits
        if stream.patterns[row] == COPY:
            found = SoundSource(row, begin, begin + length, int(stream.lags[row]), 0, _ENDLESS)
        else:
            found = _placed(stream, row, entries, time, context.phase_bits, c.superframe_length(context.samplerate))
        sources.append(found)
    _check(stream, sources, entries, context)
    return sources


def _placed(
    stream: OccurrenceStream, row: int, entries: list[Entry | None], time: int, phase_bits: int, superframe: int
) -> SoundSource:
    number, offset, length = int(stream.patterns[row]), int(stream.offsets[row]), int(stream.lengths[row])
    entry = entries[number]
    if entry is None:
        raise FormatError(f"dictionary entry {number} is lost")
    if not isinstance(entry.pattern, Lattice) and (stream.shifts[row] or stream.rotations[row]):
        raise FormatError("an occurrence shifts or turns a pattern that is no lattice")
    rate = int(rates_of(stream.semitones[row], stream.fine[row]))
    if rate != c.RATE_ONE and not isinstance(entry.pattern, Explicit):
        raise FormatError("an occurrence transposes a pattern that is no waveform of its own")
    loop = entry.pattern.loop if isinstance(entry.pattern, Explicit) else None
    frames = frames_at(entry.frames, rate) if loop is None else offset + length
    if loop is not None and not length:
        raise FormatError("an occurrence of a pattern with a loop has no length")
    if loop is None and offset >= frames:
        raise FormatError("an occurrence begins behind the end of its pattern")
    length = length or frames - offset
    delay, begin = time - (offset << phase_bits), time >> phase_bits
    if isinstance(entry.pattern, Excerpt):
        start = entry.pattern.start
        return SoundSource(row, begin, begin + length, delay - (start << phase_bits), start, start + entry.frames)
    # The blocks beside it have windows that reach into it by half a superframe at most, and into what interpolation
    # makes of its ends. What begins with the segment may go on with a sound of the one before, which they hear.
    reach = superframe // 2 + c.INTERPOLATION_TAPS // 2
    first = offset if stream.times[row] >> phase_bits else 0
    last = min(frames, offset + length)
    return SoundSource(row, begin - reach, begin + length + reach, delay, first, last, number, rate, loop)


def _pattern(source: SoundSource, entries: list[Entry | None]) -> Pattern | None:
    entry = None if source.entry is None else entries[source.entry]
    return None if entry is None else entry.pattern


def _check(
    stream: OccurrenceStream, sources: list[SoundSource], entries: list[Entry | None], context: StreamContext
) -> None:
    least = c.least_lag(context.samplerate) << context.phase_bits
    if any(source.entry is None and source.delay < least for source in sources):
        raise FormatError("an occurrence repeats what is not yet decoded")
    patterns = [_pattern(source, entries) for source in sources]
    cells = sum(pattern.levels.size for pattern in patterns if isinstance(pattern, Lattice))
    if cells > c.MAX_PLACED_CELLS:
        raise FormatError(f"the lattice patterns of a segment have more than {c.MAX_PLACED_CELLS} cells together")
    one_band = stream.placed.levels.shape[2] == 1
    edges = []
    for source, pattern in zip(sources, patterns, strict=True):
        if not isinstance(pattern, Lattice):
            weight = 1 if source.entry is not None and one_band else c.SOUNDING_WEIGHT
            edges += [(source.begin, weight), (source.end, -weight)]
    if np.cumsum([step for _, step in sorted(edges)]).max(initial=0) > c.MAX_SOUNDING:
        raise FormatError("too many occurrences sound at once")


def repeats_output(layers: Collection[str]) -> bool:
    """Whether the occurrences of a file with these layers are copies of its finished output (spec 10.14)."""
    return {c.LAYERS[c.STREAM_OCCURRENCES], c.LAYERS[c.STREAM_LATENT]} <= set(layers)


def check_repeats(stream: OccurrenceStream) -> None:
    """Raises FormatError unless occurrences are what a file with latents may have."""
    if (stream.patterns != COPY).any():
        raise FormatError("a file with latents has copies alone, but here is a placement")
    if stream.copied.levels.shape[1:] != (1, 1):
        raise FormatError("copies in a file with latents have gains by plane or band")


def needed_segments(sources: list[SoundSource], samplerate: int, phase_bits: int, start: int, length: int) -> set[int]:
    """Numbers of the segments, of `length` frames, that a segment from frame `start` on reads, itself not included
    (spec 4.1)."""
    superframe = c.superframe_length(samplerate)
    reach = 2 * superframe + c.INTERPOLATION_TAPS // 2
    needed: set[int] = set()
    for source in sources:
        if source.entry is None:
            delay = source.delay >> phase_bits
            begin = max(source.begin, start) // superframe * superframe - delay - reach
            end = -(-min(source.end, start + length) // superframe) * superframe - delay + reach
            needed.update(range(max(begin, 0) // length, -(-max(min(end, start), 0) // length)))
    return needed


def covered_frames(sources: list[SoundSource], entries: list[Entry | None], start: int) -> NDArray[np.int64]:
    """First frames and ends [n, 2], from the `start` of their segment on, of all sources that are no lattices
    (spec 9.5)."""
    spans = [(s.begin - start, s.end - start) for s in sources if not isinstance(_pattern(s, entries), Lattice)]
    return np.array(spans, np.int64).reshape(-1, 2)
