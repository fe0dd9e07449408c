"""`evc train track`: a small network for one track, and what it is worth as a codec for that track alone."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from evc.cli.common import (
    PATH,
    TIME,
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
from evc.format.errors import InputError, OutputError
from evc.streaming import check_readable, seekable_output

if TYPE_CHECKING:
    from evc.models.arrays import Signal
    from evc.models.track.autoencoder import Autoencoder, Track
    from evc.models.track.points import Point

_POINTS = f"{'':26s} {'kbit/s':>10s} {'of network':>10s} {'features':>8s} {'SNR':>9s} {'mel':>6s} {'tonal':>6s}"
_KINDS = {"exact": "features as they are", "rounded": "rounded", "fitted": "fitted with bits"}


@click.command(
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
    these bits in its loss. All bytes count, those of the network too, and what is measured was decoded from them: SNR
    in dB, mel distance (lower is better), tonal similarity (to 1).

    The film is of the loudest of some segments that is stereo too: in grey the sound, in red what is made of it.
    It needs a part that is not installed by default: pip install 'evc[report]'.
    """
    from evc.models.device import one_thread
    from evc.models.track import points

    target = None if picture is None else _film_file(source, picture, force)
    with naming(source), one_thread():
        heard, samplerate = _track(source, start, seconds)
        network = _fitted(heard, steps, seed, target)
        found: list[Point] = []
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
    if not os.path.isdir(os.path.dirname(os.path.abspath(picture))):
        raise OutputError(f"{picture}: cannot be written (no such file or directory)")
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
