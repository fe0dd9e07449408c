"""`FileSource`: a sound file as the encoder's source, of the length it really has."""

from __future__ import annotations

import os
import threading
import warnings
from collections import deque
from contextlib import ExitStack
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import EvcWarning, InputError, OutputError
from evc.format.speakers import MASK_TAG, layout_of_tag
from evc.models.source import check_format, finite
from evc.samples import turned
from evc.sound.decoders import Decoder, EndsInDamage
from evc.sound.metadata import read_metadata
from evc.sound.opening import Opener
from evc.sound.parts import holds_no_sound, is_cut_off
from evc.sound.view import ByteView
from evc.streaming import PathOrFile, display_name, seekable_input

_KEPT_FRAMES = 1 << 19  # of what was read last: the encoder steps back by up to 8 s within a pass
_BLOCK = 1 << 16
_FINER = (1 << 10, 1 << 5, 1)  # blocks to come near to where a stream breaks off
# A decoder that stops within so many bytes of the end, or such a share of the stream, met its end, not damage.
_TAIL_BYTES, _TAIL_SHARE = 1 << 16, 16
_TAIL_FRAMES = 1 << 13  # the same in frames, of codecs that drop some at their ends


class FileSource:
    """A sound file, opened by path or from a binary file, pipes included. A context manager; threads may read at the
    same time.

    `frames` is how many there are: where the header declares another number an EvcWarning tells both. Streams joined to
    one file (chained Ogg, FLAC or MP3 files one behind the other) follow upon each other. `speakers` is the mask of the
    file (spec 3.4), whose order the channels have here. `tags`, `pictures` and `foreign` chunks are all that the file
    has; where one is malformed, or needs mutagen, an EvcWarning says so. What libsndfile cannot read goes through
    ffmpeg where that is installed.

    Raises InputError if the file cannot be read, has no sound, is damaged in the middle, or the format cannot hold it.
    """

    def __init__(self, file: PathOrFile) -> None:
        self._name = display_name(file)
        self._lock = threading.Lock()
        self._stack, self._stream = ExitStack(), ExitStack()  # of the file, and of the stream that is read
        self._decoder: Decoder
        self._current, self._left = -1, 0  # which, and how many of its frames were not read yet
        try:
            self._file = self._stack.enter_context(seekable_input(file))
            try:
                self._size = self._file.seek(0, os.SEEK_END)
            except OSError as error:
                raise InputError(f"{self._name}: cannot be read ({(error.strerror or str(error)).lower()})") from error
            if not self._size:
                raise InputError(f"{self._name}: not a sound file that can be read (it is empty)")
            self._open(file)
            self._describe()
            self._counts = [self._length(number) for number in range(len(self._opening.spans))]
            self.frames = sum(self._counts)
            if not self.frames and not self._rightly_empty():
                raise InputError(f"{self._name}: no sound is found in its {self._size} bytes")
            self._rewind()
        except BaseException:
            self.close()
            raise

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count), as far as they exist, as float32 [channels, count]; raises InputError for NaN
        or infinity, and for a file that has become unreadable."""
        count = max(0, min(count, self.frames - start))
        with self._lock:
            try:
                block = self._sought(start, count) if self._decoder.exact else self._passed(start, count)
            except EndsInDamage as error:
                raise InputError(f"{self._name}: damaged near frame {start} ({error})") from error
        if len(block) < count:
            raise InputError(f"{self._name}: ends at frame {start + len(block)}, but had {self.frames}")
        samples = turned(block)
        if list(self._order) != list(range(self.channels)):
            samples = samples[list(self._order)]
        return finite(samples, start, self._name)

    def close(self) -> None:
        self._stream.close()
        self._stack.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- Opening ------------------------------------------------------------------------------

    def _open(self, file: PathOrFile) -> None:
        try:
            self._opening = Opener(file, self._file, self._size).opening()
            self._begin(0)
        except OutputError:
            raise
        except InputError as error:
            raise InputError(f"{self._name}: {error}") from error

    def _begin(self, number: int) -> None:
        """Be at the start of a stream."""
        if self._current != number:
            self._stream.close()
            self._current = -1
            self._decoder = self._opening.open(number, self._stream)
            self._current = number
        elif not self._decoder.exact:
            self._decoder.seek(0)

    def _describe(self) -> None:
        """What the first stream is, and all that it tells beside its sound; what could not be read is warned of."""
        first, end = self._decoder, self._opening.spans[0][1]
        self.samplerate, self.channels, self.subtype = first.samplerate, first.channels, first.subtype
        check_format(self.samplerate, self.channels, self._name)
        patches = self._opening.patches if first.exact else ()
        found = read_metadata(cast(BinaryIO, ByteView(self._file, 0, end, patches)), end, first.tags)
        self.tags, self.pictures, self.foreign = found.metadata.tags, found.metadata.pictures, found.metadata.foreign
        layout = layout_of_tag(self.tags.pop(MASK_TAG, ""), self.channels) or first.layout
        self.speakers, self._order = layout.mask, layout.order
        for text in (self._opening.note, "; ".join(found.problems)):
            if text:
                self._warn(text)

    # --- Length -------------------------------------------------------------------------------

    def _length(self, number: int) -> int:
        """How many frames a stream has. Raises InputError if it does not fit the first, or is damaged in the middle."""
        try:
            self._begin(number)
        except OutputError:
            raise
        except InputError as error:
            self._warn(f"stream {number + 1} of the file cannot be read ({error}): it is left out")
            return 0
        decoder, span = self._decoder, self._opening.spans[number]
        if (decoder.samplerate, decoder.channels) != (self.samplerate, self.channels):
            has = f"{decoder.channels} channels at {decoder.samplerate} Hz"
            here = f"the first {self.channels} at {self.samplerate} Hz"
            raise InputError(f"{self._name}: stream {number + 1} of the file has {has}, {here}: split it")
        if decoder.exact:
            frames = decoder.frames or 0
            self._compare(frames if self._opening.declared is None else self._opening.declared, frames)
            return frames
        frames, damage = _counted(decoder)
        short = decoder.frames is not None and frames < decoder.frames - decoder.tolerance
        left = min(_TAIL_BYTES, (span[1] - span[0]) // _TAIL_SHARE)
        if (damage or short) and (decoder.left() > left or self._opening.coded(number) > frames + _TAIL_FRAMES):
            raise InputError(f"{self._name}: damaged near frame {frames} ({damage or 'no more can be decoded'})")
        if not frames:
            return 0
        if decoder.frames is not None and abs(decoder.frames - frames) > decoder.tolerance:
            self._compare(decoder.frames, frames)
        elif damage or is_cut_off(self._file, span):
            self._warn(f"is cut off: the {frames} frames that are there are taken")
        elif complaint := decoder.complaint():
            self._warn(f"may lack some of its sound ({complaint})")
        return frames

    def _compare(self, declared: int, frames: int) -> None:
        """Warn unless the numbers are the same."""
        if declared != frames:
            self._warn(f"declares {declared} frames, but {frames} are there: these are taken")

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self._name}: {text}", EvcWarning, stacklevel=2)

    def _rightly_empty(self) -> bool:
        """Whether a file without sound says so itself."""
        if self._decoder.exact:
            return True
        return all(holds_no_sound(self._file, span) for span in self._opening.spans)

    # --- Samples ------------------------------------------------------------------------------

    def _sought(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [count, channels] of a file that seeks well."""
        self._decoder.seek(start)
        return self._decoder.read(count)

    def _passed(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [count, channels] of a file that is read from the front, anew if they have passed too long ago."""
        if start < self._recent.begin:
            self._rewind()
        recent = self._recent
        while recent.end < start + count:
            if self._left == 0:
                self._next()
            block = self._decoder.read(min(_BLOCK, self._left))
            if not len(block):
                break
            self._left -= len(block)
            recent.add(block, max(_KEPT_FRAMES, count + _BLOCK))  # the last block may go beyond what is asked for
        return recent.cut(start, start + count)

    def _next(self) -> None:
        """Be at the start of the next stream that has frames."""
        number = self._current + 1
        while not self._counts[number]:
            number += 1
        self._begin(number)
        self._left = self._counts[number]

    def _rewind(self) -> None:
        self._recent = _Recent(self.channels)
        self._begin(0)
        self._left = self._counts[0]


class _Recent:
    """The last frames of a stream that is read from the front."""

    def __init__(self, channels: int) -> None:
        self.begin = self.end = 0
        self._none = np.zeros((0, channels), np.float32)
        self._blocks: deque[NDArray[np.float32]] = deque()

    def add(self, block: NDArray[np.float32], keep: int) -> None:
        """Append frames [n, channels]; of those before, all but the last `keep` may go."""
        self._blocks.append(block)
        self.end += len(block)
        while self.end - self.begin - len(self._blocks[0]) >= keep:
            self.begin += len(self._blocks.popleft())

    def cut(self, start: int, end: int) -> NDArray[np.float32]:
        """Frames [start, end), as far as they are here."""
        at, found = self.begin, [self._none]
        for block in self._blocks:
            if at < end and start < at + len(block):
                found.append(block[max(0, start - at) : end - at])
            at += len(block)
        return np.concatenate(found)


def _counted(decoder: Decoder) -> tuple[int, str]:
    """Frames of a stream up to its end, or to where it breaks off, and why it does ("" at the end)."""
    frames, damage = 0, ""
    for block in (_BLOCK, *_FINER):
        decoder.seek(0)
        skipped = 0
        try:
            while skipped < frames and (count := len(decoder.read(min(_BLOCK, frames - skipped)))):
                skipped += count
            while count := len(decoder.read(block)):
                frames += count
            return frames, ""
        except EndsInDamage as error:
            damage = str(error)
    return frames, damage
