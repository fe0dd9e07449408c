"""Measures of a decoded waveform beside its source, differentiable: what training minimises is what validation tells.

Waveforms are float32 [..., frames], compared one by one; all measures are computed in float32, whatever autocast says.
Windows overlap `overlap` times: 4 for figures, 2 where speed matters more than the last bit of accuracy.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from evc.models.hearing import LEAST_BAND, LEAST_LEVEL, MEL_SCALES, TINY, WEIGHT, bark_bands, mel_bands

CPU = torch.device("cpu")


def mel_distance(estimate: Tensor, target: Tensor, samplerate: int, overlap: int = 4) -> Tensor:
    """The mel distance of Kumar et al. (2023), section 3.5: mean differences of log10 magnitudes in mel bands, summed
    over MEL_SCALES; a scalar."""
    with torch.autocast(estimate.device.type, enabled=False):
        total = estimate.new_zeros(())
        for size, bands in MEL_SCALES:
            matrix = slaney_matrix(samplerate, size, bands, estimate.device)
            ours, theirs = (_magnitude(spectrum(x, size, overlap)) @ matrix.T for x in (estimate, target))
            total = total + (_level(ours) - _level(theirs)).abs().mean()
        return total


def tonal_similarity(estimate: Tensor, target: Tensor, samplerate: int, size: int = 8192, overlap: int = 4) -> Tensor:
    """How well the partials are in their places, from 0 to 1: the cosine between magnitudes inside each Bark band of a
    long window of `size` frames, weighted by the band's energy to a power; a scalar. Noise of the right level reaches
    0.79 where the target is noise, and far less where it is tonal."""
    with torch.autocast(estimate.device.type, enabled=False):
        ours, theirs = (_magnitude(spectrum(x, size, overlap)) for x in (estimate, target))
        bands = bark_matrix(samplerate, size, ours.device)
        energy, wanted, common = (product @ bands.T for product in (ours * ours, theirs * theirs, ours * theirs))
        weight = torch.where(wanted > LEAST_BAND, wanted, 0.0) ** WEIGHT
        cosine = common / torch.sqrt(energy * wanted + TINY)
        return (weight * cosine).sum() / weight.sum().clamp_min(TINY)


def complex_distance(estimate: Tensor, target: Tensor, size: int = 2048, overlap: int = 4) -> Tensor:
    """Mean magnitude of the difference of spectra, in shares of the target's; a scalar, 1 for silence."""
    with torch.autocast(estimate.device.type, enabled=False):
        ours, theirs = (spectrum(x, size, overlap) for x in (estimate, target))
        scale = _magnitude(theirs).mean(dim=(-2, -1)) + 1e-3
        return (_magnitude(ours - theirs).mean(dim=(-2, -1)) / scale).mean()


def spectrum(audio: Tensor, size: int, overlap: int) -> Tensor:
    """Complex [waveforms, windows, bins] with Hann windows of `size` frames, zeros before and after. In float32."""
    padded = functional.pad(audio.float().reshape(-1, audio.shape[-1]), (size // 2, size // 2))
    return torch.fft.rfft(padded.unfold(-1, size, size // overlap) * _window(size, audio.device))


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # what is cached may be part of a gradient later
def _window(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)


def _magnitude(spectrum: Tensor) -> Tensor:
    """With a gradient at 0, where `abs` has none."""
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + TINY)


def _level(magnitude: Tensor) -> Tensor:
    return torch.log10(magnitude.clamp_min(LEAST_LEVEL))


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def slaney_matrix(samplerate: int, size: int, bands: int, device: torch.device = CPU) -> Tensor:
    """Those of `hearing.mel_bands`, on a device."""
    return torch.from_numpy(mel_bands(samplerate, size, bands)).to(device)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def bark_matrix(samplerate: int, size: int, device: torch.device = CPU) -> Tensor:
    """Those of `hearing.bark_bands`, on a device."""
    return torch.from_numpy(bark_bands(samplerate, size)).to(device)
