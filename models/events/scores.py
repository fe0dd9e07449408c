"""How well the proposer does on planted mixes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from evc.models.events.proposer import Description, Seen
from evc.models.events.targets import Targets

THRESHOLDS = (0.3, 0.5, 0.7, 0.85)
_REACH = 2  # hops, 46 ms: as far may a peak be from an onset


class Score:
    """Collects counts over batches. A peak hits if it lies in the cell of a planted note, or next to it, within 46 ms
    of its onset; peaks at notes too quiet to be asked for do not count."""

    def __init__(self) -> None:
        self._switch = torch.zeros(len(THRESHOLDS), 4)  # hits, peaks, notes hit, notes
        self._onset = torch.zeros(len(THRESHOLDS), 4)
        self._right: dict[str, list[Tensor]] = {}
        self._delay: list[Tensor] = []

    def add(self, seen: Seen, said: Description, targets: Targets) -> None:
        for row, threshold in enumerate(THRESHOLDS):
            self._switch[row] += _counts(seen.switch, targets.switch, targets.switch_weight, threshold, 1)
            self._onset[row] += _counts(
                seen.onset[..., None], targets.onset[..., None], targets.onset_weight[..., None], threshold, 0
            )
        self._delay.append((said.delay - targets.delay).abs().cpu())
        for name, logits in said.parts.items():
            codes = targets.codes[name]
            known = codes >= 0
            self._right.setdefault(name, []).append((logits.argmax(dim=1) == codes)[known].float().cpu())

    def figures(self) -> dict[str, float]:
        """F-measures at each threshold, shares of codes that are right, median error of times in hops."""
        out = {}
        for kind, counts in (("note", self._switch), ("onset", self._onset)):
            for threshold, (hits, peaks, found, notes) in zip(THRESHOLDS, counts.tolist(), strict=True):
                precision, recall = hits / max(peaks, 1), found / max(notes, 1)
                out[f"{kind}.f@{threshold}"] = 2 * precision * recall / max(precision + recall, 1e-9)
        for name, right in self._right.items():
            if len(shares := torch.cat(right)):
                out[f"right.{name}"] = float(shares.mean())
        if len(errors := torch.cat(self._delay)):
            out["delay"] = float(errors.median())
        return out


def _counts(logits: Tensor, truth: Tensor, weight: Tensor, threshold: float, beside: int) -> Tensor:
    """Hits, peaks, notes hit and notes; `beside`: cells next to the note's that count."""
    chance = torch.sigmoid(logits)[:, None]
    most = functional.max_pool2d(chance, (3, 2 * beside + 1), 1, (1, beside))
    peaks = ((chance >= most) & (chance > threshold)).float()
    size, pad = (2 * _REACH + 1, 2 * beside + 1), (_REACH, beside)
    near = functional.max_pool2d(truth[:, None], size, 1, pad)
    asked = (weight[:, None] > 0) | (near > 0)
    found = functional.max_pool2d(peaks, size, 1, pad) * truth[:, None]
    return torch.stack([(peaks * near).sum(), (peaks * asked).sum(), found.sum(), truth.sum()]).cpu()
