"""What a report is about: an open file, what it is compared with, and what of it several sections need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evc.file import EvcFile
from evc.format.errors import InputError
from evc.format.lazy import cached_property
from evc.models.arrays import Signal
from evc.models.report.sounds import loudest
from evc.models.source import AudioSource
from evc.stats import Stats

SECONDS = 15.0  # of the stretch that is compared
MOST_PLAYED = 600.0  # s: of longer files only the stretch is in the page


@dataclass(frozen=True)
class Stretch:
    """Frames [start, start + frames) of what is played, at `samplerate`."""

    start: int
    frames: int
    samplerate: int

    @property
    def seconds(self) -> tuple[float, float]:
        """When it begins and ends."""
        return self.start / self.samplerate, (self.start + self.frames) / self.samplerate

    @property
    def text(self) -> str:
        begin, end = self.seconds
        return f"{clock(begin)} to {clock(end)}, the loudest {end - begin:.0f} s."


class Subject:
    """An open file under a `name`, and its `source` if that is known. Audio is decoded when a section asks for it."""

    def __init__(self, file: EvcFile, name: str, source: AudioSource | None = None, seconds: float = SECONDS) -> None:
        """Raises InputError where there is nothing to hear, or where the source has another form than the file."""
        if not file.frames:
            raise InputError("there is no sound to show")
        if source is not None:
            check_source(file, source)
        self.file, self.name, self.source = file, name, source
        self._seconds = seconds

    @property
    def samplerate(self) -> int:
        return self.file.samplerate

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.file.duration

    @property
    def whole_is_played(self) -> bool:
        """Whether the page holds the sound of the whole file."""
        return self.duration <= MOST_PLAYED

    @property
    def timeline_is_played(self) -> bool:
        """Whether times of the coded timeline, as patterns and events have them, are times of what is played."""
        return not len(self.file.edits)

    @cached_property
    def whole(self) -> Signal:
        """What is played: float32 [frames, channels]."""
        self.file.seek(0)
        found: Signal = self.file.read(always_2d=True)
        return found

    @cached_property
    def stretch(self) -> Stretch:
        """The loudest stretch of as many seconds as asked for."""
        return Stretch(*loudest(self.whole, self.samplerate, self._seconds), self.samplerate)

    @cached_property
    def heard(self) -> Signal:
        """The stretch of the file: float32 [frames, channels]."""
        return self._part(self.whole)

    @cached_property
    def source_heard(self) -> Signal | None:
        """The same of the source."""
        if self.source is None:
            return None
        return np.ascontiguousarray(self.source.read(self.stretch.start, self.stretch.frames).T)

    @cached_property
    def stats(self) -> Stats:
        return self.file.stats()

    @cached_property
    def layers_heard(self) -> dict[str, Signal]:
        """Every layer alone over the stretch, where there is more than one."""
        layers = self.file.layers if len(self.file.layers) > 1 else ()
        return {layer: self.rendered(layers=[layer]) for layer in layers}

    @property
    def rendered(self) -> Callable[..., Signal]:
        """`EvcFile.render` over the stretch."""

        def render(**chosen: object) -> Signal:
            found: Signal = self.file.render(**chosen, start=self.stretch.start, frames=self.stretch.frames)  # type: ignore[arg-type]
            return found

        return render

    def _part(self, audio: Signal) -> Signal:
        return audio[self.stretch.start : self.stretch.start + self.stretch.frames]


def check_source(file: EvcFile, source: AudioSource) -> None:
    """Raises InputError unless sample rate, channels and frames are those of the file."""
    for what, other, own in (
        ("Hz", source.samplerate, file.samplerate),
        ("channels", source.channels, file.channels),
        ("frames", source.frames, file.frames),
    ):
        if other != own:
            raise InputError(f"the source has {other} {what}, but the .evc file has {own}")


def clock(seconds: float) -> str:
    """As the page shows times: 1:07.5."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{rest:04.1f}"
