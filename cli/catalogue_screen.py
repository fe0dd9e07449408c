"""What `evc catalogue` shows: one screen while it works, lines of JSON for programs, and what came of it."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any, Self

import click

from evc.cli.common import size_text, time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evc.catalogue.job import Estimate, Totals
    from evc.catalogue.manifest import Record

_SHOWN_KINDS = 8


class Screen:
    """A context manager. What was `done` to files is told at the end; with `each_failure` every one that failed is
    told of at once. Rows are appended to `keep`, if that is given."""

    def __init__(
        self, done: str, as_json: bool, quiet: bool, each_failure: bool = False, keep: list[Any] | None = None
    ) -> None:
        self._keep = keep
        self._done, self._as_json, self._quiet, self._each_failure = done, as_json, quiet, each_failure
        self._examples: dict[str, str] = {}
        self._live: Any = None
        self._dashboard: str | None = None

    def __enter__(self) -> Self:
        if not (self._quiet or self._as_json) and sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty(), refresh_per_second=2
            )
            self._live.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*ended)

    def begin(self, dashboard: str | None, workers: int) -> None:
        """The cluster is there."""
        self._dashboard = dashboard
        if self._as_json:
            _print({"event": "start", "workers": workers, "dashboard": dashboard})
        elif dashboard and not self._quiet:
            click.echo(f"{workers} worker{'' if workers == 1 else 's'}, dashboard {dashboard}", err=True)

    def see(self, totals: Totals, row: Record | None) -> None:
        """As `evc.catalogue.job.See`."""
        if row is not None:
            if self._keep is not None:
                self._keep.append(row)
            if row["status"] == "failed":
                self._examples.setdefault(row["kind"], f"{row['input']}: {row['error']}")
                if self._each_failure:
                    click.echo(f"evc: {row['input']}: {row['error']}", err=True)
            if self._as_json:
                _print({"event": "file"} | row)
        elif self._live is not None:
            self._live.update(self._drawn(totals))

    def end(self, totals: Totals) -> None:
        """All is done."""
        if self._as_json:
            told = {name: value for name, value in vars(totals).items() if name not in ("left", "threads")}
            _print({"event": "end"} | told | {"errors": dict(totals.errors)})
            return
        if not self._each_failure:
            for kind, count in totals.errors.most_common(_SHOWN_KINDS):
                others = f" (and {count - 1} more like it)" if count > 1 else ""
                click.echo(f"evc: {self._examples[kind]}{others}", err=True)
        if not self._quiet:
            click.echo(_summary(totals, self._done))

    def _drawn(self, totals: Totals) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        over = totals.kept + totals.done + totals.failed + totals.skipped
        grid = Table.grid(padding=(0, 2))
        grid.add_row("files", f"{over} of {totals.files}", ProgressBar(max(totals.files, 1), over, width=40))
        speed = f"{totals.speed:.1f}x real time on {totals.threads} workers"
        grid.add_row("sound", time_text(totals.sound), speed)
        grid.add_row("bytes", size_text(totals.bytes_before), f"to {size_text(totals.bytes_after)}")
        left = time_text(totals.left / totals.threads) if totals.threads else "waiting for workers"
        grid.add_row("elapsed", time_text(totals.elapsed), f"remaining {left}")
        for kind, count in totals.errors.most_common(_SHOWN_KINDS):
            grid.add_row("failed", str(count), kind)
        if self._dashboard:
            grid.add_row("dashboard", "", self._dashboard)
        return Group(grid)


def _summary(totals: Totals, done: str) -> str:
    parts = [f"{totals.done} {done}", f"{totals.kept + totals.skipped} kept", f"{totals.failed} failed"]
    text = ", ".join(parts)
    if totals.done:
        sizes = f"{size_text(totals.bytes_before)} to {size_text(totals.bytes_after)}, " if totals.bytes_after else ""
        text += f"; {sizes}{time_text(totals.sound)} of audio in {time_text(totals.elapsed)}"
        text += f", {totals.speed:.1f}x real time"
    if totals.lost_workers:
        text += f"; {totals.lost_workers} worker{'' if totals.lost_workers == 1 else 's'} lost on the way"
    return text


def show_estimate(found: Estimate, as_json: bool) -> None:
    """What a job is likely to take."""
    seconds = found.work / found.threads if found.threads else math.nan
    if as_json:
        told = {name: value for name, value in vars(found).items() if name != "rows"}
        _print({"event": "estimate"} | told | {"wall": seconds, "tried": len(found.rows)})
        return
    failed = sum(row["status"] == "failed" for row in found.rows)
    workers = f"{found.threads} worker{'' if found.threads == 1 else 's'}"
    click.echo(f"{found.files} files to do, {found.kept} done already; from {len(found.rows)} that were tried:")
    click.echo(f"  about {time_text(found.sound)} of audio, {size_text(found.bytes_before)} to "
               f"{size_text(found.bytes_after)}, in {time_text(seconds)} on {workers}")  # fmt: skip
    if failed:
        click.echo(f"  {failed} of those tried failed")


def _print(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))
