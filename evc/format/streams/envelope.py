"""The envelope stream: by how much what the spectrum and the patterns sound like is too quiet or too loud, in a few
bands, from hop to hop (spec 8.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import FrequencyTable, SymbolDecoder, SymbolEncoder
from evc.format.errors import InputError
from evc.format.lazy import once
from evc.format.streams import StreamContext
from evc.format.streams.noise import hops, noise_hop
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.format.streams.spectrum import channel_groups

Integers = NDArray[np.int64]

FILE = "envelope.npz"
VALUES = "values"
CLASSES = 1 << c.ENVELOPE_CLASS_BITS
NEAR = 2 * c.ENVELOPE_NEAR + 1  # cases of a value before
CONTEXTS = NEAR * NEAR


@dataclass
class EnvelopeStream:
    """The envelope of one segment.

    values  int64 [groups, hops, bands], from -4 to 4: gains, in steps of 2 dB, of each channel group (a pair, or a
            channel alone)
    """

    values: Integers = field(default_factory=lambda: np.zeros((0, 0, 0), np.int64))

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the values; InputError where they break a limit (spec 8.4)."""
        if self.values.shape != shape(context):
            raise InputError("the envelope has another shape than its segment")
        if np.abs(self.values).max(initial=0) > c.MOST_ENVELOPE:
            raise InputError("a gain of the envelope is out of range")
        port = WritePort(encoder)
        for group in self.values:
            if port.field(int(group.any()), 1):
                classes = best_classes(group)
                for of_band in classes.tolist():
                    port.field(of_band, c.ENVELOPE_CLASS_BITS)
                port.symbols((group + c.MOST_ENVELOPE).ravel(), table(), rows(group, classes).ravel(), VALUES)

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError where the words hold no envelope."""
        port = ReadPort(decoder)
        values = np.zeros(shape(context), np.int64)
        for group in values:
            if port.field(0, 1):
                _read_group(port, group)
        return cls(values)


def _read_group(port: Port, group: Integers) -> None:
    """Fill the values [hops, bands] of a group."""
    classes = np.array([port.field(0, c.ENVELOPE_CLASS_BITS) for _ in group.T], np.int64)
    port.reserve(group.size)
    first = _first_rows(classes)
    if port.compiled is not None:
        pointers = kernels.pointer(first), group.shape[1], len(group), kernels.pointer(group)
        kernels.lib.evc_read_envelope(port.compiled, table().compiled.struct, *pointers)
        port.settle(VALUES)
        return
    last = before = np.full(group.shape[1], c.ENVELOPE_NEAR, np.int64)
    for hop in group:
        hop[:] = port.symbols(hop, table(), first + NEAR * last + before, VALUES) - c.MOST_ENVELOPE
        last, before = _near(hop), last


def shape(context: StreamContext) -> tuple[int, int, int]:
    """Groups, hops and bands of a segment."""
    return len(channel_groups(context.channels)), hops(context), len(edges(context.samplerate)) - 1


@lru_cache(maxsize=32)
def edges(samplerate: int) -> Integers:
    """Bins, of a hop's S + 1 up to half the sample rate, where the bands begin, and where the last one ends (8.4)."""
    bins = noise_hop(samplerate)
    starts = [-(-hertz * 2 * bins // samplerate) for hertz in c.ENVELOPE_HZ]
    return np.array([*(start for start in starts if start <= bins), bins + 1], np.int64)


def _near(values: Integers) -> Integers:
    """What is told apart of values, from 0 on."""
    near: Integers = np.clip(values, -c.ENVELOPE_NEAR, c.ENVELOPE_NEAR) + c.ENVELOPE_NEAR
    return near


def rows(group: Integers, classes: Integers) -> Integers:
    """The rows of the table for the values [hops, bands] of a group whose bands are of these classes."""
    near = np.pad(_near(group), ((2, 0), (0, 0)), constant_values=c.ENVELOPE_NEAR)
    last, before = near[1:-1], near[:-2]
    found: Integers = _first_rows(classes) + NEAR * last + before
    return found


def _first_rows(classes: Integers) -> Integers:
    """Of each band, the rows of whose class begin there."""
    found: Integers = CONTEXTS * (len(c.ENVELOPE_HZ) * classes + np.arange(len(classes)))
    return found


def best_classes(group: Integers) -> Integers:
    """For each band of a group [hops, bands] the class that takes fewest bits."""
    bits = [
        table().bits[rows(group, np.full(group.shape[1], one)), group + c.MOST_ENVELOPE].sum(axis=0)
        for one in range(CLASSES)
    ]
    best: Integers = np.argmin(bits, axis=0)
    return best


@lru_cache(maxsize=1)
def tables() -> dict[str, Integers]:
    """The arrays of spec/tables/envelope.npz: `values` [classes * bands * 25, 9]."""
    with resources.files("evc.spec").joinpath("tables", FILE).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


@once
def table() -> FrequencyTable:
    """What values are coded under."""
    return FrequencyTable(tables()["values"])
