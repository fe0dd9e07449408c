"""A short trial before a training run on a GPU: how fast steps are, what they wait for, how large batches should be."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from threading import Event, Thread
from typing import Any, Self

import torch

from evc.models.training.dataset import Report
from evc.models.training.loop import Loop, LoopSettings, Task

TRIAL = "trial.json"
SCALES = (1, 2, 4)  # of the batch
SECONDS = 12.0  # of each
WARM_UP = 5  # steps that do not count
PAYS = 1.2  # times as many excerpts per second, for batches of twice the size
LATER = 0.5  # the share of the training as which steps are tried: every part of it takes part by then
_SAMPLED = 1.0  # seconds between looks at the GPU


@dataclass(frozen=True)
class Trial:
    """What steps with batches of `scale` times the size are like. `waiting`, the share of the time in which the GPU
    waits for data; `busy`, that in which it works, or None if nobody tells; `gigabytes` of its memory."""

    scale: int
    steps_per_second: float
    waiting: float
    busy: float | None
    gigabytes: float
    loss: float


def chosen_scale(
    task: Callable[[int], Task[Any]], settings: LoopSettings, folder: Path, device: torch.device,
    asked: int | None = None, first: int = 0, report: Report | None = None,
) -> int:  # fmt: skip
    """How many times larger batches should be than those of the configuration: as a note in `folder` says; if there is
    none, as `asked`, or on a GPU as trials tell that begin with step number `first`, or 1. That is noted then."""
    note = folder / TRIAL
    if not note.exists():
        found: list[Trial] = []
        if asked is None and device.type == "cuda":
            if report is not None:
                report(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}")
            found = tried(lambda scale: Loop(task(scale), settings, folder, device), first, SECONDS, report)
        scale = asked or (best(found) if found else 1)
        values = {"scale": scale, "trials": [asdict(trial) for trial in found]}
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return int(json.loads(note.read_text(encoding="utf-8"))["scale"])


def tried(loop: Callable[[int], Loop[Any]], first: int, seconds: float, report: Report | None = None) -> list[Trial]:
    """Trials of growing batches, as long as growing pays and memory suffices."""
    found: list[Trial] = []
    for scale in SCALES:
        try:
            found.append(_measured(loop(scale), scale, first, seconds))
        except torch.cuda.OutOfMemoryError:
            break
        finally:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        if report is not None:
            report(_line(found[-1]))
        if best(found) != scale:
            break
    return found


def best(trials: list[Trial]) -> int:
    """The largest scale up to which growing pays."""
    scale, speed = trials[0].scale, trials[0].scale * trials[0].steps_per_second
    for trial in trials[1:]:
        if trial.scale * trial.steps_per_second < PAYS * speed:
            break
        scale, speed = trial.scale, trial.scale * trial.steps_per_second
    return scale


def _measured(loop: Loop[Any], scale: int, first: int, seconds: float) -> Trial:
    loop.step = first
    if loop.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(loop.device)
    with loop.drawn() as drawn:
        for _ in range(WARM_UP):
            loop.train(*drawn.next(), LATER)
        _wait(loop.device)
        begun, drawn.waited, steps, losses = time.monotonic(), 0.0, 0, []
        with _Utilisation(loop.device) as utilisation:
            while time.monotonic() - begun < seconds or not steps:
                losses.append(loop.train(*drawn.next(), LATER)["network.loss"])
                steps += 1
            _wait(loop.device)
        passed = time.monotonic() - begun
    memory = torch.cuda.max_memory_allocated(loop.device) / 1e9 if loop.device.type == "cuda" else 0.0
    return Trial(scale, steps / passed, drawn.waited / passed, utilisation.mean, memory, float(losses[-1]))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _line(trial: Trial) -> str:
    busy = "" if trial.busy is None else f", GPU busy {trial.busy:.0%}"
    return (
        f"batches x{trial.scale}: {trial.steps_per_second:.1f} steps/s, waiting for data {trial.waiting:.0%}{busy}, "
        f"{trial.gigabytes:.1f} GB, loss {trial.loss:.3f}"
    )


class _Utilisation:
    """Looks at the GPU now and then, as nvidia-smi sees it."""

    def __init__(self, device: torch.device) -> None:
        self._looks: list[float] = []
        self._ended = Event()
        self._thread = Thread(target=self._look, daemon=True) if device.type == "cuda" else None

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def mean(self) -> float | None:
        return fmean(self._looks) if self._looks else None

    def _look(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._ended.wait(_SAMPLED):
            try:
                said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
                self._looks.append(float(said.splitlines()[0]) / 100)
            except (OSError, ValueError, IndexError, subprocess.SubprocessError):
                return
