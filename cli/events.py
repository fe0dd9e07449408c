"""`evc events`: what happens in a file, as a table, as JSON or CSV, or as moments of onsets."""

from __future__ import annotations

import csv
import io
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli.common import (
    PATH,
    STANDARD,
    examples,
    input_file,
    naming,
    output_file,
    print_json,
    refuse_same,
    time_text,
)
from evc.cli.tables import Column, sentence, table
from evc.format.errors import EvcError, UnsupportedError
from evc.format.tags import values_of
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.events import EventList
    from evc.file import EvcFile

FIRST_PARTIAL, LAST_PARTIAL = 6, 12  # of the codes
SOUND = (2, 3, 4, 5, 13, 14, 15)


@click.command(
    epilog=examples(
        "evc events song.evc",
        "evc events song.evc --onsets > onsets.txt  # moments, for other programs",
        "evc events song.evc --midi song.mid  # its notes, for a sequencer",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: all that is known of every event.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: a line for every event, under a line of names.")
@click.option("--onsets", is_flag=True, help="Print the moments at which something begins, in seconds, one on a line.")
@click.option("--midi", type=PATH, metavar="OUT.mid", help="Write the notes as a MIDI file.")
@click.option("-f", "--force", is_flag=True, help="Replace OUT.mid if it exists.")
def events(source: str, as_json: bool, as_csv: bool, onsets: bool, midi: str | None, force: bool) -> None:
    """List the events of the .evc file FILE in order of time: when something sounds, and what.

    "level" is the amplitude of the first partial in dB of full scale. "pan" runs from -1, left, to 1, right. The note
    A4+12 lies 12 hundredths of a semitone above A4, which is 440 Hz. "partials" are those that sound beside the first.
    "sound" are the codes of attack, decay, length, resonator, deformation, noise and room.

    Times are those of what is coded; a file with an edit list may play it in another order (evc info).

    --onsets is for programs that compare onsets with a score: events that swell slowly are none, and those within 30 ms
    are one. --json has the vectors too, if the network is installed.

    --midi tells which of the events are notes, of which several may make one, and writes these: with velocities from
    their loudness, a track for each family of sounds, bends where they are out of tune, and the tempo where it is
    clear. Drums are left out. Its times are those of what is played. It needs a part that is not installed by default:
    pip install 'evc[midi]'.
    """
    if as_json + as_csv + onsets + (midi is not None) > 1:
        raise click.UsageError("--json, --csv, --onsets and --midi exclude each other")
    if midi is not None:
        refuse_same(source, midi)
    with ExitStack() as stack:
        with naming(source):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
            found, seconds = file.events, file.coded_frames / file.samplerate
        if as_json:
            network = None if found.network is None else found.network.id
            about = {"file": source, "samplerate": file.samplerate, "duration": seconds, "network": network}
            print_json(about | {"events": _as_dicts(found)})
        elif as_csv:
            click.echo(_csv(found), nl=False)
        elif midi is not None:
            _write_midi(source, midi, force, file)
        elif onsets:
            click.echo("".join(f"{time:.4f}\n" for time in found.onsets()), nl=False)
        else:
            _show(source, found, seconds)


def _write_midi(source: str, target: str, force: bool, file: EvcFile) -> None:
    from evc.exports.midi import write_midi
    from evc.exports.notes import FAMILIES, notes_of, played_events
    from evc.exports.tempo import tempo_of_onsets
    from evc.streaming import seekable_output

    found = played_events(file)
    if not len(found):
        raise EvcError(f"{source}: has no events: those of a file come from evc encode --hints noise")
    output = output_file(target, force)
    with naming(source, target):
        notes = notes_of(found, file.duration)
        tempo = tempo_of_onsets(notes.times, notes.velocities)
        with seekable_output(output, force) as binary:
            write_midi(binary, notes, tempo, " ".join(values_of(file.tags.get("title", ""))))
    tracks = sum((notes.families == number).any() for number in range(len(FAMILIES)))
    told = f"{len(notes)} note{'' if len(notes) == 1 else 's'} in {tracks} track{'' if tracks == 1 else 's'}"
    clear = "no clear tempo" if tempo is None else f"{tempo:g} beats per minute"
    click.echo(f"{target}: {told}, {clear}", err=target == STANDARD)


def _codes(found: EventList) -> list[dict[str, int]]:
    """The codes of every event by the name of the part; of a network with other parts, by number."""
    from evc.models.events.vectors import PARTS

    count = found.known_codes.shape[1]
    names = [part.name for part in PARTS] if count == len(PARTS) else ["pitch", *map(str, range(1, count))]
    return [dict(zip(names, row, strict=True)) for row in found.known_codes.tolist()]


def _rows(found: EventList) -> list[dict[str, Any]]:
    from evc.models.events.vectors import note_name

    columns = zip(
        found.times.round(6).tolist(), found.amplitudes.tolist(), found.pans.round(6).tolist(), found.notes.tolist(),
        found.frequencies.round(3).tolist(), strict=True,
    )  # fmt: skip
    return [
        {"number": number, "time": time, "amplitude": float(f"{amplitude:.6g}"), "pan": pan, "note": note,
         "name": note_name(note), "frequency": frequency}
        for number, (time, amplitude, pan, note, frequency) in enumerate(columns)
    ]  # fmt: skip


def _as_dicts(found: EventList) -> list[dict[str, Any]]:
    import numpy as np

    try:
        vectors: list[Any] = found.vectors.astype(float).round(6).tolist()
    except UnsupportedError:
        vectors = [None] * len(found)
    turns = (np.angle(found.phases) / (2 * np.pi) % 1).round(6).tolist()
    extras = zip(_rows(found), turns, _codes(found), vectors, strict=True)
    return [row | {"phase": phase % 1, "codes": codes, "vector": vector} for row, phase, codes, vector in extras]


def _csv(found: EventList) -> str:
    rows = [row | codes for row, codes in zip(_rows(found), _codes(found), strict=True)]
    text = io.StringIO()
    names = list(rows[0]) if rows else ["number", "time", "amplitude", "pan", "note", "name", "frequency"]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _show(source: str, found: EventList, duration: float) -> None:
    if not len(found):
        click.echo(f"{source}: no events")
        return
    rate = f"{len(found) / duration:.1f} a second" if duration else ""
    about = f"{source}: {len(found)} event{'' if len(found) == 1 else 's'} in {time_text(duration)}, {rate}"
    click.echo(sentence(about))
    click.echo(_table(found), nl=False)


def _table(found: EventList) -> str:
    import numpy as np

    usual = found.known_codes.shape[1] > SOUND[-1]
    columns = [Column("number", 2), Column("time"), Column("note", left=True), Column("Hz", 1), Column("level")]
    columns.append(Column("pan", 3))
    columns += [Column("partials", 4, True), Column("sound", 5, True)] if usual else [Column("codes", 4, True)]
    rows = []
    for row, codes in zip(_rows(found), found.known_codes.tolist(), strict=True):
        level = 20 * np.log10(max(row["amplitude"], 1e-30))
        fields = [str(row["number"]), f"{row['time']:.3f}", row["name"], f"{row['frequency']:.1f}", f"{level:.1f}"]
        fields.append(f"{row['pan']:+.2f}" if row["pan"] else "0")
        if usual:
            partials = (number for number in range(FIRST_PARTIAL, LAST_PARTIAL + 1) if codes[number])
            fields.append(" ".join(str(number - FIRST_PARTIAL + 2) for number in partials))
            fields.append(" ".join(str(codes[number]) for number in SOUND))
        else:
            fields.append(" ".join(str(code) for code in codes[1:] if code >= 0))
        rows.append(fields)
    return table(columns, rows, gap=2)
