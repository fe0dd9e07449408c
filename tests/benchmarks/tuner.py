"""Referee for one change of an encoder's rule or of a constant of the spectrum layer: every metric at equal bytes, on a
fixed set of works, in minutes.

    python tests/benchmarks/tuner.py TAG --csv RESULTS.csv [--against TAG] [--set MODULE.NAME=VALUE]
        [--qualities 1.5,3,4.5,6] [--seconds 8] [--files PART,PART] [--corpus FOLDER]

Works (FILES) are encoded without patterns and decoded in this process, with what is in the checkout, after the values
of `--set` (evc.models.spectrum.quantise.LAMBDA=0.1) have been put in place of constants of modules; measured by the
metrics of the rate-distortion bench; and kept in RESULTS.csv under TAG. What is there under that tag is not measured
again. `--against` prints, in markdown, how many bytes more or less than those under another tag take for equal
quality: means over files, then every file; below, the means of what was measured at each quality. Constants that the
compiled kernels know (evc/format/constants.py) need a build, or EVC_KERNELS=0.
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from measuring import BENCH, Curve, Row, bench
from numpy.typing import NDArray

import evc

METRICS = ("mel", "nmr", "odg", "visqol", "tonal", "zim")
HIGHER = {"odg", "visqol", "tonal"}
FIELDS = ("tag", "file", "quality", "bytes", "kbps", *METRICS, "energy")
CORPUS = BENCH.parent / "corpus" / "dev"
# Of every kind some, and of those that were worse than Opus by some metric most.
FILES = (
    "electronic/lmms_CapDan-ReggaetonTry",
    "electronic/lmms_EsoXLB-CPU",
    "electronic/lmms_Skiessi-222",
    "electronic/opensurge_citychill",
    "electronic/redeclipse_track_02",
    "electronic/sonicpi_arovane_beat_a",
    "midi/freedoom_d_e2m1",
    "midi/nottingham_jigs110",
    "tracker/drozerix_bit_loader",
    "tracker/drozerix_crush",
    "tracker/pingus_pingus-2",
    "acoustic/librosa_hungarian_dance",
    "acoustic/librosa_vibe_ace",
    "speech/librispeech_198-209-0000",
)


def measured(audio: NDArray[np.float64], samplerate: int, quality: float, metrics: Any, key: str) -> Row:
    """Bytes and metrics of `audio` [frames, channels] at one quality; `key` names it to the bench."""
    data = evc.encode(audio, samplerate, quality=quality, patterns="off", hints="spectrum")
    with evc.open(io.BytesIO(data)) as file:
        decoded = file.read(always_2d=True)
    pair = [np.ascontiguousarray(x.T, np.float64) for x in (audio, decoded)]
    at = {rate: [metrics.resample(x, samplerate, rate) for x in pair] for rate in (44_100, 48_000)}
    odg, _, nmr = metrics.peaq(*at[48_000], key)
    return {
        "bytes": len(data),
        "kbps": len(data) * 8e-3 * samplerate / len(audio),
        "mel": metrics.mel_and_stft_distance(*at[44_100], 44_100, key)[0],
        "nmr": nmr,
        "odg": odg,
        "visqol": metrics.visqol_audio(*at[48_000], 48_000, key)[0],
        "tonal": float(np.mean([metrics.tonal_similarity(*pair) for pair in zip(*at[44_100])])),
        "zim": metrics.zimtohrli(*at[48_000], key),
        "energy": metrics.energy_error(*at[48_000]),
    }


def excerpt(path: Path, seconds: float) -> tuple[NDArray[np.float64], int]:
    """The middle of a file, [frames, channels], and its sample rate."""
    info = soundfile.info(path)
    frames = min(info.frames, round(seconds * info.samplerate))
    audio, samplerate = soundfile.read(path, frames, (info.frames - frames) // 2, always_2d=True)
    return audio, samplerate


def put(setting: str) -> None:
    """MODULE.NAME=VALUE: put a number, or a tuple of numbers, in place of a constant."""
    name, _, value = setting.partition("=")
    module, _, constant = name.rpartition(".")
    found = importlib.import_module(module)
    if not hasattr(found, constant):
        raise SystemExit(f"{module} has no {constant}")
    setattr(found, constant, ast.literal_eval(value))


def rows(path: Path, tag: str) -> dict[tuple[str, float], Row]:
    """What was measured under a tag, by file and quality."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        texts = [row for row in csv.DictReader(file) if row["tag"] == tag]
    found: list[Row] = [text | {name: float(text[name]) for name in FIELDS[2:]} for text in texts]
    return {(row["file"], row["quality"]): row for row in found}


def append(path: Path, row: Row) -> None:
    """Add a row; the first begins the file."""
    start = "" if path.exists() else ",".join(FIELDS) + "\n"
    texts = [f"{row[name]:.7g}" if isinstance(row[name], float) else str(row[name]) for name in FIELDS]
    with path.open("a") as file:
        file.write(start + ",".join(texts) + "\n")


def changes(ours: list[Row], theirs: list[Row]) -> list[float]:
    """By METRICS, the bytes of one file for equal quality, as a share more than theirs."""
    found = []
    for metric in METRICS:
        sign = 1 if metric in HIGHER else -1
        curves = [Curve([(row["bytes"], sign * row[metric]) for row in of], "odg") for of in (ours, theirs)]
        found.append(curves[0].against(curves[1])[0])
    return found


def tables(ours: dict[tuple[str, float], Row], theirs: dict[tuple[str, float], Row]) -> Iterator[str]:
    """Bytes for equal quality, and the means at each quality, of what both have."""
    common = sorted(ours.keys() & theirs.keys())
    by_file: dict[str, list[float]] = {}
    for file in dict.fromkeys(name for name, _ in common):
        both = ([of[key] for key in common if key[0] == file] for of in (ours, theirs))
        by_file[file] = changes(*both)
    yield from head("file", *METRICS)
    for title, shares in {"**mean**": np.nanmean(list(by_file.values()), axis=0), **by_file}.items():
        yield f"| {title} | " + " | ".join(f"{100 * share:+.1f} %" for share in shares) + " |"
    yield ""
    yield from head("quality", "", "kbit/s", *METRICS, "energy")
    for quality in sorted({quality for _, quality in common}):
        for title, measurements in (("theirs", theirs), ("ours", ours)):
            some = [measurements[key] for key in common if key[1] == quality]
            means = [float(np.nanmean([row[name] for row in some])) for name in ("kbps", *METRICS, "energy")]
            cells = [f"{quality:g}", title, f"{means[0]:.1f}", *(f"{mean:.3f}" for mean in means[1:])]
            yield "| " + " | ".join(cells) + " |"


def head(*columns: str) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tag")
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--against", metavar="TAG")
    parser.add_argument("--set", action="append", default=[], metavar="MODULE.NAME=VALUE")
    parser.add_argument("--qualities", default="1.5,3,4.5,6")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--files", default="", help="parts of names, with commas between: only these of FILES")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    for setting in options.set:
        put(setting)
    done = rows(options.csv, options.tag)
    for name in FILES:
        todo = [quality for quality in map(float, options.qualities.split(",")) if (name, quality) not in done]
        if not todo or not any(part in name for part in options.files.split(",")):
            continue
        audio, samplerate = excerpt(options.corpus / f"{name}.flac", options.seconds)
        for quality in todo:
            row = measured(audio, samplerate, quality, bench(BENCH), name)
            append(options.csv, {"tag": options.tag, "file": name, "quality": quality, **row})
    if options.against:
        print(*tables(rows(options.csv, options.tag), rows(options.csv, options.against)), sep="\n")


if __name__ == "__main__":
    main()
