"""`ContainerReader`: a file's header, tags, dictionaries and segments, checked but not decoded.

Strict mode raises at the first broken rule of spec sections 2 to 4. Salvage mode keeps all that is
intact and lists what is not.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import BinaryIO

from evc.format import constants as c
from evc.format.binary import ByteReader
from evc.format.container import KNOWN_TYPES, ChunkPlace, ChunkReader, DamagedBytes, check_signature
from evc.format.edits import EditList, read_edits
from evc.format.errors import SALVAGE, DamagedError, EvcWarning, FormatError, UnsupportedError, reason
from evc.format.header import Header
from evc.format.index import End, IndexEntry, read_index
from evc.format.metadata import Foreign, Picture
from evc.format.segment import (
    Dictionary,
    Segment,
    StreamData,
    dependency_depth,
    read_adaptation,
    read_segment_start,
)
from evc.format.sharing import PositionedFile
from evc.format.speakers import read_speakers, usual_mask
from evc.format.tags import Tags, read_tags

_METADATA: dict[bytes, type[Picture] | type[Foreign]] = {c.CHUNK_PICT: Picture, c.CHUNK_FRGN: Foreign}
FIRST_LINK = (c.CHUNK_TAGS, c.CHUNK_SPKR, c.CHUNK_EDIT, *_METADATA)  # only in the first link of a chain, in usual order
_LARGEST = {c.CHUNK_PICT: c.MAX_PICTURE_BYTES, c.CHUNK_FRGN: c.MAX_FOREIGN_BYTES + 8}


class ContainerReader:
    """Reads a seekable binary file, or one link of a chain (`evc.format.chain`): the one behind the link `before`,
    which begins at byte `start`. The caller closes the file.

    header        the HEAD chunk; its `frames` is always known: of a file that was cut or never
                  finished, salvage mode makes it the end of the last intact segment
    tags          dict of texts and lists of texts, empty where there are none
    speakers      the mask of spec 3.4; 0 where the speakers are not known
    edits         the EDIT chunk (spec 3.7); None where there is none
    pictures      the PICT chunks, in file order, read when asked for
    foreign       the FRGN chunks, likewise
    adaptation    what the file changes of the network of its latents, coded (spec 3.8); None where that is nothing
    dictionaries  the DICT chunks, in file order
    chunks        places of all chunks (salvage mode: of the intact ones), in file order
    promised_frames  length of the sound, before salvage mode shortened it; 0 where it is not known
    damage        damaged byte ranges, ascending; empty in strict mode
    segments      number of segments
    first         number that its first segment has in the file; errors name segments and bytes as they are in the file
    lost          numbers of the segments that are missing (salvage mode)

    Opening raises FormatError, DamagedError or UnsupportedError; in salvage mode DamagedError only
    where the header is lost. Strict mode issues an EvcWarning where bytes follow the end marker. Threads may call
    `segment` at the same time.
    """

    def __init__(
        self, file: BinaryIO | PositionedFile, salvage: bool = False, before: ContainerReader | None = None
    ) -> None:
        self.salvage = salvage
        self.start: int = 0 if before is None else before.start + before.file_bytes
        self.first: int = 0 if before is None else before.first + before.segments
        budget = None if before is None else before.search_budget
        self._reader = ChunkReader(file, salvage, self.start, budget)
        self.chunks = self._reader.chunks
        self.damage: list[DamagedBytes] = []
        self.tags: Tags = {}
        self.dictionaries: list[Dictionary] = []
        self.lost: frozenset[int] = frozenset()
        self._dictionary_bytes = self._dictionary_symbols = 0
        self._tags_place: ChunkPlace | None = None
        self._speakers_place: ChunkPlace | None = None
        self._edits_place: ChunkPlace | None = None
        self.edits: EditList | None = None
        self.adaptation: StreamData | None = None
        self._picture_places: list[ChunkPlace] = []
        self._foreign_places: list[ChunkPlace] = []
        self._index_place: ChunkPlace | None = None
        self._index: list[IndexEntry] = []
        self._end: End | None = None
        self._places: dict[int, ChunkPlace] = {}
        self._dependencies: dict[int, tuple[int, ...]] = {}
        self._patterns: dict[int, int] = {}

        self.header = self._read_header()
        self.damage += [span for span in self._reader.damage if span.start < self.file_bytes]
        self.speakers = usual_mask(self.header.channels)
        for place in self.chunks:
            try:
                self._read_chunk(place)
            except (FormatError, DamagedError) as error:
                if not salvage:
                    raise
                self.damage.append(DamagedBytes(place.offset, place.end, reason(error)))
        self.damage.sort(key=lambda span: span.start)
        self.promised_frames = self.header.sound_frames if self.header.frames is not None else 0
        if salvage:
            self._settle_length()
        else:
            self._check_whole()
        self.segments: int = self.header.segments
        self._check_dependencies()
        if self._reader.trailing and not self.header.chained:
            name = getattr(file, "name", None)
            where = f"{name}: " if isinstance(name, str) else ""
            warnings.warn(f"{where}{_trailing(self._reader.trailing)}: ignored", EvcWarning, stacklevel=3)

    @property
    def file_bytes(self) -> int:
        """Of the whole file, or link; what follows its end marker is no part of it."""
        return self._reader.end if self.header.chained else self._reader.size

    @property
    def search_budget(self) -> int:
        """Bytes that may still be spent on finding chunks behind this link (salvage mode)."""
        return self._reader.budget

    @property
    def edits_damaged(self) -> bool:
        """Whether there was an EDIT chunk that cannot be used (salvage mode)."""
        return self.edits is None and c.CHUNK_EDIT in self._damaged_types

    @property
    def adaptation_damaged(self) -> bool:
        """Whether there was a NETW chunk that cannot be used (salvage mode)."""
        return self.adaptation is None and c.CHUNK_NETW in self._damaged_types

    @property
    def pictures(self) -> list[Picture]:
        """Raises FormatError or DamagedError where one is not as it should be; salvage mode leaves such out."""
        return [Picture.read(self._reader.payload(place)) for place in self._picture_places]

    @property
    def foreign(self) -> list[Foreign]:
        """Raises FormatError or DamagedError where one is not as it should be; salvage mode leaves such out."""
        return [Foreign.read(self._reader.payload(place)) for place in self._foreign_places]

    @property
    def lost_metadata(self) -> list[str]:
        """Types of the damaged chunks of tags, pictures and the like (salvage mode), one for each."""
        metadata = (c.CHUNK_TAGS, c.CHUNK_SPKR, *_METADATA)
        return [type.decode() for type in self._damaged_types if type in metadata]

    @property
    def _damaged_types(self) -> list[bytes]:
        """What stands where the type of a chunk should, at the start of all damage."""
        return [self._reader.bytes_at(span.start, 4) for span in self.damage]

    def place(self, index: int) -> ChunkPlace | None:
        """Where segment `index` lies in the file; None where it is missing (salvage mode)."""
        return self._places.get(index)

    def segment(self, index: int) -> Segment:
        """Reads segment `index`; raises DamagedError with `.segment` set where it is not intact."""
        place = self._places.get(index)
        if place is None:
            raise DamagedError(f"segment {self.first + index} is missing", self.first + index, SALVAGE)
        try:
            payload = self._reader.payload(place)
        except DamagedError as error:
            number = self.first + index
            raise DamagedError(f"segment {number} is damaged", number, SALVAGE) from error
        segment = Segment.read(payload, self.header)
        if segment.index != index or segment.dependencies != self._dependencies[index]:
            raise FormatError(f"segment {self.first + index} contradicts its place or the index")
        return segment

    def dependencies(self, index: int) -> tuple[int, ...]:
        """Numbers of the segments that segment `index` directly depends on, ascending."""
        return self._dependencies.get(index, ())

    def patterns_before(self, index: int) -> int:
        """Number of dictionary entries that segment `index` may use."""
        return self._patterns.get(index, 0)

    def raw(self, place: ChunkPlace) -> bytes:
        """A whole chunk as it is in the file; raises DamagedError unless its CRC is right."""
        return self._reader.raw(place)

    def payload(self, place: ChunkPlace) -> bytes:
        """The payload of a chunk; raises DamagedError unless its CRC is right."""
        return self._reader.payload(place)

    def verify(self) -> None:
        """Reads what opening left unread: raises unless all CRCs are right and all segments are
        well-formed, and nothing follows the end marker. Decodes nothing."""
        if self._reader.trailing and not self.header.chained:
            raise FormatError(_trailing(self._reader.trailing))
        for place in self.chunks:
            if place.type not in KNOWN_TYPES:
                self._reader.raw(place)
            elif place.type in _METADATA:
                _METADATA[place.type].read(self._reader.payload(place))
        for index in range(self.segments):
            self.segment(index)

    def _read_header(self) -> Header:
        places = [place for place in self.chunks if place.type == c.CHUNK_HEAD]
        if not places:
            check_signature(self._reader.signature)
            raise DamagedError("the header is lost, and nothing can be decoded without it")
        payload = self._reader.payload(places[0])
        if not self.salvage:
            if self.chunks[0].type != c.CHUNK_HEAD:
                raise FormatError("the file does not start with its header")
            if len(places) > 2 or any(self._reader.payload(place) != payload for place in places[1:]):
                raise FormatError("the file has headers that contradict each other")
        return Header.read(payload)

    def _read_chunk(self, place: ChunkPlace) -> None:
        self._refuse(self.start > 0 and place.type in FIRST_LINK, place)
        match place.type:
            case c.CHUNK_SEGM:
                self._read_segment_start(place)
            case c.CHUNK_DICT:
                self._read_dictionary(place)
            case c.CHUNK_TAGS:
                self._refuse(self._tags_place is not None or bool(self._places), place)
                self._tags_place = place
                self.tags = read_tags(self._reader.payload(place))
            case c.CHUNK_SPKR:
                self._refuse(self._speakers_place is not None or bool(self._places), place)
                self._speakers_place = place
                self.speakers = read_speakers(self._reader.payload(place), self.header.channels)
            case c.CHUNK_EDIT:
                self._refuse(self._edits_place is not None or bool(self._places), place)
                self._edits_place = place
                self.edits = read_edits(self._reader.payload(place), self.header)
            case c.CHUNK_NETW:
                self._refuse(self.adaptation is not None or bool(self._places), place)
                self.adaptation = self._read_adaptation(place)
            case c.CHUNK_PICT | c.CHUNK_FRGN:
                self._read_metadata(place)
            case c.CHUNK_INDX:
                self._refuse(self._index_place is not None, place)
                self._index_place = place
                self._index = read_index(self._reader.payload(place), self.header)
            case c.CHUNK_END:
                self._end = End.read(self._reader.payload(place))
            case type if place.critical and type != c.CHUNK_HEAD:
                self._reader.payload(place)
                raise UnsupportedError(f"the file cannot be decoded without its {type.decode()} chunk")

    def _read_metadata(self, place: ChunkPlace) -> None:
        """Note where a picture or a foreign chunk lies. What is in it is looked at later, but in salvage mode."""
        self._refuse(bool(self._places), place)
        picture = place.type == c.CHUNK_PICT
        places = self._picture_places if picture else self._foreign_places
        if len(places) >= (c.MAX_PICTURES if picture else c.MAX_FOREIGN):
            raise FormatError(f"more {place.type.decode()} chunks than are allowed")
        before = sum(each.length for each in self._picture_places + self._foreign_places)
        if before + place.length > c.MAX_METADATA_BYTES:
            raise FormatError(f"pictures and foreign chunks of more than {c.MAX_METADATA_BYTES} bytes")
        if place.length > _LARGEST[place.type]:
            raise FormatError(f"{place.type.decode()} chunk of {place.length} bytes, more than is allowed")
        if self.salvage:
            _METADATA[place.type].read(self._reader.payload(place))
        places.append(place)

    def _read_adaptation(self, place: ChunkPlace) -> StreamData:
        if place.length > c.MAX_ADAPTATION_BYTES:
            raise FormatError(f"NETW chunk of {place.length} bytes, more than is allowed")
        found = read_adaptation(self._reader.payload(place), self.header)
        if self.salvage:  # whoever reads the sound has nobody to ask
            from evc.format.streams.difference import decoded_difference  # which needs NumPy

            decoded_difference(found)
        return found

    def _read_segment_start(self, place: ChunkPlace) -> None:
        self._refuse(self._index_place is not None, place)
        index = len(self._places)
        if self.salvage:
            reader = ByteReader(self._reader.payload(place), "segment")
            index, dependencies = read_segment_start(reader, self.header)
            # In front of segment i lie i others: this bounds the length a few bytes can claim.
            self._refuse(index * c.MIN_SEGMENT_CHUNK_BYTES > place.offset, place)
            self._refuse(bool(self._places) and index <= next(reversed(self._places)), place)
            self._dependencies[index] = dependencies
        self._places[index] = place
        self._patterns[index] = self._patterns_so_far()

    def _read_dictionary(self, place: ChunkPlace) -> None:
        self._dictionary_bytes += place.length
        if self._dictionary_bytes > c.MAX_DICTIONARY_BYTES:
            raise FormatError(f"dictionaries of more than {c.MAX_DICTIONARY_BYTES} bytes")
        dictionary = Dictionary.read(self._reader.payload(place), self.header)
        gap = dictionary.first - self._patterns_so_far()
        self._refuse(gap < 0 or gap > 0 and not self.salvage, place)
        self._dictionary_symbols += dictionary.symbols
        if self._dictionary_symbols > c.MAX_DICTIONARY_SYMBOLS:
            raise FormatError(f"dictionaries of more than {c.MAX_DICTIONARY_SYMBOLS} symbols")
        self.dictionaries.append(dictionary)

    def _patterns_so_far(self) -> int:
        last = self.dictionaries[-1:]
        return last[0].first + last[0].entries if last else 0

    def _check_whole(self) -> None:
        """Strict mode: header, chunks, index and end marker tell the same story."""
        if self.header.frames is None:
            raise DamagedError("the file was never finished: its length is not known", helps=SALVAGE)
        index_offset = 0 if self._index_place is None else self._index_place.offset
        found = End(len(self._places), self.file_bytes, index_offset)
        if self._end != found or self.header.segments != found.segments:
            raise FormatError("the end marker, the header and the chunks contradict each other")
        if self._index_place is None:
            for index, place in self._places.items():
                reader = ByteReader(self._reader.payload(place), "segment")
                _, self._dependencies[index] = read_segment_start(reader, self.header)
        elif [entry.offset for entry in self._index] != [p.offset for p in self._places.values()]:
            raise FormatError("the index does not fit the segments")
        else:
            self._dependencies = {i: entry.dependencies for i, entry in enumerate(self._index)}

    def _settle_length(self) -> None:
        """Salvage mode: the length is the header's only where the end of the file is still there."""
        frames = self.header.frames
        fits = frames is not None and (self.header.segments * c.MIN_SEGMENT_CHUNK_BYTES <= self.file_bytes)
        whole = self._end is not None or self.header.chained and self._reader.end < self._reader.size
        if not whole or not fits:
            rescued = (max(self._places, default=-1) + 1) * self.header.segment_frames
            frames = rescued if frames is None else min(frames, rescued)
        # Without its overlap a loop has no end to meet its start.
        loop = self.header.loop and frames == self.header.frames
        self.header = replace(self.header, frames=frames, loop=loop)

    def _check_dependencies(self) -> None:
        """Length of every chain of dependencies; salvage mode also finds what is lost."""
        depth = [0] * self.segments
        for index in range(self.segments):
            depth[index] = dependency_depth(self.dependencies(index), depth)
            if depth[index] > self.header.reference_depth and not self.salvage:
                raise FormatError(f"segment {self.first + index} ends a chain of dependencies that is too long")
        self.lost = frozenset(index for index in range(self.segments) if index not in self._places)

    def _refuse(self, misplaced: bool, place: ChunkPlace) -> None:
        if misplaced:
            raise FormatError(f"{place.type.decode()} chunk at byte {self.start + place.offset} is out of place")


def _trailing(count: int) -> str:
    return f"{count} byte{' follows' if count == 1 else 's follow'} the end marker"
