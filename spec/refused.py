"""Files that a strict reader refuses, with the kind of error (section 12): one for each sort of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.binary import varint
from evc.format.container import chunk_bytes
from evc.format.header import Header
from evc.format.segment import Dictionary, Segment, StreamData, write_adaptation, write_streams
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.dictionary import DictionaryStream, Excerpt
from evc.format.streams.difference import DifferenceStream, coded_difference
from evc.format.streams.events import EventStream
from evc.format.tags import write_tags
from evc.spec import refused_streams
from evc.spec.containers import (
    DAMAGED,
    LEANING,
    MALFORMED,
    PLAIN,
    RATE,
    SUPERFRAME,
    UNHEARD_OF,
    UNSUPPORTED,
    Chunk,
    Refusal,
    end,
    file_of,
    head,
    patched,
    resealed,
    segment,
    silent,
)

_HEAD = len(c.SIGNATURE)  # where the first chunk is
_FIELDS = {"major": 0, "minor": 1, "samplerate": 2, "channels": 6, "frames": 7, "subtype": 15, "layers": 16,
           "segment_frames": 17, "phase_bits": 21, "depth": 22, "span": 23, "networks": 27}  # fmt: skip


def cases() -> dict[str, Refusal]:
    """All of them, by name."""
    groups = _files, _headers, _chunks, _played, _segments, refused_streams.streams
    return {name: case for group in groups for name, case in group()}


def _files() -> Iterator[tuple[str, Refusal]]:
    """The signature, CRCs, the end."""
    good = file_of(silent())
    tail = good[: -len(end(0, 0, 0))]
    yield "signature", (MALFORMED, "another first byte", b"\x88" + good[1:])
    yield "text", (MALFORMED, "CR LF in the signature has become LF", good.replace(b"\r\n", b"\n", 1))
    yield "header-crc", (DAMAGED, "a wrong CRC of HEAD", patched(good, _HEAD + 10, b"\xff"))
    at = good.index(c.CHUNK_SEGM)
    yield "segment-crc", (DAMAGED, "a wrong CRC of a SEGM", patched(good, at + 9, b"\x01"))
    yield "cut", (DAMAGED, "cut within a chunk", good[:-7])
    yield "no-end", (DAMAGED, "without END", tail)
    index = tail.index(c.CHUNK_INDX)
    yield "end-segments", (MALFORMED, "END counts another number of segments", tail + end(3, len(tail), index))
    yield "end-size", (MALFORMED, "END tells another size", tail + end(2, len(tail) + 1, index))
    yield "end-index", (MALFORMED, "END tells another place of INDX", tail + end(2, len(tail), index + 1))
    entries = varint(2) + varint(at + 1) + b"\0" + varint(13) + b"\0"
    body = tail[:index] + chunk_bytes(c.CHUNK_INDX, entries, critical=False)
    yield "index", (MALFORMED, "INDX has another place of a SEGM", body + end(2, len(body), index))


def _headers() -> Iterator[tuple[str, Refusal]]:
    """Fields of HEAD, one out of its limits at a time."""
    payload = PLAIN.write()
    for name, field, value, about in [
        ("minor-bytes", "minor", b"", "bytes behind the fields of minor version 0"),
        ("samplerate", "samplerate", (7999).to_bytes(4, "little"), "7999 Hz"),
        ("no-channels", "channels", b"\0", "no channels"),
        ("channels", "channels", b"\x09", "nine channels"),
        ("frames", "frames", (2**40 + 1).to_bytes(8, "little"), "more than 2^40 frames"),
        ("unfinished", "frames", b"\xff" * 8, "frames is 2^64 - 1: never finished"),
        ("subtype", "subtype", b"\7", "a sample format that there is not"),
        ("layers", "layers", b"\x24", "a reserved layer in minor version 0"),
        ("segment-frames", "segment_frames", (1500).to_bytes(4, "little"), "no multiple of the superframe"),
        ("long-segments", "segment_frames", (257 * SUPERFRAME).to_bytes(4, "little"), "257 superframes"),
        ("phase-bits", "phase_bits", b"\x11", "17 fraction bits"),
        ("depth", "depth", b"\1", "dependencies without a span"),
        ("networks", "networks", b"\x11", "17 networks"),
    ]:
        kind = DAMAGED if name == "unfinished" else MALFORMED
        wrong = patched(payload, _FIELDS[field], value) + (b"" if value else b"more")
        yield f"header-{name}", (kind, about, file_of([Chunk(c.CHUNK_HEAD, wrong), *silent()[1:]]))
    major = patched(payload, _FIELDS["major"], b"\2")
    yield "major", (UNSUPPORTED, "major version 2", file_of([Chunk(c.CHUNK_HEAD, major), *silent()[1:]]))
    twice = b"\1" + b"x" + bytes(8)
    wrong = patched(payload, _FIELDS["networks"], b"\2") + 2 * twice
    yield "header-names", (MALFORMED, "two networks of a name", file_of([Chunk(c.CHUNK_HEAD, wrong), *silent()[1:]]))
    other = replace(PLAIN, subtype="PCM_24")
    yield "second-header", (MALFORMED, "a second HEAD that differs", file_of([*silent(), head(other)]))
    yield "three-headers", (MALFORMED, "three times HEAD", file_of([*silent(), head(PLAIN), head(PLAIN)]))
    mask = patched(payload, _FIELDS["layers"], b"\2")
    yield "unnamed", (MALFORMED, "events without a network", file_of([Chunk(c.CHUNK_HEAD, mask), *silent()[1:]]))
    networks = (UNHEARD_OF, replace(UNHEARD_OF, id="evc-neither"))
    latents = Header(RATE, 2, 1000, layers=("latent",), segment_frames=2048, networks=networks)
    for name, field, value, about in [
        ("shared", "layers", b"\x12", "events and latents with one network"),
        ("latent-channels", "channels", b"\3", "three channels with latents"),
        ("latent-segments", "segment_frames", (1024).to_bytes(4, "little"), "segments of half a column of latents"),
    ]:
        listed = replace(latents, networks=networks[: 1 if name == "shared" else 2])
        wrong = patched(listed.write(), _FIELDS[field], value)
        yield f"header-{name}", (MALFORMED, about, file_of([Chunk(c.CHUNK_HEAD, wrong), *silent(latents)[1:]]))
    named = replace(PLAIN, layers=("events",), networks=(UNHEARD_OF,))
    one = np.zeros(1, np.int64)
    event = EventStream(one, one, one, np.zeros((1, len(c.EVENT_PARTS) + 1), np.int64), pan_steps=0)
    streams = (coded_stream(c.STREAM_EVENTS, event, StreamContext(RATE, 1, SUPERFRAME)),)
    yield (
        "network",
        (UNSUPPORTED, "a network that nobody has", file_of([head(named), segment(0, (), streams), segment(1)])),
    )


def _chunks() -> Iterator[tuple[str, Refusal]]:
    """Chunks in other places, with other flags, of other contents."""
    tags = Chunk(c.CHUNK_TAGS, write_tags({"title": "x"}), critical=False)
    good = file_of(silent())
    yield "critical", (UNSUPPORTED, "an unknown critical chunk", file_of(silent(PLAIN, Chunk(b"NEWS", b""))))
    yield "no-header", (MALFORMED, "another chunk in front of HEAD", file_of([tags, *silent()]))
    yield "tags-late", (MALFORMED, "TAGS behind a SEGM", file_of([*silent(), tags]))
    yield "tags-twice", (MALFORMED, "TAGS twice", file_of(silent(PLAIN, tags, tags)))
    marked = file_of(silent(PLAIN, tags))
    at = marked.index(c.CHUNK_TAGS)
    critical = resealed(patched(marked, at + 4, b"\1"), at)
    yield "tags-critical", (DAMAGED, "TAGS with the flag of a critical chunk", critical)
    yield "tags-plain", (MALFORMED, "TAGS that are not compressed",
                         file_of(silent(PLAIN, replace(tags, payload=b'{"title":"x"}'))))  # fmt: skip
    flags = resealed(patched(good, _HEAD + 4, b"\3"), _HEAD)
    yield "flags", (DAMAGED, "an unknown flag of a chunk", flags)
    at = good.index(c.CHUNK_SEGM)
    yield "long-chunk", (MALFORMED, "a length above 64 MiB", patched(good, at + 5, (2**26 + 1).to_bytes(4, "little")))
    for name, mask, about in [("no", 0, "an empty mask"), ("many", 7, "three speakers of one channel"),
                              ("high", 1 << 18, "a speaker that there is not")]:  # fmt: skip
        speakers = Chunk(c.CHUNK_SPKR, mask.to_bytes(4, "little"), critical=False)
        yield f"speakers-{name}", (MALFORMED, about, file_of(silent(PLAIN, speakers)))
    adapting = coded_difference(DifferenceStream())
    adapted = Chunk(c.CHUNK_NETW, write_adaptation(adapting))
    latents = Header(RATE, 2, 5000, layers=("latent",), segment_frames=4096, networks=(UNHEARD_OF,))
    other = Chunk(c.CHUNK_NETW, write_streams((replace(adapting, kind=c.STREAM_DICTIONARY),)))
    for name, about, chunks in [
        ("layer", "NETW where HEAD has no latents", silent(PLAIN, adapted)),
        ("twice", "NETW twice", silent(latents, adapted, adapted)),
        ("late", "NETW behind a SEGM", [*silent(latents), adapted]),
        ("kind", "NETW with a stream of another kind", silent(latents, other)),
        ("streams", "NETW without a stream", silent(latents, Chunk(c.CHUNK_NETW, b"\0"))),
    ]:
        yield f"adapted-{name}", (MALFORMED, about, file_of(chunks))
    empty = Chunk(c.CHUNK_DICT, varint(0) + varint(0) + b"\0")
    yield "no-entries", (MALFORMED, "a DICT of no entries", file_of(silent(LEANING, empty)))
    entry = coded_stream(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(7, 9)]), StreamContext(RATE, 1, 99, patterns=1))
    for name, header, first, streams, about in [
        ("numbers", LEANING, 1, (entry,), "a DICT that begins with entry 1"),
        ("missing", LEANING, 0, (), "a DICT without its stream"),
        ("layer", PLAIN, 0, (entry,), "a DICT where HEAD has no patterns"),
    ]:
        defined = Chunk(c.CHUNK_DICT, Dictionary(first, 1, streams).write())
        yield f"entry-{name}", (MALFORMED, about, file_of(silent(header, defined)))
    half = replace(entry, symbols=c.MAX_DICTIONARY_SYMBOLS // 2 + 1)
    two = (Chunk(c.CHUNK_DICT, Dictionary(first, 1, (half,)).write()) for first in range(2))
    yield "entry-symbols", (MALFORMED, "two DICT of 8 388 609 symbols each", file_of(silent(LEANING, *two)))
    many = Chunk(c.CHUNK_DICT, varint(0) + varint(65_537) + b"\0")
    yield "entries", (MALFORMED, "65 537 entries", file_of(silent(LEANING, many)))


def _played() -> Iterator[tuple[str, Refusal]]:
    """Edit lists and chains."""
    whole = 2 * PLAIN.known_frames  # the number that codes a distance of the file's length
    for name, payload, about in [
        ("none", varint(0), "an edit list of no stretches"),
        ("empty", varint(1) + varint(0) + varint(0), "a stretch of no frames"),
        ("before", varint(1) + varint(1) + varint(9), "a stretch that starts before the file"),
        ("behind", varint(1) + varint(whole) + varint(1), "a stretch that ends behind the file"),
        ("long", varint(1) + varint(0) + varint(9) + b"\0", "an edit list longer than its fields"),
    ]:
        yield f"edit-{name}", (MALFORMED, about, file_of(silent(PLAIN, Chunk(c.CHUNK_EDIT, payload))))
    edits = Chunk(c.CHUNK_EDIT, varint(1) + varint(0) + varint(9))
    yield "edit-late", (MALFORMED, "EDIT behind a SEGM", file_of([*silent(), edits]))
    yield "edit-twice", (MALFORMED, "EDIT twice", file_of(silent(PLAIN, edits, edits)))
    first, last = file_of(silent(replace(PLAIN, chained=True))), file_of(silent())
    yield "link-missing", (DAMAGED, "no link where another should follow", first)
    wider = file_of(silent(replace(PLAIN, channels=2)))
    yield "link-channels", (MALFORMED, "a link of other channels", first + wider)
    yield "link-edits", (MALFORMED, "EDIT in the second link", first + file_of(silent(PLAIN, edits)))
    past = Chunk(c.CHUNK_EDIT, varint(1) + varint(2 * whole) + varint(1))
    edited = file_of(silent(replace(PLAIN, chained=True), past))
    yield "link-behind", (MALFORMED, "a stretch that ends behind the last link", edited + last)


def _segments() -> Iterator[tuple[str, Refusal]]:
    """What stands in SEGM in front of the words."""
    first = head(PLAIN)

    def with_segment(payload: bytes, header: Header = PLAIN) -> bytes:
        return file_of([head(header), Chunk(c.CHUNK_SEGM, payload), segment(1)])

    yield "missing", (MALFORMED, "a segment too few", file_of([first, segment(0)]))
    yield "more", (MALFORMED, "a segment too many", file_of([first, segment(0), segment(1), segment(1)]))
    yield "order", (MALFORMED, "segments in another order", file_of([first, segment(1), segment(0)]))
    yield "itself", (MALFORMED, "a segment that depends on itself", with_segment(b"\0\1\0\0", LEANING))
    deep = Header(RATE, 1, 3 * SUPERFRAME, layers=("patterns",), segment_frames=SUPERFRAME, reference_depth=1,
                  reference_span=1)  # fmt: skip
    chain = file_of([head(deep), segment(0), segment(1, (0,)), segment(2, (1,))], [(), (0,), (1,)])
    yield "chain", (MALFORMED, "a chain of dependencies longer than HEAD says", chain)
    yield "independent", (MALFORMED, "a dependency where HEAD has none", file_of([first, segment(0), segment(1, (0,))]))
    yield "varint", (MALFORMED, "a varint longer than it need be", with_segment(b"\x80\0\0\0"))
    yield "behind", (MALFORMED, "a payload longer than its fields", with_segment(b"\0\0\0\0"))
    yield "short", (MALFORMED, "a payload shorter than its fields", with_segment(b"\0\0\1\2\4"))
    stream = StreamData(2, bytes(4), 1, 0)
    two = [StreamData(3, b"", 0, 0), StreamData(2, b"", 0, 0)]
    body = b"".join(bytes([one.kind, 0, 0]) + bytes(4) for one in two)
    both = replace(PLAIN, layers=("spectrum", "noise"))
    yield "kinds", (MALFORMED, "streams out of order", with_segment(b"\0\0\2" + body, both))
    seventeen = b"".join(bytes([kind, 0, 0]) + bytes(4) for kind in range(128, 145))
    yield "streams", (MALFORMED, "17 streams", with_segment(b"\0\0\x11" + seventeen))
    for name, kind, about, error in [
        ("layer", 1, "a stream of a layer that HEAD lacks", MALFORMED),
        ("dictionary", 5, "a dictionary in SEGM", MALFORMED),
        ("kind", len(c.STREAMS), "an unknown critical stream", UNSUPPORTED),
    ]:  # fmt: skip
        yield f"stream-{name}", (error, about, with_segment(Segment(0, (), (replace(stream, kind=kind),)).write()))
    most = replace(stream, symbols=4 * SUPERFRAME + 65_537)
    yield "symbols", (MALFORMED, "more symbols than a segment may have", with_segment(Segment(0, (), (most,)).write()))
    odd = replace(stream, words=bytes(5))
    yield "words", (DAMAGED, "words that are not whole", with_segment(Segment(0, (), (odd,)).write()))
