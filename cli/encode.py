"""`evc encode`: from sound files to .evc."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import click

import evc
from evc.cli import batch
from evc.cli.common import (
    BITRATE,
    PATH,
    STANDARD,
    examples,
    input_file,
    output_file,
    patterns_text,
    size_text,
    time_text,
)
from evc.format.errors import EvcError
from evc.models.layers import LEAST_BITRATE
from evc.models.progress import Progress
from evc.models.settings import EncodeSettings

SUSTAINED = 0.8  # of a sound, and no more is said of it
HIGHEST_BITRATE = 2000.0  # kbit/s beyond which one is asked whether it was meant: a CD has 1411

force_bitrate_option = click.option(
    "--force-bitrate", is_flag=True, help=f"Take a bitrate of more than {HIGHEST_BITRATE:g} kbit/s as meant."
)


class _Minutes(click.ParamType):
    """Minutes, which may be left out: what comes next may then be taken for them."""

    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is no number of minutes; without one, put --adapt behind the files", param, ctx)


_KINDS: dict[str, Any] = {"bitrate": BITRATE, "adapt": _Minutes(), "adapt_state": PATH}
_WITHOUT_VALUE: dict[str, dict[str, Any]] = {"adapt": {"flag_value": "0"}}  # what options then have


@dataclass(frozen=True)
class _Options:
    """What every file of one command is encoded with."""

    settings: EncodeSettings
    verify: bool
    force: bool


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with an option for each of the encoder's settings, as these describe themselves."""
    for setting in reversed(fields(EncodeSettings)):
        told = setting.metadata
        kind: Any = click.Choice(told["choices"]) if told["choices"] else type(setting.default)
        if setting.default is None:
            kind = _KINDS.get(setting.name, float)
        command = click.option(
            f"--{setting.name.replace('_', '-')}", type=kind, is_flag=kind is bool, default=setting.default,
            metavar=told["name"] or None, help=told["help"], **_WITHOUT_VALUE.get(setting.name, {}),
        )(command)  # fmt: skip
    return command


@click.command(
    epilog=examples(
        "evc encode song.wav --bitrate 48  # makes song.evc",
        "evc encode music --recursive --out-dir encoded  # every sound file below a folder",
    )
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="IN... [OUT.evc]")
@setting_options
@force_bitrate_option
@click.option("--verify", is_flag=True, help="Decode the result again and check it before it appears.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@batch.batch_options
def encode(
    paths: tuple[str, ...],
    force_bitrate: bool,
    verify: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Encode sound files: IN becomes a file of the same name that ends in .evc, beside it.

    Several inputs may be given, and folders, whose sound files are inputs by their extensions. The last of several
    paths is an output if it ends in .evc; -o gives an output any name, --out-dir puts all into a folder.

    Reads what libsndfile reads, and through ffmpeg, where that is installed, more; "-" stands for standard input, or at
    the end for standard output. Tags, pictures and loop points are carried over.
    """
    asked = {setting.name: given.pop(setting.name) for setting in fields(EncodeSettings)}
    options = batch.Options(**given)
    if options.quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    if asked["bitrate"] is not None and not force_bitrate:
        check_sense(asked["bitrate"])
    try:
        settings = EncodeSettings(**asked)
    except EvcError as error:
        raise click.UsageError(str(error)) from error
    work = partial(_encode_one, options=_Options(settings, verify, options.force))
    kind = batch.Kind(batch.SOUND_ENDINGS, batch.ENDING, _names_output, "sound files", "encoding", "encoded")
    plan = batch.planned(paths, kind, options)
    if settings.adapt_state is not None and len(plan.jobs) > 1:
        raise click.UsageError("--adapt-state belongs to one file, not to several")
    return batch.run(plan, kind, options, work, _print_summary, as_json)


def check_sense(bitrate: float) -> None:
    """Raises UsageError for a bitrate that can hardly be meant."""
    if bitrate > HIGHEST_BITRATE:
        meant = bitrate / 1000  # who thinks in bit/s
        sensible = LEAST_BITRATE <= meant <= HIGHEST_BITRATE
        hint = f"did you mean {meant:g}? --force-bitrate if not" if sensible else "give kbit/s"
        raise click.UsageError(f"bitrate {bitrate:g} kbit/s is more than a CD has without any coding, 1411: {hint}")


def _names_output(path: str) -> bool:
    """Whether the last of several paths is an output. Raises UsageError where it can be nothing else, but lacks the
    extension."""
    ending = os.path.splitext(path)[1].lower()
    if path == STANDARD or ending == batch.ENDING:
        return True
    if ending not in batch.SOUND_ENDINGS and not os.path.lexists(path):
        raise click.UsageError(f"{path} does not exist; an output ends in {batch.ENDING}, or is named with -o")
    return False


def _encode_one(job: batch.Job, progress: Progress | None, options: _Options) -> batch.Summary:
    begun, told = time.monotonic(), list[str]()
    found = evc.encode_file(
        input_file(job.source),
        output_file(job.target, options.force),
        settings=options.settings,
        overwrite=options.force,
        verify=options.verify,
        progress=progress,
        report=told.append,
    )
    seconds = time.monotonic() - begun
    samples = found.frames * found.channels
    return {
        "source": job.source,
        "target": job.target,
        "bytes": found.bytes,
        "source_bytes": os.path.getsize(job.source) if os.path.isfile(job.source) else None,
        "kbps": found.kbps,
        "bits_per_sample": 8 * found.bytes / samples if samples else 0.0,
        "duration": found.duration,
        "seconds": seconds,
        "speed": found.duration / seconds if seconds else 0.0,
        **(_contents(job.target) if os.path.isfile(job.target) else {"layers": None, "patterns": None}),
        "told": told[0] if told else None,
        "verified": options.verify,
        "sustained": _sustained(job.source) if found.hints == "timbre" and os.path.isfile(job.source) else None,
    }


def _sustained(source: str) -> float:
    """The share of a sound file in which nothing is struck."""
    from evc.models.timbre.encoder import sustained
    from evc.sound.source import FileSource

    with FileSource(source) as audio:
        return sustained(audio)


def _contents(path: str) -> dict[str, Any]:
    """Bits of each layer and of the overhead, from the chunks alone, and what patterns there are."""
    with evc.open(path) as file:
        report = file.stats(symbols=False)
        patterns = patterns_text(file) if len(file.patterns) else None
    layers = {layer.name: layer.bits for layer in report.layers} | {"overhead": report.overhead_bits}
    return {"layers": layers, "patterns": patterns}


def _print_summary(summary: batch.Summary, as_one_of_many: bool) -> None:
    size = size_text(summary["bytes"])
    if before := summary["source_bytes"]:
        size = f"{size_text(before)} to {size} (1:{before / summary['bytes']:.1f})"
    speed = f"{time_text(summary['duration'])} of audio in {time_text(summary['seconds'])}"
    speed += f", {summary['speed']:.1f}x real time"
    name = "standard output" if summary["target"] == STANDARD else summary["target"]
    lines = [f"{name}: {size}, {summary['kbps']:.2f} kbit/s", speed]
    if summary["layers"] and summary["duration"]:
        total = 8 * summary["bytes"]
        lines.append(
            ", ".join(f"{name} {100 * bits / total:.1f} %" for name, bits in summary["layers"].items())
        )
    if summary["told"]:
        lines.append(summary["told"])
    if summary["patterns"]:
        lines.append(summary["patterns"])
    if (share := summary["sustained"]) is not None:
        lost = "" if share > SUSTAINED else ": what is struck does not survive timbres"
        lines.append(f"{100 * share:.0f} % of it is sustained{lost}")
    if summary["verified"]:
        lines.append("decoded again and checked")
    click.echo("\n  ".join(lines), err=summary["target"] == STANDARD)
