"""The training loop: steps, schedule, mixed precision, checkpoints that resume exactly, validation, log.

What happens in a step is a function of the weights, the optimisers, the seed and the number of the step: all random
numbers come from generators seeded with the last two. So a checkpoint holds the first two and the step, and a run that
was interrupted ends with the weights of one that was not (on the same machine and number of threads).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from evc.errors import InputError
from evc.models.training.log import TrainingLog

CHECKPOINT = "checkpoint.pt"
_VERSION = 1

Progress = Callable[[float, float], None]
Batch = TypeVar("Batch")
Item = TypeVar("Item")


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train."""

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

    def rate(self, step: int) -> float:
        """The factor of the learning rate at a step: a linear rise, then half a cosine."""
        rise = min(1.0, (step + 1) / max(1, self.warm_up))
        fall = 0.5 + 0.5 * math.cos(math.pi * min(1.0, step / self.steps))
        return rise * (self.final_share + (1 - self.final_share) * fall)


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step, for NumPy and for torch on the CPU."""

    numpy: np.random.Generator
    torch: torch.Generator

    @classmethod
    def of(cls, seed: int, step: int) -> Draws:
        numpy = np.random.default_rng((seed, step))
        return cls(numpy, torch.Generator().manual_seed(int(numpy.integers(1 << 62))))


class Task(Protocol[Batch]):
    """What is trained. `players` are modules with an optimiser each: the network, and perhaps a discriminator."""

    players: Mapping[str, nn.Module]

    def batch(self, draws: Draws, step: int) -> Batch:
        """Data of a step, on the device it is used on. Called in a thread of its own, while the step before is made."""

    def losses(self, batch: Batch, draws: Draws, step: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The loss that each player minimises, in the order of their steps, and figures for the log. The loss of a
        player must not depend on the parameters of an earlier one (detach what that one made)."""

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
        self.step = 0
        self.seconds = 0.0  # of training, earlier runs included
        self.optimisers = {
            name: torch.optim.AdamW(
                task.parameter_groups(name), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay
            )
            for name in task.players
        }

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def resume(self) -> None:
        """Go on from the checkpoint. Raises InputError if there is none or it belongs to other settings."""
        try:
            state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise InputError(f"{self.checkpoint}: no checkpoint to resume from") from error
        if state["version"] != _VERSION or state["settings"] != asdict(self.settings):
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
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def run(self, progress: Progress | None = None, until: int | None = None) -> dict[str, float]:
        """Train to the last step, or to step `until`; save, and return the figures of a last validation."""
        last = self.settings.steps if until is None else min(until, self.settings.steps)
        with _Ahead(self._drawn, self.step, last) as drawn:
            self._run(drawn, last, progress)
        self.save()
        return self._validate()

    def _run(self, drawn: _Ahead[tuple[Batch, Draws]], last: int, progress: Progress | None) -> None:
        clock = _Clock(self.seconds)
        saved = validated = clock.seconds()
        sums = _Sums()
        while self.step < last:
            sums.add(self._train(*drawn.next()))
            self.seconds = clock.seconds()
            if progress is not None:
                progress(self.step, self.settings.steps)
            if self.step % self.settings.report_steps == 0:
                self._report(sums.means())
                sums = _Sums()
            if self.seconds - saved > 60 * self.settings.checkpoint_minutes:
                self.save()
                saved = clock.seconds()
            if self.seconds - validated > 60 * self.settings.validation_minutes:
                self._validate()
                validated = clock.seconds()

    def _drawn(self, step: int) -> tuple[Batch, Draws]:
        draws = Draws.of(self.settings.seed, step)
        return self.task.batch(draws, step), draws

    def _train(self, batch: Batch, draws: Draws) -> dict[str, float]:
        with self._precision():
            losses, figures = self.task.losses(batch, draws, self.step)
        for name, loss in losses.items():
            optimiser = self.optimisers[name]
            optimiser.zero_grad(set_to_none=True)  # also of what reached this player through an earlier one's loss
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.task.players[name].parameters(), self.settings.clip)
            if torch.isfinite(norm):
                self._adjust(optimiser)
                optimiser.step()
            figures |= {f"{name}.loss": float(loss.detach()), f"{name}.gradient": float(norm)}
        self.task.settle()
        self.step += 1
        return figures

    def _adjust(self, optimiser: torch.optim.Optimizer) -> None:
        for group in optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * self.settings.rate(self.step) * group.get("scale", 1.0)

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 where it helps, on a GPU; parameters, and whatever asks for it, stay in float32."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()

    def _report(self, figures: dict[str, float]) -> None:
        self.log.numbers({"step": self.step, "seconds": round(self.seconds, 1), **figures})

    def _validate(self) -> dict[str, float]:
        modules = list(self.task.players.values())
        with _evaluating(modules):
            figures = self.task.validate()
            self.task.illustrate(self.log, self.step)
        self.log.numbers({"step": self.step, "validation": True, **figures})
        return figures


class _Ahead(Generic[Item]):
    """Calls a function with the numbers from `first` up to `last`, in a thread that is one call ahead."""

    def __init__(self, make: Callable[[int], Item], first: int, last: int) -> None:
        self._make, self._number, self._last = make, first, last
        # A new thread would take all cores, whatever torch was told.
        self._thread = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(torch.get_num_threads(),))

    def __enter__(self) -> Self:
        self._submit()
        return self

    def next(self) -> Item:
        made = self._made.result()
        self._submit()
        return made

    def __exit__(self, *error: Any) -> None:
        self._thread.shutdown()

    def _submit(self) -> None:
        if self._number < self._last:
            self._made: Future[Item] = self._thread.submit(self._make, self._number)
            self._number += 1


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


class _Sums:
    """Means of figures over steps; one that a step lacks does not count there."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        return {name: float(np.mean(values)) for name, values in self._items()}

    def _items(self) -> Iterator[tuple[str, list[float]]]:
        return iter(self._values.items())
