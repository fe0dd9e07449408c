"""Measures how fast files are encoded at 64 kbit/s and decoded, and how fast commands start. Prints markdown.

    python tests/benchmarks/speed.py [FOLDER] [--seconds 30] [--most 5]

FOLDER holds sound files; without one the sequencer's track is measured. Speeds are multiples of real time on all the
processor's cores, the best of `--repeat` runs. The machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import evc
from evc.models import sequencer

BITRATE = 64.0  # kbit/s
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff"}
STARTS = 5  # of each command, the fastest counts


def inputs(folder: Path | None, seconds: float, most: int) -> Iterator[tuple[str, np.ndarray, int]]:
    """(name, audio [frames, channels], sample rate) of up to `most` files, evenly chosen, their first `seconds`."""
    if folder is None:
        yield "sequencer's track", sequencer.track(seconds), 44_100
        return
    import soundfile

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    for path in paths[:: max(1, len(paths) // most)][:most]:
        samplerate = soundfile.info(path).samplerate
        audio, _ = soundfile.read(path, round(seconds * samplerate), dtype="float32", always_2d=True)
        yield path.stem, audio, samplerate


def fastest(work: Callable[[], object], repeat: int) -> float:
    """Seconds."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def start_up(*arguments: str) -> float:
    """Seconds that `evc ARGUMENTS` takes in a process of its own."""
    command = [sys.executable, "-m", "evc.cli.main", *arguments]
    return fastest(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), STARTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="sound files; default: the sequencer's track")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each file")
    parser.add_argument("--most", type=int, default=5, help="files")
    parser.add_argument("--repeat", type=int, default=2, help="runs, of which the fastest counts")
    arguments = parser.parse_args()
    evc.decode(evc.encode(np.zeros(100), 8_000))  # loads what is loaded once

    print(f"{os.cpu_count()} cores, {BITRATE:g} kbit/s\n")
    print("| file | seconds | kHz | channels | encode, × real time | decode, × real time |")
    print("|---|---|---|---|---|---|")
    totals = np.zeros(3)
    data = b""
    for name, audio, samplerate in inputs(arguments.folder, arguments.seconds, arguments.most):
        data = evc.encode(audio, samplerate, bitrate=BITRATE)
        encoding = fastest(lambda: evc.encode(audio, samplerate, bitrate=BITRATE), arguments.repeat)  # noqa: B023
        decoding = fastest(lambda: evc.decode(data), arguments.repeat)  # noqa: B023
        seconds = len(audio) / samplerate
        totals += seconds, encoding, decoding
        shape = f"{seconds:.1f} | {samplerate / 1000:g} | {audio.shape[1]}"
        print(f"| {name} | {shape} | {seconds / encoding:.1f} | {seconds / decoding:.1f} |", flush=True)
    print(f"| **all** | {totals[0]:.1f} | | | **{totals[0] / totals[1]:.1f}** | **{totals[0] / totals[2]:.1f}** |\n")

    print("| command | starts and ends within, ms |")
    print("|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "track.evc"
        path.write_bytes(data)
        print(f"| `evc --help` | {1000 * start_up('--help'):.0f} |")
        print(f"| `evc info FILE` | {1000 * start_up('info', str(path)):.0f} |")


if __name__ == "__main__":
    main()
