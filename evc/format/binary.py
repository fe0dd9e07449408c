"""Little-endian fields: `ByteReader` takes them from a payload, `varint` writes the variable ones."""

from __future__ import annotations

from evc.format.errors import FormatError

_VARINT_BITS = 64


def varint(value: int) -> bytes:
    """Unsigned LEB128 (spec 1.2): seven bits a byte, lowest first, bit 7 set on all but the last."""
    if not 0 <= value < 1 << _VARINT_BITS:
        raise ValueError(f"varint out of range: {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class ByteReader:
    """Takes fields off the front of a payload; every method raises FormatError where it is too short.

    `what` names the payload in messages, for instance "segment".
    """

    def __init__(self, payload: bytes, what: str) -> None:
        self._payload = payload
        self._what = what
        self.position = 0

    @property
    def remaining(self) -> int:
        return len(self._payload) - self.position

    def take(self, count: int) -> bytes:
        if count > self.remaining:
            raise FormatError(f"{self._what} is too short: {count} bytes wanted, {self.remaining} left")
        start = self.position
        self.position += count
        return self._payload[start : self.position]

    def unsigned(self, width: int) -> int:
        """An unsigned integer of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def varint(self) -> int:
        value = 0
        for shift in range(0, _VARINT_BITS, 7):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                # One encoding per number, so that equal contents are equal bytes.
                if value >> _VARINT_BITS or (byte == 0 and shift):
                    break
                return value
        raise FormatError(f"{self._what} holds a malformed variable-length integer")

    def finish(self) -> None:
        """Raise FormatError unless every byte was taken."""
        if self.remaining:
            raise FormatError(f"{self._what} has {self.remaining} bytes too many")
