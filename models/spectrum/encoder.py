"""The spectrum encoder: samples of one segment to a `SpectrumStream`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_model import SpectrumModel, spectrum_model
from evc.models.source import AudioSource, padded
from evc.models.spectrum import analysis
from evc.models.spectrum.extrapolation import HISTORY, REACH, continued
from evc.models.spectrum.quantise import quantise
from evc.models.spectrum.stereo import apply_stereo, choose_stereo

FULL_SCALE = np.float32(32768)


@dataclass
class AnalysedGroup:
    """Spectra of one channel group, ready to be quantised: per superframe and block, float32 [channels, bins]. heard:
    energies int64 [channels, bands] of all that is heard in a block, where that is not what is to be coded."""

    geometry: layout.Geometry
    blocks: list[list[Block]]
    spectra: list[list[NDArray[np.float32]]]
    heard: list[list[NDArray[np.int64]]] | None = None


def bandwidth(samplerate: int, highest: float) -> int:
    """Number of coarse bands that it takes to reach `highest` Hz, or half the sample rate."""
    unit = samplerate / 2 / (c.superframe_length(samplerate) >> (c.BLOCK_DEPTHS - 1))
    below = sum(edge * unit < highest for edge in c.COARSE_EDGES)
    return min(max(below, 1), layout.most_coarse_bands(samplerate))


def analyse_group(
    signal: NDArray[np.float32],
    partitions: list[tuple[int, ...]],
    before: int,
    after: int,
    geometry: layout.Geometry,
    gain: int,
) -> AnalysedGroup:
    """Transform, stereo decisions and band energies of one segment.

    signal: float32 [channels, samples] with one superframe of context on both sides, full scale 32768;
    before, after: size of the neighbouring blocks outside the segment, 0 at the ends of the file; gain: planned
    log step in 1/64 octave.
    """
    superframe = geometry.superframe
    depths = np.array([depth for partition in partitions for depth in partition])
    spectra = analysis.transform(signal, superframe, depths, superframe, before, after)
    return analyse_spectra(spectra, spectra, partitions, geometry, gain)


Coefficients = NDArray[np.float32]
Levels = NDArray[np.float32]
Amplitudes = Callable[[int, int, Coefficients, Levels, Levels, Levels], Levels]
BlockSpectra = dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]]  # as `analysis.transform` returns them


def analyse_spectra(
    spectra: BlockSpectra,
    heard: BlockSpectra,
    partitions: list[tuple[int, ...]],
    geometry: layout.Geometry,
    gain: int,
    amplitudes: Amplitudes | None = None,
) -> AnalysedGroup:
    """Stereo decisions and band energies of blocks: `spectra` are to be coded, steps follow those `heard`.

    amplitudes(number, depth, coded [channels, bins], left, all_heard, brought), these of what is to be coded, of all
    that is heard, and of the difference [channels, bands], tells those that the energies of a block stand for, if these
    are not of what is to be coded.
    """
    depths = np.array([depth for partition in partitions for depth in partition])
    stereo = len(next(iter(spectra.values()))[1]) == 2
    modes = np.zeros((len(depths), geometry.coarse_bands), np.int64)
    if stereo:
        modes = choose_stereo(spectra, heard, len(depths), geometry, gain)
    rms: dict[int, NDArray[np.float32]] = {}
    coded: dict[int, NDArray[np.float32]] = {}
    unset: dict[int, NDArray[np.int32]] = {}
    energies_heard: dict[int, NDArray[np.int64]] = {}
    for depth, (numbers, found) in spectra.items():
        bands = geometry.layouts[depth]
        joint = apply_stereo(found, modes[numbers], geometry, depth) if stereo else found[..., : bands.bins]
        of_blocks = np.ascontiguousarray(joint.swapaxes(0, 1))
        coded.update(zip(numbers.tolist(), of_blocks, strict=True))
        unset.update(zip(numbers.tolist(), np.zeros(of_blocks.shape, np.int32), strict=True))
        rms.update(zip(numbers.tolist(), analysis.band_rms(joint, bands).swapaxes(0, 1), strict=True))
        if amplitudes is not None:
            all_heard = heard[depth][1]
            all_heard = apply_stereo(all_heard, modes[numbers], geometry, depth) if stereo else all_heard
            all_heard = all_heard[..., : bands.bins]
            of_all, brought = (analysis.band_rms(each, bands) for each in (all_heard, all_heard - joint))
            energies = analysis.energy_indices(of_all)
            for i, number in enumerate(numbers.tolist()):
                energies_heard[number] = energies[:, i]
                left = rms[number]
                rms[number] = amplitudes(number, depth, coded[number], left, of_all[:, i], brought[:, i])
    held, shared = analysis.hold_blocks([rms[number] for number in range(len(depths))], depths, modes, gain)
    indices = analysis.energy_indices(np.concatenate([of_block.ravel() for of_block in shared]))
    blocks, at = [], 0
    for number, (depth, hold) in enumerate(zip(depths.tolist(), held.tolist(), strict=True)):
        energies = indices[at : at + shared[number].size].reshape(shared[number].shape)
        blocks.append(Block(depth, modes[number], energies, unset[number], hold))
        at += energies.size
    order = iter(range(len(depths)))
    frames = [[next(order) for _ in partition] for partition in partitions]
    return AnalysedGroup(
        geometry,
        [[blocks[number] for number in frame] for frame in frames],
        [[coded[number] for number in frame] for frame in frames],
        [[energies_heard[number] for number in frame] for frame in frames] if amplitudes is not None else None,
    )


def quantise_group(group: AnalysedGroup | None, gain: int, model: SpectrumModel) -> tuple[Group, float]:
    """(quantised group, ideal bits); None stands for silence."""
    if group is None:
        return Group(0, 0), 0.0
    return quantise(group.spectra, group.blocks, group.geometry, gain, model)


class SegmentAnalyser:
    """Analyses the segments of a source for one planned gain; in any order, and in parallel."""

    def __init__(self, source: AudioSource, segment_frames: int, gain: int, highest: float) -> None:
        self.source, self.gain = source, gain
        self._reading = Lock()  # a source has one read position, whoever reads
        self.superframe = c.superframe_length(source.samplerate)
        self.per_segment = segment_frames // self.superframe
        self.superframes = -(-source.frames // self.superframe)
        self.geometry = layout.geometry(self.superframe, bandwidth(source.samplerate, highest))
        self.groups = channel_groups(source.channels)

    def analyse(self, index: int) -> list[AnalysedGroup | None]:
        """The analysed groups of segment `index`; None for a group that is silent throughout."""
        size = self.superframe
        first = index * self.per_segment
        count = min(self.per_segment, self.superframes - first)
        # Context: a superframe on each side whose partition is needed, and one more for its windows.
        signal = self.read((first - 2) * size, (count + 4) * size)
        result: list[AnalysedGroup | None] = []
        for channels in self.groups:
            part = signal[channels]
            if not part[:, size:-size].any():
                result.append(None)
                continue
            partitions = analysis.choose_partitions(part, part, size, count + 2, self.geometry, self.gain)
            before = size >> partitions[0][-1] if first > 0 else 0
            after = size >> partitions[-1][0] if first + count < self.superframes else 0
            result.append(analyse_group(part[:, size:-size], partitions[1:-1], before, after, self.geometry, self.gain))
        return result

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Samples [channels, count] from frame `start` on, in 16-bit units; outside the file silence, but for what is
        assumed behind its end."""
        end = self.source.frames
        with self._reading:
            out = padded(self.source.read, self.source.channels, end, start, count)
        if start + count > end and self._behind.shape[1]:
            first, last = max(start, end), min(start + count, end + self._behind.shape[1])
            out[:, first - start : max(first, last) - start] = self._behind[:, first - end : max(first, last) - end]
        out *= FULL_SCALE
        return out

    @cached_property
    def _behind(self) -> NDArray[np.float32]:
        """What is assumed behind the last frame, [channels, frames], up to the end of the last superframe."""
        frames = self.source.frames
        count = min(self.superframes * self.superframe - frames, REACH)
        with self._reading:
            return continued(self.source.read(max(0, frames - HISTORY), min(HISTORY, frames)), count)


def encode_segment(analysed: list[AnalysedGroup | None], gain: int) -> tuple[SpectrumStream, float]:
    """(stream, ideal bits) of one segment at a gain in 1/64 octave."""
    model = spectrum_model()
    coded = [quantise_group(group, gain, model) for group in analysed]
    return SpectrumStream([group for group, _ in coded]), sum(bits for _, bits in coded)
