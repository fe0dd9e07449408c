"""Several .evc files as one: a chain of their links (spec 4.6), in which every sample stays what it was."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from evc.api import encode
from evc.file import EvcFile
from evc.format.errors import EvcWarning, InputError
from evc.format.metadata import Metadata
from evc.format.rewriting import join
from evc.loops import joined_metadata
from evc.models.layers import HINTS, LEAST_BITRATE
from evc.models.progress import Progress
from evc.models.training.dataset import RESAMPLING_MARGIN, resampled
from evc.streaming import PathOrFile, display_name, seekable_input, seekable_output


def join_files(
    sources: Sequence[PathOrFile],
    target: PathOrFile,
    *,
    re_encode: bool = False,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> list[int]:
    """Write one file that plays what `sources`, at least one, play one after the other: by path or into a binary file.

    Nothing is coded anew, and every sample stays what it was. Tags and pictures are those of the first file; loops and
    cue points are those of all. Files have to have the sample rate, channels and speakers of the first; with
    `re_encode` those that have not are decoded, converted, and encoded again at their own bitrate: their numbers are
    returned. Networks may differ. `progress` is called with files done and in all.

    Raises what opening a source strictly raises, and InputError, with the reason, for such as do not fit together.
    """
    if not sources:
        raise InputError("there is nothing to join")
    with ExitStack() as stack:
        output = stack.enter_context(seekable_output(target, overwrite))
        binaries: list[BinaryIO] = []
        parts: list[tuple[Metadata, int]] = []
        coded_anew: list[int] = []
        first: EvcFile | None = None
        for number, source in enumerate(sources):
            binary = stack.enter_context(seekable_input(source))
            file = stack.enter_context(EvcFile(binary))
            first = first or file
            if reason := _misfit(file, first):
                mixable = file.channels == first.channels or max(file.channels, first.channels) <= 2
                if not (re_encode and mixable):
                    way = ": coding it anew would make it fit" if mixable else ", which cannot be made fit"
                    raise InputError(f"{display_name(source)}: {reason}{way}")
                binary = io.BytesIO(_coded_anew(file, first))
                file = stack.enter_context(EvcFile(binary))
                coded_anew.append(number)
            binaries.append(binary)
            parts.append((Metadata(file.tags, file.pictures, file.foreign), file.frames))
            if progress:
                progress(number + 1, len(sources))
        told = joined_metadata(parts, file.samplerate)
        join(binaries, output, told.tags, told.foreign)
    return coded_anew


def _misfit(file: EvcFile, first: EvcFile) -> str:
    """Why a file cannot follow another as it is; "" where it can."""
    if file.channels != first.channels:
        return f"has {file.channels} channel{'' if file.channels == 1 else 's'}, the first file {first.channels}"
    if file.samplerate != first.samplerate:
        return f"has {file.samplerate} Hz, the first file {first.samplerate}"
    if file.container.speakers != first.container.speakers:
        own, wanted = (" ".join(each.speakers) or "unknown" for each in (file, first))
        return f"its speakers are {own}, those of the first file {wanted}"
    return ""


def _coded_anew(file: EvcFile, first: EvcFile) -> bytes:
    """A file as it has to be to follow upon `first`: it is decoded whole."""
    audio = file.read(always_2d=True)
    if file.channels != first.channels:
        audio = np.repeat(audio, 2, axis=1) if first.channels == 2 else audio.mean(axis=1, keepdims=True)
    if file.samplerate != first.samplerate:
        audio = _at_rate(audio, file.samplerate, first.samplerate)
    hints = "spectrum" if "spectrum" in file.layers else "auto"
    least = HINTS[hints].least if hints in HINTS else LEAST_BITRATE
    bitrate = max(least, 8e-3 * file.file_bytes / max(file.duration, 1e-3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvcWarning)  # nobody asked for a bitrate
        return encode(
            audio, first.samplerate, bitrate=bitrate, hints=hints, subtype=first.subtype,
            speakers=first.speakers or None,
        )  # fmt: skip


def _at_rate(audio: NDArray[np.float32], old: int, new: int) -> NDArray[np.float32]:
    """[frames, channels] at another sample rate."""
    step = old // math.gcd(old, new)  # frames that are a whole number of new ones
    before = -(-2 * RESAMPLING_MARGIN // step) * step
    behind = before + -len(audio) % step
    padded = np.pad(audio, ((before, behind), (0, 0))).T
    found = resampled(padded, old / new)
    start = before * new // old - min(round(RESAMPLING_MARGIN * new / old), (padded.shape[1] * new // old - 1) // 2)
    return np.ascontiguousarray(found[:, start : start + max(1, round(len(audio) * new / old))].T)
