"""Metadata of sound files to encode: which module reads that of a format."""

from __future__ import annotations

import io
from typing import BinaryIO

from evc.format.metadata import Foreign
from evc.format.tags import Tags
from evc.sound import tagged
from evc.sound.comments import Found, limited
from evc.sound.flac import flac_start, read_flac
from evc.sound.ogg import read_ogg
from evc.sound.riff import read_aiff, read_wave, read_wave64


def read_metadata(file: BinaryIO, end: int, known: Tags) -> Found:
    """The metadata of the sound file in the first `end` bytes of `file`; `known` are tags that its decoder tells, which
    stand in for those that are not read here. Raises nothing but what reading raises."""
    file.seek(0)
    head = file.read(12)
    found: Found | None = None
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:] == b"WAVE":
        found = read_wave(file, end)
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        found = read_aiff(file, end)
    elif head.startswith(b"riff\x2e\x91\xcf\x11"):
        found = read_wave64(file, end)
        found.metadata.tags = known | found.metadata.tags
    elif head.startswith(b"OggS"):
        found = read_ogg(file, 0, end)
    elif (marker := flac_start(file)) is not None:
        found = read_flac(file, marker, end)
    if found is None:
        found = _read_others(file, end, known)
    else:
        for chunk in found.metadata.foreign:
            if chunk.holds_id3:
                _read_id3_chunk(chunk, found)
        if found.problems:
            found.metadata.tags = known | found.metadata.tags
    found.problems = list(dict.fromkeys(found.problems))
    return limited(found)


def _read_others(file: BinaryIO, end: int, known: Tags) -> Found:
    """What mutagen reads, or without it what the decoder told, and a word on the rest."""
    found = tagged.read_tagged(file) if tagged.available() else None
    if found is not None and found.metadata.tags:
        return found
    found = found or Found()
    found.metadata.tags = dict(known)
    if not tagged.available() and (more := tagged.unread(file, end)):
        found.problems.append(f"{more}: {tagged.INSTALL}")
    return found


def _read_id3_chunk(chunk: Foreign, found: Found) -> None:
    if tagged.available():
        tagged.read_id3(io.BytesIO(chunk.data), found)
    elif more := tagged.unread_id3(chunk.data):
        found.problems.append(f"{more} is kept, but not read: {tagged.INSTALL}")
