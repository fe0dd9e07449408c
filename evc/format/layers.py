"""Occurrences and patterns of a whole file as structured arrays; their fields are described by the `as_array` of each
stream's class. Decodes nothing but the streams concerned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants
from evc.format.coder import SymbolDecoder
from evc.format.decoding import decode_segment, stream_context
from evc.format.errors import EvcError, InputError
from evc.format.reader import ContainerReader
from evc.format.streams import StreamContext, stream_class
from evc.format.streams.dictionary import DictionaryStream, Pattern
from evc.format.streams.occurrences import OccurrenceStream

Place = tuple[int, int]  # segment, and row of its stream


def occurrence_array(container: ContainerReader) -> tuple[NDArray[Any], list[Place], list[OccurrenceStream]]:
    """All occurrences, ordered by time, where each is, and the stream that it is in; empty where the layer is absent.
    In salvage mode those of damaged segments are missing."""
    parts = [_empty(container, constants.STREAM_OCCURRENCES)]
    places: list[Place] = []
    streams = []
    for index, stream in streams_by_segment(container, constants.STREAM_OCCURRENCES):
        start = container.header.segment_span(index)[0]
        parts.append(stream.as_array(stream_context(container, index), start))
        places += [(index, row) for row in range(len(parts[-1]))]
        streams += [stream] * len(parts[-1])
    array = joined(parts)
    order = np.argsort(array["time"], kind="stable")
    return array[order], [places[i] for i in order], [streams[i] for i in order]


def streams_by_segment(container: ContainerReader, kind: int) -> Iterator[tuple[int, Any]]:
    """(segment, its stream of a kind) where there is one; in salvage mode without damaged ones."""
    present = constants.LAYERS[kind] in container.header.layers
    for index in range(container.segments if present else 0):
        try:
            stream = decode_segment(container, index, kinds={kind}).get(kind)
        except EvcError:
            if not container.salvage:
                raise
            continue
        if stream is not None:
            yield index, stream


def chosen_places(places: list[Place], chosen: ArrayLike) -> set[Place]:
    """Those of `places` that are chosen by indices, or a mask over them. Raises InputError where it is neither."""
    wanted = np.atleast_1d(np.asarray(chosen))
    if not wanted.size:
        return set()
    if wanted.dtype == bool and wanted.shape == (len(places),):
        wanted = np.flatnonzero(wanted)
    elif wanted.dtype.kind not in "iu" or wanted.ndim != 1 or wanted.min() < 0 or wanted.max() >= len(places):
        raise InputError(f"the file has {len(places)} occurrences: a mask over them or indices below that are expected")
    return {places[i] for i in wanted}


def dictionary_streams(container: ContainerReader) -> Iterator[tuple[int, StreamContext, DictionaryStream]]:
    """(number of its first entry, context, entries) of every dictionary; in salvage mode without damaged ones."""
    for dictionary in container.dictionaries:
        context = _dictionary_context(container, dictionary.entries)
        data = dictionary.stream()
        if data is None:
            continue
        try:
            decoder = SymbolDecoder(data.words, data.symbols, data.checksum)
            stream = DictionaryStream.read(decoder, context)
            decoder.finish()
        except EvcError:
            if not container.salvage:
                raise
            continue
        yield dictionary.first, context, stream


def pattern_array(container: ContainerReader) -> tuple[NDArray[Any], list[Pattern | None]]:
    """All entries of the dictionary, by number. In salvage mode those that are lost are of kind "lost", and None."""
    count = max((dictionary.first + dictionary.entries for dictionary in container.dictionaries), default=0)
    array = np.zeros(count, _empty(container, constants.STREAM_DICTIONARY).dtype)
    array["kind"], array["start"] = "lost", np.nan
    patterns: list[Pattern | None] = [None] * count
    for first, context, stream in dictionary_streams(container):
        part = slice(first, first + len(stream.patterns))
        array[part], patterns[part] = stream.as_array(context), stream.patterns
    return array, patterns


def _empty(container: ContainerReader, kind: int) -> NDArray[Any]:
    stream: Any = stream_class(kind)()
    array: NDArray[Any] = stream.as_array(_dictionary_context(container, 0))
    return array


def _dictionary_context(container: ContainerReader, entries: int) -> StreamContext:
    return StreamContext.of_dictionary(container.header, entries)


def joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Structured arrays one after the other. Fields whose shapes differ get room for all, and what is not
    used is -1, or NaN in fields of floats."""
    filled = [part for part in parts if len(part)] or parts[:1]
    if all(part.dtype == filled[0].dtype for part in filled):
        return np.concatenate(filled)
    names = filled[0].dtype.names or ()
    fields = [(name, filled[0].dtype[name].base, _common_shape(filled, name)) for name in names]
    result = np.zeros(sum(map(len, filled)), fields)
    at = 0
    for part in filled:
        for name in names:
            rows = result[name][at : at + len(part)]
            rows[:] = np.nan if rows.dtype.kind == "f" else -1
            rows[(slice(None), *map(slice, part.dtype[name].shape))] = part[name]
        at += len(part)
    return result


def _common_shape(parts: list[NDArray[Any]], name: str) -> tuple[int, ...]:
    shapes = [part.dtype[name].shape for part in parts]
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))
