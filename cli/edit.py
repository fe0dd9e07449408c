"""`evc edit`: a new .evc file with other events, or another path of timbres."""

from __future__ import annotations

import io
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

import evc
from evc.cli.common import PATH, SHIFT, TIME, examples, input_file, naming, output_file, refuse_same, size_text
from evc.format.errors import EvcError
from evc.streaming import PathOrFile, seekable_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evc.events import EventList
    from evc.file import EvcFile
    from evc.timbres import TimbrePath


@click.command(
    epilog=examples(
        "evc edit song.evc higher.evc --transpose 5",
        "evc edit song.evc part.evc --from 1:30 --to 2:00 --shift -90  # half a minute, moved to the beginning",
        "evc edit drone.evc alive.evc --wiggle 0.5 --stretch 2  # a path of timbres: coiled, and half as fast",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.argument("target", type=PATH, metavar="OUT")
@click.option("--from", "start", type=TIME, metavar="TIME", help="Only what begins from here on: seconds, or 1:30.5.")
@click.option("--to", "end", type=TIME, metavar="TIME", help="Only what begins before this.")
@click.option("--randomize-vectors", is_flag=True, help="Other sounds at the same moments.")
@click.option("--randomize-times", is_flag=True, help="The same sounds at random moments; events only.")
@click.option(
    "--perturb", type=click.FloatRange(min=0), metavar="S",
    help="Move all vectors by one random vector of this size: 0.05 is small, 1 is another piece.",
)  # fmt: skip
@click.option("--transpose", type=float, metavar="ST", help="Move all pitches by so many semitones; fractions may be.")
@click.option(
    "--wiggle", type=click.FloatRange(min=0), metavar="S",
    help="Coil the path of timbres around itself, so far: 0.2 is gentle, 1 is wild.",
)
@click.option(
    "--stretch", type=click.FloatRange(min=0, min_open=True), metavar="F", help="Make the path F times as slow."
)
@click.option("--shift", type=SHIFT, metavar="TIME", help="Move all by this time, back if negative.")
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
    wiggle: float | None,
    stretch: float | None,
    shift: float | None,
    start: float | None,
    end: float | None,
    other: str | None,
    seed: int,
    force: bool,
) -> None:
    """Write the .evc file FILE to OUT with other events, and another path of timbres if it has one.

    Everything else in the file stays: its length, tags, noise, spectrum and patterns. Several changes may be asked for;
    they are made in the order in which they are listed here. Events and points that come to lie outside the file are
    left out.

    The same --seed gives the same file. Listen with: evc decode OUT out.wav
    """
    refuse_same(source, target)
    sizes = {"--perturb": perturb, "--transpose": transpose, "--wiggle": wiggle, "--stretch": stretch}
    for option, size in sizes.items():
        if size is not None and not math.isfinite(size):
            raise click.UsageError(f"{option} takes a finite number, not {size}")
    with ExitStack() as stack:
        with naming(source, target):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
            events, path = file.events, file.timbres
            if not len(events) and not len(path) and other is None:
                raise EvcError("has neither events nor timbres to edit")
            if (wiggle or stretch) and not len(path):
                raise EvcError("has no timbres: --wiggle and --stretch are for files of evc encode --hints timbre")
            events = events[_within(events.times, start, end)]
            path = path[_within(path.times, start, end)]
            if randomize_vectors:
                events, path = events.randomized_vectors(seed), path.randomized_vectors(seed)
            if randomize_times:
                events = events.randomized_times(seed)
            if perturb:
                events, path = events.perturbed(perturb, seed), path.perturbed(perturb, seed)
            if transpose:
                events, path = events.transposed(transpose), path.transposed(transpose)
            if wiggle:
                path = path.wiggled(wiggle, seed=seed)
            if stretch:
                path = path.stretched(stretch)
            if shift:
                events, path = events.shifted(shift), path.shifted(shift)
        if other is not None:
            events = events.merged(_events_of(other))
        output = output_file(target, force)
        with naming(source, target):
            _write(output, events, path, file, force)
        if isinstance(output, str):
            _report(target)


def _within(times: NDArray[np.float64], start: float | None, end: float | None) -> NDArray[np.bool_]:
    return (times >= (start or 0)) & (times < (math.inf if end is None else end))


def _write(output: PathOrFile, events: EventList, path: TimbrePath, file: EvcFile, force: bool) -> None:
    if "timbre" not in file.layers:
        evc.write_events(output, events, file, overwrite=force)
    elif not len(events) and not len(file.events):
        evc.write_timbres(output, path, file, overwrite=force)
    else:
        with io.BytesIO() as half:
            evc.write_events(half, events, file)
            half.seek(0)
            with evc.open(half) as between:
                evc.write_timbres(output, path, between, overwrite=force)


def _events_of(source: str) -> EventList:
    with naming(source), seekable_input(input_file(source)) as binary, evc.open(binary) as file:
        if len(file.timbres):
            raise EvcError("has timbres, and --merge adds events only")
        return file.events


def _report(target: str) -> None:
    with naming(target), evc.open(target) as file:
        layers = {"events": (len(file.events), "event"), "timbre": (len(file.timbres), "point")}
        counts = [layers[layer] for layer in ("events", "timbre") if layer in file.layers] or [(0, "event")]
        size = size_text(file.file_bytes)
    told = [f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts]
    click.echo(f"{target}: {', '.join(told)}, {size}")
