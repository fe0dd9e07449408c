"""What `encode` and `decode` share: which inputs there are, where each goes, and how they are worked on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from evc.cli.common import (
    PATH,
    STANDARD,
    gathered_warnings,
    naming,
    print_json,
    progress_bar,
    refuse_same,
    show_warning,
    size_text,
    time_text,
)
from evc.format.cores import available_cores
from evc.format.errors import EvcError
from evc.models.progress import Progress

Summary = dict[str, Any]  # of a file, ready for JSON: at least source, target, bytes, source_bytes, duration, seconds
_Done = tuple[Summary, list[str]]  # with warnings

ENDING = ".evc"
# Of what libsndfile or ffmpeg reads, what is likely to be sound.
SOUND_ENDINGS = frozenset(
    ".8svx .aac .ac3 .aif .aifc .aiff .ape .au .avr .bw64 .bwf .caf .flac .m4a .m4b .mka .mp1 .mp2 .mp3 .nist .oga "
    ".ogg .opus .rf64 .snd .sph .svx .tta .voc .w64 .wav .wave .wma .wv".split()
)

_OPTIONS = (
    click.option("-o", "--output", type=PATH, metavar="OUT", help="Where the only input goes, whatever its name."),
    click.option(
        "--out-dir", type=click.Path(file_okay=False), metavar="DIR",
        help="Put every output into DIR; what lies in folders within a given folder, into the same ones there.",
    ),
    click.option("-r", "--recursive", is_flag=True, help="Look into the folders within a given folder as well."),
    click.option("--skip-existing", is_flag=True, help="Leave inputs alone whose outputs exist."),
    click.option("-f", "--force", is_flag=True, help="Replace outputs that exist."),
    click.option("--keep-times", is_flag=True, help="Give outputs the times of their inputs."),
    click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Files at a time; default: one per core."),
    click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors."),
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Those that both commands have."""

    output: str | None
    out_dir: str | None
    recursive: bool
    skip_existing: bool
    force: bool
    keep_times: bool
    jobs: int | None
    quiet: bool

    def __post_init__(self) -> None:
        for one, other in (("output", "out_dir"), ("force", "skip_existing")):
            if getattr(self, one) and getattr(self, other):
                raise click.UsageError(f"--{one} and --{other.replace('_', '-')} exclude each other")


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with the options of `Options`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Kind:
    """What a command does to files: `endings` of its inputs, in lower case, the `ending` of what it makes of them, and
    whether the last of several paths `names_output`. The rest is for messages: sound files, encoding, encoded."""

    endings: frozenset[str]
    ending: str
    names_output: Callable[[str], bool]
    inputs: str
    doing: str
    done: str


@dataclass(frozen=True)
class Job:
    source: str
    target: str


@dataclass(frozen=True)
class Plan:
    """What to do. `many` where that could be several files, however many there are."""

    jobs: list[Job]
    many: bool


def planned(paths: tuple[str, ...], kind: Kind, options: Options) -> Plan:
    """Which files go where. Raises UsageError where an output has no name, or stands in the way of another file."""
    output = options.output
    if output is None and len(paths) > 1 and kind.names_output(paths[-1]):
        paths, output = paths[:-1], paths[-1]
    folders = [path for path in paths if path != STANDARD and os.path.isdir(path)]
    if output is not None:
        if options.out_dir is not None:
            raise click.UsageError(f"--out-dir and the output {output} exclude each other")
        if len(paths) > 1 or folders:
            several = "a folder" if folders else f"{len(paths)} inputs"
            raise click.UsageError(f"{several} cannot become one file, {output}: --out-dir takes several")
        jobs = [Job(paths[0], output)]
    else:
        found = (job for path in paths for job in _derived(path, kind, options))
        # A file may be named twice, by itself and with its folder.
        jobs = list({(os.path.realpath(job.source), os.path.realpath(job.target)): job for job in found}.values())
    _check(jobs, options)
    if not jobs:
        deeper = "" if options.recursive else "; --recursive looks into the folders within"
        raise EvcError(f"{', '.join(folders)}: no {kind.inputs} here{deeper}")
    return Plan(jobs, len(jobs) > 1 or bool(folders) or options.out_dir is not None)


def _derived(path: str, kind: Kind, options: Options) -> Iterator[Job]:
    """The jobs of an input that goes beside itself, or into the folder for outputs."""
    if path == STANDARD:
        raise click.UsageError("standard input has no name to give to an output: name one with -o")
    if os.path.isdir(path):
        inputs = [(path, name) for name in _found(path, kind, options.recursive)]
    elif os.path.exists(path) and not os.path.isfile(path):
        raise click.UsageError(f"{path} is no file, with a name to give to an output: name one with -o")
    else:
        inputs = [os.path.split(path)]
    for folder, name in inputs:
        stem, ending = os.path.splitext(name)
        renamed = (stem if ending.lower() in kind.endings else name) + kind.ending
        beside = folder if options.out_dir is None else options.out_dir
        yield Job(os.path.join(folder, name), os.path.join(beside, renamed))


def _found(folder: str, kind: Kind, recursive: bool) -> list[str]:
    """Names, relative to `folder`, of the files in it that are inputs by their endings, sorted; nothing hidden."""

    def fail(error: OSError) -> None:
        raise EvcError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from error

    found: list[str] = []
    for path, folders, files in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in files:
            whole = os.path.join(path, name)
            if os.path.splitext(name)[1].lower() in kind.endings and not name.startswith(".") and os.path.isfile(whole):
                found.append(os.path.relpath(whole, folder))
    return sorted(found, key=lambda name: name.split(os.sep))


def _check(jobs: list[Job], options: Options) -> None:
    """Raise UsageError unless every output is a file of its own."""
    sources = {os.path.realpath(job.source) for job in jobs if job.source != STANDARD}
    taken: dict[str, str] = {}
    for source, target in ((job.source, job.target) for job in jobs):
        if options.keep_times and STANDARD in (source, target):
            raise click.UsageError("--keep-times is for files: standard input and output have no times")
        if target == STANDARD:
            continue
        refuse_same(source, target)
        place = os.path.realpath(target)
        if place in sources:
            raise click.UsageError(f"{target} would be the output of {source}, but is an input too")
        if place in taken:
            raise click.UsageError(f"{taken[place]} and {source} would both become {target}")
        taken[place] = source


def run(
    plan: Plan,
    kind: Kind,
    options: Options,
    work: Callable[[Job, Progress | None], Summary],
    show: Callable[[Summary, bool], None],
    as_json: bool = False,
) -> int:
    """Do all jobs and report; the exit code. `work`, which goes to other processes pickled, does one; `show` prints its
    summary, the second argument says whether as one of many."""
    begun = time.monotonic()
    todo = [job for job in plan.jobs if not (options.skip_existing and _is_there(job.target))]
    call = partial(_attempted, work, options.keep_times)
    summaries: list[Summary] = []
    if not plan.many and todo:
        with progress_bar(kind.doing, quiet=options.quiet) as progress:
            done = call(todo[0], progress)
        summaries.append(done[0])
        _report(done, plan, options, show, as_json)
    elif todo:
        if options.out_dir is not None:
            _make_folders({os.path.dirname(job.target) for job in todo})
        with closing(_worked_on(todo, call, kind, options)) as results:  # and the workers, if reporting fails
            for result in results:
                if isinstance(result, str):
                    click.echo(f"evc: {result}", err=True)
                else:
                    summaries.append(result[0])
                    _report(result, plan, options, show, as_json)
    if as_json and (plan.many or not todo):
        print_json(sorted(summaries, key=lambda one: plan.jobs.index(Job(one["source"], one["target"]))))
    skipped = len(plan.jobs) - len(todo)
    if not options.quiet and (plan.many or skipped):
        line = _totals(summaries, skipped, len(todo) - len(summaries), kind, time.monotonic() - begun)
        click.echo(line, err=as_json)
    return 0 if len(summaries) == len(todo) else 1


def _is_there(target: str) -> bool:
    return target != STANDARD and os.path.exists(target)


def _make_folders(folders: set[str]) -> None:
    for folder in sorted(folders):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise EvcError(f"{folder}: cannot be made ({(error.strerror or str(error)).lower()})") from error


def _worked_on(
    jobs: list[Job], call: Callable[[Job], _Done], kind: Kind, options: Options
) -> Generator[_Done | str, None, None]:
    """Several jobs, each as soon as it is done: what `call` returns, or why it failed."""
    attempt, count = partial(_caught, call), min(options.jobs or available_cores(), len(jobs))
    with progress_bar(kind.doing, files=True, quiet=options.quiet) as progress:
        if count == 1:
            results: Iterator[_Done | str] = map(attempt, jobs)
        else:
            from evc.cli.workers import worked

            results = worked(attempt, jobs, count)
        for number, result in enumerate(results, 1):
            yield result
            if progress:
                progress(number, len(jobs))


def _caught(call: Callable[[Job], _Done], job: Job) -> _Done | str:
    try:
        return call(job)
    except EvcError as error:
        return str(error)
    except MemoryError:
        return f"{job.source}: out of memory"
    except OSError as error:
        return f"{job.source}: {(error.strerror or str(error)).lower()}"


def _attempted(
    work: Callable[[Job, Progress | None], Summary], keep_times: bool, job: Job, progress: Progress | None = None
) -> _Done:
    """Do one job: its summary, and what it warned of."""
    times = None
    with suppress(OSError):  # what cannot be read, `work` will find
        found = os.stat(job.source)
        times = found.st_atime_ns, found.st_mtime_ns  # reading will change the first
    with gathered_warnings(job.source, job.target) as notes, naming(job.source, job.target):
        summary = work(job, progress)
        if keep_times and times is not None:
            try:
                os.utime(job.target, ns=times)
            except OSError as error:
                raise EvcError(f"{job.target}: its times cannot be set ({error.strerror})") from error
    return summary, notes


def _report(done: _Done, plan: Plan, options: Options, show: Callable[[Summary, bool], None], as_json: bool) -> None:
    if options.quiet:
        return
    summary, notes = done
    for note in notes:
        show_warning(note)
    if not as_json:
        show(summary, plan.many)
    elif not plan.many:
        print_json(summary, to_stderr=summary["target"] == STANDARD)


def _totals(summaries: list[Summary], skipped: int, failed: int, kind: Kind, seconds: float) -> str:
    """The line under many files."""
    counts = f"{len(summaries)} {kind.done}, {skipped} skipped, {failed} failed"
    before, after, audio = (sum(one[key] or 0 for one in summaries) for key in ("source_bytes", "bytes", "duration"))
    sums = f"; {size_text(before)} to {size_text(after)}, {time_text(audio)} of audio in {time_text(seconds)}"
    return counts + (sums if summaries else "")
