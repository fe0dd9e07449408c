"""`FileInfo` and `info`: what the metadata of a file tells, without any audio."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from evc.format.chain import Chain
from evc.format.constants import CHUNK_FRGN, CHUNK_PICT
from evc.format.speakers import names_of
from evc.format.tags import Tags
from evc.loops import cues_of, loops_of
from evc.models.layers import LAYERS
from evc.streaming import PathOrFile, seekable_input


@dataclass(frozen=True)
class FileInfo:
    """What the metadata of a file tells: `bytes` of the whole file, `duration` in seconds, `kbps` in kbit/s, pictures
    and foreign chunks not counted, `hints` as `encode` knows them ("" where nothing sounds), `patterns` in the
    dictionary, `links` of a chain (spec 4.6), the rest as in `EvcFile`; `networks` are ids, `adapted` the bytes that
    change them. Pictures (type,
    what it shows, mime, description, width, height, bytes), edits, loops, cues and foreign chunks (origin, id, name,
    bytes) are told without their data."""

    bytes: int
    format_version: str
    samplerate: int
    channels: int
    speakers: tuple[str, ...]
    frames: int
    coded_frames: int
    duration: float
    subtype: str
    loop: bool
    kbps: float
    layers: tuple[str, ...]
    hints: str
    links: int
    segments: int
    patterns: int
    networks: tuple[str, ...]
    adapted: int
    tags: Tags
    pictures: tuple[dict[str, Any], ...]
    edits: tuple[dict[str, Any], ...]
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
        chain = Chain(binary, salvage)
        container = chain.links[0]
        pictures, foreign = container.pictures, container.foreign
    header = container.header
    frames = chain.edits.frames
    duration = frames / header.samplerate
    metadata = sum(place.size for place in container.chunks if place.type in (CHUNK_PICT, CHUNK_FRGN))
    return FileInfo(
        bytes=chain.file_bytes,
        format_version=header.version,
        samplerate=header.samplerate,
        channels=header.channels,
        speakers=names_of(container.speakers, header.channels),
        frames=frames,
        coded_frames=chain.frames,
        duration=duration,
        subtype=header.subtype,
        loop=chain.loop,
        kbps=8 * (chain.file_bytes - metadata) / duration / 1000 if duration else 0.0,
        layers=chain.layers,
        hints=_hints(chain.layers),
        links=len(chain.links),
        segments=sum(link.segments for link in chain.links),
        patterns=sum(dictionary.entries for link in chain.links for dictionary in link.dictionaries),
        networks=tuple(network.id for network in chain.networks),
        adapted=chain.adapted_bytes,
        tags=container.tags,
        pictures=tuple(picture.as_dict() for picture in pictures),
        edits=tuple(stretch._asdict() for stretch in chain.edits.stretches) if chain.edited else (),
        loops=tuple(loop._asdict() for loop in loops_of(container.tags, foreign, frames)),
        cues=tuple(cue._asdict() for cue in cues_of(foreign, frames)),
        foreign=tuple(chunk.as_dict() for chunk in foreign),
    )


def _hints(layers: tuple[str, ...]) -> str:
    """What tells of a file's sound, as `encode` names it."""
    return next((layer.hints for name, layer in LAYERS.items() if name in layers), "")
