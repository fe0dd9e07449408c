"""Files whose patterns are known: planted copies and placements, and an encoded loop."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from synthesis_tools import ONE, RATE, SEGMENT, occurrence_stream

import evc
from evc.format import constants as c
from evc.format.coder import SymbolEncoder
from evc.format.header import Header
from evc.format.segment import Dictionary, Segment, StreamData
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream, Pattern
from evc.format.streams.gains import OFF
from evc.format.writer import ContainerWriter
from evc.models import sequencer

STRIDE = 4  # coarse bands in a band of gains: four of these
LOOP_RATE, LOOP_FRAMES, LOOP_TIMES = 16_000, 32_000, 6


def loop_audio() -> np.ndarray:
    """Two seconds of music, six times: float32 [frames] at 16 kHz."""
    bar = sequencer.track(10, LOOP_RATE)[-LOOP_FRAMES:].mean(axis=1)
    return np.tile(np.float32(0.8) * bar, LOOP_TIMES)


@cache
def encoded_loop() -> bytes:
    return evc.encode(loop_audio(), LOOP_RATE, quality=4)


def coded(kind: int, stream: Any, context: StreamContext) -> StreamData:
    encoder = SymbolEncoder()
    stream.write(encoder, context)
    found = encoder.finish()
    return StreamData(kind, found.words, found.symbols, found.checksum)


def planted(
    segments: int,
    rows: Mapping[int, Sequence[Mapping[str, Any]]],
    *dictionaries: Sequence[Pattern],
    **options: Any,
) -> bytes:
    """A file with nothing but occurrences, by segment of SEGMENT frames: see `occurrence_stream`."""
    header = Header(RATE, 1, segments * SEGMENT, "PCM_16", ("patterns",), SEGMENT)
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for patterns in dictionaries:
            whole = StreamContext(RATE, 1, header.known_frames, header.phase_bits, len(patterns))
            stream = coded(c.STREAM_DICTIONARY, DictionaryStream(list(patterns)), whole)
            writer.add_dictionary(Dictionary(writer.patterns, len(patterns), (stream,)))
        context = StreamContext(RATE, 1, SEGMENT, header.phase_bits, writer.patterns)
        for index in range(segments):
            found = rows.get(index)
            streams = []
            if found:
                stream = occurrence_stream(found, RATE, stride=STRIDE, **options)
                streams.append(coded(c.STREAM_OCCURRENCES, stream, context))
            writer.add_segment(Segment(index, (), tuple(streams)))
    return target.getvalue()


def copies(spans: Sequence[tuple[int, int, float]], gains: Sequence[int] = (0,) * 4) -> dict[int, list[dict[str, Any]]]:
    """Rows by segment that copy frames [begin, end) of the track from `lag` frames before, cut at segment borders."""
    rows: dict[int, list[dict[str, Any]]] = {}
    for begin, end, lag in sorted(spans):
        while begin < end:
            index, stop = begin // SEGMENT, min(end, (begin // SEGMENT + 1) * SEGMENT)
            row = {"times": (begin - index * SEGMENT) * ONE, "lags": round(lag * ONE), "lengths": stop - begin}
            rows.setdefault(index, []).append({**row, "gains": np.array([gains])})
            begin = stop
    return {index: sorted(found, key=lambda row: row["times"]) for index, found in rows.items()}


def joined(*parts: dict[int, list[dict[str, Any]]]) -> dict[int, list[dict[str, Any]]]:
    """Rows by segment of several plans, in order of time."""
    return {
        index: sorted((row for part in parts for row in part.get(index, ())), key=lambda row: row["times"])
        for index in sorted({index for part in parts for index in part})
    }


SILENT = (OFF,) * 4
LOW = (0, OFF, OFF, OFF)
HIGH = (OFF, 0, 0, 0)
