"""Pages of a whole catalogue: the table of all reports, and what all files cost."""

from __future__ import annotations

import os
import re
import tempfile
from typing import Any
from urllib.parse import quote

from evc.catalogue.manifest import DONE, Manifest
from evc.catalogue.places import Place, check_ours
from evc.catalogue.summary import Group, Histogram, Summary
from evc.report.document import COLOURS, OTHER_COLOUR, Document
from evc.report.subject import clock
from evc.report.write import CATALOGUE, Entry, check_parts, write_catalogue
from evc.streaming import PathOrFile, seekable_output

_SHOWN = 200  # rows of a table
_INDEX_SIGN = re.compile(rb'content="evc [^<]*>\s*<title>\d+ files ')


def check_index(destination: Place) -> None:
    """Raise InputError where `write_index` would replace a file that is no such table."""
    check_ours(destination, CATALOGUE, _INDEX_SIGN)


def write_index(destination: Place, manifest: Manifest) -> str:
    """Write the table of all pages that a manifest tells of; its path or URL."""
    rows = manifest.table()
    rows = rows[(rows["status"] == DONE) & rows["output"].str.endswith(".html")].sort_values("output")
    entries = [_entry(row) for row in rows.to_dict("records")]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, CATALOGUE)
        write_catalogue(path, entries)
        with open(path, "rb") as file:
            destination.write(CATALOGUE, file.read())
    return destination.full(CATALOGUE)


def _entry(row: dict[Any, Any]) -> Entry:
    texts = {name: row[name] if isinstance(row[name], str) else "" for name in ("title", "artist")}
    layers = tuple(name.removeprefix("kbps_") for name in row if str(name).startswith("kbps_") and row[name] > 0)
    return Entry(
        row["output"].removesuffix(".html"), quote(row["output"]), texts["title"], texts["artist"],
        tuple(layer for layer in layers if layer != "overhead"), row["duration"], int(row["size"]), row["kbps"], "",
    )  # fmt: skip


def write_summary(target: PathOrFile, found: Summary, name: str, overwrite: bool = True) -> None:
    """Write a page about what a catalogue costs. Raises EvcError where the extra `evc[report]` is not installed."""
    check_parts()
    whole = found.whole
    tables = [("Folders", found.folders), ("Genres", found.genres), ("Layers", found.layers)]
    about = f"{whole.files} files, {clock(whole.duration)}, {whole.bytes / 1e6:.1f} MB, {whole.kbps:.1f} kbit/s"
    with Document() as page:
        text = page.page(
            "costs.html",
            title=name,
            summary=about,
            layers=[
                {"name": layer.name, "share": layer.bytes / max(whole.bytes, 1), "kbps": f"{layer.kbps:.2f} kbit/s",
                 "colour": COLOURS.get(layer.name, OTHER_COLOUR)}
                for layer in found.layers
            ],
            histograms=[_bars(one) for one in found.histograms],
            tables=[(title, list(map(_row, groups[:_SHOWN])), len(groups)) for title, groups in tables if groups],
            far=[{"name": one.name, "kbps": f"{one.kbps:.1f}", "times": f"{one.times:.2f}"} for one in found.far],
            errors=found.errors,
        )  # fmt: skip
    with seekable_output(target, overwrite) as output:
        output.write(text.encode("utf-8"))


def _row(group: Group) -> dict[str, Any]:
    return vars(group) | {"length": clock(group.duration), "size": f"{group.bytes / 1e6:.2f} MB"}


def _bars(found: Histogram) -> dict[str, Any]:
    most = max(found.counts)
    edges = [f"{edge:.4g}" for edge in found.edges]
    bars = [
        {"height": 100 * count / most, "text": f"{edges[at]} to {edges[at + 1]} {found.unit}: {count}"}
        for at, count in enumerate(found.counts)
    ]
    return {"title": found.unit if found.unit in found.name else f"{found.name}, {found.unit}", "bars": bars,
            "low": edges[0], "high": edges[-1]}  # fmt: skip
