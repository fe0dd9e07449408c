"""What the latent networks see: short-time spectra in units of the local envelope of what the other layers render.

The envelope W of y is known to both sides. A spectrum divided by it has no loudness and no tilt left, so the networks
learn how music differs from y, however loud it is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from evc.models.latents.layout import (
    BANDS,
    BINS,
    EDGE,
    FAINTEST,
    FINE_BINS,
    GOLDEN,
    HOP,
    LEAST_RATIO,
    OVERLAP,
    SIDE_SHARE,
    SILENCE,
    WINDOW,
)


class Whitened(NamedTuple):
    """A spectrum over an envelope: `ratio` complex [batch, 2, frames, bins]; `features` float32 [batch, frames,
    FEATURES]; `levels`, natural logarithms of the magnitudes in bands [batch, frames, 2 * BANDS]."""

    ratio: Tensor
    features: Tensor
    levels: Tensor


def spectrum(audio: Tensor) -> Tensor:
    """Complex [batch, channels, samples / HOP, bins] of audio [batch, channels, samples], a multiple of HOP; frame k is
    centred on the middle of samples [HOP k, HOP (k + 1)). What lies outside counts as silence."""
    flat = functional.pad(audio.reshape(-1, audio.shape[-1]), (EDGE, EDGE))
    frames = flat.unfold(-1, WINDOW, HOP) * _window(audio.device)
    return torch.fft.rfft(frames).reshape(*audio.shape[:-1], -1, BINS)


def waveform(spectra: Tensor) -> Tensor:
    """The inverse of `spectrum`, but for the WINDOW - HOP samples at each end, where windows are missing."""
    batch, channels, frames, _ = spectra.shape
    pieces = torch.fft.irfft(spectra, WINDOW) * (_window(spectra.device) / OVERLAP)
    length = HOP * frames + 2 * EDGE
    folded = functional.fold(pieces.reshape(batch * channels, frames, WINDOW).mT, (1, length), (1, WINDOW), stride=HOP)
    return folded.reshape(batch, channels, length)[..., EDGE : length - EDGE]


def envelope(spectra: Tensor) -> tuple[Tensor, Tensor]:
    """The local magnitude of mid and side [batch, 2, frames, bins], the power in overlapping bands and three frames,
    interpolated; and W, the same with a little of the loudest band."""
    power = spectra.real.square() + spectra.imag.square()
    mid, side = (power @ _means(spectra.device)).split(1, dim=1)
    levels = torch.cat([mid, side + SIDE_SHARE * mid], dim=1)
    near = functional.pad(levels, (0, 0, 1, 1))
    levels = 0.25 * near[..., :-2, :] + 0.5 * levels + 0.25 * near[..., 2:, :]
    least = FAINTEST * levels.amax(dim=(1, 3), keepdim=True)
    local = levels @ bands(spectra.device) + SILENCE
    return torch.sqrt(local), torch.sqrt(local + least)


def whitened(spectra: Tensor, scale: Tensor) -> Whitened:
    """Mid and side [batch, 2, frames, bins] over their envelope `scale`, as the networks see them: with a faint fixed
    spectrum added, that empty bands look the same whatever the rounding of a transform leaves in them."""
    faint = FAINTEST**0.5 * scale.amax(dim=(1, 3), keepdim=True)
    ratio = (spectra + faint * _carpet(scale.device)) / scale
    power = ratio.real.square() + ratio.imag.square()
    means = _means(scale.device)
    levels = 0.5 * torch.log(power + LEAST_RATIO)
    fine = ratio[..., :FINE_BINS] * (power[..., :FINE_BINS] + LEAST_RATIO) ** -0.25
    coarse = torch.log(scale @ means)
    loudest = coarse.amax(dim=(1, 3), keepdim=True)
    tilt = (coarse - loudest) / 4
    parts = [levels, fine.real, fine.imag, tilt, (coarse / 8).clamp_min(-1)]
    seen = torch.cat(parts, dim=-1)
    in_bands = 0.5 * torch.log(power @ means + LEAST_RATIO)
    return Whitened(ratio, seen.transpose(1, 2).flatten(2), in_bands.transpose(1, 2).flatten(2))


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _window(device: torch.device) -> Tensor:
    return torch.hann_window(WINDOW, device=device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _carpet(device: torch.device) -> Tensor:
    """Complex numbers of magnitude 1 [bins], whose phases advance by the golden ratio of a turn."""
    turns = torch.arange(BINS, dtype=torch.float64) * GOLDEN % 1
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(torch.complex64).to(device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def bands(device: torch.device) -> Tensor:
    """Triangles [BANDS, BINS] that sum to 1 in every bin; as wide as a bin at first, then on the scale of critical
    bands, here asinh(bin / 12)."""
    bins = torch.arange(BINS, dtype=torch.float64)
    top = torch.asinh(torch.tensor((BINS - 1) / 12, dtype=torch.float64))
    place = torch.asinh(bins / 12) / top * (BANDS - 1)
    distance = (place - torch.arange(BANDS, dtype=torch.float64)[:, None]).abs()
    return (1 - distance).clamp_min(0).float().to(device)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def _means(device: torch.device) -> Tensor:
    """Mean over each band, as a matrix [bins, bands]."""
    matrix = bands(device)
    return (matrix / matrix.sum(dim=1, keepdim=True)).T.contiguous()
