"""The lapped transform: fold at block boundaries, then an orthonormal DCT-IV of each block (spec section 10).

Folding is a rotation of the sample pairs mirrored about each boundary, so the whole transform is orthonormal and
its inverse is its transpose: time-domain aliasing cancellation (Princen & Bradley 1986) with the power-sine slope
of Vorbis I.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.models.arrays import Signal

Positions = NDArray[np.int64]

LONG_OVERLAP = 1024  # of boundaries that are worth a step of their own
LEAST_SIZE = 32  # of blocks that the kernels transform


@lru_cache(maxsize=32)
def slope(overlap: int) -> tuple[Signal, Signal]:
    """(cosines, sines) float32 [overlap / 2] of the fold, from the boundary outwards."""
    position = (overlap // 2 + np.arange(overlap // 2) + 0.5) / overlap
    window = np.sin(np.pi / 2 * np.sin(np.pi / 2 * position) ** 2)
    return window.astype(np.float32), np.sqrt(1 - window**2).astype(np.float32)


@lru_cache(maxsize=16)
def _slopes(longest: int) -> Signal:
    """The cosines of the overlaps 2, 4 ... longest, one behind the other, then their sines."""
    pairs = [slope(1 << exponent) for exponent in range(1, longest.bit_length())]
    return np.concatenate([part for which in (0, 1) for part in (pair[which] for pair in pairs)])


def fold(signal: Signal, boundaries: Positions, overlaps: Positions, inverse: bool = False) -> None:
    """Rotate in place the samples around each boundary of `signal` float32 [channels, samples].

    `boundaries` int [n]: sample index at which a block begins; `overlaps` int [n]: length of the overlap there.
    """
    if not len(boundaries) or overlaps.max() < 2:
        return
    if kernels.lib is not None and signal.flags.c_contiguous and _powers(overlaps):
        reach = overlaps >> 1
        if (boundaries - reach).min() < 0 or (boundaries + reach).max() > signal.shape[1]:
            raise IndexError("an overlap reaches outside the signal")
        at, lengths, longest = _places(boundaries), _places(overlaps), int(overlaps.max())
        kernels.lib.evc_fold(
            kernels.pointer(signal), *signal.shape, kernels.pointer(at), kernels.pointer(lengths), len(at),
            kernels.pointer(_slopes(longest)), longest, inverse,
        )  # fmt: skip
        return
    for overlap in np.unique(overlaps):
        if overlap < 2:
            continue
        cosines, sines = slope(int(overlap))
        if inverse:
            sines = -sines
        at = boundaries[overlaps == overlap]
        if overlap >= LONG_OVERLAP:
            for boundary in at:
                right = signal[:, boundary : boundary + overlap // 2]
                left = signal[:, boundary - overlap // 2 : boundary][:, ::-1]
                right[:], left[:] = cosines * right + sines * left, cosines * left - sines * right
            continue
        outwards = np.arange(overlap // 2)
        after, before = at[:, None] + outwards, at[:, None] - 1 - outwards
        right, left = signal[:, after], signal[:, before]
        signal[:, after] = cosines * right + sines * left
        signal[:, before] = cosines * left - sines * right


@lru_cache(maxsize=32)
def _twiddle(size: int) -> NDArray[np.complex64]:
    n = np.arange(size // 2)
    return np.exp(-1j * np.pi * (n + 0.125) / size).astype(np.complex64)


@lru_cache(maxsize=16)
def fourier_turns(size: int) -> Signal:
    """The factors that kernels need for Fourier transforms of a size, a power of two from 16 on, by stage."""
    factors = []
    length = size
    while length > 8:
        at = np.arange(length // 4)
        factors += [np.exp(-2j * np.pi * times * at / length) for times in (1, 2, 3)]
        length //= 4
    return np.concatenate([part for factor in factors for part in (factor.real, factor.imag)]).astype(np.float32)


@lru_cache(maxsize=16)
def _turns(size: int) -> Signal:
    """The factors that evc_dct4 needs for blocks of a size: those before and behind the FFT, then its own."""
    half = size // 2
    around = (2 / size) ** 0.25 * np.exp(-1j * np.pi * (np.arange(half) + 0.125) / size)
    return np.concatenate([around.real, around.imag, fourier_turns(half)]).astype(np.float32)


def dct4(blocks: Signal) -> Signal:
    """Orthonormal DCT-IV of float32 [..., size]; its own inverse. One complex FFT of half the size."""
    size = blocks.shape[-1]
    out = np.empty(blocks.shape, np.float32)
    if compiled(size):
        _dct4(np.ascontiguousarray(blocks, np.float32), out, None)
        return out
    twiddle = _twiddle(size)
    spectrum = np.fft.fft((blocks[..., 0::2] + 1j * blocks[..., ::-1][..., 0::2]) * twiddle, axis=-1)
    spectrum *= twiddle * np.complex64(np.sqrt(2.0 / size))
    out[..., 0::2] = spectrum.real
    out[..., ::-1][..., 0::2] = -spectrum.imag
    return out


def dct4_into(signal: Signal, blocks: Signal, starts: Positions) -> None:
    """Put the DCT-IV of blocks [channels, n, size] to `starts` int [n] of a contiguous signal [channels, samples]."""
    channels, samples = signal.shape
    size = blocks.shape[-1]
    if compiled(size):
        if starts.min(initial=0) < 0 or starts.max(initial=0) + size > samples:
            raise IndexError("a block lies outside the signal")
        places = _places(np.arange(channels)[:, None] * samples + starts)
        _dct4(np.ascontiguousarray(blocks, np.float32), signal, places)
        return
    signal[:, starts[:, None] + np.arange(size)] = dct4(blocks)


def lapped(signal: Signal, starts: Positions, before: Positions, behind: Positions, size: int) -> Signal:
    """Spectra float32 [channels, n, size] of blocks of a signal [channels, samples] that begin at `starts` int [n] and
    overlap by `before` and `behind` int [n] with those beside them. Only where `compiled`."""
    channels, samples = signal.shape
    if not len(starts):
        return np.zeros((channels, 0, size), np.float32)
    if (starts - before // 2).min() < 0 or (starts + behind // 2).max() + size > samples:
        raise IndexError("a block reaches outside the signal")
    longest = max(2, int(before.max()), int(behind.max()))
    if longest > size or not (_powers(before) and _powers(behind)):
        raise ValueError("an overlap is no power of two, or longer than its block")
    signal = np.ascontiguousarray(signal, np.float32)
    starts, before, behind = _places(starts), _places(before), _places(behind)
    work, out = np.empty(3 * size, np.float32), np.empty((channels, len(starts), size), np.float32)
    kernels.lib.evc_lapped(
        kernels.pointer(signal), channels, samples, kernels.pointer(starts), kernels.pointer(before),
        kernels.pointer(behind), len(starts), size, kernels.pointer(_slopes(longest)), longest,
        kernels.pointer(_turns(size)), kernels.pointer(work), kernels.pointer(out),
    )  # fmt: skip
    return out


def compiled(size: int) -> bool:
    """Whether there is a kernel for blocks of a size."""
    return kernels.lib is not None and size >= LEAST_SIZE and size & (size - 1) == 0


def _dct4(blocks: Signal, out: Signal, places: Positions | None) -> None:
    size = blocks.shape[-1]
    work = np.empty(2 * size, np.float32)
    kernels.lib.evc_dct4(
        kernels.pointer(blocks), kernels.pointer(out), kernels.ffi.NULL if places is None else kernels.pointer(places),
        blocks.size // size, size, kernels.pointer(_turns(size)), kernels.pointer(work),
    )  # fmt: skip


def _powers(lengths: Positions) -> bool:
    """Whether all are powers of two, or 0."""
    return not (lengths & (lengths - 1)).any()


def _places(places: Positions) -> Positions:
    return np.ascontiguousarray(places, np.int64)
