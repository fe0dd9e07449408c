"""`EvcFile`: reading by parts, seeking, blocks, layers as arrays, stats."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import RATE
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.format.errors import DamagedError, EvcError, InputError, UnsupportedError

SEGMENT = 49_152  # frames, at 16 kHz


@pytest.fixture
def file(encoded):
    with evc.open(io.BytesIO(encoded)) as opened:
        yield opened


def test_what_a_file_says_of_itself(file, encoded):
    assert (file.samplerate, file.channels, file.frames, file.duration) == (RATE, 2, 160_000, 10.0)
    assert (file.subtype, file.format_version, file.layers) == ("PCM_16", "1.0", ("spectrum",))
    assert file.networks == () and file.file_bytes == len(encoded) and len(file) == 160_000
    assert file.tags["artist"] == ["A", "B"]
    assert file.damage == []
    assert "10.000 s, 16000 Hz, 2 channels" in repr(file)


def test_segments_tile_the_file(file, encoded):
    places = segment_places(encoded)
    assert [s.index for s in file.segments] == [0, 1, 2, 3]
    assert [s.start for s in file.segments] == [0, SEGMENT, 2 * SEGMENT, 3 * SEGMENT]
    assert sum(s.frames for s in file.segments) == file.frames
    assert [(s.offset, s.bytes) for s in file.segments] == [(p.offset, p.size) for p in places]
    assert not any(s.damaged or s.dependencies for s in file.segments)


def test_reading_moves_on(file, whole):
    first, rest = file.read(50_000), file.read()
    assert np.array_equal(np.concatenate([first, rest]), whole)
    assert file.tell() == file.frames and file.read().shape == (0, 2) and file.read(10).shape == (0, 2)


@settings(max_examples=12, deadline=None)
@given(start=st.integers(0, 160_000), count=st.integers(0, 60_000))
def test_any_part_equals_the_same_part_of_the_whole(encoded, whole, start, count):
    with evc.open(io.BytesIO(encoded)) as file:
        file.seek(start)
        assert np.array_equal(file.read(count), whole[start : start + count])


def test_seeking(file):
    assert file.seek(100) == file.tell() == 100
    assert file.seek(-40, 1) == 60
    assert file.seek(-1, 2) == file.frames - 1
    assert file.seek(0, 2) == file.frames
    for frames, whence in [(-1, 0), (1, 2), (10**12, 0)]:
        with pytest.raises(InputError, match="outside the file's 0 to 160000"):
            file.seek(frames, whence)
    with pytest.raises(InputError, match="whence is 3"):
        file.seek(0, 3)
    assert file.tell() == file.frames


def test_sample_types(file, whole):
    start, count = 30_000, 5_000
    for dtype in ("float32", "float64", "int16", "int32"):
        file.seek(start)
        audio = file.read(count, dtype=dtype)
        full = {"int16": 2.0**15, "int32": 2.0**31}.get(dtype)
        exact = whole[start : start + count].astype(np.float64)
        assert audio.dtype == dtype
        if full is None:
            assert np.array_equal(audio, exact.astype(dtype))
        else:
            assert np.array_equal(audio, np.clip(np.rint(exact * full), -full, full - 1).astype(dtype))
    with pytest.raises(InputError, match="dtype 'int8' is not one of"):
        file.read(1, dtype="int8")


def test_one_channel_has_one_dimension_unless_asked():
    data = evc.encode(np.sin(np.arange(3000) / 5), 8000)
    with evc.open(io.BytesIO(data)) as file:
        assert file.read(1000).shape == (1000,)
        assert file.read(1000, always_2d=True).shape == (1000, 1)


@pytest.mark.parametrize(
    "blocksize, overlap", [(4096, 0), (70_000, 0), (10_000, 2_500), (160_000, 0), (200_000, 7)]
)
def test_blocks_cover_the_file(file, whole, blocksize, overlap):
    blocks = list(file.blocks(blocksize, overlap))
    assert all(len(block) == blocksize for block in blocks[:-1]) and 0 < len(blocks[-1]) <= blocksize
    start = 0
    for block in blocks:
        assert np.array_equal(block, whole[start : start + len(block)])
        start += blocksize - overlap
    assert file.tell() == file.frames


def test_blocks_of_a_part(file, whole):
    file.seek(1000)
    blocks = list(file.blocks(3000, frames=7000, dtype="int16"))
    assert [len(block) for block in blocks] == [3000, 3000, 1000] and blocks[0].dtype == np.int16
    assert file.tell() == 8000
    for blocksize, overlap in [(0, 0), (10, 10), (10, -1)]:
        with pytest.raises(InputError, match="cannot overlap"):
            file.blocks(blocksize, overlap)


def test_only_the_segments_needed_are_read(encoded, whole):
    damaged = with_flipped_bit(encoded, segment_places(encoded)[2].offset + 40)
    with evc.open(io.BytesIO(damaged)) as file:
        assert np.array_equal(file.read(SEGMENT // 2), whole[: SEGMENT // 2])
        file.seek(2 * SEGMENT + 100)
        with pytest.raises(DamagedError) as caught:
            file.read(10)
        assert caught.value.segment == 2


def test_layers_that_are_absent_are_empty(file):
    assert len(file.events) == 0 and file.events.vectors.shape == (0, 32)
    for array in (file.occurrences, file.patterns):
        assert len(array) == 0 and array.dtype.names


def test_stats_account_for_every_bit(file, encoded):
    stats = file.stats()
    assert stats.file_bytes == len(encoded) and stats.bits == 8 * len(encoded)
    assert stats.payload_bits + stats.overhead_bits == stats.bits
    assert sum(stats.overhead.values()) == stats.overhead_bits
    assert stats.kbps(stats.bits) == pytest.approx(8 * len(encoded) / 10_000)
    spectrum, envelope = stats.layers
    assert envelope.name == "envelope" and 0 < envelope.bits < spectrum.bits / 10
    assert spectrum.name == "spectrum" and spectrum.symbols == sum(s.symbols for s in spectrum.streams) > 0
    assert spectrum.model_bits == pytest.approx(sum(s.bits for s in spectrum.streams))
    # The coder spends what the model says, and a few words per segment.
    assert spectrum.model_bits <= spectrum.bits * 1.001
    assert spectrum.bits <= spectrum.model_bits * 1.01 + 4 * 128
    assert len(stats.seconds) == 10
    assert stats.seconds.sum() == pytest.approx(8 * sum(s.bytes for s in file.segments))


def test_stats_rows_add_up(file):
    rows = file.stats().rows()
    total = next(row for row in rows if row["layer"] == "total")
    parts = [
        row for row in rows if row["level"] == "layer" or row["layer"] == "overhead" and not row["stream"]
    ]
    assert sum(row["bits"] for row in parts) == total["bits"] and total["share"] == 1
    for layer in parts:
        streams = [row for row in rows if row["layer"] == layer["layer"] and row["stream"]]
        assert sum(row["bits"] for row in streams) == pytest.approx(layer["bits"], abs=1)


def test_stats_without_decoding_know_the_layers(file):
    full, quick = file.stats(), file.stats(symbols=False)
    assert quick.overhead == full.overhead and quick.layers[0].bits == full.layers[0].bits
    assert quick.layers[0].symbols == 0 and quick.layers[0].streams == ()


def test_stats_of_an_empty_file():
    with evc.open(io.BytesIO(evc.encode(np.zeros(0), 8000))) as file:
        stats = file.stats()
        assert file.read().shape == (0,) and file.duration == 0 and list(file.blocks(10)) == []
        assert stats.kbps(stats.bits) == 0 and len(stats.seconds) == 0 and stats.payload_bits == 0


def test_verify_accepts_a_good_file(file):
    seen = []
    file.verify(synthesis=True, progress=lambda done, total: seen.append(done))
    assert seen[-1] == 10


def test_files_are_closed_only_by_who_opened_them(folder, encoded):
    with evc.open(folder / "track.evc") as file:
        inner = file._owned
    assert inner.closed
    stream = io.BytesIO(encoded)
    evc.open(stream).close()
    assert not stream.closed
    before = len(list((folder).iterdir()))
    with pytest.raises(EvcError):
        evc.open(folder / "track.wav")
    assert len(list(folder.iterdir())) == before


def test_files_may_be_read_in_several_threads(folder, whole):
    def part(start):
        with evc.open(folder / "track.evc") as file:
            file.seek(start)
            return np.array_equal(file.read(20_000), whole[start : start + 20_000])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(part, range(0, 140_000, 20_000)))


def streams_file(parts, layers, patterns=()):
    """A file of segments whose streams are `parts`: [(kind, stream), ...] for each segment, which depends on all those
    before it."""
    from evc.format.coder import SymbolEncoder
    from evc.format.decoding import stream_context
    from evc.format.header import Header, NetworkReference
    from evc.format.reader import ContainerReader
    from evc.format.segment import Dictionary, Segment, StreamData
    from evc.format.streams import StreamContext
    from evc.format.writer import ContainerWriter

    frames = len(parts) * 1024
    networks = (NetworkReference("example", bytes(8)),) if "events" in layers else ()
    header = Header(
        8000, 1, frames, layers=layers, segment_frames=1024, reference_depth=9, reference_span=9, networks=networks
    )

    def coded(kind, stream, context):
        encoder = SymbolEncoder()
        stream.write(encoder, context)
        result = encoder.finish()
        return StreamData(kind, result.words, result.symbols, result.checksum)

    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        if patterns:
            from evc.format.streams.dictionary import DictionaryStream

            context = StreamContext(8000, 1, frames, header.phase_bits, len(patterns))
            stream = coded(c.STREAM_DICTIONARY, DictionaryStream(list(patterns)), context)
            writer.add_dictionary(Dictionary(0, len(patterns), (stream,)))
        context = StreamContext(8000, 1, 1024, header.phase_bits, len(patterns), networks=networks)
        for index, streams in enumerate(parts):
            data = tuple(coded(kind, stream, context) for kind, stream in streams)
            writer.add_segment(Segment(index, tuple(range(index)), data))
    assert stream_context(ContainerReader(target), 0) == context
    return target


def test_events_of_all_segments_form_one_list():
    from evc.format.streams.events import EventStream

    pitches = np.array([[4000, *[0] * 15], [4100, *[0] * 15]])
    first = EventStream(np.array([32, 48]), np.array([-40, 0]), np.array([4, -8]), pitches, pan_steps=8)
    second = EventStream(np.array([64]), np.array([1]), np.zeros(1, np.int64), np.array([[77, 2]]), (8192, 3))
    target = streams_file([[(c.STREAM_EVENTS, first)], [(c.STREAM_EVENTS, second)]], ("events",))
    with evc.open(target) as file:
        assert file.layers == ("events",)
        events = file.events
        assert events.times.tolist() == [1 / 8000, 1.5 / 8000, 1026 / 8000]
        assert events.phases[1] == pytest.approx(-1)
        assert events.amplitudes == pytest.approx([1e-3, 1, 10 ** (1.5 / 20)])
        assert events.pans.tolist() == [0.5, -1, 0]
        assert events.codes.tolist() == [*pitches.tolist(), [77, 2, *[-1] * 14]]
        assert events.notes == pytest.approx([62.5, 64.0625, 77 / 64])
        with pytest.raises(UnsupportedError, match="not installed: example"):
            events.vectors  # noqa: B018
        assert [layer.name for layer in file.stats().layers] == ["events"]
        file.verify()


def test_patterns_and_occurrences_form_arrays():
    from evc.format.streams.dictionary import Excerpt
    from evc.format.streams.gains import Gains
    from evc.format.streams.occurrences import OccurrenceStream

    def column(*values):
        return np.array(values, np.int64)

    zero = column(0, 0)
    stream = OccurrenceStream(
        times=column(0, 3200), patterns=column(1, 0), lags=zero, offsets=zero, lengths=zero, inverted=zero,
        shifts=zero, rotations=zero, placed=Gains(np.zeros((2, 1, 1), np.int64)),
    )  # fmt: skip
    patterns = (Excerpt(100, 200), Excerpt(500, 50))
    target = streams_file([[], [], [], [(c.STREAM_OCCURRENCES, stream)]], ("patterns",), patterns)
    with evc.open(target) as file:
        assert file.patterns["kind"].tolist() == ["excerpt", "excerpt"]
        assert file.patterns["start"].tolist() == [100 / 8000, 500 / 8000]
        assert file.occurrences["pattern"].tolist() == [1, 0]
        assert file.occurrences["frame"].tolist() == [3 * 1024, 3 * 1024 + 100]
        assert {layer.name for layer in file.stats().layers} == {"patterns", "dictionary"}
    assert evc.info(target).patterns == 2


def test_files_that_need_a_network_name_it_before_any_audio():
    from evc.format.header import Header, NetworkReference
    from evc.format.writer import ContainerWriter

    network = NetworkReference("drums-1", bytes(8))
    target = io.BytesIO()
    header = Header(8000, 1, 0, layers=("events",), networks=(network,))
    with ContainerWriter(target, header):
        pass
    assert evc.info(target).networks == ("drums-1",)
    with evc.open(target) as file:
        assert file.networks == (network,) and len(file.events) == 0
        with pytest.raises(UnsupportedError, match="networks that are not installed: drums-1"):
            file.read()
