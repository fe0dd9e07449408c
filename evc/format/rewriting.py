"""Files made of others, whose coded sound stays as it is: `rewrite`, with other tags and the like, and `join`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import BinaryIO

from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.container import ChunkPlace, chunk_bytes
from evc.format.edits import Stretch
from evc.format.errors import InputError
from evc.format.header import with_chain
from evc.format.index import IndexEntry, write_index
from evc.format.metadata import Foreign, Picture, check_amount
from evc.format.reader import FIRST_LINK, ContainerReader
from evc.format.writer import edits_chunk, end_chunk, metadata_chunks, tags_chunk

_USUAL_ORDER = (c.CHUNK_HEAD, *FIRST_LINK)


def rewrite(
    source: BinaryIO,
    target: BinaryIO,
    tags: Mapping[str, str | list[str]] | None = None,
    pictures: Sequence[Picture] | None = None,
    foreign: Sequence[Foreign] | None = None,
    edits: Sequence[Stretch] | None = None,
) -> None:
    """Copies a file with other tags, pictures, foreign chunks or edits (none: all that is coded is played); None keeps
    what is there. Every other chunk stays as it is, byte for byte and in its place, those of unknown optional types
    included; index and end marker follow the new offsets.

    Raises what reading `source` strictly raises, and InputError for what cannot be written.
    """
    chain = Chain(source)
    replaced = _replacements(chain, tags, pictures, foreign, edits)
    for reader in chain.links:
        _copy(reader, target, replaced, reader.header.chained)
        replaced = {}


def join(
    sources: Sequence[BinaryIO],
    target: BinaryIO,
    tags: Mapping[str, str | list[str]] | None = None,
    foreign: Sequence[Foreign] | None = None,
) -> None:
    """Writes one file that plays what `sources` play, at least one, one after the other and to the bit: a chain of
    their links (spec 4.6). Tags, pictures and foreign chunks are those of the first, or those given in their place.

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
    replaced = _replacements(chains[0], tags, None, foreign, None)
    if any(chain.edited for chain in chains):
        moved = zip(chains, starts, strict=False)
        edits = [Stretch(start + at, n) for chain, start in moved for at, n in chain.edits.stretches]
        replaced[c.CHUNK_EDIT] = edits_chunk(edits, first.header, starts[-1])
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
                data += end_chunk(len(index), position + len(data), index_offset)
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
        replaced[c.CHUNK_TAGS] = tags_chunk(tags)
    if edits is not None:
        replaced[c.CHUNK_EDIT] = edits_chunk(edits, reader.header, chain.frames)
    if pictures is not None or foreign is not None:
        pictures = reader.pictures if pictures is None else pictures
        foreign = reader.foreign if foreign is None else foreign
        check_amount(pictures, foreign)
        replaced[c.CHUNK_PICT] = b"".join(metadata_chunks(pictures, ()))
        replaced[c.CHUNK_FRGN] = b"".join(metadata_chunks((), foreign))
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
        if place.type in (c.CHUNK_SEGM, c.CHUNK_DICT, c.CHUNK_NETW):
            break
        if place.type in before:
            last = order
    return last
