"""Occurrences and patterns of a whole file as structured arrays; their fields are described by the `as_array` of each
stream's class. Decodes nothing but the streams concerned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evc.format import constants
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.errors import InputError
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream
from evc.format.streams.occurrences import OccurrenceStream

Place = tuple[int, int]  # segment, and row of its stream


def occurrence_array(decoder: SegmentDecoder) -> tuple[NDArray[Any], list[Place]]:
    """All occurrences, ordered by time, and where each is; empty where the layer is absent. In salvage mode those of
    damaged segments are missing."""
    container = decoder.container
    parts = [OccurrenceStream().as_array(stream_context(container, 0), 0)]
    places: list[Place] = []
    for index, stream in decoder.streams(constants.STREAM_OCCURRENCES):
        start = container.header.segment_span(index)[0]
        parts.append(stream.as_array(stream_context(container, index), start))
        places += [(index, row) for row in range(len(parts[-1]))]
    array = stacked(parts)
    order = np.argsort(array["time"], kind="stable")
    return array[order], [places[i] for i in order]


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


def pattern_array(decoder: SegmentDecoder) -> NDArray[Any]:
    """All entries of the dictionary, by number. In salvage mode those that are lost are of kind "lost"."""
    patterns = decoder.patterns
    known = [number for number, pattern in enumerate(patterns) if pattern is not None]
    stream = DictionaryStream([pattern for pattern in patterns if pattern is not None])
    found = stream.as_array(StreamContext.of_dictionary(decoder.container.header, len(known)))
    array = np.zeros(len(patterns), found.dtype)
    array["kind"] = "lost"
    array["start"] = array["loop_start"] = array["loop_length"] = np.nan
    array[known] = found
    return array


def stacked(parts: list[NDArray[Any]]) -> NDArray[Any]:
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
