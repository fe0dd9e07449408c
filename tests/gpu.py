"""A course of work for a machine with a GPU that is rented by the minute, in steps that each end by themselves.

    python tests/gpu.py prepare MUSIC --exclude MEASURED    # anywhere: what travels, 25 MB of music and descriptions
    python tests/gpu.py run --minutes 8                     # there, again and again: the next steps, 280 s of them
    python tests/gpu.py run --rehearse                      # anywhere: the whole course in a few minutes

The steps are: the tests of what runs on devices; training of the latent networks from the newest weights, with a trial
of batch sizes before it and the discriminator late; the tables of the entropy coder. After each call the folder `out`
holds what there is by then: weights, figures, pictures, the results of the tests. Says when all is done.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch

from evc.format.networks import weights
from evc.models.latents import train as training
from evc.models.latents.descriptions import PairSettings
from evc.models.latents.layout import LATENTS_NETWORK
from evc.models.latents.train import LatentTraining
from evc.models.training.dataset import scan
from evc.models.training.loop import CHECKPOINT, LoopSettings

HOME = Path("build/gpu")
TESTS = ("tests/test_devices.py", "tests/test_streams_latent.py")
MEGABYTES = 25.0  # of music that travels
LEAST = 30.0  # seconds that are left, for another step to begin
FITTING = 0.5  # of the minutes of training: what is left at the end for the tables, whose time is not known
NAMES = ("log.jsonl", "trial.json", training.WEIGHTS_FILE)


@dataclass(frozen=True)
class Course:
    """What is prepared and trained in a folder."""

    home: Path
    config: LatentTraining

    @property
    def music(self) -> Path:
        return self.home / "music"

    @property
    def training(self) -> Path:
        return self.home / "run"

    @property
    def trained(self) -> Path:
        """What tells that training is at its end."""
        return self.home / "trained"

    @property
    def results(self) -> Path:
        return self.home / "tests.txt"


def course(home: Path, excerpts: int, rehearse: bool) -> Course:
    """That of the configuration for GPUs, or one as small as goes that leaves nothing out."""
    if not rehearse:
        base = training.CONFIGS["base"]
        return Course(home, replace(base, pairs=replace(base.pairs, training=excerpts)))
    loop = LoopSettings(steps=6, warm_up=1, report_steps=1, checkpoint_minutes=0.05, validation_minutes=0.2)
    pairs = PairSettings(training=3, validation=1, seconds=1.0, rates=(2.0,))
    small = LatentTraining(
        loop, pairs=pairs, batch=2, columns=8, rate_first=1, discriminator_from=0.4, discriminator_channels=4,
        validated_pairs=1, validated_columns=16, counted_excerpts=3, counting_steps=5,
    )  # fmt: skip
    return Course(home, small)


def chosen_music(folder: Path, target: Path, exclude: Path | None, megabytes: float, seed: int = 0) -> int:
    """Copy works, drawn by chance, as long as they fit; returns their number."""
    recordings = list(scan(folder, exclude, click.echo).entries)
    np.random.default_rng(seed).shuffle(recordings)  # type: ignore[arg-type]
    target.mkdir(parents=True, exist_ok=True)
    left, count = megabytes * 1e6, 0
    for recording in recordings:
        size = recording.path.stat().st_size
        if size <= left:
            shutil.copy(recording.path, target / recording.path.name)
            left, count = left - size, count + 1
    return count


def run_tests(results: Path) -> None:
    """Those of what runs on devices; the output is kept, and a failure ends the course."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], capture_output=True, text=True
    )
    click.echo(found.stdout[-2000:])
    if found.returncode:
        raise click.ClickException(f"the tests of devices fail:\n{found.stdout[-4000:]}{found.stderr[-2000:]}")
    results.write_text(found.stdout, encoding="utf-8")


def train(steps: Course, minutes: float, pause: float) -> bool:
    """Train for `pause` minutes at most, of `minutes` in all; returns whether that is the end."""
    config = replace(steps.config, loop=replace(steps.config.loop, minutes=minutes))
    figures = training.train(
        steps.music, steps.training, config, resume=(steps.training / CHECKPOINT).exists(),
        start=weights(LATENTS_NETWORK), pause=pause, stages=_stage, report=click.echo,
    )  # fmt: skip
    click.echo(json.dumps(figures))
    seconds = torch.load(steps.training / CHECKPOINT, map_location="cpu", weights_only=True)["seconds"]
    return bool(config.loop.share(0, seconds) >= 1)


def fit_tables(steps: Course) -> None:
    """Fit the tables of the entropy coder to the weights there are, which then are ready to be shipped."""
    tables = steps.home / "tables"
    shutil.rmtree(tables, ignore_errors=True)
    tables.mkdir(parents=True)
    for name in ("descriptions", "pairs"):
        (tables / name).symlink_to((steps.training / name).resolve(), target_is_directory=True)
    config = replace(steps.config, loop=replace(steps.config.loop, steps=0))
    training.train(
        steps.music, tables, config, start=steps.training / training.WEIGHTS_FILE, scale=1, stages=_stage,
        report=click.echo,
    )  # fmt: skip


def collect(steps: Course, out: Path) -> None:
    """Copy what there is to `out`: few files, each of them small enough to travel."""
    out.mkdir(parents=True, exist_ok=True)
    finished = steps.home / "tables" / training.WEIGHTS_FILE
    found = [steps.results, *(steps.training / name for name in NAMES), finished]
    pictures = sorted(steps.training.glob("*.png"))[-1:] + sorted(steps.training.glob("*.flac"))[-1:]
    for path in [*found, *pictures]:
        if path.exists():
            shutil.copy(path, out / path.name)  # the finished weights come last, in place of those without tables
    click.echo(f"{out}: " + ", ".join(sorted(path.name for path in out.iterdir())))


def _stage(name: str) -> nullcontext[None]:
    click.echo(f"{name} …")
    return nullcontext()


@click.group()
def main() -> None:
    """A course of work for a machine with a GPU."""


_HOME = click.option(
    "--home", type=click.Path(file_okay=False, path_type=Path), default=HOME, show_default=True, help="Where all lies."
)
_EXCERPTS = click.option("--excerpts", type=click.IntRange(min=1), default=450, show_default=True, metavar="N")
_REHEARSE = click.option("--rehearse", is_flag=True, help="As small as goes, on whatever there is.")


@main.command()
@click.argument("music", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--exclude", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Works to leave out.")
@click.option("--megabytes", type=float, default=MEGABYTES, show_default=True, help="Of music, at most.")
@_HOME
@_EXCERPTS
@_REHEARSE
def prepare(music: Path, exclude: Path | None, megabytes: float, home: Path, excerpts: int, rehearse: bool) -> None:
    """Choose music and describe excerpts of it: all that has to travel."""
    steps = course(home, excerpts, rehearse)
    count = chosen_music(music, steps.music, exclude, megabytes)
    training.describe(steps.music, steps.training, steps.config, stages=_stage, report=click.echo)
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 1e6
    click.echo(f"{home}: {count} works, {size:.1f} MB in all")


@main.command()
@click.option("--minutes", type=float, default=8.0, show_default=True, help="Of training in all; always the same.")
@click.option("--seconds", type=float, default=280.0, show_default=True, help="That this call takes, about.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where results go; default HOME/out.")
@_HOME
@_EXCERPTS
@_REHEARSE
def run(minutes: float, seconds: float, out: Path | None, home: Path, excerpts: int, rehearse: bool) -> None:
    """Do the next steps. What is done already is not done again."""
    begun, steps, out = time.monotonic(), course(home, excerpts, rehearse), out or home / "out"
    if rehearse:
        minutes, seconds = minutes / 60, max(seconds, 120.0)

    def left() -> float:
        return seconds - (time.monotonic() - begun)

    if not steps.music.is_dir():
        raise click.ClickException(f"{home} holds no music: prepare it first")
    try:
        if not steps.results.exists():
            run_tests(steps.results)
        if not steps.trained.exists() and left() > LEAST:
            if train(steps, minutes, (left() - LEAST / 2) / 60):
                steps.trained.touch()
        if steps.trained.exists() and not (home / "tables" / training.WEIGHTS_FILE).exists():
            if left() > 60 * FITTING * minutes or left() > 0.8 * seconds:
                fit_tables(steps)
    finally:
        collect(steps, out)
    done = (home / "tables" / training.WEIGHTS_FILE).exists()
    click.echo("all is done" if done else "there is more to do: call this again")


if __name__ == "__main__":
    main()
