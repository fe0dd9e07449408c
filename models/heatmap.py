"""Pictures of sound in few cells: levels over time and frequency of a target, its reconstruction and the difference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.errors import InputError
from evc.models.source import Read

Audio = NDArray[np.floating]
Powers = NDArray[np.float64]

FLOOR_DB = -120.0
SCALE_DB = {"Hz": 60.0, "bin": 30.0}  # range of the scale, by the unit of the rows
_WINDOWS_AT_ONCE = 256
_MEL_HZ = 700.0  # up to here mel is nearly linear in frequency: 2595 log10(1 + f / 700)


@dataclass(frozen=True, eq=False)
class HeatMaps:
    """Up to three maps of the same cells, each float64 [rows, columns] in dB, the lowest frequency first.

    target, difference   None where there is nothing to compare with
    times                edges of the columns [columns + 1] in s
    rows                 edges of the rows [rows + 1] in `unit`: "Hz", or "bin" of a lattice's grid
    snr                  dB of the whole; infinite where the two are the same, NaN without a target
    """

    target: NDArray[np.float64] | None
    reconstruction: NDArray[np.float64]
    difference: NDArray[np.float64] | None
    times: NDArray[np.float64]
    rows: NDArray[np.float64]
    unit: str
    snr: float

    @property
    def named(self) -> list[tuple[str, NDArray[np.float64]]]:
        """The maps there are, with their names, in the order to show them."""
        maps = {name: getattr(self, name) for name in ("target", "reconstruction", "difference")}
        return [(name, levels) for name, levels in maps.items() if levels is not None]

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest level of the scale that all maps share, in dB."""
        size = SCALE_DB[self.unit]
        high = max(float(np.ceil(max(levels.max() for _, levels in self.named))), FLOOR_DB + size)
        return high - size, high


def audio_maps(
    target: Read | None, reconstruction: Read, span: tuple[int, int], samplerate: int, shape: tuple[int, int]
) -> HeatMaps:
    """Maps of the frames `span` (first, end) of two signals, in `shape` (rows, columns), or as many columns as there
    are frames. Rows are equally high on the mel scale; a full-scale sinusoid has 0 dB.

    The signals are read in pieces, so memory stays bounded. The difference is that of the samples.
    """
    first, end = span
    if end <= first:
        raise InputError("there is no sound to show")
    columns = min(shape[1], end - first)
    edges = _mel_edges(samplerate, shape[0])
    size = c.superframe_length(samplerate) // 2
    hop = max(1, min(size // 4, (end - first) // columns))
    sums = [np.zeros((shape[0], columns)) for _ in range(3)]
    counts, energies = np.zeros(columns), np.zeros(3)
    centres = np.arange(first, end, hop)
    for part in np.split(centres, range(_WINDOWS_AT_ONCE, len(centres), _WINDOWS_AT_ONCE)):
        at = (part - first) * columns // (end - first)
        signals = _pieces(target, reconstruction, int(part[0]) - size // 2, int(part[-1]) + size // 2, span)
        counts += np.bincount(at, minlength=columns)
        for number, signal in enumerate(signals):
            powers = _row_powers(signal, size, hop, edges * size / samplerate)
            for row in range(shape[0]):
                sums[number][row] += np.bincount(at, powers[:, row], columns)
            inside = signal[:, size // 2 : size // 2 + min(len(part) * hop, end - int(part[0]))]
            energies[number] += np.square(inside, dtype=np.float64).sum()
    times = np.linspace(first, end, columns + 1) / samplerate
    return _maps([power / counts for power in sums], energies, target is not None, times, edges, "Hz")


def grid_maps(
    target: NDArray[np.complexfloating] | None,
    reconstruction: NDArray[np.complexfloating],
    times: tuple[float, float],
    shape: tuple[int, int],
) -> HeatMaps:
    """Maps of two lattice grids [columns, bins] that last from `times[0]` to `times[1]` s, in `shape` (rows, columns)
    or as many as the grid has. A cell of amplitude 1 has 0 dB; the difference is that of the complex cells."""
    if not len(reconstruction):
        raise InputError("there is no sound to show")
    other = reconstruction if target is None else target
    powers = [np.square(np.abs(cells)).T for cells in (other, reconstruction, other - reconstruction)]
    edges = [np.linspace(0, size, min(size, most) + 1) for size, most in zip(powers[0].shape, shape, strict=True)]
    pooled = []
    for power in powers:
        by_row = _between(power.T, edges[0]).T / np.diff(edges[0])[:, None]
        pooled.append(_between(by_row, edges[1]) / np.diff(edges[1]))
    shown = times[0] + (times[1] - times[0]) * edges[1] / edges[1][-1]
    return _maps(pooled, np.array([power.sum() for power in powers]), target is not None, shown, edges[0], "bin")


def _maps(
    powers: list[Powers], energies: NDArray[np.float64], compared: bool, times: Powers, rows: Powers, unit: str
) -> HeatMaps:
    target, reconstruction, difference = (10 * np.log10(np.maximum(p, 10 ** (FLOOR_DB / 10))) for p in powers)
    if not compared:
        return HeatMaps(None, reconstruction, None, times, rows, unit, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = float(10 * np.log10(energies[0] / energies[2])) if energies[2] else np.inf
    return HeatMaps(target, reconstruction, difference, times, rows, unit, snr)


def _pieces(target: Read | None, reconstruction: Read, start: int, end: int, span: tuple[int, int]) -> list[Audio]:
    """Target, reconstruction and difference [channels, end - start], silent outside `span`."""
    low, high = max(start, span[0]), min(end, span[1])
    around = (0, 0), (low - start, end - high)
    found = np.pad(reconstruction(low, high - low), around)
    wanted = found if target is None else np.pad(target(low, high - low), around)
    return [wanted, found, wanted - found]


def _row_powers(signal: Audio, size: int, hop: int, edges: Powers) -> Powers:
    """Power between the `edges` (in bins) of windows of `size` frames, one every `hop`, mean of the channels:
    [windows, rows]; a full-scale sinusoid has 1."""
    window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
    frames = np.lib.stride_tricks.sliding_window_view(signal, size, axis=1)[:, ::hop]
    powers = np.square(np.abs(np.fft.rfft(frames * window))).mean(axis=0)
    return _between(powers * 4 / (size * np.square(window).sum()), edges)


def _between(powers: Powers, edges: Powers) -> Powers:
    """Sums of `powers` [n, cells] between the `edges` [k + 1], which may lie inside cells: [n, k]."""
    sums = np.pad(np.cumsum(powers, axis=1), ((0, 0), (1, 0)))
    whole = np.minimum(edges.astype(np.int64), powers.shape[1] - 1)
    part = np.minimum(edges - whole, 1)
    return np.diff(sums[:, whole] + part * powers[:, whole], axis=1)


def _mel_edges(samplerate: int, rows: int) -> Powers:
    """Edges [rows + 1] in Hz, from 0 to half the sample rate, in equal steps of mel."""
    edges: Powers = _MEL_HZ * np.expm1(np.linspace(0, np.log1p(samplerate / 2 / _MEL_HZ), rows + 1))
    edges[-1] = samplerate / 2
    return edges
