"""How many bytes a file of a bitrate may take, and how many one takes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.writer import ContainerWriter
from evc.models.settings import EncodeSettings

LEAST_SHARE = 0.5  # of a bitrate that streams get in a file so short that its frame would take more


@dataclass(frozen=True)
class FileRoom:
    """How large a file may become: `wanted` bytes in all, of which its tags take `tags`."""

    wanted: float
    tags: int

    @classmethod
    def of(cls, header: Header, settings: EncodeSettings, header_bytes: int) -> Self:
        """For a bitrate and a file that begins with `header_bytes`: signature, `header` and tags."""
        tags = header_bytes - len(c.SIGNATURE) - len(chunk_bytes(c.CHUNK_HEAD, header.write()))
        return cls(settings.known_bitrate * 125 * header.known_frames / header.samplerate, max(tags, 0))

    def target(self, header: Header) -> float:
        """Bytes of a file with this header, without tags: a part of it is left to streams, however short it is."""
        return max(self.wanted - self.tags, empty_bytes(header) + LEAST_SHARE * self.wanted)


def as_file(header: Header, segments: Iterable[Segment]) -> io.BytesIO:
    """A whole file without tags."""
    file = io.BytesIO()
    with ContainerWriter(file, header) as writer:
        for segment in segments:
            writer.add_segment(segment)
    return file


def file_bytes(header: Header, segments: Iterable[Segment]) -> int:
    """Of a whole file without tags."""
    return as_file(header, segments).getbuffer().nbytes


def empty_bytes(header: Header) -> int:
    """Of a whole file without tags and without streams."""
    return file_bytes(header, [Segment(index) for index in range(header.segments)])
