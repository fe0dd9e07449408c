"""`EvcFile`: an .evc file as seen from outside, in the manner of python-soundfile.

Opening reads the header and where the chunks lie; segments are read and decoded when something in them is
asked for, and only synthesis imports what makes sound.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.contents import FileContents
from evc.events import EventList
from evc.format.chain import Chain
from evc.format.edits import Stretch
from evc.format.errors import EvcError, InputError
from evc.format.patterns import chosen_places
from evc.format.sharing import Forkable, alone
from evc.links import Coded, Links, in_one
from evc.samples import converted, turned, whole_number
from evc.streaming import open_binary


class EvcFile(Forkable, FileContents):
    """An open .evc file. A context manager.

    `file` is a path or a seekable binary file, which stays open when this object is closed. With `salvage`,
    damage is reported in `damage` instead of raised; what is lost is silence, and what repeats it sounds but for that.

    Threads may share it: their calls take turns. The position is shared as well, so that a `seek` and the `read` behind
    it are only sure to belong together under a lock of the caller's; threads that are to decode at the same time open
    the file once each. After a fork, both processes may use it, each with a position of its own. Opened by path, it can
    be pickled, and is opened again where it is unpickled: a DataLoader of PyTorch may hold one.

    Raises FormatError if it is no EVC file, DamagedError if it is incomplete, UnsupportedError if it needs
    a later version or a network that is not installed, InputError if it cannot be opened.
    """

    def __init__(self, file: str | os.PathLike[str] | BinaryIO, salvage: bool = False) -> None:
        self._owned: BinaryIO | None = None
        self._path: str | None = None
        if isinstance(file, (str, os.PathLike)):
            self._path = os.path.abspath(file)
            file = self._owned = open_binary(file)
        try:
            self.chain = Chain(file, salvage)
        except BaseException:
            self._close_owned()
            raise
        self._position = 0
        self._lock = threading.RLock()
        self._links = Links(self.chain)
        super().__init__()

    def after_fork(self) -> None:
        """The child has a lock that nobody holds, and none of what another thread may just have been changing."""
        self._lock = threading.RLock()
        self._links.renew()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._path is None:
            raise TypeError("a reader of an open file cannot be pickled: open it by path")
        return _reopened, (self._path, self.chain.salvage, self._position)

    @alone
    def verify(self, synthesis: bool = False, progress: Callable[[float, float], None] | None = None) -> None:
        """Check every CRC, the structure, and every symbol against its checksum; with `synthesis` also that
        audio comes out. Raises the first error met; in salvage mode collects into `damage`."""
        for link in self._links:
            if not self.chain.salvage:
                link.container.verify()
            link.decoder.adaptation_account()
            _ = link.decoder.entries  # whether a segment uses them or not
            for index in range(link.container.segments):
                link.decoder.decode([index])
                start, frames = link.container.header.segment_span(index)
                if synthesis and not np.isfinite(link.player.audio(start, frames)).all():
                    raise EvcError(f"segment {link.first + index} decodes to samples that are not finite")
                if progress:
                    done = (link.start + start + frames) / self.samplerate
                    progress(done, self.coded_frames / self.samplerate)

    # --- Audio --------------------------------------------------------------------------------

    @alone
    def read(self, frames: int = -1, dtype: str = "float32", always_2d: bool = False) -> NDArray[Any]:
        """Decode from the current position: at most `frames`, or all that is left if negative.

        Returns [frames] for one channel, else (or with `always_2d`) [frames, channels]. `dtype` is float32
        or float64 with full scale at ±1, or int16 or int32, rounded and clipped. Decodes only the segments
        needed.
        """
        frames = whole_number(frames, "a number of frames")
        left = self.frames - self._position
        count = left if frames < 0 else min(frames, left)
        audio = converted(turned(self._played(self._links.audio, self._position, count)), dtype)
        self._position += count
        return audio[:, 0] if self.channels == 1 and not always_2d else audio

    @alone
    def seek(self, frames: int, whence: int = SEEK_SET) -> int:
        """Move to a frame counted from the start, the current position or the end, by `whence` as for io;
        returns the new position. Raises InputError for what is no whole number, or a place outside the file."""
        frames = whole_number(frames, "a frame")
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self.frames}.get(whence)
        if base is None:
            raise InputError(f"whence is {whence}: SEEK_SET, SEEK_CUR or SEEK_END is expected")
        if not 0 <= base + frames <= self.frames:
            raise InputError(f"frame {base + frames} is outside the file's 0 to {self.frames}")
        self._position = base + frames
        return self._position

    def tell(self) -> int:
        """The current position, in frames."""
        return self._position

    def blocks(
        self,
        blocksize: int,
        overlap: int = 0,
        frames: int = -1,
        dtype: str = "float32",
        always_2d: bool = False,
        loops: int = 1,
    ) -> Iterator[NDArray[Any]]:
        """Blocks of `blocksize` frames from the current position on, each sharing `overlap` frames with the
        one before; the last may be shorter. Memory stays bounded whatever the length of the file.

        With `loops` the file is played so many times: blocks go on from its last frame to its first, and all have their
        full length but for the very last. They do not overlap then, and `frames` are counted over all loops.
        """
        blocksize = whole_number(blocksize, "a number of frames")
        overlap = whole_number(overlap, "a number of frames")
        frames = whole_number(frames, "a number of frames")
        loops = whole_number(loops, "a number of loops")
        if not 0 <= overlap < blocksize:
            raise InputError(f"blocks of {blocksize} frames cannot overlap by {overlap}")
        if loops < 1 or loops > 1 and overlap:
            raise InputError(f"{loops} loops with an overlap of {overlap}: at least one, without overlap, is expected")
        end = self.frames * loops if frames < 0 else min(self.frames * loops, self._position + frames)
        if end > self.frames:
            return self._looped(blocksize, end - self._position, dtype, always_2d)
        return self._blocks(blocksize, overlap, end, dtype, always_2d)

    @alone
    def render(
        self,
        layers: Iterable[str] | None = None,
        occurrences: ArrayLike | None = None,
        events: EventList | ArrayLike | None = None,
        start: int = 0,
        frames: int = -1,
    ) -> NDArray[np.float32]:
        """The file as it sounds with only some of its layers, by name, and only some occurrences: indices into
        `occurrences`, or a mask over them (None: all). float32 [frames, channels]: all that is played, or at most
        `frames` from frame `start` on.

        With `events`, unless layers are named, nothing but events sounds: those of the file that indices into `events`
        or a mask over them choose, or those of another `EventList`.

        Parts add up to the whole: what an occurrence repeats of the file is as it is there, whatever is left out here.
        Raises InputError for layers that the file does not have, and for occurrences and events that are not there.
        """
        first = min(whole_number(start, "a frame"), self.frames)
        left, frames = self.frames - first, whole_number(frames, "a number of frames")
        if first < 0:
            raise InputError(f"frame {first} is outside the file's 0 to {self.frames}")
        return self.rendering(layers, occurrences, events)(first, left if frames < 0 else min(frames, left))

    @alone
    def rendering(
        self,
        layers: Iterable[str] | None = None,
        occurrences: ArrayLike | None = None,
        events: EventList | ArrayLike | None = None,
    ) -> Callable[[int, int], NDArray[np.float32]]:
        """What gives as much as is wanted of what `render` gives: called with a first frame and a number of frames,
        which lie inside the file, it returns float32 [frames, channels]. Memory stays bounded."""
        names = self.layers if layers is None else tuple(layers)
        if unknown := [name for name in names if name not in self.layers]:
            raise InputError(f"the file has no layer {', '.join(unknown)}; it has: {', '.join(self.layers)}")
        rows = None if occurrences is None else chosen_places(self._patterns.places, occurrences)
        if events is not None:
            names = ("events",) if layers is None else names
            events = events if isinstance(events, EventList) else self.events[events]
        chosen = self._links.chosen(names, rows, events)

        def rendered(start: int, frames: int) -> NDArray[np.float32]:
            with self._lock:
                return np.ascontiguousarray(self._played(chosen, start, frames).T)

        return rendered

    @alone
    def pattern_audio(self, pattern: int) -> NDArray[np.float32]:
        """The sound of a pattern, by its index into `patterns`: float32 [frames, channels]. An excerpt is cut from the
        decoded file; a dictionary entry sounds alone. Raises InputError for one that is not there, or lost."""
        count = len(self.patterns)
        if not 0 <= pattern < count:
            raise InputError(f"the file has {count} patterns: there is no pattern {pattern}")
        row = self.patterns[pattern]
        if row["kind"] == "lost":
            raise InputError(f"pattern {pattern} is lost")
        start, frames = int(row["frame"]), int(row["frames"])
        if start >= 0:
            return np.ascontiguousarray(self._links.audio(start, frames).T)
        link = bisect_right(self._patterns.firsts, pattern) - 1
        entry = pattern - self._patterns.firsts[link]
        return np.ascontiguousarray(self._links[link].player.waveform(entry).T)

    def _played(self, coded: Coded, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames) of what is played, float32 [channels, frames], from what `coded` gives of the
        coded timeline."""
        pieces = list(self.chain.edits.pieces(start, frames)) or [Stretch(0, 0)]
        return in_one((coded(*piece) for piece in pieces), frames)

    def _prefetch(self, end: int) -> None:
        """Render some of what is played from the current position on, which is before frame `end`, together."""
        piece = next(self.chain.edits.pieces(self._position, end - self._position))
        self._links.prefetch(piece.start, piece.end)

    def _blocks(
        self, blocksize: int, overlap: int, end: int, dtype: str, always_2d: bool
    ) -> Iterator[NDArray[Any]]:
        while self._position < end:
            with self._lock:
                count = min(blocksize, end - self._position)
                self._prefetch(end)
                block = self.read(count, dtype, always_2d)
            yield block
            if self._position < end:
                self._position -= overlap

    def _looped(self, blocksize: int, frames: int, dtype: str, always_2d: bool) -> Iterator[NDArray[Any]]:
        """`frames` from the current position on, over the end to the start as often as it takes."""
        while frames > 0:
            parts, missing = [], min(blocksize, frames)
            frames -= missing
            while missing:
                with self._lock:
                    if self._position == self.frames:
                        self._position = 0
                    self._prefetch(self.frames)
                    parts.append(self.read(missing, dtype, always_2d))
                missing -= len(parts[-1])
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)

    # --- Housekeeping -------------------------------------------------------------------------

    @alone
    def close(self) -> None:
        """Release the file, if this object opened it, and the decoded segments."""
        self._links.close()
        self._close_owned()

    def __enter__(self) -> EvcFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.frames

    def __repr__(self) -> str:
        return (
            f"EvcFile({self.duration:.3f} s, {self.samplerate} Hz, {self.channels} channels, "
            f"layers {', '.join(self.layers) or 'none'})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: a player of the first half minute, and what the file cost."""
        from evc.notebook import MOST_SECONDS, as_html

        audio = self.render(frames=round(MOST_SECONDS * self.samplerate))
        return as_html(self.stats(symbols=False), self.tags, audio, self.duration)

    def _close_owned(self) -> None:
        if self._owned is not None:
            self._owned.close()


def _reopened(path: str, salvage: bool, position: int) -> EvcFile:
    """What a pickled reader becomes."""
    file = EvcFile(path, salvage)
    file.seek(min(position, file.frames))
    return file
