"""Measures `--hints noise`: what it costs, what it sounds like, and whether events fall where notes begin.

    python tests/benchmarks/events.py FILE_OR_FOLDER ... [--start 0] [--seconds 10] [--bitrate 2.5] [--effort 5]

Needs `pip install mir_eval mido`, and the metrics of the rate-distortion bench beside the checkout (`../shared/bench`,
or --metrics). Prints a line per file and the means:

kbit/s     of the whole file, container included
mel        multi-resolution log-mel distance (lower is better)
tonal      fine spectral structure inside Bark bands, 0 to 1 (higher is better)
gain       energy explained by the events alone, dB: |x|^2 / |x - events|^2
onset F    F-measure of the onsets that events tell (`EventList.onsets`) against those of a score's notes, within 50 ms;
           both without those that follow another by less than 30 ms. (A blind beat of ten a second scores 0.7 or more
           where the score is dense: precision and recall are in --json.) Scores are MIDI files of the same name, in a
           folder `midi` beside the sound file (or --scores). Where the sound file is an excerpt, `start_s` of a
           MANIFEST.csv in one of the folders above tells where it begins in the score
events/s, bits/event   of the event stream with its descriptors
encode, decode         speed as a multiple of real time, by wall clock and by processor time of all threads
"""

from __future__ import annotations

import argparse
import csv
import functools
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from measuring import BENCH, bench
from numpy.typing import ArrayLike, NDArray

import evc

WINDOW = 0.05  # s, between an event and the note it belongs to
SAME = 0.03  # s, between what counts as one onset
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"}
COLUMNS = (
    ("kbps", "kbit/s", ".2f"), ("mel", "mel", ".3f"), ("tonal", "tonal", ".3f"), ("explained", "gain dB", ".2f"),
    ("onset_f", "onset F", ".2f"), ("events_per_second", "events/s", ".1f"), ("bits_per_event", "bits/event", ".1f"),
    ("encode_speed", "encode x", ".2f"), ("encode_cpu_speed", "(cpu)", ".2f"), ("decode_speed", "decode x", ".1f"),
    ("decode_cpu_speed", "(cpu)", ".1f"),
)  # fmt: skip

Audio = NDArray[np.floating]  # [frames, channels]
Row = dict[str, Any]


# Figures of arrays


def energy_explained(audio: Audio, events: Audio) -> float:
    """10 log10 |x|^2 / |x - events|^2; NaN where x is silent."""
    whole, left = (float(np.square(x, dtype=np.float64).sum()) for x in (audio, audio - events))
    return 10 * math.log10(whole / max(left, 1e-30)) if whole else math.nan


def merged_onsets(onsets: ArrayLike, gap: float = SAME) -> NDArray[np.float64]:
    """Onsets in seconds, ascending, without those that follow the last that stays by less than `gap`."""
    kept: list[float] = []
    for onset in np.sort(np.asarray(onsets, np.float64)):
        if not kept or onset - kept[-1] >= gap:
            kept.append(float(onset))
    return np.array(kept)


def score_onsets(midi: Path, start: float = 0.0, seconds: float = math.inf) -> NDArray[np.float64]:
    """Where the notes of a MIDI file begin, in seconds from `start`, drums included; those within `seconds`."""
    import mido

    now, onsets = 0.0, []
    for message in mido.MidiFile(midi):  # all tracks as they play, under the tempo of any of them
        now += message.time
        if message.type == "note_on" and message.velocity:
            onsets.append(now - start)
    found = np.array(onsets)
    return np.sort(found[(found >= -1e-6) & (found < seconds)])


def onset_scores(notes: ArrayLike, events: ArrayLike, window: float = WINDOW) -> tuple[float, float, float]:
    """F-measure, precision and recall of onsets in seconds, both sides merged first; NaN without notes."""
    from mir_eval.onset import f_measure

    reference, estimated = merged_onsets(notes), merged_onsets(events)
    if not len(reference):
        return math.nan, math.nan, math.nan
    measure, precision, recall = f_measure(reference, estimated, window) if len(estimated) else (0.0, 0.0, 0.0)
    return float(measure), float(precision), float(recall)


def onset_f_measure(notes: ArrayLike, events: ArrayLike, window: float = WINDOW) -> float:
    """The first of `onset_scores`."""
    return onset_scores(notes, events, window)[0]


def distances(audio: Audio, decoded: Audio, samplerate: int, metrics: Path = BENCH) -> tuple[float, float]:
    """(mel, tonal) at 44.1 kHz."""
    judge = bench(metrics)
    pair = [judge.resample(np.asarray(x.T, np.float64), samplerate, 44_100) for x in (audio, decoded)]
    return judge.mel_and_stft_distance(*pair)[0], judge.tonal_similarity(*pair)


# Figures of a file


def measure(
    audio: Audio, samplerate: int, notes: ArrayLike | None = None, metrics: Path = BENCH, **settings: Any
) -> tuple[Row, bytes, Audio]:
    """Encode, decode and score; (figures, the file, the decoded audio). `settings` are those of `evc.encode`."""
    seconds = len(audio) / samplerate
    coded, *encoding = _timed(lambda: evc.encode(audio, samplerate, **settings))
    (decoded, _), *decoding = _timed(lambda: evc.decode(coded))
    decoded = decoded.reshape(audio.shape)
    row: Row = {"seconds": seconds, "kbps": 8 * len(coded) / seconds / 1000}
    for name, (wall, processor) in (("encode", encoding), ("decode", decoding)):
        row |= {f"{name}_speed": seconds / wall, f"{name}_cpu_speed": seconds / processor}
    row["mel"], row["tonal"] = distances(audio, decoded, samplerate, metrics)
    return row | event_figures(audio, coded, notes), coded, decoded


def event_figures(audio: Audio, coded: bytes, notes: ArrayLike | None = None) -> Row:
    """What the events of a file explain and cost, and where they are."""
    with evc.open(io.BytesIO(coded)) as file:
        count, onsets = len(file.events), file.events.onsets()
        present = "events" in file.layers
        alone = file.render(["events"]) if present else np.zeros_like(audio)
        layers = {layer.name: layer.bits for layer in file.stats(symbols=False).layers}
        duration = file.duration
    row: Row = {f"{name}_kbps": bits / duration / 1000 for name, bits in layers.items()}
    scores = onset_scores([] if notes is None else notes, onsets)
    return row | {
        "explained": energy_explained(audio, alone),
        "events_per_second": count / duration,
        "bits_per_event": layers.get("events", 0) / count if count else math.nan,
        **dict(zip(("onset_f", "onset_precision", "onset_recall"), scores, strict=True)),
    }


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` returns, seconds by the clock and of processor time."""
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - clock, time.process_time() - processor


# Files


def notes_of(path: Path, start: float, seconds: float, scores: Path | None = None) -> NDArray[np.float64] | None:
    """Onsets of the score of `seconds` of a sound file from `start` on; None if there is no score."""
    midi = (scores or path.parent / "midi") / f"{path.stem}.mid"
    return score_onsets(midi, _begins(path) + start, seconds) if midi.is_file() else None


def _begins(path: Path) -> float:
    """Where a sound file begins in its piece, in seconds."""
    for folder in path.resolve().parents:
        if (folder / "MANIFEST.csv").is_file():
            return _starts(folder / "MANIFEST.csv").get(path.resolve().relative_to(folder).as_posix(), 0.0)
    return 0.0


@functools.cache
def _starts(manifest: Path) -> dict[str, float]:
    with open(manifest, newline="") as file:
        return {row["path"]: float(row["start_s"] or 0) for row in csv.DictReader(file) if row["path"]}


def excerpt(path: Path, start: float, seconds: float | None) -> tuple[Audio, int]:
    """(audio [frames, channels], sample rate) of a part of a sound file."""
    samplerate = soundfile.info(path).samplerate
    frames = -1 if seconds is None else round(seconds * samplerate)
    audio, _ = soundfile.read(path, frames, round(start * samplerate), dtype="float32", always_2d=True)
    return audio, samplerate


def sound_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        yield from (file for file in inside if file.suffix.lower() in SUFFIXES)


def line(name: str, row: Row) -> str:
    return "| " + " | ".join([name.ljust(28), *(format(row[key], form) for key, _, form in COLUMNS)]) + " |"


def mean(rows: list[Row]) -> Row:
    """Of every figure, without NaN."""
    means: Row = {}
    for key in {key for row in rows for key in row}:
        values = [row[key] for row in rows if key in row and not math.isnan(row[key])]
        means[key] = float(np.mean(values)) if values else math.nan
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", help="sound files, or folders of them")
    parser.add_argument("--start", type=float, default=0.0, help="of an excerpt, in seconds")
    parser.add_argument("--seconds", type=float, help="of an excerpt; default: to the end")
    parser.add_argument("--bitrate", type=float, help="kbit/s; default: that of the hints")
    parser.add_argument("--effort", type=int)
    parser.add_argument("--scores", type=Path, help="folder of MIDI files; default: midi beside each sound file")
    parser.add_argument("--metrics", type=Path, default=BENCH, help="the rate-distortion bench")
    parser.add_argument("--out", type=Path, help="folder for the coded files and what they decode to")
    parser.add_argument("--json", type=Path, help="all figures, by file")
    arguments = parser.parse_args()
    bench(arguments.metrics)
    settings = {name: getattr(arguments, name) for name in ("bitrate", "effort")}
    settings = {"hints": "noise"} | {name: value for name, value in settings.items() if value is not None}
    evc.encode(np.zeros((4096, 2), np.float32), 44_100, **settings)  # imports are not to be timed

    print("| " + " | ".join(["file".ljust(28), *(title for _, title, _ in COLUMNS)]) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|", flush=True)
    found: dict[str, Row] = {}
    for path in sound_files(arguments.paths):
        audio, samplerate = excerpt(path, arguments.start, arguments.seconds)
        notes = notes_of(path, arguments.start, len(audio) / samplerate, arguments.scores)
        found[str(path)], coded, decoded = measure(audio, samplerate, notes, arguments.metrics, **settings)
        print(line(path.stem, found[str(path)]), flush=True)
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{path.stem}.evc").write_bytes(coded)
            soundfile.write(arguments.out / f"{path.stem}.wav", decoded, samplerate, subtype="FLOAT")
    print(line("mean", mean(list(found.values()))))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
