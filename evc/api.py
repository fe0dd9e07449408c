"""The functions of the library: encode, decode, look inside. Heavy imports wait until they are needed."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Unpack

from evc.fileinfo import FileInfo, info
from evc.format.constants import CHUNK_OVERHEAD_BYTES
from evc.format.errors import EvcWarning, InputError
from evc.format.header import Header
from evc.format.metadata import Foreign, Metadata, Picture
from evc.format.rewriting import rewrite
from evc.format.tags import folded, values_of
from evc.format.writer import ContainerWriter, text_chunks
from evc.loops import Loop, loop_tags, part_of
from evc.models.settings import EncodeOptions, EncodeSettings
from evc.streaming import PathOrFile, check_readable, seekable_input, seekable_output
from evc.version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from evc.contents import DamagedSpan
    from evc.file import EvcFile
    from evc.models.progress import Progress
    from evc.models.source import ArraySource, AudioSource
    from evc.sound.source import FileSource

_BLOCK_FRAMES = 1 << 16
# A bitrate is missed where a file is larger or smaller by this share of its bytes, and by more than anyone will miss.
MISSED_SHARE, MISSED_BYTES = 0.05, 32
_TAGS_SHARE = 1 / 16  # of a bitrate that tags take from the sound; longer texts come on top


def open(file: PathOrFile, salvage: bool = False) -> EvcFile:
    """Open an .evc file, by path or from a seekable binary file. See `EvcFile`."""
    from evc.file import EvcFile

    return EvcFile(file, salvage)


def encode(
    audio: ArrayLike,
    samplerate: int,
    *,
    settings: EncodeSettings | None = None,
    tags: Mapping[str, str | list[str]] | None = None,
    pictures: Sequence[Picture] = (),
    foreign: Sequence[Foreign] = (),
    subtype: str = "PCM_16",
    speakers: Sequence[str] | None = None,
    progress: Progress | None = None,
    **options: Unpack[EncodeOptions],
) -> bytes:
    """Encode `audio`, [frames] or [frames, channels], into the bytes of an .evc file.

        evc.encode(audio, 44100, bitrate=48)

    Floats have full scale at ±1, integers of 8, 16 and 32 bits at the ends of their range. `options` are the fields of
    `EncodeSettings`: bitrate, quality, hints, patterns, effort, loop, adapt, adapt_state,
    device; `settings` holds them for many files.

    `subtype` is what decoding to a sound file restores. `speakers` names the speaker of each channel ("FL", "FR", "FC",
    "LFE", "BL", "BR", …, "" for none); the file has its channels in the order of spec 3.4. `progress` is called with
    seconds of audio done and in all. Raises InputError for audio or arguments that cannot be encoded; an EvcWarning
    says that a bitrate could not be met, as that of silence cannot.

    `tags` are texts, or lists of texts, under names as Vorbis comments have them, in lower case; loops are the tags
    loopstart and looplength, in frames. `pictures` and `foreign` chunks come on top of a bitrate:

        cover = evc.Picture.of(Path("cover.jpg").read_bytes())
        evc.encode(audio, 44100, tags={"artist": ["A", "B"], "loopstart": "0"}, pictures=[cover])
    """
    from evc.models.source import ArraySource

    target = io.BytesIO()
    source = ArraySource(audio, samplerate, subtype, dict(tags or {}), speakers, pictures, foreign)
    _encode(source, target, _settings(settings, options), progress)
    return target.getvalue()


def decode(data: bytes) -> tuple[NDArray[np.float32], int]:
    """Decode the bytes of an .evc file: (float32 [frames] or [frames, channels], sample rate)."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise InputError(f"decode takes the bytes of a file, not {type(data).__name__}: evc.open takes a path")
    with open(io.BytesIO(data)) as file:
        return file.read(), file.samplerate


def encode_file(
    source: PathOrFile,
    target: PathOrFile,
    *,
    settings: EncodeSettings | None = None,
    tags: Mapping[str, str | list[str]] | None = None,
    overwrite: bool = True,
    verify: bool = False,
    progress: Progress | None = None,
    report: Callable[[str], None] | None = None,
    **options: Unpack[EncodeOptions],
) -> FileInfo:
    """Encode a sound file, by path or from a binary file (pipes included), in bounded memory.

    The source's tags, pictures and other metadata are carried over; `tags` are put in their place. With `verify` the
    result is decoded and checked before it appears. `target` appears only when complete. `report` is told, in a line,
    what there is to say of how it was made. Otherwise as `encode`.
    """
    from evc.sound.source import FileSource

    chosen = _settings(settings, options)
    check_readable(source)
    with ExitStack() as stack:
        audio = stack.enter_context(FileSource(source))
        audio.tags.update(tags or {})
        output = stack.enter_context(seekable_output(target, overwrite))
        said = _encode(audio, output, chosen, progress)
        if said and report is not None:
            report(said)
        result = info(output)
        if verify:
            with open(output) as file:
                file.verify(synthesis=True)
        return result


def decode_file(
    source: PathOrFile,
    target: PathOrFile,
    *,
    start: float = 0.0,
    duration: float | None = None,
    salvage: bool = False,
    subtype: str | None = None,
    format: str | None = None,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> list[DamagedSpan]:
    """Decode to a sound file, by path or into a binary file (pipes included), in bounded memory.

    `start` and `duration` in seconds choose a part. `format` is one of libsndfile's; by default the
    extension of `target` tells, and WAV is written to an open file. `subtype` is the source's by default,
    or the nearest that the format has. Tags, pictures and other metadata are carried over; an EvcWarning
    tells what the format has no place for, and what does not belong to the part. A file that is a loop
    becomes one that says so, unless it names loops of its own. With `salvage` damage is returned (empty:
    none) instead of raised. `target` appears only when complete.
    """
    from evc.soundfiles import LOOPING, SoundWriter, chosen_subtype, output_format

    container = format or output_format(target)
    with ExitStack() as stack:
        file = stack.enter_context(open(stack.enter_context(seekable_input(source)), salvage))
        first, frames = part_span(file, start, duration)
        output = stack.enter_context(seekable_output(target, overwrite))
        file.seek(first)
        shape = (file.samplerate, file.channels, frames)
        chosen = chosen_subtype(container, file.subtype, subtype)
        tags = file.tags
        if file.loop and frames == file.frames and not len(file.loops):  # what the format of the output calls a loop
            if container in LOOPING:
                tags |= loop_tags(Loop(0, frames))
            else:
                warnings.warn(f"{container} cannot say that the sound is a loop", EvcWarning, stacklevel=2)
        metadata, lost = part_of(Metadata(tags, file.pictures, file.foreign), first, frames, file.frames)
        if damaged := file.container.lost_metadata:
            warnings.warn(f"damaged and left out: {', '.join(damaged)}", EvcWarning, stacklevel=2)
        if lost:
            warnings.warn(f"the part leaves out {', '.join(lost)}", EvcWarning, stacklevel=2)
        out = stack.enter_context(SoundWriter(output, container, chosen, *shape, metadata, file.speakers))
        for block in file.blocks(_BLOCK_FRAMES, frames=frames, always_2d=True):
            out.write(block)
            if progress:
                progress((file.tell() - first) / file.samplerate, frames / file.samplerate)
        end = math.inf if duration is None else start + duration
        return [span for span in file.damage if span.seconds[0] < end and start < span.seconds[1]]


def edit_tags(
    source: PathOrFile,
    target: PathOrFile,
    tags: Mapping[str, str | list[str]] | None = None,
    *,
    pictures: Sequence[Picture] | None = None,
    foreign: Sequence[Foreign] | None = None,
) -> None:
    """Write a copy of an .evc file with other tags, pictures or foreign chunks; those that are None stay, and so does
    everything else, byte for byte, unknown optional chunks included. Source and target may be the same path.

        with evc.open("a.evc") as f:
            tags, pictures = f.tags, f.pictures
        evc.edit_tags("a.evc", "a.evc", tags | {"artist": ["A", "B"]}, pictures=[p for p in pictures if p.type == 3])

    Raises what opening `source` raises, and InputError for what a file cannot hold.
    """
    # Some systems replace no file that is open: the source is closed first.
    with seekable_output(target) as output, seekable_input(source) as file:
        if foreign is None and (tags is not None or pictures is not None):
            with open(file) as before:  # an ID3 tag among its chunks says what was
                foreign = [chunk for chunk in before.foreign if not chunk.holds_id3]
            file.seek(0)
        rewrite(file, output, tags, pictures, foreign)


def _settings(settings: EncodeSettings | None, options: EncodeOptions) -> EncodeSettings:
    """Those of a call, which has one of the two."""
    if settings is None:
        return EncodeSettings(**options)
    if options:
        raise InputError(f"settings and {', '.join(options)} exclude each other: give one of them")
    return settings


def _encode(
    source: ArraySource | FileSource, target: BinaryIO, settings: EncodeSettings, progress: Progress | None
) -> str:
    from evc.models import pipeline
    from evc.models.source import LoopSource

    settings = settings.settled(source.samplerate, source.channels)
    own = f"evc {__version__}, {settings}"
    before = [value for value in values_of(source.tags.get("encoder", [])) if not value.startswith("evc ")]
    tags = folded(dict(source.tags)) | {"encoder": [own, *before] if before else own}
    coded: AudioSource = LoopSource(source) if settings.loop else source
    shape = source.samplerate, source.channels, coded.frames, source.subtype
    header = Header(*shape, layers=("spectrum",), loop=settings.loop)
    tag_bytes = len(text_chunks(header, tags, source.speakers))
    if settings.bitrate is not None and source.frames:
        wanted = settings.bitrate * 125 * source.frames / source.samplerate
        least = len(text_chunks(header, {"encoder": own}, source.speakers))
        tag_bytes = min(tag_bytes, least + int(wanted * _TAGS_SHARE))
    found = pipeline.encode(coded, header, settings, tag_bytes, _in_frames(progress, source.samplerate))
    metadata = source.pictures, source.foreign
    with ContainerWriter(target, found.header, tags, source.speakers, *metadata) as writer:
        if found.adaptation is not None:
            writer.add_adaptation(found.adaptation)
        for segment in found.segments:
            writer.add_segment(segment)
    if settings.bitrate is not None and source.frames:
        beside = sum(len(part.write()) + CHUNK_OVERHEAD_BYTES for parts in metadata for part in parts)
        _warn_of_bitrate(settings.bitrate, writer.bytes_written - beside, source.frames / source.samplerate)
    return found.told


def _warn_of_bitrate(asked: float, size: int, duration: float) -> None:
    """Tell of a file of `size` bytes that has another bitrate than the one asked for, in kbit/s."""
    off = size - 125 * asked * duration
    if abs(off) > max(MISSED_SHARE * 125 * asked * duration, MISSED_BYTES):
        why = "this is as near as it comes" if off > 0 else "this sound needs no more"
        text = f"the file has {8 * size / duration / 1000:.2f} kbit/s, not the {asked:g} asked for: {why}"
        warnings.warn(text, EvcWarning, stacklevel=4)


def _in_frames(progress: Progress | None, samplerate: int) -> Progress | None:
    """`progress` for a caller that counts frames."""
    if progress is None:
        return None
    return lambda done, total: progress(done / samplerate, total / samplerate)


def check_source(file: EvcFile, source: AudioSource, said: str) -> None:
    """Raises InputError, which begins with what is `said` of the source, unless sample rate, channels and frames are
    those of the file."""
    for what, other, own in (
        ("Hz", source.samplerate, file.samplerate),
        ("channels", source.channels, file.channels),
        ("frames", source.frames, file.frames),
    ):
        if other != own:
            raise InputError(f"{said} {other} {what}, but the .evc file has {own}")


def part_span(file: EvcFile, start: float, duration: float | None) -> tuple[int, int]:
    """First frame and number of frames of a part given in seconds."""
    if not 0 <= start <= file.duration:
        raise InputError(f"the file has {file.duration:g} seconds: a part cannot start at {start:g}")
    first = min(round(start * file.samplerate), file.frames)
    if duration is None:
        return first, file.frames - first
    if not duration >= 0:
        raise InputError(f"a part cannot have a duration of {duration:g} seconds")
    return first, round(min(duration * file.samplerate, file.frames - first))
