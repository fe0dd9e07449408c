"""Measures how near files come to the bitrate that was asked for, with and without patterns. Prints markdown; ends with
1 if one is off by more than 2 %.

    python tests/benchmarks/rates.py [--seconds 10]

What is encoded is the sequencer's track, from its start.
"""

from __future__ import annotations

import argparse
import itertools
import sys

import evc
from evc.models import sequencer

CASES = [  # sample rate, channels, kbit/s
    *((44_100, 2, bitrate) for bitrate in (6, 12, 32, 64, 160)),
    *((44_100, 1, bitrate) for bitrate in (6, 64)),
    *((16_000, 1, bitrate) for bitrate in (6, 10, 24)),
]
TOLERANCE = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the track")
    seconds = parser.parse_args().seconds
    worst = 0.0
    print("| kHz | channels | patterns | asked, kbit/s | met, kbit/s | off by |")
    print("|---|---|---|---|---|---|")
    for (samplerate, channels, bitrate), patterns in itertools.product(CASES, ("auto", "off")):
        audio = sequencer.track(seconds, samplerate)[:, :channels]
        data = evc.encode(audio, samplerate, bitrate=bitrate, hints="spectrum", patterns=patterns)
        met = 8 * len(data) * samplerate / len(audio) / 1000
        off = met / bitrate - 1
        worst = max(worst, abs(off))
        shape = f"{samplerate / 1000:g} | {channels} | {patterns}"
        print(f"| {shape} | {bitrate:g} | {met:.2f} | {100 * off:+.2f} % |", flush=True)
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
