"""Compiled kernels below the format: the same integers and sounds as the NumPy code beside their callers, sooner.

They are C on plain arrays, in an extension that is built where there is a compiler. Where it is missing, or the
environment has EVC_KERNELS=0, `lib` is None and everything runs in NumPy:

    if kernels.lib is not None:
        ...

A call releases the interpreter's lock. Importing this loads the extension, but not NumPy.
"""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evc.kernels.sources import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

# By the character of an array's type, which NumPy tells at once. A C long has 32 or 64 bits.
_LONG = "int64_t[]" if struct.calcsize("l") == 8 else "int32_t[]"
_POINTERS = {
    "b": "int8_t[]", "B": "uint8_t[]", "?": "uint8_t[]", "h": "int16_t[]", "i": "int32_t[]", "I": "uint32_t[]",
    "l": _LONG, "L": f"u{_LONG}", "q": "int64_t[]", "f": "float[]", "d": "double[]", "F": "float[]",
}  # fmt: skip


def _load() -> tuple[Any, Any, str]:
    """(functions, what makes pointers, ""), or (None, None, why there are none)."""
    if os.environ.get("EVC_KERNELS") == "0":
        return None, None, "EVC_KERNELS=0"
    try:
        from evc.kernels import _native  # type: ignore[attr-defined]
    except ImportError:
        return None, None, "no compiled kernels"
    if digest() not in (None, _native.lib.evc_built_from()):
        reason = "the compiled kernels are older than their sources"
        warnings.warn(f"{reason}: install evc again", stacklevel=2)
        return None, None, reason
    _native.lib.evc_start()
    return _native.lib, _native.ffi, ""


# lib: the functions of the headers that build.py names, or None.
lib, ffi, _missing = _load()


def what_runs() -> str:
    """For people: "compiled kernels", or "NumPy: " and why there are none."""
    return f"NumPy: {_missing}" if _missing else "compiled kernels"


def pointer(array: NDArray[Any]) -> Any:
    """An array as a C argument: contiguous, of a type that the function takes (TypeError for another)."""
    return ffi.from_buffer(_POINTERS[array.dtype.char], array)


@contextmanager
def reference() -> Iterator[None]:
    """Run without kernels: what they are compared with."""
    global lib
    before, lib = lib, None
    try:
        yield
    finally:
        lib = before
