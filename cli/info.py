"""`evc info`: what files are, from their metadata alone."""

from __future__ import annotations

import click

import evc
from evc.cli.common import STANDARD, channels_text, input_file, naming, print_json, size_text, time_text
from evc.constants import SIGNATURE
from evc.streaming import seekable_input


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
def info(files: tuple[str, ...], as_json: bool) -> int:
    """Show what .evc files are: format, length, layers, tags, pictures, loops. Reads no audio.

    Of a damaged file what can be read is shown; the exit code is 1 then.
    """
    if as_json:
        read = [_read(path) for path in files]
        found = [{"file": path} | each.as_dict() for path, (each, _) in zip(files, read, strict=True)]
        print_json(found if len(found) > 1 else found[0])
        return int(any(damaged for _, damaged in read))
    code = 0
    for number, path in enumerate(files):
        if number:
            click.echo()
        found_there, damaged = _read(path)
        _show(path, found_there)
        code |= damaged
    return code


def _read(path: str) -> tuple[evc.FileInfo, bool]:
    """What a file tells, and whether it is damaged; in that case one line says how."""
    with naming(path), seekable_input(input_file(path)) as binary:
        try:
            return evc.info(binary), False
        except (evc.DamagedError, evc.FormatError) as error:
            binary.seek(0)
            if binary.read(len(SIGNATURE))[1:4] != SIGNATURE[1:4]:
                raise
            found = evc.info(binary, salvage=True)
            name = "standard input" if path == STANDARD else path
            click.echo(f"evc: {name}: {error}; what can be read is shown", err=True)
            return found, True


def _show(path: str, found: evc.FileInfo) -> None:
    rows = [
        ("file", path),
        ("format", f"EVC {found.format_version}"),
        ("audio", f"{found.samplerate} Hz, {channels_text(found.channels)}, {found.subtype}"),
        ("length", f"{time_text(found.duration)} ({found.frames} frames)"),
        ("size", f"{size_text(found.bytes)}, {found.kbps:.1f} kbit/s"),
        ("layers", ", ".join(found.layers) or "none"),
        ("hints", found.hints or "none"),
        ("segments", str(found.segments)),
    ]
    if found.patterns:
        rows.append(("patterns", str(found.patterns)))
    if found.networks:
        rows.append(("networks", ", ".join(found.networks)))
    rows += metadata_rows(found)
    width = max(len(name) for name, _ in rows) + 2
    for name, text in rows:
        click.echo(f"{name:<{width}}{text}")


def metadata_rows(found: evc.FileInfo) -> list[tuple[str, str]]:
    """Tags, pictures, loops, cue points and foreign chunks for people: a name and a text each."""
    rows = []
    for name, value in found.tags.items():
        rows.append((_printable(name), _printable(value if isinstance(value, str) else "; ".join(value))))
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
