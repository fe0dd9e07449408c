"""The manifest of a catalogue: what was made of each input, in Parquet, appended in parts.

It is a folder `manifest.parquet` in the destination, which pandas, Dask, DuckDB or Spark read as one table. A part is
complete or not there. Nobody changes one: a row of a later part about the same output stands in place of it.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from evc.catalogue.places import LocalPlace, Place, check_ours, empty_folder
from evc.format.constants import LAYERS, STREAM_ENVELOPE, STREAM_NAMES
from evc.format.errors import EvcError, InputError
from evc.output import writing

if TYPE_CHECKING:
    import pandas
    import pyarrow

MANIFEST, CSV = "manifest.parquet", "manifest.csv"
DONE, FAILED = "done", "failed"
OVERHEAD = "overhead"
KBPS = {row: f"kbps_{row}" for row in (*LAYERS, STREAM_NAMES[STREAM_ENVELOPE], OVERHEAD)}  # columns: rows of statistics

Record = dict[str, Any]  # a row, by column

# What a row says: of the input, what was asked for, of the output, of the work, and when it was done.
TEXTS = ("input", "digest", "stamp", "settings", "output", "output_digest", "status", "subtype", "title", "artist",
         "genre", "worker", "kind", "error", "warnings", "job", "version")  # fmt: skip
NUMBERS = ("duration", "kbps", *KBPS.values(), "seconds", "finished")
COUNTS = ("size", "samplerate", "channels", "bytes")
COLUMNS = (*TEXTS[:2], "size", "stamp", "settings", "output", "output_digest", "status", "duration", "samplerate",
           "channels", "subtype", "bytes", "kbps", *KBPS.values(), "title", "artist", "genre", "seconds", "worker",
           "kind", "error", "warnings", "finished", "job", "version")  # fmt: skip
_CSV_SIGN = re.compile(",".join(COLUMNS[:6]).encode())
_WORKSHOP = ".job-"
_MOST_PARTS = 32  # of one job, before they are put together
_STALE_SECONDS = 3600.0  # without a sign of life, after which a job is taken for dead


class Known(NamedTuple):
    """What the manifest says of an output, as far as it decides whether it has to be made anew."""

    input: str
    size: int
    stamp: str
    digest: str
    settings: str
    done: bool


class Manifest:
    """The manifest in a destination, as one job reads and writes it; other jobs may do so at the same time."""

    def __init__(self, destination: Place) -> None:
        self._place = destination
        self.job = time.strftime("%Y%m%dT%H%M%S", time.gmtime()) + "-" + secrets.token_hex(4)
        self._seen: set[str] = set()
        self._own: list[str] = []
        self._written = 0

    # --- Reading ------------------------------------------------------------------------------

    @property
    def is_there(self) -> bool:
        return bool(self._parts())

    def table(self, columns: Collection[str] | None = None) -> pandas.DataFrame:
        """One row for each output, the valid one; all columns, or those and what it takes to tell. Raises InputError
        where there is no manifest."""
        needed = None if columns is None else [*dict.fromkeys((*columns, *_DECIDING))]
        found = self._read(self._parts(), needed)
        if found is None:
            raise InputError(f"{self._place.root}: has no {MANIFEST}: evc catalogue encode makes one")
        return _valid(found.to_pandas())

    def known(self) -> dict[str, Known]:
        """What there is, by output."""
        names = self._parts()
        self._seen.update(names)
        found = self._read(names, [*_NEEDED])
        if found is None:
            return {}
        rows = _valid(found.to_pandas())
        columns = [rows[name].tolist() for name in ("input", "size", "stamp", "digest", "settings")]
        return dict(zip(rows["output"].tolist(), map(Known, *columns, (rows["status"] == DONE).tolist()), strict=True))

    def news(self) -> dict[str, Known]:
        """What other jobs have written since the last call, by output."""
        names = [name for name in self._parts() if name not in self._seen]
        self._seen.update(names)
        found = self._read(names, [*_NEEDED]) if names else None
        if found is None:
            return {}
        told = {name: found[name].to_pylist() for name in (*Known._fields[:-1], "output", "status")}
        rows = map(Known, *(told[name] for name in Known._fields[:-1]), [one == DONE for one in told["status"]])
        return dict(zip(told["output"], rows, strict=True))

    def _parts(self) -> list[str]:
        """Names of all parts, in the order of their jobs."""
        below = self._within()
        return sorted(one.name for one in below.files(frozenset((".parquet",))) if one.name.startswith("part-"))

    def _within(self) -> Place:
        return type(self._place)(self._place.full(MANIFEST))

    def _read(self, names: Sequence[str], columns: list[str] | None) -> pyarrow.Table | None:
        import pyarrow
        from pyarrow import parquet

        tables, below = [], self._within()
        for name in names:
            with suppress(FileNotFoundError):  # put together with others meanwhile
                try:
                    source = below.full(name) if isinstance(below, LocalPlace) else io.BytesIO(below.bytes_of(name))
                    part = parquet.ParquetFile(source)
                    if lacks := {*_NEEDED} - {*part.schema_arrow.names}:
                        raise pyarrow.ArrowInvalid(f"it has no column {min(lacks)}")
                    tables.append(part.read(columns))
                except pyarrow.ArrowInvalid as error:
                    why = " ".join(str(error).split())
                    text = f"{below.full(name)}: is no part of a manifest ({why}): remove it, or move it elsewhere"
                    raise EvcError(text) from error
        if not tables:
            return None
        try:
            return pyarrow.concat_tables(tables, promote_options="permissive")
        except pyarrow.ArrowTypeError:  # lists that disagree about a column of theirs
            return pyarrow.concat_tables([_spelt_out(table) for table in tables], promote_options="permissive")

    # --- Writing ------------------------------------------------------------------------------

    def append(self, records: Sequence[Record]) -> None:
        """Write a part with these rows, and now and then put own parts together."""
        if records:
            self._write(_table(records))
        if len(self._own) > _MOST_PARTS:
            self.put_together()

    def put_together(self) -> None:
        """Make one part of those that this job has written."""
        before = self._own
        if len(before) > 1 and (table := self._read(before, None)) is not None:
            self._own = []
            self._write(table)
            for name in before:
                self._within().remove(name)

    def _write(self, table: pyarrow.Table) -> None:
        from pyarrow import parquet

        data = io.BytesIO()
        parquet.write_table(table, data, compression="zstd")
        name = f"part-{self.job}-{self._written:06d}.parquet"
        self._within().write(name, data.getvalue())
        self._written += 1
        self._own.append(name)
        self._seen.add(name)

    def check_csv(self) -> None:
        """Raise InputError where `write_csv` would replace a file that is no manifest."""
        check_ours(self._place, CSV, _CSV_SIGN)

    def write_csv(self) -> str:
        """All rows as a CSV file beside the manifest; its path."""
        self._place.write(CSV, self.table().to_csv(index=False).encode("utf-8"))
        return self._place.full(CSV)

    # --- The workshop -------------------------------------------------------------------------

    def open_workshop(self) -> str:
        """The folder where workers make what is not complete yet, on the disk of the destination if that is one of
        this machine's. What dead jobs have left is removed."""
        if isinstance(self._place, LocalPlace):
            with suppress(FileNotFoundError), os.scandir(self._place.full(MANIFEST)) as entries:
                for entry in entries:
                    stale = time.time() - entry.stat().st_mtime > _STALE_SECONDS
                    if entry.name.startswith(_WORKSHOP) and stale:
                        empty_folder(entry.path)
        return self._place.workshop(self.workshop_name)

    @property
    def workshop_name(self) -> str:
        """As `Place.workshop` takes it."""
        return f"{MANIFEST}/{_WORKSHOP}{self.job}"

    def sign_of_life(self) -> None:
        """Tell other jobs that this one is not dead."""
        path = self._place.workshop(self.workshop_name)
        with writing(path):
            os.utime(path)

    def close_workshop(self) -> None:
        empty_folder(self._place.workshop(self.workshop_name))


_DECIDING = ("output", "status", "size", "stamp", "settings", "finished")
_NEEDED = (*_DECIDING, "input", "digest")


def _valid(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Of the rows about an output the last, or where that tells of a failure, an earlier one that tells of success
    with the same input and settings."""
    if rows["output"].is_unique:
        return rows
    rows = rows.sort_values("finished", kind="stable")
    last = rows.drop_duplicates("output", keep="last").set_index("output", drop=False)
    done = rows[rows["status"] == DONE].drop_duplicates("output", keep="last").set_index("output", drop=False)
    failed = last[last["status"] != DONE]
    better = done.loc[done.index.intersection(failed.index)]
    told = ["size", "stamp", "settings"]
    better = better[(better[told] == failed.loc[better.index, told]).all(axis=1)]
    if not len(better):
        return last.reset_index(drop=True)
    import pandas

    return pandas.concat([last.drop(better.index), better]).reset_index(drop=True)


def _table(records: Sequence[Record]) -> pyarrow.Table:
    import pyarrow

    kinds = dict.fromkeys(TEXTS, pyarrow.string()) | dict.fromkeys(NUMBERS, pyarrow.float64())
    kinds |= dict.fromkeys(COUNTS, pyarrow.int64())
    names = dict.fromkeys((*COLUMNS, *(name for record in records for name in record)))
    columns = {}
    for name in names:
        values = [record.get(name) for record in records]
        if name not in kinds:  # of a list: numbers or texts
            numbers = all(value is None or isinstance(value, float) for value in values)
            kinds[name] = pyarrow.float64() if numbers else pyarrow.string()
        columns[name] = pyarrow.array(values, kinds[name])
    return pyarrow.table(columns)


def _spelt_out(table: pyarrow.Table) -> pyarrow.Table:
    """With the columns that are not ours as texts."""
    import pyarrow

    for number, name in enumerate(table.column_names):
        if name not in COLUMNS:
            table = table.set_column(number, name, table.column(name).cast(pyarrow.string()))
    return table
