"""Measures what copies bring to files with latents: the repetition bench's loops, and whole files.

    python tests/benchmarks/copies.py [FILE ...] [--kinds exact,fractional,melody,noise] [--repeats 4]
        [--bitrates 1.5,2,3,4.5,6] [--metrics FOLDER]

Of the loops (`repetition.py`) and of every FILE, all of it, prints a row at each bitrate (kbit/s) without copies
(`--patterns off`) and with them; then the least rate with copies, over the rate without, at which mel is the same, by
straight lines over the logarithm of the rate. Below a curve's end that is an upper bound. Metrics are those of the
rate-distortion bench: mel and zim (dB) are better lower, ViSQOL and tonal higher.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from latents import Audio, Row, scores
from measuring import BENCH, bench
from patterns import numbers
from repetition import BAR_SECONDS, RATE, track

import evc

COLUMNS = ("kbps", "mel", "visqol", "tonal", "zim", "copies")


def measured(audio: Audio, samplerate: int, bitrate: float, patterns: str, metrics: Path) -> Row:
    """The figures of one file."""
    data = evc.encode(audio, samplerate, hints="latent", bitrate=bitrate, patterns=patterns)
    with evc.open(io.BytesIO(data)) as file:
        decoded, copies = file.read(always_2d=True), len(file.occurrences)
    judge = bench(metrics)
    waves = (judge.resample(np.float64(wave.T), samplerate, 48_000) for wave in (audio, decoded))
    figures = scores(audio, decoded, samplerate, metrics) | {"zim": judge.zimtohrli(*waves), "copies": copies}
    return figures | {"kbps": 8 * len(data) * samplerate / len(audio) / 1000}


def equal_mel(off: list[Row], auto: list[Row]) -> Iterator[float]:
    """Rates with copies over those without, at the mel distance of each row without."""
    curve = sorted((row["mel"], np.log(row["kbps"])) for row in auto)
    for row in off:
        yield float(np.exp(np.interp(row["mel"], *zip(*curve, strict=True))) / row["kbps"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--kinds", default="", help="of loops; default: all where no file is given")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--bitrates", type=numbers, default=[1.5, 2.0, 3.0, 4.5, 6.0])
    parser.add_argument("--metrics", type=Path, default=BENCH, help="the rate-distortion bench")
    arguments = parser.parse_args()
    kinds = arguments.kinds or ("" if arguments.files else ",".join(BAR_SECONDS))
    sounds: list[tuple[str, Audio, int]] = []
    sounds += [(kind, track(kind, arguments.repeats).astype(np.float32), RATE) for kind in kinds.split(",") if kind]
    print("| | copies | " + " | ".join(COLUMNS) + " |\n|---|---|" + "---|" * len(COLUMNS))
    for path in arguments.files:
        sounds.append((path.stem, *soundfile.read(path, dtype="float32", always_2d=True)))
    for name, audio, samplerate in sounds:
        found: dict[str, list[Row]] = {"off": [], "auto": []}
        for bitrate in arguments.bitrates:
            for patterns, rows in found.items():
                rows.append(measured(audio, samplerate, bitrate, patterns, arguments.metrics))
                cells = " | ".join(f"{rows[-1][column]:.3f}" for column in COLUMNS)
                print(f"| {name} | {patterns} | {cells} |", flush=True)
        ratios = zip(arguments.bitrates, equal_mel(found["off"], found["auto"]), strict=True)
        print(f"{name}, rate at equal mel: " + ", ".join(f"{ratio:.2f} at {rate:g}" for rate, ratio in ratios))


if __name__ == "__main__":
    main()
