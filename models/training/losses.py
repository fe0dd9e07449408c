"""Losses between waveforms: multi-resolution complex STFT and log-mel, and the greedy loss of a decomposition."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

CPU = torch.device("cpu")
_FLOOR = 1e-5


def stft(audio: Tensor, size: int, hop: int) -> Tensor:
    """Complex spectrogram [..., bins, frames] of audio [..., frames], Hann window, padded with zeros at both ends."""
    flat = audio.reshape(-1, audio.shape[-1])
    window = torch.hann_window(size, device=audio.device)
    spectrum = torch.stft(flat, size, hop, window=window, center=True, pad_mode="constant", return_complex=True)
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:]) / (size / 2) ** 0.5


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # what is cached may be part of a gradient later
def mel_matrix(samplerate: int, size: int, bands: int, device: torch.device = CPU) -> Tensor:
    """Triangular bands float32 [bands, bins] evenly spaced on the mel scale of O'Shaughnessy (1987),
    2595 log10(1 + f / 700), each with unit sum."""
    top = 2595 * torch.log10(torch.tensor(1 + samplerate / 2 / 700))
    edges = 700 * (10 ** (torch.linspace(0, 1, bands + 2) * top / 2595) - 1)
    hertz = torch.linspace(0, samplerate / 2, size // 2 + 1)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    matrix = torch.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre)).clamp_min(0)
    nearest = (hertz - centre).abs().argmin(dim=1)
    matrix[torch.arange(bands), nearest] += (matrix.sum(dim=1) == 0).float()  # bands narrower than a bin
    return (matrix / matrix.sum(dim=1, keepdim=True)).to(device)


class SpectralLoss(nn.Module):
    """Mean over resolutions of the complex STFT error, in shares of the target's magnitude, and of the log-mel error.

    Waveforms [..., frames]. The complex part knows phase; the log-mel part, loudness where phase is hopeless.
    """

    def __init__(
        self, samplerate: int, sizes: tuple[int, ...] = (2048, 512, 128), bands: int = 64, mel_weight: float = 0.3
    ) -> None:
        super().__init__()
        self.samplerate, self.sizes, self.bands, self.mel_weight = samplerate, sizes, bands, mel_weight

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        """A scalar; 1 for an estimate of silence by the complex part alone. Computed in float32."""
        with torch.autocast(estimate.device.type, enabled=False):
            return self._mean(estimate.float(), target.float())

    def _mean(self, estimate: Tensor, target: Tensor) -> Tensor:
        total = estimate.new_zeros(())
        for size in self.sizes:
            ours, theirs = stft(estimate, size, size // 4), stft(target, size, size // 4)
            scale = theirs.abs().mean(dim=(-2, -1)) + _FLOOR
            total = total + ((ours - theirs).abs().mean(dim=(-2, -1)) / scale).mean()
            if size >= 4 * self.bands:
                total = total + self.mel_weight * self._mel(ours, theirs)
        return total / len(self.sizes)

    def _mel(self, ours: Tensor, theirs: Tensor) -> Tensor:
        size = 2 * (ours.shape[-2] - 1)
        matrix = mel_matrix(self.samplerate, size, self.bands, ours.device)
        levels = [torch.log(matrix @ (x.real.square() + x.imag.square()) + _FLOOR) for x in (ours, theirs)]
        return (levels[0] - levels[1]).abs().mean()


def energy(audio: Tensor) -> Tensor:
    """Energy [...] of audio [..., frames]."""
    return audio.square().sum(dim=-1)


def energy_ratios(before: Tensor, after: Tensor) -> Tensor:
    """||R_k||^2 / ||R_(k-1)||^2 of residuals [..., frames]: the greedy loss of an event.

    Differences of energies would telescope: their sum over the events knows the last residual only, and no event would
    have to be the best of its turn. Ratios do not, and each is worth as much as the first, however little is left. No
    gradient reaches earlier events through R_k if the caller made it from a detached R_(k-1).
    """
    return energy(after) / (energy(before) + _FLOOR)


def amplitude_sparsity(amplitudes: Tensor, scale: Tensor) -> Tensor:
    """Mean of the amplitudes [batch, events] in units of `scale` [batch], under a square root: of two ways to make a
    sound, that with fewer and stronger events is the cheaper one."""
    return torch.sqrt(amplitudes.abs() / (scale[:, None] + _FLOOR) + _FLOOR).mean()
