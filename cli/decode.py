"""`evc decode`: from .evc to sound files."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli import batch
from evc.cli.common import (
    PATH,
    STANDARD,
    TIME,
    examples,
    gathered_warnings,
    input_file,
    naming,
    output_file,
    progress_bar,
    show_warning,
    size_text,
    time_text,
)
from evc.format.errors import EvcError
from evc.models.progress import Progress
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.exports.stems import Stem

_SHOWN_SPANS = 100  # lost or impaired ones of a file; an edit list may play a damaged segment thousands of times


@click.command(
    epilog=examples(
        "evc decode song.evc copy.flac --start 1:30 --duration 20  # a part of it, as FLAC",
        "evc decode encoded --recursive --out-dir music --format flac  # every .evc file below a folder",
        "evc decode song.evc --stems stems  # a WAV file for each layer; their sum is the song",
    )
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="IN... [OUT]")
@click.option("--start", type=TIME, default=0.0, metavar="TIME", help="Decode from here: seconds, or as 1:30.5.")
@click.option("--duration", type=TIME, metavar="TIME", help="Decode this much.")
@click.option(
    "--salvage", is_flag=True, help="Recover what a damaged file still holds; what is lost is silent."
)
@click.option(
    "--format", "name", metavar="EXT", help="wav, flac or another: the format of outputs without a name of their own."
)
@click.option(
    "--stems", "folder", type=click.Path(file_okay=False), metavar="DIR",
    help="Write each layer to a WAV file of its own in DIR; added up in the order of stems.json they are the whole.",
)  # fmt: skip
@click.option("--stem-patterns", is_flag=True, help="With --stems: a file for each pattern, in place of one for all.")
@batch.batch_options
def decode(
    paths: tuple[str, ...], start: float, duration: float | None, salvage: bool, name: str | None,
    folder: str | None, stem_patterns: bool, **common: Any,
) -> int:  # fmt: skip
    """Decode .evc files: IN becomes a WAV file of the same name, beside it.

    Several inputs may be given, and folders, whose .evc files are inputs. The last of several paths is an output if its
    extension says so: .wav, .flac or another that libsndfile writes, in that format. Samples have the type they had in
    the source. -o gives an output any such name, --out-dir puts all into a folder.

    "-" reads standard input, or at the end writes WAV to standard output.
    """
    options = batch.Options(**common)
    if folder is not None:
        return _decode_stems(paths, folder, start, duration, stem_patterns, options, salvage or name is not None)
    if stem_patterns:
        raise click.UsageError("--stem-patterns goes with --stems")
    ending = "." + (name or "wav").lower().removeprefix(".")
    kind = batch.Kind(frozenset([batch.ENDING]), ending, _names_output, ".evc files", "decoding", "decoded")
    plan = batch.planned(paths, kind, options)
    if name is not None:
        if any(os.path.splitext(job.target)[1] != ending for job in plan.jobs):
            raise click.UsageError(f"--format {name} is for outputs without a name of their own")
        _check_format(name, ending)
    work = partial(_decode_one, start=start, duration=duration, salvage=salvage, force=options.force)
    return batch.run(plan, kind, options, work, _show)


def _decode_stems(
    paths: tuple[str, ...], folder: str, start: float, duration: float | None, by_pattern: bool,
    options: batch.Options, others: bool,
) -> int:  # fmt: skip
    if others or len(paths) > 1 or options.output or options.out_dir or options.keep_times or options.skip_existing:
        raise click.UsageError("--stems takes one input, and besides --start, --duration, --force and --quiet")
    from evc.api import part_span
    from evc.exports.stems import INDEX, write_stems

    output_file(os.path.join(folder, INDEX), options.force)
    with ExitStack() as stack:
        notes = stack.enter_context(gathered_warnings(paths[0], folder))
        stack.enter_context(naming(paths[0], folder))
        file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(paths[0])))))
        part = part_span(file, start, duration)
        with progress_bar("decoding", quiet=options.quiet) as progress:
            stems = write_stems(
                file, folder, *part, by_pattern=by_pattern, overwrite=options.force, progress=progress
            )
    if not options.quiet:
        for note in notes:
            show_warning(note)
        click.echo(f"{folder}: {len(stems)} WAV file{'' if len(stems) == 1 else 's'}: {_names_text(stems)}")
    return 0


def _names_text(stems: list[Stem]) -> str:
    """Names of stems, those of patterns by their number."""
    patterns = sum(stem.pattern is not None for stem in stems)
    named = [f"{patterns} pattern{'' if patterns == 1 else 's'}"] if patterns else []
    return ", ".join(named + [stem.name for stem in stems if stem.pattern is None])


def _names_output(path: str) -> bool:
    """Whether the last of several paths is an output: by its extension, or because it is nothing yet and can be no
    input. If that is no good name, the error comes when it is written."""
    ending = os.path.splitext(path)[1].lower()
    if path == STANDARD or ending in batch.SOUND_ENDINGS:
        return True
    if os.path.isdir(path):
        return False
    return _is_format(path) or (ending != batch.ENDING and not os.path.lexists(path))


def _is_format(path: str) -> bool:
    from evc.soundfiles import output_format

    try:
        output_format(path)
    except EvcError:
        return False
    return True


def _check_format(name: str, ending: str) -> None:
    if not _is_format(f"output{ending}"):
        raise click.UsageError(f"--format {name}: not a format that can be written, as wav and flac are")


def _decode_one(
    job: batch.Job, progress: Progress | None, start: float, duration: float | None, salvage: bool, force: bool
) -> batch.Summary:
    begun = time.monotonic()
    audio = 0.0

    def heard(done: float, total: float) -> None:
        nonlocal audio
        audio = total
        if progress is not None:
            progress(done, total)

    output = output_file(job.target, force)
    damage = evc.decode_file(
        input_file(job.source),
        output,
        start=start,
        duration=duration,
        salvage=salvage,
        overwrite=force,
        progress=heard,
    )
    return {
        "source": job.source,
        "target": job.target,
        "bytes": os.path.getsize(job.target) if os.path.isfile(job.target) else 0,
        "source_bytes": os.path.getsize(job.source) if os.path.isfile(job.source) else 0,
        "duration": audio,
        "seconds": time.monotonic() - begun,
        "damage": damage if salvage else None,
    }


def _show(summary: batch.Summary, as_one_of_many: bool) -> None:
    if as_one_of_many:
        click.echo(f"{summary['target']}: {size_text(summary['bytes'])}, {time_text(summary['duration'])} of audio")
    if summary["damage"] is None:
        return
    name = f"{summary['source']}: " if as_one_of_many else ""
    if not summary["damage"]:
        click.echo(f"{name}no damage in what was decoded", err=True)
    for span in summary["damage"][:_SHOWN_SPANS]:
        begin, end = time_text(span.seconds[0]), time_text(span.seconds[1])
        frames = f"frames {span.start} to {span.start + span.frames}"
        what = "impaired" if span.impaired else "lost"
        click.echo(f"{name}{what} {begin} to {end} ({frames}): {span.reason}", err=True)
    for impaired in (False, True):
        rest = [span.frames for span in summary["damage"][_SHOWN_SPANS:] if span.impaired == impaired]
        if rest:
            what = "impaired" if impaired else "lost"
            places = f"{len(rest)} more place{'' if len(rest) == 1 else 's'}"
            click.echo(f"{name}{what} in {places}, {sum(rest)} frames in all", err=True)
