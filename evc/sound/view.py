"""A stretch of a binary file, some of its bytes replaced: what a decoder is shown of a file whose header is wrong."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import BinaryIO

Patch = tuple[int, bytes]  # offset in the file, and what stands there instead


class ByteView(io.RawIOBase):
    """Bytes [start, end) of a seekable binary file, for reading. The file below must not be read in between."""

    def __init__(self, file: BinaryIO, start: int, end: int, patches: Sequence[Patch] = ()) -> None:
        self._file, self._start, self._end, self._patches = file, start, end, patches
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        length = self._end - self._start
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: length}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, of which only as many are taken memory for as there are."""
        left = max(0, self._end - self._start - self._position)
        return super().read(left if size < 0 else min(size, left)) or b""

    def readinto(self, buffer: object) -> int:
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        begin = self._start + self._position
        data = b""
        if begin < self._end:
            self._file.seek(begin)
            data = self._file.read(min(len(target), self._end - begin))
        target[: len(data)] = data
        for offset, replacement in self._patches:
            for at, byte in enumerate(replacement, offset - begin):
                if 0 <= at < len(data):
                    target[at] = byte
        self._position += len(data)
        return len(data)
