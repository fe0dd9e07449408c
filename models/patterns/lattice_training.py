"""Fits a lattice model to a grid: matching pursuit for a start, then all parameters together by their gradients.

The gradient reaches every parameter but the choice of pattern, which is made anew, greedily, between the rounds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.models.patterns.lattice import Cells, LatticeModel
from evc.models.patterns.lattice_coding import cheapest_model
from evc.models.patterns.lattice_fit import Fit, atoms, places, refined, unit

_STARTS = 3  # from stretches of the grid, until one gets there
_ROUNDS = 6
_MARGIN = 1.0  # dB left to quantisation, at least
_STEPS = 40
_MOST_STEPS = 200
_GATE_PRICE = 1e-4  # of a gate and of a magnitude, in shares of the grid's energy
_DROPPED_SHARE = 0.05  # of the error that is allowed, in occurrences left out
_DRAW_POWER = 12  # of a stretch's energy: only the strongest are drawn
_PURSUIT_REFITS = 8
_NOTHING = 1e-5  # against cells of 1 on average


def synthetic_grid(seed: int = 0, columns: int = 256, bins: int = 64) -> Cells:
    """A "weavy" grid, complex64 [columns, bins]: sin(2 pi (3 n + 2 k)) + i sin(2 pi (3 n - 2 k)) for n and k from 0 to
    1, which is the sum of four exponentials. Seeds other than 0 draw other numbers of periods, and phases."""
    random = np.random.default_rng(seed)
    across, along = random.integers(1, 7, 2) if seed else (3, 2)
    phases = random.uniform(0, 1, 2) if seed else (0, 0)
    n, k = np.arange(columns)[:, None] / columns, np.arange(bins) / bins
    grid: Cells = np.zeros((columns, bins), np.complex64)
    grid.real = np.sin(2 * np.pi * (across * n + along * k + phases[0]))
    grid.imag = np.sin(2 * np.pi * (across * n - along * k + phases[1]))
    return grid


def fit_lattice(
    grid: NDArray[np.complexfloating],
    patterns: int = 4,
    shape: tuple[int, int] = (64, 32),
    occurrences: int | None = None,
    seed: int = 0,
    snr: float = 30.0,
    hop_log2: int | None = None,
) -> LatticeModel:
    """A model of `grid` [columns, bins]: at most `patterns` patterns of `shape` (columns, bins), and `occurrences` of
    them (default: as many as tile the grid with every pattern).

    Starts from plane waves and from stretches of the grid are refined. Those that reach an SNR of `snr` dB are
    quantised as coarsely as it allows, and the one of the fewest bits is returned; where none gets there, the nearest.
    The same arguments give the same model on the same machine; `seed` draws other stretches.

    Bins must be a power of two, 8 to 32768: half of the transform. A column stands for 2**hop_log2 frames, by default
    half of the transform too. Raises InputError for a grid or a shape that is impossible.
    """
    columns, bins = grid.shape
    if bins & (bins - 1) or not 8 <= bins <= 1 << 15:
        raise InputError(f"the grid has {bins} bins; a power of two from 8 to 32768 is expected")
    if not (1 <= shape[0] <= columns and 1 <= shape[1] <= bins):
        raise InputError(f"patterns of {shape[0]} x {shape[1]} cells do not fit a grid of {columns} x {bins}")
    if not np.isfinite(grid).all() or not grid.any():
        raise InputError("the grid is empty, or not finite")
    scale = float(np.sqrt(np.square(np.abs(grid)).mean()))
    target = torch.from_numpy((grid / scale).astype(np.complex64))
    count = occurrences or patterns * -(-columns // shape[0]) * -(-bins // shape[1])
    fits = _fits(target, patterns, shape, count, seed, snr)
    hop = bins.bit_length() - 1 if hop_log2 is None else hop_log2
    return cheapest_model(target, scale, fits, snr, hop)


def _fits(
    target: torch.Tensor, patterns: int, shape: tuple[int, int], occurrences: int, seed: int, snr: float
) -> list[Fit]:
    """The fits that reach `snr` dB and a margin, or else the best one. If plane waves do, then as they are: their cells
    cost next to nothing, and refinement would fit them to noise."""
    enough = snr + _MARGIN
    start = waves(target, patterns, shape, occurrences)
    if start.snr(target) >= enough:
        return [start]
    fits = [improved(target, start, snr, occurrences)]
    for number in range(_STARTS):
        start = windows(target, patterns, shape, occurrences, seed + number)
        fits.append(improved(target, start, snr, occurrences))
        if fits[-1].snr(target) >= enough:
            break
    best = max(fit.snr(target) for fit in fits)
    return [fit for fit in fits if fit.snr(target) >= min(best, enough)]


def improved(target: torch.Tensor, fit: Fit, snr: float, occurrences: int) -> Fit:
    """`fit` after rounds of gradient steps on everything, of choosing ids anew, of leaving out what is not needed for
    `snr` dB, and, where that is not reached, of looking for more occurrences, or for all of them once more: up to
    `occurrences`."""
    everything = {"patterns", "corners", "values"}
    fit = refined(target, fit, everything, _STEPS)
    for _ in range(_ROUNDS):
        fit = pruned(target, with_ids(target, fit), snr)
        if fit.snr(target) > snr + _MARGIN:
            break
        more = pursued(target, fit, occurrences)
        again = pursued(target, Fit(fit.patterns, *_nowhere()), occurrences)
        fits = [refined(target, found, everything, _STEPS) for found in (more, again)]
        fit = max(fits, key=lambda found: found.snr(target))
    return refined(target, fit, everything, _MOST_STEPS)


def with_ids(target: torch.Tensor, fit: Fit) -> Fit:
    """Every occurrence in turn gets the pattern that explains most of what the others leave, and its best value."""
    ids, values = fit.ids.clone(), fit.values.clone()
    residual = (target - fit.grid(target.shape)).flatten()
    for i in range(len(ids)):
        corner = fit.corners[i : i + 1].expand(len(fit.patterns), 2)
        own = atoms(fit.patterns, corner)
        where = places(corner[:1], own.shape[1], own.shape[2], target.shape).flatten()
        own = own.flatten(1)
        residual.index_add_(0, where, values[i] * own[ids[i]])
        products = own.conj() @ residual[where]
        norms = own.abs().square().sum(1) + 1e-20
        ids[i] = (products.abs().square() / norms).argmax()
        values[i] = products[ids[i]] / norms[ids[i]]
        residual.index_add_(0, where, -values[i] * own[ids[i]])
    return replace(fit, ids=ids, values=values)


def pruned(target: torch.Tensor, fit: Fit, snr: float) -> Fit:
    """Without the occurrences that soft gates make so small that together they hardly matter at `snr` dB."""
    error = float((target - fit.grid(target.shape)).abs().square().sum())
    faded = refined(target, fit, {"values"}, _STEPS, _GATE_PRICE / max(len(fit.ids), 1))
    allowed = _DROPPED_SHARE * max(10 ** (-snr / 10) * float(target.abs().square().sum()), error)
    energies = faded.values.abs().square()
    order = torch.argsort(energies)
    lost = torch.cumsum(energies[order], 0)
    kept = torch.sort(order[lost > allowed]).values
    return fit if len(kept) == len(fit.ids) else refined(target, fit.take(kept), {"values"}, _STEPS)


def waves(target: torch.Tensor, patterns: int, shape: tuple[int, int], occurrences: int) -> Fit:
    """A start: the strongest exponentials of the whole grid as patterns, side by side."""
    spectrum = torch.fft.fft2(target).abs()
    turns = []
    for _ in range(patterns):
        peak = int(spectrum.argmax())
        across, along = divmod(peak, target.shape[1])
        turns.append((across / target.shape[0], along / target.shape[1]))
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                spectrum[(across + i) % target.shape[0], (along + j) % target.shape[1]] = 0
    column, bin = torch.arange(shape[0])[:, None], torch.arange(shape[1])
    found = torch.stack([torch.exp(2j * torch.pi * (a * column + b * bin)) for a, b in turns]).to(torch.complex64)
    corners = [(x, y) for x in range(0, target.shape[0], shape[0]) for y in range(0, target.shape[1], shape[1])]
    ids = torch.arange(patterns).repeat(len(corners))
    everywhere = torch.tensor(corners, dtype=torch.float32).repeat_interleave(patterns, 0)
    fit = Fit(unit(found), ids, everywhere, torch.zeros(len(ids), dtype=torch.complex64))
    fit = refined(target, fit, {"values"}, _STEPS)
    strongest = torch.sort(torch.argsort(fit.values.abs(), descending=True)[:occurrences]).values
    return fit.take(strongest)


def windows(target: torch.Tensor, patterns: int, shape: tuple[int, int], occurrences: int, seed: int) -> Fit:
    """A start: stretches of the grid itself, the strongest of what the earlier ones leave, found again by pursuit.

    Seeds other than 0 draw the stretches by chance, the strong ones the likeliest.
    """
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros((0, *shape), dtype=torch.complex64)
    fit = Fit(found, *_nowhere())
    for number in range(1, patterns + 1):
        residual = target - fit.grid(target.shape)
        energies = _correlated(residual.abs().square(), torch.ones(shape)).real.clamp(min=0).flatten()
        weights = (energies / energies.max().clamp(min=1e-30)).pow(_DRAW_POWER) + 1e-30
        place = int(torch.multinomial(weights, 1, generator=generator)) if seed else int(energies.argmax())
        corner = torch.tensor([divmod(place, target.shape[1])], dtype=torch.float32)
        window = residual.flatten()[places(corner, *shape, target.shape)]
        found = torch.cat([found, unit(window)])
        fit = pursued(target, Fit(found, *_nowhere()), -(-occurrences * number // patterns))
    return fit


def pursued(target: torch.Tensor, fit: Fit, occurrences: int) -> Fit:
    """With up to `occurrences`, by matching pursuit over all whole positions; several at a time, of which none touches
    another, and all values anew after each time."""
    patterns = fit.patterns
    height, width = patterns.shape[1:]
    share = -(-occurrences // _PURSUIT_REFITS)
    while len(fit.ids) < occurrences:
        residual = target - fit.grid(target.shape)
        products = torch.stack([_correlated(residual, pattern) for pattern in patterns])
        strengths, left = products.abs(), min(share, occurrences - len(fit.ids))
        for _ in range(left):
            best = int(strengths.argmax())
            if strengths.flatten()[best] <= _NOTHING:
                return fit
            number, place = divmod(best, target.numel())
            column, bin = divmod(place, target.shape[1])
            fit = Fit(
                patterns,
                torch.cat([fit.ids, torch.tensor([number])]),
                torch.cat([fit.corners, torch.tensor([[float(column), float(bin)]])]),
                torch.cat([fit.values, products.flatten()[best : best + 1]]),
            )
            around = torch.arange(1 - height, height) + column, torch.arange(1 - width, width) + bin
            strengths[:, around[0][:, None] % target.shape[0], around[1] % target.shape[1]] = 0
        fit = refined(target, fit, {"values"}, _STEPS // 2)
    return fit


def _nowhere() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, corners and values of no occurrences."""
    return torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2), torch.zeros(0, dtype=torch.complex64)


def _correlated(grid: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """Products of `pattern` with the grid at every position, round the ends: complex [columns, bins]."""
    size = (grid.shape[0], grid.shape[1])
    products: torch.Tensor = torch.fft.ifft2(torch.fft.fft2(grid) * torch.fft.fft2(pattern, s=size).conj())
    return products
