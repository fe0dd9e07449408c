"""`evc report`: files as pages that show and play what is in them."""

from __future__ import annotations

import os
import webbrowser
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

import evc
from evc.cli.common import (
    PATH,
    STANDARD,
    TIME,
    examples,
    input_file,
    naming,
    output_file,
    progress_bar,
    refuse_same,
    show_warning,
    size_text,
)
from evc.format.errors import EvcError
from evc.output import writing
from evc.streaming import PathOrFile, seekable_input

if TYPE_CHECKING:
    from evc.report.write import Entry

_SUFFIX = ".html"
_SECTIONS = "head, listen, patterns, timbre, events, decomposition, whatif, heatmaps"


@click.command(
    epilog=examples(
        "evc report song.evc --source song.wav --open",
        "evc report song.evc -o page.html --sections listen,events --seconds 30",
        "evc report *.evc -o pages  # a page of each, and pages/index.html with a table of all",
    )
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--source", type=PATH, metavar="WAV", help="The original, to compare with by eye and ear.")
@click.option(
    "-o", "--out", "target", type=PATH, metavar="PAGE.html",
    help="Where the page goes, by default beside FILE; of several files, the folder of the pages.",
)  # fmt: skip
@click.option("--seconds", type=TIME, default=15.0, show_default=True, help="Compare this much: the loudest stretch.")
@click.option("--sections", metavar="NAMES", help=f"Show only these, out of {_SECTIONS}.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option("-f", "--force", is_flag=True, help="Replace pages that exist.")
def report(
    files: tuple[str, ...], source: str | None, target: str | None, seconds: float, sections: str | None, opens: bool,
    force: bool,
) -> int:  # fmt: skip
    """Make a page (HTML) that shows and plays what is in FILE: what it cost, the file against its source and every
    layer alone, patterns as lanes, timbres as a path, events as dots that sound, heat-maps.

    A page contains all it needs and opens in any browser, from a mail attachment too. Sections appear where the file
    has the layer. Of several files, a page of each and a table of all go into a folder.

    Needs parts that are not installed by default: pip install 'evc[report]'.
    """
    from evc.report.write import check_parts, check_sections

    check_parts()
    names = None if sections is None else [name.strip() for name in sections.split(",") if name.strip()]
    if names == []:
        raise click.UsageError(f"--sections names none, out of {_SECTIONS}")
    with naming("--sections"):
        check_sections(names)
    if seconds <= 0:
        raise click.UsageError("--seconds must be more than 0")
    if len(files) > 1:
        if source is not None:
            raise click.UsageError("--source belongs to one FILE")
        if target in (None, STANDARD):
            raise click.UsageError("name the folder for the pages of several files: -o DIR")
        return _catalogue(files, Path(str(target)), seconds, names, opens, force)
    return _single(files[0], source, target, seconds, names, opens, force)


def _single(
    path: str, source: str | None, target: str | None, seconds: float, names: list[str] | None, opens: bool, force: bool
) -> int:
    if path == source == STANDARD:
        raise click.UsageError("standard input cannot be both FILE and the original")
    if target is None:
        if path == STANDARD:
            raise click.UsageError("name the page, -o PAGE.html or -o -, of what comes from standard input")
        target = str(PurePath(path).with_suffix(_SUFFIX))
    if target == STANDARD and opens:
        raise click.UsageError("--open needs a page in a file")
    if os.path.isdir(target):
        target = os.path.join(target, PurePath(path).stem + _SUFFIX)
    for original in (path, source or STANDARD):
        refuse_same(original, target)
    output = output_file(target, force)
    _made(path, source, output, seconds, names, "")
    if target != STANDARD:
        click.echo(f"{target}: {size_text(os.path.getsize(target))}")
    if opens:
        _open(target)
    return 0


def _catalogue(
    files: tuple[str, ...], folder: Path, seconds: float, names: list[str] | None, opens: bool, force: bool
) -> int:
    """A page of each file that can be read, and one that links them."""
    from evc.report.write import CATALOGUE, write_catalogue

    pages = _page_names(files)
    index = str(folder / CATALOGUE)
    for page in (index, *(str(folder / page) for page in pages)):
        output_file(page, force)
    if folder.exists() and not folder.is_dir():
        raise EvcError(f"{folder}: is no folder")
    for path, page in zip(files, pages, strict=True):
        refuse_same(path, str(folder / page))
    with writing(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    entries = []
    try:
        for path, page in zip(files, pages, strict=True):
            try:
                entry = _made(path, None, str(folder / page), seconds, names, CATALOGUE)
            except EvcError as error:
                click.echo(f"evc: {error}", err=True)
                continue
            entries.append(replace(entry, href=quote(page)))
            click.echo(f"{folder / page}: {size_text((folder / page).stat().st_size)}")
    finally:
        with suppress(OSError):  # unless something is in it
            folder.rmdir()
    if entries:
        write_catalogue(index, entries)
        click.echo(f"{index}: {len(entries)} file{'' if len(entries) == 1 else 's'}")
        if opens:
            _open(index)
    return 0 if len(entries) == len(files) else 1


def _made(
    path: str, source: str | None, output: PathOrFile, seconds: float, names: list[str] | None, catalogue: str
) -> Entry:
    """Write one page."""
    from evc.report.write import write_report
    from evc.sound.source import FileSource

    with ExitStack() as stack:
        original = None
        if source is not None:
            with naming(source):
                original = stack.enter_context(FileSource(input_file(source)))
        stack.enter_context(naming(path, output if isinstance(output, str) else STANDARD))
        file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(path)))))
        progress = stack.enter_context(progress_bar(path, files=True))
        name = "" if path == STANDARD else path
        return write_report(
            output, file, source=original, seconds=seconds, sections=names, name=name, catalogue=catalogue,
            progress=progress,
        )  # fmt: skip


def _page_names(files: tuple[str, ...]) -> list[str]:
    """A name of a page for each file, no two alike."""
    found: list[str] = []
    taken = {"index"}
    for path in files:
        stem = base = PurePath(path).stem if path != STANDARD else "input"
        number = 2
        while stem.lower() in taken:
            stem, number = f"{base}-{number}", number + 1
        taken.add(stem.lower())
        found.append(stem + _SUFFIX)
    return found


def _open(page: str) -> None:
    if not webbrowser.open(Path(page).absolute().as_uri()):
        show_warning(f"{page}: no browser is found to open it")
