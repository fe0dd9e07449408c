"""The EDIT chunk (spec 3.7): which stretches of the coded timeline are played, and in what order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from evc.format import constants as c
from evc.format.binary import ByteReader, varint
from evc.format.errors import FormatError, InputError
from evc.format.header import Header


class Stretch(NamedTuple):
    """Frames [start, start + frames) of the coded timeline."""

    start: int
    frames: int

    @property
    def end(self) -> int:
        return self.start + self.frames


class EditList:
    """The stretches that a file plays, one after the other: all of the coded timeline where it has no EDIT chunk."""

    def __init__(self, stretches: Iterable[Stretch]) -> None:
        self.stretches = tuple(stretches)
        self._ends = list(accumulate(stretch.frames for stretch in self.stretches))

    @classmethod
    def whole(cls, frames: int) -> EditList:
        """All of a coded timeline of `frames`."""
        return cls([Stretch(0, frames)] if frames else [])

    def check(self, frames: int) -> None:
        """Raise FormatError unless all stretches lie within a coded timeline of `frames`."""
        for stretch in self.stretches:
            if stretch.end > frames:
                raise FormatError(_outside(stretch, frames))

    @property
    def frames(self) -> int:
        """Length of what is played."""
        return self._ends[-1] if self._ends else 0

    def within(self, frames: int) -> EditList:
        """What is left of it where the coded timeline ends after `frames`."""
        left = (Stretch(start, min(start + length, frames) - start) for start, length in self.stretches)
        return EditList(stretch for stretch in left if stretch.frames > 0)

    def pieces(self, start: int, frames: int) -> Iterator[Stretch]:
        """The stretches of the coded timeline that are played from frame `start` on, for `frames`, which lie inside."""
        number, end = bisect_right(self._ends, start), start + frames
        while start < end:
            stretch, behind = self.stretches[number], self._ends[number]
            stop = min(end, behind)
            yield Stretch(stretch.end - (behind - start), stop - start)
            start, number = stop, number + 1

    def played(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
        """Where `spans` of the coded timeline, [begin, end) ascending and apart from each other, are played: begin,
        end and which span it is, in playing order."""
        begins, ends = [begin for begin, _ in spans], [end for _, end in spans]
        for stretch, behind in zip(self.stretches, self._ends, strict=True):
            moved = behind - stretch.end
            number = bisect_right(ends, stretch.start)
            while number < len(spans) and begins[number] < stretch.end:
                begin, end = max(begins[number], stretch.start), min(ends[number], stretch.end)
                yield begin + moved, end + moved, number
                number += 1

    def closes(self, frames: int) -> bool:
        """Whether its end leads to its start in a loop of `frames`."""
        return bool(self.stretches) and self.stretches[-1].end % frames == self.stretches[0].start


def write_edits(stretches: Sequence[Stretch], coded: int, segment_frames: int) -> bytes:
    """Payload of EDIT, for a coded timeline of `coded` frames. Raises InputError for stretches that break a limit or
    lie outside."""
    _check_count(len(stretches))
    out = varint(len(stretches))
    at = played = 0
    for stretch in stretches:
        played = _checked(stretch, played, coded, segment_frames)
        distance = stretch.start - at
        out += varint(2 * distance if distance >= 0 else -2 * distance - 1) + varint(stretch.frames)
        at = stretch.end
    return out


def read_edits(payload: bytes, header: Header) -> EditList:
    """Raises FormatError for anything malformed. How long a chain is only its links tell (`EditList.check`)."""
    reader = ByteReader(payload, "edit list")
    stretches: list[Stretch] = []
    coded = c.MAX_FRAMES if header.frames is None or header.chained else header.sound_frames
    at = played = 0
    try:
        count = reader.varint()
        _check_count(count)
        for _ in range(count):
            distance = reader.varint()
            start = at + (-(distance + 1 >> 1) if distance & 1 else distance >> 1)
            stretch = Stretch(start, reader.varint())
            played = _checked(stretch, played, coded, header.segment_frames)
            stretches.append(stretch)
            at = stretch.end
    except InputError as error:
        raise FormatError(str(error)) from error
    reader.finish()
    return EditList(stretches)


def _check_count(count: int) -> None:
    if not 1 <= count <= c.MAX_STRETCHES:
        raise InputError(f"an edit list has {count} stretches, outside 1 to {c.MAX_STRETCHES}")


def _checked(stretch: Stretch, played: int, coded: int, segment_frames: int) -> int:
    """The length of what is played with `stretch`, behind `played` frames."""
    if stretch.frames < 1:
        raise InputError("an edit list has a stretch without frames")
    if not 0 <= stretch.start <= stretch.end <= coded:
        raise InputError(_outside(stretch, coded))
    longest = min(c.MAX_FRAMES, c.MAX_SEGMENTS * segment_frames)
    if played + stretch.frames > longest:
        raise InputError(f"an edit list plays more than {longest} frames")
    return played + stretch.frames


def _outside(stretch: Stretch, frames: int) -> str:
    return f"an edit list plays frames {stretch.start} to {stretch.end} of {frames}"
