"""Proposals for explicit patterns: waveforms worth storing once, because they sound often and never alone.

Where a sound comes back with the same surroundings, or alone, a copy of the decoded past costs nothing and says it
all. A stored waveform can only pay where the surroundings change: then a copy brings along what was on top of its
source. So a proposal is valued by what it saves beyond the copies that have been chosen already, less what it costs.

The search goes from onset to onset, those first that copies leave most of: find where else it sounds by correlation,
separate what these places have in common, keep as much of it as pays, take it out, go on with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.models.patterns.separate import Gains, Signal, add_placements, separate_loop, stretch
from evc.models.residual.analysis import SPLITS, model_steps, uniform_spectra
from evc.streams.spectrum_layout import full_geometry

Places = NDArray[np.int64]  # in 2**-DEFAULT_PHASE_BITS frames

UNIT = 1 << c.DEFAULT_PHASE_BITS
DECIMATION = 4  # of the signal in which occurrences are looked for
FLATTENING = 0.7  # power of the long-term spectrum that is taken out of it: what a step size follows
PROBE, LEAD, LONGEST = 0.15, 0.004, 1.5  # seconds from an onset that are looked for, before it, and kept at most
HOP, FRAME = 64, 256  # of the onset detector, in decimated samples
APART = 0.05  # seconds between onsets, and between occurrences
ALIKE = 0.5  # correlation that counts as another occurrence
LEAST_SHARE = 0.02  # of a stretch's energy that a pattern has to explain
OCCURRENCES = (3, 20)  # fewest, and most of one pattern
ATTEMPTS, PROPOSALS, PASSES = 32, 16, 2  # seeds; patterns; of the search, the second with the mean of the first's
NOISE = 0.1  # squared steps: error that a coded waveform brings along
COARSER = 64  # log step in 1/64 octave by which patterns are coded more coarsely than what they are part of
STEP_EXPONENT = 0.7  # of a step in its band's energy
CAUTION = 0.65  # part of the bits saved that is counted: in earnest, choices hold for more than one band and block
PLACEMENT_BITS, BAND_BITS, GATE_BITS = 25.0, 1.5, 0.3  # a placement; a band's energy; a band's switch, in each block


@dataclass(frozen=True, eq=False)
class Proposal:
    """waveform: float32 [channels, frames]; placements: (start in 2**-DEFAULT_PHASE_BITS frames, gain), by start;
    saved: bits beyond copies, estimated, with the costs taken off."""

    waveform: Signal
    placements: list[tuple[int, float]]
    saved: float


def find_patterns(signal: Signal, predicted: Signal, samplerate: int, gain: int) -> list[Proposal]:
    """Proposals for a signal of which copies predict a part, those that save most first; often there are none.

    signal, predicted: float32 [channels, frames] in 16-bit units; gain: planned log step in 1/64 octave.
    """
    block = c.superframe_length(samplerate) >> 1
    if signal.shape[1] < 2 * PROBE * samplerate + 2 * block:
        return []
    left, rest = signal - predicted, signal.copy()
    found: list[Proposal] = []
    flat = _flattened(rest)
    onsets = _onsets(_flattened(left), samplerate)
    for _ in range(ATTEMPTS):
        if not len(onsets) or len(found) == PROPOSALS:
            break
        places, onsets = _occurrences(flat, onsets, samplerate)
        if len(places) < OCCURRENCES[0]:
            continue
        proposal = _propose(signal, left, rest, places, samplerate, gain)
        if proposal is not None:
            found.append(proposal)
            starts, gains = zip(*proposal.placements)
            add_placements(rest, proposal.waveform, np.array(starts), -np.array(gains))
            flat = _flattened(rest)
    return sorted(found, key=lambda proposal: -proposal.saved)


def _flattened(signal: Signal) -> Signal:
    """The mean of the channels, its long-term spectrum flattened, every DECIMATION-th sample: float32 [samples]."""
    spectrum = np.fft.rfft(signal.mean(axis=0))
    bins = len(spectrum) // DECIMATION
    power = np.abs(spectrum[:bins]) ** 2
    edges = np.unique(np.geomspace(max(1, bins // 256), bins, 24).astype(np.int64))[:-1]
    level = np.add.reduceat(power, edges) / np.diff(np.append(edges, bins))
    weight = np.interp(np.arange(bins), edges, np.maximum(level, 1e-6 * level.max() + 1e-20) ** (-FLATTENING / 2))
    return np.fft.irfft(spectrum[:bins] * weight, signal.shape[1] // DECIMATION).astype(np.float32)


def _onsets(flat: Signal, samplerate: int) -> NDArray[np.int64]:
    """Decimated samples at which something begins, by rise times energy, the strongest first."""
    frames = np.lib.stride_tricks.sliding_window_view(flat, FRAME)[::HOP] * np.hanning(FRAME).astype(np.float32)
    levels = np.log1p(np.abs(np.fft.rfft(frames)) / (np.sqrt(FRAME) * flat.std() + 1e-20))
    rise = np.maximum(levels[2:] - levels[:-2], 0).sum(axis=1)
    apart = round(APART * samplerate / DECIMATION / HOP)
    peaks = _peaks(rise, 0.15 * float(np.quantile(rise, 0.995)) + 1e-9, apart)
    onsets = (peaks + 1) * HOP + FRAME // 2
    length = round(PROBE * samplerate / DECIMATION)
    onsets = onsets[onsets + length < len(flat)]
    sums = np.concatenate([[0.0], np.cumsum(np.square(flat, dtype=np.float64))])
    return onsets[np.argsort(sums[onsets] - sums[onsets + length])]


def _peaks(values: NDArray[np.float32], least: float, apart: int) -> NDArray[np.int64]:
    """Places of the local maxima above `least`, greatest first, none within `apart` of a greater one."""
    free = np.ones(len(values) + 2 * apart, bool)
    inner = values[1:-1]
    places = np.flatnonzero((inner > least) & (inner >= values[:-2]) & (inner > values[2:])) + 1
    kept = []
    for place in places[np.argsort(-values[places])]:
        if free[place + apart]:
            kept.append(place)
            free[place : place + 2 * apart + 1] = False
    return np.array(kept, np.int64)


def _occurrences(flat: Signal, onsets: NDArray[np.int64], samplerate: int) -> tuple[Places, NDArray[np.int64]]:
    """Where the first of the onsets sounds, most alike first, and the onsets that are not among these places."""
    length, lead = round(PROBE * samplerate / DECIMATION), round(LEAD * samplerate / DECIMATION)
    apart = round(APART * samplerate / DECIMATION)
    places = np.array([max(0, int(onsets[0]) - lead)])
    for _ in range(PASSES):
        cuts = [flat[place : place + length] for place in places[: OCCURRENCES[1]]]
        places = _peaks(_likeness(flat, np.mean(cuts, axis=0, dtype=np.float32)), ALIKE, apart)
        if len(places) < OCCURRENCES[0]:
            break
    taken = [np.abs(places + lead - onset).min(initial=apart) < apart // 2 for onset in onsets]
    taken[0] = True
    return places * DECIMATION * UNIT, onsets[~np.array(taken)]


def _likeness(flat: Signal, probe: Signal) -> Signal:
    """Normalised correlation float32 [samples] of `probe` with what begins at each sample."""
    size = 1 << (len(flat) + len(probe) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(flat, size) * np.fft.rfft(probe, size).conj(), size)
    sums = np.concatenate([[0.0], np.cumsum(np.square(flat, dtype=np.float64))])
    energies = sums[len(probe) :] - sums[: -len(probe)]
    own = float(np.square(probe).sum())
    likeness = products[: len(energies)] / np.sqrt(own * np.maximum(energies, 0.01 * own) + 1e-20)
    return likeness.astype(np.float32)


def _propose(signal: Signal, left: Signal, rest: Signal, places: Places, samplerate: int, gain: int) -> Proposal | None:
    """The pattern at these places in the rest of the signal, if it pays."""
    block = c.superframe_length(samplerate) >> 1
    length = round(LONGEST * samplerate / block) * block
    places = _aligned(rest, places, round(PROBE * samplerate))
    places = places[: OCCURRENCES[1]]
    separated = separate_loop(rest, places / UNIT, length)
    worth = _worth(signal, left, rest, places, separated.gains, separated.waveform, block, gain)
    blocks = int(np.argmax(np.cumsum(worth))) + 1
    if worth[:blocks].sum() <= PLACEMENT_BITS * len(places):
        return None
    separated = separate_loop(rest, places / UNIT, blocks * block)
    kept = (separated.share > LEAST_SHARE) & (separated.gains > 0)
    places, gains = places[kept], separated.gains[kept]
    if len(places) < OCCURRENCES[0]:
        return None
    saved = float(_worth(signal, left, rest, places, gains, separated.waveform, block, gain).sum())
    saved -= PLACEMENT_BITS * len(places)
    placements = sorted((int(place), float(level)) for place, level in zip(places, gains))
    return Proposal(separated.waveform, placements, saved) if saved > 0 else None


def _aligned(rest: Signal, places: Places, length: int) -> Places:
    """The places, shifted by up to DECIMATION frames to where they agree with the first one best."""
    window = np.hanning(length).astype(np.float32)
    reference = np.fft.rfft(stretch(rest, int(places[0]), 0, length) * window)
    flatness = np.maximum(np.abs(reference), 1e-3 * np.abs(reference).max() + 1e-20) ** -FLATTENING
    turns = 2j * np.pi * np.arange(reference.shape[1]) / length
    shifts = np.arange(-2 * DECIMATION, 2 * DECIMATION + 0.25, 0.25)
    fine = np.arange(-8, 9) / UNIT
    aligned = [int(places[0])]
    for place in places[1:]:
        cross = (np.fft.rfft(stretch(rest, int(place), 0, length) * window) * reference.conj() * flatness).sum(axis=0)
        coarse = shifts[np.argmax([(cross * np.exp(turns * shift)).real.sum() for shift in shifts])]
        near = coarse + fine
        best = near[np.argmax([(cross * np.exp(turns * shift)).real.sum() for shift in near])]
        aligned.append(int(place) + round(float(best) * UNIT))
    return np.array(aligned, np.int64)


def _worth(
    signal: Signal, left: Signal, rest: Signal, places: Places, gains: Gains, waveform: Signal, block: int, gain: int
) -> NDArray[np.float64]:
    """Bits [blocks] that each block of the waveform saves beyond what copies leave, less its own cost."""

    def spectra(source: Signal, place: int) -> Signal:
        return _spectra(stretch(source, place, -block, waveform.shape[1] + block), block)

    pattern = _spectra(np.pad(waveform, ((0, 0), (block, block))), block)
    pattern_steps = _steps(pattern, block, gain + COARSER)
    sounds = np.add.reduceat(np.square(pattern), _edges(block)[0], axis=-1) > 1
    worth: NDArray[np.float64] = -(_bits(pattern, pattern_steps, block) + BAND_BITS * sounds).sum(axis=(0, 2))
    for place, level in zip(places.tolist(), gains.astype(np.float32)):
        steps = _steps(spectra(signal, place), block, gain)
        present = spectra(rest, place)
        without = np.minimum(_bits(present, steps, block), _bits(spectra(left, place), steps, block))
        placed = _bits(present - level * pattern, steps, block, NOISE * (level * pattern_steps) ** 2)
        worth += CAUTION * np.maximum(0, without - placed - GATE_BITS).sum(axis=(0, 2))
    return worth


def _spectra(sound: Signal, block: int) -> Signal:
    """[channels, blocks, block] of a stretch that has a block more on either side."""
    return uniform_spectra(sound, block, sound.shape[1] - 2 * block, block)


def _edges(block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges [bands] and widths [bands] of the coarse bands in the bins of such a block."""
    coarse = full_geometry(2 * block).coarse
    return coarse.edges[:-1] << (SPLITS - 1), coarse.widths << (SPLITS - 1)


def _steps(spectra: Signal, block: int, gain: int) -> Signal:
    """Step sizes [channels, blocks, bands]."""
    edges, widths = _edges(block)
    rms = np.sqrt(np.add.reduceat(np.square(spectra), edges, axis=-1) / widths.astype(np.float32))
    return model_steps(rms, gain, STEP_EXPONENT)


def _bits(spectra: Signal, steps: Signal, block: int, error: Signal | float = 0.0) -> NDArray[np.float64]:
    """Bits [channels, blocks, bands] that spectra [channels, blocks, bins] with a mean squared error take."""
    edges, widths = _edges(block)
    inverse = np.repeat(steps**-2, widths, axis=-1)
    bias = np.repeat(np.broadcast_to(error * steps**-2, steps.shape), widths, axis=-1)
    information = 0.5 * np.log2(1 + np.square(spectra) * inverse + bias)
    bits: NDArray[np.float64] = np.add.reduceat(information, edges, axis=-1, dtype=np.float64)
    return bits
