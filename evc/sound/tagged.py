"""Tags of MP3, MP4 and other formats, through mutagen where the user has installed it (`pip install "evc[tags]"`).

mutagen's licence is the GPL, EVC's is not: EVC does without it and only uses one that is there. `unread` finds out,
without it, whether a tag has more in it than other decoders tell.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from evc.format.errors import EvcError
from evc.format.metadata import FRONT_COVER, Picture
from evc.sound.comments import Found
from evc.sound.flac import id3_bytes
from evc.sound.tag_names import ID3_NAMES, MP4_NAMES, MUSICBRAINZ, PAIRS

INSTALL = 'pip install "evc[tags]" lets evc read it'
_ID3_KNOWN = {"TIT2", "TPE1", "TALB", "TDRC", "TYER", "TCON", "TRCK", "COMM", "TT2", "TP1", "TAL", "TYE", "TCO", "TRK",
              "COM"}  # fmt: skip  # what libsndfile tells
_ID3_IDLE = {"TSSE", "TENC", "TLEN", "TSS", "TEN", "TLE", "TDTG"}  # of how the file was made
_MOST_ID3_BYTES = 64 << 20
_MOST_ATOMS = 1 << 10
_MP4_BOXES = (b"moov", b"udta", b"meta", b"ilst")


def available() -> bool:
    """Whether mutagen is installed."""
    return importlib.util.find_spec("mutagen") is not None


def read_tagged(file: BinaryIO) -> Found | None:
    """What mutagen finds in a sound file; None where that is nothing. Raises nothing but what reading raises."""
    import mutagen

    file.seek(0)
    found = Found()
    try:
        tags = getattr(mutagen.File(file), "tags", None)
    except Exception as error:  # of a damaged tag; which exceptions that raises is not stated
        found.problems.append(f"its tags cannot be read ({error})")
        return found
    if not tags:
        return None
    _add_all(tags, found)
    return found


def read_id3(file: BinaryIO, found: Found) -> None:
    """Add what the ID3 tag at the start of `file` holds under names that `found` does not have yet."""
    from mutagen.id3 import ID3

    more = Found()
    try:
        _add_all(ID3(file), more)
    except Exception as error:
        found.problems.append(f"its ID3 tag cannot be read ({error})")
        return
    for name, value in more.metadata.tags.items():
        found.metadata.tags.setdefault(name, value)
    found.metadata.pictures += more.metadata.pictures
    found.problems += more.problems


def _add_all(tags: Any, found: Found) -> None:
    kind = type(tags).__name__
    read = {"MP4Tags": _add_mp4, "APEv2": _add_ape}.get(kind, _add_id3 if hasattr(tags, "getall") else _add_plain)
    read(tags, found)


def _add_picture(found: Found, data: bytes, type: int, description: str = "", mime: str = "") -> None:
    """A picture, whose size is read from it where it is of a kind that is known."""
    try:
        try:
            picture = Picture.of(data, type, description)
        except EvcError:
            picture = Picture(data, type, mime if mime.isascii() and mime.isprintable() else "", description)
        if mime and mime != picture.mime and mime.isascii() and mime.isprintable() and "/" in mime:
            facts = picture.width, picture.height, picture.depth
            picture = Picture(data, type, mime, description, *facts)
        found.metadata.pictures.append(picture)
    except EvcError as error:
        found.problems.append(f"a picture is left out ({error})")


def _add_id3(tags: Any, found: Found) -> None:
    left = set()
    for frame in tags.values():
        name = frame.FrameID
        if name == "APIC":
            _add_picture(found, frame.data, int(frame.type), frame.desc, frame.mime)
        elif name in ("COMM", "USLT"):
            plain = "comment" if name == "COMM" else "lyrics"
            texts = frame.text if isinstance(frame.text, list) else [frame.text]
            _add_texts(found, f"{plain}:{frame.desc.lower()}" if frame.desc else plain, texts)
        elif name == "TXXX":
            _add_texts(found, MUSICBRAINZ.get(frame.desc.lower(), frame.desc.lower() or "txxx"), frame.text)
        elif name == "UFID" and frame.owner == "http://musicbrainz.org":
            _add_texts(found, "musicbrainz_trackid", [frame.data.decode("ascii", "replace")])
        elif name in PAIRS:
            for text in map(str, frame.text):
                _add_pair(found, PAIRS[name], *text.split("/", 1))
        elif name == "TCON":
            _add_texts(found, "genre", frame.genres)
        elif name in ID3_NAMES:
            _add_texts(found, ID3_NAMES[name], frame.text)
        elif name.startswith("T"):
            _add_texts(found, name.lower(), getattr(frame, "text", []))
        elif hasattr(frame, "url"):
            _add_texts(found, "website" if name == "WOAR" else name.lower(), [frame.url])
        else:
            left.add(name)
    if left:
        found.problems.append(f"its ID3 frames {', '.join(sorted(left))} are left out")


def _add_mp4(tags: Any, found: Found) -> None:
    left = set()
    for name, values in tags.items():
        if name == "covr":
            for value in values:
                _add_picture(found, bytes(value), FRONT_COVER)
        elif name in PAIRS:
            for number, total in values:
                _add_pair(found, PAIRS[name], *(str(each) for each in (number, total) if each))
        elif name.startswith("----:"):
            plain = name.split(":")[-1].lower()
            texts = [bytes(value).decode("utf-8", "replace") for value in values]
            _add_texts(found, MUSICBRAINZ.get(plain, plain), texts)
        elif name in MP4_NAMES:
            values = values if isinstance(values, list) else [int(values)]
            _add_texts(found, MP4_NAMES[name], values)
        else:
            left.add(name)
    if left:
        found.problems.append(f"its MP4 tags {', '.join(sorted(left))} are left out")


def _add_ape(tags: Any, found: Found) -> None:
    for name, value in tags.items():
        plain = {"track": "tracknumber", "disc": "discnumber", "year": "date", "album artist": "albumartist"}
        if type(value).__name__ == "APETextValue":
            _add_texts(found, plain.get(name.lower(), name.lower()), list(value))
        elif name.lower().startswith("cover art"):
            _add_picture(found, bytes(value.value).split(b"\0", 1)[-1], 4 if "back" in name.lower() else FRONT_COVER)
        else:
            found.problems.append(f"its tag {name} is left out")


def _add_plain(tags: Any, found: Found) -> None:
    """Tags of other kinds: texts under their own names."""
    for name in tags.keys():
        values = tags[name]
        _add_texts(found, str(name).lower(), values if isinstance(values, list) else [values])


def _add_texts(found: Found, name: str, texts: Any) -> None:
    for text in texts:
        found.add_tag(name, str(text).encode("utf-8", "replace").decode())


def _add_pair(found: Found, names: tuple[str, str], *values: str) -> None:
    """A number and, if there are two, how many there are in all."""
    for name, value in zip(names, values, strict=False):
        _add_texts(found, name, [value])


# --- Without mutagen --------------------------------------------------------------------------------


def unread(file: BinaryIO, size: int) -> str:
    """What an ID3 or MP4 tag has that nothing but mutagen reads here, for people; "" where there is nothing."""
    file.seek(0)
    head = file.read(12)
    if head.startswith(b"ID3"):
        file.seek(0)
        return _unread_id3(file.read(min(id3_bytes(head), size, _MOST_ID3_BYTES)))
    if head[4:8] == b"ftyp":
        return _unread_mp4(file, size)
    return ""


def unread_id3(data: bytes) -> str:
    """The same for an ID3 tag alone, of which nothing at all is read here."""
    names = sorted({name for name, _ in _id3_frames(data)} - _ID3_IDLE)
    return f"its ID3 tag ({', '.join(names)})" if names else ""


def _unread_id3(data: bytes) -> str:
    more = set()
    for name, content in _id3_frames(data):
        encoding = {b"\1": "utf-16", b"\2": "utf-16-be"}.get(content[:1], "latin-1")
        several = name.startswith("T") and "\0" in content[1:].decode(encoding, "replace").strip("\0")
        if name not in _ID3_KNOWN | _ID3_IDLE or several:
            more.add(name)
    return f"its ID3 tag has more ({', '.join(sorted(more))})" if more else ""


def _id3_frames(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the frames of an ID3v2 tag (id3.org: versions 2.2, 2.3 and 2.4)."""
    if len(data) < 10 or not data.startswith(b"ID3"):
        return
    version, position = data[3], 10
    if data[5] & 0x40 and version > 2:  # an extended header
        extra = data[10:14]
        position += int.from_bytes(extra, "big") + 4 if version == 3 else id3_bytes(b"ID3\0\0\0" + extra) - 10
    letters, header = (3, 6) if version == 2 else (4, 10)
    while position + header <= len(data):
        name, field = data[position : position + letters], data[position + letters : position + 2 * letters]
        if not name.isalnum() or not name.isascii():
            return
        length = id3_bytes(b"ID3\0\0\0" + field) - 10 if version == 4 else int.from_bytes(field, "big")
        yield name.decode("ascii"), data[position + header : position + header + length]
        position += header + length


def _unread_mp4(file: BinaryIO, size: int) -> str:
    """Covers and further values: of these ffmpeg tells nothing (ISO/IEC 14496-12; iTunes metadata)."""
    start, end = 0, size
    for box in _MP4_BOXES:
        at = next(((a, b) for name, a, b in _boxes(file, start, end) if name == box), None)
        if at is None:
            return ""
        start, end = at
        if box == b"meta":
            start += 4  # version and flags
    more = set()
    for name, begin, finish in _boxes(file, start, end):
        values = [kind for kind, _, _ in _boxes(file, begin, finish)].count(b"data")
        if name == b"covr" or values > 1:
            more.add("cover" if name == b"covr" else name.decode("latin-1"))
    return f"its MP4 tag has more ({', '.join(sorted(more))})" if more else ""


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the content of the boxes in [start, end)."""
    for _ in range(_MOST_ATOMS):
        if start + 8 > end:
            return
        file.seek(start)
        length, name = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            length, header = int.from_bytes(file.read(8), "big"), 16
        length = end - start if length == 0 else length
        if length < header or start + length > end:
            return
        yield name, start + header, start + length
        start += length
