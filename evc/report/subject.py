"""What a report is about: an open file, what it is compared with, and what of it several sections need."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from evc.api import check_source
from evc.file import EvcFile
from evc.format.errors import InputError
from evc.models.arrays import Signal
from evc.models.report.sounds import Profile
from evc.models.source import AudioSource
from evc.stats import Stats

SECONDS = 15.0  # of the stretch that is compared
Value = TypeVar("Value")
MOST_PLAYED = 600.0  # s: of longer files only the stretch is in the page


class shared(Generic[Value]):  # noqa: N801  (a decorator, as property is)
    """An attribute that is computed once, whichever thread asks first; the others wait for it."""

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute, self._name = compute, compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, subject: Subject, _: type) -> Value:
        with subject.lock:
            if self._name not in subject.known:
                subject.known[self._name] = self._compute(subject)
            found: Value = subject.known[self._name]
            return found


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
            check_source(file, source, "the source has")
        self.file, self.name, self.source = file, name, source
        self._seconds = seconds
        self.lock, self.known = threading.RLock(), dict[str, Any]()

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

    @shared
    def whole(self) -> Signal:
        """What is played: float32 [frames, channels]."""
        self.file.seek(0)
        found: Signal = self.file.read(always_2d=True)
        return found

    def read(self, start: int, frames: int) -> Signal:
        """Frames of what is played: float32 [frames, channels]. Only of files that are in the page all is kept."""
        if self.whole_is_played:
            return self.whole[start : start + frames]
        return self.file.render(start=start, frames=frames)

    @shared
    def profile(self) -> Profile:
        return Profile.of(self.read, self.file.frames, self.samplerate)

    @shared
    def stretch(self) -> Stretch:
        """The loudest stretch of as many seconds as asked for."""
        wanted = round(min(self._seconds, self.duration) * self.samplerate)
        return Stretch(*self.profile.loudest(wanted), self.samplerate)

    @shared
    def heard(self) -> Signal:
        """The stretch of the file: float32 [frames, channels]."""
        return self.read(self.stretch.start, self.stretch.frames)

    @shared
    def source_heard(self) -> Signal | None:
        """The same of the source."""
        if self.source is None:
            return None
        return np.ascontiguousarray(self.source.read(self.stretch.start, self.stretch.frames).T)

    @shared
    def stats(self) -> Stats:
        return self.file.stats()

    @shared
    def layers_heard(self) -> dict[str, Signal]:
        """Every layer alone over the stretch, where there is more than one."""
        layers = self.file.layers if len(self.file.layers) > 1 else ()
        return {layer: self.rendered(layers=[layer]) for layer in layers}

    @shared
    def events_heard(self) -> Signal:
        """The events alone over the stretch."""
        return self.layers_heard.get("events", self.heard)

    @property
    def rendered(self) -> Callable[..., Signal]:
        """`EvcFile.render` over the stretch."""

        def render(**chosen: object) -> Signal:
            found: Signal = self.file.render(**chosen, start=self.stretch.start, frames=self.stretch.frames)  # type: ignore[arg-type]
            return found

        return render


def clock(seconds: float, digits: int = 1) -> str:
    """As the page shows times: 1:07.5."""
    minutes, rest = divmod(round(seconds, digits), 60)
    return f"{int(minutes)}:{rest:0{digits + 3}.{digits}f}"
