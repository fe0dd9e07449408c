"""Measures what patterns save: whole files encoded with `--patterns off` and `auto`, compared at equal quality and at
equal `--quality`.

    python tests/benchmarks/patterns.py FOLDER_OR_FILE... --csv RESULTS.csv [--qualities 3,5,7] [--efforts 2,6]
        [--seconds 20] [--jobs 1] [--tag NAME] [--baseline OFF.csv] [--manifest MANIFEST.csv]

Every file is encoded and decoded at each quality, without patterns and at each effort with them, and scored; how, and
how sizes are compared, says measuring.py. Measurements that RESULTS.csv has under the same tag are not repeated, so a
run goes on where it was stopped, and a finished one only prints. `--baseline` takes the measurements without patterns
from another run's CSV. `--manifest` adds the sizes at ODG -0.5 over those of the tracker modules that the files were
rendered from. Prints markdown. Speeds mean something where the machine has nothing else to do.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from measuring import BENCH, HIGHER_IS_BETTER, KEY, METRICS, Row, Setting, Task, bench, by_file, curve, measure, rows

SUFFIXES = {".wav", ".flac", ".ogg", ".aiff"}
TRANSPARENT = -0.5  # ODG


# Tables


def sizes_table(without: list[Row], patterns: list[Row]) -> Iterator[str]:
    """Every file, then means of the folders, the median and the worst of all."""
    columns = ["", "file", "seconds", "kbit/s off", "kbit/s auto", "NMR off, dB", "NMR auto, dB", "compared, dB"]
    yield from head([*columns, "size at equal NMR", *METRICS[1:]])
    plain = by_file(without)
    changes: dict[str, list[list[float]]] = {}
    for (folder, name), ours in by_file(patterns).items():
        theirs = plain.get((folder, name), [])
        compared = [curve(ours, metric).against(curve(theirs, metric)) for metric in METRICS]
        change = [share for share, _, _ in compared]
        changes.setdefault(folder, []).append(change)
        cells = [folder, name, f"{ours[0]['seconds']:.0f}", _each(theirs, _kbps), _each(ours, _kbps)]
        cells += [_each(measured, lambda row: f"{row['nmr']:.1f}") for measured in (theirs, ours)]
        _, worst, best = compared[METRICS.index("nmr")]
        yield line([*cells, f"{worst:.1f} to {best:.1f}", *map(percent, change)])
    summary = [(f"mean of {folder} ({len(of)})", np.nanmean(of, axis=0)) for folder, of in changes.items()]
    if everything := [change for of in changes.values() for change in of]:
        summary += [("median", np.nanmedian(everything, axis=0)), ("worst", np.nanmax(everything, axis=0))]
    for title, figures in summary:
        yield line(["", f"**{title}**", *[""] * 6, *(f"**{percent(figure)}**" for figure in figures)])


# What a file may be worse by with patterns at the same quality setting: mel as a share, all others as they are.
WORSE = {"nmr": 0.5, "mel": 0.05, "odg": 0.15, "zim": 0.7}


def settings_table(without: list[Row], patterns: list[Row]) -> Iterator[str]:
    """What patterns change at the same setting: bytes, and every metric, below 0 being better; then means, how many
    measurements are worse and worse by more than WORSE, and how many files fall in size or quality as it rises."""
    yield from head(["file", "quality", "bytes", *METRICS])
    plain = by_file(without)
    changes, falling = [], set()
    for key, ours in by_file(patterns).items():
        theirs = {row["quality"]: row for row in plain.get(key, [])}
        for row in ours:
            if other := theirs.get(row["quality"]):
                changes.append(change := {"bytes": row["bytes"] / other["bytes"] - 1} | dict(_worse(row, other)))
                cells = [percent(change["bytes"]), *(f"{change[name]:+.2f}" for name in METRICS)]
                yield line([key[1], f"{row['quality']:g}", *cells])
        falling |= {key[1] for measured in (ours, list(theirs.values())) if _falls(measured)}
    if not changes:
        return
    means = {name: float(np.nanmean([change[name] for change in changes])) for name in ("bytes", *METRICS)}
    yield line(["**mean**", "", percent(means["bytes"]), *(f"**{means[name]:+.2f}**" for name in METRICS)])
    for title, most in (("worse", dict.fromkeys(WORSE, 0.0)), ("worse by more", WORSE)):
        counts = {name: sum(change[name] > most[name] + 1e-4 for change in changes) for name in WORSE}
        yield line([f"{title}, of {len(changes)}", "", "", *(str(counts.get(name, "")) for name in METRICS)])
    yield line(["fall as quality rises", "", str(len(falling)), *[""] * len(METRICS)])


def _worse(row: Row, other: Row) -> Iterator[tuple[str, float]]:
    """By how much each metric of a row is worse than another's."""
    for name in METRICS:
        if name == "mel":
            yield name, row[name] / other[name] - 1
        else:
            yield name, (other[name] - row[name]) * (1 if name in HIGHER_IS_BETTER else -1)


def _falls(measured: list[Row]) -> bool:
    """Whether size or a metric falls, but for a hundredth, from one quality to the next."""
    rising = sorted(measured, key=lambda row: row["quality"])
    return any(
        after["bytes"] < before["bytes"] or any(worse > 0.01 for name, worse in _worse(after, before) if name in WORSE)
        for before, after in zip(rising, rising[1:])
    )


def speeds_table(sets: dict[str, list[Row]]) -> Iterator[str]:
    """Speeds over all measurements together, by the clock and per processor second; the largest peak of memory."""
    columns = ["patterns", "files", "encode, × real time", "per CPU second", "decode, × real time", "per CPU second"]
    yield from head([*columns, "encode, peak MiB", "decode, peak MiB"])
    for title, measured in sets.items():
        seconds = sum(row["seconds"] for row in measured)
        names = ("encode_s", "encode_cpu_s", "decode_s", "decode_cpu_s")
        speeds = [f"{seconds / sum(row[name] for row in measured):.2f}" for name in names]
        peaks = [f"{max(row[name] for row in measured):.0f}" for name in ("encode_mib", "decode_mib")]
        yield line([title, str(len(by_file(measured))), *speeds, *peaks])


def modules_table(modules: dict[str, int], without: list[Row], patterns: list[Row]) -> Iterator[str]:
    """Sizes at transparency over the xz sizes of the modules. Where no quality was transparent enough the largest size
    stands after >, where each was the smallest after <; the mean takes these as they are."""
    yield from head(["file", "module, xz bytes", "off, ×", "auto, ×"])
    plain = by_file(without)
    ratios = []
    for key, ours in by_file(patterns).items():
        if module := modules.get(key[1]):
            found = [curve(measured, "odg")(TRANSPARENT) for measured in (plain.get(key, []), ours)]
            ratios.append([size / module for _, size in found])
            yield line([key[1], str(module), *(f"{bound}{size / module:.1f}" for bound, size in found)])
    if ratios:
        means = np.exp(np.nanmean(np.log(ratios), axis=0))
        yield line(["**geometric mean**", "", *(f"**{mean:.1f}**" for mean in means)])


def module_sizes(manifest: Path) -> dict[str, int]:
    """xz bytes of modules by name, from a manifest with the columns module_path and module_bytes_xz."""
    with open(manifest, newline="") as file:
        found = [row for row in csv.DictReader(file) if row["module_bytes_xz"]]
    return {Path(row["module_path"]).stem: int(row["module_bytes_xz"]) for row in found}


def report(without: list[Row], patterns: list[Row], modules: dict[str, int] | None = None) -> Iterator[str]:
    """Markdown of everything, effort by effort."""
    sets = {"off": without}
    for effort in sorted({row["effort"] for row in patterns}):
        ours = [row for row in patterns if row["effort"] == effort]
        title = f"effort {effort}" if effort else "default effort"
        sets[f"auto, {title}"] = ours
        qualities = ", ".join(f"{quality:g}" for quality in sorted({row["quality"] for row in ours}))
        yield f"### Size with patterns against without, {title}, qualities {qualities}\n"
        yield from sizes_table(without, ours)
        yield ""
        yield f"### With patterns against without at the same setting, {title}\n"
        yield from settings_table(without, ours)
        yield ""
        if modules:
            yield f"### Size at transparency (ODG {TRANSPARENT}) over the generating module's, {title}\n"
            yield from modules_table(modules, without, ours)
            yield ""
    yield "### Speed\n"
    yield from speeds_table({title: measured for title, measured in sets.items() if measured})


def head(columns: list[str]) -> list[str]:
    return [line(columns), "|---" * len(columns) + "|"]


def line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _kbps(row: Row) -> str:
    return f"{row['bytes'] * 8 / row['seconds'] / 1000:.1f}"


def _each(measured: list[Row], text: Callable[[Row], str]) -> str:
    return " / ".join(map(text, measured))


def percent(share: float) -> str:
    return f"{100 * share:+.1f} %" if math.isfinite(share) else "n/a"


# The command


def sound_files(paths: list[Path]) -> list[Path]:
    """The files given, and the sound files of folders given."""
    found = [
        sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        for path in paths
    ]
    return [file for files in found for file in files]


def measure_all(tasks: list[Task], jobs: int) -> bool:
    """Measure what is missing, `jobs` files at a time; tells whether all of it went well."""
    tasks = [task for task in (task.rest() for task in tasks) if task.settings]
    fine = True
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done, (task, failures) in enumerate(zip(tasks, pool.map(measure, tasks), strict=True), 1):
            print(*failures, f"{done} of {len(tasks)}: {task.path.stem}", sep="\n", file=sys.stderr, flush=True)
            fine = fine and not failures
    return fine


def matching(measured: list[Row], keys: list[Row], names: tuple[str, ...]) -> list[Row]:
    """The rows that agree with one of the keys in the named columns."""
    wanted = {tuple(key[name] for name in names) for key in keys}
    return [row for row in measured if tuple(row[name] for name in names) in wanted]


def numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="sound files, or folders of them")
    parser.add_argument("--csv", type=Path, required=True, help="where measurements are kept")
    parser.add_argument("--qualities", type=numbers, default=[3.0, 5.0, 7.0], help="default 3,5,7")
    parser.add_argument("--efforts", default="", help="such as 2,6; default: the encoder's")
    parser.add_argument("--seconds", type=float, help="only the middle of each file")
    parser.add_argument("--jobs", type=int, default=1, help="files at a time")
    parser.add_argument("--tag", default="", help="a name for the state of the encoder")
    parser.add_argument("--baseline", type=Path, help="CSV of measurements without patterns")
    parser.add_argument("--manifest", type=Path, help="CSV with module_path and module_bytes_xz")
    parser.add_argument("--metrics", type=Path, default=BENCH, help="the rate-distortion bench")
    arguments = parser.parse_args()
    bench(arguments.metrics)

    settings = [Setting(q, "auto", effort) for effort in arguments.efforts.split(",") for q in arguments.qualities]
    if not arguments.baseline:
        settings += [Setting(quality, "off") for quality in arguments.qualities]
    shared = (arguments.seconds, arguments.tag, arguments.metrics, arguments.csv)
    tasks = [Task(path, tuple(settings), *shared) for path in sound_files(arguments.paths)]
    fine = measure_all(tasks, arguments.jobs)

    keys = [task.key(setting) for task in tasks for setting in settings]
    found = matching(rows(arguments.csv), keys, KEY)
    patterns, without = ([row for row in found if row["patterns"] == kind] for kind in ("auto", "off"))
    if arguments.baseline:
        same = [row for row in rows(arguments.baseline) if row["patterns"] == "off"]
        without = matching(same, keys, ("folder", "file", "excerpt"))
    modules = module_sizes(arguments.manifest) if arguments.manifest else None
    print("\n".join(report(without, patterns, modules)))
    raise SystemExit(not fine)


if __name__ == "__main__":
    main()
