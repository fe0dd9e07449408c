"""The probability model of latents: integers in the weights of the network that makes and reads them (spec 8.2).

The magnitude of each latent has one of a set of distributions. Which one follows from magnitudes that are decoded by
then: in the two columns before, in all of them on average, and in the same column, which is coded in a few passes. Some
latents are predicted from others, and coded as differences from that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc import kernels
from evc.format import constants as c
from evc.format.coder import FrequencyTable, Integers
from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NetworkReference
from evc.format.lazy import cached_property
from evc.format.networks import find, tensors
from evc.format.streams.integer_network import Features, IntegerNetwork, exact_layer, product
from evc.format.streams.latent_compiled import CompiledLatents

PREFIX = "entropy."  # of the tensors in a file of weights
BLOCKS = 3 + len(c.LATENT_SLOW_SHIFTS)  # of levels: the two columns before, averages, the column itself
LAST, BEFORE_LAST, SLOW, SLOWER, NOW = range(BLOCKS)
SHARED = 3  # features behind these that all latents of a column share: a zero, the step, how young the segment is
ZERO, STEP, AGE = range(SHARED)
MAGNITUDES, MAGNITUDE_ROWS = c.LATENT_ESCAPE + 1, c.LATENT_SHAPES * c.LATENT_SCALES
DIFFERENCES, DIFFERENCE_ROWS = 2 * c.LATENT_ESCAPE + 1, c.LATENT_QUARTERS * c.LATENT_SCALES
_MIDDLE_STEP = 1 << c.LATENT_STEP_BITS - 1
_YOUNG = 7  # columns that know how few there were before
_SLOW_SHIFTS = np.array(c.LATENT_SLOW_SHIFTS)[:, None]

Latents = NDArray[np.int64]


def _level_table() -> Features:
    """Levels of magnitudes, up to the first that has the highest one."""
    one_more = np.arange(1, 1 << c.FEATURE_LIMIT // c.LATENT_LEVEL_OCTAVE + 1, dtype=np.int64)
    octave = np.frexp(one_more.astype(np.float64))[1] - 1
    found = c.LATENT_LEVEL_OCTAVE * (octave - 1) + (c.LATENT_LEVEL_OCTAVE * one_more >> octave)
    return np.minimum(found, c.FEATURE_LIMIT).astype(np.float32)


_LEVELS = _level_table()


def levels(values: NDArray[np.integer]) -> Features:
    """Logarithms of magnitudes plus one, in 1/12 octave, as integers from 0 to 127."""
    return _LEVELS.take(np.minimum(np.abs(values), len(_LEVELS) - 1))


class Predicted(NamedTuple):
    """What is known of latents before they are decoded, each [columns, dimensions of a pass]: the integer that they are
    counted from (0 for magnitudes), the row of each one's table, and how many low bits are coded raw."""

    centre: Latents
    row: Latents
    low_bits: Latents


class Known:
    """What columns are predicted from.

    features  float32 [columns, BLOCKS * dimensions + predicted + SHARED]: levels of latents and of centres
    values    float32 [columns, 3 * predicted]: latents of the predicted dimensions, in the two columns before and in
              the column itself
    """

    def __init__(self, columns: int, dimensions: int, predicted: int, step: int) -> None:
        self._dimensions, self._predicted, self._column = dimensions, predicted, 0
        self.features = np.zeros((columns, BLOCKS * dimensions + predicted + SHARED), np.float32)
        self.features[:, STEP - SHARED] = step - _MIDDLE_STEP
        self.features[:, AGE - SHARED] = _MIDDLE_STEP >> np.minimum(np.arange(columns), _YOUNG)
        self.values = np.zeros((columns, 3 * predicted), np.float32)
        self._slow = np.zeros((len(c.LATENT_SLOW_SHIFTS), dimensions), np.int64)

    @classmethod
    def before(cls, latents: Latents, predicted: int, step: int) -> Known:
        """What is known in front of each of the columns of `latents` [columns, dimensions]."""
        columns, size = latents.shape
        known, level = cls(columns, size, predicted, step), levels(latents)
        value = _limited(latents[:, size - predicted :])
        for block in (LAST, BEFORE_LAST):
            known.features[block + 1 :, block * size : (block + 1) * size] = level[: -block - 1]
            known.values[block + 1 :, block * predicted : (block + 1) * predicted] = value[: -block - 1]
        for column in range(columns - 1):
            known.features[column + 1, SLOW * size : NOW * size] = known._slower(level[column])
        return known

    def add(self, at: NDArray[np.int64], latents: Latents) -> None:
        """The latents [columns, n] of the dimensions `at` [n] of a pass are decoded; of those that are not predicted,
        magnitudes are enough."""
        self.features[:, NOW * self._dimensions + at] = levels(latents)
        place = at - (self._dimensions - self._predicted)
        if place[0] >= 0:
            self.values[:, 2 * self._predicted + place] = _limited(latents)

    def predict(self, at: NDArray[np.int64], centre: Latents) -> None:
        """The dimensions `at` [n], predicted ones, have the centres [columns, n] in quarters."""
        first = (BLOCKS - 1) * self._dimensions + self._predicted
        self.features[:, first + at] = levels(centre)

    def advance(self) -> None:
        """Go on from a single column to the next one."""
        size, predicted, features, values = self._dimensions, self._predicted, self.features[0], self.values[0]
        now = features[NOW * size : BLOCKS * size]
        features[size : 2 * size] = features[:size]
        features[:size] = now
        features[SLOW * size : NOW * size] = self._slower(now)
        features[NOW * size : -SHARED] = 0
        values[predicted : 2 * predicted] = values[:predicted]
        values[:predicted] = values[2 * predicted :]
        values[2 * predicted :] = 0
        self._column += 1
        features[AGE - SHARED] = _MIDDLE_STEP >> min(self._column, _YOUNG)

    def _slower(self, level: Features) -> NDArray[np.int64]:
        """The slow averages [averages * dimensions] behind a column with these levels."""
        self._slow += (level.astype(np.int64) * (1 << c.LATENT_SLOW_BITS) - self._slow) >> _SLOW_SHIFTS
        return (self._slow >> c.LATENT_SLOW_BITS).reshape(-1)


def _limited(latents: Latents) -> Features:
    return np.minimum(np.maximum(latents, -c.LATENT_REACH), c.LATENT_REACH).astype(np.float32)


class LatentModel:
    """Predictions and frequency tables of one network's latents.

    dimensions  how many latents a column has
    predicted   how many of them, the last ones, are coded as differences from a prediction, the others as magnitudes
    passes      int64 [n] for each pass: the dimensions that are coded in it, either predicted ones or others
    magnitudes  table of the others, rows LATENT_SCALES * shape + scale
    differences table of predicted ones, rows LATENT_QUARTERS * scale + quarter
    """

    def __init__(self, arrays: Mapping[str, Integers]) -> None:
        """`arrays` by their names in spec 8.2, without the prefix. Raises InputError for arrays that make no model."""
        try:
            self._build(arrays)
            self._connect(arrays)
        except (KeyError, IndexError, ValueError) as error:
            raise InputError(f"the network has no valid probabilities of latents: {error}") from error

    @classmethod
    def load(cls, path: Path) -> LatentModel:
        """The model in a file of weights. Raises InputError where there is none."""
        return _load(path, path.stat().st_mtime_ns)

    @classmethod
    def of(cls, networks: Sequence[NetworkReference]) -> LatentModel:
        """That of the latents of a file whose header names `networks`: the last one's. Raises UnsupportedError if it is
        not installed."""
        if not networks:
            raise UnsupportedError("the file names no network for its latents")
        return cls.load(find(networks[-1]))

    def _build(self, arrays: Mapping[str, Integers]) -> None:
        """Passes and tables."""
        order = arrays["order"]
        self.dimensions, self.predicted, count = len(order), len(arrays["centre.w"]), int(order.max()) + 1
        if order.ndim != 1 or self.dimensions > c.MAX_LATENT_DIMENSIONS or count > c.MAX_LATENT_PASSES:
            raise ValueError("too many dimensions or passes")
        self.passes = [np.flatnonzero(order == stage) for stage in range(count)]
        first = self.dimensions - self.predicted
        if order.min() < 0 or first < 0 or any(not len(at) or at[0] < first <= at[-1] for at in self.passes):
            raise ValueError("a pass without dimensions, or of both sorts")
        self.magnitudes = FrequencyTable(arrays["magnitudes"].astype(np.int64))
        self.differences = FrequencyTable(arrays["differences"].astype(np.int64))
        shapes = [(table.rows, table.symbols) for table in (self.magnitudes, self.differences)]
        if shapes != [(MAGNITUDE_ROWS, MAGNITUDES), (DIFFERENCE_ROWS, DIFFERENCES)]:
            raise ValueError("a table of another shape")

    def _connect(self, arrays: Mapping[str, Integers]) -> None:
        """Layers, and what they look at."""
        look, first = arrays["look"].astype(np.int64), self.dimensions - self.predicted
        if len(look) != self.dimensions or look.min() < 0 or look.max() >= BLOCKS * len(look) + self.predicted + SHARED:
            raise ValueError("features that do not exist")
        layers = [(arrays[f"w{i}"], arrays[f"b{i}"], int(shift)) for i, shift in enumerate(arrays["shifts"])]
        self.network = IntegerNetwork(layers)
        (into, biases), (last, _) = self.network.layers[0], self.network.layers[-1]
        if into.shape[0] != look.shape[1] or biases.shape != (self.dimensions, into.shape[1]) or last.shape[1] != 2:
            raise ValueError("layers of other shapes")
        for (weights, _), (after, own) in pairwise(self.network.layers):
            if after.shape[0] != weights.shape[1] or own.shape != after.shape[1:]:
                raise ValueError("layers that do not fit each other")
        shift = int(arrays["centre.shift"][0])
        of_centres = arrays["centre.w"], arrays["centre.b"], shift
        centre, bias = exact_layer(*of_centres, c.LATENT_REACH)
        if centre.shape != (3 * self.predicted, self.predicted) or bias.shape != (self.predicted,):
            raise ValueError("centres of other shapes")
        self._integers = look, layers, of_centres
        self._looks = [look[at] for at in self.passes]
        self._biases = [biases[at] for at in self.passes]
        self._centres = [
            (np.ascontiguousarray(centre[:, at - first]), bias[at - first]) if at[0] >= first else None
            for at in self.passes
        ]

    @cached_property
    def compiled(self) -> CompiledLatents | None:
        """The model as the kernels take it; None where there are none, or it is larger than they can run."""
        look, layers, centre = self._integers
        if kernels.lib is None or not CompiledLatents.fits(look, layers):
            return None
        return CompiledLatents(self.passes, look, layers, centre, (self.magnitudes, self.differences))

    def table(self, stage: int) -> FrequencyTable:
        """That of the symbols of a pass."""
        return self.magnitudes if self._centres[stage] is None else self.differences

    def signed(self, stage: int) -> bool:
        """Whether a pass has predicted dimensions."""
        return self._centres[stage] is not None

    def predict(self, stage: int, known: Known) -> Predicted:
        """What is known, before pass `stage`, of the latents decoded in it. Adds the centres to what is known."""
        look, biases, columns = self._looks[stage], self._biases[stage], len(known.features)
        centre, layer = np.zeros((columns, len(look)), np.int64), self._centres[stage]
        if layer is not None:
            centre = np.floor(product(known.values, layer[0]) + layer[1]).astype(np.int64)
            known.predict(self.passes[stage], centre)
        features = known.features.take(look, axis=1).reshape(columns * len(look), -1)
        out = self.network(features, biases if columns == 1 else np.tile(biases, (columns, 1)))
        rounded = out.astype(np.int64).reshape(columns, len(look), 2)
        scale = np.minimum(np.maximum(rounded[:, :, 0], 0), c.MOST_LATENT_SCALE)
        low_bits = np.maximum(scale - (c.LATENT_SCALES - c.LATENT_RESOLUTION), 0) // c.LATENT_RESOLUTION
        scale -= c.LATENT_RESOLUTION * low_bits
        if layer is not None:
            whole, quarter = np.divmod(centre, c.LATENT_QUARTERS)
            return Predicted(whole, c.LATENT_QUARTERS * scale + quarter, low_bits)
        shape = np.minimum(np.maximum(rounded[:, :, 1], 0), c.LATENT_SHAPES - 1)
        return Predicted(centre, c.LATENT_SCALES * shape + scale, low_bits)

    def predictions(self, latents: Latents, step: int) -> list[Predicted]:
        """Those of all `latents` [columns, dimensions], pass by pass, as `predict` finds them column by column."""
        known, found = Known.before(latents, self.predicted, step), []
        for stage, at in enumerate(self.passes):
            found.append(self.predict(stage, known))
            known.add(at, latents[:, at])
        return found

    def symbols(self, stage: int, latents: Latents, predicted: Predicted) -> tuple[Latents, Latents]:
        """Of latents [..., n] of a pass: what is left of them without their low bits, and the symbols for that."""
        counted = latents - predicted.centre if self.signed(stage) else np.abs(latents)
        coarse = counted >> predicted.low_bits
        limited = np.minimum(coarse, c.LATENT_ESCAPE)
        if self.signed(stage):
            limited = np.maximum(limited, -c.LATENT_ESCAPE) + c.LATENT_ESCAPE
        return coarse, limited

    def costs(self, stage: int, latents: Latents, predicted: Predicted) -> NDArray[np.float32]:
        """Bits of each of the latents [..., columns, n] of a pass."""
        coarse, symbols = self.symbols(stage, latents, predicted)
        bits: NDArray[np.float32] = self.table(stage).bits[predicted.row, symbols] + predicted.low_bits.astype(
            np.float32
        )
        if not self.signed(stage):
            bits += latents != 0
        escaped = np.abs(coarse) >= c.LATENT_ESCAPE
        beyond = np.abs(coarse[escaped]) - c.LATENT_ESCAPE + (1 << c.LATENT_ESCAPE_ORDER)
        bits[escaped] += 2 * np.frexp(beyond.astype(np.float64))[1] - 1 - c.LATENT_ESCAPE_ORDER
        return bits

    def bits(self, latents: Latents, step: int) -> NDArray[np.float64]:
        """What each column of `latents` [columns, dimensions] costs with that step: [columns]."""
        if kernels.lib is not None and self.compiled is not None:
            return self.compiled.bits(step, latents)
        total = np.zeros(len(latents))
        for stage, predicted in enumerate(self.predictions(latents, step)):
            total += self.costs(stage, latents[:, self.passes[stage]], predicted).sum(axis=1, dtype=np.float64)
        return total


@lru_cache(maxsize=4)
def _load(path: Path, modified: int) -> LatentModel:
    return LatentModel(tensors(path, PREFIX))
