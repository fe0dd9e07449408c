"""`Chain`: a whole file, which is a chain of links, each of the form of a file; nearly always it is one link
(spec 4.6)."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import BinaryIO

from evc.format import constants as c
from evc.format.edits import EditList, Stretch
from evc.format.errors import SALVAGE, DamagedError, EvcWarning, FormatError
from evc.format.header import NetworkReference
from evc.format.reader import ContainerReader
from evc.format.sharing import PositionedFile


class Chain:
    """Reads a seekable binary file; the caller closes it.

    links   one reader for each link; the first has the tags, pictures and foreign chunks of the file
    starts  where each begins on the coded timeline, in frames
    frames  length of the coded timeline
    edits   what is played of it, all of it where `edited` is False (spec 3.7)
    promised_frames  length of what is played, before salvage mode shortened it; 0 where it is not known

    Raises what a ContainerReader raises. In salvage mode EvcWarnings tell of links that are missing, and of a damaged
    edit list.
    """

    def __init__(self, file: BinaryIO, salvage: bool = False) -> None:
        name = getattr(file, "name", None)
        self._where = f"{name}: " if isinstance(name, str) else ""
        self.salvage = salvage
        self.links = tuple(self._read_links(PositionedFile(file)))
        *self.starts, self.frames = accumulate((link.header.sound_frames for link in self.links), initial=0)
        if self.frames > c.MAX_FRAMES or sum(len(link.chunks) for link in self.links) > c.MAX_CHUNKS:
            raise FormatError("the links of the file are longer than one file may be")
        self.edited, self.edits, self.promised_frames = self._played()
        if any(link.adaptation_damaged for link in self.links):
            warnings.warn(
                f"{self._where}what the file changes of its network is damaged: latents sound as without",
                EvcWarning, stacklevel=4,
            )  # fmt: skip

    @property
    def loop(self) -> bool:
        """Whether the first frame that is played follows upon the last (spec 3.7)."""
        return len(self.links) == 1 and self.links[0].header.loop and self.edits.closes(self.frames)

    @property
    def file_bytes(self) -> int:
        """Of the whole file; what follows the last end marker is no part of it."""
        return sum(link.file_bytes for link in self.links)

    @property
    def adapted_bytes(self) -> int:
        """Of all chunks that adapt a network (spec 3.8); 0 where there is none."""
        return sum(place.size for link in self.links for place in link.chunks if place.type == c.CHUNK_NETW)

    @property
    def layers(self) -> tuple[str, ...]:
        """Those that any link has."""
        return tuple(name for name in c.LAYERS if any(name in link.header.layers for link in self.links))

    @property
    def networks(self) -> tuple[NetworkReference, ...]:
        """Those that any link needs."""
        return tuple(dict.fromkeys(network for link in self.links for network in link.header.networks))

    def pieces(self, start: int, frames: int) -> Iterator[tuple[int, Stretch]]:
        """The link of each part of frames [start, start + frames) of the coded timeline, and its frames there."""
        number, end = bisect_right(self.starts, start) - 1, start + frames
        while start < end:
            begin = self.starts[number]
            stop = min(end, begin + self.links[number].header.sound_frames)
            if start < stop:
                yield number, Stretch(start - begin, stop - start)
            start, number = stop, number + 1

    def _read_links(self, file: PositionedFile) -> Iterator[ContainerReader]:
        link = ContainerReader(file, self.salvage)
        count = 1
        yield link
        while link.header.chained:
            if count == c.MAX_LINKS:
                raise FormatError(f"more than {c.MAX_LINKS} links")
            try:
                link = _next_link(file, link)
            except (DamagedError, FormatError):
                if not self.salvage:
                    raise
                self._warn(f"all that follows link {count} of the file is lost")
                return
            count += 1
            yield link

    def _played(self) -> tuple[bool, EditList, int]:
        """Whether there is an edit list, what is played, and how much of it there should be."""
        promised = sum(link.promised_frames for link in self.links)
        edits = self.links[0].edits
        try:
            if edits is not None:
                edits.check(max(promised, self.frames))
        except FormatError:
            if not self.salvage:
                raise
            edits = None
        if edits is None:
            if self.links[0].edits is not None or self.links[0].edits_damaged:
                self._warn("the edit list is damaged: all that is coded is played, in the order of its coding")
            return False, EditList.whole(self.frames), promised
        return True, edits.within(self.frames), edits.within(promised).frames

    def _warn(self, text: str) -> None:
        warnings.warn(self._where + text, EvcWarning, stacklevel=5)


def _next_link(file: PositionedFile, before: ContainerReader) -> ContainerReader:
    """The link behind another. Raises DamagedError if there is none."""
    if before.start + before.file_bytes >= file.size:
        raise DamagedError("the file is cut short: another link should follow", helps=SALVAGE)
    link = ContainerReader(file, before.salvage, before)
    if (link.header.samplerate, link.header.channels) != (before.header.samplerate, before.header.channels):
        raise FormatError("the links of the file differ in sample rate or channels")
    return link
