"""`evc edit`: a new .evc file with other events."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

import evc
from evc.cli.common import PATH, SHIFT, TIME, examples, input_file, naming, output_file, refuse_same, size_text
from evc.format.errors import EvcError
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.events import EventList


@click.command(
    epilog=examples(
        "evc edit song.evc higher.evc --transpose 5",
        "evc edit song.evc part.evc --from 1:30 --to 2:00 --shift -90  # half a minute, moved to the beginning",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.argument("target", type=PATH, metavar="OUT")
@click.option("--from", "start", type=TIME, metavar="TIME", help="Only events from here on: seconds, or as 1:30.5.")
@click.option("--to", "end", type=TIME, metavar="TIME", help="Only events before this.")
@click.option("--randomize-vectors", is_flag=True, help="Other sounds at the same moments.")
@click.option("--randomize-times", is_flag=True, help="The same sounds at random moments.")
@click.option(
    "--perturb", type=click.FloatRange(min=0), metavar="S",
    help="Move all vectors by one random vector of this size: 0.05 is small, 1 is another piece.",
)  # fmt: skip
@click.option("--transpose", type=float, metavar="ST", help="Move all pitches by so many semitones; fractions may be.")
@click.option("--shift", type=SHIFT, metavar="TIME", help="Move all events by this time, back if negative.")
@click.option("--merge", "other", type=PATH, metavar="FILE2", help="Add the events of another file.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of all that is random.  [default: 0]")
@click.option("-f", "--force", is_flag=True, help="Replace OUT if it exists.")
def edit(
    source: str,
    target: str,
    randomize_vectors: bool,
    randomize_times: bool,
    perturb: float | None,
    transpose: float | None,
    shift: float | None,
    start: float | None,
    end: float | None,
    other: str | None,
    seed: int,
    force: bool,
) -> None:
    """Write the .evc file FILE to OUT with other events.

    Everything else in the file stays: its length, tags, noise, spectrum and patterns. Several changes may be asked for;
    they are made in the order in which they are listed here. Events that come to lie outside the file are left out.

    The same --seed gives the same file. Listen with: evc decode OUT out.wav
    """
    refuse_same(source, target)
    with ExitStack() as stack:
        with naming(source, target):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
            events = file.events
            if not len(events) and other is None:
                raise EvcError("has no events to edit")
            events = events[(events.times >= (start or 0)) & (events.times < (math.inf if end is None else end))]
            if randomize_vectors:
                events = events.randomized_vectors(seed)
            if randomize_times:
                events = events.randomized_times(seed)
            if perturb:
                events = events.perturbed(perturb, seed)
            if transpose:
                events = events.transposed(transpose)
            if shift:
                events = events.shifted(shift)
        if other is not None:
            events = events.merged(_events_of(other))
        output = output_file(target, force)
        with naming(source, target):
            evc.write_events(output, events, file, overwrite=force)
        if isinstance(output, str):
            _report(target)


def _events_of(source: str) -> EventList:
    with naming(source), seekable_input(input_file(source)) as binary, evc.open(binary) as file:
        return file.events


def _report(target: str) -> None:
    with naming(target), evc.open(target) as file:
        count = len(file.events)
        size = size_text(file.file_bytes)
    click.echo(f"{target}: {count} event{'' if count == 1 else 's'}, {size}")
