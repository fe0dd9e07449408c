"""`evc info`: what files are, from their metadata alone."""

from __future__ import annotations

from typing import Any

import click

import evc
from evc.cli.common import PATH, channels_text, examples, input_file, print_json, size_text, time_text
from evc.cli.several import attempts
from evc.cli.tables import terminal_width


@click.command(
    epilog=examples("evc info song.evc", "evc info *.evc --json  # for programs: length, tags, bitrate of each")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
def info(files: tuple[str, ...], as_json: bool) -> int:
    """Show what .evc files are: format, length, layers, tags. Reads no audio.

    Exits with 1 if any file cannot be read, after showing all others.
    """
    shown: list[dict[str, Any]] = []
    for path, found in attempts(files, lambda path: evc.info(input_file(path))):
        if found is None:
            continue
        if not as_json:
            if shown:
                click.echo()
            _show(path, found)
        shown.append({"file": path} | found.as_dict())
    if as_json and (len(files) > 1 or shown):
        print_json(shown if len(files) > 1 else shown[0])
    return 0 if len(shown) == len(files) else 1


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
    if found.channels > 2 and found.speakers:
        rows.append(("speakers", " ".join(name or "-" for name in found.speakers)))
    if found.patterns:
        rows.append(("patterns", str(found.patterns)))
    if found.networks:
        rows.append(("networks", ", ".join(found.networks)))
    for name, value in found.tags.items():
        rows.append((_printable(name), _printable(value if isinstance(value, str) else "; ".join(value))))
    # The long name of a tag must not push figures out of a narrow terminal.
    width = min(max(len(name) for name, _ in rows), max(terminal_width() - 60, len("patterns")))
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")


def _printable(text: str) -> str:
    """`text` on one line: a tag must not move the cursor, or pass for a row of its own."""
    return "".join(character if character.isprintable() else " " for character in text)
