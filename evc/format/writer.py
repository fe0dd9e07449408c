"""`ContainerWriter`: a file from its header to its end marker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

from evc.format import constants as c
from evc.format.container import chunk_bytes
from evc.format.edits import Stretch, write_edits
from evc.format.errors import FormatError, InputError, UnsupportedError
from evc.format.header import Header
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, write_index
from evc.format.metadata import Foreign, Picture, check_amount
from evc.format.segment import Dictionary, Segment, StreamData, dependency_depth, read_adaptation, write_adaptation
from evc.format.speakers import usual_mask, write_speakers
from evc.format.tags import write_tags


class ContainerWriter:
    """Writes a file as its parts come, from the file object's present position.

    `header.frames` may be None; `close(frames)` then gives the length, and the file object has to be seekable.
    `speakers` is a mask (spec 3.4), 0 where they are not known. With `edits` these stretches are played (spec 3.7). As
    a context manager it closes itself, except after an exception: what was written then lacks its end marker, and no
    strict reader takes it for a whole file.

    All methods raise InputError for parts that are out of order or break a limit.
    """

    def __init__(
        self,
        file: BinaryIO,
        header: Header,
        tags: Mapping[str, str | list[str]] | None = None,
        speakers: int = 0,
        pictures: Sequence[Picture] = (),
        foreign: Sequence[Foreign] = (),
        edits: Sequence[Stretch] = (),
    ) -> None:
        if header.frames is None and not file.seekable():
            raise InputError("the length has to be known before writing to a pipe")
        self.header = header
        self.bytes_written = 0
        self.patterns = 0  # dictionary entries so far
        self._file = file
        self._start = file.tell() if header.frames is None else 0
        self._index: list[IndexEntry] = []
        self._depths: list[int] = []
        self._dictionary_bytes = self._dictionary_symbols = 0
        self._closed = self._adapted = False
        self._put(c.SIGNATURE)
        self._put(chunk_bytes(c.CHUNK_HEAD, header.write()))
        self._put(text_chunks(header, tags, speakers))
        if edits and header.frames is None:
            raise InputError("the length has to be known before an edit list can be written")
        self._put(edits_chunk(edits, header, c.MAX_FRAMES if header.chained or not edits else header.sound_frames))
        check_amount(pictures, foreign)
        for data in metadata_chunks(pictures, foreign):
            self._put(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def add_optional(self, type: bytes, payload: bytes) -> None:
        """An optional chunk of a type this version does not define."""
        self._put(chunk_bytes(type, payload, critical=False))

    def add_adaptation(self, stream: StreamData) -> None:
        """What the file changes of the network of its latents (spec 3.8), before the first segment."""
        payload = write_adaptation(stream)
        if self._adapted or self._index:
            raise InputError("a network is adapted once, before the first segment")
        if len(payload) > c.MAX_ADAPTATION_BYTES:
            raise InputError(f"an adapted network of more than {c.MAX_ADAPTATION_BYTES} bytes")
        try:
            read_adaptation(payload, self.header)
        except FormatError as error:
            raise InputError(str(error)) from error
        self._adapted = True
        self._put(chunk_bytes(c.CHUNK_NETW, payload))

    def add_dictionary(self, dictionary: Dictionary) -> None:
        payload = dictionary.write()
        self._dictionary_bytes += len(payload)
        self._dictionary_symbols += dictionary.symbols
        if dictionary.first != self.patterns:
            raise InputError(f"dictionary starts at entry {dictionary.first}, not at {self.patterns}")
        if self._dictionary_bytes > c.MAX_DICTIONARY_BYTES:
            raise InputError(f"dictionaries of more than {c.MAX_DICTIONARY_BYTES} bytes")
        if self._dictionary_symbols > c.MAX_DICTIONARY_SYMBOLS:
            raise InputError(f"dictionaries of more than {c.MAX_DICTIONARY_SYMBOLS} symbols")
        try:
            Dictionary.read(payload, self.header)
        except (FormatError, UnsupportedError) as error:
            raise InputError(str(error)) from error
        self._put(chunk_bytes(c.CHUNK_DICT, payload))
        self.patterns += dictionary.entries

    def add_segment(self, segment: Segment) -> None:
        """The next segment; segments come in order, none left out."""
        index = len(self._index)
        if segment.index != index:
            raise InputError(f"segment {segment.index} comes where segment {index} should")
        payload = segment.write()
        try:
            Segment.read(payload, self.header)
        except (FormatError, UnsupportedError) as error:
            raise InputError(str(error)) from error
        depth = dependency_depth(segment.dependencies, self._depths)
        if depth > self.header.reference_depth:
            raise InputError(f"segment {index} ends a chain of dependencies that is too long")
        self._index.append(IndexEntry(self.bytes_written, segment.dependencies))
        self._depths.append(depth)
        self._put(chunk_bytes(c.CHUNK_SEGM, payload))

    def close(self, frames: int | None = None) -> None:
        """Writes the index and the end marker, and puts `frames` into a header that lacks it.

        Leaves the file object open, at the end of what was written. Closing twice does nothing.
        """
        if self._closed:
            return
        unknown = self.header.frames is None
        if frames is not None and not unknown and frames != self.header.frames:
            raise InputError(f"the header says {self.header.frames} frames, not {frames}")
        header = replace(self.header, frames=frames) if unknown else self.header
        if len(self._index) != header.segments:
            wanted = f"{header.known_frames} frames are {header.segments} segments"
            raise InputError(f"{wanted}, not {len(self._index)}")
        self._closed = True
        self.header = header
        head = chunk_bytes(c.CHUNK_HEAD, header.write())
        if len(self._index) >= c.HEAD_COPY_SEGMENTS or header.chained:
            self._put(head)
        index_chunk = _index_chunk(self._index)
        index_offset = self.bytes_written if index_chunk else 0
        self._put(index_chunk)
        self._put(end_chunk(len(self._index), self.bytes_written, index_offset))
        if unknown:
            self._file.seek(self._start + len(c.SIGNATURE))
            self._file.write(head)
            self._file.seek(self._start + self.bytes_written)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.bytes_written += len(data)


def text_chunks(header: Header, tags: Mapping[str, str | list[str]] | None, speakers: int) -> bytes:
    """Tags and speakers, as they follow upon the header. Raises InputError where they break a limit."""
    usual = speakers in (0, usual_mask(header.channels))
    return tags_chunk(tags) + (
        b"" if usual else chunk_bytes(c.CHUNK_SPKR, write_speakers(speakers, header.channels))
    )


def metadata_chunks(pictures: Sequence[Picture], foreign: Sequence[Foreign]) -> Iterator[bytes]:
    for type, parts in ((c.CHUNK_PICT, pictures), (c.CHUNK_FRGN, foreign)):
        for part in parts:
            yield chunk_bytes(type, part.write())


def tags_chunk(tags: Mapping[str, str | list[str]] | None) -> bytes:
    return chunk_bytes(c.CHUNK_TAGS, write_tags(tags)) if tags else b""


def edits_chunk(edits: Sequence[Stretch], header: Header, coded: int) -> bytes:
    return chunk_bytes(c.CHUNK_EDIT, write_edits(edits, coded, header.segment_frames)) if edits else b""


def _index_chunk(entries: list[IndexEntry]) -> bytes:
    """INDX, or nothing where there are no segments or too many dependencies for its limit."""
    payload = write_index(entries)
    return chunk_bytes(c.CHUNK_INDX, payload) if entries and len(payload) <= c.MAX_INDEX_BYTES else b""


def end_chunk(segments: int, position: int, index_offset: int) -> bytes:
    file_bytes = position + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return chunk_bytes(c.CHUNK_END, End(segments, file_bytes, index_offset).write())
