"""Which decoder reads a sound file: libsndfile, of bytes whose header was mended where it is wrong, or ffmpeg."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import BinaryIO, cast

from evc.format.errors import InputError, OutputError
from evc.output import writing
from evc.sound import ffmpeg
from evc.sound.decoders import Decoder, LibsndfileDecoder
from evc.sound.flac import frames_at_end, hidden_metadata, total_field
from evc.sound.headers import SoundLength, sound_length
from evc.sound.mpeg import coded_samples, mpeg_stream
from evc.sound.parts import Span, stream_spans
from evc.sound.view import ByteView, Patch
from evc.streaming import PathOrFile

_JOINED = "another file is joined to its end: left out, only FLAC, Ogg and MP3 go on there"
_COPIED_BYTES = 1 << 20  # at a time


@dataclass
class Opening:
    """How to open a sound file: the bytes of each stream that is in it, and what opens one, by its number.

    patches    to its header, without which it would be misread
    declared   frames by the header of a file of samples, where others are there
    note       what a user should know
    coded      frames that the bytes of a stream hold, where that can be told without decoding; else 0
    """

    spans: list[Span]
    open: Callable[[int, ExitStack], Decoder]
    patches: Sequence[Patch] = ()
    declared: int | None = None
    note: str = ""
    coded: Callable[[int], int] = lambda number: 0


class Opener:
    """Finds out how to open `file`, all of whose bytes can be read from the seekable `binary`."""

    def __init__(self, file: PathOrFile, binary: BinaryIO, size: int) -> None:
        self._binary, self._size = binary, size
        self._path = os.fspath(file) if isinstance(file, (str, os.PathLike)) and os.path.isfile(file) else None

    def opening(self) -> Opening:
        """Raises InputError, without a name in front, where nothing reads the file."""
        length = sound_length(self._binary, self._size)
        try:
            if length is not None and (length.patches or length.joined):
                return self._mended(length)
            return self._streams()
        except OutputError:  # of a temporary copy
            raise
        except InputError as error:
            return self._through_ffmpeg(error)

    def _mended(self, length: SoundLength) -> Opening:
        """Of a file whose header is wrong about its length."""
        if length.declared and not length.there:
            raise InputError(f"no sound is found, though {length.declared} bytes are declared")
        span, patches = (0, length.joined or self._size), length.patches
        with ExitStack() as stack:
            frames = self._view(span, stack, patches).frames or 0
        declared = None
        if length.declared is not None and length.declared != length.there and frames:
            block = length.there // frames  # bytes of a frame, unless the samples are packed
            even = length.there - block * frames < block
            declared = length.declared // block if even else round(frames * length.declared / length.there)
        note = _JOINED if length.joined else ""
        return Opening([span], lambda _, stack: self._view(span, stack, patches), patches, declared, note)

    def _streams(self) -> Opening:
        whole = (0, self._size)
        patches: tuple[Patch, ...] = ()
        with ExitStack() as stack:
            try:
                first = self._recognised(stack)
            except InputError:
                patches = tuple(hidden_metadata(self._binary, self._size))
                if not patches:
                    raise
                first = self._view(whole, stack, patches)
            exact, format = first.exact, first.format
        if exact:
            return Opening([whole], lambda _, stack: self._recognised(stack))
        spans = stream_spans(self._binary, self._size)
        if format == "MP3":  # which libsndfile reads from paths only: otherwise by luck, memory not initialised
            return Opening(
                spans,
                lambda number, stack: self._mp3(spans[number], stack),
                coded=lambda number: coded_samples(self._binary, *spans[number]),
            )
        return Opening(spans, lambda number, stack: self._all_of(spans[number], stack, patches), patches)

    def _recognised(self, stack: ExitStack) -> LibsndfileDecoder:
        """The whole file as libsndfile takes it."""
        if self._path is not None:
            return _closed_by(stack, LibsndfileDecoder(self._path))
        try:
            return self._view((0, self._size), stack)
        except InputError as unknown:
            if mpeg_stream(self._binary, 0, self._size) is None:
                raise
            try:
                return self._mp3((0, self._size), stack)
            except OutputError:
                raise
            except InputError:
                raise unknown from None

    def _mp3(self, span: Span, stack: ExitStack) -> LibsndfileDecoder:
        """A decoder that does not stop at a length which it guessed too small: without a header libsndfile takes all
        frames for as long as the first."""
        path = self._path if span == (0, self._size) else None
        decoder = _closed_by(stack, LibsndfileDecoder(path or self._copied(span, stack)))
        stream, guessed = mpeg_stream(self._binary, *span), decoder.frames
        if stream is None or guessed is None or stream.samples <= guessed:
            return decoder
        decoder.close()
        counted = LibsndfileDecoder(self._copied((stream.start, span[1]), stack, stream.header))
        counted.frames, counted.tags = guessed, decoder.tags
        return _closed_by(stack, counted)

    def _all_of(self, span: Span, stack: ExitStack, patches: Sequence[Patch]) -> LibsndfileDecoder:
        """A decoder that does not stop where the header of a FLAC stream says, if there is more behind."""
        decoder = self._view(span, stack, patches)
        declared = decoder.frames if decoder.format == "FLAC" else None
        if declared is None or frames_at_end(self._binary, *span) <= declared:
            return decoder
        field = total_field(self._binary, span[0])
        if field is None:
            return decoder
        decoder.close()
        whole = self._view(span, stack, (*patches, field))
        whole.frames = declared
        return whole

    def _view(self, span: Span, stack: ExitStack, patches: Sequence[Patch] = ()) -> LibsndfileDecoder:
        return _closed_by(stack, LibsndfileDecoder(cast(BinaryIO, ByteView(self._binary, *span, patches))))

    def _copied(self, span: Span, stack: ExitStack, before: bytes = b"") -> str:
        """The path of a copy of some bytes of the file, behind others, for decoders that need one."""
        name = ""
        with writing("temporary file"):
            # Open files cannot be opened again on some systems.
            with tempfile.NamedTemporaryFile(suffix=".mp3", delete=False) as copy:
                name = copy.name
                stack.callback(_removed, name)
                copy.write(before)
                self._binary.seek(span[0])
                left = span[1] - span[0]
                while left and (part := self._binary.read(min(left, _COPIED_BYTES))):
                    copy.write(part)
                    left -= len(part)
        return name

    def _through_ffmpeg(self, error: InputError) -> Opening:
        """What libsndfile refused with `error`, if ffmpeg reads it."""
        if not ffmpeg.available():
            raise InputError(f"{error}; ffmpeg, which reads more formats, is not installed") from error
        whole = (0, self._size)

        def open(_: int, stack: ExitStack) -> Decoder:
            path = self._path or self._copied(whole, stack)
            try:
                decoder = ffmpeg.FfmpegDecoder(path)
            except InputError:
                raise error from None
            stack.callback(decoder.close)
            return decoder

        return Opening([whole], open)


def _closed_by(stack: ExitStack, decoder: LibsndfileDecoder) -> LibsndfileDecoder:
    stack.callback(decoder.close)
    return decoder


def _removed(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
