"""Training of the event network: configurations, losses on planted mixes and on recordings, validation, export.

Planted mixes, with their truth, teach where events begin and what they are like; recordings teach the generator what
to sound like, and the proposer which of its candidates explain most.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from evc.format.cores import available_cores
from evc.format.errors import InputError
from evc.models.device import one_thread, torch_device
from evc.models.events.cells import HOP, SAMPLERATE
from evc.models.events.generator import Generator
from evc.models.events.material import Material
from evc.models.events.network import Decomposition, EventNetwork
from evc.models.events.planted import Mix, Planter
from evc.models.events.proposer import Description, Proposer, ProposerConfig, Seen
from evc.models.events.scores import Score
from evc.models.events.targets import Targets
from evc.models.events.voices import generator_voices
from evc.models.training.ahead import Store, workers
from evc.models.training.dataset import Audio, AudioFolder, Report, scan
from evc.models.training.discriminator import (
    SpectrogramDiscriminator,
    discriminator_loss,
    generator_loss,
    half_masked,
)
from evc.models.training.log import TrainingLog, spectrogram_picture
from evc.models.training.loop import Draws, Loop, LoopSettings, Losses, Stages, check_resumption
from evc.models.training.losses import SpectralLoss, amplitude_sparsity
from evc.models.training.trial import chosen_scale

GENERATOR_FILE, PROPOSER_FILE = "evc-events-1.safetensors", "evc-events-1-encoder.safetensors"
_VALIDATION_SEED = 1_000_003
_VALIDATION_SHARE = 0.12
_KEPT = 300  # mixes that may come again
_AHEAD = 12  # steps whose data are begun, where other processes make them


@dataclass(frozen=True)
class Weights:
    """Of the losses."""

    switch: float = 1.0
    onset: float = 1.0
    place: float = 1.0
    parts: float = 0.15
    greedy: float = 0.5
    spectral: float = 0.1
    sparsity: float = 0.01
    spread: float = 0.01
    adversarial: float = 0.01


@dataclass(frozen=True)
class EventConfig:
    """What is trained and how. `detach`: no gradient flows through a residual to the events before it."""

    loop: LoopSettings
    proposer: ProposerConfig = field(default_factory=ProposerConfig)
    weights: Weights = field(default_factory=Weights)
    seconds: float = 3.0
    planted: int = 4  # mixes in a batch
    fresh: int = 2  # of these, mixes that were in no batch before
    recorded: int = 2  # excerpts in a batch
    recorded_every: int = 6  # steps
    events: int = 3  # taken from an excerpt
    candidates: int = 3
    detach: bool = True
    background_chance: float = 0.5
    generator_scale: float = 0.03  # of the learning rate
    discriminator_channels: int = 8
    discriminator_from: float = 0.11  # share of the training
    validation_batches: int = 4


CONFIGS = {
    "small": EventConfig(LoopSettings(steps=3600, learning_rate=2e-3)),
    "base": EventConfig(
        LoopSettings(steps=60_000, warm_up=1000, checkpoint_minutes=2, validation_minutes=4),
        ProposerConfig(channels=144, gathered=24, glance=48, hidden=1024),
        seconds=4.0, planted=24, fresh=6, recorded=8, recorded_every=2, events=8, candidates=4,
        discriminator_channels=16, validation_batches=8,
    ),
}  # fmt: skip


@dataclass
class EventBatch:
    """Planted mixes float32 [batch, frames] with their targets, and perhaps recorded excerpts [batch, frames]."""

    planted: Tensor
    targets: Targets
    recorded: Tensor | None

    @property
    def excerpts(self) -> Tensor:
        """`recorded`, or InputError where there are none."""
        if self.recorded is None:
            raise InputError("the events of recordings cannot be judged without recorded excerpts")
        return self.recorded


class EventTask:
    """The event network, as the loop trains it; its data are made in the processes of a `pool`, or in this one."""

    def __init__(
        self, training: AudioFolder, validation: AudioFolder, config: EventConfig, device: torch.device,
        generator: Generator | None = None, pool: Executor | None = None,
    ) -> None:  # fmt: skip
        self.config, self.device = config, device
        torch.manual_seed(config.loop.seed)
        generator = generator or Generator()
        self.network = EventNetwork(generator, Proposer(config.proposer)).to(device)
        self.discriminator = SpectrogramDiscriminator(config.discriminator_channels).to(device)
        self.players: Mapping[str, nn.Module] = {"network": self.network, "discriminator": self.discriminator}
        # Planted notes keep the sound that learning starts from: what a step sees does not hang on the steps before.
        voices = partial(generator_voices, generator=copy.deepcopy(generator).cpu())
        self.planter = Planter(config.seconds, voices)
        material, self.validation = (
            Material(part, self.planter, config.loop.seed, config.background_chance) for part in (training, validation)
        )
        self._mixes = Store(material.numbered_mix, 2 * _KEPT, pool)
        self._excerpts = Store(material.numbered_excerpt, 2 * _AHEAD * config.recorded, pool)
        self.spectral = SpectralLoss(SAMPLERATE)
        self._floors = {
            name: book.detach().square().sum(dim=1, keepdim=True).clamp_max(1.0)
            for name, book in self.network.generator.codebook.items()
        }

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        if player == "discriminator":
            return [{"params": list(self.discriminator.parameters())}]
        tables = list(self.network.generator.parameters())
        return [
            {"params": list(self.network.proposer.parameters())},
            {"params": tables, "scale": self.config.generator_scale, "weight_decay": 0.0},
        ]

    def settle(self) -> None:
        """Entries that stand for "none", and the multipliers of the partials, stay; the others keep their full strength
        (see `Generator`), that is a radius of 1 where they began with one."""
        with torch.no_grad():
            for name in ("deform", "noise", "room"):
                book = self.network.generator.codebook[name]
                radius = book.square().sum(dim=1, keepdim=True).sqrt()
                floor = self._floors[name].sqrt()
                book.mul_(torch.where(floor > 0, (floor / (radius + 1e-9)).clamp_min(1.0), 0.0))

    def batch(self, draws: Draws, step: int) -> EventBatch:
        """Some mixes are new, the others were in one of the last batches: mixes take long to make."""
        config, last = self.config, (step + 1) * self.config.fresh
        new = range(last - config.fresh, last)
        oldest = max(0, last - config.fresh - _KEPT)
        old = draws.numpy.integers(oldest, max(1, last - config.fresh), config.planted - config.fresh)
        recorded = self._recorded(step)
        self._mixes.ahead(range(last - config.fresh, last + _AHEAD * config.fresh))
        self._excerpts.ahead(number for later in range(step, step + _AHEAD) for number in self._recorded(later))
        mixes = [self._mixes.get(number) for number in (*new, *old.tolist())]
        return self._batch(mixes, [self._excerpts.get(number) for number in recorded])

    def _recorded(self, step: int) -> range:
        """The numbers of the excerpts that a step sees."""
        count = self.config.recorded if step % self.config.recorded_every == 0 else 0
        return range(step * self.config.recorded, step * self.config.recorded + count)

    def _batch(self, mixes: list[Mix], excerpts: list[Audio]) -> EventBatch:
        audio = torch.from_numpy(np.stack([mix.audio for mix in mixes])).to(self.device)
        targets = Targets.of(mixes, self.planter.frames // HOP + 1).to(self.device)
        recorded = torch.from_numpy(np.stack(excerpts)).to(self.device) if excerpts else None
        return EventBatch(audio, targets, recorded)

    def losses(self, batch: EventBatch, draws: Draws, step: int, share: float) -> Losses:
        seen = self.network.proposer(batch.planted)
        said = self.network.proposer.describe(seen, *batch.targets.places)
        terms = planted_losses(seen, said, batch.targets)
        losses: dict[str, Tensor] = {}
        if batch.recorded is not None:
            found = self.network.decompose(
                batch.recorded, self.config.events, self.config.candidates, self.config.detach, draws.on(self.device)
            )
            more = self._recorded_losses(found, batch.recorded)
            if share >= self.config.discriminator_from:
                fake = half_masked(found.parts, draws.torch)
                more["adversarial"] = generator_loss(self.discriminator, batch.recorded, fake)
                losses["discriminator"] = discriminator_loss(self.discriminator, batch.recorded, fake)
            terms |= more
        total = torch.stack([getattr(self.config.weights, name) * term for name, term in terms.items()]).sum()
        return Losses({"network": total, **losses}, {name: term.detach() for name, term in terms.items()})

    def _recorded_losses(self, found: Decomposition, audio: Tensor) -> dict[str, Tensor]:
        scale = audio.square().mean(dim=-1).sqrt()
        return {
            "greedy": found.expected.mean(),
            "spectral": self.spectral(found.parts.sum(dim=1), audio),
            "sparsity": amplitude_sparsity(found.amplitudes, scale),
            "spread": found.spread,
        }

    def _validation_batch(self, number: int) -> EventBatch:
        draws = Draws.of(_VALIDATION_SEED, number)
        mixes = [self.validation.mix(draws.numpy) for _ in range(self.config.planted)]
        return self._batch(mixes, [self.validation.excerpt(draws.numpy) for _ in range(self.config.recorded)])

    def validate(self) -> dict[str, float]:
        score, left, wanted = Score(), [], []
        for number in range(self.config.validation_batches):
            batch = self._validation_batch(number)
            recorded = batch.excerpts
            seen = self.network.proposer(batch.planted)
            score.add(seen, self.network.proposer.describe(seen, *batch.targets.places), batch.targets)
            found = self.network.decompose(recorded, self.config.events, 1, True)
            left.append((found.residuals[-1].square().sum(-1) / recorded.square().sum(-1).clamp_min(1e-9)).cpu())
            wanted.append(float(self.spectral(found.parts.sum(dim=1), recorded)))
        explained = -10 * torch.log10(torch.cat(left)).mean()
        return {**score.figures(), "explained_db": float(explained), "spectral": float(np.mean(wanted))}

    def illustrate(self, log: TrainingLog, step: int) -> None:
        batch = self._validation_batch(0)
        found = self.network.decompose(batch.excerpts[:1], 2 * self.config.events, 1, True)
        source, events = batch.excerpts[0].cpu().numpy(), found.parts[0].sum(dim=0).cpu().numpy()
        log.audio(f"{step:06d}-events", np.stack([source, events]), SAMPLERATE)
        log.picture(f"{step:06d}-events", np.concatenate([spectrogram_picture(x) for x in (events, source)]))
        switch = torch.sigmoid(self.network.proposer(batch.planted[:1]).switch[0]).cpu().numpy().T
        truth = batch.targets.switch[0].cpu().numpy().T
        log.picture(f"{step:06d}-switch", np.concatenate([switch, truth]).repeat(3, axis=0).repeat(3, axis=1))


def planted_losses(seen: Seen, said: Description, targets: Targets) -> dict[str, Tensor]:
    """Cross-entropies of the switches and of the parts that are known, and errors of time and pitch inside the cell."""
    count = targets.switch.sum().clamp_min(1)
    switch = functional.binary_cross_entropy_with_logits(
        seen.switch, targets.switch, targets.switch_weight, reduction="sum"
    )
    onset = functional.binary_cross_entropy_with_logits(
        seen.onset, targets.onset, targets.onset_weight, reduction="sum"
    )
    place = functional.smooth_l1_loss(said.delay, targets.delay) + functional.smooth_l1_loss(said.bend, targets.bend)
    parts = [
        functional.cross_entropy(logits, targets.codes[name], ignore_index=-1)
        for name, logits in said.parts.items()
        if (targets.codes[name] >= 0).any()
    ]
    return {
        "switch": switch / count,
        "onset": onset / targets.onset.sum().clamp_min(1),
        "place": place if len(targets.delay) else place.new_zeros(()),
        "parts": torch.stack(parts).sum() if parts else place.new_zeros(()),
    }


def train(
    folder: Path, out: Path, config: EventConfig, resume: bool = False, exclude: Path | None = None,
    skip: tuple[str, ...] = (), device: str = "auto", start: Path | None = None,
    stages: Stages = lambda name: nullcontext(), report: Report | None = None, pause: float | None = None,
    scale: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Train on the sound files below `folder`, and write the weights and the log to `out`; returns figures of the
    validation. `exclude`: works that occur below it are left out; `start`: weights of a generator to go on from;
    `stages` shows the progress of each stage of the work, by its name; `pause`: after so many minutes; `scale`: batches
    so many times as large, None: as a trial on a GPU tells. Raises InputError if there is too little to train on,
    nothing to resume, or no such device."""
    chosen = torch.device(torch_device(device))
    check_resumption(out, resume)
    parts = scan(folder, exclude, report, skip).split(_VALIDATION_SHARE, config.loop.seed)
    pool = workers(max(1, available_cores() - 1)) if chosen.type == "cuda" else None

    def task(scale: int) -> EventTask:
        larger = replace(config, planted=scale * config.planted, recorded=scale * config.recorded)
        return EventTask(*parts, larger, chosen, None if start is None else Generator.load(start), pool)

    with pool or nullcontext():
        with stages("trying batches"):
            scale = chosen_scale(task, config.loop, out, chosen, scale, report=report)
        trained = task(scale)
        loop = Loop(trained, config.loop, out, chosen)
        if resume:
            loop.resume()
        with stages("training") as progress, one_thread() if chosen.type == "cpu" else nullcontext():
            figures = loop.run(progress, pause=pause)
    trained.network.generator.save(out / GENERATOR_FILE)
    trained.network.proposer.save(out / PROPOSER_FILE)
    return figures
