"""Which segments a part of a file needs (spec 7.1, 10.5, 10.8, 10.10 to 10.12, 10.14), and which of them repeat sound
that the part lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evc.format import constants as c
from evc.format.edits import Stretch
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.sources import repeats_output
from evc.format.streams.noise import noise_hop
from evc.format.timbres import TIMBRE
from evc.models.events.layer import LONGEST_EVENT
from evc.models.timbre.layer import reach

_LATENT_COLUMNS = 14  # beyond which nothing matters


@dataclass(frozen=True)
class Needs:
    """Of one link of a file, for some of its stretches.

    spans   frames [begin, end) that sound there, or that what sounds there is made of, ascending
    kept    numbers of the segments that stay as they are
    leaning numbers of those that repeat sound of a segment that is not kept: they have to be coded anew
    """

    spans: tuple[tuple[int, int], ...]
    kept: frozenset[int]
    leaning: frozenset[int]

    @property
    def last(self) -> int:
        return max(self.kept | self.leaning)


def needs(container: ContainerReader, stretches: Sequence[Stretch], sources: bool) -> Needs:
    """What `stretches` of a link need, at least one. With `sources` also what these segments repeat, and so on, so that
    none leans on what is gone; and always so where they repeat the finished output, which cannot be coded anew."""
    header = container.header
    spans = _merged(_reaching(header, stretches))
    length = header.segment_frames
    wanted = {index for begin, end in spans for index in range(begin // length, -(-end // length))}
    leaning: set[int] = set()
    repeats = repeats_output(header.layers)
    if sources or repeats:
        before, after = _reach(header) if repeats else (0, 0)
        waiting = list(wanted)
        while waiting:
            for other in container.dependencies(waiting.pop()):
                last = min((other + 1) * length + after, header.known_frames)
                near = set(range(max(0, other * length - before) // length, -(-last // length)))
                waiting += near - wanted
                wanted |= near
    for index in sorted(wanted):
        if any(other not in wanted or other in leaning for other in container.dependencies(index)):
            leaning.add(index)
    return Needs(tuple(spans), frozenset(wanted - leaning), frozenset(leaning))


def touches_seam(header: Header, stretches: Iterable[Stretch]) -> bool:
    """Whether stretches of a loop have frames that are faded in from behind its end (spec 10.6)."""
    return header.loop and any(stretch.start < header.loop_overlap for stretch in stretches)


def _reaching(header: Header, stretches: Sequence[Stretch]) -> list[tuple[int, int]]:
    before, after = _reach(header)
    spans = [(stretch.start, stretch.end) for stretch in stretches]
    if touches_seam(header, stretches):
        spans.append((header.sound_frames, header.known_frames))
    return [(max(0, begin - before), min(end + after, header.known_frames)) for begin, end in spans]


def _reach(header: Header) -> tuple[int, int]:
    """How many frames before and behind it the sound of a frame may come from."""
    superframe, layers = c.superframe_length(header.samplerate), header.layers
    before = after = 0
    if "spectrum" in layers or "patterns" in layers:
        before = after = (3 if "patterns" in layers else 1) * superframe // 2
    if "spectrum" in layers:
        before = after = before + 2 * noise_hop(header.samplerate)  # under an envelope
    if "noise" in layers:
        before, after = max(before, superframe), max(after, superframe)
    if "events" in layers:
        before = max(before, int(LONGEST_EVENT * header.samplerate) + 1)
    if TIMBRE in layers:
        before, after = max(before, reach(header)), max(after, reach(header))
    if "latent" in layers:
        before, after = (each + _LATENT_COLUMNS * c.LATENT_HOP for each in (before, after))
    return before, after


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap or meet as one, ascending."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1]:
            first, last = found.pop()
            begin, end = first, max(last, end)
        found.append((begin, end))
    return found
