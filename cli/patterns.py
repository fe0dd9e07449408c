"""`evc patterns`: what repeats in a file, as a table, as JSON, or as sound files."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

import evc
from evc.cli.common import (
    PATH,
    TIME,
    examples,
    input_file,
    naming,
    output_folder,
    patterns_text,
    print_json,
    progress_bar,
    time_text,
)
from evc.cli.tables import Column, sentence, table
from evc.format.errors import EvcError
from evc.patterns import numbered
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.exports.kits import Sample
    from evc.file import EvcFile

_LOOP_FIELDS = ("start", "loop_start"), ("length", "loop_length"), ("ping_pong", "ping_pong")
INDEX, INSTRUMENT = "index.json", "instrument.sfz"


@click.command(
    epilog=examples(
        "evc patterns song.evc",
        "evc patterns song.evc --min-seconds 1 --export loops  # each as WAV, and an instrument of all",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.option(
    "--export", "folder", type=click.Path(file_okay=False), metavar="DIR",
    help="Write each pattern as WAV, with a JSON of when it sounds, an index and an SFZ instrument of them all.",
)  # fmt: skip
@click.option(
    "--zero-crossings", is_flag=True,
    help="Begin and end exported patterns where their sound rises through zero, up to 10 ms away, so that none clicks.",
)  # fmt: skip
@click.option("--min-seconds", type=TIME, default=0.0, metavar="TIME", help="Only patterns this long.")
@click.option("--min-uses", type=click.IntRange(min=0), default=0, metavar="N", help="Only patterns used this often.")
@click.option("-f", "--force", is_flag=True, help="Replace exported files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the time of every use.")
def patterns(
    source: str, folder: str | None, zero_crossings: bool, min_seconds: float, min_uses: int, force: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """List the patterns of the .evc file FILE: what it stores once and repeats, those with the most sound first.

    An excerpt is a stretch of the track that sounds again later; "uses" counts how often it does, whole or in part, and
    "in all" is the time of all its uses. Explicit and lattice patterns have a sound of their own, and sound only where
    they are used.

    With --export every pattern becomes a WAV file, a loop for another program, in the sample format of the track. Its
    name tells its number, start and length; it has loop points where it repeats and, where the tempo is clear, that
    too. instrument.sfz plays them all, each from a key of its own, from C2 upward. Explicit patterns, which are sounds
    by themselves, have an SFZ instrument of their own too, at every pitch, and the loop that they have in the file.
    Beside each lies a JSON of its uses and of the occurrences that they consist of: time in seconds and frames,
    fraction of a frame, lag, rate, gain of each band.
    """
    if zero_crossings and folder is None:
        raise click.UsageError("--zero-crossings goes with --export")
    target = None if folder is None else output_folder(folder)
    with ExitStack() as stack:
        with naming(source):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
            rows = file.patterns
        chosen = [
            number
            for number, row in enumerate(rows)
            if row["duration"] >= min_seconds and row["uses"] >= min_uses and row["kind"] != "lost"
        ]
        listing = {
            "file": source,
            "samplerate": file.samplerate,
            "channels": file.channels,
            "duration": file.coded_frames / file.samplerate,
            "patterns": [_as_dict(file, number) for number in chosen],
        }
        if target is not None and chosen:
            _export(file, chosen, listing, target, zero_crossings, force)
        if as_json:
            print_json(listing)
        else:
            _show(file, source, chosen)
            if folder is not None and chosen:
                click.echo(f"{folder}: {len(chosen)} WAV file{'' if len(chosen) == 1 else 's'}")


def _show(file: EvcFile, source: str, chosen: list[int]) -> None:
    count = len(file.patterns)
    click.echo(sentence(f"{source}: {patterns_text(file) if count else 'no patterns'}"))
    if chosen:
        click.echo(_table(file, chosen), nl=False)
    if len(chosen) < count:
        click.echo(f"{count - len(chosen)} not shown")


def _as_dict(file: EvcFile, number: int) -> dict[str, Any]:
    """A pattern and its uses, ready for JSON."""
    row = file.patterns[number]
    excerpt = row["frame"] >= 0
    return {
        "number": number,
        "kind": str(row["kind"]),
        "start": float(row["start"]) if excerpt else None,
        "duration": float(row["duration"]),
        "frame": int(row["frame"]) if excerpt else None,
        "frames": int(row["frames"]),
        "channels": int(row["channels"]),
        "seconds": float(row["seconds"]),
        "loop": None if math.isnan(row["loop_start"]) else {name: row[field].item() for name, field in _LOOP_FIELDS},
        "uses": [
            {name: use[name].item() for name in ("time", "duration", "frame", "frames", "offset")}
            for use in file.uses[file.uses["pattern"] == number]
        ],
    }


def _table(file: EvcFile, chosen: list[int]) -> str:
    columns = [Column("number"), Column("kind", 2, left=True), Column("start"), Column("duration")]
    columns += [Column("uses"), Column("in all", 1)]
    rows = []
    for number in chosen:
        row = file.patterns[number]
        start = time_text(float(row["start"])) if row["frame"] >= 0 else ""
        times = time_text(float(row["duration"])), str(row["uses"]), time_text(float(row["seconds"]))
        rows.append([numbered(number, len(file.patterns)), str(row["kind"]), start, *times])
    return table(columns, rows)


def _export(
    file: EvcFile, chosen: list[int], listing: dict[str, Any], folder: Path, zero_crossings: bool,
    force: bool,
) -> None:  # fmt: skip
    """Write the patterns `chosen`, the instrument and the index, all or nothing; `listing` learns names and loops."""
    from evc.exports.kits import ONE_SHOT, sample_name, samples_of, sfz_text
    from evc.output import atomic_folder, opened

    samples, tempo = samples_of(file, chosen)
    for row in listing["patterns"]:
        name = sample_name(file, row["number"])
        row["wav"], row["json"] = f"{name}.wav", f"{name}.json"
        if row["kind"] == ONE_SHOT:
            row["sfz"] = f"{name}.sfz"
    names = [row[suffix] for row in listing["patterns"] for suffix in ("wav", "json", "sfz") if suffix in row]
    for name in [*names, INSTRUMENT, INDEX]:
        if not force and (folder / name).exists():
            raise EvcError(f"{folder / name}: exists already; --force replaces it")
    listing["tempo"] = None if tempo is None else round(tempo, 3)
    rows = list(zip(listing["patterns"], samples, strict=True))
    written: dict[str, Sample] = {}
    with atomic_folder(folder) as new, progress_bar("exporting", files=True) as progress:
        # In the order of the track, which decodes it once.
        for done, (row, sample) in enumerate(sorted(rows, key=lambda pair: pair[0]["frame"] or 0), 1):
            with opened(new / row["wav"], str(folder / row["wav"])) as output:
                sample = written[row["wav"]] = _write_wav(file, listing["file"], sample, zero_crossings, output)
            row |= {"wav_start": sample.start, "wav_frames": sample.frames, "loop_frames": sample.loop}
            if sample.one_shot:
                row |= {"loop_start": sample.loop_start, "ping_pong": sample.ping_pong, "root_key": sample.root}
                with opened(new / row["sfz"], str(folder / row["sfz"])) as output:
                    output.write(sample.instrument(row["wav"], listing["file"]).encode())
            occurrences = [_occurrence(file, i) for i in (file.occurrences["pattern"] == row["number"]).nonzero()[0]]
            found = {"file": listing["file"], "samplerate": file.samplerate} | row | {"occurrences": occurrences}
            with opened(new / row["json"], str(folder / row["json"])) as output:
                _write_json(found, output)
            if progress:
                progress(done, len(chosen))
        with opened(new / INSTRUMENT, str(folder / INSTRUMENT)) as output:
            named = [(written[row["wav"]], row["wav"]) for row in listing["patterns"]]
            output.write(sfz_text(named, listing["file"], tempo).encode())
        with opened(new / INDEX, str(folder / INDEX)) as output:
            _write_json(listing, output)


def _occurrence(file: EvcFile, index: int) -> dict[str, Any]:
    """An occurrence, ready for JSON: the fields of `EvcFile.occurrences`, `phase` being a fraction of a frame and
    `rotation` one of a turn, and the edges of its bands in Hz."""
    import numpy as np

    from evc.format.streams.bands import band_edges

    row = file.occurrences[index]
    gains = row["gains"]
    used = ~np.isnan(gains)
    names = ("time", "frame", "lag", "offset", "length", "shift", "rate")
    return {
        "occurrence": int(index),
        "use": int(row["use"]),
        **{name: row[name].item() for name in names},
        "phase": _turns(row["phase"]),
        "rotation": _turns(row["rotation"]),
        "planes": "mid and side" if row["mid_side"] else "channels" if used[:, 0].sum() > 1 else "all channels",
        "bands": band_edges(file.samplerate, int(row["stride"]), fine=False).round(3).tolist(),
        "gains": [gains[plane, used[plane]].astype(float).round(6).tolist() for plane in np.flatnonzero(used[:, 0])],
    }


def _turns(phase: complex) -> float:
    """The angle of a unit complex, in turns from 0 up to 1; exact for the fractions that occur."""
    return round(math.atan2(phase.imag, phase.real) / (2 * math.pi) * (1 << 16)) % (1 << 16) / (1 << 16)


def _write_wav(file: EvcFile, source: str, sample: Sample, zero_crossings: bool, output: BinaryIO) -> Sample:
    """Write a pattern's sound; what of it is in the file then."""
    from evc.exports.instruments import root_key
    from evc.exports.kits import at_zero_crossings
    from evc.format.metadata import Metadata
    from evc.soundfiles import SoundWriter, chosen_subtype

    with naming(source):
        audio = file.pattern_audio(sample.number)
    if sample.one_shot:
        root = root_key(audio, file.samplerate)
        sample = replace(sample, root=None if root is None else round(root, 3))
    if zero_crossings:
        sample = at_zero_crossings(sample, audio, file.samplerate)
        audio = audio[sample.start : sample.start + sample.frames]
    told = Metadata(foreign=sample.chunks(file.samplerate))
    subtype = chosen_subtype("WAV", file.subtype, None)
    with SoundWriter(output, "WAV", subtype, file.samplerate, audio.shape[1], len(audio), told) as out:
        out.write(audio)
    return sample


def _write_json(value: Any, output: BinaryIO) -> None:
    output.write(json.dumps(value, indent=1).encode() + b"\n")
