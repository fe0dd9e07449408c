"""`FileSource`: a sound file as the encoder's source, of the length it really has."""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from evc.errors import EvcWarning, InputError
from evc.sound import ffmpeg
from evc.sound.decoders import Decoder, EndsInDamage, LibsndfileDecoder
from evc.sound.flac import frames_at_end, hidden_metadata, total_field
from evc.sound.headers import SoundLength, sound_length
from evc.sound.metadata import read_metadata
from evc.sound.mpeg import mpeg_stream
from evc.sound.parts import Span, holds_no_sound, is_cut_off, stream_spans
from evc.sound.view import ByteView, Patch
from evc.source import check_format, finite
from evc.speakers import MASK_TAG, tagged_mask
from evc.streaming import PathOrFile, display_name, seekable_input

_KEPT_FRAMES = 1 << 19  # of what was read last: the encoder steps back by up to 8 s within a pass
_BLOCK = 1 << 16
_FINER = (1 << 10, 1 << 5, 1)  # blocks to come near to where a stream breaks off
_COPIED_BYTES = 1 << 20  # at a time
_TAIL_BYTES = 1 << 16  # a decoder that stops within these bytes of the end was cut off, not damaged


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
        self._stack = ExitStack()
        try:
            self._file = self._stack.enter_context(seekable_input(file))
            self._size = self._file.seek(0, os.SEEK_END)
            if not self._size:
                raise InputError(f"{self._name}: not a sound file that can be read (it is empty)")
            self._spans: list[Span] = [(0, self._size)]
            self._patches: tuple[Patch, ...] = ()
            self._decoders = self._opened(file)
            self._describe(self._decoders[0])
            self._read_metadata()
            self._counts = [self._length(*each) for each in zip(self._decoders, self._spans, strict=True)]
            self.frames = sum(self._counts)
            if not self.frames and not self._rightly_empty():
                raise InputError(f"{self._name}: no sound is found in its {self._size} bytes")
        except BaseException:
            self.close()
            raise
        self._rewind()

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [start, start + count), as far as they exist, as float32 [channels, count]; raises InputError for NaN
        or infinity, and for a file that has become unreadable."""
        count = max(0, min(count, self.frames - start))
        with self._lock:
            try:
                block = self._sought(start, count) if self._decoders[0].exact else self._passed(start, count)
            except EndsInDamage as error:
                raise InputError(f"{self._name}: damaged near frame {start} ({error})") from error
        if len(block) < count:
            raise InputError(f"{self._name}: ends at frame {start + len(block)}, but had {self.frames}")
        return finite(np.ascontiguousarray(block.T[list(self._order)]), start, self._name)

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- Opening ------------------------------------------------------------------------------

    def _opened(self, file: PathOrFile) -> list[Decoder]:
        """A decoder for each stream of the file."""
        length = sound_length(self._file, self._size)
        try:
            if length is not None and length.joined:
                self._warn("another file is joined to its end: left out, only FLAC, Ogg and MP3 go on there")
                self._spans, self._patches = [(0, length.joined)], length.patches
                return [self._libsndfile(self._spans[0], length.patches)]
            if length is not None and length.patches:
                self._patches = length.patches
                return [self._mended(length)]
            return self._streams(file)
        except InputError as error:
            self._spans = [(0, self._size)]
            return [self._through_ffmpeg(file, error)]

    def _mended(self, length: SoundLength) -> Decoder:
        """The decoder of a file whose header is wrong about its length."""
        if length.declared and not length.there:
            raise InputError(f"no sound is found, though {length.declared} bytes are declared")
        decoder = self._libsndfile((0, self._size), length.patches)
        if length.declared is not None and decoder.frames:
            block = length.there // decoder.frames  # bytes of a frame, unless the samples are packed
            even = length.there - block * decoder.frames < block
            declared = length.declared // block if even else round(decoder.frames * length.declared / length.there)
            self._compare(declared, decoder.frames)
        return decoder

    def _streams(self, file: PathOrFile) -> list[Decoder]:
        try:
            first = self._recognised(file)
        except InputError:
            self._patches = tuple(hidden_metadata(self._file, self._size))
            if not self._patches:
                raise
            first = self._libsndfile((0, self._size), self._patches)
        if first.exact:
            return [first]
        self._spans = stream_spans(self._file, self._size)
        if first.format == "MP3":  # which libsndfile reads from paths only: otherwise by luck, memory not initialised
            if len(self._spans) == 1 and _is_file(file):
                return [self._all_of_mp3(first, self._spans[0])]
            return [self._all_of_mp3(self._by_path(self._copied(span)), span) for span in self._spans]
        first.close()
        return [self._all_of(self._libsndfile(span, self._patches), span) for span in self._spans]

    def _all_of_mp3(self, decoder: LibsndfileDecoder, span: Span) -> LibsndfileDecoder:
        """A decoder that does not stop at a length which it guessed too small: without a header libsndfile takes all
        frames for as long as the first."""
        stream = mpeg_stream(self._file, *span)
        guessed = decoder.frames
        if stream is None or guessed is None or stream.samples <= guessed:
            return decoder
        decoder.close()
        whole = self._by_path(self._copied((stream.start, span[1]), stream.header))
        whole.frames, whole.tags = guessed, decoder.tags
        return whole

    def _all_of(self, decoder: LibsndfileDecoder, span: Span) -> LibsndfileDecoder:
        """A decoder that does not stop where the header of a FLAC stream says, if there is more behind."""
        declared = decoder.frames if decoder.format == "FLAC" else None
        if declared is None or frames_at_end(self._file, *span) <= declared:
            return decoder
        field = total_field(self._file, span[0])
        if field is None:
            return decoder
        decoder.close()
        whole = self._libsndfile(span, (*self._patches, (field[0] - span[0], field[1])))
        whole.frames = declared
        return whole

    def _recognised(self, file: PathOrFile) -> LibsndfileDecoder:
        """The whole file as libsndfile takes it."""
        if _is_file(file):
            return self._by_path(file)
        try:
            return self._libsndfile((0, self._size))
        except InputError as unknown:
            if mpeg_stream(self._file, 0, self._size) is not None:
                with suppress(InputError):
                    return self._by_path(self._copied((0, self._size)))
            raise unknown

    def _libsndfile(self, span: Span, patches: Sequence[Patch] = ()) -> LibsndfileDecoder:
        decoder = LibsndfileDecoder(cast(BinaryIO, ByteView(self._file, *span, patches)))
        self._stack.callback(decoder.close)
        return decoder

    def _by_path(self, file: PathOrFile) -> LibsndfileDecoder:
        decoder = LibsndfileDecoder(file)
        self._stack.callback(decoder.close)
        return decoder

    def _copied(self, span: Span, before: bytes = b"") -> str:
        """The path of a copy of some bytes of the file, behind others, for decoders that need one."""
        copy = self._stack.enter_context(tempfile.NamedTemporaryFile(suffix=".mp3"))
        copy.write(before)
        self._file.seek(span[0])
        left = span[1] - span[0]
        while left and (part := self._file.read(min(left, _COPIED_BYTES))):
            copy.write(part)
            left -= len(part)
        copy.flush()
        return copy.name

    def _through_ffmpeg(self, file: PathOrFile, error: InputError) -> Decoder:
        """What libsndfile refused with `error`, if ffmpeg reads it."""
        if not ffmpeg.available():
            raise InputError(f"{self._name}: {error}; ffmpeg, which reads more formats, is not installed") from error
        path = file if _is_file(file) else self._copied((0, self._size))
        try:
            decoder = ffmpeg.FfmpegDecoder(cast(str, path))
        except InputError:
            raise InputError(f"{self._name}: {error}") from error
        self._stack.callback(decoder.close)
        return decoder

    def _describe(self, first: Decoder) -> None:
        """Take over what the first stream is, which the others must be as well."""
        self.samplerate, self.channels = first.samplerate, first.channels
        self.subtype = first.subtype
        self.speakers, self._order = first.layout.mask, first.layout.order
        check_format(self.samplerate, self.channels, self._name)
        for number, other in enumerate(self._decoders[1:], 2):
            if (other.samplerate, other.channels) != (self.samplerate, self.channels):
                has = f"{other.channels} channels at {other.samplerate} Hz"
                here = f"the first {self.channels} at {self.samplerate} Hz"
                raise InputError(f"{self._name}: stream {number} of the file has {has}, {here}: split it")

    def _read_metadata(self) -> None:
        """All that the first stream of the file tells beside its sound; what could not be read is warned of."""
        patches = self._patches if self._decoders[0].exact else ()
        file = cast(BinaryIO, ByteView(self._file, 0, self._spans[0][1], patches))
        found = read_metadata(file, self._spans[0][1], self._decoders[0].tags)
        self.tags, self.pictures, self.foreign = found.metadata.tags, found.metadata.pictures, found.metadata.foreign
        if self._decoders[0].format == "FLAC" and isinstance(stated := self.tags.get(MASK_TAG), str):
            if mask := tagged_mask(stated, self.channels):
                self.speakers, self._order = mask, tuple(range(self.channels))
                del self.tags[MASK_TAG]
        if found.problems:
            self._warn("; ".join(found.problems))

    # --- Length -------------------------------------------------------------------------------

    def _length(self, decoder: Decoder, span: Span) -> int:
        """How many frames the stream in the bytes of `span` has."""
        if decoder.exact:
            return decoder.frames or 0
        frames, damage = _counted(decoder)
        if damage and decoder.left() > _TAIL_BYTES:
            raise InputError(f"{self._name}: damaged near frame {frames} ({damage})")
        if not frames:
            return 0
        if decoder.frames is not None and abs(decoder.frames - frames) > decoder.tolerance:
            self._compare(decoder.frames, frames)
        elif damage or is_cut_off(self._file, span):
            self._warn(f"is cut off: the {frames} frames that are there are taken")
        decoder.seek(0)
        return frames

    def _compare(self, declared: int, frames: int) -> None:
        """Warn unless the numbers are the same."""
        if declared != frames:
            self._warn(f"declares {declared} frames, but {frames} are there: these are taken")

    def _warn(self, text: str) -> None:
        warnings.warn(f"{self._name}: {text}", EvcWarning, stacklevel=2)

    def _rightly_empty(self) -> bool:
        """Whether a file without sound says so itself."""
        if self._decoders[0].exact:
            return True
        return all(holds_no_sound(self._file, span) for span in self._spans)

    # --- Samples ------------------------------------------------------------------------------

    def _sought(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [count, channels] of a file that seeks well."""
        self._decoders[0].seek(start)
        return self._decoders[0].read(count)

    def _passed(self, start: int, count: int) -> NDArray[np.float32]:
        """Frames [count, channels] of a file that is read from the front, anew if they have passed too long ago."""
        if start < self._recent.begin:
            self._rewind()
        recent = self._recent
        while recent.end < start + count:
            if self._left == 0:
                self._current += 1
                self._begin_stream()
            block = self._decoders[self._current].read(min(_BLOCK, self._left))
            if not len(block):
                break
            self._left -= len(block)
            recent.add(block, max(_KEPT_FRAMES, count))
        return recent.cut(start, start + count)

    def _rewind(self) -> None:
        self._recent = _Recent(self.channels)
        self._current = 0
        self._begin_stream()

    def _begin_stream(self) -> None:
        self._left = self._counts[self._current]
        self._decoders[self._current].seek(0)


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
    frames = 0
    for block in (_BLOCK, *_FINER):
        decoder.seek(0)
        skipped = 0
        while skipped < frames:
            skipped += len(decoder.read(min(_BLOCK, frames - skipped)))
        try:
            while count := len(decoder.read(block)):
                frames += count
            return frames, ""
        except EndsInDamage as error:
            damage = str(error)
    return frames, damage


def _is_file(file: PathOrFile) -> bool:
    return isinstance(file, (str, os.PathLike)) and os.path.isfile(file)
