"""Small files with metadata, without an encoder: silence, and all that can be beside it."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import evc
from evc.format.errors import EvcWarning
from evc.format.header import Header
from evc.format.metadata import Foreign, Metadata, Picture
from evc.format.segment import Segment
from evc.format.writer import ContainerWriter
from evc.sound.source import FileSource

RATE = 48_000
FRAMES = 9600


def png(width: int = 3, height: int = 2) -> bytes:
    """A small black picture."""
    rows = (b"\0" + b"\0\0\0" * width) * height
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def silent(metadata: Metadata | None = None, frames: int = FRAMES, samplerate: int = RATE, channels: int = 1) -> bytes:
    """An .evc file of silence."""
    metadata = metadata or Metadata()
    file = io.BytesIO()
    header = Header(samplerate, channels, frames, layers=("spectrum",))
    parts = metadata.tags, 0, metadata.pictures, metadata.foreign
    with ContainerWriter(file, header, *parts) as writer:
        for index in range(header.segments):
            writer.add_segment(Segment(index))
    return file.getvalue()


def decoded(metadata: Metadata, path: Path, subtype: str | None = None, **options: float) -> list[str]:
    """Decode a silent file with `metadata` to `path`; the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        evc.decode_file(io.BytesIO(silent(metadata)), path, subtype=subtype, **options)
    assert all(issubclass(each.category, EvcWarning) for each in caught), [str(each.message) for each in caught]
    return [str(each.message) for each in caught]


def source_of(path: Path) -> tuple[Metadata, list[str]]:
    """What an encoder gets of the metadata of a sound file, and what it is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with FileSource(path) as source:
            found = Metadata(source.tags, source.pictures, source.foreign)
    return found, [str(each.message).removeprefix(f"{path}: ") for each in caught]


def wave(chunks: bytes, frames: int = 100) -> bytes:
    """A WAV file of silence, one channel, with chunks behind its sound."""
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", bytes(2 * frames)) + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, content: bytes, order: str = "<") -> bytes:
    return name + struct.pack(order + "I", len(content)) + content + b"\0" * (len(content) % 2)


def smpl(*loops: tuple[int, int, int, int], note: int = 60, extra: bytes = b"") -> bytes:
    """A `smpl` chunk's content: loops as kind, first frame, last frame, plays."""
    data = struct.pack("<9I", 1, 2, 20_833, note, 0, 0, 0, len(loops), len(extra))
    return data + b"".join(struct.pack("<6I", 5, k, a, b, 0, n) for k, a, b, n in loops) + extra


def cuesheet() -> bytes:
    """Of FLAC: one track, and where it ends."""
    track = struct.pack(">QB12s14sB", 0, 1, b"", b"", 1) + struct.pack(">QB3s", 0, 1, b"")
    return bytes(395) + b"\2" + track + struct.pack(">QB12s14sB", FRAMES, 255, b"", b"", 0)


TAGS: dict[str, str | list[str]] = {
    "title": "Größe",
    "artist": ["A", "B; C"],
    "albumartist": "D",
    "replaygain_track_gain": "-6.5 dB",
    "musicbrainz_trackid": "00000000-0000-4000-8000-000000000000",
    "lyrics": "one\ntwo\r\n三",
    "empty": "",
}
FOREIGN = [
    Foreign("RIFF", "bext", bytes(338) + struct.pack("<Q", 1000) + bytes(256)),
    Foreign("RIFF", "smpl", smpl((0, 1000, 4999, 0))),
    Foreign("FLAC", "APPL", b"test" + bytes(range(256))),
    Foreign("FLAC", "CUES", cuesheet()),
]
PICTURES = [Picture.of(png(), description="vorne"), Picture(b"no picture", 17, "image/x-fish", "", 1, 2, 3, 4)]
