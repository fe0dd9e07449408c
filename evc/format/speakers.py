"""Which speaker each channel belongs to: the mask that files hold (spec 3.4), and the orders of other formats.

Inside an .evc file channels stand in the order of the mask's bits, which is that of WAVE files; readers of other
formats bring them into that order, writers into the order of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evc.format import constants as c
from evc.format.binary import ByteReader
from evc.format.errors import FormatError, InputError

NAMES = c.SPEAKERS

# Order of the channels by their number: FLAC (format specification, "Channels"), and Vorbis I (4.3.9), which Opus
# shares (5.1.1.2 of RFC 7845).
FLAC_ORDER = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
VORBIS_ORDER = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FC", "FR"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FC", "FR", "BL", "BR"),
    6: ("FL", "FC", "FR", "BL", "BR", "LFE"),
    7: ("FL", "FC", "FR", "SL", "SR", "BC", "LFE"),
    8: ("FL", "FC", "FR", "SL", "SR", "BL", "BR", "LFE"),
}
MASK_TAG = "waveformatextensible_channel_mask"  # in FLAC files (RFC 9639, 8.6.2)
# Speakers that formats of one pair behind the listener do not tell apart.
_BEHIND = {"SL": "BL", "SR": "BR"}

# libsndfile's names of speakers (enum of SF_CHANNEL_MAP_* in sndfile.h) by their number there.
_CODES = (
    "", "FC", "FL", "FR", "FC", "FL", "FR", "FC", "BC", "BL", "BR", "LFE", "FLC", "FRC", "SL", "SR", "TC", "TFL", "TFR",
    "TFC", "TBL", "TBR", "TBC",
)  # fmt: skip
_MONO = 1  # a number that libsndfile does not write as part of a mask; of the others that share a name, the first is
_CODE_OF = {name: code for code, name in reversed(list(enumerate(_CODES))) if name and code != _MONO}


@dataclass(frozen=True)
class Layout:
    """The speakers of channels: `mask` of the names in use (bits as in `NAMES`), and `order`: for each channel of the
    file, the channel of the source that it is. Channels beyond the mask's bits have no speaker."""

    mask: int
    order: tuple[int, ...]

    @staticmethod
    def unknown(channels: int) -> Layout:
        return Layout(0, tuple(range(channels)))

    @staticmethod
    def usual(channels: int) -> Layout:
        """That of one or two channels where nothing is said; else unknown."""
        return Layout.of_names(FLAC_ORDER[channels]) if channels < 3 else Layout.unknown(channels)

    @staticmethod
    def of_names(names: Sequence[str]) -> Layout:
        """Of channels whose speakers are named, "" for one that has none. Raises InputError for a name that is none, or
        one that comes twice."""
        used = [name for name in names if name]
        if unknown := [name for name in used if name not in NAMES]:
            raise InputError(f"speaker {unknown[0]!r} is not one of {', '.join(NAMES)}")
        if len(set(used)) < len(used):
            raise InputError(f"a speaker is named twice: {', '.join(names)}")
        ranks = [NAMES.index(name) if name else len(NAMES) for name in names]
        order = sorted(range(len(names)), key=lambda channel: (ranks[channel], channel))
        return Layout(sum(1 << NAMES.index(name) for name in used), tuple(order))


def names_of(mask: int, channels: int) -> tuple[str, ...]:
    """The speaker of each channel of a file with this mask, "" where it has none; () where the mask is 0."""
    if not mask:
        return ()
    used = [name for bit, name in enumerate(NAMES) if mask >> bit & 1]
    return (*used, *[""] * (channels - len(used)))


def usual_mask(channels: int) -> int:
    """What a file of one or two channels has that does not say otherwise; else 0."""
    return Layout.usual(channels).mask


def layout_of_codes(codes: Sequence[int]) -> Layout:
    """The layout that libsndfile's numbers of speakers tell; unknown where they name one twice."""
    names = [_CODES[code] if 0 <= code < len(_CODES) else "" for code in codes]
    try:
        return Layout.of_names(names)
    except InputError:
        return Layout.unknown(len(codes))


def layout_of_tag(value: str | list[str], channels: int) -> Layout | None:
    """The layout that the tag of a FLAC file states (RFC 9639, 8.6.2); None where it says nothing of use."""
    text = value if isinstance(value, str) else (value or [""])[0]
    try:
        mask = int(text.strip(), 16)
    except ValueError:
        return None
    if not 0 < mask < 1 << len(NAMES) or mask.bit_count() != channels:
        return None
    return Layout(mask, tuple(range(channels)))


def tag_of(names: Sequence[str], usual: Sequence[str]) -> str:
    """That tag for a file with these speakers; "" where they are the `usual` ones of its format, or not known."""
    if not names or not all(names) or set(names) == set(usual):
        return ""
    return f"0x{Layout.of_names(names).mask:04X}"


def codes_of(names: Iterable[str]) -> list[int]:
    """libsndfile's numbers of speakers."""
    return [_CODE_OF.get(name, 0) for name in names]


def order_for(names: Sequence[str], order: Sequence[str]) -> tuple[int, ...] | None:
    """For each channel of a format with a fixed `order` of speakers, the channel of a file whose speakers are `names`
    (() where unknown: the usual order of WAVE is assumed); None where the format has not these speakers."""
    if not names:
        names = FLAC_ORDER[len(order)]
    for same in ({}, _BEHIND):
        mine, theirs = ([same.get(name, name) for name in group] for group in (names, order))
        if len(set(mine)) == len(mine) and set(mine) == set(theirs):
            return tuple(mine.index(name) for name in theirs)
    return None


def write_speakers(mask: int, channels: int) -> bytes:
    """Payload of SPKR. Raises InputError for a mask that names no speaker, or more than there are channels."""
    if not _mask_valid(mask, channels):
        raise InputError(f"{mask:#x} is no mask of speakers of {channels} channels")
    return mask.to_bytes(4, "little")


def read_speakers(payload: bytes, channels: int) -> int:
    """The mask; raises FormatError for anything malformed."""
    reader = ByteReader(payload, "speakers")
    mask = reader.unsigned(4)
    reader.finish()
    if not _mask_valid(mask, channels):
        raise FormatError(f"{mask:#x} is no mask of speakers of {channels} channels")
    return mask


def _mask_valid(mask: int, channels: int) -> bool:
    return 0 < mask < 1 << len(c.SPEAKERS) and mask.bit_count() <= channels


def channels_text(channels: int) -> str:
    """How many channels there are, for people."""
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
