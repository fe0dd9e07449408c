"""Compiled kernels of streams of few symbols: what they record to be coded, and the tables of adaptive integers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from evc import kernels
from evc.format.coder import SymbolEncoder
from evc.format.streams.integers import FLAGS, MAGNITUDES, ROW_OF_MEAN
from evc.format.words import check


@contextmanager
def recording(encoder: SymbolEncoder) -> Iterator[Any]:
    """A port for kernels to write to; what they wrote is coded at the end."""
    port = kernels.ffi.gc(kernels.ffi.new("evc_port *"), kernels.lib.evc_forget)
    yield port
    check(port)
    encoder.encode_recorded(port)


@lru_cache(maxsize=1)
def adaptive() -> Any:
    """The tables of adaptive integers as kernels take them."""
    struct = kernels.ffi.new("evc_adaptive *")
    struct.magnitudes, struct.flags = MAGNITUDES.compiled.struct[0], FLAGS.compiled.struct[0]
    struct.rows = kernels.pointer(_ROWS)
    return struct


_ROWS = ROW_OF_MEAN.astype(np.int32)
