"""The proposer: where in a residual events begin, and what they may be like.

A small convolutional network on the cells of `cells`. Neighbouring notes look alike, moved, so it convolves along
log frequency; partials lie at fixed distances there, so it gathers channels from these. `hearing.OnsetNetwork` is what
the encoder needs of it, without torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evc.format.errors import InputError
from evc.models.events.cells import CELLS, CHANNELS, HOP, SAMPLERATE
from evc.models.events.features import CellFeatures, cell_notes, note_hertz
from evc.models.events.hearing import DILATIONS, GATHERING, HARMONICS, downmix, peaks_of_curve
from evc.models.events.vectors import PARTS

# Parts that the network guesses; the phase and the multipliers of the partials follow by projection.
GUESSED = {part.name: part.codes for part in PARTS if not part.name.startswith(("pitch", "phase", "partial"))}
# Hops before and after an onset at which its cell is looked at to tell decay and length.
GLANCES = (-2, -1, 0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_CONFIG = "config"  # entry of a file's metadata
_RARE = -5.0  # logit of a switch before training: onsets are rare


@dataclass(frozen=True)
class ProposerConfig:
    """Sizes of the network."""

    channels: int = 48
    gathered: int = 8  # channels taken from each harmonic
    glance: int = 24  # channels of a glance
    hidden: int = 384


class _Block(nn.Module):
    """Residual block on [batch, hops, cells, channels]: each channel's own 5 x 3 filter, dilated along time, perhaps a
    look at the harmonics, and a mixture of all channels."""

    def __init__(self, config: ProposerConfig, dilation: int, gathers: bool) -> None:
        super().__init__()
        width = config.channels
        self.filter = nn.Conv2d(
            width, width, (5, 3), padding=(2 * dilation, 1), dilation=(dilation, 1), groups=width
        )
        self.enter, self.leave = nn.Linear(width, width), nn.Linear(width, width)
        self.reduce = nn.Linear(width, config.gathered) if gathers else None
        self.gather = nn.Linear(config.gathered * len(HARMONICS), width) if gathers else None

    def forward(self, x: Tensor) -> Tensor:
        inner = self.enter(self.filter(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        if self.reduce is not None and self.gather is not None:
            reach, cells = max(abs(shift) for shift in HARMONICS), x.shape[2]
            few = functional.pad(self.reduce(x), (0, 0, reach, reach))
            around = [few[:, :, reach + shift : reach + shift + cells] for shift in HARMONICS]
            inner = inner + self.gather(torch.cat(around, dim=-1))
        return x + self.leave(functional.relu(inner))


@dataclass
class Seen:
    """What the trunk made of waveforms: switch logits [batch, hops, cells], onset logits [batch, hops] (of anything,
    drums included), and what `describe` looks at."""

    switch: Tensor
    onset: Tensor
    glances: Tensor  # [batch, hops, cells, channels]


class Proposer(nn.Module):
    """Proposes events in a residual; see the module's text."""

    def __init__(self, config: ProposerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ProposerConfig()
        self.features = CellFeatures()
        self.enter = nn.Linear(CHANNELS + 1, config.channels)
        self.blocks = nn.ModuleList(
            _Block(config, dilation, number in GATHERING) for number, dilation in enumerate(DILATIONS)
        )
        self.switch = nn.Linear(config.channels, 1)
        self.glance = nn.Linear(config.channels + CHANNELS, config.glance)
        first, last = nn.Conv1d(2 * config.channels, config.channels, 3, padding=1), nn.Conv1d(config.channels, 1, 1)
        self.onset = nn.Sequential(first, nn.ReLU(), last)
        self.describer = nn.Sequential(
            nn.Linear(config.glance * len(GLANCES) + 1, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 2 + sum(GUESSED.values())),
        )
        for bias in (self.switch.bias, last.bias):
            if bias is not None:
                nn.init.constant_(bias, _RARE)

    def forward(self, audio: Tensor) -> Seen:
        """audio [batch, frames] at 22.05 kHz; hops = frames // HOP + 1, hop t centred at frame t HOP."""
        features = self.features(audio)
        height = torch.linspace(-1, 1, CELLS, device=features.device)[:, None].expand(*features.shape[:3], 1)
        x = functional.relu(self.enter(torch.cat([features, height], dim=-1)))
        for block in self.blocks:
            x = block(x)
        glances = self.glance(torch.cat([x, features], dim=-1))
        pooled = torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=-1).transpose(1, 2)
        return Seen(self.switch(x)[..., 0].float(), self.onset(pooled)[:, 0].float(), glances)

    def describe(self, seen: Seen, batch: Tensor, hops: Tensor, cells: Tensor) -> Description:
        """What events at these places (int64 [n] each) may be like."""
        length = seen.switch.shape[1]
        at = hops[:, None] + torch.tensor(GLANCES, device=hops.device)
        inside = (at >= 0) & (at < length)
        glances = seen.glances[batch[:, None], at.clamp(0, length - 1), cells[:, None]]  # [n, glances, channels]
        flat = (glances * inside[..., None]).flatten(1)
        height = (2 * cells / (CELLS - 1) - 1)[:, None].to(flat)
        out = self.describer(torch.cat([flat, height], dim=1)).float()
        parts = dict(zip(GUESSED, out[:, 2:].split(list(GUESSED.values()), dim=1)))
        return Description(torch.tanh(out[:, 0]), torch.tanh(out[:, 1]), parts)

    @torch.inference_mode()
    def propose(self, audio: NDArray[np.float32]) -> Proposals:
        """Proposals for a waveform float32 [channels, frames] at 22.05 kHz, of any length, on the device that the
        network is on. The louder of mid and side is looked at."""
        device = self.switch.weight.device
        seen = self(torch.from_numpy(downmix(audio))[None].to(device))
        frequencies = note_hertz(cell_notes()).numpy()
        switch = torch.sigmoid(seen.switch[0]).cpu().numpy()
        return Proposals(self, seen, switch, torch.sigmoid(seen.onset[0]).cpu().numpy(), frequencies)

    def save(self, path: Path) -> None:
        """Write configuration and weights as safetensors."""
        from safetensors.torch import save_file

        weights = {name: tensor.contiguous().cpu() for name, tensor in self.state_dict().items()}
        save_file(weights, path, {_CONFIG: json.dumps(asdict(self.config))})  # one entry: their order is random

    @classmethod
    def load(cls, path: Path) -> Proposer:
        """A network that `save` wrote, in evaluation mode. Raises InputError if a file holds something else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                network = cls(ProposerConfig(**json.loads((file.metadata() or {})[_CONFIG])))
                network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise InputError(f"{path.name} does not hold the weights of a proposer") from error
        return network.eval()


@dataclass
class Description:
    """Of n events: onset after the centre of the hop in hops, and pitch above the centre of the cell in semitones, both
    [n] in (-1, 1); logits [n, codes] of the guessed parts."""

    delay: Tensor
    bend: Tensor
    parts: dict[str, Tensor]


@dataclass
class Proposals:
    """What the proposer says of a waveform, as arrays.

    switch       probability float32 [hops, cells] that an event begins in the cell: its first partial there
    onset        probability float32 [hops] that anything begins, drums included
    frequencies  centres of the cells in Hz, float32 [cells]
    hop t is centred at frame t HOP of 22.05 kHz.
    """

    network: Proposer
    seen: Seen
    switch: NDArray[np.float32]
    onset: NDArray[np.float32]
    frequencies: NDArray[np.float32]

    def peaks(self, threshold: float = 0.5) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hops and cells [n] of the local maxima (in 3 hops x 3 cells) of `switch` that are above a threshold."""
        switch = torch.from_numpy(self.switch)[None, None]
        most = functional.max_pool2d(switch, (3, 3), 1, (1, 1))[0, 0].numpy()
        hops, cells = np.nonzero((self.switch >= most) & (self.switch > threshold))
        return hops, cells

    def likely_onsets(self, threshold: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times in seconds [n], ascending, of the local maxima of `onset` above a threshold, between hops by a parabola
        through the logits, and the maxima [n]."""
        return peaks_of_curve(self.onset, threshold)

    def describe(self, hops: NDArray[np.int64], cells: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Of events that begin in these cells [n]: `time` in seconds, `frequency` in Hz, and for each guessed part the
        probabilities float32 [n, codes], in the order of its codebook."""
        device = self.seen.switch.device
        at = [torch.as_tensor(np.asarray(x, np.int64), device=device) for x in (hops, cells)]
        with torch.inference_mode():
            said = self.network.describe(self.seen, torch.zeros_like(at[0]), *at)
        bend, delay = said.bend.cpu().numpy(), said.delay.cpu().numpy()
        return {
            "time": (np.asarray(hops) + delay.astype(np.float64)) * HOP / SAMPLERATE,
            "frequency": self.frequencies[cells] * 2 ** (bend / 12.0),
            **{name: torch.softmax(logits, dim=1).cpu().numpy() for name, logits in said.parts.items()},
        }
