"""The lattice model as torch tensors: occurrences written to a grid, and fitted to one by gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Fit:
    """Patterns and occurrences on a grid, before quantisation.

    patterns  complex64 [patterns, columns, bins], each of norm 1
    ids       int64 [occurrences], the pattern of each
    corners   float32 [occurrences, 2], column and bin of the pattern's cell (0, 0); any number, the grid goes round
    values    complex64 [occurrences], magnitude and phase
    """

    patterns: torch.Tensor
    ids: torch.Tensor
    corners: torch.Tensor
    values: torch.Tensor

    def grid(self, shape: Sequence[int]) -> torch.Tensor:
        """The sum of all occurrences, complex64 [columns, bins] of `shape`; differentiable."""
        cells = atoms(self.patterns[self.ids], self.corners) * self.values[:, None, None]
        where = places(self.corners, cells.shape[1], cells.shape[2], shape)
        flat = torch.zeros(shape[0] * shape[1], dtype=cells.dtype)
        return flat.index_add(0, where.flatten(), cells.flatten()).reshape(shape[0], shape[1])

    def snr(self, target: torch.Tensor) -> float:
        """Energy of `target` [columns, bins] over that of the difference, in dB."""
        error = (target - self.grid(target.shape)).abs().square().sum()
        return float(10 * torch.log10(target.abs().square().sum() / (error + 1e-30)))

    def take(self, kept: torch.Tensor) -> Fit:
        """With a part of the occurrences."""
        return replace(self, ids=self.ids[kept], corners=self.corners[kept], values=self.values[kept])


def refined(target: torch.Tensor, fit: Fit, what: set[str], steps: int, price: float = 0.0) -> Fit:
    """At most `steps` steps of L-BFGS on the fields `what`, towards `target` [columns, bins].

    With a `price`, in shares of the target's energy, every occurrence gets a soft gate, and gates and magnitudes cost
    that much each; then small occurrences fade, yet never lose their gradient.
    """
    if not len(fit.ids):
        return fit
    energy = target.abs().square().sum()
    leaves = {name: _real(getattr(fit, name)).detach().clone().requires_grad_() for name in sorted(what)}
    gates = torch.full((len(fit.ids),), 2.0, requires_grad=True) if price else None
    scale = float(fit.values.abs().mean()) + 1e-12
    parameters = [*leaves.values(), *([] if gates is None else [gates])]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=steps, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-10
    )

    def current() -> Fit:
        found = _with(fit, leaves)
        return found if gates is None else replace(found, values=found.values * torch.sigmoid(gates))

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = current()
        value = (target - found.grid(target.shape)).abs().square().sum() / energy
        if gates is not None:
            magnitudes = _with(fit, leaves).values.abs()
            value = value + price * (torch.sigmoid(gates) + magnitudes / scale).sum()
        value.backward()
        return value

    optimizer.step(loss)
    found = current()
    return Fit(found.patterns.detach(), found.ids, found.corners.detach(), found.values.detach())


def atoms(patterns: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Patterns [n, columns, bins] shared out to the nearest cells [n, columns + 1, bins + 1] for their `corners`."""
    later, higher = (corners - corners.detach().floor())[:, :, None, None].unbind(1)
    pad = torch.nn.functional.pad
    by_column = pad(patterns, (0, 0, 0, 1)) * (1 - later) + pad(patterns, (0, 0, 1, 0)) * later
    return pad(by_column, (0, 1)) * (1 - higher) + pad(by_column, (1, 0)) * higher


def places(corners: torch.Tensor, height: int, width: int, shape: Sequence[int]) -> torch.Tensor:
    """Where the cells of atoms of `height` columns and `width` bins lie in the flattened grid of `shape`, int64
    [n, height, width]; the grid goes round at its ends."""
    whole = corners.detach().floor().to(torch.int64)
    column = (whole[:, :1] + torch.arange(height)) % shape[0]
    bin = (whole[:, 1:] + torch.arange(width)) % shape[1]
    return column[:, :, None] * shape[1] + bin[:, None, :]


def unit(patterns: torch.Tensor) -> torch.Tensor:
    """Patterns [n, columns, bins] scaled to norm 1."""
    return patterns / (patterns.abs().square().sum((1, 2), keepdim=True).sqrt() + 1e-20)


def _real(values: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(values) if values.is_complex() else values


def _with(fit: Fit, leaves: dict[str, torch.Tensor]) -> Fit:
    """`fit` with the fields in `leaves`, as real numbers; patterns come back to norm 1."""
    as_field: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "patterns": lambda leaf: unit(torch.view_as_complex(leaf)),
        "values": torch.view_as_complex,
        "corners": lambda leaf: leaf,
    }
    return replace(fit, **{name: as_field[name](leaf) for name, leaf in leaves.items()})
