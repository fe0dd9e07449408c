"""Measures of a decoded waveform beside its source, differentiable: what training minimises is what validation tells.

Waveforms are float32 [..., frames], compared one by one; all measures are computed in float32, whatever autocast says.
Windows overlap `overlap` times: 4 for figures, 2 where speed matters more than the last bit of accuracy.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from evc.models.hearing import LEAST_BAND, LEAST_LEVEL, MEL_SCALES, TINY, WEIGHT, bark_bands, mel_bands

CPU = torch.device("cpu")
_SHORT_SIZES, _SHORT_HOP, _SHORT_SPLIT = (2048, 512), 512, 1000.0  # windows below and above a frequency; their distance
_SHORT_BANDS, _SHORT_HIGHEST = 64, 16_000.0
_SHORT_FLOOR = 1e-6  # power over that of a sinusoid of full scale: what is less is not heard
_SHORT_WINDOW = (6, 5)  # moments and bands that are compared together
_DECIBELS = 10 / math.log(10)  # of a natural logarithm of power
_SHORT_DAMPING, _SHORT_WORST, _SHORT_LEAST = 1.67, 0.54, 1e-6


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


def short_time_similarity(estimate: Tensor, target: Tensor, samplerate: int) -> Tensor:
    """How alike levels rise and fall in critical bands over some tens of milliseconds, from 0.54 to 1; a scalar: the
    structure of NSIM (Hines and Harte 2012), of logarithms of powers in windows of 12 ms, below _SHORT_SPLIT of 46 ms,
    limited and damped as in Zimtohrli (Alakuijala et al. 2025), whose distance it follows."""
    with torch.autocast(estimate.device.type, enabled=False):
        ours, theirs = (_short_levels(x, samplerate) for x in (estimate, target))

        def near(x: Tensor) -> Tensor:
            return functional.avg_pool2d(x[:, None], _SHORT_WINDOW, 1)

        mean, wanted = near(ours), near(theirs)
        variance, wanted_variance = near(ours * ours) - mean * mean, near(theirs * theirs) - wanted * wanted
        common = near(ours * theirs) - mean * wanted
        spread = torch.sqrt(variance.clamp_min(_SHORT_LEAST) * wanted_variance.clamp_min(_SHORT_LEAST))
        return ((common + _SHORT_DAMPING) / (spread + _SHORT_DAMPING)).clamp_min(_SHORT_WORST).mean()


def level_error(estimate: Tensor, target: Tensor, samplerate: int) -> Tensor:
    """How much louder or quieter critical bands are over all [waveforms, frames], in dB: the mean over bands of the
    size of the mean difference; a scalar. What is nearest in every moment tends to be too quiet, which sounds dull."""
    with torch.autocast(estimate.device.type, enabled=False):
        ours, theirs = (_short_levels(x, samplerate) for x in (estimate, target))
        error: Tensor = (ours - theirs).mean(dim=1).abs().mean()
        return _DECIBELS * error


def _short_levels(audio: Tensor, samplerate: int) -> Tensor:
    """Natural logarithms of powers [waveforms, moments, bands]."""
    matrices = _short_bands(samplerate, audio.device)
    levels = []
    for size, matrix in zip(_SHORT_SIZES, matrices, strict=True):
        spectra = spectrum(audio, size, size // _SHORT_HOP)
        power = (spectra.real.square() + spectra.imag.square()) @ matrix
        levels.append(torch.log(power + _SHORT_FLOOR))
    count = min(level.shape[1] for level in levels)
    return torch.cat([level[:, :count] for level in levels], dim=2)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _short_bands(samplerate: int, device: torch.device) -> tuple[Tensor, ...]:
    """Of the powers in each size of window, those in bands on the scale of equivalent rectangular bandwidths (Glasberg
    and Moore 1990): [bins, bands], 1 for a sinusoid of full scale."""
    top = 21.4 * math.log10(1 + 0.00437 * min(_SHORT_HIGHEST, samplerate / 2))
    centres = (10 ** (torch.linspace(1.5, top - 0.5, _SHORT_BANDS, dtype=torch.float64) / 21.4) - 1) / 0.00437
    found = []
    for size, chosen in zip(_SHORT_SIZES, (centres < _SHORT_SPLIT, centres >= _SHORT_SPLIT), strict=True):
        hertz = torch.arange(size // 2 + 1, dtype=torch.float64) * samplerate / size
        wide = 24.7 * (1 + 0.00437 * centres[chosen])
        shape = torch.exp(-math.pi * ((hertz[:, None] - centres[chosen]) / wide) ** 2)
        found.append((shape * (4 / size) ** 2 / 1.5).float().to(device))
    return tuple(found)


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
