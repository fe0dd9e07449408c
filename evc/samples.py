"""Sample types: from the decoder's floats to what a caller asks for."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format.errors import InputError

# Bits that a stored sample of each integer subtype has.
INTEGER_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


def whole_number(value: object, what: str) -> int:
    """`value`, if it is a whole number of any integer type; else raises InputError about `what`."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{what} is a whole number, not {value!r}") from None


def converted(audio: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """`audio` (any shape, full scale at ±1) as float32, float64, int16 or int32; integers are rounded to
    the nearest and clipped at full scale."""
    if dtype == "float32":
        return audio
    if dtype == "float64":
        return audio.astype(np.float64)
    if dtype == "int16":
        return _of_16_bits(audio)
    if dtype == "int32":
        return quantised(audio, 32).astype(np.int32)
    raise InputError(f"dtype {dtype!r} is not one of float32, float64, int16, int32")


def quantised(audio: NDArray[np.float32], bits: int) -> NDArray[np.float64]:
    """Whole numbers in [-2**(bits - 1), 2**(bits - 1)), by rounding and clipping."""
    full = 2.0 ** (bits - 1)
    return np.clip(np.rint(audio.astype(np.float64) * full), -full, full - 1)


def stored(audio: NDArray[np.float32], subtype: str) -> NDArray[Any]:
    """`audio` in the type that makes a sound file of `subtype` hold it rounded and clipped exactly: int16,
    int32 with the stored bits on top, or float32."""
    bits = INTEGER_BITS.get(subtype)
    if bits is None:
        return audio
    if bits == 16:
        return _of_16_bits(audio)
    return (quantised(audio, bits) * 2.0 ** (32 - bits)).astype(np.int32)


def _of_16_bits(audio: NDArray[np.float32]) -> NDArray[np.int16]:
    if kernels.lib is None:
        return quantised(audio, 16).astype(np.int16)
    audio = np.ascontiguousarray(audio, np.float32)
    out = np.empty(audio.shape, np.int16)
    kernels.lib.evc_int16(kernels.pointer(audio), audio.size, kernels.pointer(out))
    return out


def turned(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Contiguous audio [channels, frames] as contiguous [frames, channels], or the other way round."""
    if kernels.lib is None or not audio.flags.c_contiguous or audio.dtype != np.float32:
        return np.ascontiguousarray(audio.T, np.float32)
    rows, columns = audio.shape
    out = np.empty((columns, rows), np.float32)
    kernels.lib.evc_transpose(kernels.pointer(audio), rows, columns, kernels.pointer(out))
    return out
