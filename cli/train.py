"""`evc train`: networks from a folder of audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from evc.cli.common import print_json, progress_bar, size_text

CONFIG_NAMES = ("small", "base")


@click.group()
def train() -> None:
    """Train a network on a folder of audio."""


@train.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER")
@click.option(
    "--config", "name", type=click.Choice(CONFIG_NAMES), default="small", show_default=True,
    help="small: an hour or so on two CPU cores. base: for a GPU.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), required=True, metavar="DIR",
    help="Where weights, checkpoint and log go.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in DIR.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Train for N steps, not as many as the config.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of all that is random; default 0.")
@click.option(
    "--start", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Weights of a generator to go on from.",
)
@click.option(
    "--exclude", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="Leave out works that occur in DIR too, by name or by a manifest.",
)
@click.option("--skip", multiple=True, metavar="WORD", help="Leave out files whose names contain WORD; repeatable.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where to train.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures of the validation as JSON.")
def events(
    folder: Path, name: str, out: Path, resume: bool, steps: int | None, seed: int, start: Path | None,
    exclude: Path | None, skip: tuple[str, ...], device: str, as_json: bool,
) -> None:  # fmt: skip
    """Train the network of the event layer on the sound files below FOLDER.

    DIR receives the weights of the generator and of the encoder, a checkpoint every few minutes, and a log: figures as
    JSON lines, now and then sounds and pictures. About an eighth of the works is kept for validation. A run that was
    interrupted and resumed ends as one that was not.
    """
    from evc.models.events import train as training

    config = training.CONFIGS[name]
    loop = replace(config.loop, seed=seed, steps=steps or config.loop.steps)
    with progress_bar("training", files=True) as progress:
        figures = training.train(
            folder, out, replace(config, loop=loop), resume=resume, exclude=exclude, skip=skip, device=device,
            start=start, progress=progress, report=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    if as_json:
        print_json(figures)
    else:
        for figure, value in figures.items():
            click.echo(f"{figure:20s} {value:8.4f}")
        for file in (training.GENERATOR_FILE, training.PROPOSER_FILE):
            click.echo(f"{out / file}: {size_text((out / file).stat().st_size)}")
