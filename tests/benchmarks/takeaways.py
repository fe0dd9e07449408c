"""Measures what musicians take away: notes against scores, and cuts that are joined again. Prints markdown.

    python tests/benchmarks/takeaways.py notes FOLDER    # of renders NAME.wav with their scores NAME.mid
    python tests/benchmarks/takeaways.py cuts FILE.evc...

Notes: each render is encoded at every rate with hints of noise, and the notes that `evc events --midi` writes are
compared with the score's, drums left out: as many pairs as can be had of one pitch, onsets 50 ms apart at most. Cuts:
every file is cut in ten at random places, the parts are joined, and their samples compared with the file's.
"""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path

import mido
import numpy as np

import evc
from evc.editing.cutting import cut_file
from evc.editing.joining import join_files
from evc.exports.notes import notes_of
from evc.exports.train_notes import hits

RATES = (1.0, 2.5)  # kbit/s
DRUMS = 9  # channel
PARTS = 10


def score(path: Path, seconds: float) -> np.ndarray:
    """Onset and pitch of the notes that begin before the end, [n, 2]."""
    time, found = 0.0, []
    for message in mido.MidiFile(path):
        time += message.time
        if message.type == "note_on" and message.velocity and message.channel != DRUMS:
            found.append((time, message.note))
    return np.array([note for note in found if note[0] < seconds - 0.02])


def measure_notes(folder: Path) -> None:
    rates = "".join(f" F at {rate:g} kbit/s |" for rate in RATES)
    print(f"| work | notes |{rates}\n|---|---|{'---|' * len(RATES)}")
    means = []
    for wav in sorted(folder.glob("*.wav")):
        row = []
        for rate in RATES:
            target = io.BytesIO()
            evc.encode_file(wav, target, bitrate=rate, hints="noise")
            with evc.open(target) as file:
                wanted = score(wav.with_suffix(".mid"), file.duration)
                found = notes_of(file.events, file.duration)
            told = np.column_stack([found.times, found.pitches])
            row.append(2 * hits(wanted, told) / (len(wanted) + len(told)))
        means.append(row)
        print(f"| {wav.stem} | {len(wanted)} |" + "".join(f" {value:.2f} |" for value in row), flush=True)
    print("| mean | |" + "".join(f" {value:.3f} |" for value in np.mean(means, axis=0)))


def measure_cuts(paths: list[Path]) -> None:
    print("| file | segments | of parts | coded anew | greatest difference outside of these |\n|---|---|---|---|---|")
    for number, path in enumerate(paths):
        with evc.open(path) as file:
            whole, segments = file.read(always_2d=True), file.segments
            edges = np.random.default_rng(number).choice(np.arange(1, file.frames), PARTS - 1, replace=False)
            edges = [0, *sorted(edges.tolist()), file.frames]
            parts, kept, anew, sure = [], 0, 0, np.zeros(file.frames, bool)
            for start, end in zip(edges, edges[1:]):
                target = io.BytesIO()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    report = cut_file(file, target, start, end - start)
                parts.append(target)
                kept, anew = kept + report.kept, anew + report.coded_anew
                sure[start:end] = True
                with evc.open(target) as part:
                    for mine, its in zip(part.segments, segments):
                        if its.dependencies and not mine.dependencies:
                            reach = its.frames // 2
                            sure[max(start, its.start - reach) : min(end, its.start + its.frames + reach)] = False
        joined = io.BytesIO()
        join_files(parts, joined)
        with evc.open(joined) as file:
            difference = np.abs(file.read(always_2d=True) - whole).max(axis=1)
        worst = difference[sure].max(initial=0)
        print(f"| {path.name} | {len(segments)} | {kept + anew} | {anew} | {worst:g} ({sure.mean():.0%}) |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("notes", "cuts"))
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "notes":
        measure_notes(arguments.paths[0])
    else:
        measure_cuts(arguments.paths)


if __name__ == "__main__":
    main()
