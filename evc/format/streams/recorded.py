"""What compiled kernels record to be coded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evc import kernels
from evc.format.coder import SymbolEncoder
from evc.format.words import check


@contextmanager
def recording(encoder: SymbolEncoder) -> Iterator[Any]:
    """A port for kernels to write to; what they wrote is coded at the end."""
    port = kernels.ffi.gc(kernels.ffi.new("evc_port *"), kernels.lib.evc_forget)
    yield port
    check(port)
    encoder.encode_recorded(port)
