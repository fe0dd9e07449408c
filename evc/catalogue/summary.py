"""What a whole catalogue costs: by folder, genre and layer, what is far from the rest, and how it is spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evc.catalogue.manifest import DONE, KBPS
from evc.format.errors import InputError

if TYPE_CHECKING:
    import pandas

_BARS = 24  # of a histogram
_FAR = 3.5  # robust standard deviations from which on a file is far from the rest
_MOST_FAR = 10
_LEAST_SPREAD = 0.05  # of the logarithm of a bitrate
MEASURES = {"kbps": "kbit/s", "duration": "s", "bytes": "bytes", "seconds": "s of work"}


@dataclass(frozen=True)
class Group:
    """Files that have something in common: how many, seconds of sound, bytes and kbit/s of all of them."""

    name: str
    files: int
    duration: float
    bytes: float
    kbps: float


@dataclass(frozen=True)
class Histogram:
    """`counts` between `edges`, which are equally far apart, or have the same ratio."""

    name: str
    unit: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Far:
    """A file whose bitrate is far from those of the rest; `times` the median."""

    name: str
    kbps: float
    times: float


@dataclass(frozen=True)
class Summary:
    """All of it. `errors`: how many files failed in which way; `work` in seconds."""

    whole: Group
    folders: tuple[Group, ...]
    genres: tuple[Group, ...]
    layers: tuple[Group, ...]
    far: tuple[Far, ...]
    histograms: tuple[Histogram, ...]
    errors: tuple[tuple[str, int], ...]
    work: float

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        parts = {name: [vars(one) for one in getattr(self, name)] for name in ("folders", "genres", "layers", "far")}
        shown = [vars(one) for one in self.histograms]
        return vars(self.whole) | parts | {"histograms": shown, "errors": dict(self.errors), "work": self.work}


def summary(rows: pandas.DataFrame) -> Summary:
    """Of rows as a manifest has them. Raises InputError where none tells of a file that was made."""
    done = rows[rows["status"] == DONE]
    if not len(done):
        raise InputError("there is no file to tell of")
    failed = rows[rows["status"] != DONE]
    folders = done["output"].map(lambda name: name.rpartition("/")[0] or ".")
    errors = failed["kind"].value_counts() if len(failed) else {}
    genres = _groups(done, done["genre"].fillna("none")) if "genre" in done and done["genre"].notna().any() else ()
    return Summary(
        whole=_group("all", done),
        folders=_groups(done, folders),
        genres=genres,
        layers=_layers(done),
        far=_far(done),
        histograms=tuple(_histogram(done, name) for name in MEASURES if name in done and done[name].notna().any()),
        errors=tuple((str(kind), int(count)) for kind, count in errors.items()),
        work=float(done["seconds"].sum()),
    )


def _group(name: str, rows: pandas.DataFrame) -> Group:
    duration, size = float(rows["duration"].sum()), float(rows["bytes"].sum())
    return Group(name, len(rows), duration, size, _kbps(size, duration))


def _kbps(size: float, duration: float) -> float:
    """Of so many bytes in so many seconds."""
    return 8 * float(size) / float(duration) / 1000 if duration else 0.0


def _groups(rows: pandas.DataFrame, by: pandas.Series[Any]) -> tuple[Group, ...]:
    """One for each value, those with the most bytes first."""
    found = rows.assign(by=by).groupby("by").agg(
        files=("output", "size"), duration=("duration", "sum"), bytes=("bytes", "sum")
    ).sort_values("bytes", ascending=False)  # fmt: skip
    told = zip(found.index, found["files"], found["duration"], found["bytes"], strict=True)
    return tuple(
        Group(str(name), int(files), float(duration), float(size), _kbps(size, duration))
        for name, files, duration, size in told
    )


def _layers(rows: pandas.DataFrame) -> tuple[Group, ...]:
    """Bytes of each layer, and kbit/s over all files, whether they have it or not; `files` and `duration` of those that
    have it."""
    found, duration = [], float(rows["duration"].sum())
    for layer, column in KBPS.items():
        if column in rows and (has := rows[rows[column] > 0]).size:
            size = float((has[column] * has["duration"]).sum()) * 125
            found.append(Group(layer, len(has), float(has["duration"].sum()), size, _kbps(size, duration)))
    return tuple(found)


def _far(rows: pandas.DataFrame) -> tuple[Far, ...]:
    """Files whose bitrate has a logarithm that is far from the median, by the median of such distances."""
    rows = rows[rows["kbps"] > 0]
    if not len(rows):
        return ()
    levels = np.log(rows["kbps"].to_numpy(float))
    middle = float(np.median(levels))
    distances = np.abs(levels - middle)
    spread = max(1.4826 * float(np.median(distances)), _LEAST_SPREAD)
    chosen = np.argsort(-distances, kind="stable")[:_MOST_FAR]
    return tuple(
        Far(str(rows["output"].iloc[at]), float(rows["kbps"].iloc[at]), float(np.exp(levels[at] - middle)))
        for at in chosen.tolist() if distances[at] > _FAR * spread
    )  # fmt: skip


def _histogram(rows: pandas.DataFrame, name: str) -> Histogram:
    """Over equal ratios, where all values are positive and the largest is many times the smallest."""
    values = rows[name].dropna().to_numpy(float)
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 8 * low:
        edges = np.geomspace(low, high, _BARS + 1)
    else:
        edges = np.linspace(low, max(high, low + 1e-9), _BARS + 1)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    counts, _ = np.histogram(values, edges)
    return Histogram(name, MEASURES[name], tuple(edges.tolist()), tuple(counts.tolist()))
