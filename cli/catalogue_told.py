"""`evc catalogue stats` and `events`: what is in a whole catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from evc.catalogue.needed import check_installed
from evc.cli import batch
from evc.cli.catalogue_work import CLUSTER, EVC, SOURCES, check_folder, run
from evc.cli.common import EXIT_FAILURES, PATH, examples, output_file, print_json, size_text, time_text
from evc.cli.tables import Column, sentence, table
from evc.format.errors import EvcError

if TYPE_CHECKING:
    import pandas

    from evc.catalogue.summary import Group, Histogram, Summary

_MOST_GROUPS = 20
_BARS = "▁▂▃▄▅▆▇█"


@click.command(epilog=examples("evc catalogue stats encoded", "evc catalogue stats encoded --html costs.html"))
@SOURCES
@click.option("--html", "page", type=PATH, metavar="PAGE.html", help="Write it as a page too.")
@click.option("-f", "--force", is_flag=True, help="Replace PAGE.html if it exists.")
@click.option("--measure", is_flag=True, help="Look into the files, even where a manifest tells of them.")
@CLUSTER
def stats(sources: tuple[str, ...], page: str | None, force: bool, measure: bool, **given: Any) -> int:
    """Tell what a catalogue costs: by folder, by genre (a tag), by layer; which files are far from the rest; and what
    failed. A manifest tells all that at once; files without one are looked into."""
    from evc.catalogue.summary import summary

    check_installed()
    if page is not None:
        output_file(page, force)
    as_json, quiet = given["as_json"], given["quiet"]
    rows, code = _rows(sources, measure, given | {"as_json": False, "quiet": True})
    found = summary(rows)
    if page is not None:
        from evc.catalogue.pages import write_summary

        write_summary(page, found, ", ".join(sources), force)
    if as_json:
        print_json(found.as_dict())
    elif not quiet:
        _show(", ".join(sources), found)
        if page is not None:
            click.echo(page)
    return code


def _rows(sources: Sequence[str], measure: bool, given: dict[str, Any]) -> tuple[pandas.DataFrame, int]:
    """Rows as manifests have them, of the sources that have one, else of all their files, measured now."""
    import pandas

    from evc.catalogue.manifest import Manifest
    from evc.catalogue.places import place
    from evc.catalogue.works import Measure

    manifests = [Manifest(place(source)) for source in sources]
    if not measure and all(one.is_there for one in manifests):
        rows = pandas.concat([one.table() for one in manifests], ignore_index=True)
        return rows[rows["output"].str.endswith(batch.ENDING)], 0
    measured: list[dict[str, Any]] = []
    code = run(Measure(place("."), "stats", ""), _all(sources), None, "measured", keep=measured, **given)
    return pandas.DataFrame(measured), code


def _all(sources: Sequence[str]) -> Any:
    from evc.catalogue.plan import Plan
    from evc.catalogue.sources import inputs
    from evc.catalogue.tasks import Item

    return Plan([Item(one.path, one.name, one.size, one.stamp, "") for one in inputs(sources, EVC)], 0)


@click.command(epilog=examples("evc catalogue events encoded --parquet events.parquet"))
@SOURCES
@click.option("--parquet", "target", required=True, metavar="OUT", help="Folder or URL of the table's parts.")
@CLUSTER
def events(sources: tuple[str, ...], target: str, **given: Any) -> int:
    """Write the events of all .evc files as one table in Parquet: a row for each, with file, time, note, frequency,
    amplitude, pan, phase, codes and vector. pandas, Dask, DuckDB or Spark read the folder OUT as one table."""
    from evc.catalogue.places import place
    from evc.catalogue.works import Tell

    check_installed()
    there = place(target)
    check_folder(there)
    if next(iter(there.files()), None) is not None:
        raise EvcError(f"{target}: exists already: remove it first, or name another")
    told: list[dict[str, Any]] = []
    shown = given | {"quiet": True} if not given["as_json"] else given
    work = Tell(there, "events", "")
    code = run(work, _all(sources), None, "read", keep=told, **shown)
    done = [row["input"] for row in told if row["status"] == "done"]
    if done and not any(row.get("bytes") for row in told):
        work.write(done[0], even_empty=True)  # a table without rows is one that can be read
    if not (given["quiet"] or given["as_json"]):
        count, files = sum(row.get("bytes") or 0 for row in told), len(done)
        click.echo(f"{target}: {count} event{'' if count == 1 else 's'} of {files} file{'' if files == 1 else 's'}")
    return EXIT_FAILURES if code else 0


def _show(name: str, found: Summary) -> None:
    whole = found.whole
    click.echo(sentence(
        f"{name}: {whole.files} file{'' if whole.files == 1 else 's'}, {time_text(whole.duration)}, "
        f"{size_text(whole.bytes)}, {whole.kbps:.2f} kbit/s; {time_text(found.work)} of work"
    ))  # fmt: skip
    for title, groups in (("layer", found.layers), ("folder", found.folders), ("genre", found.genres)):
        if groups:
            click.echo(_groups(title, groups, whole.bytes), nl=False)
    for one in found.histograms:
        click.echo(f"{one.name:9} {_bars(one)}  {_edge(one, 0)} to {_edge(one, -1)}")
    if found.far:
        rows = [[one.name, f"{one.kbps:.2f}", f"{one.times:.2f}"] for one in found.far]
        columns = [Column("far from the rest", left=True), Column("kbit/s"), Column("x median", 1)]
        click.echo(table(columns, rows), nl=False)
    for kind, count in found.errors:
        click.echo(f"{count} failed: {kind}")


def _groups(title: str, groups: Sequence[Group], whole: float) -> str:
    columns = [Column(title, left=True), Column("files", 2), Column("length", 3), Column("size"), Column("share", 1)]
    rows = [
        [one.name, str(one.files), time_text(one.duration), size_text(one.bytes), f"{100 * one.bytes / whole:.1f} %",
         f"{one.kbps:.2f}"]
        for one in groups[:_MOST_GROUPS]
    ]  # fmt: skip
    text = table([*columns, Column("kbit/s")], rows)
    return text + (f"{len(groups) - _MOST_GROUPS} more not shown\n" if len(groups) > _MOST_GROUPS else "")


def _bars(found: Histogram) -> str:
    most = max(found.counts)
    return "".join(_BARS[-(-count * (len(_BARS) - 1) // most)] if count else " " for count in found.counts)


def _edge(found: Histogram, at: int) -> str:
    value = found.edges[at]
    texts = {"bytes": size_text, "s": time_text, "s of work": time_text}
    return texts[found.unit](value) if found.unit in texts else f"{value:.4g} {found.unit}"
