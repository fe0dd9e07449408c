"""A whole file with the spectrum layer alone: every segment by itself, several at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from evc.format import constants as c
from evc.format.cores import WORKERS
from evc.format.header import Header
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.spectrum import SpectrumStream
from evc.models.encoded import word_bytes
from evc.models.envelopes import with_envelopes
from evc.models.progress import Progress, forward
from evc.models.search import nearest
from evc.models.spectrum.encoder import AnalysedGroup, SegmentAnalyser, encode_segment
from evc.models.spectrum.rate import ACCEPTED, GainSearch, segment_gain

SAMPLED_SEGMENTS = 6  # the gain for a bitrate is searched on this many segments, evenly spread over the file
ENVELOPE_BITS = 400  # a second of a channel group, about ...
MOST_OF_ENVELOPES = 0.05  # ... and the most of a file, about
MOST_EXCESS = 1.02  # of a bitrate, with envelopes
CORRECTIONS = 2  # and corrected up to so often, if the whole file then misses the bitrate


class PlainCoder:
    """Codes the segments of a source from a planned gain (log step in 1/64 octave), that of `analyser`.

    Samples and spectra are held for a few segments at a time.
    """

    def __init__(self, analyser: SegmentAnalyser, header: Header) -> None:
        self._analyser, self._header = analyser, header
        self._analysed: dict[int, list[AnalysedGroup | None]] = {}

    def segments(self, gain: float, progress: Progress | None = None, envelopes: bool = True) -> Iterator[Segment]:
        """The segments in order, a few at a time in parallel."""

        def code(index: int) -> tuple[Segment, dict[int, SpectrumStream]]:
            known = index in self._analysed
            groups = self._analysed[index] if known else self._analyser.analyse(index)
            stream, _ = encode_segment(groups, segment_gain(gain, index))
            context = StreamContext.of_segment(self._header, index)
            segment = Segment(index, streams=(coded_stream(c.STREAM_SPECTRUM, stream, context),))
            return segment, {c.STREAM_SPECTRUM: stream}

        with ThreadPoolExecutor(WORKERS) as pool:
            firsts = range(0, self._header.segments, WORKERS)
            numbers = (range(first, min(first + WORKERS, self._header.segments)) for first in firsts)
            coded = chain.from_iterable(pool.map(code, some) for some in numbers)
            bare = (segment for segment, _ in coded)
            for segment in with_envelopes(coded, self._analyser, self._header, pool.map) if envelopes else bare:
                yield segment
                forward(progress, self._header, segment.index)

    def to_target(self, target: float, progress: Progress | None = None) -> list[Segment]:
        """All segments, their words together as near to `target` bytes as the gain allows; without envelopes where
        these leave too little to the spectrum."""
        found = self._nearest(target, True, progress)
        if word_bytes(found) > MOST_EXCESS * target:
            return self._nearest(target, False, progress)
        return found

    def _nearest(self, target: float, envelopes: bool, progress: Progress | None) -> list[Segment]:
        search = GainSearch(self.sampled_gain(target - envelopes * self._of_envelopes(target)), target)
        return nearest(
            lambda: list(self.segments(search.gain, progress, envelopes)),
            lambda segments: search.probed(word_bytes(segments)),
            1 + CORRECTIONS,
            ACCEPTED,
        )

    def _of_envelopes(self, target: float) -> float:
        """Bytes of the `target` that envelopes take, about."""
        seconds = self._header.known_frames / self._header.samplerate
        return min(ENVELOPE_BITS / 8 * seconds * len(self._analyser.groups), MOST_OF_ENVELOPES * target)

    def sampled_gain(self, target: float) -> float:
        """The gain at which the whole file should take `target` bytes, from a sample of its segments."""
        count, header = self._header.segments, self._header
        sample: Iterable[int] = range(count)
        if count > SAMPLED_SEGMENTS:
            sample = [int((i + 0.5) * count / SAMPLED_SEGMENTS) for i in range(SAMPLED_SEGMENTS)]
        with ThreadPoolExecutor(WORKERS) as pool:
            self._analysed = dict(zip(sample, pool.map(self._analyser.analyse, sample), strict=True))

            def sampled_bits(gain: float) -> float:
                bits = pool.map(lambda i: encode_segment(self._analysed[i], segment_gain(gain, i))[1], self._analysed)
                return sum(bits)

            share = sum(header.segment_span(index)[1] for index in sample) / header.known_frames
            return GainSearch(self._analyser.gain, 8 * target * share).run(sampled_bits)
