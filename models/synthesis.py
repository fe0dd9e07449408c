"""From decoded streams to samples: patterns and spectrum, over them events and noise, then what latents add, and last,
in files with latents, what copies repeat of all that (spec 10.14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData
from evc.format.sources import Entry, repeats_output
from evc.format.streams.envelope import EnvelopeStream
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.overlay import Overlay, Parallel
from evc.models.spectrum.envelope import Shaper
from evc.models.superframes import COPIED, WINDOW, Choice, Segments, Streams, Superframes

if TYPE_CHECKING:
    from evc.models.latents.rendering import LatentRenderer
    from evc.models.patterns.repeats import Repeats

LATENT, PATTERNS = c.LAYERS[c.STREAM_LATENT], c.LAYERS[c.STREAM_OCCURRENCES]


class Synthesiser:
    """Renders any span of a file, or of what a `choice` leaves of it, with `parallel`, a function like map. What it
    holds does not grow with the file."""

    def __init__(self, segments: Segments, choice: Choice | None = None, parallel: Parallel = map) -> None:
        self._choice, self._parallel = choice, parallel
        self._segments = segments
        header = segments.header
        layers = header.layers if choice is None else choice.layers
        replaced = {} if choice is None or choice.events is None else {"events": choice.events}
        present = (set(header.layers) | replaced.keys()) & set(layers)
        self._superframes = Superframes(self._segments, choice, parallel)
        copied = ("spectrum",) if repeats_output(header.layers) else COPIED
        self._copied = not header.layers or bool(present & set(copied))
        self._shaper = Shaper(self._segments)
        self._overlay = Overlay(header, self._segments.decode, present, replaced, parallel)
        self._latents = self._latent_renderer() if LATENT in present else None
        repeated = repeats_output(header.layers) and PATTERNS in present
        self._repeats = self._repeats_of_all() if repeated else None

    def _latent_renderer(self) -> LatentRenderer:
        """Latents are hints about all other layers together, whatever is to be heard of these."""
        from evc.models.latents.rendering import LatentRenderer, latent_network

        header, others = self._segments.header, self
        if self._choice is not None:
            others = self._without(LATENT, PATTERNS) if repeats_output(header.layers) else self._without(LATENT)
        network = latent_network(header, adaptation=self._segments.adaptation)
        return LatentRenderer(header, self._segments.decode, others.known, network, self._parallel)

    def _repeats_of_all(self) -> Repeats:
        """Copies repeat all layers together, likewise."""
        from evc.models.patterns.repeats import Repeats

        if self._choice is None:
            return Repeats(self._segments, self._plain, self._prepare_plain)
        others, chosen = self._without(PATTERNS), self._choice.occurrences
        return Repeats(
            self._segments, others.render, others.prepare, lambda place: chosen is None or place in chosen
        )

    def _without(self, *layers: str) -> Synthesiser:
        """Of the same file without some layers."""
        kept = tuple(name for name in self._segments.header.layers if name not in layers)
        return Synthesiser(self._segments, Choice(kept), self._parallel)

    @property
    def header(self) -> Header:
        return self._segments.header

    def render(self, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames), which lie inside the file: float32 [channels, frames] of full scale 1.

        Raises FormatError for occurrences that cannot be rendered.
        """
        out = np.zeros((self._segments.header.channels, frames), np.float32)
        at, end = start, start + frames
        while at < end:
            stop = min(end, self._together(at))
            self._render(out[:, at - start : stop - start], at)
            at = stop
        length = self._segments.header.segment_frames
        for index in range(start // length, -(-end // length)):
            if index in self._segments.lost:
                out[:, max(0, index * length - start) : max(0, (index + 1) * length - start)] = 0
        return out

    def _together(self, start: int) -> int:
        """Up to where all layers are rendered from frame `start` on before any goes on, so that their segments are at
        hand."""
        if self._latents is not None:
            return self._latents.together(start)
        length = self._segments.header.segment_frames
        return (start // length + WINDOW) * length

    def _render(self, out: NDArray[np.float32], start: int) -> None:
        """Frames from `start` on into `out`, all zeros."""
        if self._repeats is not None and self._choice is None:
            out += self._repeats.fetch(start, out.shape[1])
            return
        self._render_plain(out, start)
        if self._repeats is not None:
            out += self._repeats.changes(start, out.shape[1])

    def _plain(self, start: int, frames: int) -> NDArray[np.float32]:
        """What is to be heard in frames [start, start + frames) without copies of the output."""
        out = np.zeros((self._segments.header.channels, frames), np.float32)
        self._render_plain(out, start)
        return out

    def _render_plain(self, out: NDArray[np.float32], start: int) -> None:
        """The same from `start` on into `out`, all zeros."""
        if self._latents is None:
            self._add_others(out, start)
            return
        self._latents.prepare(start, start + out.shape[1])  # leaves the other layers at hand
        self._add_others(out, start)
        out += self._latents.fetch(start, out.shape[1])

    def _add_others(self, out: NDArray[np.float32], start: int) -> None:
        """What is to be heard of all layers but latents, lost segments included."""
        if self._copied:
            self._shaper.fetch(self._superframes.fetch, out, start)
        self._overlay.add_to(out, start)

    def known(self, start: int, frames: int) -> NDArray[np.float32]:
        """What latents are hints about, in frames [start, start + frames): all other layers together, and the noise
        alone, [2 * channels, frames]. Of lost segments it is what is known of them."""
        out = np.zeros((self._segments.header.channels, frames), np.float32)
        self._add_others(out, start)
        return np.concatenate([out, self._overlay.alone("noise", start, frames)])

    def waveform(self, entry: int) -> NDArray[np.float32]:
        """The sound of an explicit or lattice entry alone: float32 [channels, frames] of full scale 1."""
        return self._superframes.waveform(entry)

    def ready(self, start: int, end: int) -> bool:
        """Whether frames [start, end), a few at most, need no more than fetching."""
        if self._repeats is not None and not self._repeats.ready(start, end):
            return False
        if self._repeats is not None and self._choice is None:
            return True
        if self._latents is not None and not self._latents.ready(start):
            return False
        return self._overlay.ready(start) and not (
            self._copied and not self._superframes.ready(*self._shaper.span(start, end))
        )

    def prepare(self, start: int, end: int) -> None:
        """Render what is absent of frames [start, end), of what is in units only so much that memory stays bounded."""
        if self._latents is not None:
            end = min(end, self._latents.together(start))
        if self._repeats is not None:
            self._repeats.prepare(start, end)
        if self._repeats is None or self._choice is not None:
            self._prepare_plain(start, end)

    def _prepare_plain(self, start: int, end: int) -> None:
        """The same without copies of the output."""
        if self._latents is not None:
            self._latents.prepare(start, end)
        if self._copied:
            self._superframes.prepare(*self._shaper.span(start, end))
        self._overlay.prepare(start, end)


class FileSegments:
    """A decoder as synthesis sees it."""

    def __init__(self, decoder: SegmentDecoder) -> None:
        self._decoder = decoder

    @property
    def header(self) -> Header:
        return self._decoder.container.header

    @property
    def lost(self) -> Mapping[int, str]:
        return self._decoder.lost

    @property
    def adaptation(self) -> StreamData | None:
        return self._decoder.container.adaptation

    @property
    def entries(self) -> Sequence[Entry | None]:
        return self._decoder.entries

    def decode(self, indices: Iterable[int]) -> Mapping[int, Streams]:
        return self._decoder.decode(indices)

    def occurrences(self, index: int) -> OccurrenceStream | None:
        """Those of a segment; None where there are none, or the segment is lost (salvage mode)."""
        stream: OccurrenceStream | None = self._stream(index, c.STREAM_OCCURRENCES)
        return stream

    def envelope(self, index: int) -> EnvelopeStream | None:
        """That of a segment; None where there is none, or the segment is lost (salvage mode)."""
        stream: EnvelopeStream | None = self._stream(index, c.STREAM_ENVELOPE)
        return stream

    def _stream(self, index: int, kind: int) -> Any:
        if self._decoder.container.salvage and index not in self._decoder.decode([index]):
            return None
        # In strict mode the whole segment is decoded when its turn comes.
        return self._decoder.stream(index, kind)


@contextmanager
def of_file(file: BinaryIO, choice: Choice | None = None) -> Iterator[Synthesiser]:
    """A synthesiser of a whole .evc file."""
    with closing(SegmentDecoder(ContainerReader(file))) as decoder:
        yield Synthesiser(FileSegments(decoder), choice, decoder.threads.map)
