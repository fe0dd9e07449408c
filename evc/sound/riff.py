"""RIFF and AIFF: the chunks of WAV, RF64, Wave64 and AIFF files beside their sound, read and (but for Wave64) written.

Sources: Multimedia Programming Interface and Data Specifications 1.0 (RIFF, LIST INFO, cue), EBU Tech 3285 and 3306
(bext; RF64 and its ds64), Audio Interchange File Format 1.3 (AIFF).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO, NamedTuple

from evc.format import constants as c
from evc.format.metadata import Foreign
from evc.format.tags import Tags, values_of
from evc.sound.comments import Found, one_text
from evc.sound.decoders import LIBRARY_SUFFIX
from evc.sound.text import decoded

# Tags by their names in LIST INFO, those in common use beside the standard's included; where two stand for one tag, the
# first is written.
INFO_NAMES = {
    "INAM": "title", "IART": "artist", "IPRD": "album", "ICRD": "date", "ITRK": "tracknumber", "IPRT": "tracknumber",
    "IGNR": "genre", "ICMT": "comment", "ICOP": "copyright", "ISFT": "encoder", "IENG": "engineer", "IMUS": "composer",
    "IWRI": "lyricist", "IKEY": "keywords", "ILNG": "language", "ISBJ": "subject", "ITCH": "encoded-by",
    "IMED": "sourcemedia", "IARL": "archivallocation", "ICMS": "commissioned", "ISRC": "source", "IBPM": "bpm",
    "ICNT": "releasecountry", "IPUB": "label",
}  # fmt: skip
_INFO_OF = {tag: name for name, tag in reversed(INFO_NAMES.items())} | {"software": "ISFT"}
_OTHER_INFO = re.compile(r"info_([a-z0-9 _~]{4})")  # tags that stand for names not listed here
# Text chunks of AIFF (section "Text Chunks"); of annotations there may be many.
AIFF_NAMES = {"NAME": "title", "AUTH": "artist", "(c) ": "copyright", "ANNO": "comment"}
_AIFF_OF = {tag: name for name, tag in AIFF_NAMES.items()}
_AIFF_TEXT = "mac_roman"

# Chunks that describe the samples themselves, or nothing.
_STRUCTURE = {b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"levl", b"JUNK", b"junk", b"FLLR", b"PAD ", b"FVER",
              b"COMM", b"SSND", b"CHAN", b"slnt"}  # fmt: skip
_CHUNK_NAME = re.compile(rb"[ -~]{4}")
_MOST_CHUNKS = 1 << 12
_UNKNOWN = 0xFFFFFFFF
_DS64_BYTES = 24
_WAVE64_HEADER_BYTES = 40
_WAVE64_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # behind the name, of chunks that WAVE has too


class _Chunk(NamedTuple):
    name: bytes
    start: int
    length: int


def read_wave(file: BinaryIO, size: int) -> Found:
    """The metadata of a WAV, RF64, BW64 or RIFX file of `size` bytes."""
    file.seek(0)
    big = file.read(4) == b"RIFX"
    found = Found()
    for chunk in _chunks(file, size, "big" if big else "little"):
        _add_wave(file, chunk, size, ">" if big else "<", found)
    return found


def read_wave64(file: BinaryIO, size: int) -> Found:
    """The metadata of a Wave64 file of `size` bytes: of its chunks those that are WAVE's, by their names there."""
    found, position = Found(), _WAVE64_HEADER_BYTES
    for _ in range(_MOST_CHUNKS):
        if position + 24 > size:
            break
        file.seek(position)
        header = file.read(24)
        length = int.from_bytes(header[16:], "little")
        if length < 24:
            break
        chunk = _Chunk(header[:4], position + 24, length - 24)
        if header[4:16] == _WAVE64_GUID:
            _add_wave(file, chunk, size, "<", found)
        position += -(-length // 8) * 8
    return found


def _add_wave(file: BinaryIO, chunk: _Chunk, size: int, order: str, found: Found) -> None:
    if chunk.name in _STRUCTURE or not _CHUNK_NAME.fullmatch(chunk.name):
        return
    content = _content(file, chunk, size, found)
    if content is not None and chunk.name == b"LIST" and content.startswith(b"INFO"):
        _read_info(content, order, found)
    elif content is not None:
        origin = "RIFX" if order == ">" else "RIFF"
        found.metadata.foreign.append(Foreign(origin, chunk.name.decode("ascii"), content))


def read_aiff(file: BinaryIO, size: int) -> Found:
    """The metadata of an AIFF or AIFF-C file of `size` bytes."""
    found = Found()
    for chunk in _chunks(file, size, "big"):
        name = chunk.name.decode("ascii")
        if chunk.name in _STRUCTURE or (content := _content(file, chunk, size, found)) is None:
            continue
        if name in AIFF_NAMES:
            found.add_tag(AIFF_NAMES[name], decoded(content.rstrip(b"\0"), _AIFF_TEXT))
        else:
            found.metadata.foreign.append(Foreign("AIFF", name, content))
    return found


def _chunks(file: BinaryIO, size: int, order: str) -> Iterator[_Chunk]:
    """The chunks of a file, as far as they follow upon each other."""
    position, sound = 12, None
    for _ in range(_MOST_CHUNKS):
        if position + 8 > size:
            return
        file.seek(position)
        header = file.read(8)
        name, length = header[:4], int.from_bytes(header[4:], order)  # type: ignore[arg-type]
        if not _CHUNK_NAME.fullmatch(name):
            return
        if name == b"ds64":
            sound = int.from_bytes(file.read(16)[8:], order)  # type: ignore[arg-type]
        if name == b"data" and length == _UNKNOWN:
            if sound is None:
                return
            length = sound
        yield _Chunk(name, position + 8, length)
        position += 8 + length + length % 2


def _content(file: BinaryIO, chunk: _Chunk, size: int, found: Found) -> bytes | None:
    """What is in a chunk; None, and a word on it, where that is not there or too much."""
    name = chunk.name.decode("ascii").strip()
    if chunk.start + chunk.length > size:
        found.problems.append(f"the chunk {name} goes on past the end, and is left out")
    elif chunk.length > c.MAX_FOREIGN_BYTES:
        found.problems.append(f"the chunk {name} of {chunk.length} bytes is too large, and left out")
    elif found.has_room(chunk.length, f"the chunk {name}"):
        file.seek(chunk.start)
        return file.read(chunk.length)
    return None


def _read_info(content: bytes, order: str, found: Found) -> None:
    position = 4
    for _ in range(_MOST_CHUNKS):
        if position + 8 > len(content):
            return
        raw, length = struct.unpack(order + "4sI", content[position : position + 8])
        if not _CHUNK_NAME.fullmatch(raw) or position + 8 + length > len(content):
            found.problems.append("its LIST INFO is malformed: what is behind the first bad entry is left out")
            return
        name = raw.decode("ascii").upper()
        text = decoded(content[position + 8 : position + 8 + length].split(b"\0", 1)[0])
        tag = INFO_NAMES.get(name, f"info_{name.lower()}")
        if tag == "encoder":
            text = LIBRARY_SUFFIX.sub("", text)
        if text and text not in values_of(found.metadata.tags.get(tag, [])):
            found.add_tag(tag, text)
        position += 8 + length + length % 2


def info_name(tag: str) -> str | None:
    """The name of a tag in LIST INFO; None for one that has none."""
    other = _OTHER_INFO.fullmatch(tag)
    return other[1].upper() if other else _INFO_OF.get(tag)


def aiff_name(tag: str) -> str | None:
    """The name of the text chunk of AIFF that holds a tag; None where there is none."""
    return _AIFF_OF.get(tag)


def embed_wave(file: BinaryIO, tags: Mapping[str, str], foreign: list[Foreign]) -> None:
    """Put tags that have an `info_name`, and chunks of the origin "RIFF", behind the sound of a WAV or RF64 file.

    Raises ValueError where the file has no room for them.
    """
    info = b"INFO"
    for tag, value in tags.items():
        info += _chunk(str(info_name(tag)).encode(), value.encode() + b"\0", "little")
    added = _chunk(b"LIST", info, "little") if tags else b""
    added += b"".join(_chunk(chunk.id.encode(), chunk.data, "little") for chunk in foreign)
    _append(file, added, "little")


def embed_aiff(file: BinaryIO, tags: Tags, foreign: list[Foreign]) -> None:
    """Put tags that have an `aiff_name`, and chunks of the origin "AIFF", behind the sound of an AIFF file.

    Raises ValueError where the file has no room for them.
    """
    added = b""
    for tag, value in tags.items():
        name = str(aiff_name(tag)).encode()
        texts = values_of(value) if name == b"ANNO" else [one_text(value)]
        added += b"".join(_chunk(name, text.encode(), "big") for text in texts)
    added += b"".join(_chunk(chunk.id.encode(), chunk.data, "big") for chunk in foreign)
    _append(file, added, "big")


def _append(file: BinaryIO, added: bytes, order: str) -> None:
    """Put whole chunks at the end of a file, and tell its header."""
    if not added:
        return
    file.seek(0)
    head = file.read(12 + 8 + _DS64_BYTES)
    size = file.seek(0, 2)
    added = b"\0" * (size % 2) + added
    total = size + len(added) - 8
    if head.startswith(b"RF64"):
        if head[12:16] != b"ds64":
            raise ValueError("this RF64 file has no ds64")
        offset, field = 20, total.to_bytes(8, "little")
    elif total < _UNKNOWN:
        offset, field = 4, total.to_bytes(4, order)  # type: ignore[arg-type]
    else:
        raise ValueError("the file would be too large for its format")
    file.write(added)
    file.seek(offset)
    file.write(field)


def _chunk(name: bytes, content: bytes, order: str) -> bytes:
    return name + len(content).to_bytes(4, order) + content + b"\0" * (len(content) % 2)  # type: ignore[arg-type]
