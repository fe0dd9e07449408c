"""The HEAD chunk (spec 3.1, 3.2): what a file is, and which networks it needs."""

from __future__ import annotations

from dataclasses import dataclass

from evc.format import constants as c
from evc.format.binary import ByteReader
from evc.format.errors import FormatError, InputError, UnsupportedError

NETWORK_DIGEST_BYTES = 8
_MASK_OFFSET = 16  # of the layer mask in HEAD
_SUBTYPE_CODES = {name: code for code, name in c.SUBTYPES.items()}


@dataclass(frozen=True, slots=True)
class NetworkReference:
    """A network the decoder needs: its id and the first 8 bytes of its weights' SHA-256."""

    id: str
    digest: bytes

    def __post_init__(self) -> None:
        printable = self.id.isascii() and self.id.isprintable() and " " not in self.id
        if not printable or not 1 <= len(self.id) <= 255:
            raise InputError(f"network id {self.id!r} is not 1 to 255 printable ASCII characters")
        if len(self.digest) != NETWORK_DIGEST_BYTES:
            raise InputError(f"network {self.id} needs {NETWORK_DIGEST_BYTES} bytes of its SHA-256")


@dataclass(frozen=True)
class Header:
    """The HEAD chunk. Any value that breaks a limit raises InputError when the object is made.

    frames           exact length per channel, a loop's overlap included; None while a writer does not know it yet
    subtype          sample format of the source, a soundfile name such as "PCM_16"
    layers           names out of `constants.LAYERS`, kept in that order
    segment_frames   length of every segment but the last, a multiple of the superframe;
                     0 stands for the default of the sample rate
    phase_bits       fraction bits of the times of events and occurrences
    reference_depth  longest chain of segment dependencies; 0: all segments are independent
    reference_span   how many segments back a dependency reaches at most
    loop             whether the first frame follows upon the last
    chained          whether another link of the file follows (spec 4.6)
    extra            fields that a later minor version appended, kept as they are
    """

    samplerate: int
    channels: int
    frames: int | None
    subtype: str = "PCM_16"
    layers: tuple[str, ...] = ()
    segment_frames: int = 0
    phase_bits: int = c.DEFAULT_PHASE_BITS
    reference_depth: int = 0
    reference_span: int = 0
    networks: tuple[NetworkReference, ...] = ()
    minor: int = c.VERSION_MINOR
    loop: bool = False
    chained: bool = False
    extra: bytes = b""

    def __post_init__(self) -> None:
        _within("sample rate", self.samplerate, c.MIN_SAMPLERATE, c.MAX_SAMPLERATE)
        _within("number of channels", self.channels, c.MIN_CHANNELS, c.MAX_CHANNELS)
        if self.segment_frames == 0:
            object.__setattr__(self, "segment_frames", c.default_segment_frames(self.samplerate))
        superframe = c.superframe_length(self.samplerate)
        longest = superframe * c.MAX_SUPERFRAMES_PER_SEGMENT
        _within("segment length", self.segment_frames, superframe, longest)
        if self.segment_frames % superframe:
            raise InputError(f"segment length {self.segment_frames} is not a multiple of {superframe}")
        if self.frames is not None:
            _within("number of frames", self.frames, 0, c.MAX_FRAMES)
            _within("number of segments", self.segments, 0, c.MAX_SEGMENTS)
            if self.loop and self.frames <= self.loop_overlap:
                raise InputError(f"a loop of {self.frames} frames has nothing before its overlap")
        if self.subtype not in _SUBTYPE_CODES:
            raise InputError(f"subtype {self.subtype!r} is none of {', '.join(_SUBTYPE_CODES)}")
        if unknown := set(self.layers) - set(c.LAYERS):
            raise InputError(f"unknown layers: {', '.join(sorted(unknown))}")
        object.__setattr__(self, "layers", tuple(name for name in c.LAYERS if name in self.layers))
        if c.LAYERS[c.STREAM_LATENT] in self.layers:
            _within("number of channels beside latents", self.channels, c.MIN_CHANNELS, c.MAX_LATENT_CHANNELS)
            if self.segment_frames % c.LATENT_HOP:
                raise InputError(f"segment length {self.segment_frames} is no whole number of columns of latents")
        _within("phase resolution", self.phase_bits, 0, c.MAX_PHASE_BITS)
        _within("dependency depth", self.reference_depth, 0, c.MAX_REFERENCE_DEPTH)
        _within("dependency span", self.reference_span, 0, c.MAX_SEGMENTS)
        if bool(self.reference_depth) != bool(self.reference_span):
            raise InputError("dependency depth and span must both be zero or both be positive")
        _within("number of networks", len(self.networks), 0, c.MAX_NETWORKS)
        if len({network.id for network in self.networks}) < len(self.networks):
            raise InputError("a network is named twice")
        if len(self.networks) < len(c.NETWORK_LAYERS & set(self.layers)):
            raise InputError("events, timbres and latents need a network each")
        _within("minor version", self.minor, 0, 255)
        if self.extra and self.minor == 0:
            raise InputError("version 1.0 has no fields behind the networks")

    @property
    def version(self) -> str:
        return f"{c.VERSION_MAJOR}.{self.minor}"

    @property
    def segments(self) -> int:
        """Number of segments of the whole file; `frames` must be known."""
        return -(-self.known_frames // self.segment_frames)

    @property
    def known_frames(self) -> int:
        """`frames`, or InputError where it is not known."""
        if self.frames is None:
            raise InputError("the length of this file is not known yet")
        return self.frames

    @property
    def loop_overlap(self) -> int:
        """Frames of a loop's start that are coded once more behind its end (spec 10.6)."""
        return c.loop_overlap(self.samplerate) if self.loop else 0

    @property
    def sound_frames(self) -> int:
        """Length of the sound: all frames but a loop's overlap."""
        return self.known_frames - self.loop_overlap

    def segment_span(self, index: int) -> tuple[int, int]:
        """First frame and number of frames of a segment (full length while `frames` is unknown)."""
        start = index * self.segment_frames
        if self.frames is None:
            return start, self.segment_frames
        return start, max(0, min(self.segment_frames, self.frames - start))

    def write(self) -> bytes:
        """Payload of HEAD."""
        frames = c.FRAMES_UNKNOWN if self.frames is None else self.frames
        mask = sum(1 << bit for bit, name in enumerate(c.LAYERS) if name in self.layers)
        mask |= self.loop << c.LOOP_BIT | self.chained << c.CHAIN_BIT
        fields = (
            (c.VERSION_MAJOR, 1),
            (self.minor, 1),
            (self.samplerate, 4),
            (self.channels, 1),
            (frames, 8),
            (_SUBTYPE_CODES[self.subtype], 1),
            (mask, 1),
            (self.segment_frames, 4),
            (self.phase_bits, 1),
            (self.reference_depth, 1),
            (self.reference_span, 4),
            (len(self.networks), 1),
        )
        out = b"".join(value.to_bytes(width, "little") for value, width in fields)
        for network in self.networks:
            out += bytes([len(network.id)]) + network.id.encode("ascii") + network.digest
        return out + self.extra

    @classmethod
    def read(cls, payload: bytes) -> Header:
        """Raises UnsupportedError for another major version, FormatError for anything malformed."""
        reader = ByteReader(payload, "header")
        major = reader.unsigned(1)
        if major != c.VERSION_MAJOR:
            raise UnsupportedError(
                f"the file has format version {major}; this reader knows {c.VERSION_MAJOR}"
            )
        minor = reader.unsigned(1)
        samplerate = reader.unsigned(4)
        channels = reader.unsigned(1)
        frames = reader.unsigned(8)
        subtype = c.SUBTYPES.get(code := reader.unsigned(1), f"number {code}")
        mask = reader.unsigned(1)
        segment_frames = reader.unsigned(4)
        if segment_frames == 0:
            raise FormatError("header gives segments no length")
        try:
            return cls(
                samplerate=samplerate,
                channels=channels,
                frames=None if frames == c.FRAMES_UNKNOWN else frames,
                subtype=subtype,
                layers=tuple(name for bit, name in enumerate(c.LAYERS) if mask >> bit & 1),
                segment_frames=segment_frames,
                phase_bits=reader.unsigned(1),
                reference_depth=reader.unsigned(1),
                reference_span=reader.unsigned(4),
                networks=_read_networks(reader),
                minor=minor,
                loop=bool(mask >> c.LOOP_BIT & 1),
                chained=bool(mask >> c.CHAIN_BIT & 1),
                extra=reader.take(reader.remaining),
            )
        except InputError as error:
            raise FormatError(f"header: {error}") from error


def with_chain(payload: bytes, chained: bool) -> bytes:
    """The payload of HEAD with the bit that says whether another link follows; all else as it is."""
    changed = bytearray(payload)
    changed[_MASK_OFFSET] = payload[_MASK_OFFSET] & ~(1 << c.CHAIN_BIT) | chained << c.CHAIN_BIT
    return bytes(changed)


def _read_networks(reader: ByteReader) -> tuple[NetworkReference, ...]:
    count = reader.unsigned(1)
    networks = []
    for _ in range(min(count, c.MAX_NETWORKS)):
        name = reader.take(reader.unsigned(1)).decode("ascii", "replace")
        networks.append(NetworkReference(name, reader.take(NETWORK_DIGEST_BYTES)))
    if count > c.MAX_NETWORKS:
        raise FormatError(f"header names {count} networks; {c.MAX_NETWORKS} are allowed")
    return tuple(networks)


def _within(what: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InputError(f"{what} is {value}, outside {lowest} to {highest}")
