"""Latents to integers: as finely as bytes allow.

One step size holds for the whole file, since equal errors of latents are about equally bad, so that bits go where more
differs from what other layers render. The largest step that takes too many bytes is kept, and bits are then weighed
against errors until the bytes fit.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.latent import LatentStream
from evc.format.streams.latent_model import LatentModel
from evc.models.device import one_thread
from evc.models.encoded import Encoded
from evc.models.latents.layout import SAMPLES_PER_COLUMN
from evc.models.latents.rendering import step_size
from evc.models.progress import Progress
from evc.models.search import Secant

ROUNDING = 0.4  # of a step, added to magnitudes before they are cut off: a first guess at what is worth its bits
WORTH, MOST_WORTH = 0.05, 0.2  # of a bit, in squared steps; measured: by the error alone it would be more
STEP_INDICES = 1 << c.LATENT_STEP_BITS
USUAL_INDEX, USUAL_BYTES = 41, 390.0  # a step that takes about so many bytes per second,
SLOPE = -1 / 17  # and d log2(bytes) / d index, before two probes tell it
WORTH_SLOPE = -2.6  # d log2(bytes) / d worth, likewise
PROBES = 8
ACCEPTED = 0.008  # of log2 of the bytes of latents
STREAM_BYTES = 12.0  # of a stream beyond the information of its symbols, about
PROBE_SHARE = 0.7  # of the search that is left after each probe, for showing progress

Integers = NDArray[np.int64]


class LatentQuantiser:
    """Adds `latents` to the segments of a `described` file, whose header has a layer for them already."""

    def __init__(
        self, described: Encoded, latents: NDArray[np.floating], target: float, progress: Progress | None = None
    ) -> None:
        """latents: [columns, DIMENSIONS] of the whole file, in units of the finest step; target: bytes of the whole
        file without tags."""
        self._described = described
        self._header, self._segments, self._latents = described.header, list(described.segments), latents
        self._model = LatentModel.of(self._header.networks)
        self._room = max(target - replace(described, segments=self._segments).bytes(), 1.0)
        self._nearest, self._distance = (0, WORTH), math.inf
        self._known: dict[tuple[int, float], float] = {}
        self._probes, self._progress = 0, progress

    def run(self) -> Encoded:
        """The file of about as many bytes as wanted, or fewer if the finest step needs no more."""
        with one_thread():
            self._thin_out(self._coarsest_above())
            segments = [self._with_latents(segment, *self._nearest) for segment in self._segments]
        if self._progress is not None:
            self._progress(self._header.known_frames, self._header.known_frames)
        return replace(self._described, segments=segments)

    def _coarsest_above(self) -> int:
        """The coarsest step that takes more bytes than wanted, by its index; 0 if none does."""
        low, high, index = -1, STEP_INDICES, self._first_guess()
        slope, before = SLOPE, (index, 0.0)
        while high - low > 1:
            excess = self._excess(index, WORTH)
            low, high = (index, high) if excess >= 0 else (low, index)
            if index != before[0]:
                slope = min((excess - before[1]) / (index - before[0]), SLOPE / 4)
            before = index, excess
            guess = math.floor(index - excess / slope) if self._probes < PROBES else (low + high) // 2
            index = min(max(guess, low + 1), high - 1)
        return max(low, 0)

    def _first_guess(self) -> int:
        seconds = self._header.known_frames / self._header.samplerate
        octaves = math.log2(self._room / seconds / USUAL_BYTES)
        return min(max(round(USUAL_INDEX + octaves / SLOPE), 0), STEP_INDICES - 1)

    def _thin_out(self, index: int) -> None:
        """Let bits weigh more until latents take no more of them than wanted; less where even the finest step takes
        too few."""
        search = Secant(WORTH, WORTH_SLOPE, (-math.inf, WORTH_SLOPE / 4), (0.0, MOST_WORTH))
        for _ in range(1 + PROBES):
            worth = search.at
            search.probed(self._excess(index, worth))
            if self._distance <= ACCEPTED or search.at == worth:
                break

    def _excess(self, index: int, worth: float) -> float:
        """log2 of the bytes that latents take, over those that there are."""
        if (index, worth) not in self._known:
            size = sum(self._size(segment, index, worth) for segment in self._segments)
            excess = self._known[index, worth] = math.log2(max(size, 1.0) / self._room)
            if abs(excess) < self._distance:
                self._nearest, self._distance = (index, worth), abs(excess)
            self._probes += 1
            if self._progress is not None:
                frames = self._header.known_frames
                self._progress(round(frames * (1 - PROBE_SHARE**self._probes)), frames)
        return self._known[index, worth]

    def _size(self, segment: Segment, index: int, worth: float) -> float:
        """Bytes of the latents of a segment, about."""
        whole = self._whole(segment, index, worth)
        return STREAM_BYTES + float(self._model.bits(whole, index).sum()) / 8 if whole.any() else 0.0

    def _whole(self, segment: Segment, index: int, worth: float) -> Integers:
        """The latents [columns, DIMENSIONS] of a segment, counted in steps of an index."""
        start, frames = self._header.segment_span(segment.index)
        first = start // SAMPLES_PER_COLUMN
        columns = slice(first, first - (-frames // SAMPLES_PER_COLUMN))
        values = self._latents[columns].astype(np.float32) / np.float32(step_size(index))
        return chosen(self._model, values, index, worth)

    def _with_latents(self, segment: Segment, index: int, worth: float) -> Segment:
        """A segment and its latents; as it was if they are all zero."""
        whole, header = self._whole(segment, index, worth), self._header
        if not whole.any():
            return segment
        context = StreamContext.of_segment(header, segment.index)
        coded = coded_stream(c.STREAM_LATENT, LatentStream(whole, index), context)
        return replace(segment, streams=(*segment.streams, coded))


def chosen(model: LatentModel, wanted: NDArray[np.float32], index: int, worth: float) -> Integers:
    """Integers [columns, DIMENSIONS] of least squared error plus `worth` for each bit, among the three nearest to those
    `wanted`, and zero. What they do to the probabilities of others is left out of account."""
    limited = np.clip(wanted, -c.MAX_LATENT + 1, c.MAX_LATENT - 1)
    if kernels.lib is not None and model.compiled is not None:
        return model.compiled.choose(index, limited, ROUNDING, worth)
    found = np.copysign(np.floor(np.abs(limited) + np.float32(ROUNDING)), limited).astype(np.int64)
    for stage, predicted in enumerate(model.predictions(found, index)):
        at = model.passes[stage]
        nearest = np.rint(limited[:, at]).astype(np.int64)
        tried = np.stack([nearest, nearest - 1, nearest + 1, np.zeros_like(nearest)])
        costs = np.square(limited[:, at] - tried) + worth * model.costs(stage, tried, predicted)
        found[:, at] = np.take_along_axis(tried, costs.argmin(axis=0)[None], axis=0)[0]
    return found
