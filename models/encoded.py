"""What an encoder makes of a source, as a file and in bytes, and how many a file of a bitrate may take."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from evc.format.header import Header
from evc.format.segment import Segment, StreamData, dependency_depth
from evc.format.writer import ContainerWriter

LEAST_SHARE = 0.5  # of a bitrate that streams get in a file so short that its frame would take more


@dataclass(frozen=True)
class Encoded:
    """The segments of a file, with the header that they need; `adaptation` is what it changes of the network of its
    latents, `told` what there is to say of how it was made."""

    header: Header
    segments: Iterable[Segment]
    adaptation: StreamData | None = None
    told: str = ""

    def as_file(self) -> io.BytesIO:
        """A whole file without tags."""
        file = io.BytesIO()
        with ContainerWriter(file, self.header) as writer:
            if self.adaptation is not None:
                writer.add_adaptation(self.adaptation)
            for segment in self.segments:
                writer.add_segment(segment)
        return file

    def bytes(self) -> int:
        """Of a whole file without tags."""
        return self.as_file().getbuffer().nbytes


def empty_bytes(header: Header) -> int:
    """Of a whole file without tags and without streams."""
    return Encoded(header, [Segment(index) for index in range(header.segments)]).bytes()


def target_bytes(header: Header, bitrate: float, tag_bytes: int = 0) -> float:
    """Of a file of `bitrate` kbit/s, without the `tag_bytes` of its tags, which count; a part is left to streams,
    however short the file is."""
    wanted = bitrate * 125 * header.known_frames / header.samplerate
    return max(wanted - tag_bytes, empty_bytes(header) + LEAST_SHARE * wanted)


def with_references(header: Header, segments: Sequence[Segment]) -> Header:
    """A header that tells how far back the dependencies of segments reach, and how deep they are (spec 3.1)."""
    depths: list[int] = []
    for segment in segments:
        depths.append(dependency_depth(segment.dependencies, depths))
    spans = [segment.index - other for segment in segments for other in segment.dependencies]
    return replace(header, reference_depth=max(depths, default=0), reference_span=max(spans, default=0))


def word_bytes(segments: Iterable[Segment]) -> int:
    """Of all coded words."""
    return sum(len(stream.words) for segment in segments for stream in segment.streams)
