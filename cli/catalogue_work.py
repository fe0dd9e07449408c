"""What the commands of `evc catalogue` share: sources, options, plans, and the job itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from evc.catalogue.needed import check_installed
from evc.cli import batch
from evc.cli.common import EXIT_FAILURES
from evc.format.errors import InputError

if TYPE_CHECKING:
    from evc.catalogue.manifest import Manifest
    from evc.catalogue.places import Place
    from evc.catalogue.plan import Plan
    from evc.catalogue.sources import Input
    from evc.catalogue.tasks import Work

SOURCES = click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value == "":
        raise click.BadParameter("the address is empty")
    return value


_OUT = click.option("--out", "destination", required=True, metavar="DEST", help="Folder or URL for all that is made.")
EVC = frozenset([batch.ENDING])


def _options(*chosen: Callable[..., Any]) -> Callable[..., Any]:
    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(chosen):
            command = option(command)
        return command

    return decorated


CLUSTER = _options(
    click.option("--scheduler", metavar="ADDRESS", callback=_address,
                 help="A Dask scheduler that is running, as tcp://host:8786."),
    click.option("--workers", type=click.IntRange(min=1), metavar="N",
                 help="Without --scheduler: processes on this machine; default: one per core."),
    click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for every file, and one for the whole."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)  # fmt: skip
MAKING = _options(
    _OUT,
    click.option("-f", "--force", is_flag=True, help="Replace outputs that no job of evc catalogue has made."),
    click.option("--checksum", is_flag=True, help="Tell by bytes which inputs have changed, not by size and time."),
    click.option("-n", "--dry-run", is_flag=True, help="Try a few files, and estimate time and bytes of all."),
    click.option("--csv", "as_csv", is_flag=True, help="Write the manifest as manifest.csv too."),
    CLUSTER,
)


class Making:
    """A command that makes a file of each."""

    def __init__(
        self, sources: Sequence[str], endings: frozenset[str], ending: str, done: str, *, destination: str, force: bool,
        checksum: bool, dry_run: bool, as_csv: bool, taken: Sequence[str] = (), **shown: Any,
    ) -> None:  # fmt: skip
        check_installed()
        from evc.catalogue.manifest import MANIFEST, Manifest
        from evc.catalogue.places import place

        self._sources, self._endings, self._ending, self._done = sources, endings, ending, done
        self._taken, self._force, self._checksum, self._as_csv, self._shown = taken, force, checksum, as_csv, shown
        self.dry_run, self.quiet, self.as_json = dry_run, shown["quiet"], shown["as_json"]
        self.place = place(destination)
        for one in (self.place, place(self.place.full(MANIFEST))):
            check_folder(one)
        self.manifest = Manifest(self.place)
        if as_csv and not (force or dry_run):
            self.manifest.check_csv()

    def run(self, kind: Callable[..., Work], settings: Callable[[dict[str, Any] | None], str], **more: Any) -> int:
        plan = self._plan(settings)
        work = kind(self.place, self.manifest.job, self.manifest.workshop_name, self._force, **more)
        if self.dry_run:
            return _estimate(work, plan, **self._shown)
        code = run(work, plan, self.manifest, self._done, **self._shown)
        if self._as_csv:
            self.manifest.write_csv()
        return code

    def _plan(self, settings: Callable[[dict[str, Any] | None], str]) -> Plan:
        from evc.catalogue.plan import planned
        from evc.catalogue.sources import inputs, outputs

        files = inputs(self._sources, self._endings)
        names = outputs(files, self._endings, self._ending, self._taken)
        usual = settings(None)
        texts = [self._own(settings, file) if file.columns else usual for file in files]
        return planned(files, names, texts, self.manifest.known(), self.place.names(self._ending), self._checksum)

    def _own(self, settings: Callable[[dict[str, Any] | None], str], file: Input) -> str:
        try:
            return settings(file.columns)
        except (InputError, click.UsageError) as error:
            lists = [one for one in self._sources if one.lower().endswith((".csv", ".parquet", ".jsonl"))]
            raise InputError(f"{', '.join(lists)}: {file.name}: {error}") from error


def check_folder(there: Place) -> None:
    """Raise InputError where there is a file, and a folder is to be."""
    from evc.catalogue.places import LocalPlace

    if isinstance(there, LocalPlace) and os.path.lexists(there.root) and not os.path.isdir(there.root):
        raise InputError(f"{there.root}: is a file, and no folder: remove it first, or name another")


@contextmanager
def _cluster(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    from evc.catalogue.cluster import Cluster

    if scheduler is not None and workers is not None:
        raise click.UsageError("--scheduler and --workers exclude each other: a cluster has its own workers")
    with Cluster(scheduler, workers) as cluster:
        yield cluster


def run(
    work: Work, plan: Plan, manifest: Manifest | None, done: str, *, scheduler: str | None, workers: int | None,
    as_json: bool, quiet: bool, each_failure: bool = False, keep: list[Any] | None = None,
) -> int:  # fmt: skip
    """Do a job, and tell of it: the exit code. Rows are appended to `keep`, if that is given."""
    from evc.catalogue.job import Job, Totals
    from evc.cli.catalogue_screen import Screen

    with Screen(done, as_json, quiet, each_failure, keep) as screen:
        if plan.todo:
            with _cluster(scheduler, workers) as cluster:
                screen.begin(cluster.dashboard, cluster.threads)
                totals = Job(work, plan, manifest, screen.see).run(cluster)
        else:
            totals = Totals(files=plan.kept, kept=plan.kept)
    screen.end(totals)
    return EXIT_FAILURES if totals.failed else 0


def _estimate(
    work: Work, plan: Plan, *, scheduler: str | None, workers: int | None, as_json: bool, quiet: bool
) -> int:
    from evc.catalogue.job import estimate
    from evc.cli.catalogue_screen import Screen, show_estimate

    with _cluster(scheduler, workers) as cluster:
        with Screen("tried", False, quiet or as_json) as screen:
            found = estimate(work, plan, cluster, screen.see)
    show_estimate(found, as_json)
    return 0
