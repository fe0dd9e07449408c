"""The training loop: steps, schedule, mixed precision, checkpoints that resume exactly, validation, log.

What happens in a step is a function of the weights, the optimisers, the seed and the number of the step: all random
numbers come from generators seeded with the last two. So a checkpoint holds the first two and the step, and a run that
was interrupted ends with the weights of one that was not (on the same machine and number of threads). Where a run has
minutes, not steps, the schedule follows the clock, and no two runs are the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch import device as Device

from evc.format.errors import InputError
from evc.models.progress import Progress
from evc.models.training.ahead import Ahead
from evc.models.training.log import Means, TrainingLog
from evc.models.training.whole import whole

CHECKPOINT = "checkpoint.pt"
_VERSION = 1
_GPU_THREADS = 3  # that draw data for a GPU

Stages = Callable[[str], AbstractContextManager[Progress | None]]
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train. With `minutes` of training, earlier runs included, `steps` mean nothing."""

    steps: int
    learning_rate: float = 1e-3
    final_share: float = 0.02  # of the learning rate, at the end of its cosine
    warm_up: int = 100  # steps
    weight_decay: float = 1e-4
    clip: float = 1.0  # norm of the gradient of each player
    seed: int = 0
    checkpoint_minutes: float = 5.0
    report_steps: int = 50
    validation_minutes: float = 10.0
    minutes: float | None = None
    bfloat16: bool = True  # on a GPU, of what bears it; otherwise matrix products have the 11 bits of TF32 there

    def share(self, step: int, seconds: float) -> float:
        """How much of the training lies behind a step: from 0 to 1."""
        done, total = self.done(step, seconds)
        return min(1.0, done / max(total, 1e-9))

    def done(self, step: int, seconds: float) -> tuple[float, float]:
        """What is done, and what there is in all: steps, or seconds."""
        return (step, self.steps) if self.minutes is None else (seconds, 60 * self.minutes)

    @property
    def last(self) -> float:
        """The number of steps, if it is known."""
        return self.steps if self.minutes is None else math.inf

    def rate(self, step: int, share: float) -> float:
        """The factor of the learning rate at a step: a linear rise, then half a cosine."""
        rise = min(1.0, (step + 1) / max(1, self.warm_up))
        fall = 0.5 + 0.5 * math.cos(math.pi * share)
        return rise * (self.final_share + (1 - self.final_share) * fall)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step, for NumPy and for torch on the CPU."""

    numpy: np.random.Generator
    torch: torch.Generator

    def on(self, device: Device) -> Generator:
        """For torch on a device, where many random numbers are wanted."""
        if device.type == "cpu":
            return self.torch
        return Generator(device).manual_seed(self.torch.initial_seed())

    @classmethod
    def of(cls, seed: int, step: int) -> Draws:
        numpy = np.random.default_rng((seed, step))
        return cls(numpy, torch.Generator().manual_seed(int(numpy.integers(1 << 62))))


class Losses(NamedTuple):
    """The loss that each player minimises, in the order of their steps, and scalars for the log. The loss of a player
    must not depend on the parameters of an earlier one (detach what that one made)."""

    players: dict[str, Tensor]
    figures: dict[str, Tensor]


class Task(Protocol[Batch]):
    """What is trained. `players` are modules with an optimiser each: the network, and perhaps a discriminator."""

    players: Mapping[str, nn.Module]

    def batch(self, draws: Draws, step: int) -> Batch:
        """Data of a step, on the device it is used on. Called in threads, while steps before are made."""

    def losses(self, batch: Batch, draws: Draws, step: int, share: float) -> Losses:
        """What players minimise in a step behind which `share` of the training lies."""

    def settle(self) -> None:
        """After each step: bring parameters back to where they have to be."""

    def validate(self) -> dict[str, float]:
        """Figures on works that are not trained on; the same data every time."""

    def illustrate(self, log: TrainingLog, step: int) -> None:
        """Sounds and pictures for the log."""

    def parameter_groups(self, player: str) -> list[dict[str, Any]]:
        """Parameters for the optimiser; a group's `scale` multiplies the learning rate."""


class Loop(Generic[Batch]):
    """Trains a task; results and checkpoints go to `folder`."""

    def __init__(self, task: Task[Batch], settings: LoopSettings, folder: Path, device: torch.device) -> None:
        self.task, self.settings, self.folder, self.device = task, settings, folder, device
        self.log = TrainingLog(folder)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.step = 0
        self.seconds = 0.0  # of training, earlier runs included
        self.optimisers = {
            name: torch.optim.AdamW(
                task.parameter_groups(name),
                settings.learning_rate,
                (0.9, 0.98),
                weight_decay=settings.weight_decay,
                fused=device.type == "cuda",
            )  # fmt: skip
            for name in task.players
        }

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def resume(self) -> None:
        """Go on from the checkpoint. Raises InputError if there is none or it belongs to other settings."""
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            settings = LoopSettings(**state["settings"])
        except (OSError, RuntimeError, EOFError, UnpicklingError, KeyError, TypeError) as error:
            raise InputError(f"{self.checkpoint}: no checkpoint to resume from") from error
        if state["version"] != _VERSION or settings != self.settings:
            raise InputError(f"{self.checkpoint}: belongs to a run with other settings")
        self.step, self.seconds = state["step"], state["seconds"]
        for name, module in self.task.players.items():
            module.load_state_dict(state["players"][name])
            self.optimisers[name].load_state_dict(state["optimisers"][name])

    def save(self) -> None:
        """Replace the checkpoint, whole or not at all."""
        state = {
            "version": _VERSION,
            "settings": asdict(self.settings),
            "step": self.step,
            "seconds": self.seconds,
            "players": {name: module.state_dict() for name, module in self.task.players.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }
        with whole(self.checkpoint) as partial:
            torch.save(state, partial)

    @property
    def share(self) -> float:
        """How much of the training is done."""
        return self.settings.share(self.step, self.seconds)

    def run(
        self, progress: Progress | None = None, until: int | None = None, pause: float | None = None
    ) -> dict[str, float]:
        """Train to the end, to step `until`, or for `pause` minutes; save, and return the figures of a last
        validation."""
        last = self.settings.last if until is None else min(until, self.settings.last)
        with self.drawn(last) as drawn:
            self._run(drawn, last, pause, progress)
        self.save()
        return self._validate()

    def drawn(self, last: float = math.inf) -> Ahead[tuple[Batch, Draws]]:
        """The data of the steps from here up to `last`."""
        return Ahead(self._drawn, self.step, last, _GPU_THREADS if self.device.type == "cuda" else 1)

    def _run(
        self, drawn: Ahead[tuple[Batch, Draws]], last: float, pause: float | None, progress: Progress | None
    ) -> None:
        clock = _Clock(self.seconds)
        begun = saved = validated = clock.seconds()
        sums = Means(self.seconds)
        while self.step < last and self.share < 1 and (pause is None or self.seconds - begun < 60 * pause):
            sums.add(self.train(*drawn.next(), self.share))
            self.seconds = clock.seconds()
            if progress is not None:
                progress(*self.settings.done(self.step, self.seconds))
            if self.step % self.settings.report_steps == 0:
                self._report(sums.means(self.seconds, drawn.waited))
                sums, drawn.waited = Means(self.seconds), 0.0
            if self.seconds - saved > 60 * self.settings.checkpoint_minutes:
                self.save()
                saved = clock.seconds()
            if self.seconds - validated > 60 * self.settings.validation_minutes:
                self._validate()
                validated = clock.seconds()

    def _drawn(self, step: int) -> tuple[Batch, Draws]:
        draws = Draws.of(self.settings.seed, step)
        return self.task.batch(draws, step), draws

    def train(self, batch: Batch, draws: Draws, share: float) -> dict[str, Tensor]:
        """One step; scalars for the log."""
        with self._precision():
            losses, figures = self.task.losses(batch, draws, self.step, share)
        for name, loss in losses.items():
            optimiser = self.optimisers[name]
            optimiser.zero_grad(set_to_none=True)  # also of what reached this player through an earlier one's loss
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.task.players[name].parameters(), self.settings.clip)
            if torch.isfinite(norm):  # a GPU is waited for here, and nowhere else
                self._adjust(optimiser, share)
                optimiser.step()
            figures = figures | {f"{name}.loss": loss.detach(), f"{name}.gradient": norm.detach()}
        self.task.settle()
        self.step += 1
        return figures

    def _adjust(self, optimiser: torch.optim.Optimizer, share: float) -> None:
        rate = self.settings.learning_rate * self.settings.rate(self.step, share)
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("scale", 1.0)

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where it helps, on a GPU; parameters, and whatever asks for it, stay in float32."""
        half = self.settings.bfloat16 and self.device.type == "cuda"
        return torch.autocast("cuda", torch.bfloat16) if half else nullcontext()

    def _report(self, figures: dict[str, float]) -> None:
        self.log.numbers({"step": self.step, "seconds": round(self.seconds, 1), **figures})

    def _validate(self) -> dict[str, float]:
        modules = list(self.task.players.values())
        with _evaluating(modules):
            figures = self.task.validate()
            self.task.illustrate(self.log, self.step)
        self.log.numbers({"step": self.step, "validation": True, **figures})
        return figures


def check_resumption(folder: Path, resume: bool) -> None:
    """Raises InputError if there is a checkpoint that nobody asked for, or none to resume from."""
    checkpoint = folder / CHECKPOINT
    if checkpoint.exists() and not resume:
        raise InputError(f"{checkpoint}: exists already; resume, or train into another folder")
    if resume and not checkpoint.exists():
        raise InputError(f"{checkpoint}: no checkpoint to resume from")


class _evaluating:
    """Modules in evaluation mode, without gradients."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._modules = modules
        self._gradients = torch.no_grad()

    def __enter__(self) -> None:
        self._gradients.__enter__()
        for module in self._modules:
            module.eval()

    def __exit__(self, *error: Any) -> None:
        for module in self._modules:
            module.train()
        self._gradients.__exit__(*error)


class _Clock:
    """Seconds of training, from `before` on."""

    def __init__(self, before: float) -> None:
        self._zero = time.monotonic() - before

    def seconds(self) -> float:
        return time.monotonic() - self._zero
