"""HEAD and TAGS: literal bytes, round trips, limits."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from evc.format import constants as c
from evc.format.errors import EvcError, FormatError, InputError, UnsupportedError
from evc.format.header import Header, NetworkReference, with_chain
from evc.format.tags import read_tags, write_tags

HEADER = Header(
    samplerate=48_000,
    channels=2,
    frames=1_000_000,
    subtype="PCM_24",
    layers=("spectrum", "patterns"),
    segment_frames=8192,
    phase_bits=5,
    reference_depth=3,
    reference_span=40,
    networks=(NetworkReference("drums-1", bytes(range(8))),),
)
LITERAL = bytes.fromhex(
    "01 00"  # version 1.0
    "80bb0000"  # 48000 Hz
    "02"  # channels
    "40420f0000000000"  # 1000000 frames
    "02"  # PCM_24
    "05"  # patterns and spectrum
    "00200000"  # segments of 8192 frames
    "05"  # phase bits
    "03 28000000"  # dependencies: depth, span
    "01 07 6472756d732d31 0001020304050607"  # one network
)


def test_literal_bytes():
    assert HEADER.write() == LITERAL
    assert Header.read(LITERAL) == HEADER


def test_layers_are_in_order_of_their_bits():
    assert HEADER.layers == ("patterns", "spectrum")


def test_defaults():
    header = Header(44_100, 1, 0)
    assert header.segment_frames == 48 * 4096
    assert header.segments == 0
    assert header.version == "1.0"


@pytest.mark.parametrize(
    ("samplerate", "length"),
    [
        (8_000, 1024),
        (16_000, 1024),
        (16_001, 2048),
        (32_000, 2048),
        (32_001, 4096),
        (64_000, 4096),
        (64_001, 8192),
        (128_000, 8192),
        (128_001, 16384),
        (192_000, 16384),
    ],
)
def test_superframe_length(samplerate, length):
    assert c.superframe_length(samplerate) == length


@pytest.mark.parametrize(("frames", "segments", "last"), [(1, 1, 1), (8192, 1, 8192), (8193, 2, 1)])
def test_segment_spans(frames, segments, last):
    header = replace(HEADER, frames=frames)
    assert header.segments == segments
    assert header.segment_span(segments - 1) == (8192 * (segments - 1), last)
    assert header.segment_span(segments) == (8192 * segments, 0)


def test_unknown_length():
    header = replace(HEADER, frames=None)
    assert header.write()[7:15] == b"\xff" * 8
    assert Header.read(header.write()) == header
    assert header.segment_span(7) == (7 * 8192, 8192)
    with pytest.raises(InputError, match="not known"):
        _ = header.segments


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
networks = st.lists(
    st.builds(NetworkReference, names, st.binary(min_size=8, max_size=8)),
    max_size=c.MAX_NETWORKS,
    unique_by=lambda network: network.id,
)


@st.composite
def headers(draw):
    samplerate = draw(st.integers(c.MIN_SAMPLERATE, c.MAX_SAMPLERATE))
    superframes = draw(st.integers(1, c.MAX_SUPERFRAMES_PER_SEGMENT))
    segment_frames = superframes * c.superframe_length(samplerate)
    minor = draw(st.integers(0, 255))
    depth = draw(st.integers(0, 255))
    channels, named = draw(st.integers(1, 8)), tuple(draw(networks))
    layers = draw(st.sets(st.sampled_from(c.LAYERS)))
    if channels > c.MAX_LATENT_CHANNELS or segment_frames % c.LATENT_HOP:
        layers.discard("latent")
    if len(named) < len(layers & c.NETWORK_LAYERS):
        layers -= c.NETWORK_LAYERS
    return Header(
        samplerate=samplerate,
        channels=channels,
        frames=draw(st.none() | st.integers(0, min(c.MAX_FRAMES, c.MAX_SEGMENTS * segment_frames))),
        subtype=draw(st.sampled_from(list(c.SUBTYPES.values()))),
        layers=tuple(layers),
        segment_frames=segment_frames,
        phase_bits=draw(st.integers(0, c.MAX_PHASE_BITS)),
        reference_depth=depth,
        reference_span=draw(st.integers(1, c.MAX_SEGMENTS)) if depth else 0,
        networks=named,
        minor=minor,
        chained=draw(st.booleans()),
        extra=draw(st.binary(max_size=9)) if minor else b"",
    )


@given(headers())
def test_round_trip(header):
    assert Header.read(header.write()) == header
    assert with_chain(header.write(), not header.chained) == replace(header, chained=not header.chained).write()
    assert with_chain(header.write(), header.chained) == header.write()


@pytest.mark.parametrize(
    "change",
    [
        {"samplerate": 7_999},
        {"samplerate": 192_001},
        {"channels": 0},
        {"channels": 9},
        {"frames": -1},
        {"frames": c.MAX_FRAMES + 1},
        {"frames": c.MAX_SEGMENTS * 8192 + 1},
        {"subtype": "VORBIS"},
        {"layers": ("drums",)},
        {"layers": ("latent",), "channels": 3},
        {"layers": ("latent",), "samplerate": 8000, "segment_frames": 3 * 1024},
        {"layers": ("latent",), "networks": ()},
        {"layers": ("events", "latent")},
        {"segment_frames": 4097},
        {"segment_frames": 4096 * 257},
        {"phase_bits": 17},
        {"reference_depth": 256},
        {"reference_span": c.MAX_SEGMENTS + 1},
        {"reference_depth": 0},
        {"networks": HEADER.networks * 2},
        {"networks": tuple(NetworkReference(str(i), bytes(8)) for i in range(17))},
        {"minor": 256},
        {"extra": b"x"},
    ],
)
def test_limits(change):
    with pytest.raises(InputError):
        replace(HEADER, **change)


@pytest.mark.parametrize(("id", "digest"), [("", bytes(8)), ("a b", bytes(8)), ("é", bytes(8)), ("a", b"")])
def test_network_references_are_checked(id, digest):
    with pytest.raises(InputError):
        NetworkReference(id, digest)


def patched(at, value):
    return LITERAL[:at] + value + LITERAL[at + len(value) :]


@pytest.mark.parametrize(
    "payload",
    [
        patched(2, bytes(4)),  # sample rate 0
        patched(6, b"\x09"),  # nine channels
        patched(7, b"\xfe" + b"\xff" * 7),  # more frames than allowed
        patched(15, b"\x00"),  # no subtype
        patched(16, b"\x12"),  # events and latents with one network
        patched(17, bytes(4)),  # segments of no length
        patched(17, b"\x01\x20\x00\x00"),  # not a multiple of the superframe
        patched(21, b"\x11"),  # phase bits
        patched(22, b"\x00"),  # a span without depth
        patched(27, b"\x11"),  # seventeen networks
        patched(29, b"\xff"),  # a network's name that is not ASCII
        LITERAL + b"\x00",  # fields that 1.0 does not have
    ],
)
def test_malformed(payload):
    with pytest.raises(FormatError):
        Header.read(payload)


def test_too_short():
    for cut in range(len(LITERAL)):
        with pytest.raises(FormatError):
            Header.read(LITERAL[:cut])


def test_major_version_is_refused():
    with pytest.raises(UnsupportedError, match="version 2"):
        Header.read(patched(0, b"\x02"))


def test_minor_version_may_append_and_name_layers():
    later = bytearray(LITERAL + b"new field")
    later[1] = 3
    later[16] |= 0x40
    header = Header.read(bytes(later))
    assert (header.version, header.layers, header.extra) == ("1.3", HEADER.layers, b"new field")


def test_random_bytes():
    """Any bytes, behind as much as one likes of a right header, and any byte within one."""
    came = Counter()

    @given(st.binary(max_size=80), st.integers(0, len(LITERAL)))
    def read(data, kept):
        _read_or_refuse(LITERAL[:kept] + data, came)

    read()
    for place, byte in itertools.product(range(len(LITERAL)), (0, 1, 2, 7, 0x80, 0xFF)):
        _read_or_refuse(patched(place, bytes([byte])), came)
    assert came["read"] > 50 and came["refused"] > 50


def _read_or_refuse(payload, came):
    try:
        header = Header.read(payload)
    except EvcError:
        came["refused"] += 1
    else:
        assert header.write() == payload
        came["read"] += 1


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(texts.filter(bool), texts | st.lists(texts, max_size=4), max_size=8))
def test_tags_round_trip(tags):
    assert read_tags(write_tags(tags)) == tags


@pytest.mark.parametrize("tags", [{"": "x"}, {"title": 1}, {1: "x"}, {"a": ["b", None]}, {"a": "\ud800"}])
def test_tags_that_are_no_text(tags):
    with pytest.raises(InputError):
        write_tags(tags)


def test_tags_limit():
    with pytest.raises(InputError, match="allowed"):
        write_tags({"comment": "x" * c.MAX_TAGS_BYTES})


def packed(text, **options):
    return zstandard.ZstdCompressor(**options).compress(text)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        packed(b""),
        packed(b"[]"),
        packed(b"[" * 100_000),
        packed(b"1" * 10_000),
        packed(b'{"a":1}'),
        packed(b'{"a":NaN}'),
        packed(b'{"a":"\xff"}'),
        packed(b'{"a":"\\ud800"}'),
        packed(b"{}") + b"more",
        packed(b"{}", write_content_size=False),
        packed(b'{"a":"' + bytes(c.MAX_TAGS_BYTES) + b'"}'),
        packed(b'{"a":"b"}')[:-1],
    ],
)
def test_malformed_tags(payload):
    with pytest.raises(FormatError):
        read_tags(payload)


@given(st.binary(max_size=60))
def test_random_tags(data):
    for payload in (data, b"\x28\xb5\x2f\xfd" + data, packed(data)):
        try:
            read_tags(payload)
        except FormatError:
            pass


def test_any_byte_of_tags():
    """Another in its place: what is still read is what can be written."""
    came, right = Counter(), b'{"a":["b","c"],"title":"x"}'
    for place, byte in itertools.product(range(len(right)), range(256)):
        try:
            tags = read_tags(packed(right[:place] + bytes([byte]) + right[place + 1 :]))
        except FormatError:
            came["refused"] += 1
        else:
            assert read_tags(write_tags(tags)) == tags
            came["read"] += 1
    assert came["read"] > 500 and came["refused"] > 500
