"""`evc cut`: a part of an .evc file, or its tracks, as files of their own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli.common import (
    PATH,
    STANDARD,
    TIME,
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
from evc.format.errors import EvcError, InputError
from evc.streaming import open_binary, seekable_input

if TYPE_CHECKING:
    from evc.editing.cuesheets import Track
    from evc.editing.cutting import CutReport
    from evc.file import EvcFile

_MOST_BYTES = 1 << 22  # of a cue sheet


@click.command(
    epilog=examples(
        "evc cut song.evc chorus.evc --start 1:05.2 --duration 30",
        "evc cut album.evc --cue album.cue --out-dir album  # a file for each track",
        "evc cut album.evc --chapters  # where the file itself says they begin",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.argument("target", type=PATH, metavar="[OUT]", required=False)
@click.option("--start", type=TIME, default=0.0, metavar="TIME", help="Cut from here: seconds, or as 1:30.5.")
@click.option("--duration", type=TIME, metavar="TIME", help="Keep this much; default: all that follows.")
@click.option("--cue", "sheet", type=PATH, metavar="SHEET", help="Cut where the tracks of this cue sheet begin.")
@click.option(
    "--chapters", is_flag=True,
    help="Cut where the file says that tracks begin: its tag CUESHEET, FLAC's cue sheet, CHAPTER tags or cue points.",
)  # fmt: skip
@click.option(
    "--out-dir", type=click.Path(file_okay=False), metavar="DIR", help="Where tracks go; default: beside FILE."
)
@click.option("--exact", is_flag=True, help="Keep what the part repeats, unheard, so that nothing is coded anew.")
@click.option("-f", "--force", is_flag=True, help="Replace outputs that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print what became of the part, or of each track, as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def cut(
    source: str, target: str | None, start: float, duration: float | None, sheet: str | None, chapters: bool,
    out_dir: str | None, exact: bool, force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Write a part of the .evc file FILE to OUT, or each of its tracks to a file, without decoding it.

    Coded segments stay as they are, and the ends are exact to the sample. Only segments that repeat sound of the file
    which the part lacks are coded anew; --exact keeps that sound in the part instead, which is larger then. Tags,
    covers, loops and cue points come along, counted from the part's start. `evc join` puts parts together again.

    With --cue or --chapters each track becomes a file, named by its number and title, with the tags that the cue sheet
    has for it. What lies before the first track belongs to it.
    """
    tracks = sheet is not None or chapters
    if sheet is not None and chapters:
        raise click.UsageError("--cue and --chapters exclude each other")
    if tracks and (target is not None or start or duration is not None):
        raise click.UsageError("tracks have their own beginnings and names: leave out OUT, --start and --duration")
    if not tracks and target is None:
        raise click.UsageError("name the output, or cut tracks with --cue or --chapters")
    if not tracks and out_dir is not None:
        raise click.UsageError("--out-dir is for tracks: --cue or --chapters")
    if target is not None:
        refuse_same(source, target)
    with ExitStack() as stack:
        with naming(source):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
        if target is not None:
            summary = _cut_part(file, source, target, start, duration, exact, force, quiet)
            if as_json:
                print_json(summary, to_stderr=target == STANDARD)
            elif not quiet:
                _show(summary, target == STANDARD)
            return
        folder = out_dir if out_dir is not None else os.path.dirname(source) if source != STANDARD else "."
        summaries = _cut_tracks(file, source, _tracks(file, source, sheet), Path(folder or "."), exact, force, quiet)
    if as_json:
        print_json(summaries)
    elif not quiet:
        for summary in summaries:
            _show(summary, False)


def _cut_part(
    file: EvcFile, source: str, target: str, start: float, duration: float | None, exact: bool, force: bool, quiet: bool
) -> dict[str, Any]:
    from evc.api import part_span
    from evc.editing.cutting import cut_file

    output = output_file(target, force)
    with gathered_warnings(source, target) as notes, naming(source, target):
        first, frames = part_span(file, start, duration)
        if not frames:
            raise InputError("there is no sound in that part")
        with progress_bar("cutting", files=True, quiet=quiet) as progress:
            report = cut_file(
                file, output, first, frames, sources=exact, overwrite=force, progress=progress
            )
    for note in notes if not quiet else ():
        show_warning(note)
    return _summary(file, target, target, report)


def _tracks(file: EvcFile, source: str, sheet: str | None) -> list[Track]:
    from evc.editing.cuesheets import read_cue, told_tracks
    from evc.sound.text import decoded

    if sheet is None:
        with naming(source):
            tracks = told_tracks(file)
            if not tracks:
                raise EvcError("tells of no tracks: --cue takes a cue sheet")
        return tracks
    with naming(sheet), seekable_input(input_file(sheet) if sheet == STANDARD else open_binary(sheet)) as binary:
        data = binary.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise EvcError("too large for a cue sheet")
        return read_cue(decoded(data), file.samplerate)


def _cut_tracks(
    file: EvcFile, source: str, tracks: list[Track], folder: Path, exact: bool, force: bool, quiet: bool
) -> list[dict[str, Any]]:
    """Write all tracks or none."""
    from evc.editing.cuesheets import parts
    from evc.editing.cutting import cut_file
    from evc.output import atomic_folder, opened

    with naming(source):
        found = parts(tracks, file)
    names = [f"{track.name}.evc" for track, _, _ in found]
    taken: set[str] = set()
    for name in names:
        refuse_same(source, str(folder / name))
        output_file(str(folder / name), force)
        if (folded := name.casefold()) in taken:  # on some systems these are one
            raise EvcError(f"{source}: two tracks would both become {name}")
        taken.add(folded)
    summaries = []
    with atomic_folder(folder) as new, progress_bar("cutting", files=True, quiet=quiet) as progress:
        for done, (name, (track, frames, tags)) in enumerate(zip(names, found, strict=True), 1):
            with gathered_warnings(""), naming(source), opened(new / name, str(folder / name)) as output:
                report = cut_file(file, output, track.start, frames, tags=tags, sources=exact)
            summaries.append(_summary(file, str(folder / name), str(new / name), report))
            if progress:
                progress(done, len(found))
    return summaries


def _summary(file: EvcFile, target: str, path: str, report: CutReport) -> dict[str, Any]:
    return {
        "target": target,
        "bytes": os.path.getsize(path) if os.path.isfile(path) else 0,
        "frames": report.frames,
        "duration": report.frames / file.samplerate,
        "segments_kept": report.kept,
        "segments_coded_anew": report.coded_anew,
    }


def _show(summary: dict[str, Any], to_stderr: bool) -> None:
    anew = summary["segments_coded_anew"]
    told = f"{anew} segment{'' if anew == 1 else 's'} coded anew (--exact: none)" if anew else "nothing coded anew"
    size = f"{size_text(summary['bytes'])}, " if not to_stderr else ""
    click.echo(f"{summary['target']}: {size}{time_text(summary['duration'])}, {told}", err=to_stderr)
