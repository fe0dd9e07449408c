"""`evc decode`: from .evc to a sound file."""

from __future__ import annotations

import click

import evc
from evc.cli.common import input_file, naming, output_file, progress_bar, refuse_same, time_text


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "--start", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS", help="Decode from here."
)
@click.option("--duration", type=click.FloatRange(min=0), metavar="SECONDS", help="Decode this much.")
@click.option(
    "--salvage", is_flag=True, help="Recover what a damaged file still holds; lost spans are silent."
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def decode(
    source: str, target: str, start: float, duration: float | None, salvage: bool, force: bool
) -> None:
    """Decode the .evc file IN to the sound file OUT.

    The extension of OUT says which format to write: .wav, .flac or another that libsndfile writes; samples
    have the type they had in the source. "-" reads standard input, or writes WAV to standard output.
    """
    refuse_same(source, target)
    output = output_file(target, force)
    with naming(source, target), progress_bar("decoding") as progress:
        damage = evc.decode_file(
            input_file(source),
            output,
            start=start,
            duration=duration,
            salvage=salvage,
            overwrite=force,
            progress=progress,
        )
    if salvage:
        _report(damage)


def _report(damage: list[evc.DamagedSpan]) -> None:
    if not damage:
        click.echo("no damage in what was decoded", err=True)
    for span in damage:
        begin, end = time_text(span.seconds[0]), time_text(span.seconds[1])
        click.echo(
            f"lost {begin} to {end} (frames {span.start} to {span.start + span.frames}): {span.reason}",
            err=True,
        )
