"""One channel group of a segment in closed loop: what copies bring is subtracted, what is left is quantised, and what
the decoder then has goes to the timeline that later copies read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group
from evc.format.streams.spectrum_model import spectrum_model
from evc.format.streams.spectrum_steps import step_logs
from evc.models.arrays import Signal
from evc.models.patterns.cost import MISSING, cost, plain_cost
from evc.models.patterns.sounding import Prediction, Sounding, predict
from evc.models.patterns.timeline import Timeline
from evc.models.spectrum import analysis
from evc.models.spectrum.encoder import BlockSpectra, analyse_spectra
from evc.models.spectrum.quantise import LAMBDA, GroupQuantiser, worth_coding
from evc.models.spectrum.synthesis import BlockRun, residual_spectra

ALONE_BITS = 6.0  # that patterns leave a block alone
LEFT_OUT_BITS = 20.0  # what an energy, a flag and the contexts spoilt cost, where patterns sound


class GroupCoder:
    """Codes one channel group of one segment.

    whole: the blocks of the segment; gain: log step in 1/64 octave; offsets int [superframes]: by how many quarters of
    an octave the steps of each are finer; channels: of the group in the file; sounding: the copies; covered: where they
    sound (see `Walk`).
    """

    def __init__(
        self,
        geometry: layout.Geometry,
        whole: BlockRun,
        gain: int,
        offsets: NDArray[np.int64],
        channels: slice,
        timeline: Timeline,
        sounding: list[Sounding],
        covered: NDArray[np.int64],
    ) -> None:
        self.geometry, self.whole, self.gain, self.channels = geometry, whole, gain, channels
        self.size = geometry.superframe
        self._offsets, self._timeline, self._sounding, self._covered = offsets, timeline, sounding, covered

    def code(self, signal: Signal) -> Group:
        """Code the superframes. signal: float32 [channels, samples] with two superframes of context on both sides,
        16-bit units."""
        whole, count = self.whole, len(self.whole.partitions)
        silent = not self._sounding and not signal[:, self.size : -self.size].any()
        if silent and whole.partitions[0] == (0,):  # which the segment before relies on
            self._timeline.put(BlockRun(self.size, whole.first, [(0,)] * count), {})
            return Group(0, 0)
        graded = [int(offset) for offset in self._offsets] if self._offsets.any() else []
        group = Group(self.gain, self.geometry.coarse_bands, [], graded)
        quantiser = GroupQuantiser(
            self.geometry, len(signal), self.gain, spectrum_model(), graded=bool(graded), covered=self._covered
        )
        for start, end in self._runs(whole.first, count):
            run = whole.part(start, end)
            prediction = predict(run, self._sounding, self._timeline, self.channels)
            self._quantise(run, prediction, signal, group, quantiser)
            blocks = [block for superframe in group.superframes[start - whole.first :] for block in superframe]
            spectra = residual_spectra(run, blocks, self.channels)
            if prediction is not None:
                for depth, brought in prediction.spectra.items():
                    spectra[depth] += brought
            self._timeline.put(run, spectra)
        return group

    def _runs(self, first: int, count: int) -> list[tuple[int, int]]:
        """Superframes [first, end) that can be predicted together: nothing that they repeat is among themselves."""
        size, runs, start = self.size, [], first
        while start < first + count:
            end = start + 1
            while end < first + count and all(
                reads is None or reads[1] <= start * size - size // 2
                for reads in (one.reads(end, size) for one in self._sounding)
            ):
                end += 1
            runs.append((start, end))
            start = end
        return runs

    def _quantise(
        self, run: BlockRun, prediction: Prediction | None, signal: Signal, group: Group, quantiser: GroupQuantiser
    ) -> None:
        """Decide about and quantise what is left of a run; the superframes are added to `group`."""
        origin = (run.first - self.whole.first + 2) * self.size
        heard = analysis.transform(signal, origin, run.depths, self.size, run.before, run.after)
        alone = np.zeros(len(run.depths), bool)
        if prediction is None:
            analysed = analyse_spectra(heard, heard, list(run.partitions), self.geometry, self.gain)
        else:
            alone = self._alone(run, heard, prediction)
            prediction.leave(run, alone)
            left = {depth: (numbers, found - prediction.spectra[depth]) for depth, (numbers, found) in heard.items()}

            def amplitudes(number: int, depth: int, coded: Signal, *levels: Signal) -> Signal:
                offset = self._offsets[int(run.starts[number]) // self.size - self.whole.first]
                return self._amplitudes(depth, int(offset), coded, *levels)

            analysed = analyse_spectra(left, heard, list(run.partitions), self.geometry, self.gain, amplitudes)
        flags = iter(alone)
        for place, (blocks, spectra) in enumerate(zip(analysed.blocks, analysed.spectra, strict=True)):
            for block in blocks:
                block.alone = bool(next(flags))
            offset = int(self._offsets[len(group.superframes)])
            heard_here = analysed.heard[place] if analysed.heard is not None else None
            quantiser.superframe(blocks, spectra, offset, heard_here)
            group.superframes.append(blocks)

    def _amplitudes(
        self, depth: int, offset: int, coded: Signal, left: Signal, heard: Signal, brought: Signal
    ) -> Signal:
        """Amplitudes [channels, bands] that a block has energies for: of what is `left`, to be `coded` [channels,
        bins], where that is worth its bits, else of what is missing of what is `heard` beside what is `brought`, to be
        filled with noise, or 0 if that is little. offset: of the steps."""
        bands = self.geometry.layouts[depth]
        levels = layout.energy_log(analysis.energy_indices(np.maximum(heard, left)))
        steps = step_logs(levels, self.gain - c.OFFSET_STEP * offset, depth)
        ratio = np.abs(coded) * np.exp2(steps / -c.OCTAVE).astype(np.float32)[:, bands.band_of_bin]
        missing = heard * heard - brought * brought
        filled = np.where(missing > MISSING * heard * heard, np.sqrt(np.maximum(missing, 0)), 0)
        worth = worth_coding(ratio, bands.edges[:-1]) > LAMBDA * LEFT_OUT_BITS
        found: Signal = np.where(worth, left, filled).astype(np.float32)
        return found

    def _alone(self, run: BlockRun, heard: BlockSpectra, prediction: Prediction) -> NDArray[np.bool_]:
        """The blocks [blocks of the run] that cost less without patterns."""
        alone = np.zeros(len(run.depths), bool)
        offsets = self._offsets[run.starts // self.size - self.whole.first]
        for depth, (numbers, spectra) in heard.items():
            bands = self.geometry.layouts[depth]
            widths = bands.widths.astype(np.float32)
            brought = prediction.spectra[depth]
            energies = [analysis.band_rms(each, bands) ** 2 * widths for each in (spectra, spectra - brought, brought)]
            levels = layout.energy_log(analysis.energy_indices(np.sqrt(energies[0] / widths)))
            steps = step_logs(levels.transpose(1, 0, 2), self.gain, depth).transpose(1, 0, 2)
            steps -= c.OFFSET_STEP * offsets[numbers][:, None]
            scale = np.exp2(steps / (-c.OCTAVE / 2)).astype(np.float32)
            own, left, added = (energy * scale for energy in energies)
            saved = plain_cost(own, widths) - cost(left, own, added, widths)
            alone[numbers] = saved.sum(axis=(0, 2)) < -ALONE_BITS
        return alone
