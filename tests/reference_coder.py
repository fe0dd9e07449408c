"""A range decoder in plain Python, written from section 5 of the specification alone."""

from __future__ import annotations

import zlib

MASK = (1 << 64) - 1


def normalised(weights: list[int]) -> list[int]:
    """The frequencies of one row of weights."""
    if sum(weights) == 0:
        weights = [1] * len(weights)
    frequencies, cumulative, before = [], 0, 0
    for weight in weights:
        cumulative += weight
        scaled = cumulative * (2**24 - len(weights)) // sum(weights)
        frequencies.append(scaled - before + 1)
        before = scaled
    return frequencies


class ReferenceDecoder:
    """Decodes one symbol at a time from little-endian 32-bit words."""

    def __init__(self, data: bytes) -> None:
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.next = 0
        self.lower, self.range = 0, MASK
        self.point = self.word() << 32
        self.point |= self.word()
        self.symbols = 0
        self.checksum = 0

    def word(self) -> int:
        self.next += 1
        return self.words[self.next - 1] if self.next <= len(self.words) else 0

    def symbol(self, frequencies: list[int]) -> int:
        scale = self.range >> 24
        quantile = ((self.point - self.lower) & MASK) // scale
        assert quantile < 2**24, "damaged"
        symbol, left = 0, 0
        while left + frequencies[symbol] <= quantile:
            left += frequencies[symbol]
            symbol += 1
        self.lower = (self.lower + scale * left) & MASK
        self.range = scale * frequencies[symbol]
        if self.range < 2**32:
            self.lower = self.lower << 32 & MASK
            self.range <<= 32
            self.point = (self.point << 32 & MASK) | self.word()
        return self.passed(symbol)

    def passed(self, symbol: int) -> int:
        self.symbols += 1
        self.checksum = zlib.crc32(symbol.to_bytes(4, "little"), self.checksum)
        return symbol

    def uniform(self, size: int) -> int:
        if size == 1:
            return self.passed(0)
        share = 2**24 // size
        return self.symbol([share] * (size - 1) + [2**24 - share * (size - 1)])

    def bits(self, widths: list[int]) -> list[int]:
        high = [self.uniform(2 ** (width - 16)) if width > 16 else 0 for width in widths]
        low = [self.uniform(2 ** min(width, 16)) if width > 0 else 0 for width in widths]
        return [(upper << 16) + lower for upper, lower in zip(high, low, strict=True)]

    def golomb(self, orders: list[int]) -> list[int]:
        prefix_frequencies = normalised([2**24 >> (length + 1) for length in range(32)])
        widths = [self.symbol(prefix_frequencies) + order for order in orders]
        return [
            suffix + 2**width - 2**order
            for suffix, width, order in zip(self.bits(widths), widths, orders, strict=True)
        ]
