"""`evc stats`: the bitrate report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli.common import (
    PATH,
    channels_text,
    examples,
    input_file,
    naming,
    print_json,
    progress_bar,
    size_text,
    time_text,
)
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from rich.table import Table

    from evc.pattern_stats import PatternStats

_BARS = "▁▂▃▄▅▆▇█"
_MOST_BARS = 72
_MOST_PATTERNS = 10


@click.command(
    epilog=examples("evc stats song.evc", "evc stats *.evc --csv > bits.csv  # one table of all files, for programs")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one table of all files as CSV.")
def stats(files: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Report where the bits of .evc files went, by layer, by stream and by second.

    "bits/symbol" is what the file spends, "model" the entropy of the symbols under the model; a stream's
    bits are its symbols' entropy, and "coder loss" is what the file spends beyond that.

    Of patterns, those with the most sound come first; evc patterns lists all. "bits" is their share of the
    occurrences, and what their dictionary entry takes. "saved" estimates what the spectrum would have cost where they
    sound, less what is still spent on it there.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    reports = [(path, _measured(path)) for path in files]
    if as_json:
        found = [{"file": path} | report.as_dict() for path, report in reports]
        print_json(found if len(found) > 1 else found[0])
    elif as_csv:
        _print_csv(reports)
    else:
        for number, (path, report) in enumerate(reports):
            if number:
                click.echo()
            _show(path, report)


def _measured(path: str) -> evc.Stats:
    with naming(path), seekable_input(input_file(path)) as binary, evc.open(binary) as file:
        with progress_bar(path) as progress:
            return file.stats(progress=progress)


def _print_csv(reports: Iterable[tuple[str, evc.Stats]]) -> None:
    text = io.StringIO()
    writer = None
    for path, report in reports:
        for row in report.rows():
            if writer is None:
                writer = csv.DictWriter(text, ["file", *row], lineterminator="\n")
                writer.writeheader()
            writer.writerow({"file": path} | row)
    click.echo(text.getvalue(), nl=False)


def _show(path: str, report: evc.Stats) -> None:
    from rich.console import Console

    click.echo(
        f"{path}: {size_text(report.file_bytes)}, {time_text(report.duration)}, {report.samplerate} Hz, "
        f"{channels_text(report.channels)}, {report.kbps(report.bits):.2f} kbit/s"
    )
    if report.networks:
        click.echo(f"networks {', '.join(report.networks)}")
    console = Console(highlight=False)
    with console.capture() as table:  # printed here: rich would end the process itself if the reader went away
        console.print(_table(report))
    click.echo(table.get(), nl=False)
    if len(report.seconds):
        low, high = report.seconds.min() / 1000, report.seconds.max() / 1000
        click.echo(f"per second  {sparkline(report.seconds)}  {low:.1f} to {high:.1f} kbit")
    if report.patterns:
        with console.capture() as table:
            console.print(_pattern_table(report.patterns))
        click.echo(table.get(), nl=False)


def _table(report: evc.Stats) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("bits", "kbit/s", "share", "symbols", "bits/symbol", "model"):
        table.add_column(heading, justify="right")
    for row in report.rows():
        name = f"  {row['stream']}" if row["stream"] else row["layer"]
        table.add_row(name, *_cells(row), style="" if row["level"] == "stream" else "bold")
    return table


def _pattern_table(patterns: tuple[PatternStats, ...]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("pattern", no_wrap=True)
    for heading in ("start", "duration", "uses", "in all", "bits", "saved"):
        table.add_column(heading, justify="right")
    for one in patterns[:_MOST_PATTERNS]:
        start = "" if one.start is None else time_text(one.start)
        table.add_row(f"{one.number:03} {one.kind}", start, time_text(one.duration), *_sums([one]))
    if rest := patterns[_MOST_PATTERNS:]:
        table.add_row(f"{len(rest)} more", "", "", *_sums(rest))
    table.add_row("all", "", "", *_sums(patterns), style="bold")
    return table


def _sums(patterns: Sequence[PatternStats]) -> list[str]:
    bits = sum(one.bits + one.dictionary_bits for one in patterns)
    return [
        str(sum(one.uses for one in patterns)),
        time_text(sum(one.seconds for one in patterns)),
        f"{bits:.0f}",
        f"{sum(one.saved_bits for one in patterns):.0f}",
    ]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['bits']:.0f}",
        f"{row['kbps']:.2f}",
        f"{100 * row['share']:.1f} %",
        str(row["symbols"] or ""),
        *(
            "" if row[key] is None else f"{row[key]:.3f}"
            for key in ("bits_per_symbol", "model_bits_per_symbol")
        ),
    ]


def sparkline(values: Iterable[float]) -> str:
    """Values as a row of bars of height proportional to them; long rows are averaged to fit a line."""
    import numpy as np

    heights = np.asarray(list(values), float)
    groups = np.array_split(heights, min(len(heights), _MOST_BARS)) if len(heights) else []
    means = [float(group.mean()) for group in groups]
    top = max(means, default=0.0)
    return "".join(_BARS[min(7, int(8 * mean / top))] if top else _BARS[0] for mean in means)
