"""The sound of dictionary entries, and what many placements of them are together, before any transform."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.errors import DamagedError, FormatError
from evc.format.sources import Entry, SoundSource
from evc.format.streams.dictionary import Explicit, Lattice
from evc.format.streams.spectrum import channel_groups
from evc.models.arrays import Signal
from evc.models.patterns.timeline import HALF_TAPS, Timeline, delayed, interpolation_taps
from evc.models.patterns.transposed import add_transposed
from evc.models.spectrum.synthesis import BlockRun, residual_spectra

KEPT_WAVEFORM_BYTES = 1 << 26
UNIT = 2.0**15  # full scale


class Waveforms:
    """Sound of the dictionary's entries, rendered when first asked for; those used last are kept."""

    def __init__(self, entries: Sequence[Entry | None], samplerate: int) -> None:
        self._entries, self._samplerate = entries, samplerate
        self._kept: OrderedDict[tuple[int, float, float], Signal] = OrderedDict()

    def get(self, entry: int, shift: float = 0.0, rotation: float = 0.0) -> Signal:
        """float32 [channels, frames] in 16-bit units. shift: cells, rotation: turns, of a lattice."""
        key = (entry, shift, rotation)
        if key not in self._kept:
            self._kept[key] = self._rendered(entry, shift, rotation)
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > KEPT_WAVEFORM_BYTES:
            self._kept.popitem(last=False)
        return self._kept[key]

    def _rendered(self, number: int, shift: float, rotation: float) -> Signal:
        entry = self._entries[number]
        if entry is not None and isinstance(entry.pattern, Explicit):
            return render_explicit(entry, self._samplerate)
        if entry is not None and isinstance(entry.pattern, Lattice):
            from evc.models.patterns.lattice import render_placement

            audio = UNIT * render_placement(entry.pattern, self._samplerate, shift, rotation)
            return audio.astype(np.float32)[None]
        raise DamagedError(f"dictionary entry {number} is lost")


def render_explicit(entry: Entry, samplerate: int) -> Signal:
    """An explicit pattern, a file of its own (spec 10.6): float32 [channels, frames] in 16-bit units."""
    pattern, spectrum = entry.pattern, entry.spectrum
    if not isinstance(pattern, Explicit) or spectrum is None:
        raise FormatError("an entry that is no explicit pattern has no spectrum of its own")
    superframe = c.superframe_length(samplerate)
    count = -(-pattern.frames // superframe)
    out = np.zeros((pattern.channels, pattern.frames), np.float32)
    for group, channels in zip(spectrum.groups, channel_groups(pattern.channels), strict=True):
        if not group.superframes:
            continue
        blocks = [block for superframe in group.superframes for block in superframe]
        run = BlockRun(superframe, 0, [tuple(block.depth for block in blocks) for blocks in group.superframes])
        timeline = Timeline(superframe, channels.stop - channels.start, count)
        timeline.put(run, residual_spectra(run, blocks, channels))
        out[channels] = timeline.fetch(0, pattern.frames)
    return out


def add_waveform(
    out: Signal, start: int, waveform: Signal, source: SoundSource, phase_bits: int, weights: NDArray[np.float32]
) -> None:
    """Add what a source brings to frames [start, start + samples) of the file, to `out` [channels, samples].

    waveform: float32 [own channels, frames]; weights: float32 [channels, own channels].
    """
    if not source.as_it_is:
        add_transposed(out, start, waveform, source, phase_bits, weights)
        return
    whole, fraction = source.delay >> phase_bits, source.delay & ((1 << phase_bits) - 1)
    taps = interpolation_taps(fraction, phase_bits) if fraction else np.ones(1, np.float32)
    before, behind = (HALF_TAPS - 1, HALF_TAPS) if fraction else (0, 0)
    low = max(source.first + whole - before, start)
    high = min(min(source.last, waveform.shape[1]) + whole + behind, start + out.shape[1])
    if low >= high:
        return

    def read(first: int, length: int) -> Signal:
        return _between(waveform, first, length, source.first, source.last)

    place, count = low - start, high - low
    if kernels.lib is None:
        heard = delayed(read, low, count, source.delay, phase_bits)
        for channel, of_channel in enumerate(weights):
            for weight, own in zip(of_channel, heard, strict=True):
                out[channel, place : place + count] += weight * own
        return
    samples = np.ascontiguousarray(read(low - whole - behind, count + before + behind), np.float32)
    weights = np.ascontiguousarray(weights, np.float32)
    if weights.shape != (len(out), len(samples)) or not out.flags.c_contiguous or out.dtype != np.float32:
        raise ValueError(f"weights {weights.shape} do not lead from {samples.shape} to {out.shape}")
    kernels.lib.evc_add_delayed(
        kernels.pointer(samples), len(samples), count, kernels.pointer(taps), len(taps), kernels.pointer(weights),
        kernels.pointer(out), *out.shape, place,
    )  # fmt: skip


def _between(waveform: Signal, first: int, length: int, least: int, end: int) -> Signal:
    """Samples [first, first + length) of a waveform, 0 outside [least, end)."""
    low, high = max(first, least, 0), min(first + length, end, waveform.shape[1])
    if (low, high) == (first, first + length):
        return waveform[:, low:high]
    out = np.zeros((len(waveform), length), np.float32)
    if low < high:
        out[:, low - first : high - first] = waveform[:, low:high]
    return out
