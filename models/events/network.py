"""The network that training sees: proposer and generator, joined to a differentiable encoder.

    proposals -> the likeliest cells -> D(v) there -> phases and amplitude by projection -> subtract -> again

Amplitude, start phase and the multipliers of the partials are linear in the residual, or nearly: the best ones for
given oscillators follow in closed form (variable projection, Golub and Pereyra 1973). At the optimum the error does not
change with them to first order, so no gradient is lost where they count as given.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from evc.models.events.cells import HOP, SAMPLERATE
from evc.models.events.features import cell_notes
from evc.models.events.generator import Generator
from evc.models.events.initial import PARTIALS
from evc.models.events.proposer import GUESSED, Description, Proposer, Seen
from evc.models.events.sounds import BLOCK, Sounds
from evc.models.events.vectors import PART_INDEX, PARTS, PITCH_MIDDLE, PITCH_PER_SEMITONE, VECTOR_DIMS
from evc.models.events.waveforms import envelope
from evc.models.training.losses import energy, energy_ratios

_PHASE = PARTS[PART_INDEX["phase"]].dims
_PARTIALS = slice(PARTS[PART_INDEX["partial2"]].dims.start, PARTS[PART_INDEX[f"partial{PARTIALS}"]].dims.stop)
_SILENT = 0.5  # of what the resonator expects: a partial below is left out
_FLOOR = 1e-9


@dataclass
class Placed:
    """Candidates for one event of each of a batch of residuals.

    vectors [batch, candidates, 32], offsets [batch, candidates] in seconds, amplitudes [batch, candidates];
    sounds [batch, candidates, frames] of amplitude 1; ratios [batch, candidates]: energy left, in shares
    spread: mean squared distance of the expected vectors from the entries that were taken
    """

    vectors: Tensor
    offsets: Tensor
    amplitudes: Tensor
    sounds: Tensor
    ratios: Tensor
    spread: Tensor


@dataclass
class Decomposition:
    """What became of a batch of waveforms [batch, frames].

    residuals [batch, frames]: the waveforms, then what each event left; parts [batch, events, frames] and amplitudes
    [batch, events] of the chosen events; expected [events]: mean share of energy left by an event chosen with the
    probability that the proposer gives it among the candidates; spread: of `Placed`, the mean
    """

    residuals: list[Tensor]
    parts: Tensor
    amplitudes: Tensor
    expected: Tensor
    spread: Tensor


class EventNetwork(nn.Module):
    """Generator and proposer."""

    def __init__(self, generator: Generator, proposer: Proposer) -> None:
        super().__init__()
        self.generator, self.proposer = generator, proposer

    def decompose(
        self, audio: Tensor, events: int, candidates: int, detach: bool, random: torch.Generator | None = None
    ) -> Decomposition:
        """Take `events` events from each waveform [batch, frames] at 22.05 kHz, each the likeliest of `candidates`.

        detach: no gradient flows through a residual to the events before it. random: draws the candidates; without it
        they are the likeliest ones.
        """
        residual, residuals, parts, amplitudes, expected, spreads = audio, [audio], [], [], [], []
        rows = torch.arange(len(audio), device=audio.device)
        for _ in range(events):
            given = residual.detach() if detach else residual
            seen = self.proposer(given)
            hops, cells = _drawn(seen.switch, candidates, random)
            placed = self.place(given, seen, hops, cells)
            logits = seen.switch[rows[:, None], hops, cells]
            expected.append((torch.softmax(logits, dim=1) * placed.ratios).sum(dim=1).mean())
            spreads.append(placed.spread)
            best = logits.argmax(dim=1)
            amplitudes.append(placed.amplitudes[rows, best])
            parts.append(amplitudes[-1][:, None] * placed.sounds[rows, best])
            residual = given - parts[-1]
            residuals.append(residual)
        return Decomposition(
            residuals, torch.stack(parts, 1), torch.stack(amplitudes, 1), torch.stack(expected),
            torch.stack(spreads).mean(),
        )  # fmt: skip

    def place(self, residual: Tensor, seen: Seen, hops: Tensor, cells: Tensor) -> Placed:
        """Candidates in the given hops and cells, int64 [batch, candidates], of residuals [batch, frames]."""
        batch, count = hops.shape
        rows = torch.arange(batch, device=hops.device).repeat_interleave(count)
        said = self.proposer.describe(seen, rows, hops.flatten(), cells.flatten())
        with torch.autocast(residual.device.type, enabled=False):
            offsets = ((hops.flatten() + said.delay) * (HOP / SAMPLERATE)).double()
            given = residual.float()[rows]
            vectors, spread = self.vectors(said, cells.flatten())
            vectors = self.projected(vectors, given, offsets)
            sounds = self.generator.render(vectors, offsets, SAMPLERATE, residual.shape[-1])
            amplitudes = ((given * sounds).sum(-1) / (energy(sounds) + _FLOOR)).clamp_min(0)
            ratios = energy_ratios(given, given - amplitudes[:, None] * sounds)
        return Placed(
            vectors.unflatten(0, (batch, count)), offsets.unflatten(0, (batch, count)),
            amplitudes.unflatten(0, (batch, count)), sounds.unflatten(0, (batch, count)),
            ratios.unflatten(0, (batch, count)), spread,
        )  # fmt: skip

    def vectors(self, said: Description, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors [n, 32] of what was said of cells [n], with start phase 0 and all partials, and their spread.

        The entry of the codebook is the likeliest one; the gradient is that of the expected one (straight through).
        """
        vectors = said.bend.new_zeros(len(cells), VECTOR_DIMS)
        notes = cell_notes().to(vectors.device)[cells] + said.bend
        vectors[:, 0] = (notes * PITCH_PER_SEMITONE - PITCH_MIDDLE) / (12 * PITCH_PER_SEMITONE)
        vectors[:, _PHASE.start] = 1
        vectors[:, _PARTIALS.start : _PARTIALS.stop : 2] = 1
        spread = vectors.new_zeros(())
        for name in GUESSED:
            book, logits = self.generator.codebook[name], said.parts[name]
            mean = torch.softmax(logits, dim=1) @ book
            entry = book[logits.argmax(dim=1)]
            vectors[:, PARTS[PART_INDEX[name]].dims] = entry.detach() + mean - mean.detach()
            spread = spread + (entry - mean).square().sum(dim=1).mean()
        return vectors, spread

    def projected(self, vectors: Tensor, residual: Tensor, offsets: Tensor) -> Tensor:
        """The vectors [n, 32] with the start phase and the multipliers of unit gain that the residuals [n, frames] ask
        for; a partial that is there with less than half of its gain is left out."""
        with torch.no_grad():
            wanted = projections(self.generator(vectors), residual, offsets)
        first = wanted[:, :1] / (wanted[:, :1].abs() + _FLOOR)
        order = torch.arange(1, PARTIALS + 1, device=wanted.device)
        turned = wanted * first.conj() ** order
        heard = wanted.abs() > _SILENT * wanted[:, :1].abs()
        multipliers = torch.where(heard, turned / (wanted.abs() + _FLOOR), 0)[:, 1:]
        out = vectors.clone()
        out[:, _PHASE] = torch.view_as_real(first[:, 0]).to(out)
        out[:, _PARTIALS] = torch.view_as_real(multipliers).flatten(1).to(out)
        return out


def projections(sounds: Sounds, residual: Tensor, offsets: Tensor) -> Tensor:
    """Complex factors [n, 8] by which each partial of the sounds, taken alone, comes nearest to residuals [n, frames].

    2 <r, w> / <w, w> for the analytic signal w of the partial; sums over time go in blocks, as in `waveforms`.
    """
    frames = residual.shape[-1]
    blocks = -(-frames // BLOCK)
    padded = nn.functional.pad(residual, (0, blocks * BLOCK - frames))
    times = torch.arange(blocks * BLOCK, device=residual.device) / SAMPLERATE - offsets[:, None]
    shape = envelope(sounds, times, residual.dtype) * (times >= 0)
    exponents = torch.complex(-sounds.decays, 2 * torch.pi * sounds.frequencies)
    products = _transform((padded * shape).unflatten(1, (blocks, BLOCK)), exponents.conj(), offsets)
    norms = _transform(shape.square().unflatten(1, (blocks, BLOCK)), -2 * sounds.decays, offsets)
    amplitudes = sounds.amplitudes
    return 2 * products / (norms + _FLOOR) * (amplitudes / (amplitudes.abs().square() + _FLOOR))


def _transform(signals: Tensor, exponents: Tensor, offsets: Tensor) -> Tensor:
    """sum over t of signal(t) e^(s t) for signals [n, blocks, BLOCK] and exponents [n, 8] per second: [n, 8]."""
    starts = torch.arange(signals.shape[1], device=signals.device) * (BLOCK / SAMPLERATE) - offsets[:, None]
    begun = starts > -BLOCK / SAMPLERATE
    rows = torch.exp(exponents[:, :, None] * torch.where(begun, starts, 0.0)[:, None]) * begun[:, None]
    within = torch.arange(BLOCK, device=signals.device) / SAMPLERATE
    columns = torch.exp(exponents[:, :, None] * within)
    inner = torch.einsum("nbj,npj->npb", signals.to(columns.dtype), columns)
    return (rows * inner).sum(-1)


def _drawn(switch: Tensor, count: int, random: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Hops and cells [batch, count] of local maxima of the logits [batch, hops, cells]: the highest, or with `random`
    without replacement by their softmax (Gumbel top-k)."""
    most = nn.functional.max_pool2d(switch.detach()[:, None], (3, 3), 1, (1, 1))[:, 0]
    logits = torch.where(switch.detach() >= most, switch.detach(), -torch.inf)
    if random is not None:
        uniform = (
            torch.rand(logits.shape, generator=random, device=random.device).clamp(1e-6, 1 - 1e-6).to(logits.device)
        )
        logits = logits - torch.log(-torch.log(uniform))
    flat = logits.flatten(1).topk(count, dim=1).indices
    return flat // switch.shape[2], flat % switch.shape[2]
