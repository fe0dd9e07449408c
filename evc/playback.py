"""Audio of a file: superframes rendered when asked for, in parallel where it pays, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evc.format.decoding import WORKERS, SegmentDecoder
from evc.format.lazy import cached_property
from evc.format.networks import check

if TYPE_CHECKING:
    from evc.models.events.columns import Heard
    from evc.models.synthesis import Synthesiser

_AHEAD = 2 * WORKERS  # segments rendered together


class Player:
    """Renders spans of a file, with all that is in it or only some `layers` and `occurrences`, the latter as (segment,
    row of its stream), and with `events` in place of its own. Holds the audio of a few segments, and of those that
    copies reach back to, however long the file is."""

    def __init__(
        self,
        decoder: SegmentDecoder,
        layers: Collection[str] | None = None,
        occurrences: Collection[tuple[int, int]] | None = None,
        events: Heard | None = None,
    ) -> None:
        self._decoder, self._layers, self._occurrences, self._events = decoder, layers, occurrences, events

    def close(self) -> None:
        self._decoder.close()
        self.__dict__.pop("_synthesiser", None)

    @cached_property
    def _synthesiser(self) -> Synthesiser:
        from evc.models.synthesis import Choice, FileSegments, Synthesiser

        segments, choice = FileSegments(self._decoder), None
        if self._layers is not None or self._occurrences is not None or self._events is not None:
            layers = segments.header.layers if self._layers is None else self._layers
            choice = Choice(layers, self._occurrences, self._events)
        return Synthesiser(segments, choice, self._map)

    def audio(self, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames), which lie inside the file, as float32 [channels, frames]. Lost
        spans (salvage mode) are silence."""
        self._check_networks()
        audio = self._synthesiser.render(start, frames)
        header = self._decoder.container.header
        meeting = min(header.loop_overlap, header.sound_frames) - start
        if meeting > 0 and frames:
            self._meet(audio[:, :meeting], start)
        return audio

    def _meet(self, audio: NDArray[np.float32], start: int) -> None:
        """Fade a loop's start [channels, frames], from frame `start` on, in from what is coded behind its end (spec
        10.6), unless that is lost."""
        header = self._decoder.container.header
        behind = header.sound_frames + start
        again = self._synthesiser.render(behind, audio.shape[1])
        if self._decoder.lost.keys() & {at // header.segment_frames for at in (behind, behind + audio.shape[1] - 1)}:
            return
        length = min(header.loop_overlap, header.sound_frames)
        position = (start + np.arange(audio.shape[1]) + 0.5) / length
        weights = (np.sin(np.pi / 2 * position) ** 2).astype(np.float32)
        audio *= weights
        audio += again * (1 - weights)

    def waveform(self, entry: int) -> NDArray[np.float32]:
        """The sound of a dictionary entry that is no excerpt, as float32 [channels, frames]. Raises DamagedError if it
        is lost."""
        return self._synthesiser.waveform(entry)

    def prefetch(self, start: int, end: int) -> None:
        """Unless frame `start` is at hand, render it together with some segments that follow before `end`."""
        self._check_networks()
        if start < end and not self._synthesiser.ready(start, start + 1):
            length = self._decoder.container.header.segment_frames
            self._synthesiser.prepare(start, min(end, (start // length + _AHEAD) * length))

    def _map(self, function: Callable[[Any], None], items: Sequence[Any]) -> Iterable[None]:
        """Like map, in threads where there is more than one item."""
        return self._decoder.threads.map(function, items) if len(items) > 1 else map(function, items)

    def _check_networks(self) -> None:
        if networks := self._decoder.container.header.networks:
            check(networks)
