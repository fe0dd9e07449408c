"""The latent networks, read top to bottom: what is taken from x, what is stored of it, what is heard.

    latents = [C(x - known) / g,  E(x | y) - E(y | y)]      a column of DIMENSIONS, quantised with one step size
    x_hat   = D(latents, y + what the coefficients change)

y is what all other layers render, `known` the same without its noise. C are the lowest coefficients of a lapped
transform (`transform`): below 1 to 2 kHz a waveform is worth its bits. The gains g, which make their step sizes, are a
network's guess from y. E are learned latents, which say how the rest differs from y, and D bends the spectrum of y and
adds to it, so an untrained network gives y with its coefficients back.

All networks see spectra over the local envelope of y (`features`). Everything is a convolution of finite reach or looks
at one frame: a stretch with `margin` columns around it sounds as it does in the whole. Blocks follow ConvNeXt (Liu et
al. 2022), the head Vocos (Siuzdak 2023).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evc.models.latents.features import Whitened, bands, envelope, spectrum, waveform, whitened
from evc.models.latents.layout import (
    BANDS,
    BINS,
    CHANNELS,
    CODED,
    COEFFICIENTS,
    CONFIG,
    FEATURES,
    FRAMES_PER_COLUMN,
    LATENT_SCALE,
    LEARNED,
    LEAST_GAIN,
    LEAST_HEARD,
    MOST_DETAIL,
    MOST_GAIN,
    NOISE_POWER,
    SIDE_COEFFICIENTS,
    Ends,
    LatentConfig,
)
from evc.models.latents.transform import coefficients, samples
from evc.models.latents.weights import read_weights

_SLOPE, _TILT = 0.6, 0.5  # of the gains before any training
_FIRST_BAND = 20  # 640 Hz at 44.1 kHz; below, coefficients say more
_CEILING = 0.25  # of a step: how loud noise may be in coefficients that were coded as 0


class Layers(NamedTuple):
    """Of y: its spectrum, its local magnitude and its envelope W [batch, 2, frames, bins], and its view in
    units of the envelope."""

    spectra: Tensor
    local: Tensor
    scale: Tensor
    seen: Whitened


class Known(NamedTuple):
    """What decoder and encoder make of y: its layers, E(y | y) [batch, columns, LEARNED], and the scale of the
    coefficients, that is their steps at a step size of 1, [batch, columns, CODED]."""

    layers: Layers
    latents: Tensor
    units: Tensor


class Block(nn.Module):
    """[batch, frames, channels] plus what a depthwise convolution and two linear layers make of it."""

    def __init__(self, channels: int, expansion: int, kernel: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.share = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        near = self.near(x.mT).mT
        return x + self.share * self.narrow(functional.gelu(self.wide(self.norm(near))))


class Encoder(nn.Module):
    """Features [batch, frames, FEATURES] to what there is in a column: [batch, columns, channels]."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        channels, shape = config.channels, (config.channels, config.expansion, config.kernel)
        self.enter = nn.Linear(FEATURES, channels)
        self.fine = Block(*shape)
        self.join = nn.Linear(FRAMES_PER_COLUMN * channels, channels)
        self.coarse = nn.Sequential(*(Block(*shape) for _ in range(config.encoder_blocks)))
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        x = self.fine(self.enter(features))
        x = self.join(x.reshape(len(x), -1, FRAMES_PER_COLUMN * x.shape[-1]))
        return self.norm(self.coarse(x))


class Detail(nn.Module):
    """How finely to code each coefficient, from the envelope of y and what the encoder makes of y."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        tilt = -_TILT * torch.cat([torch.arange(n) for n in (COEFFICIENTS, SIDE_COEFFICIENTS)]) / COEFFICIENTS
        self.slope = nn.Parameter(torch.full((CODED,), _SLOPE))
        self.tilt = nn.Parameter(tilt)
        self.guess = nn.Linear(channels, CODED)
        nn.init.zeros_(self.guess.weight)
        nn.init.zeros_(self.guess.bias)

    def forward(self, scale: Tensor, seen: Tensor) -> Tensor:
        """The envelope [batch, 2, frames, bins] and the encoder's view [batch, columns, channels] of y to units
        [batch, columns, CODED]."""
        power = scale[..., : COEFFICIENTS // 2].square().unflatten(2, (-1, FRAMES_PER_COLUMN)).mean(dim=3)
        level = torch.sqrt(power / NOISE_POWER).repeat_interleave(2, dim=-1)
        level = torch.cat([level[:, 0], level[:, 1, :, :SIDE_COEFFICIENTS]], dim=-1)
        over = torch.log(level) - torch.log(level[..., :COEFFICIENTS]).mean(dim=-1, keepdim=True)
        finer = self.slope * over + self.tilt + self.guess(seen)
        return level * torch.exp(-finer.clamp(-MOST_DETAIL, MOST_DETAIL))


class Decoder(nn.Module):
    """Latents and y to the spectrum of x_hat."""

    def __init__(self, config: LatentConfig) -> None:
        super().__init__()
        channels, shape = config.channels, (config.channels, config.expansion, config.kernel)
        self.enter = nn.Linear(CODED + 2 * LEARNED + 1, channels)
        self.coarse = nn.Sequential(*(Block(*shape) for _ in range(config.coarse_blocks)))
        self.part = nn.Linear(channels, FRAMES_PER_COLUMN * channels)
        self.look = nn.Linear(FEATURES, channels)
        self.fine = nn.Sequential(*(Block(*shape) for _ in range(config.fine_blocks)))
        self.norm = nn.LayerNorm(channels)
        self.gains = nn.Linear(channels, CHANNELS * BINS)
        self.contrast = nn.Linear(channels, CHANNELS * BANDS)
        self.added = nn.Linear(channels, 2 * CHANNELS * BINS)
        for layer in (self.gains, self.contrast, self.added):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, integers: Tensor, learned: Tensor, known: Tensor, step: Tensor, louder: Tensor, y: Layers
    ) -> Tensor:
        """`integers` [batch, columns, CODED]: the coefficients in steps; `learned`: dequantised latents, `known`:
        E(y | y), both [batch, columns, LEARNED]; step [batch, columns or 1, 1]; `louder` [batch, frames, 2 * BANDS]:
        gains, as natural logarithms, to begin with."""
        steps = torch.log2(step).expand(*learned.shape[:2], 1) / 4
        x = self.enter(torch.cat([torch.log1p(integers.abs()), learned, known, steps], dim=-1))
        x = self.part(self.coarse(x)).reshape(len(x), -1, x.shape[-1]) + self.look(y.seen.features)
        return self._heard(self.norm(self.fine(x)), louder, y)

    def _heard(self, x: Tensor, louder: Tensor, y: Layers) -> Tensor:
        def split(values: Tensor) -> Tensor:
            return values.float().reshape(*values.shape[:2], CHANNELS, -1).transpose(1, 2)

        contrast, smooth = split(self.contrast(x)) @ bands(x.device), split(louder) @ bands(x.device)
        levels = 0.5 * torch.log(y.seen.ratio.real.square() + y.seen.ratio.imag.square() + LEAST_HEARD)
        gains = split(self.gains(x)) + smooth + contrast * levels
        bent = y.spectra * torch.exp(gains.clamp(LEAST_GAIN, MOST_GAIN))
        real, imaginary = split(self.added(x)).chunk(2, dim=-1)
        return bent + y.local * torch.complex(real.contiguous(), imaginary.contiguous())


class LatentNetwork(nn.Module):
    """Encoder and decoder. Audio is float32 [batch, 2 (mid, side), samples], a multiple of SAMPLES_PER_COLUMN; y is all
    that other layers render, `noise` the part of it that is noise.

    What is decoded of a stretch is right behind the first and before the last `config.margin` columns: let silence
    surround a file.
    """

    def __init__(self, config: LatentConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LatentConfig()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.leave = nn.Linear(config.channels, LEARNED)
        nn.init.zeros_(self.leave.weight)
        measure, shape = _band_gains()
        self.measure, self.shape = nn.Parameter(measure), nn.Parameter(shape)
        self.detail = Detail(config.channels)
        self.ceiling = nn.Parameter(torch.full((CODED,), _CEILING))

    def encode(
        self, x: Tensor, y: Tensor, noise: Tensor, known: Known | None = None, ends: Ends | None = None
    ) -> Tensor:
        """What is to be divided by the step size and rounded: [batch, columns, DIMENSIONS]; `known`, of y, if it is at
        hand; `ends` of the file, where they are known."""
        known = known or self.known(y)
        coded = _columns(coefficients(x - (y - noise), ends)) / known.units
        seen = whitened(spectrum(x), known.layers.scale)
        learned = self._learned(seen, self.encoder(seen.features))
        return torch.cat([coded, LATENT_SCALE * (learned - known.latents)], dim=-1)

    def decode(
        self,
        integers: Tensor,
        step: Tensor,
        y: Tensor,
        noise: Tensor,
        known: Known | None = None,
        ends: Ends | None = None,
    ) -> Tensor:
        """x_hat [batch, 2, samples], from quantised latents [batch, columns, DIMENSIONS], their step sizes [batch] or
        [batch, columns], and y; `ends` as in `encode`."""
        known = known or self.known(y)
        step = step.reshape(len(step), -1, 1)
        coded, learned = integers.split([CODED, LEARNED], dim=-1)
        nearer = self.nearer(coded, step, y, noise, known, ends)
        return self.heard(coded, learned * step / LATENT_SCALE, known.latents, step, known.layers, nearer)

    def nearer(
        self, coded: Tensor, step: Tensor, y: Tensor, noise: Tensor, known: Known, ends: Ends | None = None
    ) -> Tensor:
        """y with what the coefficients [batch, columns, CODED] change."""
        noise = _columns(coefficients(noise, ends))
        return y + samples(_planes(self._change(coded, step * known.units, noise)), ends)

    def heard(
        self, coded: Tensor, learned: Tensor, latents: Tensor, step: Tensor, layers: Layers, nearer: Tensor
    ) -> Tensor:
        """x_hat, from what is `nearer` to it than y: `coded` in steps, `learned` dequantised, `latents` E(y | y)."""
        spectra = spectrum(nearer)
        layers = layers._replace(spectra=spectra, seen=whitened(spectra, layers.scale))
        louder = (learned @ self.shape).unflatten(-1, (FRAMES_PER_COLUMN, -1)).flatten(1, 2)
        return waveform(self.decoder(coded, learned, latents, step, louder, layers))

    def known(self, y: Tensor) -> Known:
        """What both sides make of y."""
        spectra = spectrum(y)
        local, scale = envelope(spectra)
        layers = Layers(spectra, local, scale, whitened(spectra, scale))
        seen = self.encoder(layers.seen.features)
        return Known(layers, self._learned(layers.seen, seen), self.detail(scale, seen))

    def _learned(self, whitened: Whitened, seen: Tensor) -> Tensor:
        """E of a spectrum, from the encoder's view of it [batch, columns, channels]."""
        levels = whitened.levels.unflatten(1, (-1, FRAMES_PER_COLUMN)).flatten(2)
        learned: Tensor = self.leave(seen) + levels @ self.measure
        return learned

    def _change(self, coded: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
        """What is added to the coefficients of y, all [batch, columns, CODED]: what was coded takes the place of noise,
        and noise is held below what would have been coded."""
        value = coded * steps
        most = self.ceiling.clamp_min(0) * steps
        # In training the value of a 0 keeps its gradient, so that steps feel what they leave out.
        return torch.where(coded == 0, noise.clamp(-most, most) + (value - value.detach()), value) - noise

    @classmethod
    def load(cls, path: Path) -> LatentNetwork:
        """A network that `save` wrote, in evaluation mode. Raises InputError if a file holds something else."""
        return cls.of(*read_weights(path))

    @classmethod
    def of(cls, config: LatentConfig, tensors: Mapping[str, NDArray[np.float32]]) -> LatentNetwork:
        """One of these weights, in evaluation mode."""
        network = cls(config)
        network.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()})
        return network.eval()

    def save(self, path: Path, entropy: Mapping[str, NDArray[np.integer]]) -> None:
        """Write the weights as safetensors, in half precision, with the tables of the entropy coder, whose names begin
        with ENTROPY."""
        from safetensors.torch import save_file

        tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in self.state_dict().items()}
        tensors |= {name: torch.from_numpy(np.ascontiguousarray(table)) for name, table in entropy.items()}
        save_file(tensors, path, {CONFIG: json.dumps(asdict(self.config))})


def _columns(planes: Tensor) -> Tensor:
    """Coefficients of mid and side [batch, 2, columns, COEFFICIENTS] to [batch, columns, CODED]."""
    return torch.cat([planes[:, 0], planes[:, 1, :, :SIDE_COEFFICIENTS]], dim=-1)


def _planes(columns: Tensor) -> Tensor:
    """The inverse of `_columns`, with zeros for what side lacks."""
    mid, side = columns.split([COEFFICIENTS, SIDE_COEFFICIENTS], dim=-1)
    return torch.stack([mid, functional.pad(side, (0, COEFFICIENTS - SIDE_COEFFICIENTS))], dim=1)


def _band_gains() -> tuple[Tensor, Tensor]:
    """What the learned latents are before any training: differences of level above _FIRST_BAND, those of mid in bands
    of two and halves of a column, those of side in wider bands and whole columns. As matrices from levels
    [FRAMES_PER_COLUMN * 2 * BANDS, LEARNED] and back [LEARNED, FRAMES_PER_COLUMN * 2 * BANDS]."""
    used = BANDS - _FIRST_BAND
    belongs = torch.zeros(LEARNED, FRAMES_PER_COLUMN, CHANNELS, BANDS)
    halves, side = used // 2, LEARNED - used
    for band in range(used):
        for frame in range(FRAMES_PER_COLUMN):
            half = frame * 2 // FRAMES_PER_COLUMN
            belongs[half * halves + band // 2, frame, 0, _FIRST_BAND + band] = 1
            belongs[used + band * side // used, frame, 1, _FIRST_BAND + band] = 1
    shape = belongs.flatten(1)
    return (shape / shape.sum(dim=1, keepdim=True)).T.contiguous(), shape
