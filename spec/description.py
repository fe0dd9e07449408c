"""What a decoder must find in a conformance vector, apart from its sound."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.decoding import SegmentDecoder
from evc.format.metadata import Foreign, Picture
from evc.format.networks import installed_too
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData, dependency_depth
from evc.format.speakers import names_of
from evc.format.streams import StreamContext, decoded_stream
from evc.format.streams.difference import DifferenceStream, decoded_difference
from evc.format.streams.spectrum import SpectrumStream
from evc.spec.signals import FOLDER

SHOWN_INTEGERS = 1500  # spectra of so many integers are written out, longer ones only as a digest


def spectrum_integers(stream: SpectrumStream) -> NDArray[np.int32]:
    """The integers of a spectrum stream in the order that the README of the vectors gives."""
    values: list[Any] = []
    for group in stream.groups:
        values += [[group.gain, group.coarse_bands]]
        for number, blocks in enumerate(group.superframes):
            values += [[group.offsets[number] if group.offsets else 0, len(blocks)]]
            for block in blocks:
                values += [[block.depth, int(block.held) + 2 * int(block.alone)]]
                values += [block.modes] if len(block.energies) == 2 else []
                values += [*block.energies, *block.coefficients]
    return np.concatenate([np.asarray(part, "<i4") for part in values])


def describe(data: bytes) -> dict[str, Any]:
    """What a decoder must find in a file, apart from its sound."""
    container, *links = Chain(io.BytesIO(data)).links
    header = container.header
    found: dict[str, Any] = {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "version": header.version,
        "samplerate": header.samplerate,
        "channels": header.channels,
        "speakers": list(names_of(container.speakers, header.channels)),
        "tags": container.tags,
    }
    found |= _link(container)
    if links:
        found["links"] = [_link(link) for link in links]
    beside: dict[str, Sequence[Picture | Foreign]] = {"pictures": container.pictures, "foreign": container.foreign}
    for name, parts in beside.items():
        if parts:
            digests = [{"sha256": hashlib.sha256(part.data).hexdigest()} for part in parts]
            found[name] = [part.as_dict() | digest for part, digest in zip(parts, digests, strict=True)]
    if container.edits is not None:
        found["edits"] = [list(stretch) for stretch in container.edits.stretches]
    return found


def _link(container: ContainerReader) -> dict[str, Any]:
    """What a decoder must find in one link."""
    header = container.header
    found: dict[str, Any] = {
        "frames": header.known_frames,
        "loop": header.loop,
        "layers": list(header.layers),
        "dictionaries": [],
        "segments": [],
    }
    for dictionary in container.dictionaries:
        entries = StreamContext.of_dictionary(header, dictionary.entries)
        known = [data for data in dictionary.streams if data.kind < c.OPTIONAL_STREAM]
        streams = [_description(data, decoded_stream(data, entries)[0]) for data in known]
        found["dictionaries"].append({"entries": dictionary.entries, "streams": streams})
    if (data := container.adaptation) is not None:
        found["adaptation"] = _description(data, decoded_difference(data)[0])
    depths = depths_of(container)
    for index, decoded in decoded_streams(container).items():
        segment = container.segment(index)
        streams = [_description(data, decoded[data.kind]) for data in segment.streams if data.kind in decoded]
        row = {"dependencies": list(segment.dependencies), "depth": depths[index], "streams": streams}
        found["segments"].append(row)
    return found


def depths_of(container: ContainerReader) -> list[int]:
    """Of all segments (section 4.1)."""
    depths: list[int] = []
    for index in range(container.segments):
        depths.append(dependency_depth(container.dependencies(index), depths))
    return depths


def decoded_streams(container: ContainerReader) -> dict[int, dict[int, Any]]:
    """The streams of all segments, by kind."""
    decoder = SegmentDecoder(container, keep=container.segments)
    try:
        with installed_too(FOLDER):
            return dict(sorted(decoder.decode(range(container.segments)).items()))
    finally:
        decoder.close()


def _description(data: StreamData, stream: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": data.kind, "symbols": data.symbols, "checksum": data.checksum}
    if isinstance(stream, DifferenceStream):
        counts = [len(values) for values in stream.values]
        integers = np.concatenate(stream.values).astype("<i4")
        found |= {"rank": stream.rank, "steps": list(stream.steps), "counts": counts}
        return found | {"sha256": hashlib.sha256(integers.tobytes()).hexdigest()}
    if isinstance(stream, SpectrumStream):
        integers = spectrum_integers(stream)
        found |= {"count": len(integers), "sha256": hashlib.sha256(integers.tobytes()).hexdigest()}
        if len(integers) > SHOWN_INTEGERS:
            return found
    return found | {"integers": _plain(stream)}


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and bytes as what JSON has."""
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    return value
