"""Closed-loop coding: copies are chosen and subtracted, what is left is coded, and what the decoder then has is what
later copies repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.coder import SymbolEncoder
from evc.header import Header
from evc.models.patterns.choose import BAND_STRIDE, Chooser, Copy
from evc.models.patterns.cost import cost, plain_cost
from evc.models.patterns.sounding import Prediction, Sounding, predict, soundings
from evc.models.patterns.timeline import Signal, Timeline, delayed
from evc.models.residual import analysis
from evc.models.residual.encoder import BlockSpectra, SegmentAnalyser, analyse_spectra
from evc.models.residual.quantise import LAMBDA, GroupQuantiser, Quantiser, worth_coding
from evc.models.residual.synthesis import BlockRun, coarse_of_band, residual_spectra
from evc.segment import Segment, StreamData
from evc.sources import level_sources, needed_segments, sound_sources
from evc.streams import StreamContext
from evc.streams import spectrum_layout as layout
from evc.streams.levels import GroupLevels, SegmentLevels, Track
from evc.streams.occurrences import COPY, OccurrenceStream
from evc.streams.spectrum import Group, SpectrumStream
from evc.streams.spectrum_model import spectrum_model
from evc.streams.spectrum_steps import step_logs
from evc.streams.spectrum_walk import Block

ALONE_BITS = 6.0  # that patterns leave a block alone
EXPECTED_NOISE = 0.3  # amplitude of uniform noise, in steps
LEFT_OUT_BITS = 20.0  # what an energy, a flag and the contexts spoilt cost, in a predicted band


@dataclass(frozen=True, eq=False)
class CodedSegment:
    """A segment with the copies chosen for it, and what its superframes would cost without and with them [superframes],
    estimated."""

    segment: Segment
    copies: list[Copy]
    plain_bits: NDArray[np.float64]
    bits: NDArray[np.float64]


@dataclass
class _Run:
    """Superframes that are coded together: nothing that they repeat is among themselves."""

    blocks: BlockRun
    prediction: Prediction | None


@dataclass
class _GroupState:
    """One channel group in the course of a segment."""

    channels: slice
    levels: GroupLevels
    sounding: list[Sounding]
    group: Group
    quantiser: GroupQuantiser
    pieces: list[list[Block]] = field(default_factory=list)


class SegmentCoder:
    """Codes the segments of a source one after another.

    lags: candidates by superframe, in fractions of a frame; offsets int [superframes]: by how many quarters of
    an octave the steps of each are finer; layers: copies that sound at once, at most; span: segments of the past that
    are kept.
    """

    def __init__(
        self,
        analyser: SegmentAnalyser,
        header: Header,
        lags: Sequence[Sequence[int]],
        offsets: NDArray[np.int64],
        layers: int,
        span: int,
    ) -> None:
        self.analyser, self.header, self.lags, self.offsets, self.span = analyser, header, lags, offsets, span
        self.size = analyser.superframe
        self.chooser = Chooser(header.samplerate, layers)
        self.timelines = [
            Timeline(self.size, part.stop - part.start, analyser.superframes) for part in analyser.groups
        ]
        self.tracks: dict[int, list[Track]] = {}
        self.known: set[int] = set()
        self.last_partition: tuple[int, ...] = ()
        self.pinned: tuple[int, ...] | None = None

    def code(self, index: int, gain: int) -> CodedSegment:
        """Code segment `index`, the one after the last, at a gain in 1/64 octave."""
        first = index * self.analyser.per_segment
        count = min(self.analyser.per_segment, self.analyser.superframes - first)
        signal = self.analyser.read((first - 2) * self.size, (count + 4) * self.size)
        offsets = self.offsets[first : first + count]
        candidates = self._candidates(first, count)
        expected = self._expected(signal, first, gain) if candidates else signal
        choice = self.chooser.choose(
            signal[:, self.size : -self.size],
            lambda lag: self._past(expected, first, count, lag),
            candidates,
            self.known,
            gain,
            offsets,
        )
        partitions = self._partitions(signal, choice.predicted, first, count, gain)
        stream = self._occurrences(choice.copies)
        context = self._context(index)
        start = first * self.size
        sources = sound_sources(stream, [], context, start)
        needed = needed_segments(
            sources, self.header.samplerate, self.header.phase_bits, start, self.header.segment_frames
        )
        past = {other: self.tracks[other] for other in needed}
        levels = SegmentLevels(
            context, start, level_sources(sources, stream, [], context), past, self.header.segment_frames
        )
        groups = []
        for number, channels in enumerate(self.analyser.groups):
            sounding = soundings(
                stream, sources, self.header.samplerate, self.header.phase_bits, (start, count * self.size), channels
            )
            groups.append(
                self._group(number, signal[channels], first, partitions, sounding, levels.groups[number], gain)
            )
        self.tracks[index] = levels.tracks
        self.tracks.pop(index - self.span - 1, None)
        for timeline in self.timelines:
            timeline.drop_before(first - self.span * self.analyser.per_segment)
        self.known |= {copy.lag for copy in choice.copies}
        self.last_partition = partitions[count - 1]
        for group_levels in levels.groups:
            group_levels.restart()
        streams = [self._coded(c.STREAM_SPECTRUM, SpectrumStream(groups), context.with_levels(levels))]
        if choice.copies:
            streams.insert(0, self._coded(c.STREAM_OCCURRENCES, stream, context))
        segment = Segment(index, tuple(sorted(needed)), tuple(streams))
        return CodedSegment(segment, choice.copies, choice.plain_bits, choice.bits)

    def _context(self, index: int) -> StreamContext:
        frames = self.header.segment_span(index)[1]
        return StreamContext(self.header.samplerate, self.header.channels, frames, self.header.phase_bits)

    def _candidates(self, first: int, count: int) -> list[int]:
        """Lags worth a try in a segment, none reaching further back than is kept."""
        least = c.least_lag(self.header.samplerate) << self.header.phase_bits
        most = (self.span - 1) * self.header.segment_frames << self.header.phase_bits
        found = {lag for superframe in self.lags[first : first + count] for lag in superframe}
        return sorted(lag for lag in found if least <= lag <= most and lag >> self.header.phase_bits < (first + count) * self.size)

    def _expected(self, signal: Signal, first: int, gain: int) -> Signal:
        """The signal [channels, samples], from two superframes before the segment to two behind, with noise like that
        of coding it: what stands for the decoded segment while it is not yet coded."""
        depth, geometry = analysis.SPLITS, self.analyser.geometry
        count = signal.shape[1] // self.size - 2
        bands = geometry.layouts[depth]
        spectra = analysis.uniform_spectra(signal, self.size, count * self.size, self.size >> depth)
        levels = layout.energy_log(analysis.energy_indices(analysis.band_rms(spectra, bands)))
        steps = step_logs(levels.transpose(1, 0, 2), gain, depth).transpose(1, 0, 2)
        offsets = np.pad(self.offsets, (1, 2), "edge")[first : first + count]
        steps -= c.OFFSET_STEP * np.repeat(offsets, 1 << depth)[:, None]
        scale = (EXPECTED_NOISE * np.exp2(steps / c.OCTAVE)).astype(np.float32)[..., bands.band_of_bin]
        random = np.random.default_rng(first)
        noise = np.zeros(spectra.shape, np.float32)
        noise[..., : bands.bins] = scale * random.uniform(-1, 1, scale.shape).astype(np.float32)
        out = signal.copy()
        out[:, self.size : -self.size] += analysis.uniform_signal(noise)
        return out

    def _past(self, signal: Signal, first: int, count: int, lag: int) -> Signal:
        """The segment with a superframe of context on both sides, one lag earlier: as the decoder has it, or, where
        that is not yet coded, as `signal` has it."""
        origin = (first - 2) * self.size
        complete = first * self.size - self.size // 2

        def read(start: int, length: int) -> Signal:
            done = min(max(complete - start, 0), length)
            out = np.empty((len(signal), length), np.float32)
            for timeline, channels in zip(self.timelines, self.analyser.groups):
                out[channels, :done] = timeline.fetch(start, done)
            out[:, done:] = signal[:, start + done - origin : start + length - origin]
            return out

        return delayed(read, (first - 1) * self.size, (count + 2) * self.size, lag, self.header.phase_bits)

    def _partitions(
        self, signal: Signal, predicted: Signal | None, first: int, count: int, gain: int
    ) -> list[tuple[int, ...]]:
        """Partitions of the segment's superframes and of the one behind. That one is settled without regard to
        copies, which are not yet known there."""
        size, geometry = self.size, self.analyser.geometry
        plain = analysis.choose_partitions(signal, signal, size * (count + 1), 2, geometry, gain)
        behind = plain[1]
        if predicted is None:
            found = analysis.choose_partitions(signal, signal, 2 * size, count, geometry, gain)
        else:
            left = signal.copy()
            left[:, size:-size] -= predicted
            found = analysis.choose_partitions(left, signal, 2 * size, count, geometry, gain)
        if self.pinned is not None:
            found[0] = self.pinned
        self.pinned = behind
        return [*found, behind]

    def _occurrences(self, copies: list[Copy]) -> OccurrenceStream:
        copies = sorted(copies, key=lambda copy: copy.first)
        unit = self.size << self.header.phase_bits
        planes = self.header.channels
        if not copies:
            return OccurrenceStream()
        zeros = np.zeros(len(copies), np.int64)
        return OccurrenceStream(
            times=np.array([copy.first * unit for copy in copies]),
            patterns=zeros + COPY,
            lags=np.array([copy.lag for copy in copies]),
            offsets=zeros,
            lengths=np.array([(copy.end - copy.first) * self.size for copy in copies]),
            inverted=zeros,
            shifts=zeros,
            rotations=zeros,
            gains=np.stack([copy.levels for copy in copies]),
            band_stride=BAND_STRIDE,
            mid_side=planes == 2,
        )

    def _group(
        self,
        number: int,
        signal: Signal,
        first: int,
        partitions: list[tuple[int, ...]],
        sounding: list[Sounding],
        levels: GroupLevels,
        gain: int,
    ) -> Group:
        """Code one channel group, run after run; its decoded output goes to its timeline."""
        count = len(partitions) - 1
        geometry, channels = self.analyser.geometry, self.analyser.groups[number]
        timeline = self.timelines[number]
        last = first + count == self.analyser.superframes
        before = self.size >> self.last_partition[-1] if first else 0
        after = 0 if last else self.size >> partitions[count][0]
        whole = BlockRun(self.size, first, partitions[:count], before, after)
        if not sounding and not signal[:, self.size : -self.size].any():
            timeline.put(BlockRun(self.size, first, [(0,)] * count), {})
            levels.skip()
            return Group(0, 0)
        offsets = [int(offset) for offset in self.offsets[first : first + count]]
        group = Group(gain, geometry.coarse_bands, [], offsets if any(offsets) else [])
        port = Quantiser()
        quantiser = GroupQuantiser(
            geometry, len(signal), gain, spectrum_model(), port, any(offsets), levels
        )
        for start, end in self._runs(first, count, sounding):
            run = whole.part(start, end)
            prediction = predict(run, sounding, timeline, channels)
            self._run(run, prediction, signal, first, group, quantiser, levels, gain)
            blocks = [block for superframe in group.superframes[start - first :] for block in superframe]
            spectra = residual_spectra(run, blocks, channels, prediction.predicted if prediction else None)
            for depth in prediction.spectra if prediction else ():
                spectra[depth] += prediction.spectra[depth]
            timeline.put(run, spectra)
        return group

    def _runs(self, first: int, count: int, sounding: list[Sounding]) -> list[tuple[int, int]]:
        """Superframes [first, end) that can be predicted together."""
        size, runs, start = self.size, [], first
        while start < first + count:
            end = start + 1
            while end < first + count and all(
                reads is None or reads[1] <= start * size - size // 2
                for reads in (part.reads(end, size) for part in sounding)
            ):
                end += 1
            runs.append((start, end))
            start = end
        return runs

    def _run(
        self,
        run: BlockRun,
        prediction: Prediction | None,
        signal: Signal,
        first: int,
        group: Group,
        quantiser: GroupQuantiser,
        levels: GroupLevels,
        gain: int,
    ) -> None:
        """Decide and quantise what is left of a run."""
        size, geometry = self.size, self.analyser.geometry
        origin = (run.first - first + 2) * size
        heard = analysis.transform(signal, origin, run.depths, size, run.before, run.after)
        left = heard
        alone = np.zeros(len(run.depths), bool)
        if prediction is not None:
            alone = self._alone(run, heard, prediction, gain)
            prediction.leave(run, alone)
            left = {depth: (numbers, found - prediction.spectra[depth]) for depth, (numbers, found) in heard.items()}
        rows = {depth: {int(n): i for i, n in enumerate(numbers)} for depth, (numbers, _) in heard.items()}
        slots = size >> (c.BLOCK_DEPTHS - 1)

        def leave_out(number: int, depth: int, coded: Signal, amplitudes: Signal) -> None:
            assert prediction is not None
            bands = geometry.layouts[depth]
            mask = prediction.predicted[depth][rows[depth][number]][coarse_of_band(bands, depth)]
            if not mask.any():
                return
            start = int(run.starts[number])
            offset = int(self.offsets[start // size])
            heard_levels = layout.energy_log(analysis.energy_indices(amplitudes))
            brought = levels.brought((start - first * size) // slots, depth, bands)
            if brought is not None and not alone[number]:
                heard_levels = np.maximum(heard_levels, brought)
            steps = step_logs(heard_levels, gain - c.OFFSET_STEP * offset, depth)
            ratio = np.abs(coded) * np.exp2(steps / -c.OCTAVE).astype(np.float32)[:, bands.band_of_bin]
            worth = worth_coding(ratio, bands.edges[:-1])
            amplitudes[:, mask] = np.where(worth > LAMBDA * LEFT_OUT_BITS, amplitudes, 0)[:, mask]

        analysed = analyse_spectra(
            left, heard, list(run.partitions), geometry, gain, leave_out if prediction is not None else None
        )
        for block, left_alone in zip((block for blocks in analysed.blocks for block in blocks), alone, strict=True):
            block.alone = bool(left_alone)
        for blocks, spectra in zip(analysed.blocks, analysed.spectra):
            quantiser.superframe(blocks, spectra, int(self.offsets[first + len(group.superframes)]))
            group.superframes.append(blocks)

    def _alone(
        self, run: BlockRun, heard: BlockSpectra, prediction: Prediction, gain: int
    ) -> NDArray[np.bool_]:
        """The blocks [blocks of the run] that cost less without patterns."""
        alone = np.zeros(len(run.depths), bool)
        offsets = self.offsets[run.starts // self.size]
        for depth, (numbers, spectra) in heard.items():
            bands = self.analyser.geometry.layouts[depth]
            widths = bands.widths.astype(np.float32)
            brought = prediction.spectra[depth]
            energies = [analysis.band_rms(each, bands) ** 2 * widths for each in (spectra, spectra - brought, brought)]
            levels = layout.energy_log(analysis.energy_indices(np.sqrt(energies[0] / widths)))
            steps = step_logs(levels.transpose(1, 0, 2), gain, depth).transpose(1, 0, 2)
            steps -= c.OFFSET_STEP * offsets[numbers][:, None]
            scale = np.exp2(steps / (-c.OCTAVE / 2)).astype(np.float32)
            own, left, added = (energy * scale for energy in energies)
            saved = plain_cost(own, widths) - cost(left, own, added, widths)
            alone[numbers] = saved.sum(axis=(0, 2)) < -ALONE_BITS
        return alone

    def _coded(self, kind: int, stream: SpectrumStream | OccurrenceStream, context: StreamContext) -> StreamData:
        encoder = SymbolEncoder()
        stream.write(encoder, context)
        coded = encoder.finish()
        return StreamData(kind, coded.words, coded.symbols, coded.checksum)
