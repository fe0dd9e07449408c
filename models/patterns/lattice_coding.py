"""From a fit of the lattice model to the integers of a file: as coarse as the wanted SNR allows, by counted bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import StreamContext
from evc.format.streams.dictionary import DictionaryStream, Lattice
from evc.format.streams.gains import Gains
from evc.format.streams.occurrences import OccurrenceStream
from evc.models.patterns.lattice import LatticeModel, stream_bits
from evc.models.patterns.lattice_fit import Fit, refined

_COUNTING_RATE = 8000  # Hz: bits hardly depend on it
_CARRIER_LIKENESS = 0.8  # of a pattern to a plane wave
_CARRIER_PADDING = 4  # times as fine as the pattern's own bins, in the search for its frequency
_STEPS = 20
_SETTLING_STEPS = 60


@dataclass(frozen=True)
class Steps:
    """How finely each value is kept.

    position    fraction bits of corners
    magnitude   levels in an octave, of cells
    phase       bits of a turn, of cells
    rotation    bits of a turn, of occurrences
    gain        levels in an octave, of occurrences
    floor       octaves below a pattern's greatest cell where cells begin to be left out
    """

    position: int = 6
    magnitude: int = 16
    phase: int = 8
    rotation: int = 9
    gain: int = 64
    floor: int = 12

    def coarser(self, name: str) -> Steps | None:
        """With one value a step coarser, None where there is none coarser."""
        value = getattr(self, name)
        value = value // 2 if name in ("magnitude", "gain") else value - 1
        return replace(self, **{name: value}) if value >= _COARSEST.get(name, 0) else None


_COARSEST = {"magnitude": 1, "gain": 1, "floor": 1}


def cheapest_model(target: torch.Tensor, scale: float, fits: Sequence[Fit], snr: float, hop_log2: int) -> LatticeModel:
    """The model of the fewest bits among `fits` that has `snr` dB on `target` [columns, bins]; if none has, the one of
    the greatest SNR. The model's values are those of the fits times `scale`."""
    found = [_LatticeQuantiser(target, scale, _used(fit), snr, hop_log2).best() for fit in fits]
    reaching = [entry for entry in found if entry[0] >= snr]
    return min(reaching, key=lambda entry: entry[1])[2] if reaching else max(found, key=lambda entry: entry[0])[2]


def _used(fit: Fit) -> Fit:
    """Without the patterns that no occurrence has."""
    kept, ids = torch.unique(fit.ids, return_inverse=True)
    return replace(fit, patterns=fit.patterns[kept], ids=ids)


class _LatticeQuantiser:
    """Quantises one fit: positions first, then patterns, then values, what is not quantised yet following each time."""

    def __init__(self, target: torch.Tensor, scale: float, fit: Fit, snr: float, hop_log2: int) -> None:
        self._target, self._scale, self._fit, self._snr = target, scale, fit, snr
        self._hop_log2 = hop_log2
        self._fft_log2 = target.shape[1].bit_length()
        self._placed: dict[int, Fit] = {}
        self._drawn: dict[tuple[int, ...], tuple[tuple[Lattice, ...], Fit]] = {}
        self._dictionary_bits: dict[tuple[int, ...], float] = {}

    def best(self) -> tuple[float, float, LatticeModel]:
        """(SNR in dB, bits, model): steps are made coarser one at a time as long as that costs no more bits."""
        steps = Steps(position=min(Steps().position, self._hop_log2))
        snr, bits, model = self._tried(steps)
        improving = snr >= self._snr
        while improving:
            improving = False
            for name in vars(steps):
                while (candidate := steps.coarser(name)) and (found := self._tried(candidate)):
                    if found[0] < self._snr or found[1] > bits:
                        break
                    steps, (snr, bits, model), improving = candidate, found, True
        return snr, bits, model

    def _tried(self, steps: Steps) -> tuple[float, float, LatticeModel]:
        """(SNR, bits, model); the bits are counted only where the SNR suffices."""
        key = steps.position, steps.magnitude, steps.phase, steps.floor, steps.rotation
        if key not in self._drawn:
            self._drawn[key] = self._with_patterns(steps)
        lattices, fit = self._drawn[key]
        model = LatticeModel(lattices, self._placements(fit, steps), len(self._target), steps.position)
        target = self._target.numpy()
        error = float(np.square(np.abs(target - model.grid / self._scale)).sum())
        snr = float(10 * np.log10(np.square(np.abs(target)).sum() / (error + 1e-30)))
        return snr, np.inf if snr < self._snr else self._bits(model, key), model

    def _bits(self, model: LatticeModel, key: tuple[int, ...]) -> float:
        context = StreamContext(_COUNTING_RATE, 1, model.frames, model.phase_bits, len(model.patterns))
        if key not in self._dictionary_bits:
            self._dictionary_bits[key] = stream_bits(DictionaryStream(list(model.patterns)), context)
        return self._dictionary_bits[key] + stream_bits(model.placements, context)

    def _with_patterns(self, steps: Steps) -> tuple[tuple[Lattice, ...], Fit]:
        """The quantised patterns, and the fit with values that follow them."""
        fit = _turned(self._on_positions(steps.position), steps.rotation)
        lattices = [self._lattice(pattern, steps) for pattern in fit.patterns.numpy()]
        cells = np.stack([lattice.cells() for lattice in lattices])
        fit = refined(self._target, replace(fit, patterns=torch.from_numpy(cells)), {"values"}, _STEPS)
        return tuple(lattices), fit

    def _on_positions(self, bits: int) -> Fit:
        """The fit with corners on multiples of 2**-bits cells, inside the grid; the rest has settled on them."""
        if bits not in self._placed:
            one, sides = 1 << bits, torch.tensor(self._target.shape)
            corners = torch.round(self._fit.corners * one) / one % sides
            fit = replace(self._fit, corners=corners)
            moved = torch.round(self._fit.corners * one) != self._fit.corners * one
            if moved.any():
                fit = refined(self._target, fit, {"patterns", "values"}, _SETTLING_STEPS)
            self._placed[bits] = fit
        return self._placed[bits]

    def _lattice(self, pattern: NDArray[np.complex64], steps: Steps) -> Lattice:
        """The pattern's integers; phases from a carrier where it resembles a plane wave."""
        magnitudes = np.abs(pattern)
        some = magnitudes > magnitudes.max() / 2.0**steps.floor
        levels = np.rint(c.LATTICE_UNITY + steps.magnitude * np.log2(np.where(some, magnitudes, 1)))
        levels = np.where(some, np.clip(levels, 1, c.MAX_LATTICE_LEVEL), 0).astype(np.int64)
        carrier = _carrier(pattern)
        phases = np.zeros(levels.shape, np.int64)
        lattice = Lattice(self._fft_log2, self._hop_log2, steps.magnitude, steps.phase, levels, phases, carrier)
        turns = np.angle(pattern * np.exp(-1j * np.angle(lattice.cells()))) / (2 * np.pi)
        turn = 1 << steps.phase
        return replace(lattice, phases=np.where(some, np.rint(turns * turn).astype(np.int64) % turn, 0))

    def _placements(self, fit: Fit, steps: Steps) -> OccurrenceStream:
        values, corners = fit.values.numpy() * self._scale, fit.corners.numpy().astype(np.float64)
        one = 1 << steps.position
        gains = np.rint(steps.gain * np.log2(np.abs(values) + 1e-20)).astype(np.int64)
        rotations = np.rint(np.angle(values) / (2 * np.pi) * (1 << steps.rotation)).astype(np.int64)
        rows = np.stack(
            [
                np.rint(corners[:, 0] * (one << self._hop_log2)).astype(np.int64),
                np.zeros(len(values), np.int64),
                fit.ids.numpy(),
                np.rint(corners[:, 1] * one).astype(np.int64),
                rotations % (1 << steps.rotation),
                np.clip(gains, -c.MAX_GAIN_LEVEL, c.MAX_GAIN_LEVEL),
            ]
        )
        length, column = fit.patterns.shape[1], one << self._hop_log2
        rows = _round_the_end(rows[:, np.abs(values) > 0], len(self._target), length, column)
        times, offsets, ids, shifts, rotations, gains = rows[:, np.lexsort((rows[3], rows[2], rows[0]))]
        nothing = np.zeros(len(times), np.int64)
        return OccurrenceStream(
            times, ids, nothing, offsets // one, nothing, nothing, shifts, rotations, Gains(gains[:, None, None]),
            gain_resolution=steps.gain, spans=bool(offsets.any()), lattice=True, rotation_bits=steps.rotation,
        )  # fmt: skip


def _turned(fit: Fit, bits: int) -> Fit:
    """The patterns turned so that the phases of their occurrences come near to multiples of 2**-bits turns."""
    units = torch.sgn(fit.values)
    multiplied = fit.values.abs() * units ** (1 << bits)
    sums = torch.zeros(len(fit.patterns), dtype=fit.values.dtype).index_add(0, fit.ids, multiplied)
    turns = torch.exp(1j * sums.angle() / (1 << bits))
    return replace(fit, patterns=fit.patterns * turns[:, None, None], values=fit.values * turns.conj()[fit.ids])


def _round_the_end(rows: NDArray[np.int64], columns: int, length: int, column: int) -> NDArray[np.int64]:
    """`rows` (times, offsets, ...) [fields, n], and again at time 0 what reaches beyond the last column. Times count in
    parts of a `column`."""
    over = rows[:, rows[0] + length * column > columns * column].copy()
    over[1] = columns * column - over[0]
    over[0] = 0
    return np.concatenate([rows, over], axis=1)


def _carrier(pattern: NDArray[np.complex64]) -> tuple[int, int, int] | None:
    """Phase of cell (0, 0), and advance per column and per bin, of the plane wave that the pattern resembles, in the
    carrier's units; None if it resembles none."""
    sides = [_CARRIER_PADDING * side for side in pattern.shape]
    spectrum = np.fft.fft2(pattern, sides)
    peak = np.unravel_index(int(np.abs(spectrum).argmax()), spectrum.shape)
    turns = np.array([at / side for at, side in zip(peak, sides, strict=True)])
    column, bin = np.indices(pattern.shape)
    for _ in range(3):  # what is left of the advance, by the phases' slope
        left = pattern * np.exp(-2j * np.pi * (turns[0] * column + turns[1] * bin))
        slopes = [np.angle((left[1:] * left[:-1].conj()).sum()), np.angle((left[:, 1:] * left[:, :-1].conj()).sum())]
        turns += np.array(slopes) / (2 * np.pi)
    one = 1 << c.LATTICE_CARRIER_BITS
    advance = np.rint(turns * one).astype(np.int64)
    left = pattern * np.exp(-2j * np.pi / one * (advance[0] * column + advance[1] * bin))
    if np.abs(left.sum()) < _CARRIER_LIKENESS * np.abs(pattern).sum():
        return None
    base = int(np.rint(np.angle(left.sum()) / (2 * np.pi) * one))
    return base % one, int(advance[0]) % one, int(advance[1]) % one
