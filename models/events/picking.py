"""Where to look next: the highest peaks of the residual's spectrograms, at three time resolutions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from evc.models.events.weighting import Weighting, bark

SCALES = (1024, 4096, 16384)  # window lengths, in frames of the analysis rate: 46, 186 and 743 ms
LOWEST = 28.0  # Hz
HIGHEST = 10_000.0
CLOSE_IN_TIME = 0.6  # of the sum of two windows: peaks nearer than this, and ...
CLOSE_IN_FREQUENCY = 2.5  # ... than so many bins, are not fitted in the same round
WEAKEST = 0.1  # of the strongest peak of a round


@dataclass(frozen=True)
class Peak:
    """A maximum of the weighted spectrogram: time in s, frequency in Hz, scale (window length in frames), and the
    weighted energy that a windowed tone would take away there."""

    time: float
    frequency: float
    scale: int
    gain: float


class Picker:
    """Finds peaks in residuals [channels, frames] at `rate` Hz."""

    def __init__(self, rate: float, weighting: Weighting, device: str = "cpu") -> None:
        self._rate, self._device = rate, device
        self._windows = [torch.hann_window(scale, device=device) for scale in SCALES]
        self._weights = [self._on_grid(scale, weighting) for scale in SCALES]

    def _on_grid(self, scale: int, weighting: Weighting) -> torch.Tensor:
        """Weights [bins, columns of the weighting] for the spectrogram of a scale, 0 outside the range of pitches."""
        frequencies = np.fft.rfftfreq(scale, 1 / self._rate)
        weights = weighting.map[bark(frequencies)]
        weights[(frequencies < LOWEST) | (frequencies > HIGHEST) | (frequencies > 0.48 * self._rate)] = 0
        return torch.as_tensor(weights, dtype=torch.float32, device=self._device)

    def peaks(self, residual: torch.Tensor, weighting: Weighting, end: float, least: float, most: int) -> list[Peak]:
        """At most `most` peaks above a weighted energy of `least`, before `end` seconds, no two close to each other,
        strongest first."""
        found: list[Peak] = []
        for scale, window, weights in zip(SCALES, self._windows, self._weights, strict=True):
            found += self._of_scale(residual, scale, window, weights, weighting, end, least, most)
        found.sort(key=lambda peak: -peak.gain)
        return _apart(found, self._rate, most)

    def _of_scale(
        self,
        residual: torch.Tensor,
        scale: int,
        window: torch.Tensor,
        weights: torch.Tensor,
        weighting: Weighting,
        end: float,
        least: float,
        most: int,
    ) -> list[Peak]:
        hop = scale // 4
        spectrum = torch.stft(residual, scale, hop, window=window, pad_mode="constant", return_complex=True)
        power = (spectrum.real**2 + spectrum.imag**2).sum(0)  # [bins, columns]
        count = min(power.shape[1], int((end * self._rate + scale / 2) / hop) + 1)
        power = power[:, :count]
        columns = torch.as_tensor(weighting.columns(np.arange(count) * hop / self._rate), device=self._device)
        gains = power * weights[:, columns] * (2 / float((window**2).sum()) / self._rate)
        inner = gains[1:-1]
        maximal = (inner >= gains[:-2]) & (inner > gains[2:]) & (inner > least)
        values, places = torch.where(maximal, inner, 0.0).flatten().topk(min(8 * most, inner.numel()))
        values, places = values[values > 0].cpu(), places[values > 0].cpu()
        bins, times = places // count + 1, places % count
        sides = torch.stack([power.cpu()[bins + step, times] for step in (-1, 0, 1)]).clamp(min=1e-20).log()
        offsets = (sides[0] - sides[2]) / (2 * (sides[0] - 2 * sides[1] + sides[2]).clamp(max=-1e-6))
        frequencies = (bins + offsets.clamp(-0.5, 0.5)) * (self._rate / scale)
        rows = zip(times.tolist(), frequencies.tolist(), values.tolist(), strict=True)
        return [Peak(column * hop / self._rate, frequency, scale, gain) for column, frequency, gain in rows]


def _apart(peaks: list[Peak], rate: float, most: int) -> list[Peak]:
    """Peaks that can be fitted at the same time, in their order."""
    chosen: list[Peak] = []
    times, frequencies, scales = np.zeros((3, most))
    for peak in peaks:
        if len(chosen) == most or (chosen and peak.gain < WEAKEST * chosen[0].gain):
            break
        n = len(chosen)
        near = np.abs(times[:n] - peak.time) < CLOSE_IN_TIME * (scales[:n] + peak.scale) / rate
        width = CLOSE_IN_FREQUENCY * rate / np.minimum(scales[:n], peak.scale)
        if not (near & (np.abs(frequencies[:n] - peak.frequency) < width)).any():
            times[n], frequencies[n], scales[n] = peak.time, peak.frequency, peak.scale
            chosen.append(peak)
    return chosen
