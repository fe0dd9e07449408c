"""Spectrum and patterns: superframe by superframe, as what is copied from the file's own past demands."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.cores import WORKERS
from evc.format.header import Header
from evc.format.lazy import cached_property
from evc.format.segment import StreamData
from evc.format.sources import Entry, repeats_output, sound_sources
from evc.format.streams import StreamContext
from evc.format.streams.envelope import EnvelopeStream
from evc.format.streams.occurrences import OccurrenceStream
from evc.format.streams.spectrum import SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.models.events.columns import Heard
from evc.models.overlay import Parallel
from evc.models.patterns.sounding import Prediction, Sounding, predict, soundings
from evc.models.patterns.timeline import Timeline
from evc.models.patterns.waveforms import Waveforms
from evc.models.spectrum.synthesis import BlockRun, Spectra, residual_spectra

Streams = Mapping[int, Any]  # of one segment, by kind

FULL_SCALE = np.float32(2.0**-15)
WINDOW = 2 * WORKERS  # segments rendered together, at most
KEPT_BYTES = 1 << 28  # of samples that later copies may read; what is older is rendered again when it is needed
COPIED = ("patterns", "spectrum")  # layers rendered here


class Segments(Protocol):
    """Where the streams of a file come from. Segments that are lost are left out of what `decode` returns, and have no
    `occurrences` and no `envelope`."""

    @property
    def header(self) -> Header: ...
    @property
    def lost(self) -> Collection[int]: ...
    @property
    def adaptation(self) -> StreamData | None: ...
    @property
    def entries(self) -> Sequence[Entry | None]: ...
    def occurrences(self, index: int) -> OccurrenceStream | None: ...
    def envelope(self, index: int) -> EnvelopeStream | None: ...
    def decode(self, indices: Iterable[int]) -> Mapping[int, Streams]: ...


@dataclass(frozen=True)
class Choice:
    """What is to be heard: layers by name; which occurrences, by segment and row of its stream (None: all); and events
    in place of those of the file (None: these). Copies copy from the whole file all the same."""

    layers: Collection[str] = c.LAYERS
    occurrences: Collection[tuple[int, int]] | None = None
    events: Heard | None = None


@dataclass
class _Group:
    """One channel group: y, and what was chosen of it (the same object where that is all)."""

    channels: slice
    timeline: Timeline
    chosen: Timeline


class Superframes:
    """Renders any span of a file's patterns and spectrum. Holds the samples of the last segments, as far back as copies
    reach, however long the file is. Superframes that no pattern sounds in are rendered together and in `parallel`, a
    function like map.
    """

    def __init__(self, segments: Segments, choice: Choice | None = None, parallel: Parallel = map) -> None:
        self._segments, self._choice, self._parallel = segments, choice, parallel
        header = segments.header
        self._size = c.superframe_length(header.samplerate)
        self._count = -(-header.known_frames // self._size)
        self._per_segment = header.segment_frames // self._size
        self._groups = [self._group(channels) for channels in channel_groups(header.channels)]
        self._soundings: OrderedDict[int, list[list[Sounding]]] = OrderedDict()
        self._kept = min(
            max(KEPT_BYTES // (4 * header.channels * self._size), (WINDOW + 2) * self._per_segment),
            (header.reference_span + WINDOW + 2) * self._per_segment,
        )

    def _group(self, channels: slice) -> _Group:
        shape = self._size, channels.stop - channels.start, self._count
        timeline = Timeline(*shape)
        return _Group(channels, timeline, timeline if self._choice is None else Timeline(*shape))

    @cached_property
    def _waveforms(self) -> Waveforms:
        return Waveforms(self._segments.entries, self._segments.header.samplerate)

    def fetch(self, out: NDArray[np.float32], start: int) -> None:
        """Put frames from `start` on, which lie inside the file, into `out` [channels, frames], full scale 1.

        Raises FormatError for occurrences that cannot be rendered.
        """
        length = self._segments.header.segment_frames
        at, stop = start, start + out.shape[1]
        while at < stop:
            end = min(stop, (at // length + WINDOW) * length)
            self.prepare(at, end)
            for group in self._groups:
                part = out[group.channels, at - start : end - start]
                np.multiply(group.chosen.fetch(at, end - at), FULL_SCALE, out=part)
            at = end

    def waveform(self, entry: int) -> NDArray[np.float32]:
        """The sound of an explicit or lattice entry alone: float32 [channels, frames] of full scale 1."""
        return self._waveforms.get(entry) * FULL_SCALE

    def ready(self, start: int, end: int) -> bool:
        """Whether frames [start, end), a few at most, need no more than fetching."""
        return not self._absent(start, end)

    def prepare(self, start: int, end: int) -> None:
        """Render what is absent of frames [start, end), and then all that is in the last segment anyway."""
        if not self._absent(start, end):
            return
        length = self._segments.header.segment_frames
        end = max(end, min(-(-end // length) * length, self._count * self._size) - self._size // 2)
        self._compute(self._with_sources(self._absent(start, end)))
        self._forget(self._groups[0].timeline.needed(start, end))

    def _absent(self, start: int, end: int) -> list[int]:
        timeline = self._groups[0].timeline
        return [number for number in timeline.needed(start, end) if number not in timeline]

    def _forget(self, needed: range) -> None:
        """Drop the superframes rendered first, except those `needed`, where there are more than are to be kept."""
        timeline = self._groups[0].timeline
        spare = len(timeline) - self._kept
        for number in [number for number in timeline if number not in needed][: max(spare, 0)]:
            for group in self._groups:
                group.timeline.drop(number)
                if group.chosen is not group.timeline:
                    group.chosen.drop(number)

    def _with_sources(self, numbers: list[int]) -> list[int]:
        """Superframes `numbers`, and all they are copied from that is not at hand, ascending."""
        timeline = self._groups[0].timeline
        found = set(numbers)
        waiting = [-number for number in numbers]
        heapify(waiting)
        while waiting:
            number = -heappop(waiting)
            for read in self._reads(number):
                for other in timeline.needed(*read):
                    if other not in found and other not in timeline:
                        found.add(other)
                        heappush(waiting, -other)
        return sorted(found)

    def _reads(self, number: int) -> Iterator[tuple[int, int]]:
        """The frames that superframe `number` copies."""
        for group in self._soundings_of(number // self._per_segment):
            for sounding in group:
                read = sounding.reads(number, self._size)
                if read is not None:
                    yield read

    def _soundings_of(self, index: int) -> list[list[Sounding]]:
        """The occurrences of a segment by channel group."""
        if index not in self._soundings:
            self._soundings[index] = self._find_soundings(index)
            if len(self._soundings) > self._kept // self._per_segment:
                self._soundings.popitem(last=False)
        return self._soundings[index]

    def _find_soundings(self, index: int) -> list[list[Sounding]]:
        header = self._segments.header
        here = "patterns" in header.layers and not repeats_output(header.layers)
        stream = self._segments.occurrences(index) if here else None
        if stream is None or not len(stream.times):
            return [[] for _ in self._groups]
        span = header.segment_span(index)
        sources = sound_sources(
            stream, list(self._segments.entries), StreamContext.of_segment(header, index), span[0]
        )
        rate, bits = header.samplerate, header.phase_bits
        return [soundings(stream, sources, rate, bits, span, group.channels) for group in self._groups]

    def _compute(self, numbers: list[int]) -> None:
        """Render the superframes `numbers`, ascending, whose sources are among them or at hand."""
        segments = sorted({number // self._per_segment for number in numbers})
        for i in range(0, len(segments), WINDOW):
            batch = segments[i : i + WINDOW]
            first, end = batch[0] * self._per_segment, (batch[-1] + 1) * self._per_segment
            self._compute_batch([number for number in numbers if first <= number < end], set(batch))

    def _compute_batch(self, numbers: list[int], segments: set[int]) -> None:
        sounding = {number for number in numbers if self._sounds(number)}
        # Prediction needs the sizes of the blocks on both sides.
        around = {other for number in sounding for other in (number - 1, number + 1) if 0 <= other < self._count}
        decoded = self._segments.decode(segments | {other // self._per_segment for other in around})
        runs = list(self._runs(numbers, sounding))
        plain = [run for run in runs if run.start not in sounding]
        for _ in self._parallel(lambda run: self._render_run(run, decoded, False), plain):
            pass
        for run in runs:
            if run.start in sounding:
                self._render_run(run, decoded, True)

    def _sounds(self, number: int) -> bool:
        first, end = number * self._size, (number + 1) * self._size
        groups = self._soundings_of(number // self._per_segment)
        return any(s.begin < end and first < s.end for group in groups for s in group)

    def _runs(self, numbers: list[int], sounding: set[int]) -> Iterator[range]:
        """Successive superframes of one segment that can be rendered at once: they copy nothing of themselves."""
        first = end = -1
        for number in numbers:
            apart = number != end or number % self._per_segment == 0 or (number in sounding) != (first in sounding)
            if apart or any(read[1] > first * self._size - self._size // 2 for read in self._reads(number)):
                if end > first:
                    yield range(first, end)
                first = number
            end = number + 1
        if end > first:
            yield range(first, end)

    def _render_run(self, run: range, decoded: Mapping[int, Streams], sounding: bool) -> None:
        """Put the superframes of a run into the timelines."""
        index = run.start // self._per_segment
        here = self._soundings_of(index) if sounding and index in decoded else [[] for _ in self._groups]
        for number, group in enumerate(self._groups):
            blocks = [self._blocks(decoded, number, place) for place in run]
            before = self._edge(decoded, number, run.start - 1, -1) if sounding else 0
            after = self._edge(decoded, number, run.stop, 0) if sounding else 0
            partitions = [_partition(found) for found in blocks]
            of_run = BlockRun(self._size, run.start, partitions, before, after)
            self._render_blocks(group, of_run, [block for found in blocks for block in found], here[number], index)

    def _render_blocks(
        self, group: _Group, run: BlockRun, blocks: Sequence[Block | None], soundings: list[Sounding], index: int
    ) -> None:
        choice = self._choice
        alone = np.array([block is not None and block.alone for block in blocks])

        def predicted(chosen: list[Sounding]) -> Prediction | None:
            found = predict(run, chosen, group.timeline, group.channels, self._waveforms) if chosen else None
            if found is not None:
                found.leave(run, alone)
            return found

        with np.errstate(over="ignore", invalid="ignore"):  # steps and gains may be absurd
            prediction = predicted(soundings)
            residual = residual_spectra(run, blocks, group.channels)
            if choice is not None:
                heard = prediction
                if choice.occurrences is not None:
                    heard = predicted([s for s in soundings if (index, s.source.row) in choice.occurrences])
                own = residual if "spectrum" in choice.layers else {}
                group.chosen.put(run, _total(own, heard if "patterns" in choice.layers else None))
            group.timeline.put(run, _total(residual, prediction))

    def _blocks(self, decoded: Mapping[int, Streams], group: int, number: int) -> Sequence[Block | None]:
        """The blocks of a superframe; a superframe without a spectrum is one block of which nothing is coded."""
        stream: SpectrumStream | None = decoded.get(number // self._per_segment, {}).get(c.STREAM_SPECTRUM)
        frames = stream.groups[group].superframes if stream is not None else []
        return frames[number % self._per_segment] if frames else [None]

    def _edge(self, decoded: Mapping[int, Streams], group: int, number: int, which: int) -> int:
        """Size of the first (0) or last (-1) block of a superframe; 0 outside the file."""
        if not 0 <= number < self._count:
            return 0
        return self._size >> _partition(self._blocks(decoded, group, number))[which]


def _partition(blocks: Sequence[Block | None]) -> tuple[int, ...]:
    return tuple(0 if block is None else block.depth for block in blocks)


def _total(residual: Spectra, prediction: Prediction | None) -> Spectra:
    if prediction is None:
        return residual
    return {depth: residual[depth] + part if depth in residual else part for depth, part in prediction.spectra.items()}
