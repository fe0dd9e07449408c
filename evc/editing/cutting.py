"""A part of an .evc file as a file of its own. Coded segments stay as they are, byte for byte; the ends are exact to
the frame, by an edit list (spec 3.7)."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from evc.editing.spans import Needs, needs, touches_seam
from evc.file import EvcFile
from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.edits import Stretch
from evc.format.errors import EvcWarning, InputError
from evc.format.header import Header
from evc.format.metadata import Metadata
from evc.format.reader import ContainerReader
from evc.format.segment import Segment
from evc.format.writer import ContainerWriter
from evc.loops import part_of
from evc.models.progress import Progress
from evc.models.recoding import Recoder
from evc.streaming import PathOrFile, seekable_output

_CHAPTERS = re.compile(r"cuesheet|chapter\d.*")  # names of tags that tell moments of the whole file


@dataclass(frozen=True)
class CutReport:
    """What became of a part: its length in frames, how many segments it has of those of the file, and how many of them
    were coded anew."""

    frames: int
    kept: int
    coded_anew: int


@dataclass(frozen=True)
class _Link:
    """A link of the part: where it comes from, its header, and what is needed of it."""

    container: ContainerReader
    header: Header
    needs: Needs


def cut_file(
    source: EvcFile,
    target: PathOrFile,
    start: int = 0,
    frames: int | None = None,
    *,
    tags: Mapping[str, str | list[str]] | None = None,
    sources: bool = False,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> CutReport:
    """Write frames [start, start + frames) of what an open file plays, by default all behind `start`, as a file of
    their own: by path or into a binary file.

        with evc.open("album.evc") as f:
            evc.cut_file(f, "song.evc", 60 * f.samplerate, 180 * f.samplerate)

    Segments stay as they are, those at the ends whole, and the samples of the part are those of the file, to the bit.
    Only where a segment repeats sound that the part lacks is it coded anew, from what it decodes to; with `sources` the
    part has that sound too, unheard, and nothing is coded anew. Tags (or `tags` in their place), pictures, loops and
    cue points come along, counted from the part's start; an EvcWarning tells what does not belong to it. `progress` is
    called with segments done and in all. Raises InputError for a part that is not there.
    """
    count = source.frames - start if frames is None else frames
    if not (0 <= start and 0 < count and start + count <= source.frames):
        raise InputError(f"the file has {source.frames} frames: there is no part of {count} from frame {start} on")
    pieces, links = _links(source, start, count, sources)
    before = Metadata(source.tags, source.pictures, source.foreign)
    metadata, lost = part_of(before, start, count, source.frames)
    if count < source.frames:
        metadata.tags = {name: value for name, value in metadata.tags.items() if not _CHAPTERS.fullmatch(name.lower())}
    if lost:
        warnings.warn(f"the part leaves out {', '.join(lost)}", EvcWarning, stacklevel=2)
    if tags is not None:
        metadata.tags = dict(tags)
    if metadata.tags != before.tags:  # an ID3 tag among its chunks says what was
        metadata.foreign = [chunk for chunk in metadata.foreign if not chunk.holds_id3]
    edits = _edits(pieces, links)
    given: tuple[Any, ...] = metadata.tags, source.container.speakers, metadata.pictures, metadata.foreign, edits
    with seekable_output(target, overwrite) as output:
        done, total = 0, sum(link.header.segments for link in links.values())
        for link in links.values():
            decoder = SegmentDecoder(link.container)
            with closing(decoder), ContainerWriter(output, link.header, *given) as out:
                if link.container.adaptation is not None:
                    out.add_adaptation(link.container.adaptation)
                for _ in _written(out, link, decoder):
                    done += 1
                    if progress:
                        progress(done, total)
            given = ()  # what is told of a file stands in its first link
    kept, anew = (sum(len(getattr(link.needs, name)) for link in links.values()) for name in ("kept", "leaning"))
    return CutReport(count, kept, anew)


def _links(
    source: EvcFile, start: int, frames: int, sources: bool
) -> tuple[list[tuple[int, Stretch]], dict[int, _Link]]:
    """The stretches of a part in playing order, each with the number of its link and counted from its start; and the
    links by number."""
    pieces = [found for piece in source.chain.edits.pieces(start, frames) for found in source.chain.pieces(*piece)]
    links = {}
    numbers = sorted({number for number, _ in pieces})
    for number in numbers:
        container = source.chain.links[number]
        stretches = [stretch for other, stretch in pieces if other == number]
        needed = needs(container, stretches, sources)
        header = replace(container.header, chained=number != numbers[-1])
        if needed.leaning:  # which become spectra
            header = replace(header, layers=(*header.layers, *{"spectrum"}.difference(header.layers)))
        if not touches_seam(header, stretches):
            # Entries of a dictionary may be excerpts of frames that nobody plays: the file stays as long as they say.
            most = header.known_frames if container.dictionaries else (needed.last + 1) * header.segment_frames
            header = replace(header, loop=False, frames=min(header.known_frames, most))
        links[number] = _Link(container, header, needed)
    return pieces, links


def _edits(pieces: list[tuple[int, Stretch]], links: Mapping[int, _Link]) -> list[Stretch]:
    """What the part plays of its own coded timeline; empty where that is all of it."""
    *starts, coded = accumulate((link.header.sound_frames for link in links.values()), initial=0)
    begins = dict(zip(links, starts, strict=True))
    edits: list[Stretch] = []
    for number, (start, frames) in pieces:
        start += begins[number]
        if edits and edits[-1].end == start:
            last = edits.pop()
            start, frames = last.start, last.frames + frames
        edits.append(Stretch(start, frames))
    return [] if edits == [Stretch(0, coded)] else edits


def _written(writer: ContainerWriter, link: _Link, decoder: SegmentDecoder) -> Iterator[int]:
    """Write the segments of a link, silence where one is not needed; yields after each."""
    container, needed = link.container, link.needs
    dictionaries = iter(container.dictionaries)
    gone = set(range(container.segments)) - needed.kept - needed.leaning
    recoder: Recoder | None = None
    for index in range(link.header.segments):
        segment = Segment(index)
        if index in needed.kept:
            segment = decoder.segment(index)
            if segment.stream(c.STREAM_OCCURRENCES) is not None:
                while writer.patterns < container.patterns_before(index):
                    writer.add_dictionary(next(dictionaries))
        elif index in needed.leaning:
            recoder = recoder or Recoder(decoder, gone)
            segment = recoder.segment(index, needed.spans)
        writer.add_segment(segment)
        yield index
