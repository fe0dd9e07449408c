"""Chunks: literal bytes, strict walking, salvage."""

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.binary import ByteReader, varint
from evc.format.container import ChunkReader, check_signature, chunk_bytes
from evc.format.errors import DamagedError, EvcError, FormatError, InputError

HEAD = chunk_bytes(b"HEAD", b"header")
END = chunk_bytes(b"END ", b"")


def file_of(*chunks: bytes) -> bytes:
    return c.SIGNATURE + b"".join(chunks)


def types(data: bytes, salvage: bool = False) -> list[bytes]:
    return [place.type for place in ChunkReader(io.BytesIO(data), salvage).chunks]


def intact(data: bytes) -> list[bytes]:
    """Raw bytes of the chunks salvage finds."""
    reader = ChunkReader(io.BytesIO(data), salvage=True)
    return [reader.raw(place) for place in reader.chunks]


def raw_chunk(type: bytes, flags: int, length: int, payload: bytes) -> bytes:
    body = type + bytes([flags]) + length.to_bytes(4, "little") + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_literal_bytes():
    assert c.SIGNATURE == bytes.fromhex("89 45 56 43 0d 0a 1a 0a")
    assert chunk_bytes(b"END ", b"") == bytes.fromhex("454e4420 01 00000000 d5ff93c4")
    assert chunk_bytes(b"abcd", b"\x01\x02", critical=False) == bytes.fromhex(
        "61626364 00 02000000 0102 1fce5da4"
    )


@pytest.mark.parametrize(
    ("value", "coded"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), ((1 << 64) - 1, "ffffffffffffffffff01")],
)
def test_varint_bytes(value, coded):
    assert varint(value).hex() == coded
    assert ByteReader(bytes.fromhex(coded), "test").varint() == value


@given(st.integers(0, (1 << 64) - 1))
def test_varint_round_trip(value):
    reader = ByteReader(varint(value), "test")
    assert reader.varint() == value
    reader.finish()


@pytest.mark.parametrize("coded", ["", "80", "8000", "ffffffffffffffffff02", "ffffffffffffffffffff01"])
def test_varint_refuses(coded):
    with pytest.raises(FormatError):
        ByteReader(bytes.fromhex(coded), "test").varint()


def test_varint_out_of_range():
    for value in (-1, 1 << 64):
        with pytest.raises(ValueError):
            varint(value)


def test_byte_reader_refuses_what_is_left():
    with pytest.raises(FormatError, match="too many"):
        ByteReader(b"\x00", "test").finish()


def test_walk():
    data = file_of(HEAD, chunk_bytes(b"SEGM", b"one"), chunk_bytes(b"note", b"", critical=False), END)
    reader = ChunkReader(io.BytesIO(data))
    assert [(p.type, p.critical, p.offset, p.length) for p in reader.chunks] == [
        (b"HEAD", True, 8, 6),
        (b"SEGM", True, 27, 3),
        (b"note", False, 43, 0),
        (b"END ", True, 56, 0),
    ]
    assert reader.payload(reader.chunks[1]) == b"one"
    assert reader.raw(reader.chunks[0]) == HEAD
    assert not reader.damage


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVE", b"\x89EVC\r\n\x1a"])
def test_not_evc(data):
    with pytest.raises(FormatError):
        ChunkReader(io.BytesIO(data))


@pytest.mark.parametrize("mangled", [b"\x89EVC\n\x1a\n\0", b"\x09EVC\r\n\x1a\n", b"\x89EVC\r\r\n\x1a"])
def test_text_mode_damage_is_named(mangled):
    with pytest.raises(FormatError, match="text mode"):
        check_signature(mangled)


@pytest.mark.parametrize(
    ("broken", "error", "message"),
    [
        (raw_chunk(b"SE\x00M", 1, 0, b""), DamagedError, "no chunk"),
        (raw_chunk(b"SEGM", 2, 0, b""), DamagedError, "no chunk"),
        (raw_chunk(b"SEGM", 0, 0, b""), DamagedError, "wrong flags"),
        (raw_chunk(b"TAGS", 1, 0, b""), DamagedError, "wrong flags"),
        (raw_chunk(b"SEGM", 1, c.MAX_CHUNK_BYTES + 1, b""), FormatError, "more than is allowed"),
        (raw_chunk(b"SEGM", 1, 1000, b""), DamagedError, "past its end"),
    ],
)
def test_strict_refuses(broken, error, message):
    with pytest.raises(error, match=message):
        ChunkReader(io.BytesIO(file_of(HEAD, broken, END)))


def test_bytes_behind_the_end_do_not_belong_to_the_file():
    whole = file_of(HEAD, END)
    reader = ChunkReader(io.BytesIO(whole + whole))
    assert (reader.size, reader.trailing) == (len(whole), len(whole)) and len(reader.chunks) == 2
    assert ChunkReader(io.BytesIO(whole)).trailing == 0


def test_strict_refuses_a_missing_end():
    with pytest.raises(DamagedError, match="cut short"):
        ChunkReader(io.BytesIO(file_of(HEAD)))


def test_chunk_count_is_limited(monkeypatch):
    monkeypatch.setattr(c, "MAX_CHUNKS", 3)
    data = file_of(HEAD, *[chunk_bytes(b"note", b"", critical=False)] * 5, END)
    with pytest.raises(FormatError, match="more than 3 chunks"):
        ChunkReader(io.BytesIO(data))
    assert len(types(data, salvage=True)) == 3


def test_payload_checks_the_crc():
    data = bytearray(file_of(HEAD, END))
    data[8 + 9] ^= 1
    reader = ChunkReader(io.BytesIO(bytes(data)))
    with pytest.raises(DamagedError, match="HEAD chunk at byte 8 is damaged"):
        reader.payload(reader.chunks[0])


@pytest.mark.parametrize(("type", "critical"), [(b"abc", True), (b"ab\x00d", True), (b"abcd", None)])
def test_writing_refuses_bad_types(type, critical):
    with pytest.raises(InputError):
        chunk_bytes(type, b"", critical)


def test_writing_refuses_long_payloads(monkeypatch):
    monkeypatch.setattr(c, "MAX_CHUNK_BYTES", 10)
    with pytest.raises(InputError, match="over the limit"):
        chunk_bytes(b"SEGM", bytes(11))


def test_input_must_seek():
    class Pipe(io.RawIOBase):
        pass

    with pytest.raises(InputError, match="seek"):
        ChunkReader(Pipe())


def test_short_reads_are_continued():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 3) if size > 0 else size)

    data = file_of(HEAD, chunk_bytes(b"SEGM", bytes(range(100))), END)
    reader = ChunkReader(Slow(data))
    assert reader.payload(reader.chunks[1]) == bytes(range(100))
    assert [p.type for p in ChunkReader(Slow(data), salvage=True).chunks] == [b"HEAD", b"SEGM", b"END "]


EQUAL = [chunk_bytes(b"SEGM", bytes([i, 0, 0])) for i in range(6)]


@pytest.mark.parametrize("payloads", [[b"", b"x" * 70, bytes(30), b"SEGM\x01\x00\x00\x00\x00"], None])
def test_any_flip_harms_only_its_chunk(payloads):
    chunks = EQUAL if payloads is None else [chunk_bytes(b"SEGM", p) for p in payloads]
    parts = [c.SIGNATURE, HEAD, *chunks, END]
    data = b"".join(parts)
    owner = [number for number, part in enumerate(parts) for _ in part]
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        hit = owner[bit // 8]
        assert intact(bytes(broken)) == [part for n, part in enumerate(parts) if n not in (0, hit)]


def test_every_cut_keeps_the_chunks_before_it():
    parts = [c.SIGNATURE, HEAD, *EQUAL, END]
    data = b"".join(parts)
    for cut in range(len(data)):
        whole, position = [], 0
        for part in parts:
            position += len(part)
            if position <= cut and part is not c.SIGNATURE:
                whole.append(part)
        assert intact(data[:cut]) == whole
        with pytest.raises(EvcError):
            ChunkReader(io.BytesIO(data[:cut]))


def test_holes_and_strange_bytes_are_reported():
    data = file_of(HEAD) + b"?" * 20 + EQUAL[0] + EQUAL[1][:5] + EQUAL[2] + END + b"tail"
    reader = ChunkReader(io.BytesIO(data), salvage=True)
    assert [reader.raw(p) for p in reader.chunks] == [HEAD, EQUAL[0], EQUAL[2], END]
    start = len(c.SIGNATURE) + len(HEAD)
    assert [(d.start, d.end) for d in reader.damage] == [
        (start, start + 20),
        (start + 36, start + 41),
        (len(data) - 4, len(data)),
    ]


def test_embedded_chunks_of_a_damaged_chunk_are_not_taken():
    outer = bytearray(chunk_bytes(b"copy", file_of(HEAD, EQUAL[3], END), critical=False))
    outer[-1] ^= 1
    assert intact(file_of(HEAD, bytes(outer), EQUAL[0], END)) == [HEAD, EQUAL[0], END]
    assert intact(file_of(HEAD, EQUAL[0], bytes(outer))) == [HEAD, EQUAL[0]]


def test_salvage_finds_chunks_across_windows():
    gap = b"\xff" * ((1 << 20) - len(HEAD) - 3)
    for extra in range(12):
        data = file_of(HEAD) + gap + b"\xff" * extra + EQUAL[0] + END
        assert intact(data) == [HEAD, EQUAL[0], END]


def test_salvage_of_false_headers_is_bounded():
    class Counting(io.BytesIO):
        count = 0

        def read(self, size=-1):
            data = super().read(size)
            self.count += len(data)
            return data

    false = b"SEGM\x01" + (1 << 19).to_bytes(4, "little") + b"...."
    file = Counting(c.SIGNATURE + false * 80_000)
    assert ChunkReader(file, salvage=True).chunks == []
    assert file.count < 12 * len(file.getbuffer()) + c.MAX_CHUNK_BYTES


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes(data, signed):
    data = c.SIGNATURE + data if signed else data
    with pytest.raises(EvcError):
        ChunkReader(io.BytesIO(data))
    reader = ChunkReader(io.BytesIO(data), salvage=True)
    covered = sum(p.size for p in reader.chunks) + sum(d.end - d.start for d in reader.damage)
    assert covered + len(c.SIGNATURE) * (reader.signature == c.SIGNATURE) == len(data)
