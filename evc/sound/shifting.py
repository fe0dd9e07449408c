"""Making room inside a file, or closing a gap, without holding it in memory."""

from __future__ import annotations

import os
from typing import BinaryIO

_WINDOW = 1 << 20


def replace_bytes(file: BinaryIO, start: int, end: int, data: bytes) -> None:
    """Put `data` where the bytes [start, end) of a readable and writable file are; what is behind them moves."""
    size = file.seek(0, os.SEEK_END)
    shift = len(data) - (end - start)
    if shift > 0:
        for at in range(end + (size - end - 1) // _WINDOW * _WINDOW, end - 1, -_WINDOW) if size > end else ():
            _copy(file, at, min(_WINDOW, size - at), at + shift)
    elif shift < 0:
        for at in range(end, size, _WINDOW):
            _copy(file, at, min(_WINDOW, size - at), at + shift)
        file.truncate(size + shift)
    file.seek(start)
    file.write(data)


def _copy(file: BinaryIO, source: int, count: int, target: int) -> None:
    file.seek(source)
    data = file.read(count)
    file.seek(target)
    file.write(data)
