"""Files that a strict reader refuses for what only decoding finds, with the kind of error (section 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolEncoder
from evc.format.header import Header
from evc.format.segment import Dictionary, StreamData, write_adaptation
from evc.format.streams import StreamContext, coded_stream, envelope
from evc.format.streams.dictionary import DictionaryStream, Excerpt, Explicit, Loop, Pattern
from evc.format.streams.gains import Gains
from evc.format.streams.integers import Numbers, Scales
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.port import WritePort
from evc.format.streams.spectrum import Group, SpectrumStream
from evc.spec.containers import (
    DAMAGED,
    LEANING,
    MALFORMED,
    PLAIN,
    RATE,
    SUPERFRAME,
    UNHEARD_OF,
    Chunk,
    Refusal,
    file_of,
    head,
    segment,
    silent,
)


def streams() -> Iterator[tuple[str, Refusal]]:
    """What only decoding finds."""
    context = StreamContext(RATE, 1, SUPERFRAME)
    nothing = coded_stream(c.STREAM_SPECTRUM, SpectrumStream([Group(0, 0)]), context)

    def holding(stream: StreamData, header: Header = PLAIN) -> bytes:
        return file_of([head(header), segment(0, (), (stream,)), segment(1)])

    yield "checksum", (DAMAGED, "another checksum", holding(replace(nothing, checksum=nothing.checksum ^ 1)))
    yield "count", (DAMAGED, "more symbols than are there", holding(replace(nothing, symbols=3)))
    yield "few", (DAMAGED, "fewer symbols than are there", holding(replace(nothing, symbols=1)))
    yield "quantile", (DAMAGED, "words that no encoder writes", holding(replace(nothing, words=b"\xff" * 8)))
    wide = _by_hand(
        c.STREAM_SPECTRUM, lambda port: [port.uniform(np.array([x]), n, "") for x, n in ((2048, 4096), (23, 24))]
    )
    yield "bandwidth", (MALFORMED, "bands above half the sample rate", holding(wide))
    eventful = replace(PLAIN, layers=("events",), networks=(UNHEARD_OF,))
    many = _by_hand(c.STREAM_EVENTS, lambda port: port.number(65, c.COUNT_ORDER))
    yield "events", (MALFORMED, "65 events in a superframe", holding(many, eventful))
    noisy = replace(PLAIN, layers=("noise",))
    yield (
        "stretch",
        (MALFORMED, "a stretch longer than its segment", holding(_by_hand(c.STREAM_NOISE, _stretch), noisy)),
    )
    still = _by_hand(c.STREAM_ENVELOPE, lambda port: _envelope(port, context))
    yield "envelope-layer", (MALFORMED, "an envelope without a layer of spectra", holding(still, noisy))
    yield (
        "envelope-few",
        (DAMAGED, "an envelope that ends within a hop", holding(replace(still, symbols=still.symbols - 1))),
    )
    more = _by_hand(c.STREAM_ENVELOPE, lambda port: _envelope(port, context, 1))
    yield "envelope-many", (DAMAGED, "an envelope with a symbol behind its last hop", holding(more))
    latents = Header(RATE, 2, 5000, layers=("latent",), segment_frames=4096, networks=(UNHEARD_OF,))
    for name, about, rank, values in [
        ("rank", "an adapted network of rank 5", 5, ()), ("weight", "an adapted weight of 64", 1, (64,)),
    ]:  # fmt: skip
        adapted = Chunk(c.CHUNK_NETW, write_adaptation(_difference(rank, values)))
        yield f"adapted-{name}", (MALFORMED, about, file_of(silent(latents, adapted)))
    whole = StreamContext(RATE, 1, 9999, patterns=1)
    entry = coded_stream(c.STREAM_DICTIONARY, DictionaryStream([Excerpt(2000, 99)]), whole)
    chunk = Chunk(c.CHUNK_DICT, Dictionary(0, 1, (entry,)).write())
    yield "excerpt", (MALFORMED, "an excerpt that ends behind the file", file_of(silent(LEANING, chunk)))
    for name, times, lag, lists, about in [
        ("lag", 1, 2 * SUPERFRAME + 15, (0, 1, 2), "a lag too short by a frame"),
        ("unlisted", 1, 3 * SUPERFRAME, (0, 1), "a copy of a segment that is not among the dependencies"),
        ("crowd", 17, 3 * SUPERFRAME, (0, 1, 2), "17 occurrences at once"),
    ]:
        yield f"copy-{name}", (MALFORMED, about, _copies(times, lag, lists))
    for name, shift, rotation, semitones, about in [
        ("shifted", 32, 0, 0, "a placement of an excerpt with a shift"),
        ("turned", 0, 1, 0, "a placement of an excerpt with a rotation"),
        ("transposed", 0, 0, -1, "a placement of an excerpt with a rate"),
    ]:
        yield f"excerpt-{name}", (MALFORMED, about, _placement(Excerpt(0, 500), shift, rotation, semitones))
    loop = coded_stream(c.STREAM_SPECTRUM, SpectrumStream([Group(0, 0)]), StreamContext(RATE, 1, 500))
    looped = Explicit(1, 500, CodedStream(loop.words, loop.symbols, loop.checksum), Loop(0, 32 * 500))
    yield "loop-endless", (MALFORMED, "a placement of an entry with a loop that has no length", _placement(looped))


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


def _envelope(port: WritePort, context: StreamContext, more: int = 0) -> None:
    """Gains of 1 throughout, which an encoder would not tell, and `more` symbols."""
    _, hops, bands = envelope.shape(context)
    gains, classes = np.zeros((hops, bands), np.int64), np.zeros(bands, np.int64)
    for value, width in ((1, 1), *((0, c.ENVELOPE_CLASS_BITS) for _ in classes)):
        port.field(value, width)
    rows = envelope.rows(gains, classes)
    port.symbols((gains + c.MOST_ENVELOPE).ravel(), envelope.table(), rows.ravel(), envelope.VALUES)
    for _ in range(more):
        port.field(0, 1)
def _difference(rank: int, values: tuple[int, ...]) -> StreamData:
    """Some numbers in the last group."""

    def write(port: WritePort) -> None:
        port.field(rank, c.DIFFERENCE_RANK_BITS)
        for _ in range(c.DIFFERENCE_GROUPS):
            port.field(0, c.DIFFERENCE_STEP_BITS)
        for group in range(c.DIFFERENCE_GROUPS):
            port.number(len(values) if group == c.DIFFERENCE_GROUPS - 1 else 0, c.DIFFERENCE_COUNT_ORDER)
        Scales(1, c.DIFFERENCE_FIRST).signed(port, np.array(values, np.int64), 0, "")

    return _by_hand(c.STREAM_ADAPTATION, write)


def _copies(times: int, lag: int, dependencies: tuple[int, ...]) -> bytes:
    """The last of four segments copies the first."""
    header = replace(LEANING, frames=4 * SUPERFRAME, reference_span=3)
    nothing = np.zeros(times, np.int64)
    stream = OccurrenceStream(
        nothing, nothing + COPY, nothing + (lag << header.phase_bits), nothing, nothing + 100,
        nothing, nothing, nothing, copied=Gains(nothing[:, None, None]),
    )  # fmt: skip
    words = coded_stream(c.STREAM_OCCURRENCES, stream, StreamContext(RATE, 1, SUPERFRAME, header.phase_bits))
    return _repeating(header, words, dependencies)


def _placement(pattern: Pattern, shift: int = 0, rotation: int = 0, semitones: int = 0) -> bytes:
    """The last of four segments places an entry, which may be an excerpt of the first."""
    header = replace(LEANING, frames=4 * SUPERFRAME, reference_span=3)
    context = StreamContext(RATE, 1, header.known_frames, header.phase_bits, patterns=1)
    entry = coded_stream(c.STREAM_DICTIONARY, DictionaryStream([pattern]), context)
    nothing = np.zeros(1, np.int64)
    stream = OccurrenceStream(
        nothing, nothing, nothing, nothing, nothing, nothing, nothing + shift, nothing + rotation,
        Gains(nothing[:, None, None]), lattice=True, rotation_bits=3, rates=True,
        semitones=nothing + semitones,
    )  # fmt: skip
    words = coded_stream(c.STREAM_OCCURRENCES, stream, replace(context, frames=SUPERFRAME))
    return _repeating(header, words, (0, 1, 2), Chunk(c.CHUNK_DICT, Dictionary(0, 1, (entry,)).write()))


def _repeating(header: Header, words: StreamData, dependencies: tuple[int, ...], *more: Chunk) -> bytes:
    """A file of four segments, the last of which depends on others; `more` chunks come behind the header."""
    chunks = [head(header), *more, *(segment(index) for index in range(3)), segment(3, dependencies, (words,))]
    return file_of(chunks, [(), (), (), dependencies])
