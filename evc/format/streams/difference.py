"""The difference stream, of NETW chunks: what a file changes of the weights of its networks (spec 8.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import Account, SymbolDecoder, SymbolEncoder
from evc.format.errors import FormatError, InputError
from evc.format.segment import StreamData
from evc.format.streams import StreamContext, coded_stream, decoded_stream
from evc.format.streams.integers import Scales
from evc.format.streams.port import Port, ReadPort, WritePort

Integers = NDArray[np.int64]

GROUPS = ("gains", "biases", "band values", "outputs", "inputs")  # what symbols are for
_ANY = StreamContext(0, 0, 0)  # nothing of the file counts


def _none() -> tuple[Integers, ...]:
    return tuple(np.zeros(0, np.int64) for _ in range(c.DIFFERENCE_GROUPS))


@dataclass
class DifferenceStream:
    """Numbers in groups, whose meaning section 10.13 tells.

    rank    of what is added to linear layers, 0 to 4
    steps   index of the step size of each group, 0 to 31
    values  int64 [n] of each group, from -63 to 63, at most 2**17 of a group
    """

    rank: int = 0
    steps: tuple[int, ...] = (0,) * c.DIFFERENCE_GROUPS
    values: tuple[Integers, ...] = field(default_factory=_none)

    def write(self, encoder: SymbolEncoder, context: StreamContext) -> None:
        """Code the numbers; InputError where they break a limit (spec 8.5)."""
        self._check()
        self._code(WritePort(encoder))

    @classmethod
    def read(cls, decoder: SymbolDecoder, context: StreamContext) -> Self:
        """Raises DamagedError or FormatError where the words hold no such numbers."""
        stream = cls()
        stream._code(ReadPort(decoder))
        return stream

    def _code(self, port: Port) -> None:
        self.rank = port.field(self.rank, c.DIFFERENCE_RANK_BITS)
        if self.rank > c.MAX_DIFFERENCE_RANK:
            raise FormatError(f"a difference of rank {self.rank}; {c.MAX_DIFFERENCE_RANK} is allowed")
        self.steps = tuple(port.field(step, c.DIFFERENCE_STEP_BITS) for step in self.steps)
        counts = [port.number(len(values), c.DIFFERENCE_COUNT_ORDER) for values in self.values]
        if max(counts) > c.MAX_DIFFERENCE_VALUES:
            raise FormatError(f"a group of {max(counts)} adapted weights; {c.MAX_DIFFERENCE_VALUES} are allowed")
        port.reserve(sum(counts))
        if not port.writing:
            self.values = tuple(np.zeros(count, np.int64) for count in counts)
        for name, values in zip(GROUPS, self.values, strict=True):
            _code_group(port, values, name)

    def _check(self) -> None:
        if not 0 <= self.rank <= c.MAX_DIFFERENCE_RANK:
            raise InputError("the rank of a difference is out of range")
        if len(self.steps) != c.DIFFERENCE_GROUPS or len(self.values) != c.DIFFERENCE_GROUPS:
            raise InputError(f"a difference has {c.DIFFERENCE_GROUPS} groups of numbers, with a step each")
        if not all(0 <= step < 1 << c.DIFFERENCE_STEP_BITS for step in self.steps):
            raise InputError("the step of a difference is out of range")
        for values in self.values:
            if values.ndim != 1 or len(values) > c.MAX_DIFFERENCE_VALUES:
                raise InputError(f"a difference has groups of at most {c.MAX_DIFFERENCE_VALUES} numbers")
            if np.abs(values).max(initial=0) > c.MAX_DIFFERENCE:
                raise InputError("a number of a difference is out of range")


def coded_difference(stream: DifferenceStream) -> StreamData:
    """As a NETW chunk holds it. Raises InputError where it breaks a limit."""
    return coded_stream(c.STREAM_ADAPTATION, stream, _ANY)


def decoded_difference(data: StreamData, account: bool = False) -> tuple[DifferenceStream, Account]:
    """The inverse, and what its symbols cost, empty unless asked for. Raises DamagedError or FormatError where the
    words hold no such numbers."""
    return decoded_stream(data, _ANY, account)


def _code_group(port: Port, values: Integers, name: str) -> None:
    """One group, in runs of numbers; the context of a run is how large those of the runs before are."""
    scales, recent = Scales(c.DIFFERENCE_CONTEXTS, c.DIFFERENCE_FIRST), 0
    for start in range(0, len(values), c.DIFFERENCE_RUN):
        run = values[start : start + c.DIFFERENCE_RUN]
        context = min((recent >> c.DIFFERENCE_RECENT_SHIFT).bit_length(), c.DIFFERENCE_CONTEXTS - 1)
        run[:] = scales.signed(port, run, context, name)
        size = int(np.abs(run).sum())
        if np.abs(run).max(initial=0) > c.MAX_DIFFERENCE:
            raise FormatError("an adapted weight is out of range")
        recent += ((size << 8) - recent) >> 1
