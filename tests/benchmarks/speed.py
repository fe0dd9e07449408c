"""Measures how fast audio is encoded and decoded, with the compiled kernels and without. Prints markdown.

    python tests/benchmarks/speed.py                          # all of it: some minutes, and in NumPy some more
    python tests/benchmarks/speed.py --rows decode --paths compiled --clips tracker
    PYTHONPATH=OTHER python tests/benchmarks/speed.py --json before.json    # other code of EVC, for
    python tests/benchmarks/speed.py --against before.json

Speeds are multiples of real time: seconds of all clips over CPU seconds of all runs, in one thread, without imports and
start-up; CLIPS are those of the development corpus, a folder that EVC_CORPUS names. "Two threads over one" is of wall
time on a long file, and so are the seconds that commands take: for these the machine should have nothing else to do.
Opus is measured by CPU seconds of whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# Nothing that computes is imported up here: the processes that measure choose cores and kernels first.

CORPUS = Path(os.environ.get("EVC_CORPUS") or Path(__file__).resolve().parents[3] / "shared" / "corpus" / "dev")
CLIPS = (
    "electronic/lmms_CapDan-ReggaeTry", "electronic/lmms_Settel-InnerRecreation", "tracker/drozerix_bit_loader",
    "tracker/pingus_pingus-5", "acoustic/holizna_cabin_fever", "acoustic/librosa_hungarian_dance",
)  # fmt: skip
SWITCH_SECONDS = 1e-4  # as commands have it (evc/format/cores.py)
LONG, LONG_SECONDS = "electronic/lmms_CapDan-TwilightArea_full", 90.0
TRACK = "sequencer's track"
SETTINGS: dict[str, dict[str, Any]] = {
    "quality 6, patterns off": {"quality": 6, "hints": "spectrum", "patterns": "off"},
    "64 kbit/s, patterns off": {"bitrate": 64, "hints": "spectrum", "patterns": "off"},
    "default (quality 6, patterns)": {},
    "64 kbit/s, patterns": {"bitrate": 64},
    "latents, 6 kbit/s": {"bitrate": 6, "hints": "latent"},
    "events and noise, 1 kbit/s": {"bitrate": 1, "hints": "noise"},
}
PATHS = {"compiled": True, "NumPy": False}  # whether the kernels may run
STARTS = 5  # of each command, the fastest counts
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}

Figures = dict[str, float]  # by row


# What runs in a process of its own, which has one clip in memory at a time


def prepare(cores: int, kernels: bool) -> None:
    """Before anything is imported: evc takes as many threads as there are cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    os.environ.update(ONE_THREAD | environment(kernels))
    sys.setswitchinterval(SWITCH_SECONDS)
    warnings.simplefilter("ignore")  # of bitrates that are missed


def environment(kernels: bool) -> dict[str, str]:
    return {} if kernels else {"EVC_KERNELS": "0"}


@cache
def clip(name: str, seconds: float) -> tuple[Any, int]:
    """(float32 [frames, channels], sample rate) of the first `seconds`."""
    if name == TRACK:
        from evc.models import sequencer

        return sequencer.track(seconds), 44_100
    import soundfile

    path = CORPUS / f"{name}.flac"
    samplerate = soundfile.info(path).samplerate
    audio, _ = soundfile.read(path, round(seconds * samplerate), dtype="float32", always_2d=True)
    return audio, samplerate


@cache
def warm(setting: str) -> None:
    """Load what is loaded once."""
    import evc

    audio, samplerate = clip(TRACK, 2.0)
    evc.decode(evc.encode(audio, samplerate, **SETTINGS[setting]))


def encode(name: str, seconds: float, setting: str, target: Path, wall: bool = False) -> tuple[float, float]:
    """(seconds of audio, seconds that it took) of encoding a clip to the file `target`."""
    import evc

    warm(setting)
    audio, samplerate = clip(name, seconds)
    clock = time.perf_counter if wall else time.process_time
    begun = clock()
    data = evc.encode(audio, samplerate, **SETTINGS[setting])
    taken = clock() - begun
    target.write_bytes(data)
    return len(audio) / samplerate, taken


def decode(source: Path, setting: str, repeat: int, wall: bool = False) -> tuple[float, float]:
    """As `encode`, of the fastest of `repeat` runs."""
    import evc

    warm(setting)
    data = source.read_bytes()
    clock, times = time.perf_counter if wall else time.process_time, []
    for _ in range(repeat):
        begun = clock()
        audio, samplerate = evc.decode(data)
        times.append(clock() - begun)
    return len(audio) / samplerate, min(times)


def write_sound(name: str, seconds: float, target: Path) -> float:
    """A clip as WAV, for other programs. Returns its seconds."""
    import soundfile

    audio, samplerate = clip(name, seconds)
    soundfile.write(target, audio, samplerate, "PCM_16")
    return len(audio) / samplerate


# What is measured


class Measurements:
    """Of one set of clips; files lie in `folder`, and what is there is decoded as it is."""

    def __init__(self, clips: list[str], seconds: float, repeat: int, wanted: Callable[[str], bool], folder: Path):
        self._clips, self._seconds, self._repeat, self._wanted, self._folder = clips, seconds, repeat, wanted, folder

    def speeds(self, kernels: bool) -> Iterator[tuple[str, float]]:
        """Rows of multiples of real time in one thread."""
        with process(1, kernels) as run:
            for setting in SETTINGS:
                names = [f"{action}, {setting}" for action in ("encode", "decode")]
                if not any(map(self._wanted, names)):
                    continue
                taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
                for name in self._clips:
                    file = self._file(name, setting)
                    if self._wanted(names[0]) or not file.exists():
                        taken[names[0]].append(run(encode, name, self._seconds, setting, file))
                    if self._wanted(names[1]):
                        taken[names[1]].append(run(decode, file, setting, self._repeat))
                for name in filter(self._wanted, names):
                    audio, spent = map(sum, zip(*taken[name]))
                    yield name, audio / spent

    def threads(self, kernels: bool) -> Iterator[tuple[str, float]]:
        """Rows of wall time in one thread over that in two."""
        setting = "quality 6, patterns off"
        names = [f"two threads over one, {action}, {setting}" for action in ("encode", "decode")]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        if cores < 2 or not any(map(self._wanted, names)):
            return
        long, spent = LONG if self._clips != [TRACK] else TRACK, []
        for count in (1, 2):
            with process(count, kernels) as run:
                file = self._file(long, setting)
                _, encoding = run(encode, long, LONG_SECONDS, setting, file, wall=True)
                _, decoding = run(decode, file, setting, self._repeat, wall=True)
                spent.append((encoding, decoding))
        for name, one, two in zip(names, *spent):
            if self._wanted(name):
                yield name, one / two

    def starts(self, kernels: bool) -> Iterator[tuple[str, float]]:
        """Rows of milliseconds that a command takes in a process of its own."""
        latent, spectrum = "latents, 6 kbit/s", "quality 6, patterns off"
        short, plain = (self._folder / f"start {kernels} {number}.evc" for number in range(2))
        commands = {
            "evc --help": ["--help"],
            "evc info FILE": ["info", str(plain)],
            "evc decode, 2 s of spectrum": ["decode", "--force", str(plain), str(plain.with_suffix(".wav"))],
            "evc decode, 2 s of latents": ["decode", "--force", str(short), str(short.with_suffix(".wav"))],
        }
        if not any(map(self._wanted, commands)):
            return
        with process(1, kernels) as run:
            run(encode, TRACK, 2.0, latent, short)
            run(encode, TRACK, 2.0, spectrum, plain)
        for name, arguments in commands.items():
            if self._wanted(name):
                times = []
                for _ in range(STARTS):
                    begun = time.perf_counter()
                    evc(arguments, kernels)
                    times.append(time.perf_counter() - begun)
                yield name, 1000 * min(times)

    def opus(self) -> Iterator[tuple[str, float]]:
        """Rows of multiples of real time of Opus's programs, where they are installed."""
        names = ["opusenc, 64 kbit/s", "opusdec, 64 kbit/s"]
        if not all(map(shutil.which, ("opusenc", "opusdec"))) or not any(map(self._wanted, names)):
            return
        import resource

        def spent() -> float:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            return used.ru_utime + used.ru_stime

        totals = [0.0, 0.0, 0.0]
        with process(1, True) as run:  # counts when it has ended
            sounds = [self._folder / f"{number}.wav" for number in range(len(self._clips))]
            totals[0] = sum(run(write_sound, name, self._seconds, path) for name, path in zip(self._clips, sounds))
        for sound in sounds:
            encoded, decoded = sound.with_suffix(".opus"), sound.with_suffix(".decoded.wav")
            for place, command in enumerate(
                (["opusenc", "--bitrate", "64", str(sound), str(encoded)], ["opusdec", str(encoded), str(decoded)]), 1
            ):
                before = spent()
                subprocess.run(command, check=True, capture_output=True)
                totals[place] += spent() - before
        for place, name in enumerate(names, 1):
            if self._wanted(name):
                yield name, totals[0] / totals[place]

    def _file(self, name: str, setting: str) -> Path:
        return self._folder / (re.sub(r"\W+", "-", f"{name} {self._seconds:g} {setting}") + ".evc")


class process:
    """A context manager: calls functions in a process with so many cores, with kernels or without."""

    def __init__(self, cores: int, kernels: bool) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), prepare, (cores, kernels))

    def __enter__(self) -> Callable[..., Any]:
        return lambda function, *values, **named: self._pool.submit(function, *values, **named).result()

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def evc(arguments: list[str], kernels: bool) -> str:
    """What a command prints. Not run here, so that no module of this folder goes before the packages'."""
    command = [sys.executable, "-P", "-m", "evc.cli.main", *arguments]
    found = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, env=os.environ | environment(kernels)
    )
    return found.stdout


# The table


def table(measured: dict[str, Figures], before: Figures) -> Iterator[str]:
    """Markdown: a column for each path, and for what was before the ratios too (of times, where times are measured)."""
    heads = [*measured] + (["before", *(f"{path} / before" for path in measured)] if before else [])
    yield f"| × real time | {' | '.join(heads)} |"
    yield "|---" * (len(heads) + 1) + "|"
    rows = dict.fromkeys(row for figures in measured.values() for row in figures)
    for row in sorted(rows, key=lambda row: (row.startswith("evc "), row.startswith("two"), "opus" in row)):
        figures = [found.get(row) for found in measured.values()]
        unit = " ms" if row.startswith("evc ") else ""
        cells = [text(figure, unit) for figure in figures]
        if before:
            old = before.get(row)
            cells += [text(old, unit), *(text(new / old if new and old else None, "") for new in figures)]
        yield f"| {row} | {' | '.join(cells)} |"


def text(figure: float | None, unit: str) -> str:
    return "–" if figure is None else f"{figure:.0f}{unit}" if figure >= 100 or unit else f"{figure:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", metavar="WORD", default=[""], help="only rows that contain one of these")
    parser.add_argument("--clips", nargs="+", metavar="WORD", default=[""], help="only clips whose names contain one")
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS), help="with kernels, and without")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each clip")
    parser.add_argument("--repeat", type=int, default=2, help="runs of decoding, of which the fastest counts")
    parser.add_argument("--encoded", type=Path, metavar="DIR", help="keep encoded files; decode what is there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with the figures of an earlier run")
    options = parser.parse_args()

    if not (there := CORPUS.is_dir()):
        print(f"{CORPUS} is not there (EVC_CORPUS): the sequencer's track is measured, and cannot be compared\n")
    clips = [name for name in (CLIPS if there else [TRACK]) if any(word in name for word in options.clips)]
    version = evc(["--version"], True).strip()
    if "compiled" not in version.replace("no compiled", ""):  # there are none, or the code is older than they are
        options.paths = ["NumPy"]
    before: Figures = {}
    if options.against:
        earlier = json.loads(options.against.read_text())
        before = earlier.get("compiled") or earlier["NumPy"]

    with tempfile.TemporaryDirectory() as folder:
        kept = options.encoded or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)

        def wanted(row: str) -> bool:
            return any(word in row for word in options.rows)

        measurements = Measurements(clips, options.seconds, options.repeat, wanted, kept)
        measured: dict[str, Figures] = {path: {} for path in options.paths}
        for path, figures in measured.items():
            kernels, rows = PATHS[path], []
            rows = [measurements.speeds(kernels), measurements.threads(kernels), measurements.starts(kernels)]
            if path == options.paths[0]:
                rows.insert(1, measurements.opus())
            for row, figure in (found for part in rows for found in part):
                figures[row] = figure
                print(f"{path}: {row}: {figure:.4g}", file=sys.stderr, flush=True)
    print(f"{version}; {len(clips)} clips of {options.seconds:g} s\n")
    print(*table(measured, before), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
