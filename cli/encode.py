"""`evc encode`: from sound files to .evc."""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import click

import evc
from evc.cli.common import (
    EXIT_TERMINATED,
    STANDARD,
    Progress,
    input_file,
    naming,
    output_file,
    patterns_text,
    print_json,
    progress_bar,
    refuse_same,
    size_text,
    time_text,
)
from evc.errors import EvcError
from evc.settings import DEFAULT_EFFORT, DEVICES, HIGHEST_EFFORT, HINTS, PATTERNS, PRESETS, EncodeSettings


@dataclass(frozen=True)
class _Options:
    """What every file of one command is encoded with."""

    bitrate: float | None
    quality: float | None
    device: str
    patterns: str
    effort: int
    preset: str
    hints: str
    verify: bool
    force: bool


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="IN OUT | IN... --out-dir DIR")
@click.option("--bitrate", type=float, metavar="KBPS", help="Target in kbit/s, from 0.4.")
@click.option("--quality", type=float, metavar="Q", help="Constant quality, 0 to 10; default 6.")
@click.option(
    "--preset",
    type=click.Choice(PRESETS),
    default="auto",
    help="events: the same as --hints noise.",
)
@click.option(
    "--hints",
    type=click.Choice(HINTS),
    default="auto",
    help="What tells of the sound. noise: a list of events, and noise, 0.4 to 6 kbit/s, default 1. latent: what a "
    "network needs to restore it from these, 1.2 to 16 kbit/s, default 6. spectrum: a waveform, from 6 kbit/s. auto: "
    "what measures best at the bitrate.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", help="Where networks run.")
@click.option(
    "--patterns",
    type=click.Choice(PATTERNS),
    default="auto",
    help="Code what repeats once, where that saves bits; off: never.",
)
@click.option(
    "--effort",
    type=click.IntRange(0, HIGHEST_EFFORT),
    default=DEFAULT_EFFORT,
    metavar="E",
    help=f"How thoroughly to look for patterns and events, 0 (fast) to {HIGHEST_EFFORT}; default {DEFAULT_EFFORT}.",
)
@click.option("--verify", is_flag=True, help="Decode the result again and check it before it appears.")
@click.option("--force", is_flag=True, help="Replace outputs that exist.")
@click.option(
    "--out-dir", type=click.Path(file_okay=False), metavar="DIR", help="Encode every input into DIR."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Files at a time with --out-dir; default: cores."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def encode(
    paths: tuple[str, ...],
    bitrate: float | None,
    quality: float | None,
    preset: str,
    hints: str,
    device: str,
    patterns: str,
    effort: int,
    verify: bool,
    force: bool,
    out_dir: str | None,
    jobs: int | None,
    as_json: bool,
) -> int:
    """Encode the sound file IN to the .evc file OUT, or several into a folder.

    Reads whatever libsndfile reads; "-" stands for standard input or output. Tags are carried over.
    """
    try:
        EncodeSettings(bitrate, quality, device, patterns, effort, preset, hints)
    except EvcError as error:
        raise click.UsageError(str(error)) from error
    options = _Options(bitrate, quality, device, patterns, effort, preset, hints, verify, force)
    if out_dir is not None:
        return _encode_all(paths, out_dir, options, jobs or os.cpu_count() or 1, as_json)
    if len(paths) != 2:
        raise click.UsageError("give one IN and one OUT, or several inputs and --out-dir")
    source, target = paths
    refuse_same(source, target)
    with progress_bar("encoding") as progress:
        summary = _encode_one(source, target, options, progress)
    _print_summary(summary, as_json, to_stderr=target == STANDARD)
    return 0


def _encode_one(
    source: str, target: str, options: _Options, progress: Progress | None = None
) -> dict[str, Any]:
    """Encode one file; the summary, ready for JSON."""
    begun = time.monotonic()
    output = output_file(target, options.force)
    with naming(source, target):
        found = evc.encode_file(
            input_file(source),
            output,
            bitrate=options.bitrate,
            quality=options.quality,
            device=options.device,
            patterns=options.patterns,
            effort=options.effort,
            preset=options.preset,
            hints=options.hints,
            overwrite=options.force,
            verify=options.verify,
            progress=progress,
        )
    seconds = time.monotonic() - begun
    samples = found.frames * found.channels
    return {
        "source": source,
        "target": target,
        "bytes": found.bytes,
        "source_bytes": os.path.getsize(source) if os.path.isfile(source) else None,
        "kbps": found.kbps,
        "bits_per_sample": 8 * found.bytes / samples if samples else 0.0,
        "duration": found.duration,
        "seconds": seconds,
        "speed": found.duration / seconds if seconds else 0.0,
        **(_contents(target) if os.path.isfile(target) else {"layers": None, "patterns": None}),
        "verified": options.verify,
    }


def _contents(path: str) -> dict[str, Any]:
    """Bits of each layer and of the overhead, from the chunks alone, and what patterns there are."""
    with evc.open(path) as file:
        report = file.stats(symbols=False)
        patterns = patterns_text(file) if len(file.patterns) else None
    layers = {layer.name: layer.bits for layer in report.layers} | {"overhead": report.overhead_bits}
    return {"layers": layers, "patterns": patterns}


def _print_summary(summary: dict[str, Any], as_json: bool, to_stderr: bool = False) -> None:
    if as_json:
        print_json(summary, to_stderr)
        return
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
    if summary["patterns"]:
        lines.append(summary["patterns"])
    if summary["verified"]:
        lines.append("decoded again and checked")
    click.echo("\n  ".join(lines), err=to_stderr)


def _encode_all(paths: tuple[str, ...], out_dir: str, options: _Options, jobs: int, as_json: bool) -> int:
    """Encode every input into a folder, `jobs` at a time; files that fail are reported, the others finish."""
    targets = _targets(paths, out_dir)
    os.makedirs(out_dir, exist_ok=True)
    summaries: list[dict[str, Any]] = []
    with progress_bar("encoding", files=True) as progress, _Workers(min(jobs, len(paths))) as workers:
        pending = [workers.submit(_attempt, path, target, options) for path, target in targets.items()]
        for done, future in enumerate(as_completed(pending), 1):
            summary = _outcome(future)
            if isinstance(summary, str):
                click.echo(f"evc: {summary}", err=True)
            else:
                summaries.append(summary)
                if not as_json:
                    _print_summary(summary, as_json)
            if progress:
                progress(done, len(pending))
    if as_json:
        print_json(summaries)
    return 0 if len(summaries) == len(paths) else 1


def _targets(paths: tuple[str, ...], out_dir: str) -> dict[str, str]:
    """Where each input goes. Raises UsageError where two inputs would go to one place."""
    targets: dict[str, str] = {}
    taken: dict[str, str] = {}
    for path in paths:
        if path == STANDARD:
            raise click.UsageError("standard input has no name to give to a file in --out-dir")
        target = str(Path(out_dir) / (Path(path).stem + ".evc"))
        if target in taken:
            raise click.UsageError(f"{taken[target]} and {path} would both become {target}")
        refuse_same(path, target)
        targets[path], taken[target] = target, path
    return targets


class _Workers(ProcessPoolExecutor):
    """Processes that leave interruptions to their parent, which ends them if it is interrupted itself."""

    def __init__(self, count: int) -> None:
        super().__init__(count, mp_context=get_context("spawn"), initializer=_start_worker)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for child in active_children():
                child.terminate()
        self.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))


def _attempt(source: str, target: str, options: _Options) -> dict[str, Any] | str:
    """In a worker: the summary, or why there is none."""
    try:
        return _encode_one(source, target, options)
    except EvcError as error:
        return str(error)
    except OSError as error:
        return f"{source}: {(error.strerror or str(error)).lower()}"
    except SystemExit:
        os._exit(EXIT_TERMINATED)  # the pool would go on to the next file


def _outcome(future: Future[dict[str, Any] | str]) -> dict[str, Any] | str:
    try:
        return future.result()
    except BrokenExecutor as error:
        raise EvcError("a worker process died, perhaps for want of memory: try fewer --jobs") from error
