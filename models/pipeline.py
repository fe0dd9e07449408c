"""Encoding and rendering of whole files: x = patterns + events + residual (docs/architecture.md).

Only the residual's spectrum layer has an encoder so far. A further layer is rendered first and subtracted from what
the residual has to code; its stream stands beside the spectrum's in each segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import constants
from evc.coder import SymbolEncoder
from evc.decoding import WORKERS
from evc.errors import UnsupportedError
from evc.header import Header
from evc.models.residual.encoder import AnalysedGroup, SegmentAnalyser, encode_segment
from evc.models.residual.rate import ACCEPTED, GainSearch, coded_bandwidth, payload_target, planned_gain, segment_gain
from evc.models.residual.synthesis import render_group
from evc.segment import Segment, StreamData
from evc.settings import EncodeSettings
from evc.source import AudioSource
from evc.streams import StreamContext
from evc.streams.spectrum import SpectrumStream, channel_groups
from evc.writer import ContainerWriter

Progress = Callable[[int, int], None]  # frames done, frames in all

RENDERED = {constants.STREAM_SPECTRUM}
SAMPLED_SEGMENTS = 6  # the gain for a bitrate is searched on this many segments, evenly spread over the file
CORRECTIONS = 2  # and corrected up to so often, if the whole file then misses the bitrate


def encode(
    source: AudioSource, writer: ContainerWriter, settings: EncodeSettings, progress: Progress | None = None
) -> None:
    """Encode a whole source into the segments of `writer`.

    Samples and spectra are held for a few segments at a time. At a quality, segments are written as they come; for a
    bitrate their coded words are kept until the whole file is known to meet it.
    """
    header = writer.header
    gain = planned_gain(settings, source.channels)
    analyser = SegmentAnalyser(source, header.segment_frames, gain, coded_bandwidth(settings, gain))
    target = payload_target(settings, header, writer.bytes_written)
    if target is None:
        for segment in _coded(analyser, header, gain, {}, progress):
            writer.add_segment(segment)
        return
    for segment in _coded_to_target(analyser, header, gain, target, progress):
        writer.add_segment(segment)


def _coded_to_target(
    analyser: SegmentAnalyser, header: Header, gain: int, target: float, progress: Progress | None
) -> list[Segment]:
    """All segments, their words together as near to `target` bytes as the gain allows."""
    count = header.segments
    whole = count <= SAMPLED_SEGMENTS
    sample = range(count) if whole else [int((i + 0.5) * count / SAMPLED_SEGMENTS) for i in range(SAMPLED_SEGMENTS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        analysed = dict(zip(sample, pool.map(analyser.analyse, sample), strict=True))

        def sampled_bits(gain: float) -> float:
            return sum(pool.map(lambda i: encode_segment(analysed[i], segment_gain(gain, i))[1], analysed))

        share = sum(header.segment_span(index)[1] for index in sample) / header.known_frames
        mean = GainSearch(gain, 8 * target * share).run(sampled_bits)
    search = GainSearch(mean, target)
    nearest: list[Segment] = []
    distance = float("inf")
    for _ in range(1 if whole else 1 + CORRECTIONS):
        segments = list(_coded(analyser, header, search.gain, analysed, progress))
        search.probed(_words(segments))
        if abs(search.error()) < distance:
            nearest, distance = segments, abs(search.error())
        if distance <= ACCEPTED:
            break
    return nearest


def _words(segments: list[Segment]) -> int:
    return sum(len(stream.words) for segment in segments for stream in segment.streams)


def _coded(
    analyser: SegmentAnalyser,
    header: Header,
    gain: float,
    analysed: Mapping[int, list[AnalysedGroup | None]],
    progress: Progress | None,
) -> Iterator[Segment]:
    """The segments in order, a few at a time in parallel."""

    def code(index: int) -> Segment:
        groups = analysed[index] if index in analysed else analyser.analyse(index)
        stream, _ = encode_segment(groups, segment_gain(gain, index))
        return Segment(index, streams=(_stream_data(stream, header, index),))

    with ThreadPoolExecutor(WORKERS) as pool:
        for first in range(0, header.segments, WORKERS):
            for segment in pool.map(code, range(first, min(first + WORKERS, header.segments))):
                yield segment
                if progress:
                    progress(sum(header.segment_span(segment.index)), header.known_frames)


def _stream_data(stream: SpectrumStream, header: Header, index: int) -> StreamData:
    frames = header.segment_span(index)[1]
    encoder = SymbolEncoder()
    stream.write(encoder, StreamContext(header.samplerate, header.channels, frames, header.phase_bits))
    coded = encoder.finish()
    return StreamData(constants.STREAM_SPECTRUM, coded.words, coded.symbols, coded.checksum)


def render(header: Header, segments: Mapping[int, Mapping[int, Any]], start: int, frames: int) -> NDArray[np.float32]:
    """Samples [start, start + frames) as float32 [channels, frames], full scale 1.

    segments: decoded streams by kind, by segment number, of every segment that overlaps the span widened by half a
    superframe on both sides; missing ones are silent. Raises UnsupportedError for streams that nothing here renders.
    """
    kinds = {kind for streams in segments.values() for kind in streams}
    if kinds - RENDERED:
        names = ", ".join(constants.STREAM_NAMES[kind] for kind in sorted(kinds - RENDERED))
        raise UnsupportedError(f"this version cannot render: {names}")
    out = np.zeros((header.channels, frames), np.float32)
    spectra = {
        index: streams[constants.STREAM_SPECTRUM]
        for index, streams in segments.items()
        if constants.STREAM_SPECTRUM in streams
    }
    if spectra and frames:
        for number, channels in enumerate(channel_groups(header.channels)):
            groups = {index: stream.groups[number] for index, stream in spectra.items()}
            out[channels] = render_group(groups, header, start, frames, channels)
    return out
