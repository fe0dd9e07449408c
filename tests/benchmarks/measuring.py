"""What the benchmarks of patterns share: encode and decode files with the `evc` command, score them with the metrics
of the rate-distortion bench beside the checkout (`../shared/bench`), keep the measurements in a CSV, and compare sizes
at equal quality.

Metrics: NMR (total noise-to-mask ratio of PEAQ basic, dB), mel (multi-resolution log-mel distance), ODG (PEAQ basic),
ViSQOL (audio mode) and zim (distance by Zimtohrli, dB; NaN where it is not installed). Longer files are scored in
pieces of up to PIECE_SECONDS; NMR is then averaged as a ratio, the others as they are, weighted by length.

Size at equal quality: the mean of log(size / other size) over the range of a metric that two curves cover, each curve
being log(size) over the metric through its measured points (monotone cubics), as the Bjontegaard delta rate does it.
Sizes are whole files, container included.
"""

from __future__ import annotations

import csv
import functools
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

BENCH = Path(__file__).resolve().parents[2].parent / "shared" / "bench"
PIECE_SECONDS = 60.0  # scored at once: PEAQ takes some 15 MB a second
METRICS = ("nmr", "mel", "odg", "visqol", "zim")
HIGHER_IS_BETTER = {"odg", "visqol"}
KEY = ("tag", "folder", "file", "excerpt", "patterns", "effort", "quality")
FIELDS = (
    *KEY, "seconds", "channels", "bytes", *METRICS,
    "encode_s", "encode_cpu_s", "encode_mib", "decode_s", "decode_cpu_s", "decode_mib",
)  # fmt: skip

Row = dict[str, Any]


# Scoring


@functools.cache
def bench(folder: Path) -> Any:
    """The bench's module of metrics. Ends the program where it is missing."""
    if not (folder / "metrics.py").is_file():
        raise SystemExit(f"{folder}: no metrics.py in this folder; name the rate-distortion bench with --metrics")
    sys.path.insert(0, str(folder))
    import metrics

    return metrics


def score(reference: Path, decoded: Path, folder: Path, align: bool = False) -> dict[str, float]:
    """METRICS of a decoded file, NaN for what cannot be scored (silence). `align` removes a delay."""
    frames, samplerate = soundfile.info(reference).frames, soundfile.info(reference).samplerate
    pieces = max(1, math.ceil(frames / samplerate / PIECE_SECONDS))
    edges = [frames * piece // pieces / samplerate for piece in range(pieces + 1)]
    found = [_scored(reference, decoded, span, folder, align) for span in zip(edges[:-1], edges[1:], strict=True)]
    values = np.array([[10 ** (nmr / 10), *others] for nmr, *others in found])
    weights = np.where(np.isfinite(values), np.diff(edges)[:, None], 0)
    nmr, *others = (np.nan_to_num(values) * weights).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)
    figures = (10 * math.log10(nmr) if nmr > 0 else math.nan, *others)
    known = weights.sum(axis=0) > 0
    return {name: float(figures[at]) if known[at] else math.nan for at, name in enumerate(METRICS)}


def _scored(
    reference: Path, decoded: Path, span: tuple[float, float], folder: Path, align: bool
) -> tuple[float, ...]:
    """The METRICS of a span in seconds."""
    metrics = bench(folder)
    (original, samplerate), (audio, rate) = (_read(path, span) for path in (reference, decoded))
    audio = metrics.resample(audio, rate, samplerate)[:, : original.shape[1]]
    audio = np.pad(audio, ((0, 0), (0, original.shape[1] - audio.shape[1])))
    if align:
        audio = metrics.align(original, audio, samplerate)[0]
    key = f"{reference} {span}"  # the bench keeps what it worked out about the latest reference
    pairs = {rate: [metrics.resample(x, samplerate, rate) for x in (original, audio)] for rate in (44_100, 48_000)}
    odg, _, nmr = metrics.peaq(*pairs[48_000], key)
    mel, _ = metrics.mel_and_stft_distance(*pairs[44_100], 44_100, key)
    visqol, _ = metrics.visqol_audio(*pairs[48_000], 48_000, key)
    return nmr, mel, odg, visqol, metrics.zimtohrli(*pairs[48_000], key)


def _read(path: Path, span: tuple[float, float]) -> tuple[NDArray[np.float64], int]:
    """A span in seconds: [channels, frames], and the sample rate."""
    samplerate = soundfile.info(path).samplerate
    start, stop = (round(seconds * samplerate) for seconds in span)
    audio, _ = soundfile.read(path, start=start, stop=min(stop, soundfile.info(path).frames), always_2d=True)
    return np.ascontiguousarray(audio.T), samplerate


# Measuring


@dataclass(frozen=True)
class Setting:
    """What a file is encoded with. `effort` "" is the encoder's own choice, and stands where patterns are off."""

    quality: float
    patterns: str
    effort: str = ""

    def options(self) -> list[str]:
        effort = ["--effort", self.effort] if self.effort else []
        return ["--quality", f"{self.quality:g}", "--patterns", self.patterns, *effort]


@dataclass(frozen=True)
class Task:
    """Measurements to be made of one file, or of the middle `seconds` of it, and where they go."""

    path: Path
    settings: tuple[Setting, ...]
    seconds: float | None
    tag: str
    metrics: Path
    csv: Path

    def key(self, setting: Setting) -> Row:
        excerpt = "" if self.seconds is None else f"{self.seconds:g}"
        names = (self.tag, self.path.parent.name, self.path.stem, excerpt, setting.patterns, setting.effort)
        return dict(zip(KEY, (*names, float(setting.quality)), strict=True))

    def rest(self) -> Task:
        """The task without what the CSV has already."""
        done = {tuple(row[name] for name in KEY) for row in rows(self.csv)}
        todo = tuple(setting for setting in self.settings if tuple(self.key(setting).values()) not in done)
        return Task(self.path, todo, self.seconds, self.tag, self.metrics, self.csv)


def measure(task: Task) -> list[str]:
    """Make a task's measurements, each of which becomes a row at once. Returns what failed."""
    failures = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = task.path
        if task.seconds is not None and task.settings:
            source = excerpt(task.path, task.seconds, folder / "excerpt.wav")
        for setting in task.settings:
            try:
                append(task.csv, task.key(setting) | _measured(source, setting, folder, task.metrics))
            except RuntimeError as error:
                failures.append(f"{task.path} {' '.join(setting.options())}: {error}")
    return failures


def _measured(source: Path, setting: Setting, folder: Path, metrics: Path) -> Row:
    """Encode, decode and score one file."""
    coded, decoded = folder / "coded.evc", folder / "decoded.wav"
    evc = (sys.executable, "-m", "evc.cli.main")
    encoding = run(*evc, "encode", "--force", *setting.options(), str(source), str(coded))
    decoding = run(*evc, "decode", "--force", str(coded), str(decoded))
    info = soundfile.info(source)
    row: Row = {"seconds": info.duration, "channels": info.channels, "bytes": coded.stat().st_size}
    for name, figures in (("encode", encoding), ("decode", decoding)):
        row |= {f"{name}_{unit}": figure for unit, figure in zip(("s", "cpu_s", "mib"), figures, strict=True)}
    return row | score(source, decoded, metrics)


def run(*arguments: str) -> tuple[float, float, float]:
    """Run a command: its wall-clock seconds, processor seconds, and peak MiB. Raises RuntimeError where it fails."""
    done = subprocess.run([sys.executable, "-c", _RUNNER, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])
    wall, processor, kibibytes = map(float, done.stdout.split())
    return wall, processor, kibibytes / 1024


# A child's peak memory begins with that of its parent, so a small process stands in between.
_RUNNER = """
import resource, subprocess, sys, time
begun = time.perf_counter()
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(code != 0)
"""


def excerpt(path: Path, seconds: float, target: Path) -> Path:
    """Write the middle of a file as 16-bit WAV."""
    info = soundfile.info(path)
    frames = min(info.frames, round(seconds * info.samplerate))
    audio, _ = soundfile.read(path, frames, (info.frames - frames) // 2, always_2d=True)
    soundfile.write(target, audio, info.samplerate, subtype="PCM_16")
    return target


# Rows


def append(path: Path, row: Row) -> None:
    """Add a row to a CSV in one piece, so that several processes may; the first begins the file."""
    texts = [f"{row[name]:.7g}" if isinstance(row[name], float) else str(row[name]) for name in FIELDS]
    try:
        with open(path, "x") as file:
            file.write(",".join(FIELDS) + "\n")
    except FileExistsError:
        pass
    with open(path, "a") as file:
        file.write(",".join(texts) + "\n")


def rows(path: Path) -> list[Row]:
    """The rows of a CSV, numbers being numbers. None if there is no such file."""
    if not path.exists():
        return []
    texts = set(KEY) - {"quality"}
    with open(path, newline="") as file:
        found = list(csv.DictReader(file))
    return [{name: text if name in texts else float(text) for name, text in row.items()} for row in found]


def by_file(measured: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    """Rows of each (folder, file), by quality."""
    files: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(measured, key=lambda row: row["quality"]):
        files.setdefault((row["folder"], row["file"]), []).append(row)
    return dict(sorted(files.items()))


# Comparing


class Curve:
    """log(size) of one file as a function of a metric, through the measured points that improve on all cheaper ones."""

    def __init__(self, points: Iterable[tuple[float, float]], metric: str) -> None:
        """`points` are (bytes, value of the metric)."""
        self.sign = 1 if metric in HIGHER_IS_BETTER else -1
        kept = list(_improving((size, self.sign * value) for size, value in sorted(points)))
        self.logarithms = np.log([size for size, _ in kept])
        self.values = np.array([value for _, value in kept])

    def __call__(self, value: float) -> tuple[str, float]:
        """Bytes at a value of the metric; where the curve does not reach it those of the nearer end, after < or >."""
        if not len(self.values):
            return "", math.nan
        value *= self.sign
        bound = "<" if value < self.values[0] else ">" if value > self.values[-1] else ""
        if bound or len(self.values) == 1:
            return bound, math.exp(self.logarithms[-1 if bound == ">" else 0])
        return bound, math.exp(float(self._through()(value)))

    def against(self, other: Curve) -> tuple[float, float, float]:
        """The change of size against another curve at equal metric, as a share (negative: smaller), and the range
        that was compared, from worse to better. NaN where the curves have none in common."""
        if min(len(self.values), len(other.values)) < 2:
            return math.nan, math.nan, math.nan
        worst, best = max(self.values[0], other.values[0]), min(self.values[-1], other.values[-1])
        if best - worst < 1e-6:
            return math.nan, math.nan, math.nan
        difference = self._through().integrate(worst, best) - other._through().integrate(worst, best)
        return math.exp(float(difference) / (best - worst)) - 1, float(self.sign * worst), float(self.sign * best)

    def _through(self) -> Any:
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self.values, self.logarithms)


def _improving(points: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    best = -math.inf
    for size, value in points:
        if math.isfinite(value) and value > best + 1e-9:
            best = value
            yield size, value


def curve(measured: Iterable[Row], metric: str) -> Curve:
    """The curve of one file's rows."""
    return Curve(((row["bytes"], row[metric]) for row in measured), metric)
