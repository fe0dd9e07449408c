"""`evc join`: several .evc files as one, coded sound as it is."""

from __future__ import annotations

import os
from typing import Any

import click

import evc
from evc.cli.common import (
    PATH,
    STANDARD,
    examples,
    gathered_warnings,
    input_file,
    naming,
    output_file,
    print_json,
    progress_bar,
    refuse_same,
    show_warning,
    size_text,
    time_text,
)


@click.command(
    epilog=examples(
        "evc join one.evc two.evc both.evc",
        "evc join intro.evc live.evc all.evc --re-encode  # though live.evc has another sample rate",
    )
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="IN... OUT")
@click.option(
    "--re-encode", is_flag=True,
    help="Code files anew that have another sample rate, channels or speakers than the first; the others stay.",
)  # fmt: skip
@click.option("-f", "--force", is_flag=True, help="Replace OUT if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of the files as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def join(paths: tuple[str, ...], re_encode: bool, force: bool, as_json: bool, quiet: bool) -> None:
    """Write one .evc file, OUT, that plays the files IN one after the other.

    Nothing is coded anew, and every sample stays what it was. Tags and covers are those of the first file; loops and
    cue points are those of all. Files that do not fit together are refused, or coded anew with --re-encode.
    """
    if len(paths) < 2:
        raise click.UsageError("name the files to join, and last the output")
    *sources, target = paths
    if sources.count(STANDARD) > 1:
        raise click.UsageError("standard input can be read once")
    for source in sources:
        refuse_same(source, target)
    for source in sources:
        if source != STANDARD:  # whichever is no good is named
            with naming(source), gathered_warnings(""), evc.open(source) as file:
                for link in file.chain.links:
                    for number in range(link.segments):
                        link.segment(number)
    from evc.editing.joining import join_files

    output = output_file(target, force)
    with gathered_warnings("", target) as notes, naming("", target):
        with progress_bar("joining", files=True, quiet=quiet) as progress:
            anew = join_files(
                [input_file(source) for source in sources], output, re_encode=re_encode, overwrite=force,
                progress=progress,
            )  # fmt: skip
    for note in notes if not quiet else ():
        show_warning(note)
    told = f"{len(sources)} file{'' if len(sources) == 1 else 's'}, "
    told += f"{len(anew)} coded anew" if anew else "nothing coded anew"
    summary: dict[str, Any] = {"target": target, "files": sources, "coded_anew": [sources[number] for number in anew]}
    if isinstance(output, str):
        with naming(target), evc.open(target) as file:
            summary |= {"bytes": os.path.getsize(target), "frames": file.frames, "duration": file.duration}
            told = f"{size_text(file.file_bytes)}, {time_text(file.duration)}, {told}"
    if as_json:
        print_json(summary, to_stderr=target == STANDARD)
    elif not quiet:
        click.echo(f"{target}: {told}", err=target == STANDARD)
