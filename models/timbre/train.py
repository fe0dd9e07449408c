"""Training of the network of timbres: clips, drones, losses, validation, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evc.format import constants as c
from evc.format.errors import InputError
from evc.models.arrays import Floats, Signal
from evc.models.device import torch_device
from evc.models.timbre.clips import TABLE, Clip, survey
from evc.models.timbre.drones import SAMPLERATE, drone, pads, shifted
from evc.models.timbre.layout import TIMBRE_NETWORK
from evc.models.timbre.network import TimbreAutoencoder, save
from evc.models.timbre.spectra import CELLS, RANGE_DB, frequencies, measured, spectra_of, values_of
from evc.models.training.dataset import AudioFolder, Report, scan
from evc.models.training.log import TrainingLog
from evc.models.training.loop import Draws, Loop, LoopSettings, Losses, Stages, check_resumption
from evc.models.training.whole import whole

WEIGHTS_FILE = f"{TIMBRE_NETWORK}.safetensors"
DRONES = "drones.npz"
AUDIBLE_DB = 60.0  # below the strongest cell
_VALIDATION_SHARE = 0.1
_STARTING, _ORDERING = 1_000_003, 1_000_004  # tell the random numbers of what is drawn beside steps
_VALIDATED = 600  # spectra


@dataclass(frozen=True)
class Variety:
    """What is done to spectra before they are learned from: moves, in semitones either way; a second sound beside, how
    often and how much below; a smooth gain over frequency, how often and in dB; how often nothing is left above some
    frequency, as at lower sample rates."""

    semitones: float = 12.0
    beside: float = 0.25
    below: float = 20.0
    curved: float = 0.5
    curve: float = 8.0
    dull: float = 0.2


@dataclass(frozen=True)
class TimbreTraining:
    """What is trained and how. `divergence` is the weight of a nat against squared dB: how sharp the space is."""

    loop: LoopSettings
    variety: Variety = field(default_factory=Variety)
    batch: int = 32
    starting: int = 3000  # spectra of which the best linear network is made
    drones: int = 800
    pads: int = 12
    synthetic: float = 0.3  # of what is learned from
    divergence: float = 0.06
    inaudible: float = 0.5  # weight of cells that are not heard


CONFIGS = {
    "small": TimbreTraining(LoopSettings(steps=5000, warm_up=100, checkpoint_minutes=2, validation_minutes=6)),
    "base": TimbreTraining(
        LoopSettings(steps=30_000, warm_up=300, bfloat16=False, checkpoint_minutes=2, validation_minutes=2),
        batch=256, drones=20_000,
    ),
}  # fmt: skip


class TimbreTask:
    """The network of timbres, as the loop trains it. Spectra are given as values [n, CELLS]."""

    def __init__(
        self, training: Signal, synthetic: Signal, validation: Signal, config: TimbreTraining, device: torch.device
    ) -> None:
        self.training, self.synthetic, self.validation = training, synthetic, validation
        self.config, self.device = config, device
        torch.manual_seed(config.loop.seed)
        self.model = TimbreAutoencoder()
        draws = Draws.of(config.loop.seed, _STARTING)
        self.model.start(self._drawn(draws.numpy, config.starting))
        self.model.to(device)
        self.players: Mapping[str, nn.Module] = {"network": self.model}

    def parameter_groups(self, player: str) -> list[dict[str, object]]:
        return [{"params": list(self.model.parameters())}]

    def settle(self) -> None:
        """Nothing: all parameters are free."""

    def batch(self, draws: Draws, step: int) -> Tensor:
        return torch.from_numpy(self._drawn(draws.numpy, self.config.batch)).to(self.device)

    def _drawn(self, random: np.random.Generator, count: int) -> Signal:
        """Values [count, CELLS] of spectra with some variety."""
        variety = self.config.variety
        found = np.stack([self._moved(random) for _ in range(count)])
        for row in found:
            if random.random() < variety.beside:
                row += self._moved(random) * 10 ** (-random.uniform(0, variety.below) / 10)
        octaves = np.log2(frequencies() / 1000)
        for row in found:
            if random.random() < variety.curved:
                waves = [np.cos(octaves * random.uniform(0.2, 2) + 7 * random.random()) for _ in range(3)]
                row *= 10 ** (variety.curve * (random.uniform(-1, 1, 3) @ np.stack(waves)) / 10)
            if random.random() < variety.dull:
                row[random.integers(CELLS // 2, CELLS) :] = 0
        return values_of(found)

    def _moved(self, random: np.random.Generator) -> Floats:
        drawn = self.synthetic if random.random() < self.config.synthetic and len(self.synthetic) else self.training
        most = round(self.config.variety.semitones * c.TIMBRE_CELLS_PER_OCTAVE / 12)
        cells = int(random.integers(-most, most + 1))
        return shifted(spectra_of(drawn[random.integers(len(drawn))]), cells)

    def losses(self, batch: Tensor, draws: Draws, step: int, share: float) -> Losses:
        place, spread = self.model.encode(batch)
        noise = torch.randn(place.shape, generator=draws.on(self.device)).to(self.device)
        found = self.model.decode(place + torch.exp(spread / 2) * noise)
        heard = audible(batch)
        weight = torch.where(heard, 1.0, self.config.inaudible)
        error = (torch.square(RANGE_DB * (found - batch)) * weight).sum(dim=1) / weight.sum(dim=1)
        divergence = _divergence(place, spread).sum(dim=1)
        loss = error.mean() + self.config.divergence * divergence.mean()
        figures = {"error": error.mean().sqrt().detach(), "divergence": divergence.mean().detach()}
        return Losses({"network": loss}, figures)

    def validate(self) -> dict[str, float]:
        """On clips of works that are not trained on: root mean square errors in dB over audible cells, as encoded and
        with vectors rounded as files have them; dimensions that are used; how smooth straight lines are."""
        values = torch.from_numpy(self.validation).to(self.device)
        place, spread = self.model.encode(values)
        step = 2.0 ** (c.DEFAULT_TIMBRE_STEP / c.TIMBRE_STEPS_PER_OCTAVE - 4)
        figures = {
            "rmse": audible_error(self.model.decode(place), values),
            "rmse.rounded": audible_error(self.model.decode(torch.round(place / step) * step), values),
            "dimensions": float((_divergence(place, spread).mean(dim=0) > 0.1).sum()),
            "divergence": float(_divergence(place, spread).sum(dim=1).mean()),
            "unevenness": self._unevenness(place),
        }
        return figures

    def _unevenness(self, place: Tensor) -> float:
        """Root mean square of second differences in dB along lines of eight steps between neighbours, over that of the
        first differences: 0 where decoding is linear."""
        ends = place[: len(place) // 2 * 2].reshape(-1, 2, c.TIMBRE_DIMENSIONS)[:32]
        along = torch.linspace(0, 1, 9, device=place.device)[None, :, None]
        line = ends[:, :1] * (1 - along) + ends[:, 1:] * along
        found = self.model.decode(line.flatten(0, 1)).unflatten(0, line.shape[:2])
        first, second = torch.diff(found, dim=1), torch.diff(found, n=2, dim=1)
        return float((second.square().mean() / first.square().mean()).sqrt())

    def illustrate(self, log: TrainingLog, step: int) -> None:
        """Spectra of the validation, and below them what becomes of them."""
        values = torch.from_numpy(self.validation[:: max(1, len(self.validation) // 64)][:64]).to(self.device)
        found = self.model.decode(self.model.encode(values)[0])
        picture = torch.cat([found, values]).clamp(0, 1).cpu().numpy()
        log.picture(f"{step:06d}-timbres", np.repeat(picture, 4, axis=0))

    def order(self) -> NDArray[np.intp]:
        """Dimensions by how much they tell of the spectra that are trained on, most first."""
        draws = Draws.of(self.config.loop.seed, _ORDERING)
        values = torch.from_numpy(self._drawn(draws.numpy, self.config.starting))
        with torch.no_grad():
            told = _divergence(*self.model.encode(values.to(self.device))).mean(dim=0)
        return np.argsort(-told.cpu().numpy())


def audible(values: Tensor) -> Tensor:
    """Which cells are heard."""
    return values >= values.max(dim=-1, keepdim=True).values - AUDIBLE_DB / RANGE_DB


def audible_error(found: Tensor, values: Tensor) -> float:
    """Root mean square error in dB over audible cells."""
    return float(torch.square(RANGE_DB * (found.clamp(0, 1) - values))[audible(values)].mean().sqrt())


def _divergence(place: Tensor, spread: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the prior in nats, by dimension."""
    return 0.5 * (place.square() + spread.exp() - 1 - spread)


def synthetic_values(out: Path, config: TimbreTraining) -> Signal:
    """Values of drones and pads, kept in `out`."""
    path = out / DRONES
    if not path.exists():
        random = np.random.default_rng((config.loop.seed, 7))
        clips = [*pads(random, config.pads), *(drone(random) for _ in range(config.drones))]
        values = [values_of(measured(clip, SAMPLERATE)) for clip in clips]
        np.savez(path, values=np.array(values, np.float16).reshape(len(values), CELLS))
    with np.load(path) as arrays:
        found: Signal = arrays["values"].astype(np.float32)
    return found


def train(
    folder: Path, out: Path, config: TimbreTraining, resume: bool = False, exclude: Path | None = None,
    skip: tuple[str, ...] = (), device: str = "auto", start: Path | None = None,
    stages: Stages = lambda name: nullcontext(), report: Report | None = None, pause: float | None = None,
    scale: int | None = None,
) -> dict[str, float]:  # fmt: skip
    """Train on the sound files below `folder`, and write the table of clips, weights and the log to `out`; returns
    figures of the validation. `exclude`: works that occur below it are left out; `start`: weights to go on from;
    `stages` shows the progress of each stage of the work, by its name; `pause`: after so many minutes; `scale`: batches
    so many times as large. Raises InputError if there is too little to train on, nothing to resume, or no such device.
    """
    chosen = torch.device(torch_device(device))
    check_resumption(out, resume)
    config = replace(config, batch=(scale or 1) * config.batch)
    recordings, clips, values = listed(folder, out, exclude, skip, stages, report)
    training, validation = split(recordings, clips, folder, config.loop.seed)
    with stages("synthesising drones"):
        synthetic = synthetic_values(out, config)
    chosen_rows = np.flatnonzero(validation)[:: max(1, int(validation.sum()) // _VALIDATED)]
    task = TimbreTask(values[training], synthetic, values[chosen_rows], config, chosen)
    if start is not None:
        task.model.load(start)
    loop = Loop(task, config.loop, out, chosen)
    if resume:
        loop.resume()
    with stages("training") as progress:
        figures = loop.run(progress, pause=pause)
    _save(task, out / WEIGHTS_FILE)
    return figures


def listed(
    folder: Path, out: Path, exclude: Path | None = None, skip: tuple[str, ...] = (),
    stages: Stages = lambda name: nullcontext(), report: Report | None = None,
) -> tuple[AudioFolder, list[Clip], Signal]:  # fmt: skip
    """The recordings below `folder`, their clips, and the values of these; the arguments are those of `train`."""
    recordings = scan(folder, exclude, report, skip)
    with stages("listening to clips") as progress:
        clips, values = survey(recordings.entries, folder, out, report, progress)
    if report is not None:
        kept = sum(clip.keep for clip in clips)
        report(f"{out / TABLE}: {len(clips)} clips, of which {kept} are kept")
    return recordings, clips, values


def split(
    recordings: AudioFolder, clips: Sequence[Clip], folder: Path, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks of the clips for training and for validation, none of works on the other side. Raises InputError if there
    are none."""
    held = {entry.path.relative_to(folder).as_posix() for entry in recordings.split(_VALIDATION_SHARE, seed)[1].entries}
    keep = np.array([clip.keep for clip in clips], bool)
    inside = np.array([clip.file in held for clip in clips], bool)
    if not (keep & ~inside).any() or not (keep & inside).any():
        raise InputError("too few sustained clips: at least one of a work to train on, and one of another, are needed")
    return keep & ~inside, keep & inside


def _save(task: TimbreTask, path: Path) -> None:
    with whole(path) as partial:
        save(task.model.tensors(task.order()), partial)
    path.chmod(0o644)
