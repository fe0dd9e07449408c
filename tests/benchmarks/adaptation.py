"""Measures what a network of its own brings to a file (`evc encode --adapt`).

    python tests/benchmarks/adaptation.py FILE ... [--bitrate 6] [--minutes M] [--less 0.8] [--json FILE] [--keep DIR]

Every file is encoded with latents at the bitrate, at a share of it (--less), and adapted at the bitrate. The two plain
files make the codec's own curve of each metric over the logarithm of the bytes; what the adapted file has over it is
told in per cent of the bytes that it would take without. All bytes count.

mel, tonal   as `models/hearing.py` has them, over the whole file in pieces of half a minute
zim          of the rate-distortion bench beside the checkout (`../shared/bench`, or --metrics), in dB; none without it
seconds      that encoding took, of one core
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from measuring import BENCH, bench

import evc
from evc.models import hearing
from evc.models.settings import EncodeSettings

PIECE = 30.0  # seconds
BETTER_HIGHER = ("tonal",)


def measured(source: Path, target: Path, settings: EncodeSettings, metrics: Path) -> dict[str, Any]:
    """A file encoded, and how it sounds."""
    told: list[str] = []
    begun = time.process_time()
    evc.encode_file(source, target, settings=settings, report=told.append)
    seconds = time.process_time() - begun
    found: dict[str, list[float]] = {"mel": [], "tonal": [], "zim": []}
    with soundfile.SoundFile(source) as sound, evc.open(target) as file:
        rate = sound.samplerate
        frames = round(PIECE * rate)
        while len(wanted := sound.read(frames, dtype="float32", always_2d=True).T) and wanted.shape[1] > rate:
            heard = file.read(wanted.shape[1], always_2d=True).T
            found["mel"].append(hearing.mel_distance(heard, wanted, rate))
            found["tonal"].append(hearing.tonal_similarity(heard, wanted, rate))
            if (metrics / "metrics.py").is_file():
                judge = bench(metrics)
                pair = (judge.resample(x, rate, 48_000) for x in (wanted, heard))
                found["zim"].append(10 ** (judge.zimtohrli(*pair) / 10))
        adapted = file.chain.adapted_bytes
    means = {name: float(np.mean(values)) if values else math.nan for name, values in found.items()}
    means["zim"] = 10 * math.log10(means["zim"]) if found["zim"] else math.nan
    told_of = {"bytes": target.stat().st_size, "adapted": adapted, "seconds": seconds, "told": "".join(told)}
    return means | told_of


def gains(less: dict[str, Any], plain: dict[str, Any], adapted: dict[str, Any]) -> dict[str, float]:
    """Per cent of the bytes, by metric."""
    found = {}
    for name in ("mel", "tonal", "zim"):
        slope = (plain[name] - less[name]) / math.log(plain["bytes"] / less["bytes"])
        reached = math.log(plain["bytes"]) + (adapted[name] - plain[name]) / slope
        found[name] = 100 * (1 - adapted["bytes"] / math.exp(reached))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--bitrate", type=float, default=6.0)
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--less", type=float, default=0.8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--metrics", type=Path, default=BENCH)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        print("| | bytes | of network | mel | tonal | zim | gain: mel, % | tonal, % | zim, % | seconds |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for source in options.files:
            rows = {}
            ways = ("less", options.less, None), ("plain", 1.0, None), ("own", 1.0, options.minutes)
            for name, share, adapt in ways:
                target = (options.keep or Path(folder)) / f"{source.stem}-{options.bitrate:g}-{name}.evc"
                settings = EncodeSettings(
                    hints="latent", patterns="off", bitrate=share * options.bitrate, adapt=adapt, device="cpu"
                )
                rows[name] = measured(source, target, settings, options.metrics)
            rows["gains"] = gains(rows["less"], rows["plain"], rows["own"])
            results[source.stem] = rows
            for name in ("plain", "own"):
                row = rows[name]
                cells = [f"{row['bytes']}", f"{row['adapted']}", *(f"{row[m]:.4f}" for m in ("mel", "tonal", "zim"))]
                told = [f"{value:.1f}" if name == "own" else "" for value in rows["gains"].values()]
                cells = [f"{source.stem}, {name}", *cells, *told, f"{row['seconds']:.0f}"]
                print("|", " | ".join(cells), "|", flush=True)
            if rows["own"]["told"].startswith("not"):
                print(f"{source.stem}: {rows['own']['told']}", flush=True)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
