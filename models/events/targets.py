"""What the proposer should say of planted mixes, as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import torch
from torch import Tensor

from evc.models.events.cells import CELLS, HOP, LOWEST_NOTE, SAMPLERATE
from evc.models.events.planted import UNKNOWN, Mix, Note
from evc.models.events.proposer import GUESSED

_HOP_SECONDS = HOP / SAMPLERATE
_POSITIVE = 4.0  # weight of a beginning: a missed one is worse than one too many
_NEAR = 1  # hops around a beginning where nothing is asked


@dataclass
class Targets:
    """switch, switch_weight float32 [batch, hops, cells]; onset, onset_weight [batch, hops]; of the n notes to be
    found, batch, hops, cells int64 [n], delay in hops and bend in semitones [n], codes int64 [n] of each guessed part,
    -1 where unknown."""

    switch: Tensor
    switch_weight: Tensor
    onset: Tensor
    onset_weight: Tensor
    batch: Tensor
    hops: Tensor
    cells: Tensor
    delay: Tensor
    bend: Tensor
    codes: dict[str, Tensor]

    @property
    def places(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.batch, self.hops, self.cells

    @classmethod
    def of(cls, mixes: list[Mix], hops: int) -> Self:
        switch, weight = torch.zeros(len(mixes), hops, CELLS), torch.ones(len(mixes), hops, CELLS)
        onset, onset_weight = torch.zeros(len(mixes), hops), torch.ones(len(mixes), hops)
        found: list[tuple[int, int, int, Note]] = []
        for row, mix in enumerate(mixes):
            for note in mix.notes:
                hop, cell = round(note.time / _HOP_SECONDS), round(note.pitch - LOWEST_NOTE)
                if not (0 <= hop < hops and 0 <= cell < CELLS):
                    continue
                near = slice(max(0, hop - _NEAR), hop + _NEAR + 1)
                weight[row, near, max(0, cell - 1) : cell + 2] = 0
                if note.wanted:
                    found.append((row, hop, cell, note))
                else:
                    onset_weight[row, near] = 0
            for time in mix.onsets:
                hop = round(time / _HOP_SECONDS)
                onset_weight[row, max(0, hop - _NEAR) : hop + _NEAR + 1] = 0
        for row, hop, cell, _ in found:
            switch[row, hop, cell], weight[row, hop, cell] = 1, _POSITIVE
        for row, mix in enumerate(mixes):
            at = [hop for time in mix.onsets if (hop := round(time / _HOP_SECONDS)) < hops]
            onset[row, at], onset_weight[row, at] = 1, _POSITIVE
        rows, at_hops, at_cells = (torch.tensor([place[i] for place in found], dtype=torch.int64) for i in range(3))
        notes = [place[3] for place in found]
        delay = torch.tensor([note.time / _HOP_SECONDS for note in notes], dtype=torch.float32) - at_hops
        bend = torch.tensor([note.pitch - LOWEST_NOTE for note in notes], dtype=torch.float32) - at_cells
        codes = {
            name: torch.tensor([note.codes.get(name, UNKNOWN) for note in notes], dtype=torch.int64)
            for name in GUESSED
        }
        return cls(switch, weight, onset, onset_weight, rows, at_hops, at_cells, delay, bend, codes)

    def to(self, device: torch.device) -> Targets:
        moved = {each.name: getattr(self, each.name).to(device) for each in fields(self) if each.name != "codes"}
        return Targets(**moved, codes={name: codes.to(device) for name, codes in self.codes.items()})
