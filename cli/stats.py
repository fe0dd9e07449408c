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
    examples,
    input_file,
    print_json,
    progress_bar,
    size_text,
    time_text,
)
from evc.cli.several import attempts
from evc.cli.tables import Column, sentence, table, terminal_width
from evc.format.speakers import channels_text
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.pattern_stats import PatternStats

_BARS = "▁▂▃▄▅▆▇█"
_LEAST_BARS, _MOST_BARS = 8, 72
_MOST_PATTERNS = 10


@click.command(
    epilog=examples("evc stats song.evc", "evc stats *.evc --csv > bits.csv  # one table of all files, for programs")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one table of all files as CSV.")
def stats(files: tuple[str, ...], as_json: bool, as_csv: bool) -> int:
    """Report where the bits of .evc files went, by layer, by stream and by second.

    "bits/symbol" is what the file spends, "model" the entropy of the symbols under the model; a stream's
    bits are its symbols' entropy, and "coder loss" is what the file spends beyond that. A narrow terminal shows fewer
    columns.

    Of patterns, those with the most sound come first; evc patterns lists all. "bits" is their share of the
    occurrences, and what their dictionary entry takes. "saved" estimates what the spectrum would have cost where they
    sound, less what is still spent on it there.

    Of a file with an edit list, all that is coded counts, whatever is played of it: evc info tells both.

    Exits with 1 if any file cannot be read, after reporting on all others.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    reports: list[tuple[str, evc.Stats]] = []
    for path, report in attempts(files, _measured):
        if report is None:
            continue
        if not (as_json or as_csv):
            if reports:
                click.echo()
            _show(path, report)
        reports.append((path, report))
    if as_json and (len(files) > 1 or reports):
        found = [{"file": path} | report.as_dict() for path, report in reports]
        print_json(found if len(files) > 1 else found[0])
    elif as_csv:
        _print_csv(reports)
    return 0 if len(reports) == len(files) else 1


def _measured(path: str) -> evc.Stats:
    with seekable_input(input_file(path)) as binary, evc.open(binary) as file, progress_bar(path) as progress:
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
    about = (
        f"{path}: {size_text(report.file_bytes)}, {time_text(report.duration)}, {report.samplerate} Hz, "
        f"{channels_text(report.channels)}, {report.kbps(report.bits):.2f} kbit/s"
    )
    click.echo(sentence(about))
    if report.networks:
        click.echo(sentence(f"networks {', '.join(report.networks)}"))
    click.echo(_table(report), nl=False)
    if len(report.seconds):
        low, high = report.seconds.min() / 1000, report.seconds.max() / 1000
        before, behind = "per second  ", f"  {low:.1f} to {high:.1f} kbit"
        bars = max(_LEAST_BARS, min(_MOST_BARS, terminal_width() - len(before) - len(behind)))
        click.echo(f"{before}{sparkline(report.seconds, bars)}{behind}")
    if report.patterns:
        click.echo(_pattern_table(report.patterns), nl=False)


def _table(report: evc.Stats) -> str:
    columns = [Column("", left=True), Column("bits"), Column("kbit/s", 2), Column("share", 1)]
    columns += [Column("symbols", 4), Column("bits/symbol", 3), Column("model", 5)]
    rows = list(report.rows())
    texts = [[f"  {row['stream']}" if row["stream"] else row["layer"], *_cells(row)] for row in rows]
    return table(columns, texts, bold=[number for number, row in enumerate(rows) if row["level"] != "stream"])


def _pattern_table(patterns: tuple[PatternStats, ...]) -> str:
    columns = [Column("pattern", left=True), Column("start", 4), Column("duration", 3), Column("uses", 1)]
    columns += [Column("in all", 2), Column("bits", 5), Column("saved")]
    rows = []
    for one in patterns[:_MOST_PATTERNS]:
        start = "" if one.start is None else time_text(one.start)
        rows.append([f"{one.number:03} {one.kind}", start, time_text(one.duration), *_sums([one])])
    if rest := patterns[_MOST_PATTERNS:]:
        rows.append([f"{len(rest)} more", "", "", *_sums(rest)])
    rows.append(["all", "", "", *_sums(patterns)])
    return table(columns, rows, bold=[len(rows) - 1])


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


def sparkline(values: Iterable[float], most: int = _MOST_BARS) -> str:
    """Values as a row of `most` bars at most, of height proportional to them; long rows are averaged to fit."""
    import numpy as np

    heights = np.asarray(list(values), float)
    groups = np.array_split(heights, min(len(heights), most)) if len(heights) else []
    means = [float(group.mean()) for group in groups]
    top = max(means, default=0.0)
    return "".join(_BARS[min(7, int(8 * mean / top))] if top else _BARS[0] for mean in means)
