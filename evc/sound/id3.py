"""ID3v2.4 tags of MP3 files, written through mutagen where the user has installed it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from evc.format.metadata import Picture
from evc.format.tags import Tags, values_of
from evc.sound.tag_names import ID3_NAMES, MUSICBRAINZ, PAIRS

_UTF8 = 3
_ANY_LANGUAGE = "XXX"
_FRAMES = {name: frame for frame, name in ID3_NAMES.items()}
_PAIRED = {names[0]: (frame, names[1]) for frame, names in PAIRS.items() if frame in ("TRCK", "TPOS")}
# As MusicBrainz Picard writes them; there is no telling capitals from the names in lower case.
_FREE = {name: field.title().replace(" Id", " Id") for field, name in MUSICBRAINZ.items()}


def embed_id3(file: BinaryIO, tags: Tags, pictures: Sequence[Picture]) -> list[str]:
    """Give an MP3 file these tags and pictures, in place of the tag it has; the names of those tags of whose values not
    all are there as such. Raises ValueError where mutagen cannot write it."""
    from mutagen import MutagenError, id3

    tag = id3.ID3()
    totals = {total for number, (_, total) in _PAIRED.items() if number in tags}
    for name, value in tags.items():
        if name not in totals:
            tag.add(_frame(id3, name, values_of(value), tags))
    for picture in pictures:
        kind = min(picture.type, 255)
        tag.add(id3.APIC(_UTF8, picture.mime, kind, _distinct(tag, picture.description, kind), picture.data))
    file.seek(0)
    try:
        tag.save(file, v2_version=4)
    except MutagenError as error:
        raise ValueError(str(error)) from error
    single = {"musicbrainz_trackid", *_PAIRED, *totals}
    return [n for n, value in tags.items() if len(values_of(value)) > 1 and (n in single or n.startswith("lyrics"))]


def _frame(id3: Any, name: str, values: list[str], tags: Tags) -> Any:
    plain, _, description = name.partition(":")
    if plain == "comment":
        return id3.COMM(_UTF8, _ANY_LANGUAGE, description, values)
    if plain == "lyrics":
        return id3.USLT(_UTF8, _ANY_LANGUAGE, description, "\n".join(values))
    if name in _PAIRED:
        frame, total = _PAIRED[name]
        totals = values_of(tags.get(total, []))
        return getattr(id3, frame)(_UTF8, [f"{values[0]}/{totals[0]}" if totals else values[0]])
    if name == "musicbrainz_trackid":
        return id3.UFID("http://musicbrainz.org", values[0].encode())
    if name in _FRAMES:
        return getattr(id3, _FRAMES[name])(_UTF8, values)
    return id3.TXXX(_UTF8, _FREE.get(name, name.upper()), values)


def _distinct(tag: Any, description: str, kind: int) -> str:
    """A description that no picture in the tag has yet: ID3 tells pictures apart by theirs."""
    taken = {frame.desc for frame in tag.getall("APIC")}
    while description in taken:
        description += " "
    return description
