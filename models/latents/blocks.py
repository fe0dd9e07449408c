"""Layers of the latent networks for inference, in NumPy or compiled: values are float32 [rows, channels].

A convolution gives only the rows that it has all inputs of, so that each layer is computed where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc import kernels

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]

_NORM = np.float32(1e-5)  # added to variances
# Phi(-t) = e**(-t**2 / 2) P(t) / Q(t), within 1e-9: coefficients of P and Q from the constant on, fitted to errors that
# weigh as much as they change gelu.
_TAIL = np.array(
    [
        0.499999996731817, 0.31756263810847196, 0.09562643357809597, 0.011739907913977433,
        1.0, 1.4330093097572139, 0.8346355311557044, 0.23884715940890044, 0.029462667215124184,
    ], np.float32,
)  # fmt: skip
_FARTHEST = np.float32(10)  # beyond it Phi(-t) is 0 in single precision


class Linear:
    """A layer `name` of tensors, whose outputs may be scaled by `share` [outputs]."""

    def __init__(self, tensors: Tensors, name: str, share: Floats | None = None) -> None:
        self.weights, self.biases = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        if share is not None:
            self.weights, self.biases = self.weights * share[:, None], self.biases * share

    def __call__(self, values: Floats) -> Floats:
        found = self.product(values)
        found += self.biases
        return found

    def product(self, values: Floats, out: Floats | None = None) -> Floats:
        """Without its biases."""
        return np.matmul(values, self.weights.T, out=out)


class Norm:
    """Layer normalisation."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        self.weights, self.biases = tensors[f"{name}.weight"], tensors[f"{name}.bias"]

    def __call__(self, values: Floats) -> Floats:
        return near_norm(values, None, None, self)


class Block:
    """What depthwise convolution, norm and two linear layers add to their inputs; fewer rows by `2 * reach`."""

    def __init__(self, tensors: Tensors, name: str) -> None:
        self._taps = np.ascontiguousarray(tensors[f"{name}.near.weight"][:, 0].T)
        self._tap_biases = tensors[f"{name}.near.bias"]
        self._norm, self._wide = Norm(tensors, f"{name}.norm"), Linear(tensors, f"{name}.wide")
        self._narrow = Linear(tensors, f"{name}.narrow", tensors[f"{name}.share"])
        self.reach = len(self._taps) // 2

    def __call__(self, values: Floats) -> Floats:
        hidden = self._wide.product(near_norm(values, self._taps, self._tap_biases, self._norm))
        gelu(hidden, self._wide.biases)
        found = self._narrow(hidden)
        found += values[self.reach : len(values) - self.reach]
        return found


def near_norm(values: Floats, taps: Floats | None, tap_biases: Floats | None, norm: Norm) -> Floats:
    """The norm of a convolution of each channel by itself with `taps` [kernel, channels], or of the values."""
    rows, count = len(values) - (0 if taps is None else len(taps) - 1), values.shape[1]
    if kernels.lib is not None:
        found = np.empty((rows, count), np.float32)
        first, kernel = (kernels.ffi.NULL, 1) if taps is None else (kernels.pointer(taps), len(taps))
        second = kernels.ffi.NULL if tap_biases is None else kernels.pointer(tap_biases)
        kernels.lib.evc_near_norm(
            kernels.pointer(values), rows, count, first, kernel, second,
            *map(kernels.pointer, (norm.weights, norm.biases, found)),
        )  # fmt: skip
        return found
    if taps is not None:
        near = taps[0] * values[:rows]
        near += tap_biases
        for number, tap in enumerate(taps[1:], 1):
            near += tap * values[number : number + rows]
        values = near
    values = values - values.mean(axis=1, keepdims=True)
    values /= np.sqrt(np.square(values).mean(axis=1, keepdims=True) + _NORM)
    values *= norm.weights
    values += norm.biases
    return values


def gelu(values: Floats, biases: Floats) -> None:
    """values = z Phi(z) of z = values + biases, Phi being the normal distribution function."""
    if kernels.lib is not None:
        kernels.lib.evc_gelu(kernels.pointer(values), *values.shape, kernels.pointer(biases), kernels.pointer(_TAIL))
        return
    values += biases
    size = np.minimum(np.abs(values), _FARTHEST)
    above, below = (_polynomial(part, size) for part in (_TAIL[:4], _TAIL[4:]))
    above /= below
    above *= np.exp(np.float32(-0.5) * size * size)
    above *= size
    np.maximum(values, 0, out=values)
    values -= above


def _polynomial(coefficients: Any, values: Floats) -> Floats:
    found = coefficients[-1] * values
    for coefficient in coefficients[-2:0:-1]:
        found += coefficient
        found *= values
    found += coefficients[0]
    return found
