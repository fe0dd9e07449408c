"""Makes the frozen noise: `noise` of spec/tables/noise.npz. Needs torch, and some minutes.

    python -m evc.models.noise.make_noise TABLES

White Gaussian noise is changed by gradient descent until the magnitudes of its short-time spectra, in bands as wide as
the ear's and in single bins of long windows, fluctuate as little as they can at all sizes of windows together; now and
then it is made white again. (A relative of Pumplin's and Kohlrausch's low-noise noise.)
"""

from __future__ import annotations

import argparse
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from evc.format import constants as c
from evc.format.streams.noise_changes import tables

BAND_WINDOWS = {32: 5, 64: 10, 128: 20, 256: 40, 512: 80, 1024: 160, 2048: 320}  # and how many bands
BIN_WINDOW = 8192  # long enough to tell tones apart
BIN_WEIGHT = 1.0
SAMPLERATE = 44_100  # of the bands
STEPS = 1500
WHITEN = 100  # steps between two times at which the noise is made white again
RATE = 0.2  # of Adam, at first
SMOOTH = 129  # bins of the whole table's spectrum, over which its power is made even
POWER = 32  # root mean square of the integers


@lru_cache(maxsize=16)
def bands(window: int, count: int) -> torch.Tensor:
    """Triangles [bands, bins] of unit sum, equally wide on the mel scale, and at least a bin wide."""
    frequencies = np.arange(window // 2 + 1) * SAMPLERATE / window
    mel = 1127 * np.log1p(frequencies / 700)
    width = max(mel[-1] / (count + 1), 1e-9)
    middles = width * np.arange(1, count + 1)
    nearest = np.abs(mel[None, :] - middles[:, None]) == np.abs(mel[None, :] - middles[:, None]).min(axis=1)[:, None]
    weights = np.maximum(1 - np.abs(mel[None, :] - middles[:, None]) / width, 0) + 1e-3 * nearest
    return torch.tensor(weights / weights.sum(axis=1, keepdims=True), dtype=torch.float32)


def fluctuation(noise: torch.Tensor) -> torch.Tensor:
    """Sum over all windows of the mean deviation of the logarithms of magnitudes."""
    total = torch.zeros(())
    for window, count in BAND_WINDOWS.items():
        logs = (bands(window, count) @ _magnitudes(noise, window) + 1e-9).log()
        total = total + (logs - logs.mean(dim=1, keepdim=True)).abs().mean()
    logs = (_magnitudes(noise, BIN_WINDOW)[4:-4] + 1e-6).log()
    return total + BIN_WEIGHT * (logs - logs.mean()).abs().mean()


def _magnitudes(noise: torch.Tensor, window: int) -> torch.Tensor:
    around = torch.cat([noise, noise[:window]])
    found = torch.stft(around, window, window // 4, window=torch.hann_window(window), center=False, return_complex=True)
    return found[:, : len(noise) * 4 // window].abs()


def whitened(noise: torch.Tensor) -> torch.Tensor:
    """The same with even power, and of unit power."""
    spectrum = torch.fft.rfft(noise)
    power = spectrum.abs().square()[None, None]
    for _ in range(2):  # a triangle: a rectangle would enlarge ripples, as its own spectrum is negative in parts
        power = torch.nn.functional.avg_pool1d(_extended(power), SMOOTH, 1)
    spectrum = spectrum / power[0, 0].sqrt()
    spectrum[0] = 0
    white = torch.fft.irfft(spectrum, len(noise))
    return white / white.square().mean().sqrt()


def _extended(power: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(power, (SMOOTH // 2, SMOOTH // 2), mode="reflect")


def make(length: int, steps: int, seed: int = 0) -> np.ndarray:
    """The noise, int8 [length]."""
    generator = torch.Generator().manual_seed(seed)
    noise = whitened(torch.randn(length, generator=generator)).requires_grad_()
    optimiser = torch.optim.Adam([noise], lr=RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = RATE * (1 + np.cos(np.pi * step / steps)) / 2
        turn = int(torch.randint(length, (1,), generator=generator))
        optimiser.zero_grad()
        fluctuation(noise.roll(turn)).backward()
        optimiser.step()
        if step % WHITEN == 0:
            with torch.no_grad():
                noise.copy_(whitened(noise))
    return (whitened(noise.detach()) * POWER).round().clamp(-127, 127).numpy().astype(np.int8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, help="the file that is written: the present tables with new noise")
    arguments = parser.parse_args()
    others = tables()
    noise = make(c.NOISE_TABLE, STEPS)
    np.savez_compressed(arguments.tables, noise=noise, scales=others["scales"], signs=others["signs"])


if __name__ == "__main__":
    main()
