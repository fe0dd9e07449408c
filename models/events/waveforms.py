"""Sounds to samples, as differentiable tensors.

An oscillator e^(s t) is sampled in blocks: with t = (B k + j) / rate - offset it is e^(s (B k / rate - offset)) times
e^(s j / rate), so that a batch of events is a batched product of two small tables, and only these are kept for the
gradients. Phases are float64, the tables of the product have the type of the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from evc.models.events.noise_source import white_series
from evc.models.events.sounds import AUDIBLE, BLOCK, DURATION, FADE_FROM, Sounds

Filters = Callable[[int], Tensor]


def waveforms(
    sounds: Sounds, filters: Filters, offsets: Tensor, samplerate: int, frames: int, keys: ArrayLike | None,
    dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """Samples [n, frames] of `sounds`, that begin `offsets` [n] seconds after the first; see `Generator.render`."""
    offsets = offsets.double()
    count = len(offsets)
    times = _counts(frames, offsets) / samplerate - offsets[:, None]
    total = oscillators(sounds, offsets, samplerate, frames, dtype)
    noisy = torch.nonzero(sounds.noise_levels.detach() > AUDIBLE)[:, 0]
    if len(noisy):
        seeds = np.zeros(count, np.uint32) if keys is None else np.asarray(keys).astype(np.uint32)
        bursts = _bursts(sounds, filters, noisy, offsets, samplerate, times, seeds[noisy.cpu().numpy()], dtype)
        total = total.index_add(0, noisy, bursts)
    total = total * envelope(sounds, times, dtype)
    roomy = torch.nonzero((sounds.echo_gains.detach().abs() > AUDIBLE).any(-1).any(-1))[:, 0]
    if len(roomy):
        echoes = _echoes(sounds, roomy, total[roomy], samplerate) * _fade(times[roomy]).to(dtype)
        total = (total * sounds.dry[:, None].to(dtype)).index_add(0, roomy, echoes)
    return total


def envelope(sounds: Sounds, times: Tensor, dtype: torch.dtype) -> Tensor:
    """Attack times gate, [n, frames], for times [n, frames]; 0 before the start."""
    rise = (times / sounds.attacks[:, None]).to(dtype).clamp(0, 1)
    open_still = 1 - ((times - sounds.lengths[:, None]) / sounds.falls[:, None]).to(dtype).clamp(0, 1)
    return (torch.sin(rise * (torch.pi / 2)) * torch.sin(open_still * (torch.pi / 2))).square()


def audible_below(frequencies: Tensor, samplerate: int) -> Tensor:
    """Gain of partials by their frequency: 1 up to 0.9 of Nyquist, falling to 0 at 0.98."""
    over = (frequencies / (samplerate / 2) - 0.9) / 0.08
    return torch.cos(over.clamp(0, 1) * (torch.pi / 2)).square()


def oscillators(sounds: Sounds, offsets: Tensor, samplerate: int, frames: int, dtype: torch.dtype) -> Tensor:
    """The sum of the partials in both states, without attack and gate: [n, frames]."""
    strengths = sounds.amplitudes * audible_below(sounds.frequencies, samplerate)
    heard = (strengths.detach().abs() > AUDIBLE).any(0)
    exponents = torch.complex(-sounds.decays, 2 * torch.pi * sounds.frequencies)[:, heard]
    strengths, states = strengths[:, heard], sounds.states[:, heard]
    if (states.detach() != 1).any():
        exponents = torch.cat([exponents, exponents - sounds.deformation[:, None]], 1)
        strengths = torch.cat([strengths * states, strengths * (1 - states)], 1)
    blocks = -(-frames // BLOCK)
    starts = _counts(blocks, offsets) * (BLOCK / samplerate) - offsets[:, None]
    begun = (starts > -BLOCK / samplerate)[:, None]
    rows = torch.exp(exponents[..., None] * torch.where(begun, starts[:, None], 0.0)) * (strengths[..., None] * begun)
    columns = torch.exp(exponents[..., None] * (_counts(BLOCK, offsets) / samplerate))
    left = torch.cat([rows.real, -rows.imag], 1).to(dtype).transpose(1, 2)
    right = torch.cat([columns.real, columns.imag], 1).to(dtype)
    return torch.bmm(left, right).flatten(1)[:, :frames]


def _bursts(
    sounds: Sounds, filters: Filters, rows: Tensor, offsets: Tensor, samplerate: int, times: Tensor,
    keys: np.ndarray, dtype: torch.dtype,
) -> Tensor:  # fmt: skip
    """The noise of some rows without attack and gate, [rows, frames]: a period of the series, repeated and damped."""
    bins = samplerate // 2 + 1
    white = torch.as_tensor(white_series(keys, bins), device=offsets.device).to(dtype.to_complex())
    turns = _counts(bins, offsets) * offsets[rows, None]
    shift = torch.polar(torch.ones_like(turns), -2 * torch.pi * (turns - turns.detach().round()))
    shape = sounds.noise_colours[rows].to(dtype) @ filters(bins).to(dtype)
    shape = shape * audible_below(_counts(bins, offsets), samplerate).to(dtype)
    period = torch.fft.irfft(white * shape * shift.to(white.dtype), samplerate) * (samplerate / 2)
    frames = times.shape[1]
    noise = period.repeat(1, -(-frames // samplerate))[:, :frames].to(dtype)
    damping = torch.exp(-sounds.noise_rates[rows, None] * times[rows].clamp(min=0)) * sounds.noise_levels[rows, None]
    return noise * damping.to(dtype)


def _echoes(sounds: Sounds, rows: Tensor, dry: Tensor, samplerate: int) -> Tensor:
    """The sum of the delayed copies of `dry` [rows, frames]; delays by phase ramps."""
    frames = dry.shape[1]
    longest = int(sounds.echo_delays.detach().max() * samplerate) + 1
    size = 1 << (frames + longest - 1).bit_length()
    delays = sounds.echo_delays[0].flatten()  # the same rooms for all events
    turns = delays[:, None] * _counts(size // 2 + 1, dry) * (samplerate / size)
    angles = ((turns - turns.detach().round()) * (-2 * torch.pi)).to(dry.dtype)
    ramps = torch.polar(torch.ones_like(angles), angles)
    response = sounds.echo_gains[rows].flatten(1).to(ramps.dtype) @ ramps
    return torch.fft.irfft(torch.fft.rfft(dry, size) * response, size)[:, :frames]


def _counts(stop: int, like: Tensor) -> Tensor:
    """0, 1, … as float64, on the device of `like`."""
    return torch.arange(stop, dtype=torch.float64, device=like.device)


def _fade(times: Tensor) -> Tensor:
    over = (times - FADE_FROM) / (DURATION - FADE_FROM)
    return torch.cos(over.clamp(0, 1) * (torch.pi / 2)).square()
