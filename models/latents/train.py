"""Training of the latent networks: configurations, losses by rate and distortion, validation, export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evc.format import constants as c
from evc.models.device import torch_device
from evc.models.latents.autoencoder import Autoencoder, LatentBatch, levels_of, quantised
from evc.models.latents.batches import Crops, Variety, left_right, mid_side
from evc.models.latents.descriptions import PairSettings
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.layout import DIMENSIONS, SAMPLES_PER_COLUMN, LatentConfig
from evc.models.latents.network import LatentNetwork
from evc.models.latents.pairs import Pairs, describe_pairs, render_pairs
from evc.models.progress import Progress
from evc.models.training.dataset import Report, scan
from evc.models.training.discriminator import MultiDiscriminator, discriminator_loss, generator_loss
from evc.models.training.log import TrainingLog, spectrogram_picture
from evc.models.training.loop import Draws, Loop, LoopSettings, Losses, Stages, check_resumption
from evc.models.training.measures import complex_distance, mel_distance, tonal_similarity
from evc.models.training.trial import chosen_scale
from evc.models.training.whole import whole

WEIGHTS_FILE = "evc-latents-1.safetensors"
_VALIDATION_SHARE = 0.1
_COUNTING = 1_000_003  # tells the random numbers of excerpts whose latents are counted from those of steps
_OVERLAP = 2  # of the windows of losses
_TONAL_SIZES = (8192, 4096)  # windows
_EDGE = 3072  # frames at the ends of a crop that are not compared: windows are missing there


@dataclass(frozen=True)
class Weights:
    """Of the losses. `rate` is per kbit/s and step size: large steps are for those who have few bits."""

    mel: float = 1.0
    tonal: float = 2.0
    complex: float = 0.1
    rate: float = 0.012
    adversarial: float = 0.02


@dataclass(frozen=True)
class LatentTraining:
    """What is trained and how. `discriminator_from`: the share of the training from which on a discriminator judges
    too, None for never."""

    loop: LoopSettings
    network: LatentConfig = field(default_factory=LatentConfig)
    pairs: PairSettings = field(default_factory=PairSettings)
    variety: Variety = field(default_factory=Variety)
    weights: Weights = field(default_factory=Weights)
    batch: int = 6
    columns: int = 24  # of a crop
    step_sizes: tuple[float, float] = (2.0, 32.0)  # drawn evenly on a logarithmic scale
    rate_first: int = 100  # steps in which only the rate model learns: the networks must not believe a bad one
    rate_scale: float = 8.0  # of the learning rate, for the rate model
    discriminator_from: float | None = None
    discriminator_channels: int = 16
    validated_steps: tuple[float, ...] = (4.0, 8.0, 16.0)
    validated_pairs: int = 8
    validated_columns: int = 128
    counted_excerpts: int = 200  # whose latents the integer model is fitted to,
    counting_steps: int = 1500  # in so many steps


CONFIGS = {
    "small": LatentTraining(LoopSettings(steps=4000, warm_up=200)),
    "base": LatentTraining(
        LoopSettings(steps=15_000, warm_up=500, bfloat16=False, checkpoint_minutes=2, validation_minutes=4),
        pairs=PairSettings(training=1500, validation=32),
        batch=32, columns=32, discriminator_from=0.4, discriminator_channels=32, validated_pairs=16,
        counted_excerpts=450, counting_steps=5000,
    ),
}  # fmt: skip


class LatentTask:
    """The latent networks, as the loop trains them."""

    def __init__(
        self, training: Pairs, validation: Pairs, config: LatentTraining, device: torch.device,
        network: LatentNetwork | None = None,
    ) -> None:  # fmt: skip
        self.training, self.validation, self.config, self.device = training, validation, config, device
        torch.manual_seed(config.loop.seed)
        self.model = Autoencoder(network or LatentNetwork(config.network)).to(device)
        self.players: Mapping[str, nn.Module] = {"network": self.model}
        if config.discriminator_from is not None:
            self.discriminator = MultiDiscriminator(config.discriminator_channels).to(device)
            self.players = {**self.players, "discriminator": self.discriminator}

    @property
    def samplerate(self) -> int:
        return self.config.pairs.samplerate

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        if player == "discriminator":
            return [{"params": list(self.discriminator.parameters())}]
        return [
            {"params": list(self.model.network.parameters())},
            {"params": list(self.model.rate.parameters()), "scale": self.config.rate_scale, "weight_decay": 0.0},
        ]

    def settle(self) -> None:
        """Nothing: all parameters are free."""

    def batch(self, draws: Draws, step: int) -> LatentBatch:
        config, frames = self.config, self.config.columns * SAMPLES_PER_COLUMN
        crops = config.variety.draw(self.training, draws.numpy, config.batch, frames)
        finest, coarsest = np.log(config.step_sizes)
        return self._batch(crops, np.exp(draws.numpy.uniform(finest, coarsest, config.batch)))

    def _batch(self, crops: Crops, step: Any) -> LatentBatch:
        """Of crops for a batch, and step sizes [batch]."""
        source, known, noise = mid_side(crops.batch(self.device)).unbind(dim=1)
        return LatentBatch(source, known, noise, torch.as_tensor(step, dtype=torch.float32, device=self.device))

    def losses(self, batch: LatentBatch, draws: Draws, step: int, share: float) -> Losses:
        if step < self.config.rate_first:
            kbps = self._kbps(self.model.bits(batch)).mean()
            return Losses({"network": kbps}, {"kbps": kbps.detach()})
        heard, bits = self.model(batch, draws.on(self.device))
        heard, source = (x[..., _EDGE:-_EDGE].float() for x in (heard, batch.source))
        ours, theirs = left_right(heard), left_right(source)
        terms = {
            "mel": mel_distance(ours, theirs, self.samplerate, _OVERLAP),
            "tonal": 1 - torch.stack([self._tonal(ours, theirs, size) for size in _TONAL_SIZES]).mean(),
            "complex": complex_distance(heard, source, overlap=_OVERLAP),
            "rate": (batch.step * self._kbps(bits)).mean(),
        }
        losses: dict[str, Tensor] = {}
        if self.config.discriminator_from is not None and share >= self.config.discriminator_from:
            angles = 2 * torch.pi * torch.rand(len(batch.source), 1, generator=draws.torch).to(self.device)
            real, fake = (torch.cos(angles) * x[:, 0] + torch.sin(angles) * x[:, 1] for x in (source, heard))
            terms["adversarial"] = generator_loss(self.discriminator, real, fake)
            losses["discriminator"] = discriminator_loss(self.discriminator, real, fake)
        total = torch.stack([getattr(self.config.weights, name) * term for name, term in terms.items()]).sum()
        figures = {name: term.detach() for name, term in terms.items()}
        return Losses({"network": total, **losses}, {**figures, "kbps": self._kbps(bits.detach()).mean()})

    def _kbps(self, bits: Tensor) -> Tensor:
        """Kbit/s [batch] of bits [batch, columns, DIMENSIONS]."""
        return bits.sum(dim=(1, 2)) / (1000 * bits.shape[1] * SAMPLES_PER_COLUMN / self.samplerate)

    def _tonal(self, ours: Tensor, theirs: Tensor, size: int) -> Tensor:
        return tonal_similarity(ours, theirs, self.samplerate, size, _OVERLAP)

    def validate(self) -> dict[str, float]:
        """Means over pairs of the measures, without latents and at some step sizes; kbit/s as the rate model has it."""
        found: dict[str, list[float]] = {}
        for number in range(min(self.config.validated_pairs, len(self.validation))):
            batch = self._validation_batch(number)
            self._measure(found, "none", batch.known, batch.source)
            for step in self.config.validated_steps:
                batch.step = torch.full((1,), step, device=self.device)
                heard, bits = self.model(batch)
                self._measure(found, f"{step:g}", heard, batch.source)
                found.setdefault(f"kbps@{step:g}", []).append(float(self._kbps(bits)))
        return {name: float(np.mean(values)) for name, values in sorted(found.items())}

    def _validation_batch(self, number: int) -> LatentBatch:
        frames = self.config.validated_columns * SAMPLES_PER_COLUMN
        crops = Crops.plain(self.validation.crop(number, True, frames))
        return self._batch(crops, [self.config.validated_steps[0]])

    def _measure(self, found: dict[str, list[float]], name: str, heard: Tensor, source: Tensor) -> None:
        ours, theirs = (left_right(x[..., _EDGE:-_EDGE].float()) for x in (heard, source))
        for measure, value in (
            ("mel", mel_distance(ours, theirs, self.samplerate)),
            ("tonal", tonal_similarity(ours, theirs, self.samplerate)),
            ("complex", complex_distance(ours, theirs)),
        ):
            found.setdefault(f"{measure}@{name}", []).append(float(value))

    def counted(
        self, network: LatentNetwork, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Latents [columns, DIMENSIONS] of random excerpts, rounded, and the indices of their steps."""
        config, random = self.config, np.random.default_rng((self.config.loop.seed, _COUNTING))
        variety = replace(config.variety, mix_chance=0.0, gain=0.0)
        frames = config.pairs.frames // SAMPLES_PER_COLUMN * SAMPLES_PER_COLUMN
        finest, coarsest = (round(c.LATENT_STEPS_PER_OCTAVE * np.log2(size)) for size in config.step_sizes)
        for number in range(config.counted_excerpts):
            index = int(random.integers(finest, coarsest, endpoint=True))
            crops = variety.draw(self.training, random, 1, frames)
            batch = self._batch(crops, [2 ** (index / c.LATENT_STEPS_PER_OCTAVE)])
            with torch.inference_mode():
                integers = quantised(levels_of(network, batch))[0].clamp(-c.MAX_LATENT, c.MAX_LATENT)
            yield integers.cpu().numpy().astype(np.int64), index
            if progress is not None:
                progress(number + 1, config.counted_excerpts)

    def illustrate(self, log: TrainingLog, step: int) -> None:
        """The source and what is heard of it, at the middle one of the step sizes that are validated."""
        batch = self._validation_batch(0)
        batch.step[:] = self.config.validated_steps[len(self.config.validated_steps) // 2]
        heard, source = (left_right(x.float())[0].cpu().numpy() for x in (self.model(batch)[0], batch.source))
        log.audio(f"{step:06d}-latents", heard, self.samplerate)
        log.picture(f"{step:06d}-latents", np.concatenate([spectrogram_picture(x[0]) for x in (heard, source)]))


def train(
    folder: Path, out: Path, config: LatentTraining, resume: bool = False, exclude: Path | None = None,
    skip: tuple[str, ...] = (), device: str = "auto", start: Path | None = None,
    stages: Stages = lambda name: nullcontext(), report: Report | None = None, pause: float | None = None,
    scale: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Train on the sound files below `folder`, and write pairs, weights and the log to `out`; returns figures of the
    validation. `exclude`: works that occur below it are left out; `start`: weights to go on from; `stages` shows the
    progress of each stage of the work, by its name; `pause`: after so many minutes, with weights that still lack the
    tables of the entropy coder; `scale`: batches so many times as large, None: as a trial on a GPU tells. Raises
    InputError if there is too little to train on, nothing to resume, or no such device."""
    chosen = torch.device(torch_device(device))
    check_resumption(out, resume)
    describe(folder, out, config, exclude, skip, stages, report)
    with stages("rendering excerpts") as progress:
        render_pairs(out, folder, config.pairs, progress)
    training, validation = (Pairs(out, *side) for side in config.pairs.sides)

    def task(scale: int) -> LatentTask:
        larger = replace(config, batch=scale * config.batch)
        return LatentTask(training, validation, larger, chosen, None if start is None else LatentNetwork.load(start))

    with stages("trying batches") as progress:
        scale = chosen_scale(task, config.loop, out, chosen, scale, config.rate_first, report)
    trained = task(scale)
    loop = Loop(trained, config.loop, out, chosen)
    if resume:
        loop.resume()
    with stages("training") as progress:
        figures = loop.run(progress, pause=pause)
    if pause is not None:
        trained.model.network.save(out / WEIGHTS_FILE, untrained_entropy(DIMENSIONS))
        return figures
    with stages("counting latents") as progress:
        _save(trained, out / WEIGHTS_FILE, progress)
    return figures


def describe(
    folder: Path, out: Path, config: LatentTraining, exclude: Path | None = None, skip: tuple[str, ...] = (),
    stages: Stages = lambda name: nullcontext(), report: Report | None = None,
) -> None:  # fmt: skip
    """Describe the excerpts that `out` lacks; the arguments are those of `train`."""
    seed = config.loop.seed
    parts = scan(folder, exclude, report, skip).split(_VALIDATION_SHARE, seed)
    with stages("describing excerpts") as progress:
        describe_pairs(out, folder, parts, config.pairs, seed, progress)


def _save(task: LatentTask, path: Path, progress: Progress | None) -> None:
    """Write the weights, in the precision that files have them in, with tables for the latents that they make."""
    from evc.models.latents.train_contexts import fit

    task.model.network.save(path, untrained_entropy(DIMENSIONS))
    network, config = LatentNetwork.load(path).to(task.device), task.config
    items = list(task.counted(network, progress))
    with whole(path) as partial:
        network.save(partial, fit(items, config.loop.seed, config.counting_steps))
