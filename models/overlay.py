"""What sounds over the spectrum and the patterns, as events and noise do, at any span of a file.

All of it is rendered in units that lie on a grid from the file's start, so that a span has the same samples however it
was come to.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from evc.format import constants as c
from evc.format.header import Header
from evc.models.layers import LAYERS, load
from evc.models.source import Read
from evc.models.units import Audio, Units

UNIT_SUPERFRAMES = 32
UNITS_AHEAD = 12  # rendered together, at most; what latents ask for at once is less

Decode = Callable[[Iterable[int]], Mapping[int, Mapping[int, Any]]]
Parallel = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class OverlayLayer(Protocol):
    """One layer of a file. Its streams are of the kind `stream`; what they tell sounds at most so many frames `before`
    and `after` their segments end and begin. `one_thread` where rendering a unit is better not spread over threads."""

    stream: int
    one_thread: bool
    before: int
    after: int

    def kept(self, index: int, stream: Any) -> Any:
        """What is needed of the stream of segment `index`; None for nothing."""

    def source(self, near: Mapping[int, Any], start: int, end: int) -> Read | None:
        """What renders frames [start, end), from what is kept of the segments near these; None where nothing sounds."""


class Overlay:
    """Renders spans of those of the `layers` that lie over others, with `parallel`, a function like map. What is
    `replaced`, by layer, sounds in place of the file's own streams. Holds UNITS_AHEAD units of samples, and the streams
    of the segments that these need.

    decode(segments) returns the streams of each, by kind; those that are lost are left out.
    """

    def __init__(
        self,
        header: Header,
        decode: Decode,
        layers: Collection[str],
        replaced: Mapping[str, Any] | None = None,
        parallel: Parallel = map,
    ) -> None:
        self._header, self._decode, self._parallel = header, decode, parallel
        self._layers: dict[str, OverlayLayer] = {}
        for name, layer in LAYERS.items():
            if layer.renderer is not None and name in layers:
                given = (replaced[name],) if replaced and name in replaced else ()
                self._layers[name] = load(layer.renderer)(header, *given)
        unit = UNIT_SUPERFRAMES * c.superframe_length(header.samplerate)
        self._units = Units(unit, header.known_frames, UNITS_AHEAD, self._render_all)
        self._before = max((layer.before for layer in self._layers.values()), default=0)
        self._after = max((layer.after for layer in self._layers.values()), default=0)
        self._kept: OrderedDict[int, dict[str, Any]] = OrderedDict()  # by segment, of each layer
        self._most_kept = (self._before + self._after + UNITS_AHEAD * unit) // header.segment_frames + 2

    def add_to(self, out: Audio, start: int) -> None:
        """Add frames from `start` on to `out` [channels, frames], full scale 1, which lies inside the file."""
        if self._layers and out.shape[1]:
            out += self._units.fetch(start, out.shape[1]).reshape(len(self._layers), *out.shape).sum(axis=0)

    def alone(self, layer: str, start: int, frames: int) -> Audio:
        """One layer: frames [start, start + frames), which lie inside the file, [channels, frames]."""
        if layer not in self._layers or not frames:
            return np.zeros((self._header.channels, frames), np.float32)
        first = list(self._layers).index(layer) * self._header.channels
        return self._units.fetch(start, frames)[first : first + self._header.channels]

    def ready(self, frame: int) -> bool:
        """Whether a frame needs no more than fetching."""
        return not self._layers or self._units.ready(frame)

    def prepare(self, start: int, end: int) -> None:
        """Unless frame `start` is at hand, render its unit together with some that follow before `end`."""
        if self._layers:
            self._units.prepare(start, end)

    def _render_all(self, numbers: list[int]) -> Iterable[Audio]:
        """The audio of units."""
        self._gather(numbers)
        work = {number: self._sources(number) for number in numbers}
        with self._limits():
            return list(self._parallel(lambda number: self._render(number, work[number]), numbers))

    def _limits(self) -> AbstractContextManager[None]:
        if not any(layer.one_thread for layer in self._layers.values()):
            return nullcontext()
        from evc.models.device import one_thread

        return one_thread()

    def _segments(self, number: int) -> range:
        """The segments whose streams sound in a unit."""
        start, end = self._units.span(number)
        length = self._header.segment_frames
        last = min(end + self._after, self._header.known_frames) - 1
        return range(max(0, start - self._before) // length, last // length + 1)

    def _gather(self, numbers: list[int]) -> None:
        """Have what units need of the streams at hand, and forget what was used longest ago."""
        needed = sorted({index for number in numbers for index in self._segments(number)})
        absent = [index for index in needed if index not in self._kept]
        for index, streams in (self._decode(absent) if absent else {}).items():
            found = {
                name: layer.kept(index, streams[layer.stream])
                for name, layer in self._layers.items()
                if layer.stream in streams
            }
            self._kept[index] = {name: kept for name, kept in found.items() if kept is not None}
        for index in needed:
            if index in self._kept:
                self._kept.move_to_end(index)
        while len(self._kept) > max(self._most_kept, len(needed)):
            self._kept.popitem(last=False)

    def _sources(self, number: int) -> list[Read | None]:
        """Of each layer, what renders a unit, if anything sounds there."""
        near = [(index, self._kept[index]) for index in self._segments(number) if index in self._kept]
        return [
            layer.source({index: kept[name] for index, kept in near if name in kept}, *self._units.span(number))
            for name, layer in self._layers.items()
        ]

    def _render(self, number: int, sources: Iterable[Read | None]) -> Audio:
        """What sounds in a unit: the channels of one layer after the other."""
        start, end = self._units.span(number)
        silence = np.zeros((self._header.channels, end - start), np.float32)
        return np.concatenate([silence if source is None else source(start, end - start) for source in sources])
