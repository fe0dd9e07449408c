"""`evc info`: what files are, from their metadata alone."""

from __future__ import annotations

import click

import evc
from evc.cli.common import PATH, channels_text, examples, input_file, naming, print_json, size_text, time_text


@click.command(
    epilog=examples("evc info song.evc", "evc info *.evc --json  # for programs: length, tags, bitrate of each")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or a list for several files.")
def info(files: tuple[str, ...], as_json: bool) -> None:
    """Show what .evc files are: format, length, layers, tags. Reads no audio."""
    if as_json:
        found = [{"file": path} | _read(path).as_dict() for path in files]
        print_json(found if len(found) > 1 else found[0])
        return
    for number, path in enumerate(files):
        if number:
            click.echo()
        _show(path, _read(path))


def _read(path: str) -> evc.FileInfo:
    with naming(path):
        return evc.info(input_file(path))


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
    for name, value in found.tags.items():
        rows.append((_printable(name), _printable(value if isinstance(value, str) else "; ".join(value))))
    width = max(len(name) for name, _ in rows) + 2
    for name, text in rows:
        click.echo(f"{name:<{width}}{text}")


def _printable(text: str) -> str:
    """`text` on one line: a tag must not move the cursor, or pass for a row of its own."""
    return "".join(character if character.isprintable() else " " for character in text)
