"""Vorbis comments: the tags of FLAC, Ogg Vorbis, Opus and others, with pictures.

Layout: section 5 of Vorbis I, which FLAC (RFC 9639, 8.6) and Opus (RFC 7845, 5.2) share. Pictures are in the field
METADATA_BLOCK_PICTURE, FLAC's block in base64, except in FLAC itself.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from evc.format import constants as c
from evc.format.errors import FormatError, InputError
from evc.format.metadata import Metadata, Picture
from evc.format.tags import Tags, values_of
from evc.sound.text import decoded

PICTURE_FIELD = "metadata_block_picture"
JOIN = "; "  # between the values of a tag where a format has only one
_MOST_COMMENTS = 1 << 16
_MOST_BYTES = 2 * c.MAX_METADATA_BYTES  # read of one file
_SPARE_BYTES = 4096  # of the tags, for what the encoder adds


@dataclass
class Found:
    """What was read of a sound file: its metadata, and what is wrong with the rest, in words."""

    metadata: Metadata = field(default_factory=Metadata)
    problems: list[str] = field(default_factory=list)
    left: int = _MOST_BYTES

    def has_room(self, count: int, what: str) -> bool:
        """Whether so many bytes more are to be read; if not, what they are is told."""
        if count <= self.left:
            self.left -= count
            return True
        self.problems.append(f"{what} of {count} bytes is too large, and left out")
        return False

    def add_tag(self, name: str, value: str) -> None:
        """One value of a tag, behind those it has already."""
        add_value(self.metadata.tags, name, value)

    def add_picture(self, block: bytes) -> None:
        """The content of a picture block of FLAC."""
        try:
            self.metadata.pictures.append(_lenient_picture(block))
        except (FormatError, InputError) as error:
            self.problems.append(f"a picture is left out ({error})")


def add_value(tags: Tags, name: str, value: str) -> None:
    """One value of a tag, behind those it has already."""
    before = tags.get(name)
    if before is None:
        tags[name] = value
    elif isinstance(before, str):
        tags[name] = [before, value]
    else:
        before.append(value)


def one_text(value: str | list[str]) -> str:
    """The values of a tag as one."""
    return JOIN.join(values_of(value))


def read_comments(data: bytes, found: Found) -> bytes:
    """Add the comments of a header to `found`, as far as they are well-formed; the vendor string is returned.

    `data` begins with the vendor's length; what is behind the comments is not looked at.
    """
    vendor, position = _field(data, 0)
    if vendor is None:
        found.problems.append("its comments are malformed")
        return b""
    count = int.from_bytes(data[position : position + 4], "little")
    position += 4
    for number in range(count):
        if number == _MOST_COMMENTS:
            found.problems.append(f"of its {count} comments those behind the first {number} are left out")
            break
        comment, position = _field(data, position)
        if comment is None:
            found.problems.append("its comments are malformed: those from the first bad one on are left out")
            break
        name, equals, value = comment.partition(b"=")
        if not equals or not name:
            found.problems.append("a comment without a name is left out")
            continue
        _add(found, decoded(name).lower(), value)
    return vendor


def _field(data: bytes, position: int) -> tuple[bytes | None, int]:
    """A text with its length in front, and where the next starts; None where it is not there."""
    length = int.from_bytes(data[position : position + 4], "little")
    end = position + 4 + length
    return (data[position + 4 : end], end) if end <= len(data) and position + 4 <= len(data) else (None, end)


def _add(found: Found, name: str, value: bytes) -> None:
    if name != PICTURE_FIELD:
        found.add_tag(name, decoded(value))
        return
    try:
        found.add_picture(base64.b64decode(value + b"=" * (-len(value) % 4), validate=True))
    except binascii.Error:
        found.problems.append("a picture is left out (its base64 is wrong)")


def _lenient_picture(block: bytes) -> Picture:
    """A picture whose texts may be in other encodings than they should."""
    try:
        return Picture.read(block)
    except FormatError:
        mime_bytes = int.from_bytes(block[4:8], "big")
        text_at = 8 + mime_bytes
        text_bytes = int.from_bytes(block[text_at : text_at + 4], "big")
        if text_at + 4 + text_bytes > len(block):
            raise
        mime = "".join(x for x in block[8:text_at].decode("ascii", "ignore") if x.isprintable()).encode()
        text = decoded(block[text_at + 4 : text_at + 4 + text_bytes]).encode()
        mended = block[:4] + len(mime).to_bytes(4, "big") + mime + len(text).to_bytes(4, "big") + text
        return Picture.read(mended + block[text_at + 4 + text_bytes :])


def write_comments(vendor: bytes, tags: Tags, pictures: Sequence[Picture] = ()) -> bytes:
    """The header, from the length of the vendor string on, without a framing bit. `tags` are such that
    `has_field_name` holds for their names."""
    comments = [f"{name.upper()}={value}".encode() for name, values in tags.items() for value in values_of(values)]
    for picture in pictures:
        comments.append(PICTURE_FIELD.upper().encode() + b"=" + base64.b64encode(picture.write()))
    out = [_sized(vendor), len(comments).to_bytes(4, "little"), *map(_sized, comments)]
    return b"".join(out)


def has_field_name(name: str) -> bool:
    """Whether a comment can have this name: ASCII from space to }, without = (5.2.2 of Vorbis I)."""
    return bool(name) and name != PICTURE_FIELD and all(" " <= letter <= "}" and letter != "=" for letter in name)


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def limited(found: Found) -> Found:
    """The same with no more than an .evc file can hold: what is left out is told."""
    metadata, problems = found.metadata, found.problems
    sizes = {name: len(json.dumps([name, value], ensure_ascii=False).encode()) for name, value in metadata.tags.items()}
    total = sum(sizes.values())
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if total <= c.MAX_TAGS_BYTES - _SPARE_BYTES:
            break
        total -= sizes[name]
        problems.append(f"the tag {name} is too long, and left out")
        del metadata.tags[name]
    left = c.MAX_METADATA_BYTES
    for group, most in ((metadata.pictures, c.MAX_PICTURES), (metadata.foreign, c.MAX_FOREIGN)):
        fitting = 0
        while fitting < min(len(group), most) and (size := len(group[fitting].write())) <= left:
            left -= size
            fitting += 1
        if fitting < len(group):
            what = "pictures" if group is metadata.pictures else "chunks"
            problems.append(f"{len(group) - fitting} {what} are too many, or too large, and left out")
            del group[fitting:]
    return found

