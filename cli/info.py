"""`evc info`: what files are, from their metadata alone."""

from __future__ import annotations

from typing import Any

import click

import evc
from evc.cli.common import (
    PATH,
    STANDARD,
    examples,
    in_command,
    input_file,
    print_json,
    size_text,
    time_text,
)
from evc.cli.several import attempts
from evc.cli.tables import terminal_width
from evc.format.constants import SIGNATURE
from evc.format.speakers import channels_text
from evc.format.tags import values_of
from evc.streaming import seekable_input


@click.command(
    epilog=examples("evc info song.evc", "evc info *.evc --json  # for programs: length, tags, bitrate of each")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
def info(files: tuple[str, ...], as_json: bool) -> int:
    """Show what .evc files are: format, length, layers, tags, pictures, loops. Reads no audio.

    Of a damaged file what can be read is shown. Exits with 1 if any file is damaged or cannot be read, after showing
    all others.
    """
    shown: list[dict[str, Any]] = []
    whole = True
    for path, read in attempts(files, _read):
        if read is None:
            whole = False
            continue
        found, damaged = read
        whole = whole and not damaged
        if not as_json:
            if shown:
                click.echo()
            _show(path, found)
        shown.append({"file": path} | found.as_dict())
    if as_json and (len(files) > 1 or shown):
        print_json(shown if len(files) > 1 else shown[0])
    return 0 if whole else 1


def _read(path: str) -> tuple[evc.FileInfo, bool]:
    """What a file tells, and whether it is damaged; in that case one line says how."""
    with seekable_input(input_file(path)) as binary:
        try:
            return evc.info(binary), False
        except (evc.DamagedError, evc.FormatError) as error:
            binary.seek(0)
            if binary.read(len(SIGNATURE))[1:4] != SIGNATURE[1:4]:
                raise
            found = evc.info(binary, salvage=True)
            name = "standard input" if path == STANDARD else path
            reason, _, hint = in_command(str(error)).partition(" (")
            click.echo(f"evc: {name}: {reason}; what can be read is shown{hint and ' ('}{hint}", err=True)
            return found, True


def _show(path: str, found: evc.FileInfo) -> None:
    rows = [
        ("file", path),
        ("format", f"EVC {found.format_version}"),
        ("audio", f"{found.samplerate} Hz, {channels_text(found.channels)}, {found.subtype}"),
        ("length", f"{time_text(found.duration)} ({found.frames} frames){', a loop' if found.loop else ''}"),
        ("size", f"{size_text(found.bytes)}, {found.kbps:.1f} kbit/s"),
        ("layers", ", ".join(found.layers) or "none"),
        ("hints", found.hints or "none"),
        ("segments", str(found.segments)),
    ]
    if found.links > 1:
        rows.append(("links", str(found.links)))
    if found.edits:
        played = f"{len(found.edits)} stretch{'' if len(found.edits) == 1 else 'es'}"
        coded = f"{time_text(found.coded_frames / found.samplerate)} that are coded ({found.coded_frames} frames)"
        rows.append(("edit list", f"plays {played} of the {coded}"))
    if found.channels > 2 and found.speakers:
        rows.append(("speakers", " ".join(name or "-" for name in found.speakers)))
    if found.patterns:
        rows.append(("patterns", str(found.patterns)))
    if found.networks:
        adapted = f", adapted by {size_text(found.adapted)} of the file" if found.adapted else ""
        rows.append(("networks", ", ".join(found.networks) + adapted))
    rows += metadata_rows(found)
    # The long name of a tag must not push figures out of a narrow terminal.
    width = min(max(len(name) for name, _ in rows), max(terminal_width() - 60, len("patterns")))
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")


def metadata_rows(found: evc.FileInfo) -> list[tuple[str, str]]:
    """Tags, pictures, loops, cue points and foreign chunks for people: a name and a text each."""
    rows = []
    for name, value in found.tags.items():
        rows.append((_printable(name), _printable("; ".join(values_of(value)))))
    for picture in found.pictures:
        size = f", {picture['width']} x {picture['height']}" if picture["width"] else ""
        text = f"{picture['shows']}, {picture['mime'] or 'of no type'}{size}, {size_text(picture['bytes'])}"
        rows.append(("picture", _printable(f"{text}  {picture['description']}".rstrip())))
    for loop in found.loops:
        kind = "" if loop["kind"] == "forward" else f", {loop['kind']}"
        plays = f", {loop['plays']} times" if loop["plays"] else ""
        times = f"{loop['start'] / found.samplerate:.3f} s, {loop['frames'] / found.samplerate:.3f} s long"
        rows.append(("loop", f"from frame {loop['start']}, {loop['frames']} frames ({times}){kind}{plays}"))
    for cue in found.cues:
        span = f", {cue['frames']} frames" if cue["frames"] else ""
        text = f"frame {cue['start']}{span} ({cue['start'] / found.samplerate:.3f} s)  {cue['label']}"
        rows.append(("cue", _printable(text).rstrip()))
    for chunk in found.foreign:
        rows.append(("chunk", _printable(f"{chunk['name']} of {chunk['origin']}, {size_text(chunk['bytes'])}")))
    return rows


def _printable(text: str) -> str:
    """`text` on one line: a tag must not move the cursor, or pass for a row of its own."""
    return "".join(character if character.isprintable() else " " for character in text)
