"""`evc train`: networks from a folder of audio, or from one track."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evc.cli.common import (
    PATH,
    TIME,
    SuggestingGroup,
    examples,
    input_file,
    naming,
    output_file,
    print_json,
    progress_bar,
    refuse_same,
    size_text,
    time_text,
)
from evc.format.errors import InputError
from evc.streaming import check_readable, seekable_output

if TYPE_CHECKING:
    from evc.models.arrays import Signal
    from evc.models.track.autoencoder import Autoencoder, Track
    from evc.models.track.points import Point

CONFIG_NAMES = ("small", "base")
_POINTS = f"{'':26s} {'kbit/s':>10s} {'of network':>10s} {'features':>8s} {'SNR':>9s} {'mel':>6s} {'tonal':>6s}"
_KINDS = {"exact": "features as they are", "rounded": "rounded", "fitted": "fitted with bits"}
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
        "evc train track song.flac --picture song.gif",
    ),
)
def train() -> None:
    """Train a network on a folder of audio: that of the event layer, or those of the latent layer. Or a small one on a
    single track, to see what that is worth."""


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


@train.command(
    epilog=examples(
        "evc train track song.flac --picture song.gif", "evc train track song.flac --start 1:00 --seconds 30 --json"
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.option("--picture", type=PATH, metavar="FILM.gif", help="Show there how the network learns a moment of FILE.")
@click.option("--start", type=TIME, default=0.0, metavar="TIME", help="Learn from here: seconds, or as 1:30.5.")
@click.option("--seconds", type=TIME, metavar="TIME", help="Learn this much, by default all that follows.")
@click.option("--steps", type=click.IntRange(min=1), default=150, show_default=True, metavar="N", help="Of the fit.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of all that is random; default 0.")
@click.option("-f", "--force", is_flag=True, help="Replace a film that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def track(
    source: str, picture: str | None, start: float, seconds: float | None, steps: int, seed: int, force: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Fit a small network to one track, and measure what it is worth as a codec for that track alone.

    A demonstration: nothing else reads what is coded here. The network makes 64 features of the sound, at a quarter of
    its rate, and sound of these again. It is measured with features as they are, far more data than the track itself;
    with features that are rounded and entropy-coded; and fitted further, a third as many steps for each rate, with
    these bits in its loss. All bytes count, those of the network too, and what is measured was decoded from them:
    SNR in dB, mel distance (lower is better), tonal similarity (to 1).

    The film is of the loudest of some segments that is stereo too: in grey the sound, in red what is made of it.
    It needs a part that is not installed by default: pip install 'evc[report]'.
    """
    from evc.models.device import one_thread
    from evc.models.track import points

    target = None if picture is None else _film_file(source, picture, force)
    with naming(source), one_thread():
        heard, samplerate = _track(source, start, seconds)
        network = _fitted(heard, steps, seed, target)
        found = []
        with progress_bar("Fitting with bits", files=True) as progress:
            for point in points.points(network, heard, samplerate, max(steps // 3, 1), seed, progress):
                if not as_json:
                    click.echo(_point_text(point) if found else f"{_POINTS}\n{_point_text(point)}")
                found.append(point)
    channels, frames = heard.audio.shape
    about = {"file": source, "start": start, "seconds": frames / samplerate, "samplerate": samplerate}
    if as_json:
        listed = [asdict(point) for point in found]
        print_json(about | {"channels": channels, "steps": steps, "seed": seed, "points": listed})
    elif picture is not None:
        click.echo(f"{picture}: {size_text(os.path.getsize(picture))}")


def _film_file(source: str, picture: str, force: bool) -> Any:
    from evc.models.track.film import check_parts

    if not picture.lower().endswith(".gif"):
        raise click.UsageError("the film is an animated GIF: --picture FILM.gif")
    refuse_same(source, picture)
    check_parts()
    return output_file(picture, force)


def _track(source: str, start: float, seconds: float | None) -> tuple[Track, int]:
    """What is to be learned, and its sample rate."""
    from evc.models.track.autoencoder import scaled
    from evc.sound.source import FileSource

    check_readable(file := input_file(source))
    with FileSource(file) as sound:
        first = round(start * sound.samplerate)
        if first >= sound.frames:
            raise InputError(f"nothing to learn: the file is {time_text(sound.frames / sound.samplerate)} long")
        count = sound.frames if seconds is None else round(seconds * sound.samplerate)
        return scaled(sound.read(first, count)), sound.samplerate


def _fitted(heard: Track, steps: int, seed: int, target: Any) -> Autoencoder:
    """The network of the founding experiment, and its film where one is asked for."""
    from evc.models.track.autoencoder import fit, watched_segment
    from evc.models.track.film import film

    states: list[Signal] = []
    with progress_bar("Fitting", files=True) as progress:
        network = fit(heard, steps, seed, progress, None if target is None else states.append)
    if target is not None:
        with seekable_output(target) as output:
            output.write(film(watched_segment(heard, seed), states))
    return network


def _point_text(point: Point) -> str:
    name = _KINDS[point.kind] + ("" if point.step is None else f", step {point.step:g}")
    figures = f"{point.kbps:10.1f} {point.network_kbps:10.2f} {point.features:8d} {point.snr:6.1f} dB"
    return f"{name:26s} {figures} {point.mel:6.2f} {point.tonal:6.3f}"


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
