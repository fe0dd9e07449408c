"""Section 10 of the specification in double precision, equation by equation: the PCM that decoders are held to.

Slow and plain on purpose, and apart from `evc.models`, whose faster synthesis in single precision it checks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from evc import constants as c
from evc.header import Header
from evc.streams import spectrum_layout as layout
from evc.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.streams.spectrum_steps import step_logs
from evc.streams.spectrum_walk import Block

Signal = NDArray[np.float64]


def synthesise(header: Header, spectra: Mapping[int, SpectrumStream]) -> Signal:
    """The whole file, float64 [channels, frames] of full scale 1, from the spectrum streams of its segments; segments
    that are missing are silence."""
    out = np.zeros((header.channels, header.known_frames))
    for number, channels in enumerate(channel_groups(header.channels)):
        groups = {index: stream.groups[number] for index, stream in spectra.items()}
        out[channels] = _group(header, groups, channels)
    return out


def noise(counters: NDArray[np.int64]) -> Signal:
    """Section 10.2: the hash of counters, as noise of unit power."""
    mask = np.uint64(2**32 - 1)
    x = counters.astype(np.uint64) & mask
    x ^= x >> np.uint64(16)
    x = x * np.uint64(0x7FEB352D) & mask
    x ^= x >> np.uint64(15)
    x = x * np.uint64(0x846CA68B) & mask
    x ^= x >> np.uint64(16)
    return np.sqrt(3) * (x.astype(np.float64) / 2**31 - 1)


def dct4(spectrum: Signal) -> Signal:
    """Section 10.4: the orthonormal DCT-IV [..., size], by a Fourier transform of twice its size."""
    size = spectrum.shape[-1]
    n = np.arange(size)
    turned = np.fft.fft(spectrum * np.exp(-0.5j * np.pi * n / size), 2 * size)[..., :size]
    return np.sqrt(2 / size) * (turned * np.exp(-0.25j * np.pi * (2 * n + 1) / size)).real


def _group(header: Header, groups: Mapping[int, Group], channels: slice) -> Signal:
    superframe = c.superframe_length(header.samplerate)
    count = -(-header.known_frames // superframe)
    per_segment = header.segment_frames // superframe
    signal = np.zeros((channels.stop - channels.start, count * superframe))
    starts = []
    for number in range(count):
        start = number * superframe
        group = groups.get(number // per_segment)
        if group is None or not group.coarse_bands:
            starts.append(start)
            continue
        geometry = layout.geometry(superframe, group.coarse_bands)
        for block in group.superframes[number % per_segment]:
            size = superframe >> block.depth
            signal[:, start : start + size] = dct4(_spectrum(block, geometry, group.gain, start, channels.start))
            starts.append(start)
            start += size
    _unfold(signal, starts)
    return signal[:, : header.known_frames] / 2**15


def _spectrum(block: Block, geometry: layout.Geometry, gain: int, start: int, first: int) -> Signal:
    """Left/right coefficients [channels, size] of one block, sections 10.1 to 10.3."""
    bands = geometry.layouts[block.depth]
    steps = step_logs(layout.energy_log(block.energies), gain, block.depth)
    coded = np.zeros((len(block.energies), geometry.superframe >> block.depth))
    for channel, values in enumerate(block.coefficients):
        for band, (low, high) in enumerate(zip(bands.edges[:-1], bands.edges[1:], strict=True)):
            counters = c.MAX_CHANNELS * (start + np.arange(low, high)) + first + channel
            energy, step = block.energies[channel, band], steps[channel, band]
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


def _dequantised(values: NDArray[np.int32], energy: int, log_step: int, counters: NDArray[np.int64]) -> Signal:
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


def _unfold(signal: Signal, starts: list[int]) -> None:
    """Section 10.4: turn the samples around each boundary between blocks, in place."""
    sizes = np.diff([*starts, signal.shape[1]])
    for at, before, after in zip(starts[1:], sizes[:-1], sizes[1:], strict=True):
        overlap = min(before, after)
        reach = np.arange(overlap // 2)
        angle = np.pi / 2 * np.sin(np.pi / 2 * (overlap // 2 + reach + 0.5) / overlap) ** 2
        right, left = signal[:, at + reach], signal[:, at - 1 - reach]
        signal[:, at + reach] = np.sin(angle) * right - np.cos(angle) * left
        signal[:, at - 1 - reach] = np.sin(angle) * left + np.cos(angle) * right
