"""Encoding and rendering of whole files: x = patterns + events + residual (architecture: docs/architecture.md).

Only the residual's spectrum layer has an encoder so far; further layers are rendered first and subtracted from what
the residual has to code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import constants
from evc.coder import SymbolEncoder
from evc.errors import UnsupportedError
from evc.header import Header
from evc.models.residual.encoder import SegmentAnalyser, encode_segment
from evc.models.residual.rate import RateControl, planned_gain
from evc.models.residual.synthesis import render_group
from evc.segment import Segment, StreamData
from evc.settings import EncodeSettings
from evc.source import AudioSource
from evc.streams import StreamContext
from evc.streams.spectrum import channel_groups
from evc.writer import ContainerWriter

Progress = Callable[[int, int], None]  # frames done, frames in all

RENDERED = {constants.STREAM_SPECTRUM}
BANDWIDTH_HZ = 21_600.0  # what lies above is inaudible and only coded at the highest qualities
FULL_BANDWIDTH_QUALITY = 9.0


def encode(
    source: AudioSource, writer: ContainerWriter, settings: EncodeSettings, progress: Progress | None = None
) -> None:
    """Encode a whole source into the segments of `writer`. Memory does not grow with the length."""
    header = writer.header
    quality = settings.quality
    highest = source.samplerate / 2 if quality is not None and quality >= FULL_BANDWIDTH_QUALITY else BANDWIDTH_HZ
    gain = planned_gain(settings, source)
    analyser = SegmentAnalyser(source, header.segment_frames, gain, highest)
    rate = RateControl(settings, header, gain, writer.bytes_written)
    rate.calibrate(analyser)
    for segment, done in _coded_segments(analyser, header, rate):
        writer.add_segment(segment)
        if progress:
            progress(done, source.frames)


def _coded_segments(analyser: SegmentAnalyser, header: Header, rate: RateControl) -> Iterator[tuple[Segment, int]]:
    """Segments in order, with the frames done after each; a few are coded at once."""
    workers = os.cpu_count() or 1

    def code(index: int) -> Segment:
        stream, _ = encode_segment(rate.analysed(index, analyser), rate.gain(index))
        return Segment(index, streams=(coded_stream(stream, header, index),))

    with ThreadPoolExecutor(workers) as pool:
        for first in range(0, header.segments, workers):
            batch = range(first, min(first + workers, header.segments))
            for index, segment in zip(batch, pool.map(code, batch)):
                rate.spent(index, segment)
                start, frames = header.segment_span(index)
                yield segment, start + frames


def coded_stream(stream: Any, header: Header, index: int) -> StreamData:
    """The words of a spectrum stream of segment `index`."""
    context = StreamContext(header.samplerate, header.channels, header.segment_span(index)[1], header.phase_bits)
    encoder = SymbolEncoder()
    stream.write(encoder, context)
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
    superframe = constants.superframe_length(header.samplerate)
    spectra = {
        index: streams[constants.STREAM_SPECTRUM]
        for index, streams in segments.items()
        if constants.STREAM_SPECTRUM in streams
    }
    if not spectra or not frames:
        return out
    for number, channels in enumerate(channel_groups(header.channels)):
        groups = {index: stream.groups[number] for index, stream in spectra.items()}
        out[channels] = render_group(
            groups, start, frames, header.known_frames, superframe, header.segment_frames, channels
        )
    return out
