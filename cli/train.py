"""`evc train`: networks from a folder of audio, or from one track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from evc.cli.common import SuggestingGroup, examples, print_json, progress_bar, size_text
from evc.cli.train_track import track

CONFIG_NAMES = ("small", "base")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_OPTIONS = (
    click.argument("folder", type=_FOLDER, metavar="FOLDER"),
    click.option(
        "--config", "name", type=click.Choice(CONFIG_NAMES), default="small", show_default=True,
        help="small: an hour or so on two CPU cores. base: for a GPU.",
    ),
    click.option(
        "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
        help="Where weights, checkpoint and log go.",
    ),
    click.option("--resume", is_flag=True, help="Go on from the checkpoint in DIR."),
    click.option(
        "--steps", type=click.IntRange(min=0), metavar="N", help="Train for N steps, not as many as the config."
    ),
    click.option(
        "--minutes", type=click.FloatRange(min=0, min_open=True), metavar="M",
        help="Train for M minutes in all, however many steps these are.",
    ),
    click.option(
        "--pause", type=click.FloatRange(min=0, min_open=True), metavar="M",
        help="Stop after M minutes, to be resumed with the same options.",
    ),
    click.option(
        "--scale", type=click.IntRange(min=1), metavar="N",
        help="Batches N times as large as the config's; by default as a trial tells, on a GPU.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of all that is random; default 0."
    ),
    click.option(
        "--start", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
        help="Weights to go on from: for events, of a generator.",
    ),
    click.option(
        "--exclude", type=_FOLDER, metavar="DIR",
        help="Leave out works that occur in DIR too, by name or by a manifest.",
    ),
    click.option("--skip", multiple=True, metavar="WORD", help="Leave out files whose names contain WORD; repeatable."),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to train."),
    click.option("--json", "as_json", is_flag=True, help="Print the figures of the validation as JSON."),
)  # fmt: skip


@click.group(
    cls=SuggestingGroup,
    epilog=examples(
        "evc train events MUSIC --out run",
        "evc train latents MUSIC --out run --exclude MEASURED",
        "evc train timbre MUSIC --out run",
        "evc train track song.flac --picture song.gif",
    ),
)
def train() -> None:
    """Train a network on a folder of audio: that of the event layer, those of the latent layer, that of timbres. Or a
    small one on a single track, to see what that is worth."""


train.add_command(track)


def _trains(*lines: str) -> Callable[[Callable[..., None]], click.Command]:
    """Makes a command of `train`, with the options that all of them have; `lines` are examples."""

    def made(command: Callable[..., None]) -> click.Command:
        for option in reversed(_OPTIONS):
            command = option(command)
        return train.command(epilog=examples(*lines))(command)

    return made


@_trains(
    "evc train events MUSIC --out run --exclude MEASURED",
    "evc train events MUSIC --out run --exclude MEASURED --resume  # goes on where it was interrupted",
)
def events(folder: Path, name: str, out: Path, as_json: bool, **options: Any) -> None:
    """Train the network of the event layer on the sound files below FOLDER.

    DIR receives the weights of the generator and of the encoder, a checkpoint every few minutes, and a log: figures as
    JSON lines, now and then sounds and pictures. About an eighth of the works is kept for validation. A run that was
    interrupted and resumed ends as one that was not, unless it was measured in minutes.
    """
    from evc.models.events import train as training

    config = _long(training.CONFIGS[name], options)
    figures = training.train(folder, out, config, stages=partial(progress_bar, files=True), report=_report, **options)
    _print(figures, [out / training.GENERATOR_FILE, out / training.PROPOSER_FILE], as_json)


@_trains(
    "evc train latents MUSIC --out run --exclude MEASURED",
    "evc train latents MUSIC --config base --out run --minutes 24  # on a GPU, for as long as one has it",
)
@click.option("--excerpts", type=click.IntRange(min=1), metavar="N", help="Train on N excerpts, not the config's.")
@click.option("--describe", is_flag=True, help="Only describe the excerpts: for another machine to train on.")
def latents(
    folder: Path, name: str, out: Path, as_json: bool, excerpts: int | None, describe: bool, **options: Any
) -> None:
    """Train the networks of the latent layer on the sound files below FOLDER.

    First some hundred excerpts are described by events and noise, in all cores: some seconds each, 4 KB in
    DIR/descriptions. What is described is rendered to DIR/pairs, some 7 MB each. DIR receives the weights with the
    tables of their entropy coder, a checkpoint every few minutes, and a log: figures as JSON lines, now and then sounds
    and pictures. About a tenth of the works is kept for validation. A run that was interrupted and resumed ends as one
    that was not, unless it was measured in minutes. Weights of a run with --pause lack the tables; a command without
    it, or one with --start WEIGHTS --steps 0, fits them.
    """
    from evc.models.latents import train as training

    config = _long(training.CONFIGS[name], options)
    config = replace(config, pairs=replace(config.pairs, training=excerpts or config.pairs.training))
    stages = partial(progress_bar, files=True)
    if describe:
        training.describe(folder, out, config, options["exclude"], options["skip"], stages, _report)
        return
    figures = training.train(folder, out, config, stages=stages, report=_report, **options)
    _print(figures, [out / training.WEIGHTS_FILE], as_json)


@_trains(
    "evc train timbre MUSIC --out run --exclude MEASURED",
    "evc train timbre MUSIC --out run --clips  # only lists the clips, to be gone through in run/clips.csv",
)
@click.option("--clips", is_flag=True, help="Only list the clips: edit their column keep, then train.")
def timbre(folder: Path, name: str, out: Path, as_json: bool, clips: bool, **options: Any) -> None:
    """Train the network of the timbre layer on the sound files below FOLDER.

    Clips of two seconds are listed in DIR/clips.csv, with a score of how transient each is: those above 8 dB, in which
    something is struck, are not kept. The column keep, 1 or 0, may be edited before the training or between two of
    them; a list that is there is not made again. With --clips, DIR/clips.html plays the doubtful ones: K keeps, D
    drops, and the page saves the list.

    Drones are synthesised beside them. DIR receives the weights, a checkpoint every two minutes, and a log. About a
    tenth of the works is kept for validation.
    """
    from evc.models.timbre import train as training

    config = _long(training.CONFIGS[name], options)
    stages = partial(progress_bar, files=True)
    if clips:
        from evc.models.timbre.page import write_page

        _, listed, _ = training.listed(folder, out, options["exclude"], options["skip"], stages, _report)
        with stages("writing the page") as progress:
            page = write_page(folder, out, listed, progress)
        _report(f"{page}: the doubtful ones, to be heard")
        return
    figures = training.train(folder, out, config, stages=stages, report=_report, **options)
    _print(figures, [out / training.WEIGHTS_FILE], as_json)


def _long(config: Any, options: dict[str, Any]) -> Any:
    """A configuration with the seed and the length that the options, which lose them, ask for."""
    seed, steps, minutes = (options.pop(name) for name in ("seed", "steps", "minutes"))
    steps = config.loop.steps if steps is None else steps
    return replace(config, loop=replace(config.loop, seed=seed, steps=steps, minutes=minutes))


def _report(line: str) -> None:
    click.echo(line, err=True)


def _print(figures: dict[str, float], files: list[Path], as_json: bool) -> None:
    """The figures of the validation, and what was written."""
    if as_json:
        print_json(figures)
        return
    for figure, value in figures.items():
        click.echo(f"{figure:20s} {value:8.4f}")
    for file in files:
        click.echo(f"{file}: {size_text(file.stat().st_size)}")
