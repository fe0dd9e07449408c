"""Measures what `--hints` chooses between: what a file costs and what it sounds like with events and noise, latents or
the spectrum.

    python tests/benchmarks/latents.py FILE_OR_FOLDER ... [--settings latent:3 spectrum:6] [--seconds 8] [--json FILE]

A setting is HINTS:KBPS, as `--hints` and `--bitrate` have it. Of every sound file the middle is measured, all files at
one setting before the next; means are by set (the folder a file is in) and of all files. What FILE has already is not
measured again, so a run goes on where it stopped, and several runs make one table. The metrics are those of the
rate-distortion bench beside the checkout (`../shared/bench`, or --metrics); without them only bits and speeds are
measured.

kbit/s     of the whole file, container included; beside it what each layer takes, and all that is no layer's
mel        multi-resolution log-mel distance (lower is better)
ViSQOL     version 3 in audio mode, 1 to 5, and its NSIM, 0 to 1 (higher is better)
tonal      fine spectral structure inside Bark bands, 0 to 1 (higher is better)
encode, decode   speed as a multiple of real time, by processor time of all threads

No metric moves the audio to fit: the codec has no delay.

With --savings: what latents cost at equal step sizes beside different layers below, at the bitrates of the settings
`latent:KBPS`. "noise" is a file's noise alone at 0.5 kbit/s (latents count in its levels: there is no less), "events
and noise" are those of 1 kbit/s; the two "loop"s are the second half of an excerpt whose first half is repeated
exactly, beside events and noise, or beside a copy of the first half as it was decoded, which costs a few bytes.
"latent" is what a file would take, "own" the entropy of each dimension under its own frequencies, without context.

With --integers: whether every file at each setting with latents, encoded on each device that there is, has the same
integers in processes of 1 to 8 threads, and how far the audio is from that of one thread, in dB below full scale.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from measuring import BENCH, bench
from numpy.typing import NDArray

import evc
from evc.format.networks import installed_too

SETTINGS = (
    "noise:1", "noise:2", "noise:3", "latent:1.5", "latent:2", "latent:3", "latent:4.5", "latent:6", "latent:8",
    "latent:12", "spectrum:6", "spectrum:8", "spectrum:12",
)  # fmt: skip
LAYERS = ("patterns", "events", "noise", "latent", "spectrum", "rest")
METRICS = ("mel", "visqol", "tonal", "nsim")
COLUMNS = (
    ("kbps", "kbit/s", ".2f"), ("mel", "mel", ".3f"), ("visqol", "ViSQOL", ".2f"), ("tonal", "tonal", ".3f"),
    ("nsim", "NSIM", ".3f"), ("encode", "encode ×", ".1f"), ("decode", "decode ×", ".1f"),
    *((layer, layer, ".2f") for layer in LAYERS),
)  # fmt: skip
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}

Audio = NDArray[np.floating]  # [frames, channels]
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What to encode with."""

    hints: str
    bitrate: float  # kbit/s

    @classmethod
    def parse(cls, text: str) -> Setting:
        hints, _, bitrate = text.partition(":")
        return cls(hints, float(bitrate))

    def __str__(self) -> str:
        return f"{self.hints}:{self.bitrate:g}"


# Figures of a file


def measure(audio: Audio, samplerate: int, setting: Setting, metrics: Path | None) -> tuple[Row, bytes, Audio]:
    """Encode, decode and score; (figures, the file, the decoded audio). Without `metrics` scores are NaN."""
    seconds = len(audio) / samplerate
    coded, encoding = _timed(lambda: evc.encode(audio, samplerate, hints=setting.hints, bitrate=setting.bitrate))
    (decoded, _), decoding = _timed(lambda: evc.decode(coded))
    decoded = decoded.reshape(audio.shape)
    row: Row = {"kbps": 8 * len(coded) / seconds / 1000, "encode": seconds / encoding, "decode": seconds / decoding}
    return row | scores(audio, decoded, samplerate, metrics) | rates(coded), coded, decoded


def scores(audio: Audio, decoded: Audio, samplerate: int, metrics: Path | None) -> Row:
    """METRICS: mel and tonal at 44.1 kHz, ViSQOL and NSIM at 48 kHz; NaN without `metrics`."""
    if metrics is None:
        return dict.fromkeys(METRICS, math.nan)
    judge = bench(metrics)
    waves = [np.ascontiguousarray(wave.T, np.float64) for wave in (audio, decoded)]
    low, high = ([judge.resample(wave, samplerate, rate) for wave in waves] for rate in (44_100, 48_000))
    mel, _ = judge.mel_and_stft_distance(*low)
    visqol, nsim = judge.visqol_audio(*high)
    return {"mel": mel, "visqol": visqol, "tonal": judge.tonal_similarity(*low), "nsim": nsim}


def rates(coded: bytes) -> Row:
    """kbit/s of each of LAYERS, zero where a file has none of it; "rest" is what no stream takes."""
    with evc.open(io.BytesIO(coded)) as file:
        stats = file.stats(symbols=False)
    found = {layer.name: stats.kbps(layer.bits) for layer in stats.layers} | {"rest": stats.kbps(stats.overhead_bits)}
    return {layer: found.get(layer, 0.0) for layer in LAYERS}


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What `work` returns, and seconds of processor time of all threads."""
    begun = time.process_time()
    result = work()
    return result, time.process_time() - begun


# Files


def middle(path: Path, seconds: float) -> tuple[Audio, int]:
    """(float32 [frames, channels], sample rate) of the middle of a sound file, or all of a shorter one."""
    info = soundfile.info(path)
    frames = min(info.frames, round(seconds * info.samplerate))
    audio, _ = soundfile.read(path, frames, (info.frames - frames) // 2, dtype="float32", always_2d=True)
    return audio, info.samplerate


def sound_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (file for file in inside if file.suffix.lower() in SUFFIXES)


def save(folder: Path, row: Row, audio: Audio, coded: bytes, decoded: Audio, samplerate: int) -> None:
    """Keep the original, the file and what it decodes to, so that they can be listened to."""
    name = f"{row['set']}_{row['file']}"
    own = folder / row["setting"].replace(":", "_")
    for target, wave in ((folder / "original", audio), (own, decoded)):
        target.mkdir(parents=True, exist_ok=True)
        soundfile.write(target / f"{name}.wav", wave, samplerate, subtype="FLOAT")
    (own / f"{name}.evc").write_bytes(coded)


# Tables


def mean(rows: list[Row]) -> Row:
    """Of every figure, without NaN."""
    return {key: _mean(row[key] for row in rows) for key, _, _ in COLUMNS}


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def table(rows: list[Row]) -> list[str]:
    """Lines of a table of means, a line per setting in the order in which they first appear."""
    titles = ["setting", "files", *(title for _, title, _ in COLUMNS)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        of = [row for row in rows if row["setting"] == setting]
        lines.append(line([setting, str(len(of))], mean(of)))
    return lines


def line(names: list[str], row: Row) -> str:
    return "| " + " | ".join([*names, *(format(row[key], form) for key, _, form in COLUMNS)]) + " |"


def report(rows: list[Row]) -> str:
    """Tables of all files and of each set."""
    sets = sorted({row["set"] for row in rows})
    parts = [("all", rows), *((name, [row for row in rows if row["set"] == name]) for name in sets)]
    return "\n".join(line for name, part in parts for line in (f"### {name}", "", *table(part), ""))


# Modes


def measured(arguments: argparse.Namespace, metrics: Path | None) -> None:
    """A row for every file at every setting."""
    rows = json.loads(arguments.json.read_text()) if arguments.json and arguments.json.exists() else []
    done = {(row["set"], row["file"], row["seconds"], row["setting"]) for row in rows}
    for setting in arguments.settings:
        evc.encode(np.zeros((4096, 2), np.float32), 44_100, hints=setting.hints, bitrate=setting.bitrate)  # imports
        for path in sound_files(arguments.paths):
            key = {"set": path.resolve().parent.name, "file": path.stem, "seconds": arguments.seconds}
            key["setting"] = str(setting)
            if tuple(key.values()) in done:
                continue
            audio, samplerate = middle(path, arguments.seconds)
            figures, coded, decoded = measure(audio, samplerate, setting, metrics)
            rows.append(key | figures)
            print(line([str(setting), path.stem.ljust(28)], figures), flush=True)
            if arguments.out:
                save(arguments.out, rows[-1], audio, coded, decoded, samplerate)
            write(arguments.json, rows)
        if arguments.table:
            arguments.table.write_text(report(rows))
    print("\n" + report(rows))


def saved_below(arguments: argparse.Namespace, metrics: Path | None) -> None:
    """What the layers below save in the latents."""
    from latent_checks import savings

    bitrates = [setting.bitrate for setting in arguments.settings if setting.hints == "latent"]
    rows: list[Row] = []
    for path in sound_files(arguments.paths):
        audio, samplerate = middle(path, arguments.seconds)

        def score(original: Audio, decoded: Audio, samplerate: int = samplerate) -> Row:
            return scores(original.T, decoded.T, samplerate, metrics)

        name = {"set": path.resolve().parent.name, "file": path.stem}
        rows += [name | row for row in savings(np.ascontiguousarray(audio.T), samplerate, bitrates, score)]
        print(path.stem, flush=True)
        write(arguments.json, rows)
    columns = (("below_kbps", ".2f"), ("latent", ".2f"), ("own", ".2f"), *((name, ".3f") for name in METRICS))
    print("| bitrate | below | " + " | ".join(name for name, _ in columns) + " |" + "\n" + "|---" * 9 + "|")
    for bitrate, below in dict.fromkeys((row["bitrate"], row["below"]) for row in rows):
        of = [row for row in rows if (row["bitrate"], row["below"]) == (bitrate, below)]
        cells = [format(_mean(row.get(name, math.nan) for row in of), form) for name, form in columns]
        print("| " + " | ".join([f"{bitrate:g}", below, *cells]) + " |")


def same_integers(arguments: argparse.Namespace) -> None:
    """Whether integers are the same everywhere."""
    from latent_checks import devices, integers

    rows: list[Row] = []
    for path, setting, device in itertools.product(sound_files(arguments.paths), arguments.settings, devices()):
        if setting.hints != "latent":
            continue
        audio, samplerate = middle(path, arguments.seconds)
        coded = evc.encode(audio, samplerate, hints=setting.hints, bitrate=setting.bitrate, device=device)
        with tempfile.NamedTemporaryFile(suffix=".evc") as file:
            Path(file.name).write_bytes(coded)
            found = integers(Path(file.name), arguments.weights)
        rows += [{"file": path.stem, "setting": str(setting), "device": device} | row for row in found]
        digests = {row["digest"] for row in found}
        off = 20 * math.log10(max(*(row["off"] for row in found), 1e-12))
        verdict = "the same integers" if len(digests) == 1 else f"{len(digests)} DIFFERENT SETS OF INTEGERS"
        print(f"{path.stem}, {setting}, encoded on {device}: {verdict}, audio within {off:.0f} dB", flush=True)
        write(arguments.json, rows)


def write(path: Path | None, rows: list[Row]) -> None:
    if path:
        path.write_text(json.dumps(rows, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="sound files, or folders of them")
    parser.add_argument("--settings", type=Setting.parse, nargs="+", default=[Setting.parse(text) for text in SETTINGS])
    parser.add_argument("--seconds", type=float, default=8.0, help="of the middle of each file")
    parser.add_argument("--weights", type=Path, help="folder of weights on trial, which go before the installed ones")
    parser.add_argument("--metrics", type=Path, default=BENCH, help="the rate-distortion bench")
    parser.add_argument("--out", type=Path, help="folder for the coded files and what they decode to")
    parser.add_argument("--json", type=Path, help="all figures; what is in it already is not measured again")
    parser.add_argument("--table", type=Path, help="where to write the tables too, after each setting")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--savings", action="store_true", help="what the layers below save in the latents")
    mode.add_argument("--integers", action="store_true", help="whether integers are the same everywhere")
    arguments = parser.parse_args()
    metrics = arguments.metrics if (arguments.metrics / "metrics.py").is_file() else None
    if metrics is None:
        print(f"NO SCORES: no metrics.py in {arguments.metrics}; bits and speeds only", flush=True)

    with installed_too(arguments.weights) if arguments.weights else nullcontext():
        if arguments.integers:
            same_integers(arguments)
        elif arguments.savings:
            saved_below(arguments, metrics)
        else:
            measured(arguments, metrics)


if __name__ == "__main__":
    main()
