"""`evc catalogue`: many thousand files in one job, on all cores of a machine or on a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from evc.catalogue.needed import check_installed
from evc.cli import batch
from evc.cli.catalogue_told import events, stats
from evc.cli.catalogue_work import CLUSTER, EVC, MAKING, SOURCES, Making, run
from evc.cli.common import EXIT_FAILURES, SuggestingGroup, examples
from evc.cli.encode import check_sense, force_bitrate_option, setting_options
from evc.format.errors import EvcError, InputError
from evc.models.settings import EncodeSettings


@click.group(cls=SuggestingGroup)
def catalogue() -> None:
    """Encode, decode, check and describe many thousand files in one job.

    SOURCE is a folder, a glob in quotes, a list (.csv, .parquet or .jsonl with a column "path", and if you like
    "quality" or "bitrate"; all other columns are kept), a file, or the URL of any of them: s3://, gs://, sftp://, as
    fsspec opens it. The tree is kept.

    Work is done by Dask: on all cores of this machine, or on a cluster that is running (--scheduler). A job may be
    interrupted or killed at any moment; the same command goes on where it was. Outputs appear complete or not at all,
    and DEST/manifest.parquet tells of every one.

    It takes pip install 'evc[catalogue]'. Exits with 3 if all is done but some files failed.
    """


@catalogue.command(
    epilog=examples(
        "evc catalogue encode music --out encoded --quality 5",
        "evc catalogue encode 'music/**/*.flac' --out encoded --dry-run  # how long, and how large?",
        "evc catalogue encode s3://archive/list.parquet --out s3://archive/evc --scheduler tcp://head:8786",
    )
)
@SOURCES
@setting_options
@force_bitrate_option
@click.option("--verify", is_flag=True, help="Decode every result again and check it before it appears.")
@MAKING
def encode(sources: tuple[str, ...], force_bitrate: bool, verify: bool, **given: Any) -> int:
    """Encode sound files. What is encoded already, with these settings and from the same bytes, is left alone.

    A list may say the quality or the bitrate of each file.
    """
    from evc.catalogue.works import Encode, settings_text

    asked = {setting.name: given.pop(setting.name) for setting in fields(EncodeSettings)}
    if asked["bitrate"] is not None and not force_bitrate:
        check_sense(asked["bitrate"])
    if asked["adapt_state"] is not None:
        raise click.UsageError("--adapt-state belongs to one file, not to several")
    try:
        settings_text(asked)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    job = Making(sources, batch.SOUND_ENDINGS, batch.ENDING, "encoded", **given)

    def settings(columns: dict[str, Any] | None) -> str:
        own = (columns or {}).get("bitrate")
        if isinstance(own, float) and not force_bitrate:
            check_sense(own)
        return settings_text(asked, columns)

    return job.run(Encode, settings, verify=verify)


@catalogue.command(epilog=examples("evc catalogue decode encoded --out decoded --format flac"))
@SOURCES
@click.option("--format", "name", default="wav", metavar="EXT", help="wav, flac or another that evc decode writes.")
@MAKING
def decode(sources: tuple[str, ...], name: str, **given: Any) -> int:
    """Decode .evc files. What is decoded already is left alone."""
    from evc.catalogue.works import Decode
    from evc.soundfiles import output_format

    ending = "." + name.lower().removeprefix(".")
    try:
        output_format(f"output{ending}")
    except EvcError as error:
        raise click.UsageError(f"--format {name}: not a format that can be written, as wav and flac are") from error
    return Making(sources, EVC, ending, "decoded", **given).run(Decode, lambda _: f'{{"format": "{ending[1:]}"}}')


@catalogue.command(epilog=examples("evc catalogue report encoded --out pages --sections head,patterns"))
@SOURCES
@click.option("--sections", metavar="NAMES", help="Only these sections, as evc report has them.")
@MAKING
def report(sources: tuple[str, ...], sections: str | None, **given: Any) -> int:
    """Make a page about each .evc file, and a table of all, index.html."""
    from evc.catalogue.pages import check_index, write_index
    from evc.catalogue.works import Show
    from evc.report.write import CATALOGUE, check_parts, check_sections

    check_parts()
    chosen = None if sections is None else tuple(part.strip() for part in sections.split(","))
    check_sections(chosen)
    job = Making(sources, EVC, ".html", "shown", taken=[CATALOGUE], **given)
    if not (given["force"] or job.dry_run):
        check_index(job.place)
    code = job.run(Show, lambda _: f"sections {sections or 'all'}", sections=chosen)
    if not job.dry_run:
        index = write_index(job.place, job.manifest)
        if not (job.quiet or job.as_json):
            click.echo(index)
    return code


@catalogue.command(epilog=examples("evc catalogue verify encoded", "evc catalogue verify encoded --decode --json"))
@SOURCES
@click.option("--decode", "synthesis", is_flag=True, help="Synthesise all audio as well.")
@CLUSTER
def verify(sources: tuple[str, ...], synthesis: bool, **given: Any) -> int:
    """Check .evc files, as evc verify does; and where there is a manifest beside them, that each is still the one that
    was made, and none is missing."""
    from evc.catalogue.places import place
    from evc.catalogue.plan import Plan
    from evc.catalogue.sources import inputs
    from evc.catalogue.tasks import Item
    from evc.catalogue.works import Check

    check_installed()
    expected = _digests(sources)
    files = inputs(sources, EVC)
    items = [Item(one.path, one.name, one.size, one.stamp, "", expected.pop(one.path, "")) for one in files]
    work = Check(place("."), "verify", "", synthesis=synthesis)
    missing = sorted(expected)
    for path in missing:
        click.echo(f"evc: {path}: the manifest tells of it, but it is not there", err=True)
    code = run(work, Plan(items, 0), None, "checked", each_failure=True, **given)
    return EXIT_FAILURES if missing else code


def _digests(sources: Sequence[str]) -> dict[str, str]:
    """Of all outputs that manifests beside the sources tell of, by path."""
    from evc.catalogue.manifest import DONE, Manifest
    from evc.catalogue.places import place

    found: dict[str, str] = {}
    for source in sources:
        there = place(source)
        manifest = Manifest(there)
        if manifest.is_there:
            rows = manifest.table(["output", "output_digest"])
            rows = rows[(rows["status"] == DONE) & rows["output"].str.endswith(batch.ENDING)]
            found |= dict(zip(map(there.full, rows["output"].tolist()), rows["output_digest"].tolist(), strict=True))
    return found


for _told in (stats, events):
    catalogue.add_command(_told)
