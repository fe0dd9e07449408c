"""Compiled kernels below the format: the same integers and sounds as the NumPy code beside their callers, sooner.

They are C on plain arrays, in an extension that is built where there is a compiler. Where it is missing, or the
environment has EVC_KERNELS=0, `lib` is None and everything runs in NumPy:

    if kernels.lib is not None:
        ...

A call releases the interpreter's lock.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.kernels.sources import digest

_TYPES = {
    "int8": "int8_t[]", "uint8": "uint8_t[]", "bool": "uint8_t[]", "int16": "int16_t[]", "int32": "int32_t[]",
    "uint32": "uint32_t[]", "int64": "int64_t[]", "float32": "float[]", "float64": "double[]", "complex64": "float[]",
}  # fmt: skip
_POINTERS = {np.dtype(name): pointer for name, pointer in _TYPES.items()}


def _load() -> tuple[Any, Any]:
    """(functions, what makes pointers), or twice None."""
    if os.environ.get("EVC_KERNELS") == "0":
        return None, None
    try:
        from evc.kernels import _native  # type: ignore[attr-defined]
    except ImportError:
        return None, None
    if digest() not in (None, _native.lib.evc_built_from()):
        warnings.warn("the compiled kernels are older than their sources: install evc again", stacklevel=3)
        return None, None
    _native.lib.evc_start()
    return _native.lib, _native.ffi


# lib: the functions of kernels.h, or None.
lib, ffi = _load()


def pointer(array: NDArray[Any]) -> Any:
    """An array as a C argument: contiguous, of a type that the function takes (TypeError for another)."""
    return ffi.from_buffer(_POINTERS[array.dtype], array)


@contextmanager
def reference() -> Iterator[None]:
    """Run without kernels: what they are compared with."""
    global lib
    before, lib = lib, None
    try:
        yield
    finally:
        lib = before
