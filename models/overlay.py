"""What sounds over the spectrum and the patterns: events and noise, at any span of a file.

Both are rendered in units that lie on a grid from the file's start, so that a span has the same samples however it was
come to. What an event sounds like depends on nothing but its integers, so events of earlier segments sound on into a
unit without the sound of these segments.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.event_files import events_network, in_file
from evc.events import EventList
from evc.format import constants as c
from evc.format.errors import UnsupportedError
from evc.format.header import Header, NetworkReference
from evc.format.lazy import cached_property
from evc.format.networks import EVENTS_NETWORK, Codebooks, find, installed_network
from evc.models.source import Read
from evc.models.units import Audio, Units

if TYPE_CHECKING:
    from evc.format.streams.events import EventStream
    from evc.models.events.rendering import EventRenderer
    from evc.models.noise.synthesis import NoiseRenderer

LAYERS = {c.STREAM_EVENTS: "events", c.STREAM_NOISE: "noise"}
UNIT_SUPERFRAMES = 32
UNITS_AHEAD = 12  # rendered together, at most; what latents ask for at once is less
LONGEST_EVENT = 6.05  # seconds until an event has died away (spec 7.1)

Decode = Callable[[Iterable[int]], Mapping[int, Mapping[int, Any]]]
Parallel = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


class SoundingEvents(NamedTuple):
    """Events as the renderer takes them: times in seconds, linear amplitudes, pans, vectors [n, 32], keys of noise."""

    times: NDArray[Any]
    amplitudes: NDArray[Any]
    pans: NDArray[Any]
    vectors: NDArray[Any]
    keys: NDArray[Any]

    @classmethod
    def of(cls, events: EventList, reference: NetworkReference) -> SoundingEvents:
        """Vectors that no file has had yet get the keys of the codes next to them."""
        from evc.models.events.noise_source import event_keys

        codes = events.codes
        if codes is None:
            codes = Codebooks.of(reference).vectors_to_codes(events.vectors)
        return cls(events.times, events.amplitudes, events.pans, events.vectors, event_keys(codes))

    def within(self, begin: float, end: float) -> SoundingEvents:
        """Those that start from `begin` on and before `end`, in seconds."""
        rows = slice(*np.searchsorted(self.times, [begin, end]))
        return SoundingEvents(*(column[rows] for column in self))


class Overlay:
    """Renders spans of the `layers` among events and noise, with `parallel`, a function like map. `events` sound in
    place of the file's own. Holds UNITS_AHEAD units of samples, and the streams of the segments that these need.

    decode(segments) returns the streams of each, by kind; those that are lost are left out.
    """

    def __init__(
        self,
        header: Header,
        decode: Decode,
        layers: Collection[str],
        events: EventList | None = None,
        parallel: Parallel = map,
    ) -> None:
        self._header, self._decode, self._parallel, self._events = header, decode, parallel, events
        self.layers = set(layers) & set(LAYERS.values())
        unit = UNIT_SUPERFRAMES * c.superframe_length(header.samplerate)
        self._units = Units(unit, header.known_frames, UNITS_AHEAD, self._render_all)
        self._behind = int(LONGEST_EVENT * header.samplerate) + 1 if "events" in self.layers else 0
        self._around = c.superframe_length(header.samplerate)  # more than noise reaches over the edges of a unit
        self._streams: OrderedDict[int, tuple[SoundingEvents | None, Any]] = OrderedDict()
        reach = self._behind + 2 * self._around + UNITS_AHEAD * unit
        self._kept = reach // header.segment_frames + 2

    def add_to(self, out: Audio, start: int) -> None:
        """Add frames from `start` on to `out` [channels, frames], full scale 1, which lies inside the file."""
        if self.layers and out.shape[1]:
            out += self._units.fetch(start, out.shape[1]).reshape(len(LAYERS), *out.shape).sum(axis=0)

    def noise(self, start: int, frames: int) -> Audio:
        """The noise alone: frames [start, start + frames), which lie inside the file, [channels, frames]."""
        if "noise" not in self.layers or not frames:
            return np.zeros((self._header.channels, frames), np.float32)
        return self._units.fetch(start, frames)[self._header.channels :]

    def ready(self, frame: int) -> bool:
        """Whether a frame needs no more than fetching."""
        return not self.layers or self._units.ready(frame)

    def prepare(self, start: int, end: int) -> None:
        """Unless frame `start` is at hand, render its unit together with some that follow before `end`."""
        if self.layers:
            self._units.prepare(start, end)

    def _render_all(self, numbers: list[int]) -> Iterable[Audio]:
        """The audio of units."""
        self._gather(numbers)
        work = {number: self._sources(number) for number in numbers}
        with self._limits():
            return list(self._parallel(lambda number: self._render(number, work[number]), numbers))

    def _limits(self) -> AbstractContextManager[None]:
        """Units are rendered in threads of their own, which the threads of small products would only slow down."""
        if "events" not in self.layers:
            return nullcontext()
        from evc.models.device import one_thread

        return one_thread()

    def _segments(self, number: int) -> range:
        """The segments whose streams sound in a unit."""
        start, end = self._units.span(number)
        length = self._header.segment_frames
        last = min(end + self._around, self._header.known_frames) - 1
        return range(max(0, start - max(self._behind, self._around)) // length, last // length + 1)

    def _gather(self, numbers: list[int]) -> None:
        """Have the streams that units need at hand, and forget those used longest ago."""
        needed = sorted({index for number in numbers for index in self._segments(number)})
        absent = [index for index in needed if index not in self._streams]
        for index, streams in (self._decode(absent) if absent else {}).items():
            self._streams[index] = self._sounding(index, streams), streams.get(c.STREAM_NOISE)
        for index in needed:
            if index in self._streams:
                self._streams.move_to_end(index)
        while len(self._streams) > max(self._kept, len(needed)):
            self._streams.popitem(last=False)

    def _sounding(self, index: int, streams: Mapping[int, Any]) -> SoundingEvents | None:
        """The events of a segment; None where there are none, or others take their place."""
        stream: EventStream | None = streams.get(c.STREAM_EVENTS)
        if stream is None or not len(stream.times) or "events" not in self.layers or self._events is not None:
            return None
        header = self._header
        coded = in_file(stream, header, index)
        events = EventList.from_coded(coded, header.samplerate, header.phase_bits, self._network)
        return SoundingEvents.of(events, self._network)

    def _sources(self, number: int) -> list[Read | None]:
        """The events and the noise that sound in a unit, if any do."""
        start, end = (frame / self._header.samplerate for frame in self._units.span(number))
        near = {index: self._streams[index] for index in self._segments(number) if index in self._streams}
        found = [events for events, _ in near.values() if events is not None]
        if "events" in self.layers and self._replacement is not None:
            found = [self._replacement]
        parts = [events.within(start - LONGEST_EVENT, end) for events in found]
        sources: list[Read | None] = [None, None]
        if any(len(part.times) for part in parts):
            together = SoundingEvents(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
            sources[0] = partial(self._renderer.render, *together)
        noise = {index: stream for index, (_, stream) in near.items() if stream is not None}
        if noise and "noise" in self.layers:
            sources[1] = partial(self._noise.render, noise)
        return sources

    def _render(self, number: int, sources: Iterable[Read | None]) -> Audio:
        """What sounds in a unit: the channels of events, then those of noise."""
        start, end = self._units.span(number)
        silence = np.zeros((self._header.channels, end - start), np.float32)
        return np.concatenate([silence if source is None else source(start, end - start) for source in sources])

    @cached_property
    def _replacement(self) -> SoundingEvents | None:
        """What takes the place of the file's own events."""
        return None if self._events is None else SoundingEvents.of(self._events, self._network)

    @cached_property
    def _network(self) -> NetworkReference:
        """That of the file's events, or the installed one where events come to a file that has none."""
        if network := events_network(self._header):
            return network
        if self._events is None:
            raise UnsupportedError("the file names no network for its events")
        return installed_network(EVENTS_NETWORK)

    @cached_property
    def _renderer(self) -> EventRenderer:
        return event_renderer(self._network, self._header)

    @cached_property
    def _noise(self) -> NoiseRenderer:
        from evc.models.noise.synthesis import NoiseRenderer

        return NoiseRenderer(self._header.samplerate, self._header.channels, self._header.segment_frames)


def event_renderer(network: NetworkReference, header: Header) -> EventRenderer:
    """The renderer of a file's events. Raises UnsupportedError if the network is not installed."""
    from evc.models.events.generator import Generator
    from evc.models.events.rendering import EventRenderer

    return EventRenderer(Generator.load(find(network)), header.samplerate, header.channels)
