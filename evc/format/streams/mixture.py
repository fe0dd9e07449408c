"""Symbols under the sum of frozen weights and of histograms of what a stream had before (spec 6.4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.format.streams.port import Port

Integers = NDArray[np.int64]


class Mixture:
    """Symbols 0 .. symbols - 1 under weights that are given, and histograms: every symbol adds `rates` to its own
    place, in the histogram of the context. Where symbols are `ordered`, half of that goes to each place beside it."""

    def __init__(self, symbols: int, rates: Integers, ordered: bool = False) -> None:
        self._symbols = symbols
        self._rates = rates.tolist()
        self._ordered = ordered
        self._histograms: list[dict[int, Integers]] = [{} for _ in self._rates]

    def code(self, port: Port, value: int, weights: Integers, contexts: tuple[int, ...], kind: str) -> int:
        """Code a symbol, in each histogram under its own context."""
        if self._symbols == 1:
            return 0
        rows = []
        for histogram, context in zip(self._histograms, contexts, strict=True):
            row = histogram.get(context)
            if row is None:
                row = histogram[context] = np.zeros(self._symbols + 2, np.int64)  # room beside the first and the last
            else:
                weights = weights + row[1:-1]
            rows.append(row)
        value = port.weighted(value, weights, kind)
        for row, rate in zip(rows, self._rates, strict=True):
            row[value + 1] += rate
            if self._ordered:
                row[value] += rate >> 1
                row[value + 2] += rate >> 1
        return value
