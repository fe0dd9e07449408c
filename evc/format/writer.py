"""`ContainerWriter`: a file from its header to its end marker; `rewrite`: new tags, all else kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from types import TracebackType
from typing import BinaryIO, Self

from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.container import ChunkPlace, chunk_bytes
from evc.format.edits import Stretch, write_edits
from evc.format.errors import FormatError, InputError, UnsupportedError
from evc.format.header import Header, with_chain, write_speakers, write_tags
from evc.format.index import END_PAYLOAD_BYTES, End, IndexEntry, write_index
from evc.format.metadata import Foreign, Picture, check_amount
from evc.format.reader import FIRST_LINK, ContainerReader
from evc.format.segment import Dictionary, Segment
from evc.format.speakers import usual_mask

_USUAL_ORDER = (c.CHUNK_HEAD, *FIRST_LINK)


class ContainerWriter:
    """Writes a file as its parts come, from the file object's present position.

    `header.frames` may be None; `close(frames)` then gives the length, and the file object has to
    be seekable. `speakers` is a mask (spec 3.4), 0 where they are not known. With `edits` these stretches are
    played (spec 3.7). As a context manager
    it closes itself, except after an exception: what was written then lacks its end marker, and no
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
        self._closed = False
        self._put(c.SIGNATURE)
        self._put(chunk_bytes(c.CHUNK_HEAD, header.write()))
        self._put(text_chunks(header, tags, speakers))
        if edits and header.frames is None:
            raise InputError("the length has to be known before an edit list can be written")
        self._put(_edits_chunk(edits, header, c.MAX_FRAMES if header.chained or not edits else header.sound_frames))
        check_amount(pictures, foreign)
        for data in _metadata_chunks(pictures, foreign):
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
        depth = 1 + max((self._depths[other] for other in segment.dependencies), default=-1)
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
        self._put(_end_chunk(len(self._index), self.bytes_written, index_offset))
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
    return _tags_chunk(tags) + (
        b"" if usual else chunk_bytes(c.CHUNK_SPKR, write_speakers(speakers, header.channels))
    )


def rewrite(
    source: BinaryIO,
    target: BinaryIO,
    tags: Mapping[str, str | list[str]] | None = None,
    pictures: Sequence[Picture] | None = None,
    foreign: Sequence[Foreign] | None = None,
    edits: Sequence[Stretch] | None = None,
) -> None:
    """Copies a file with other tags, pictures, foreign chunks or edits (none: all that is coded is played); None keeps
    what is there. Every other chunk stays as
    it is, byte for byte and in its place, those of unknown optional types included; index and end marker follow the
    new offsets.

    Raises what reading `source` strictly raises, and InputError for what cannot be written.
    """
    chain = Chain(source)
    replaced = _replacements(chain, tags, pictures, foreign, edits)
    for reader in chain.links:
        _copy(reader, target, replaced, reader.header.chained)
        replaced = {}


def join(sources: Sequence[BinaryIO], target: BinaryIO) -> None:
    """Writes one file that plays what `sources` play, at least one, one after the other and to the bit: a chain of
    their links (spec 4.6). Tags, pictures and foreign chunks are those of the first.

    Raises what reading the sources strictly raises, and InputError for such as do not go together.
    """
    chains = [Chain(source) for source in sources]
    links = [link for chain in chains for link in chain.links]
    first = links[0]
    shapes = {(link.header.samplerate, link.header.channels) for link in links}
    if len(shapes) > 1 or len({chain.links[0].speakers for chain in chains}) > 1:
        raise InputError("only files of the same sample rate, channels and speakers can be joined")
    if len(links) > c.MAX_LINKS:
        raise InputError(f"{len(links)} links; {c.MAX_LINKS} are allowed")
    starts = [0, *accumulate(chain.frames for chain in chains)]
    replaced: dict[bytes, bytes] = {}
    if any(chain.edited for chain in chains):
        moved = zip(chains, starts, strict=False)
        edits = [Stretch(start + at, n) for chain, start in moved for at, n in chain.edits.stretches]
        replaced[c.CHUNK_EDIT] = _edits_chunk(edits, first.header, starts[-1])
    for number, link in enumerate(links):
        _copy(link, target, replaced, number + 1 < len(links))
        replaced = dict.fromkeys(FIRST_LINK, b"")


def _copy(reader: ContainerReader, target: BinaryIO, replaced: Mapping[bytes, bytes], chained: bool) -> None:
    """Copies a link, with other chunks of the types `replaced`, and with a header that tells whether it is `chained`,
    in that case twice."""
    inserted: dict[int, bytes] = defaultdict(bytes)
    for type, data in replaced.items():
        inserted[_anchor(reader.chunks, type)] += data
    heads = [place for place in reader.chunks if place.type == c.CHUNK_HEAD]
    head = chunk_bytes(c.CHUNK_HEAD, with_chain(reader.payload(heads[0]), chained))
    again = head if chained and len(heads) == 1 else b""
    index: list[IndexEntry] = []
    index_offset = 0
    target.write(c.SIGNATURE)
    position = len(c.SIGNATURE)
    for order, place in enumerate(reader.chunks):
        data = b""
        if place.type in (c.CHUNK_INDX, c.CHUNK_END):
            data, again = again, b""
        match place.type:
            case c.CHUNK_HEAD:
                data = head
            case c.CHUNK_INDX:
                index_offset = position + len(data)
                data += chunk_bytes(c.CHUNK_INDX, write_index(index))
            case c.CHUNK_END:
                data += _end_chunk(len(index), position + len(data), index_offset)
            case type if type in replaced:
                pass
            case _:
                data = reader.raw(place)
        if place.type == c.CHUNK_SEGM:
            index.append(IndexEntry(position, reader.dependencies(len(index))))
        data += inserted.pop(order, b"")
        target.write(data)
        position += len(data)


def _replacements(
    chain: Chain,
    tags: Mapping[str, str | list[str]] | None,
    pictures: Sequence[Picture] | None,
    foreign: Sequence[Foreign] | None,
    edits: Sequence[Stretch] | None,
) -> dict[bytes, bytes]:
    """By the types of chunks that a file gets anew, all of each type."""
    reader = chain.links[0]
    replaced: dict[bytes, bytes] = {}
    if tags is not None:
        replaced[c.CHUNK_TAGS] = _tags_chunk(tags)
    if edits is not None:
        replaced[c.CHUNK_EDIT] = _edits_chunk(edits, reader.header, chain.frames)
    if pictures is not None or foreign is not None:
        pictures = reader.pictures if pictures is None else pictures
        foreign = reader.foreign if foreign is None else foreign
        check_amount(pictures, foreign)
        replaced[c.CHUNK_PICT] = b"".join(_metadata_chunks(pictures, ()))
        replaced[c.CHUNK_FRGN] = b"".join(_metadata_chunks((), foreign))
    return replaced


def _anchor(chunks: Sequence[ChunkPlace], type: bytes) -> int:
    """Behind which chunk of a file those of a type come: the first of that type, or else the last of those that the
    usual order has before it."""
    for order, place in enumerate(chunks):
        if place.type == type:
            return order
    before = _USUAL_ORDER[: _USUAL_ORDER.index(type)]
    last = 0
    for order, place in enumerate(chunks):
        if place.type in (c.CHUNK_SEGM, c.CHUNK_DICT):
            break
        if place.type in before:
            last = order
    return last


def _metadata_chunks(pictures: Sequence[Picture], foreign: Sequence[Foreign]) -> Iterator[bytes]:
    for type, parts in ((c.CHUNK_PICT, pictures), (c.CHUNK_FRGN, foreign)):
        for part in parts:
            yield chunk_bytes(type, part.write())


def _tags_chunk(tags: Mapping[str, str | list[str]] | None) -> bytes:
    return chunk_bytes(c.CHUNK_TAGS, write_tags(tags)) if tags else b""


def _edits_chunk(edits: Sequence[Stretch], header: Header, coded: int) -> bytes:
    return chunk_bytes(c.CHUNK_EDIT, write_edits(edits, coded, header.segment_frames)) if edits else b""


def _index_chunk(entries: list[IndexEntry]) -> bytes:
    """INDX, or nothing where there are no segments or too many dependencies for its limit."""
    payload = write_index(entries)
    return chunk_bytes(c.CHUNK_INDX, payload) if entries and len(payload) <= c.MAX_INDEX_BYTES else b""


def _end_chunk(segments: int, position: int, index_offset: int) -> bytes:
    file_bytes = position + END_PAYLOAD_BYTES + c.CHUNK_OVERHEAD_BYTES
    return chunk_bytes(c.CHUNK_END, End(segments, file_bytes, index_offset).write())
