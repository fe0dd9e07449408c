"""A song as its network: the decoder's weights and the rounded features, coded to bytes and back, exactly.

Weights are whole steps of each tensor, of the features that are used at all. Of these, every 256th moment is coded
first, then those in the middle between two that are known, ever finer, relative to the mean of the two. Integers are
coded as in all streams (spec 6.2), under averages that adapt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.streams.integers import MOST_CALL, Scales
from evc.format.streams.port import Port, ReadPort, WritePort
from evc.models.arrays import Signal
from evc.models.track.autoencoder import FEATURES, STRIDE, Autoencoder, sound_of

Integers = NDArray[np.int64]

WEIGHT_STEPS = 32  # to the root mean square of a tensor
CHECK_BYTES = 8  # that a coded song takes beside its words: how many symbols, and their checksum
_TENSORS = "up2.weight", "up2.bias", "up1.weight", "up1.bias"  # the first begins with the features
_COARSEST = 256  # moments between those that are coded first
# Classes of what is known around a value: its neighbours in time, how far they are apart, how far others at its moment
# were from what was expected of them.
_NEAR, _APART, _BESIDE = 8, 4, 5
_DISTANCES = 4  # to the neighbours in time: 1, 2, 4, and more moments
_KIND = "song"


@dataclass(frozen=True, eq=False)
class Song:
    """All that a decoder needs.

    features   int64 [FEATURES, moments], in steps of `step`
    weights    int64, of the shapes of the decoder's tensors, zeros where a feature is not used
    steps      float32 [tensors], of the weights
    gain       of the samples, which the network knows at a mean square of 1
    """

    channels: int
    frames: int
    gain: np.float32
    step: np.float32
    features: Integers
    weights: tuple[Integers, ...]
    steps: NDArray[np.float32]

    @property
    def used(self) -> NDArray[np.bool_]:
        return np.asarray(self.features.any(1))

    def sound(self) -> Signal:
        """What is decoded, float32 [channels, frames]."""
        network = Autoencoder(self.channels)
        for name, weights, step in zip(_TENSORS, self.weights, self.steps):
            network.get_parameter(name).data = torch.from_numpy((weights * step).astype(np.float32))
        return sound_of(network, (self.features * self.step).astype(np.float32), self.frames) * self.gain


def song_of(network: Autoencoder, features: Signal, step: float, frames: int, gain: float) -> Song:
    """A song whose features [FEATURES, moments] are rounded to whole steps, and whose weights are to theirs."""
    rounded = np.rint(features / np.float32(step)).astype(np.int64)
    tensors = [network.state_dict()[name].numpy().copy() for name in _TENSORS]
    tensors[0][~rounded.any(1)] = 0
    sizes = [float(np.sqrt(np.square(tensor[tensor != 0]).mean())) if tensor.any() else 1.0 for tensor in tensors]
    steps: Signal = np.array(sizes, np.float32) / np.float32(WEIGHT_STEPS)
    weights = tuple(np.rint(tensor / size).astype(np.int64) for tensor, size in zip(tensors, steps))
    return Song(len(tensors[3]), frames, np.float32(gain), np.float32(step), rounded, weights, steps)


def written(song: Song) -> CodedStream:
    """The song's bytes."""
    encoder = SymbolEncoder()
    _code(WritePort(encoder), song)
    return encoder.finish()


def read(coded: CodedStream) -> Song:
    """The song in such bytes. Raises DamagedError where they hold none."""
    decoder = SymbolDecoder(coded.words, coded.symbols, coded.checksum)
    unknown = np.zeros((FEATURES, 0), np.int64)
    zeros = np.zeros(len(_TENSORS), np.float32)
    song = _code(ReadPort(decoder), Song(0, 0, np.float32(0), np.float32(0), unknown, (), zeros))
    decoder.finish()
    return song


def network_bits(song: Song) -> float:
    """Those of a song's bits that its network takes."""
    encoder = SymbolEncoder(account=True)
    _code_weights(WritePort(encoder), song.channels, song.used, song.weights)
    return sum(bits for _, bits in encoder.account.values())


def _code(port: Port, song: Song) -> Song:
    """All of a song; reading, one of which nothing is known."""
    channels, frames = port.field(song.channels, 2), port.field(song.frames, 32)
    gain, step, *steps = (_code_float(port, value) for value in (song.gain, song.step, *song.steps))
    used = port.uniform(song.used.astype(np.int32), 2, _KIND) != 0
    weights = _code_weights(port, channels, used, song.weights)
    moments = -(-frames // STRIDE)
    port.reserve(int(used.sum()) * moments)
    features = np.zeros((FEATURES, moments), np.int64)
    features[used] = _code_features(port, song.features[used] if port.writing else features[used])
    return Song(channels, frames, gain, step, features, weights, np.array(steps, np.float32))


def _code_float(port: Port, value: np.float32) -> np.float32:
    return np.uint32(port.field(int(value.view(np.uint32)), 32)).view(np.float32)


def _code_weights(
    port: Port, channels: int, used: NDArray[np.bool_], weights: tuple[Integers, ...]
) -> tuple[Integers, ...]:
    """Tensor by tensor, row by row, but for the rows of features that are not used."""
    scales, state, found = Scales(len(_TENSORS)), Autoencoder(channels).state_dict(), []
    for number, name in enumerate(_TENSORS):
        tensor = np.zeros(state[name].shape, np.int64)
        rows = np.flatnonzero(used) if number == 0 else np.arange(len(tensor))
        for row in rows:
            values = weights[number][row] if port.writing else tensor[row]
            tensor[row] = scales.signed(port, values.reshape(-1), number, _KIND).reshape(values.shape)
        found.append(tensor)
    return tuple(found)


def _code_features(port: Port, values: Integers) -> Integers:
    """Features [used, moments], none negative: from coarse to fine in time, at each distance one after the other."""
    used, moments = values.shape
    values = values.copy()
    scales = Scales(_DISTANCES * _NEAR * _APART * _BESIDE)
    for distance, places in _places(moments):
        for begin in range(0, len(places), MOST_CALL):
            at = places[begin : begin + MOST_CALL]
            behind = np.where(at + distance < moments, at + distance, at - distance)
            beside = np.zeros(len(at), np.int64)
            for row in values:
                one, other = (row[at - distance], row[behind]) if distance < _COARSEST else (beside * 0, beside * 0)
                context = (min(distance.bit_length(), _DISTANCES) - 1) * _NEAR + _class(one + other, _NEAR)
                context = context * _APART + _class(np.abs(one - other), _APART)
                context = context * _BESIDE + _class(beside, _BESIDE)
                expected = (one + other) // 2
                found = scales.unsigned(port, _folded(row[at], expected), context, _KIND).astype(np.int64)
                row[at] = _unfolded(found, expected)
                beside += found
    return values


def _folded(values: Integers, expected: Integers) -> Integers:
    """Places of values in an order that begins with what is expected, and goes on with one more, one less, two more:
    from 0 upward, since no value is negative."""
    over = values - expected
    return np.where(over > expected, values, np.where(over > 0, 2 * over - 1, -2 * over))


def _unfolded(places: Integers, expected: Integers) -> Integers:
    near = expected + np.where(places % 2, places + 1, -places) // 2
    return np.where(places > 2 * expected, places, near)


def _places(moments: int) -> Iterator[tuple[int, Integers]]:
    """Distances to the nearest moments that are known, and the moments to be coded then; at _COARSEST none is known."""
    yield _COARSEST, np.arange(0, moments, _COARSEST)
    distance = _COARSEST // 2
    while distance:
        yield distance, np.arange(distance, moments, 2 * distance)
        distance //= 2


def _class(sums: Integers, classes: int) -> Integers:
    """0, 1, 2, 3 to 4, 5 to 8 and so on, of so many classes."""
    return np.minimum(np.frexp(np.maximum(2 * sums - 1, 0).astype(np.float64))[1], classes - 1).astype(np.int64)
