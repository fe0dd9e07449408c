"""What a file carries beside its sound: pictures, and chunks of the file it was made from (spec 3.5 and 3.6).

    picture = evc.Picture.of(Path("cover.jpg").read_bytes())    # type, MIME type and size are found out
    evc.edit_tags("a.evc", "a.evc", pictures=[picture])
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from evc.format import constants as c
from evc.format.binary import ByteReader
from evc.format.errors import FormatError, InputError
from evc.format.tags import Tags

FRONT_COVER = 3
# RFC 9639, 8.8: what a picture shows, by its number.
PICTURE_TYPES = (
    "other", "file icon", "other file icon", "front cover", "back cover", "leaflet", "media", "lead artist", "artist",
    "conductor", "band", "composer", "lyricist", "recording location", "during recording", "during performance",
    "screen capture", "bright coloured fish", "illustration", "logo of the band", "logo of the publisher",
)  # fmt: skip
_MAX_U32 = (1 << 32) - 1


@dataclass(frozen=True)
class Picture:
    """A picture, as FLAC has them (RFC 9639, 8.8).

    data         bytes of the image file, or the address of one where `mime` is "-->"
    type         what it shows: 3 is the front cover (`PICTURE_TYPES`)
    mime         media type, printable ASCII
    width, height, depth, colours   pixels, bits per pixel, colours of an indexed image; 0 where they are not known
    """

    data: bytes = field(repr=False)
    type: int = FRONT_COVER
    mime: str = ""
    description: str = ""
    width: int = 0
    height: int = 0
    depth: int = 0
    colours: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for what a file cannot hold."""
        if not (self.mime.isascii() and (not self.mime or self.mime.isprintable())):
            raise InputError(f"media type {self.mime!r} is not printable ASCII")
        if not all(0 <= number <= _MAX_U32 for number in self._numbers):
            raise InputError("the numbers of a picture have 32 bits")
        try:
            size = len(self.write())
        except UnicodeEncodeError as error:
            raise InputError("the description of a picture is no valid text") from error
        if size > c.MAX_PICTURE_BYTES:
            raise InputError(f"a picture of {len(self.data)} bytes is over the limit of {c.MAX_PICTURE_BYTES}")

    @classmethod
    def of(cls, data: bytes, type: int = FRONT_COVER, description: str = "") -> Picture:
        """Of the bytes of a PNG, JPEG, GIF, WebP or BMP file. Raises InputError for anything else."""
        from evc.format.images import image_facts

        facts = image_facts(data)
        if facts is None:
            raise InputError("not a picture: PNG, JPEG, GIF, WebP or BMP is expected")
        return cls(data, type, facts.mime, description, facts.width, facts.height, facts.depth)

    @property
    def shows(self) -> str:
        """What it shows, in words."""
        return PICTURE_TYPES[self.type] if self.type < len(PICTURE_TYPES) else f"type {self.type}"

    @property
    def _numbers(self) -> tuple[int, ...]:
        return self.type, self.width, self.height, self.depth, self.colours

    def write(self) -> bytes:
        """Payload of PICT, which is the content of FLAC's block: integers are big-endian."""
        mime, description = self.mime.encode("ascii"), self.description.encode()
        out = _u32(self.type) + _u32(len(mime)) + mime + _u32(len(description)) + description
        return out + b"".join(_u32(n) for n in (*self._numbers[1:], len(self.data))) + self.data

    @classmethod
    def read(cls, payload: bytes) -> Picture:
        """Raises FormatError for anything malformed."""
        reader = ByteReader(payload, "picture")
        kind = _read_u32(reader)
        try:
            mime = reader.take(_read_u32(reader)).decode("ascii")
            description = reader.take(_read_u32(reader)).decode()
        except UnicodeDecodeError as error:
            raise FormatError("the texts of a picture are not valid") from error
        width, height, depth, colours = (_read_u32(reader) for _ in range(4))
        data = reader.take(_read_u32(reader))
        reader.finish()
        try:
            return cls(data, kind, mime, description, width, height, depth, colours)
        except InputError as error:
            raise FormatError(str(error)) from error

    def as_dict(self) -> dict[str, Any]:
        """All but the data, ready for JSON."""
        return {
            "type": self.type, "shows": self.shows, "mime": self.mime, "description": self.description,
            "width": self.width, "height": self.height, "bytes": len(self.data),
        }  # fmt: skip


@dataclass(frozen=True)
class Foreign:
    """A chunk of another format that this one has no place for, as it was.

    origin  format it comes from: "RIFF" (WAV, RF64), "RIFX", "AIFF" or "FLAC"
    id      its name there, four characters: "bext", "cue ", "smpl", "iXML", "LIST"; of FLAC's blocks "CUES", a cue
            sheet, and "APPL", the data of an application
    data    its content, without header and padding
    """

    origin: str
    id: str
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Raises InputError for what a file cannot hold."""
        for name in (self.origin, self.id):
            if len(name) != 4 or not (name.isascii() and name.isprintable()):
                raise InputError(f"{name!r} is not four printable ASCII characters")
        if len(self.data) > c.MAX_FOREIGN_BYTES:
            raise InputError(f"{self.id} of {len(self.data)} bytes is over the limit of {c.MAX_FOREIGN_BYTES}")

    @property
    def name(self) -> str:
        """Its name for people, that of a list with what is listed: "bext", "cue", "LIST adtl"."""
        kind = self.data[:4].decode("latin-1") if self.id == "LIST" else ""
        return f"LIST {kind}".strip() if kind.isprintable() and kind else self.id.strip()

    @property
    def holds_id3(self) -> bool:
        """Whether it is an ID3 tag, which tells tags and pictures once more."""
        return self.id in ("id3 ", "ID3 ")

    def write(self) -> bytes:
        """Payload of FRGN."""
        return self.origin.encode() + self.id.encode() + self.data

    @classmethod
    def read(cls, payload: bytes) -> Foreign:
        """Raises FormatError for anything malformed."""
        reader = ByteReader(payload, "foreign chunk")
        origin, name = (reader.take(4).decode("latin-1") for _ in range(2))
        try:
            return cls(origin, name, reader.take(reader.remaining))
        except InputError as error:
            raise FormatError(str(error)) from error

    def as_dict(self) -> dict[str, Any]:
        """All but the data, ready for JSON."""
        return {"origin": self.origin, "id": self.id, "name": self.name, "bytes": len(self.data)}


@dataclass
class Metadata:
    """All of it that one file has."""

    tags: Tags = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)
    foreign: list[Foreign] = field(default_factory=list)


def check_amount(pictures: Iterable[Picture], foreign: Iterable[Foreign]) -> None:
    """Raise InputError for more than a file may hold (spec 2.3)."""
    payloads = [list(map(_payload_bytes, group)) for group in (pictures, foreign)]
    for sizes, most, what in zip(payloads, (c.MAX_PICTURES, c.MAX_FOREIGN), ("pictures", "foreign chunks")):
        if len(sizes) > most:
            raise InputError(f"{len(sizes)} {what}; {most} are allowed")
    if (total := sum(map(sum, payloads))) > c.MAX_METADATA_BYTES:
        raise InputError(f"pictures and foreign chunks of {total} bytes; {c.MAX_METADATA_BYTES} are allowed")


def _payload_bytes(part: Picture | Foreign) -> int:
    texts = len(part.mime) + len(part.description.encode()) + 32 if isinstance(part, Picture) else 8
    return texts + len(part.data)


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _read_u32(reader: ByteReader) -> int:
    return int.from_bytes(reader.take(4), "big")
