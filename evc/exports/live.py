"""Playing a file: blocks of it decoded ahead in a thread, from any place, with all layers or some of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evc.file import EvcFile
from evc.format.errors import EvcError

BLOCK_FRAMES = 2048
_AHEAD_SECONDS = 2.0


class Output(Protocol):
    """Where sound goes: `write` takes float32 [frames, channels] and waits until there is room for more."""

    def write(self, block: NDArray[np.float32], /) -> object: ...


class Deck:
    """Plays frames [start, end) of an open file, round and round if `loop`. A context manager, which ends the thread.

    layers    what is heard: () for the whole file, else only these; `listen` changes it
    position  the frame that is next
    """

    def __init__(self, file: EvcFile, start: int, end: int, loop: bool, layers: Sequence[str] = ()) -> None:
        self.start, self.end, self.loop = start, end, loop
        self.position = start
        self.layers = tuple(layers)
        self._file = file
        self._blocks: deque[tuple[int, NDArray[np.float32]]] = deque()
        self._ahead = max(2, round(_AHEAD_SECONDS * file.samplerate / BLOCK_FRAMES))
        self._next = start  # frame that is decoded next
        self._turn = 0  # of listening from somewhere: what was decoded for an earlier one is not played
        self._closed = False
        self._error: EvcError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._decode, name="evc-play", daemon=True)
        self._thread.start()

    def play(self, output: Output) -> bool:
        """Hand the next block to `output`; False at the end. Raises what decoding raised."""
        with self._changed:
            while not self._blocks and not self._at_end() and self._error is None:
                self._changed.wait()
            if not self._blocks:
                if self._error is not None:
                    raise self._error
                return False
            first, block = self._blocks.popleft()
            self.position = first + len(block)
            self._changed.notify_all()
        output.write(block)
        return True

    def seek(self, frame: int) -> None:
        """Go on from a frame, or the nearest that is played."""
        self._again(min(max(frame, self.start), self.end), self.layers)

    def listen(self, layers: Sequence[str]) -> None:
        """Go on with only these layers, or with all: ()."""
        self._again(self.position, tuple(layers))

    def repeat(self, loop: bool) -> None:
        """Go round and round, or end at the end."""
        with self._changed:
            self.loop = loop
            self._changed.notify_all()

    def _again(self, frame: int, layers: tuple[str, ...]) -> None:
        with self._changed:
            self._turn += 1
            self._blocks.clear()
            self._next = self.position = frame
            self.layers = layers
            self._changed.notify_all()

    def _at_end(self) -> bool:
        return self._next >= self.end and not self.loop

    def _decode(self) -> None:
        heard: tuple[str, ...] = ()
        sound = self._file.rendering()
        while True:
            with self._changed:
                while not self._closed and (len(self._blocks) >= self._ahead or self._at_end()):
                    self._changed.wait()
                if self._closed:
                    return
                if self._next >= self.end:
                    self._next = self.start
                turn, first, layers = self._turn, self._next, self.layers
            count = min(BLOCK_FRAMES, self.end - first)
            try:
                if layers != heard:
                    sound, heard = self._file.rendering(layers or None), layers
                block = np.clip(sound(first, count), -1, 1)
            except EvcError as error:
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                if turn == self._turn:
                    self._blocks.append((first, block))
                    self._next = first + count
                    self._changed.notify_all()

    def __enter__(self) -> Deck:
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
