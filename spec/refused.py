"""Files that a strict reader refuses, with the kind of error (section 12): one for each sort of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.binary import varint
from evc.format.coder import SymbolEncoder
from evc.format.container import chunk_bytes
from evc.format.header import Header, NetworkReference, write_tags
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream, Excerpt
from evc.format.streams.events import EventStream
from evc.format.streams.integers import Numbers
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.port import WritePort
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.spec.containers import RATE, SUPERFRAME, Chunk, end, file_of, head, patched, resealed, segment
from evc.spec.patterned import coded

MALFORMED, DAMAGED, UNSUPPORTED = "malformed", "damaged", "unsupported"
Case = tuple[str, str, bytes]  # the kind of error, what is wrong, the file

_PLAIN = Header(RATE, 1, 2 * SUPERFRAME, layers=("spectrum",), segment_frames=SUPERFRAME)
_UNHEARD_OF = NetworkReference("evc-unheard-of", bytes(8))
_LEANING = replace(_PLAIN, layers=("patterns", "spectrum"), reference_depth=1, reference_span=1)
_HEAD = len(c.SIGNATURE)  # where the first chunk is
_FIELDS = {"major": 0, "minor": 1, "samplerate": 2, "channels": 6, "frames": 7, "subtype": 15, "layers": 16,
           "segment_frames": 17, "phase_bits": 21, "depth": 22, "span": 23, "networks": 27}  # fmt: skip


def cases() -> dict[str, Case]:
    """All of them, by name."""
    groups: list[Callable[[], Iterator[tuple[str, Case]]]] = [_files, _headers, _chunks, _played, _segments, _streams]
    found: dict[str, Case] = {}
    for group in groups:
        for name, case in group():
            found[name] = case
    return found


def _silent(header: Header = _PLAIN, *more: Chunk) -> list[Chunk]:
    """The chunks of a valid file of empty segments; `more` come behind the header."""
    return [head(header), *more, *(segment(index) for index in range(header.segments))]


def _files() -> Iterator[tuple[str, Case]]:
    """The signature, CRCs, the end."""
    good = file_of(_silent())
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


def _headers() -> Iterator[tuple[str, Case]]:
    """Fields of HEAD, one out of its limits at a time."""
    payload = _PLAIN.write()
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
        yield f"header-{name}", (kind, about, file_of([Chunk(c.CHUNK_HEAD, wrong), *_silent()[1:]]))
    major = patched(payload, _FIELDS["major"], b"\2")
    yield "major", (UNSUPPORTED, "major version 2", file_of([Chunk(c.CHUNK_HEAD, major), *_silent()[1:]]))
    twice = b"\1" + b"x" + bytes(8)
    wrong = patched(payload, _FIELDS["networks"], b"\2") + 2 * twice
    yield "header-names", (MALFORMED, "two networks of a name", file_of([Chunk(c.CHUNK_HEAD, wrong), *_silent()[1:]]))
    other = replace(_PLAIN, subtype="PCM_24")
    yield "second-header", (MALFORMED, "a second HEAD that differs", file_of([*_silent(), head(other)]))
    yield "three-headers", (MALFORMED, "three times HEAD", file_of([*_silent(), head(_PLAIN), head(_PLAIN)]))
    mask = patched(payload, _FIELDS["layers"], b"\2")
    yield "unnamed", (MALFORMED, "events without a network", file_of([Chunk(c.CHUNK_HEAD, mask), *_silent()[1:]]))
    networks = (_UNHEARD_OF, replace(_UNHEARD_OF, id="evc-neither"))
    latents = Header(RATE, 2, 1000, layers=("latent",), segment_frames=2048, networks=networks)
    for name, field, value, about in [
        ("shared", "layers", b"\x12", "events and latents with one network"),
        ("latent-channels", "channels", b"\3", "three channels with latents"),
        ("latent-segments", "segment_frames", (1024).to_bytes(4, "little"), "segments of half a column of latents"),
    ]:
        listed = replace(latents, networks=networks[: 1 if name == "shared" else 2])
        wrong = patched(listed.write(), _FIELDS[field], value)
        yield f"header-{name}", (MALFORMED, about, file_of([Chunk(c.CHUNK_HEAD, wrong), *_silent(latents)[1:]]))
    named = replace(_PLAIN, layers=("events",), networks=(_UNHEARD_OF,))
    one = np.zeros(1, np.int64)
    event = EventStream(one, one, one, np.zeros((1, len(c.EVENT_PARTS) + 1), np.int64), pan_steps=0)
    streams = (coded(c.STREAM_EVENTS, event, StreamContext(RATE, 1, SUPERFRAME)),)
    yield (
        "network",
        (UNSUPPORTED, "a network that nobody has", file_of([head(named), segment(0, (), streams), segment(1)])),
    )


def _chunks() -> Iterator[tuple[str, Case]]:
    """Chunks in other places, with other flags, of other contents."""
    tags = Chunk(c.CHUNK_TAGS, write_tags({"title": "x"}), critical=False)
    good = file_of(_silent())
    yield "critical", (UNSUPPORTED, "an unknown critical chunk", file_of(_silent(_PLAIN, Chunk(b"NEWS", b""))))
    yield "no-header", (MALFORMED, "another chunk in front of HEAD", file_of([tags, *_silent()]))
    yield "tags-late", (MALFORMED, "TAGS behind a SEGM", file_of([*_silent(), tags]))
    yield "tags-twice", (MALFORMED, "TAGS twice", file_of(_silent(_PLAIN, tags, tags)))
    marked = file_of(_silent(_PLAIN, tags))
    at = marked.index(c.CHUNK_TAGS)
    critical = resealed(patched(marked, at + 4, b"\1"), at)
    yield "tags-critical", (DAMAGED, "TAGS with the flag of a critical chunk", critical)
    yield "tags-plain", (MALFORMED, "TAGS that are not compressed",
                         file_of(_silent(_PLAIN, replace(tags, payload=b'{"title":"x"}'))))  # fmt: skip
    flags = resealed(patched(good, _HEAD + 4, b"\3"), _HEAD)
    yield "flags", (DAMAGED, "an unknown flag of a chunk", flags)
    at = good.index(c.CHUNK_SEGM)
    yield "long-chunk", (MALFORMED, "a length above 64 MiB", patched(good, at + 5, (2**26 + 1).to_bytes(4, "little")))
    for name, mask, about in [("no", 0, "an empty mask"), ("many", 7, "three speakers of one channel"),
                              ("high", 1 << 18, "a speaker that there is not")]:  # fmt: skip
        speakers = Chunk(c.CHUNK_SPKR, mask.to_bytes(4, "little"), critical=False)
        yield f"speakers-{name}", (MALFORMED, about, file_of(_silent(_PLAIN, speakers)))
    empty = Chunk(c.CHUNK_DICT, varint(0) + varint(0) + b"\0")
    yield "no-entries", (MALFORMED, "a DICT of no entries", file_of(_silent(_LEANING, empty)))
    entry = coded(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(7, 9)]), StreamContext(RATE, 1, 99, patterns=1))
    for name, header, first, streams, about in [
        ("numbers", _LEANING, 1, (entry,), "a DICT that begins with entry 1"),
        ("missing", _LEANING, 0, (), "a DICT without its stream"),
        ("layer", _PLAIN, 0, (entry,), "a DICT where HEAD has no patterns"),
    ]:
        defined = Chunk(c.CHUNK_DICT, Dictionary(first, 1, streams).write())
        yield f"entry-{name}", (MALFORMED, about, file_of(_silent(header, defined)))
    half = replace(entry, symbols=c.MAX_DICTIONARY_SYMBOLS // 2 + 1)
    two = (Chunk(c.CHUNK_DICT, Dictionary(first, 1, (half,)).write()) for first in range(2))
    yield "entry-symbols", (MALFORMED, "two DICT of 8 388 609 symbols each", file_of(_silent(_LEANING, *two)))
    many = Chunk(c.CHUNK_DICT, varint(0) + varint(65_537) + b"\0")
    yield "entries", (MALFORMED, "65 537 entries", file_of(_silent(_LEANING, many)))


def _played() -> Iterator[tuple[str, Case]]:
    """Edit lists and chains."""
    whole = 2 * _PLAIN.known_frames  # the number that codes a distance of the file's length
    for name, payload, about in [
        ("none", varint(0), "an edit list of no stretches"),
        ("empty", varint(1) + varint(0) + varint(0), "a stretch of no frames"),
        ("before", varint(1) + varint(1) + varint(9), "a stretch that starts before the file"),
        ("behind", varint(1) + varint(whole) + varint(1), "a stretch that ends behind the file"),
        ("long", varint(1) + varint(0) + varint(9) + b"\0", "an edit list longer than its fields"),
    ]:
        yield f"edit-{name}", (MALFORMED, about, file_of(_silent(_PLAIN, Chunk(c.CHUNK_EDIT, payload))))
    edits = Chunk(c.CHUNK_EDIT, varint(1) + varint(0) + varint(9))
    yield "edit-late", (MALFORMED, "EDIT behind a SEGM", file_of([*_silent(), edits]))
    yield "edit-twice", (MALFORMED, "EDIT twice", file_of(_silent(_PLAIN, edits, edits)))
    first, last = file_of(_silent(replace(_PLAIN, chained=True))), file_of(_silent())
    yield "link-missing", (DAMAGED, "no link where another should follow", first)
    wider = file_of(_silent(replace(_PLAIN, channels=2)))
    yield "link-channels", (MALFORMED, "a link of other channels", first + wider)
    yield "link-edits", (MALFORMED, "EDIT in the second link", first + file_of(_silent(_PLAIN, edits)))
    past = Chunk(c.CHUNK_EDIT, varint(1) + varint(2 * whole) + varint(1))
    edited = file_of(_silent(replace(_PLAIN, chained=True), past))
    yield "link-behind", (MALFORMED, "a stretch that ends behind the last link", edited + last)


def _segments() -> Iterator[tuple[str, Case]]:
    """What stands in SEGM in front of the words."""
    first = head(_PLAIN)

    def with_segment(payload: bytes, header: Header = _PLAIN) -> bytes:
        return file_of([head(header), Chunk(c.CHUNK_SEGM, payload), segment(1)])

    yield "missing", (MALFORMED, "a segment too few", file_of([first, segment(0)]))
    yield "more", (MALFORMED, "a segment too many", file_of([first, segment(0), segment(1), segment(1)]))
    yield "order", (MALFORMED, "segments in another order", file_of([first, segment(1), segment(0)]))
    yield "itself", (MALFORMED, "a segment that depends on itself", with_segment(b"\0\1\0\0", _LEANING))
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
    both = replace(_PLAIN, layers=("spectrum", "noise"))
    yield "kinds", (MALFORMED, "streams out of order", with_segment(b"\0\0\2" + body, both))
    seventeen = b"".join(bytes([kind, 0, 0]) + bytes(4) for kind in range(128, 145))
    yield "streams", (MALFORMED, "17 streams", with_segment(b"\0\0\x11" + seventeen))
    for name, kind, about, error in [
        ("layer", 1, "a stream of a layer that HEAD lacks", MALFORMED),
        ("dictionary", 5, "a dictionary in SEGM", MALFORMED), ("kind", 6, "an unknown critical stream", UNSUPPORTED),
    ]:  # fmt: skip
        yield f"stream-{name}", (error, about, with_segment(Segment(0, (), (replace(stream, kind=kind),)).write()))
    most = replace(stream, symbols=4 * SUPERFRAME + 65_537)
    yield "symbols", (MALFORMED, "more symbols than a segment may have", with_segment(Segment(0, (), (most,)).write()))
    odd = replace(stream, words=bytes(5))
    yield "words", (DAMAGED, "words that are not whole", with_segment(Segment(0, (), (odd,)).write()))


def _streams() -> Iterator[tuple[str, Case]]:
    """What only decoding finds."""
    context = StreamContext(RATE, 1, SUPERFRAME)
    silent = coded(c.STREAM_SPECTRUM, SpectrumStream([Group(0, 0)]), context)

    def holding(stream: StreamData, header: Header = _PLAIN) -> bytes:
        return file_of([head(header), segment(0, (), (stream,)), segment(1)])

    yield "checksum", (DAMAGED, "another checksum", holding(replace(silent, checksum=silent.checksum ^ 1)))
    yield "count", (DAMAGED, "more symbols than are there", holding(replace(silent, symbols=3)))
    yield "few", (DAMAGED, "fewer symbols than are there", holding(replace(silent, symbols=1)))
    yield "quantile", (DAMAGED, "words that no encoder writes", holding(replace(silent, words=b"\xff" * 8)))
    wide = _by_hand(
        c.STREAM_SPECTRUM, lambda port: [port.uniform(np.array([x]), n, "") for x, n in ((2048, 4096), (23, 24))]
    )
    yield "bandwidth", (MALFORMED, "bands above half the sample rate", holding(wide))
    eventful = replace(_PLAIN, layers=("events",), networks=(_UNHEARD_OF,))
    many = _by_hand(c.STREAM_EVENTS, lambda port: port.number(65, c.COUNT_ORDER))
    yield "events", (MALFORMED, "65 events in a superframe", holding(many, eventful))
    noisy = replace(_PLAIN, layers=("noise",))
    yield (
        "stretch",
        (MALFORMED, "a stretch longer than its segment", holding(_by_hand(c.STREAM_NOISE, _stretch), noisy)),
    )
    entry = coded(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(2000, 99)]), StreamContext(RATE, 1, 9999, patterns=1))
    chunk = Chunk(c.CHUNK_DICT, Dictionary(0, 1, (entry,)).write())
    yield "excerpt", (MALFORMED, "an excerpt that ends behind the file", file_of(_silent(_LEANING, chunk)))
    for name, times, lag, lists, about in [
        ("lag", 1, 2 * SUPERFRAME + 15, (0, 1, 2), "a lag too short by a frame"),
        ("unlisted", 1, 3 * SUPERFRAME, (0, 1), "a copy of a segment that is not among the dependencies"),
        ("crowd", 17, 3 * SUPERFRAME, (0, 1, 2), "17 occurrences at once"),
    ]:
        yield f"copy-{name}", (MALFORMED, about, _copies(times, lag, lists))
    for name, shift, rotation, about in [
        ("shifted", 32, 0, "a placement of an excerpt with a shift"),
        ("turned", 0, 1, "a placement of an excerpt with a rotation"),
    ]:
        yield f"excerpt-{name}", (MALFORMED, about, _placement(shift, rotation))


def _by_hand(kind: int, write: Callable[[WritePort], object]) -> StreamData:
    """A stream that the writers of streams would not write."""
    encoder = SymbolEncoder()
    write(WritePort(encoder))
    found = encoder.finish()
    return StreamData(kind, found.words, found.symbols, found.checksum)


def _stretch(port: WritePort) -> None:
    port.field(0, c.NOISE_STEP_BITS)
    port.field(3, c.BAND_STRIDE_BITS)
    Numbers("", c.MAX_SPAN).code(port, c.NOISE_HOPS + 1)


def _copies(times: int, lag: int, dependencies: tuple[int, ...]) -> bytes:
    """The last of four segments copies the first."""
    header = replace(_LEANING, frames=4 * SUPERFRAME, reference_span=3)
    nothing = np.zeros(times, np.int64)
    stream = OccurrenceStream(
        nothing, nothing + COPY, nothing + (lag << header.phase_bits), nothing, nothing + 100,
        nothing, nothing, nothing, nothing[:, None, None],
    )  # fmt: skip
    words = coded(c.STREAM_OCCURRENCES, stream, StreamContext(RATE, 1, SUPERFRAME, header.phase_bits))
    return _repeating(header, words, dependencies)


def _placement(shift: int, rotation: int) -> bytes:
    """The last of four segments places an excerpt of the first."""
    header = replace(_LEANING, frames=4 * SUPERFRAME, reference_span=3)
    context = StreamContext(RATE, 1, header.known_frames, header.phase_bits, patterns=1)
    entry = coded(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(0, 500)]), context)
    nothing = np.zeros(1, np.int64)
    stream = OccurrenceStream(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing + shift, nothing + rotation,
        nothing[:, None, None], lattice=True, rotation_bits=3,
    )  # fmt: skip
    words = coded(c.STREAM_OCCURRENCES, stream, replace(context, frames=SUPERFRAME))
    return _repeating(header, words, (0, 1, 2), Chunk(c.CHUNK_DICT, Dictionary(0, 1, (entry,)).write()))


def _repeating(header: Header, words: StreamData, dependencies: tuple[int, ...], *more: Chunk) -> bytes:
    """A file of four segments, the last of which depends on others; `more` chunks come behind the header."""
    chunks = [head(header), *more, *(segment(index) for index in range(3)), segment(3, dependencies, (words,))]
    return file_of(chunks, [(), (), (), dependencies])
