"""`FileInfo` and `info`: what the metadata of a file tells, without any audio."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evc.format.constants import CHUNK_FRGN, CHUNK_PICT
from evc.format.header import Header, Tags
from evc.format.reader import ContainerReader
from evc.format.speakers import names_of
from evc.loops import cues_of, loops_of
from evc.models.layers import LAYERS
from evc.streaming import PathOrFile, seekable_input


@dataclass(frozen=True)
class FileInfo:
    """What the metadata of a file tells: `bytes` of the whole file, `duration` in seconds, `kbps` in kbit/s, pictures
    and foreign chunks not counted, `hints` as `encode` knows them ("" where nothing sounds), `patterns` in the
    dictionary, the rest as in `EvcFile`; `networks` are ids. Pictures (type, what it shows, mime, description, width,
    height, bytes), loops, cues and foreign chunks (origin, id, name, bytes) are told without their data."""

    bytes: int
    format_version: str
    samplerate: int
    channels: int
    speakers: tuple[str, ...]
    frames: int
    duration: float
    subtype: str
    loop: bool
    kbps: float
    layers: tuple[str, ...]
    hints: str
    segments: int
    patterns: int
    networks: tuple[str, ...]
    tags: Tags
    pictures: tuple[dict[str, Any], ...]
    loops: tuple[dict[str, Any], ...]
    cues: tuple[dict[str, Any], ...]
    foreign: tuple[dict[str, Any], ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def info(file: PathOrFile, salvage: bool = False) -> FileInfo:
    """Read the metadata of a file, no audio; with `salvage`, what is left of it in a damaged one. Raises FormatError,
    DamagedError, UnsupportedError or InputError."""
    with seekable_input(file) as binary:
        container = ContainerReader(binary, salvage)
        pictures, foreign = container.pictures, container.foreign
    header = container.header
    duration = header.sound_frames / header.samplerate
    metadata = sum(place.size for place in container.chunks if place.type in (CHUNK_PICT, CHUNK_FRGN))
    return FileInfo(
        bytes=container.file_bytes,
        format_version=header.version,
        samplerate=header.samplerate,
        channels=header.channels,
        speakers=names_of(container.speakers, header.channels),
        frames=header.sound_frames,
        duration=duration,
        subtype=header.subtype,
        loop=header.loop,
        kbps=8 * (container.file_bytes - metadata) / duration / 1000 if duration else 0.0,
        layers=header.layers,
        hints=_hints(header),
        segments=container.segments,
        patterns=sum(dictionary.entries for dictionary in container.dictionaries),
        networks=tuple(network.id for network in header.networks),
        tags=container.tags,
        pictures=tuple(picture.as_dict() for picture in pictures),
        loops=tuple(loop._asdict() for loop in loops_of(container.tags, foreign, header.sound_frames)),
        cues=tuple(cue._asdict() for cue in cues_of(foreign, header.sound_frames)),
        foreign=tuple(chunk.as_dict() for chunk in foreign),
    )


def _hints(header: Header) -> str:
    """What tells of a file's sound, as `encode` names it."""
    return next((layer.hints for name, layer in LAYERS.items() if name in header.layers), "")
