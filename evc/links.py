"""The links of an open file, nearly always one (spec 4.6): what decodes and renders each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from evc.events import EventList
from evc.format.chain import Chain
from evc.format.decoding import SegmentDecoder
from evc.format.edits import Stretch
from evc.format.lazy import cached_property
from evc.format.patterns import Place
from evc.format.reader import ContainerReader
from evc.playback import Player

# A span of the coded timeline that is known to be lost or impaired: [begin, end), the reason, whether it is impaired.
Damage = tuple[int, int, str, bool]
Coded = Callable[[int, int], NDArray[np.float32]]  # first frame and number of frames to audio [channels, frames]

_AWAKE = 2  # links that keep what they have decoded


class Link:
    """One link: its reader, where it begins on the coded timeline, the number that its first segment has in the file,
    and what decodes and renders it, counting frames and segments from there."""

    def __init__(self, container: ContainerReader, start: int) -> None:
        self.container, self.start, self.first = container, start, container.first
        self._known: dict[int, str] = {}

    @cached_property
    def decoder(self) -> SegmentDecoder:
        decoder = SegmentDecoder(self.container)
        decoder.lost.update(self._known)
        return decoder

    @cached_property
    def player(self) -> Player:
        return Player(self.decoder)

    @property
    def seconds(self) -> float:
        """When it begins."""
        return self.start / self.container.header.samplerate

    @property
    def damage(self) -> list[Damage]:
        """What is known of it, in order."""
        header, lost = self.container.header, self.decoder.lost
        impaired = {
            index: f"repeats sound of segment {self.first + other}, which is lost"
            for index, other in self.decoder.impaired().items()
        }
        found = []
        for index, reason in sorted((lost | impaired).items()):
            start, frames = header.segment_span(index)
            end = min(start + frames, header.sound_frames)  # a loop's overlap is no time of its own
            if start < end:
                found.append((self.start + start, self.start + end, reason, index in impaired))
        return found

    def close(self) -> None:
        """Let go of all that is decoded."""
        if "player" in self.__dict__:
            self.player.close()
        self.renew()

    def renew(self) -> None:
        """Begin again, with nothing but what is known to be lost."""
        if "decoder" in self.__dict__:
            self._known = self.decoder.lost
        self.__dict__.pop("decoder", None)
        self.__dict__.pop("player", None)


class Links:
    """All links of a chain. Those used last keep what they have decoded."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._all = [Link(container, start) for container, start in zip(chain.links, chain.starts, strict=True)]
        self._awake: list[int] = []

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, number: int) -> Link:
        if number in self._awake:
            self._awake.remove(number)
        self._awake.append(number)
        if len(self._awake) > _AWAKE:
            self._all[self._awake.pop(0)].close()
        return self._all[number]

    def __iter__(self) -> Iterator[Link]:
        return (self[number] for number in range(len(self)))

    @property
    def damage(self) -> list[Damage]:
        """As `Link.damage`, of all."""
        return [span for link in self._all for span in link.damage]

    def audio(self, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames) of the coded timeline: float32 [channels, frames]."""
        return self._audio(lambda link: link.player, start, frames)

    def chosen(
        self, layers: Collection[str], occurrences: Collection[Place] | None, events: EventList | None
    ) -> Coded:
        """What gives audio as `audio` does, of some layers, occurrences (by the number of the segment in the file) and
        events."""
        last: dict[Link, Player] = {}

        def player(link: Link) -> Player:
            if link not in last:
                own = None if occurrences is None else {(index - link.first, row) for index, row in occurrences}
                moved = None if events is None else events.shifted(-link.seconds)
                last.clear()
                last[link] = Player(link.decoder, layers, own, moved)
            return last[link]

        return partial(self._audio, player)

    def _audio(self, player: Callable[[Link], Player], start: int, frames: int) -> NDArray[np.float32]:
        pieces = list(self._chain.pieces(start, frames)) or [(0, Stretch(0, 0))]
        return in_one((player(self[number]).audio(*piece) for number, piece in pieces), frames)

    def prefetch(self, start: int, end: int) -> None:
        """Unless frame `start` is at hand, render it together with what follows before `end`."""
        number, piece = next(self._chain.pieces(start, end - start))
        self[number].player.prefetch(piece.start, piece.end)

    def close(self) -> None:
        for link in self._all:
            link.close()

    def renew(self) -> None:
        """Begin again behind a fork."""
        for link in self._all:
            link.renew()


def in_one(parts: Iterator[NDArray[np.float32]], frames: int) -> NDArray[np.float32]:
    """Parts of audio [channels, …], at least one and `frames` together, one after the other: [channels, frames]. A
    single one is returned as it is."""
    first = next(parts)
    if first.shape[1] == frames:
        return first
    audio, at = np.empty((len(first), frames), np.float32), 0
    for part in chain((first,), parts):
        audio[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    return audio
