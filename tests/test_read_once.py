"""What a file holds is read, checked and decoded once, whoever asks for it; and what is kept of it is bounded."""

from __future__ import annotations

import gc
import io
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pytest
from damage import segment_places, with_flipped_bit
from hypothesis import given
from hypothesis import strategies as st

import evc
from evc.events import read_events, write_events
from evc.format import constants as c
from evc.format import decoding
from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.container import ChunkReader
from evc.format.decoding import SegmentDecoder
from evc.format.header import Header
from evc.format.kept import Kept
from evc.format.networks import installed_network
from evc.format.reader import ContainerReader
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.dictionary import Explicit
from evc.format.streams.events import EventStream
from evc.format.streams.gains import Gains
from evc.format.streams.noise import NoisePlane, NoiseStream, hops
from evc.format.streams.noise_changes import plane_kinds
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.streams.spectrum import SpectrumStream
from evc.format.writer import ContainerWriter
from evc.models.events.vectors import EVENTS_NETWORK
from evc.models.superframes import WINDOW
from evc.patterns import read_patterns
from evc.playback import Player
from evc.spec.patterned import pattern_file, tones
from evc.stats import measure

RATE, N = 8000, 1024
SEGMENT = 2 * N
SMALL = (c.STREAM_EVENTS, c.STREAM_OCCURRENCES)
ASKS: dict[str, Callable[[evc.EvcFile], object]] = {
    "read": lambda file: (file.seek(0), file.read()),
    "patterns": lambda file: file.patterns,
    "events": lambda file: file.events,
    "stats": lambda file: file.stats(),
}
ORDERS = ("read patterns events stats", "patterns stats read events", "stats events patterns read",
          "events read stats patterns")  # fmt: skip


def placed_and_copied(index: int) -> OccurrenceStream:
    """The dictionary's entry, and from the third segment on a copy."""
    patterns = np.array([0] if index < 2 else [0, COPY])
    n, copied = len(patterns), patterns == COPY
    nothing = np.zeros(n, np.int64)
    gains = np.full((n, 1, 1), -2 - index % 3)
    lags, lengths = np.where(copied, 3 * N * 32, 0), np.where(copied, N, 0)
    columns = nothing + 320, patterns, lags, nothing, lengths, nothing, nothing, nothing
    return OccurrenceStream(*columns, Gains(gains[~copied]), Gains(gains[copied]))


def explicit() -> Explicit:
    encoder = SymbolEncoder()
    tones(np.random.default_rng(1), 1, 1, 28).write(encoder, StreamContext(RATE, 1, 900))
    return Explicit(1, 900, encoder.finish())


def noise(context: StreamContext) -> NoiseStream:
    """The same level everywhere, and no colours."""
    level, colour = plane_kinds(1)
    levels, none = np.full((1, level.bands(RATE, 3)), 8), np.zeros((0, colour.bands(RATE, 0)), np.int64)
    plane = NoisePlane(np.array([hops(context)]), levels, levels, 3)
    return NoiseStream([plane, NoisePlane(np.zeros(0, np.int64), none, none, 0)])


@lru_cache
def layered(segments: int = 7) -> bytes:
    """A file of patterns, events, a spectrum and noise."""
    header = Header(
        RATE, 1, segments * SEGMENT, layers=("patterns", "spectrum"), segment_frames=SEGMENT,
        reference_depth=segments, reference_span=3,
    )  # fmt: skip
    random = np.random.default_rng(0)
    parts = [(placed_and_copied(index), tones(random, 1, 2, 24)) for index in range(segments)]
    container = ContainerReader(io.BytesIO(pattern_file(header, [explicit()], [*parts])))
    header = replace(header, layers=("patterns", "events", "spectrum", "noise"),
                     networks=(installed_network(EVENTS_NETWORK),))  # fmt: skip
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        writer.add_dictionary(container.dictionaries[0])
        for index in range(segments):
            context, segment = StreamContext(RATE, 1, SEGMENT), container.segment(index)
            codes = np.zeros((1, 16), np.int64)
            codes[0, 0] = (60 + index % 7) * 64
            events = EventStream(np.array([32 * 700]), np.array([-3]), np.array([0]), codes)
            added = {c.STREAM_EVENTS: events, c.STREAM_NOISE: noise(context)}
            streams = [*segment.streams, *(coded_stream(kind, one, context) for kind, one in added.items())]
            streams.sort(key=lambda data: data.kind)
            writer.add_segment(Segment(index, segment.dependencies, tuple(streams)))
    return target.getvalue()


@dataclass
class Counts:
    """How often each segment was read, by the offset of its chunk, and each stream decoded, by its words."""

    reads: Counter[int] = field(default_factory=Counter)
    decoded: Counter[bytes] = field(default_factory=Counter)


@contextmanager
def counting() -> Iterator[Counts]:
    counts, payload, start = Counts(), ChunkReader.payload, SymbolDecoder.__init__

    def counted_payload(self, place):
        counts.reads[place.offset] += place.type == c.CHUNK_SEGM
        return payload(self, place)

    def counted_start(self, words, *arguments, **options):
        counts.decoded[words] += 1
        start(self, words, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChunkReader, "payload", counted_payload)
        patch.setattr(SymbolDecoder, "__init__", counted_start)
        yield counts
    counts.reads += Counter()  # without zeros


def words(data: bytes, kinds: tuple[int, ...] = tuple(range(c.OPTIONAL_STREAM))) -> Counter[bytes]:
    """Of the streams of these kinds in all segments."""
    container = ContainerReader(io.BytesIO(data))
    found = [stream for index in range(container.segments) for stream in container.segment(index).streams]
    return Counter(stream.words for stream in found if stream.kind in kinds)


def dictionary_words(data: bytes) -> Counter[bytes]:
    """Of the dictionary, and of the waveform in it."""
    (dictionary,) = ContainerReader(io.BytesIO(data)).dictionaries
    inner: CodedStream = explicit().stream
    return Counter([inner.words, *(stream.words for stream in dictionary.streams)])


def once(data: bytes, but: tuple[int, ...] = ()) -> dict[int, int]:
    places = segment_places(data)
    return {place.offset: 1 for index, place in enumerate(places) if index not in but}


def test_the_file_holds_what_it_should() -> None:
    with evc.open(io.BytesIO(layered())) as file:
        assert file.layers == ("patterns", "events", "spectrum", "noise") and len(file.segments) == 7
        assert len(file.events) == 7 and {"explicit", "excerpt"} == set(file.patterns["kind"])
        assert all(np.abs(file.render([name])).max() > 1e-4 for name in file.layers)
        file.seek(0)
        assert np.abs(file.read()).max() > 0.01
        assert len(words(layered(), SMALL)) >= 4


@pytest.mark.parametrize("order", ORDERS)
def test_each_segment_is_read_once_whoever_asks(order: str) -> None:
    data, asks = layered(), order.split()
    small, large = words(data, SMALL), words(data, (c.STREAM_SPECTRUM, c.STREAM_NOISE))
    dictionary = dictionary_words(data)
    with counting() as counts, evc.open(io.BytesIO(data)) as file:
        for ask in asks:
            ASKS[ask](file)
    assert counts.reads == once(data)
    # Accounts of larger streams cost a second decoding, unless they came first.
    again = large + large if asks.index("read") < asks.index("stats") else large
    assert counts.decoded == small + again + dictionary


def test_nothing_more_is_read_for_what_is_asked_for_again() -> None:
    data = layered()
    with counting() as counts, evc.open(io.BytesIO(data)) as file:
        for ask in (*ASKS, *ASKS):
            ASKS[ask](file)
        assert len(file.uses) and len(file.occurrences) and file.stats(symbols=False).layers
        file.render(occurrences=[0], layers=["patterns"])
        file.seek(0)
        assert sum(len(block) for block in file.blocks(1000)) == file.frames
    assert counts.reads == once(data)
    assert all(counts.decoded[stream] == n for stream, n in (words(data, SMALL) + dictionary_words(data)).items())


def test_patterns_and_events_decode_nothing_else() -> None:
    data = layered()
    with counting() as counts, evc.open(io.BytesIO(data)) as file:
        assert len(file.patterns) and len(file.events)
    assert counts.reads == once(data)
    assert counts.decoded + Counter([explicit().stream.words]) == words(data, SMALL) + dictionary_words(data)


def test_writing_events_reads_once() -> None:
    data, target = layered(), io.BytesIO()
    with evc.open(io.BytesIO(data)) as file:
        events = file.events
        with counting() as counts:
            write_events(target, events, file)
    assert counts.reads == once(data)
    assert target.getvalue() == data


@pytest.mark.parametrize("order", ORDERS)
def test_salvage_reads_what_is_left_once(order: str) -> None:
    """Besides opening, which looks for what is intact."""
    damaged = 3
    data = with_flipped_bit(layered(), segment_places(layered())[damaged].offset + 30)
    with evc.open(io.BytesIO(data), salvage=True) as file, counting() as counts:
        for ask in order.split():
            ASKS[ask](file)
        assert len(file.events) == 6 and file.damage
    assert counts.reads == once(layered(), but=(damaged,))
    left = ContainerReader(io.BytesIO(data), salvage=True)
    streams = [stream for index in range(7) if index != damaged for stream in left.segment(index).streams]
    for stream, n in Counter(stream.words for stream in streams if stream.kind in SMALL).items():
        assert counts.decoded[stream] == n


def test_wrong_symbols_are_read_once_in_salvage_mode() -> None:
    """The chunk is intact, its spectrum is not: what else is in it is not decoded again for that."""
    container, target = ContainerReader(io.BytesIO(layered())), io.BytesIO()
    with ContainerWriter(target, container.header) as writer:
        writer.add_dictionary(container.dictionaries[0])
        for index in range(container.segments):
            segment = container.segment(index)
            streams = [replace(data, checksum=7) if (index, data.kind) == (6, c.STREAM_SPECTRUM) else data
                       for data in segment.streams]  # fmt: skip
            writer.add_segment(replace(segment, streams=tuple(streams)))
    data = target.getvalue()
    with evc.open(io.BytesIO(data), salvage=True) as file, counting() as counts:
        for ask in ASKS.values():
            ask(file)
        assert len(file.events) == 7 and [span.start for span in file.damage] == [6 * SEGMENT]
    assert counts.reads == once(data)
    assert all(counts.decoded[stream] == n for stream, n in words(data, SMALL).items())


def test_threads_that_share_a_file_read_once() -> None:
    data = layered()
    with counting() as counts, evc.open(io.BytesIO(data)) as file, ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(ask, file) for _ in range(3) for ask in ASKS.values()]:
            asked.result()
    assert counts.reads == once(data)
    assert all(counts.decoded[stream] == n for stream, n in (words(data, SMALL) + dictionary_words(data)).items())


def test_segments_decoded_together_decode_the_dictionary_once() -> None:
    data = layered()
    for _ in range(10):
        with counting() as counts:
            decoder = SegmentDecoder(ContainerReader(io.BytesIO(data)))
            assert len(decoder.decode(range(7))) == 7
            decoder.close()
        assert counts.reads == once(data) and counts.decoded == words(data) + dictionary_words(data)


def test_a_long_file_read_at_once_is_decoded_once() -> None:
    """Longer than what is kept: its layers are rendered side by side, not one after the other."""
    count, superframes = WINDOW + 8, 48
    header = Header(
        RATE, 1, count * superframes * N, layers=("spectrum", "noise"), segment_frames=superframes * N
    )
    context = StreamContext(RATE, 1, header.segment_frames)
    spectrum = coded_stream(c.STREAM_SPECTRUM, tones(np.random.default_rng(2), 1, superframes, 24), context)
    streams = spectrum, coded_stream(c.STREAM_NOISE, noise(context), context)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index in range(count):
            writer.add_segment(Segment(index, (), streams))
    with counting() as counts, closing(SegmentDecoder(ContainerReader(target), WINDOW + 2)) as decoder:
        assert np.abs(Player(decoder).audio(0, header.known_frames)).max() > 0.01
    assert counts.decoded == Counter({data.words: count for data in streams})


def held() -> Counter[type]:
    """How many objects there are of the kinds that are kept."""
    return Counter(type(one) for one in gc.get_objects() if type(one) in (Segment, SpectrumStream, EventStream))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long file: neither its words, nor its small streams, nor its spectra are all held."""
    count, keep, few = 20, 4, 9
    data = layered(count)
    with evc.open(io.BytesIO(data)) as file:
        expected = file.read()
    container = ContainerReader(io.BytesIO(data))
    bound = few << 11  # each takes more
    monkeypatch.setattr(decoding, "KEPT_BYTES", bound)
    before = held()
    most: Counter[type] = Counter()
    with closing(SegmentDecoder(container, keep)) as decoder:
        player, parts = Player(decoder), []
        for start in range(0, len(expected), 5 * SEGMENT):
            parts.append(player.audio(start, 5 * SEGMENT)[0])
            most |= held() - before
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        assert len(read_events(decoder)) == count
        most |= held() - before
        assert measure(decoder, read_patterns(decoder)).frames == len(expected)
        most |= held() - before
    assert 1 < most[Segment] < few
    assert 1 < most[SpectrumStream] <= keep + 1  # and that of the dictionary
    assert 1 < most[EventStream] <= keep + few


def test_nothing_is_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments without a word take room as well."""
    count, few = 200, 9
    monkeypatch.setattr(decoding, "KEPT_BYTES", few << 11)
    target, before = io.BytesIO(), held()
    with ContainerWriter(target, Header(RATE, 1, count * N, layers=("patterns",), segment_frames=N)) as writer:
        for index in range(count):
            writer.add_segment(Segment(index))
    decoder = SegmentDecoder(ContainerReader(target))
    assert not list(decoder.streams(c.STREAM_OCCURRENCES))
    assert 0 < (held() - before)[Segment] <= few


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 9)), max_size=60), st.integers(0, 20)
)
def test_kept(calls: list[tuple[bool, int, int]], most: int) -> None:
    """Always the last used, as far as they fit."""
    kept: Kept[int, int] = Kept(most, lambda size: size)
    expected: OrderedDict[int, int] = OrderedDict()
    for putting, key, size in calls:
        if putting:
            kept.put(key, size)
            expected.pop(key, None)
            expected[key] = size
            while sum(expected.values()) > most:
                expected.popitem(last=False)
        else:
            assert kept.get(key) == expected.get(key)
            if key in expected:
                expected.move_to_end(key)
        assert len(kept) == len(expected)
    assert {key: kept.get(key) for key in range(6) if kept.get(key) is not None} == expected
    kept.clear()
    kept.put(7, most)  # nothing takes room any more
    assert len(kept) == 1 and kept.get(7) == most
