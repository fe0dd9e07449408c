"""`evc tag`: tags and covers of .evc files, shown or changed without touching the sound."""

from __future__ import annotations

import click

import evc
from evc.cli.common import PATH, STANDARD, examples, naming, print_json
from evc.cli.info import metadata_rows
from evc.format.errors import EvcError, InputError
from evc.format.metadata import FRONT_COVER, Picture
from evc.format.tags import Tags, values_of
from evc.streaming import open_binary

_MOST_BYTES = 1 << 24  # of an image file: more cannot be stored


@click.command(
    epilog=examples(
        "evc tag song.evc --set ARTIST=Ada --add ARTIST=Ben --remove COMMENT",
        "evc tag song.evc --cover front.png  # without changes, evc tag lists what there is",
    )
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--set", "to_set", multiple=True, metavar="NAME=VALUE", help="Give NAME this value in place of others.")
@click.option("--add", "to_add", multiple=True, metavar="NAME=VALUE", help="Give NAME one value more.")
@click.option(
    "--remove", "to_remove", multiple=True, metavar="NAME[=VALUE]", help="Take NAME out, or one of its values."
)
@click.option("--cover", metavar="IMAGE", help="Make this PNG, JPEG, GIF, WebP or BMP file the front cover.")
@click.option("--remove-pictures", is_flag=True, help="Take all pictures out.")
@click.option("--json", "as_json", is_flag=True, help="Print tags, pictures, loops and chunks as JSON.")
def tag(
    files: tuple[str, ...],
    to_set: tuple[str, ...],
    to_add: tuple[str, ...],
    to_remove: tuple[str, ...],
    cover: str | None,
    remove_pictures: bool,
    as_json: bool,
) -> int:
    """Show or change the tags and the cover of .evc files.

    Without options to change something, all that the files hold beside their sound is listed. The sound stays as it is,
    byte for byte, and a file changes only when all of it is written. Names are those of Vorbis comments, and capitals
    make no difference. Removing comes first, then --set, then --add; --set and --add may come several times, also with
    the same name.
    """
    if STANDARD in files:
        raise click.UsageError("files are changed in place: standard input cannot be")
    removed = [_named(text, value_needed=False) for text in to_remove]
    edits = [_named(text) for text in to_set], [_named(text) for text in to_add]
    image = _image(cover) if cover is not None else None
    changes = bool(removed or any(edits) or image or remove_pictures)
    failed, found = 0, []
    for number, path in enumerate(files):
        try:
            with naming(path):
                if changes:
                    _change(path, removed, *edits, image, remove_pictures)
                info = evc.info(path)
        except EvcError as error:
            click.echo(f"evc: {error}", err=True)
            failed = 1
            continue
        told = info.as_dict()
        found.append({"file": path} | {part: told[part] for part in ("tags", "pictures", "loops", "cues", "foreign")})
        if not as_json:
            _show(path, info, number, len(files), changes)
    if as_json and (len(files) > 1 or found):
        print_json(found if len(files) > 1 else found[0])
    return failed


def _named(text: str, value_needed: bool = True) -> tuple[str, str | None]:
    """Name, in lower case, and value of an argument."""
    name, equals, value = text.partition("=")
    if not name or value_needed and not equals:
        raise click.UsageError(f"{text!r} is not of the form NAME=VALUE")
    return name.lower(), value if equals else None


def _image(path: str) -> Picture:
    with naming(path), open_binary(path) as file:
        return Picture.of(file.read(_MOST_BYTES))


def _change(
    path: str,
    removed: list[tuple[str, str | None]],
    to_set: list[tuple[str, str | None]],
    to_add: list[tuple[str, str | None]],
    image: Picture | None,
    remove_pictures: bool,
) -> None:
    with evc.open(path) as file:
        tags, pictures = file.tags, file.pictures
    texts = {name: list(values_of(value)) for name, value in tags.items()}
    spelt = {name.lower(): name for name in texts}  # a file may have names in capitals
    for name, value in removed:
        kept = [each for each in texts.get(spelt.get(name, name), []) if value is not None and each != value]
        texts[spelt.get(name, name)] = kept
    for name, _ in to_set:
        texts[spelt.get(name, name)] = []
    for name, value in (*to_set, *to_add):
        texts.setdefault(spelt.get(name, name), []).append(str(value))
    new: Tags = {name: values[0] if len(values) == 1 else values for name, values in texts.items() if values}
    if remove_pictures:
        pictures = []
    if image is not None:
        pictures = [image, *(picture for picture in pictures if picture.type != FRONT_COVER)]
    try:
        evc.edit_tags(path, path, new, pictures=pictures)
    except OSError as error:
        raise InputError(f"cannot be written ({(error.strerror or str(error)).lower()})") from error


def _show(path: str, info: evc.FileInfo, number: int, files: int, changed: bool) -> None:
    if changed:
        pictures = f", {len(info.pictures)} picture{'' if len(info.pictures) == 1 else 's'}" if info.pictures else ""
        click.echo(f"{path}: {len(info.tags)} tag{'' if len(info.tags) == 1 else 's'}{pictures}")
        return
    if files > 1:
        click.echo(f"{chr(10) if number else ''}{path}")
    rows = metadata_rows(info)
    width = max((len(name) for name, _ in rows), default=0) + 2
    for name, text in rows:
        click.echo(f"{name:<{width}}{text}")
