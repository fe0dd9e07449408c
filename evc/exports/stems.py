"""Stems: a sound file for each layer of a file, or each of its patterns; added up in order they are what it decodes to.

Samples are float32, and so are sums. Where patterns and spectrum are decoded together, the spectrum is what the sum of
the patterns leaves over of both. What rounding still leaves, some 10^-8 of full scale, is a stem of its own: with it
the sum is that of `EvcFile.read`, to the bit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.file import EvcFile
from evc.format.errors import InputError
from evc.format.metadata import Metadata
from evc.loops import part_of
from evc.models.progress import Progress
from evc.output import atomic_folder, opened
from evc.patterns import numbered
from evc.soundfiles import SoundWriter, read_span

INDEX = "stems.json"
ORDER = ("patterns", "spectrum", "timbre", "events", "noise", "latent")  # in which decoding adds layers
_TOGETHER = ("patterns", "spectrum")
_ROUNDING = "rounding"
_BLOCK_FRAMES = 1 << 18


@dataclass(frozen=True)
class Stem:
    """A stem: its name, that of its file, the layer it belongs to, and the number of its pattern, if it is of one."""

    name: str
    file: str
    layer: str
    pattern: int | None = None

    @classmethod
    def of(cls, name: str, layer: str, pattern: int | None = None) -> Stem:
        return cls(name, f"{name}.wav", layer, pattern)


def stems_of(file: EvcFile, by_pattern: bool = False) -> list[Stem]:
    """Those of a file, in the order in which they are added, but for what rounding leaves."""
    found = []
    for layer in ORDER:
        if layer == "patterns" and layer in file.layers and by_pattern:
            sounding = [n for n, row in enumerate(file.patterns) if row["uses"] and row["kind"] != "lost"]
            found += [Stem.of(f"pattern-{numbered(n, len(file.patterns))}", layer, n) for n in sounding]
        elif layer in file.layers:
            found.append(Stem.of("latents" if layer == "latent" else layer, layer))
    return found


def write_stems(
    file: EvcFile,
    folder: str | Path,
    start: int = 0,
    frames: int | None = None,
    *,
    by_pattern: bool = False,
    overwrite: bool = True,
    progress: Progress | None = None,
) -> list[Stem]:
    """Write the stems of frames [start, start + frames) of an open file into a folder, as WAV, with an index: all or
    none. Returns them in the order in which they add up.

        with evc.open("song.evc") as f:
            evc.write_stems(f, "stems")

    `by_pattern` gives each pattern a stem. `progress` is called with seconds of audio done and in all, those of every
    stem. Raises InputError for a part that is not there, and for files that exist unless `overwrite`.
    """
    count = file.frames - start if frames is None else frames
    if not 0 <= start <= start + count <= file.frames:
        raise InputError(f"the file has {file.frames} frames: there is no part of {count} from frame {start} on")
    stems = stems_of(file, by_pattern)
    names = [*(stem.file for stem in stems), f"{_ROUNDING}.wav", INDEX]
    if not overwrite and (taken := [name for name in names if (Path(folder) / name).exists()]):
        raise InputError(f"{Path(folder) / taken[0]}: exists already")
    remainder = next((stem for stem in stems if stem.layer == "spectrum"), None)
    tracks = [stem for stem in stems if stem is not remainder]
    counted = _counted(progress, count * (len(tracks) + 1), file.samplerate)
    with atomic_folder(folder) as new:
        part = _Part(file, new, Path(folder), start, count)
        for stem in tracks:
            chosen = None if stem.pattern is None else file.occurrences["pattern"] == stem.pattern
            sound = file.rendering([stem.layer], chosen)
            with part.writer(stem) as out:
                for first, length in part.blocks():
                    out.write(sound(first, length))
                    counted(length)
        rounding = Stem.of(_ROUNDING, "")
        if _add_up(part, stems, remainder, rounding, counted):
            stems.append(rounding)
        else:
            (new / rounding.file).unlink()
        told = {"samplerate": file.samplerate, "channels": file.channels, "start": start, "frames": count}
        with opened(new / INDEX, str(Path(folder) / INDEX)) as index:
            index.write(json.dumps(told | {"stems": [asdict(stem) for stem in stems]}, indent=1).encode() + b"\n")
    return stems


class _Part:
    """A part of a file whose stems are on their way into the folder `new`, which will be called `name`."""

    def __init__(self, file: EvcFile, new: Path, name: Path, start: int, frames: int) -> None:
        self.file = file
        self._new, self._name, self._start, self._frames = new, name, start, frames
        chunks = [chunk for chunk in file.foreign if chunk.origin == "RIFF" and not chunk.holds_id3]
        self._metadata, _ = part_of(Metadata({}, [], chunks), start, frames, file.frames)

    @contextmanager
    def writer(self, stem: Stem) -> Iterator[SoundWriter]:
        """Takes the samples of a stem."""
        shape = self.file.samplerate, self.file.channels, self._frames
        with opened(self._new / stem.file, str(self._name / stem.file)) as output:
            with SoundWriter(output, "WAV", "FLOAT", *shape, self._metadata, self.file.speakers) as out:
                yield out

    def blocks(self) -> Iterator[tuple[int, int]]:
        """First frame and length of each block."""
        for first in range(self._start, self._start + self._frames, _BLOCK_FRAMES):
            yield first, min(_BLOCK_FRAMES, self._start + self._frames - first)

    def read(self, stem: Stem, first: int, length: int) -> NDArray[np.float32]:
        """A block of a stem that is written, [frames, channels]."""
        return read_span(self._new / stem.file, first - self._start, length)


def _add_up(
    part: _Part, stems: Sequence[Stem], remainder: Stem | None, rounding: Stem, counted: Callable[[int], None]
) -> bool:
    """Write the stem of the spectrum, the `remainder` of what is decoded together, and what rounding leaves of the sum
    of all; whether that is anything."""
    file, left = part.file, False
    before = file.tell()
    together = file.rendering([layer for layer in _TOGETHER if layer in file.layers])
    with ExitStack() as stack:
        out = stack.enter_context(part.writer(rounding))
        spectrum = None if remainder is None else stack.enter_context(part.writer(remainder))
        for first, length in part.blocks():
            total = np.zeros((length, file.channels), np.float32)
            for stem in stems:
                if stem is remainder and spectrum is not None:
                    sound = together(first, length) - total
                    spectrum.write(sound)
                else:
                    sound = part.read(stem, first, length)
                total += sound
            file.seek(first)
            rest = file.read(length, always_2d=True) - total
            out.write(rest)
            left = left or bool(rest.any())
            counted(length)
    file.seek(before)
    return left


def _counted(progress: Progress | None, frames: int, samplerate: int) -> Callable[[int], None]:
    """Takes frames that are done."""
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done / samplerate, frames / samplerate)

    return count
